"""The whole stack as processes: started in order, each of them to be killed, frozen and restarted, stopped without a rest."""

import asyncio
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from deploy.local.credentials import Credentials, ensure_credentials
from deploy.local.fork_server import ForkServer
from deploy.local.home import Home
from deploy.local.kafka.broker import broker_command
from deploy.local.kafka.topics import bus_ready, create_topics
from deploy.local.lacks import MachineLacks
from deploy.local.mongo.replica_set import mongo_uri, mongod_command, store_ready
from deploy.local.plan import Layout, StackOptions, embedded_plan, phone_plan, server_plan, service_plans
from deploy.local.ports import LOOPBACK, contract_ports, free_ports
from deploy.local.prepare import Parts
from deploy.local.processes import Process, ProcessPlan, all_gone
from deploy.local.record import StackRecord, read_record, write_record

READY_WITHIN_S = 60.0
KAFKA, MONGOD, PHONE = "kafka-1", "mongod-1", "phone"
# What stands where the address of a server would.
IN_MEMORY = "memory"


def options_of_caller(home: Home, **chosen: object) -> StackOptions:
    """Options with the servers and the provider that the caller's environment names instead of local ones; an embedded stack
    has no servers."""
    named = {
        "kafka_bootstrap": os.environ.get("VIGIL_KAFKA_BOOTSTRAP"),
        "mongo_uri": os.environ.get("VIGIL_MONGO_URI"),
        "twilio_base_url": os.environ.get("VIGIL_TWILIO_BASE_URL"),
        "topic_prefix": os.environ.get("VIGIL_TOPIC_PREFIX") or "vigil",
    }
    if chosen.get("embedded"):
        named |= {"kafka_bootstrap": None, "mongo_uri": None}
    return StackOptions(home, **{**named, **chosen})  # type: ignore[arg-type]


@dataclass(slots=True)
class _Entry:
    plan: ProcessPlan
    process: Process


