"""A whole stack for one test: real processes on free ports, with a topic prefix, databases and directories of its own."""

import asyncio
import secrets
import shutil
from collections.abc import Mapping, Sequence

from deploy.local.fork_server import ForkServer
from deploy.local.kafka.topics import delete_topics
from deploy.local.mongo.replica_set import drop_databases
from deploy.local.plan import PROGRAMME, StackOptions
from deploy.local.prepare import Parts
from deploy.local.stack import KAFKA, MONGOD, Stack
from tests.support.error_lines import ErrorLine, error_lines, unexplained
from tests.support.runs import Run
from tests.support.servers import Servers, parts

_SERVERS = (KAFKA, MONGOD)


class StackUnderTest(Stack):
    """A stack that, at its end, must have left no process and no error line that the test did not expect."""

    def __init__(self, options: StackOptions, parts: Parts, forks: ForkServer | None = None) -> None:
        super().__init__(options, parts, forks)
        self._allowed: set[str] = set()
        self._may_be_killed: set[str] = set()

    @property
    def phone_url(self) -> str:
        """Base URL of the phone simulator."""
        return self.url("phone")

    @property
    def intake_url(self) -> str:
        """Base URL of intake."""
        return self.url("intake")

    @property
    def crisis_urls(self) -> tuple[str, ...]:
        """Base URLs of the replicas, in ordinal order."""
        return self.layout.crisis_urls

    def allow_errors(self, *loggers: str) -> None:
        """Loggers (and those below them) that may report errors in this test."""
        self._allowed.update(loggers)

    def allow_kill(self, *names: str) -> None:
        """Processes that need not hear SIGTERM at the end of this test."""
        self._may_be_killed.update(names)

    def errors(self) -> list[ErrorLine]:
        """The error lines of Vigil's own processes so far that are not allowed."""
        # The services of an embedded stack share one log.
        names = {"embedded": self.names()[0]} if self.options.embedded else {name: name for name in self.names()}
        lines = [line for name, of in names.items() if name not in _SERVERS for line in error_lines(name, self.log(of))]
        return unexplained(lines, self._allowed)

    async def end(self) -> None:
        """Stop everything, remove what was stored, and assert that nothing is left and nothing unexplained was reported."""
        pids = {name: self.process(name).pid for name in self.names()}
        killed = set(await self.shut_down()) - self._may_be_killed
        left = [f"{name} ({pids[name]})" for name in self.names() if self.process(name).alive()]
        errors = self.errors()
        await self._forget()
        assert not left, f"still running: {left}"
        assert not killed, f"did not stop when asked to, and had to be killed: {sorted(killed)}; see {self.options.home.logs}"
        assert not errors, "unexplained errors:\n" + "\n".join(f"{line.process}: {line.text[:600]}" for line in errors[:20])

    async def _forget(self) -> None:
        shutil.rmtree(self.options.home.data, ignore_errors=True)
        prefix, shared = self.options.topic_prefix, self.options
        if shared.kafka_bootstrap is not None:
            await delete_topics(shared.kafka_bootstrap, prefix)
        if shared.mongo_uri is not None:
            await drop_databases(shared.mongo_uri, prefix)


class _Started:
    """Stacks of one test, to be ended when it is over."""

    def __init__(self) -> None:
        self._stacks: list[StackUnderTest] = []

    async def _start(self, stack: StackUnderTest) -> StackUnderTest:
        self._stacks.append(stack)
        await stack.start()
        return stack

    async def end(self) -> None:
        """End every stack, the last one first; the first complaint is raised after all of them ended."""
        results = [await asyncio.gather(stack.end(), return_exceptions=True) for stack in reversed(self._stacks)]
        for (result,) in results:
            if result is not None:
                raise result


class EmbeddedFactory(_Started):
    """Starts stacks of one process, without servers; ends them all when the test is over."""

    def __init__(self, run: Run, test_name: str) -> None:
        super().__init__()
        self._run = run
        self._test_name = test_name

    async def __call__(
        self,
        *,
        profile: str = "test",
        replicas: int = 2,
        env: Mapping[str, Mapping[str, str]] | None = None,
        programme: bool = False,
    ) -> StackUnderTest:
        """A started, ready stack; `env`: extra variables per service (`*`: all); `programme`: with sessions, outcomes and
        notifications too."""
        options = StackOptions(
            self._run.home(self._test_name),
            profile=profile,
            crisis_replicas=replicas,
            port_base=None,
            topic_prefix=f"t{secrets.token_hex(5)}",
            inherit=False,
            embedded=True,
            extra_env=env or {},
            without=_left_out(programme),
        )
        return await self._start(StackUnderTest(options, Parts(None, None)))


class StackFactory(_Started):
    """Starts stacks for one test; ends them all when the test is over."""

    def __init__(self, servers: Servers, test_name: str) -> None:
        super().__init__()
        self._servers = servers
        self._test_name = test_name

    async def __call__(
        self,
        *,
        profile: str = "test",
        replicas: int = 2,
        env: Mapping[str, Mapping[str, str]] | None = None,
        commands: Mapping[str, Sequence[str]] | None = None,
        without: Sequence[str] = (),
        programme: bool = False,
        own_kafka: bool = False,
        own_mongo: bool = False,
        sample: bool = True,
    ) -> StackUnderTest:
        """A started, ready stack.

        `env`: extra variables per process (`*`: all). `commands`: another command line for a process. `without`: processes to
        leave out. `programme`: with sessions, outcomes and notifications, which the crisis lane can do without. `own_kafka`,
        `own_mongo`: servers of its own, for tests that stop or freeze them.
        """
        options = StackOptions(
            self._servers.run.home(self._test_name),
            profile=profile,
            crisis_replicas=replicas,
            port_base=None,
            topic_prefix=f"t{secrets.token_hex(5)}",
            sample=sample,
            kafka_bootstrap=None if own_kafka else self._servers.kafka,
            mongo_uri=None if own_mongo else self._servers.mongo,
            inherit=False,
            extra_env=env or {},
            commands={name: tuple(words) for name, words in (commands or {}).items()},
            without=frozenset(without) | _left_out(programme),
        )
        needed = await asyncio.to_thread(parts) if own_kafka or own_mongo else Parts(None, None)
        return await self._start(StackUnderTest(options, needed, self._servers.forks))


def _left_out(programme: bool) -> frozenset[str]:
    return frozenset() if programme else frozenset(PROGRAMME)