class Stack:
    """A running stack; everything in it is called by its name in the contract (`intake`, `crisis-0`, `kafka-1`, …)."""

    def __init__(self, options: StackOptions, parts: Parts, forks: ForkServer | None = None) -> None:
        self.options = options
        self._forks = forks or ForkServer()
        self._forks_are_mine = forks is None
        self._parts = parts
        self._entries: dict[str, _Entry] = {}
        self._layout: Layout | None = None

    @property
    def layout(self) -> Layout:
        """Ports, addresses and credentials; raises RuntimeError before `start`."""
        if self._layout is None:
            raise RuntimeError("the stack was not started")
        return self._layout

    @property
    def credentials(self) -> Credentials:
        """Keys and tokens."""
        return self.layout.credentials

    async def start(self) -> "Stack":
        """Start everything, in order, and return once all of it is ready.

        Raises ProcessDied, NotReady or MachineLacks; then, as on a cancellation, nothing is left running.
        """
        try:
            self._layout = self._lay_out()
            if self.options.embedded:
                self._run_embedded()
                await self._all_ready()
                return self
            if set(self.options.replica_names) - self.options.without:
                self._forks.begin()
            servers = self._start_servers()
            await asyncio.gather(*servers)
            await create_topics(self.layout.kafka, self.options.topic_prefix)
            for plan in self._vigil_plans():
                self._run(plan)
            await self._all_ready()
        except BaseException:
            await self.shut_down()
            raise
        return self

    async def shut_down(self) -> list[str]:
        """Stop everything that runs and forget the record; returns the names of those that had to be killed."""
        killed = await stop_all([entry.process for entry in self._entries.values()])
        self.options.home.record.unlink(missing_ok=True)
        if self._forks_are_mine:
            self._forks.close()
        return killed

    def leave_running(self) -> None:
        """This program ends and the stack goes on, known by its record alone."""
        if self._forks_are_mine:
            self._forks.close()

    def names(self) -> tuple[str, ...]:
        """All processes, in the order of their start."""
        return tuple(self._entries)

    def process(self, name: str) -> Process:
        """A process; raises KeyError when the stack has none of that name."""
        return self._entries[name].process

    def url(self, name: str) -> str:
        """Base URL of a process (the address of a server)."""
        return self._entries[name].plan.url or ""

    def log(self, name: str) -> str:
        """All that a process has written so far."""
        return self._entries[name].plan.log.read_text(encoding="utf-8", errors="replace")

    async def wait_ready(self, name: str, within_s: float = READY_WITHIN_S) -> None:
        """Return once a process is ready; raises ProcessDied or NotReady."""
        process = self.process(name)
        if name == KAFKA:
            await bus_ready(self.layout.kafka, process.check, within_s)
        elif name == MONGOD:
            await store_ready(self.layout.ports[MONGOD], process.check, within_s)
        else:
            await process.wait_ready(within_s)

    async def _all_ready(self) -> None:
        await asyncio.gather(*(self.wait_ready(name) for name in self._entries))

    async def kill(self, name: str) -> None:
        """SIGKILL; returns after the exit and once the port is free."""
        self._must_be_a_process(name)
        await self.process(name).kill()

    async def stop(self, name: str) -> bool:
        """SIGTERM; returns, after the exit, whether it was heard in time."""
        self._must_be_a_process(name)
        return await self.process(name).stop()

    def freeze(self, name: str) -> None:
        """SIGSTOP."""
        self._must_be_a_process(name)
        self.process(name).freeze()

    def thaw(self, name: str) -> None:
        """SIGCONT."""
        self.process(name).thaw()

    async def restart(self, name: str, *, wait: bool = True, env: dict[str, str] | None = None) -> None:
        """Start it again as it was (on the same data), stopping it first if it runs; `env` adds variables."""
        self._must_be_a_process(name)
        plan = self._entries[name].plan
        if self.process(name).alive():
            await self.stop(name)
        self._run(replace(plan, env={**plan.env, **(env or {})}))
        if wait:
            await self.wait_ready(name)

    def token(self, role: str, sub: str | None = None, scopes: Sequence[str] = (), ttl_s: int = 3600) -> str:
        """A token of this stack's development issuer."""
        return self.credentials.issuer.issue(sub or f"{role}-1", role, scopes, ttl_s)

    def record(self) -> StackRecord:
        """What is written down of this stack."""
        layout = self.layout
        return StackRecord(
            profile=self.options.profile,
            topic_prefix=self.options.topic_prefix,
            kafka=layout.kafka,
            mongo=layout.mongo,
            intake_url=layout.url("intake"),
            crisis_urls=layout.crisis_urls,
            phone_url=layout.phone_url,
            running=tuple(entry.process.record for entry in self._entries.values()),
            embedded=self.options.embedded,
        )

    def _must_be_a_process(self, name: str) -> None:
        if self.options.embedded:
            raise ValueError(f"{name} has no process of its own in an embedded stack")

    def _lay_out(self) -> Layout:
        options = self.options
        names = list(contract_ports(crisis_replicas=options.crisis_replicas))
        if options.port_base is None:
            ports = dict(zip(names, free_ports(len(names)), strict=True))
        else:
            ports = contract_ports(options.port_base, options.crisis_replicas)
        options.home.data.mkdir(parents=True, exist_ok=True)
        _put_logs_aside(options.home)
        return Layout(
            options,
            ports,
            kafka=IN_MEMORY if options.embedded else options.kafka_bootstrap or f"{LOOPBACK}:{ports[KAFKA]}",
            mongo=IN_MEMORY if options.embedded else options.mongo_uri or mongo_uri(ports[MONGOD]),
            credentials=ensure_credentials(options.home),
        )

    def _start_servers(self) -> list["asyncio.Future[None] | asyncio.Task[None]"]:
        options, ports = self.options, self.layout.ports
        started = []
        if options.kafka_bootstrap is None:
            if self._parts.kafka is None:
                raise MachineLacks("Kafka was not prepared", "call prepare(kafka=True) first")
            mine = (ports[KAFKA], free_ports(1)[0])
            command = broker_command(self._parts.kafka, options.home.data / KAFKA, *mine, steady=options.steady_kafka)
            self._run(server_plan(options, KAFKA, command, mine))
            started.append(KAFKA)
        if options.mongo_uri is None:
            if self._parts.mongod is None:
                raise MachineLacks("mongod was not prepared", "call prepare(mongo=True) first")
            data = options.home.data / f"{MONGOD}-{ports[MONGOD]}"
            self._run(server_plan(options, MONGOD, mongod_command(self._parts.mongod, data, ports[MONGOD]), (ports[MONGOD],)))
            started.append(MONGOD)
        return [asyncio.ensure_future(self.wait_ready(name)) for name in started]

    def _vigil_plans(self) -> list[ProcessPlan]:
        simulated = self.options.twilio_base_url is None
        plans = [*([phone_plan(self.layout)] if simulated else []), *service_plans(self.layout)]
        return [plan for plan in plans if plan.name not in self.options.without]

    def _run(self, plan: ProcessPlan) -> None:
        self._entries[plan.name] = _Entry(plan, Process.start(plan, self._forks.spawn))
        write_record(self.options.home, self.record())

    def _run_embedded(self) -> None:
        # Every service keeps its name, its address and its readiness; the process behind all of them is one.
        parts = self._vigil_plans()
        plan = embedded_plan(self.layout, parts)
        process = Process.start(plan)
        for part in parts:
            own = replace(process.record, name=part.name, url=part.url, ready_url=part.ready_url, ports=part.ports)
            self._entries[part.name] = _Entry(replace(part, log=plan.log), process.under(own))
        write_record(self.options.home, self.record())


async def stop_all(processes: Iterable[Process]) -> list[str]:
    """Stop Vigil's services, then the phone, then the servers; returns the names of those that had to be killed."""
    waves: tuple[list[Process], list[Process], list[Process]] = ([], [], [])
    for process in processes:
        waves[2 if process.name.startswith(("kafka", "mongod")) else 1 if process.name == PHONE else 0].append(process)
    killed = []
    for wave in waves:
        alive = [process for process in wave if process.alive()]
        heard = await asyncio.gather(*(process.stop() for process in alive))
        killed += [process.name for process, in_time in zip(alive, heard, strict=True) if not in_time]
    return killed


async def stop_recorded(home: Home) -> list[str] | None:
    """Stop every process that this home's record knows and remove the record; returns the names of those that ran, or None."""
    record = read_record(home)
    if record is None:
        return None
    processes = [process for process in record.processes() if process.alive()]
    await stop_all(processes)
    await all_gone(process.pid for process in processes)
    home.record.unlink(missing_ok=True)
    return [process.name for process in processes]


def _put_logs_aside(home: Home) -> None:
    # The former run's logs stay for whoever wants to know why it ended.
    former = home.logs.with_name("logs.former")
    if home.logs.exists():
        shutil.rmtree(former, ignore_errors=True)
        home.logs.rename(former)


def remove_data(home: Home) -> None:
    """Forget everything a stopped stack has kept: broker, store and journals."""
    shutil.rmtree(home.data, ignore_errors=True)
