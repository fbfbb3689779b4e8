"""One run of the bench on a running stack: warm-up, interleaved samples with bursts between them, then where the time goes."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import aiohttp
import orjson

from deploy.local.apis import Intake, PhoneNetwork
from deploy.local.bench.bare import bare_chain
from deploy.local.bench.cpu import per_sample_ms, read_cpu
from deploy.local.bench.flood import Flood, FloodPlan
from deploy.local.bench.load import Request, Shot, assign_pages, fire, fire_at_once, generator_session, interleaved, warm_up
from deploy.local.bench.report import BARE, FLOOR, VIGIL, Samples
from deploy.local.first_pages import code_on
from deploy.local.stack import Stack
from shared.time.clock import Clock, SystemClock

ANSWERS = {"q1": 2, "q2": 3, "q3": 2, "q4": 2, "q5": 1, "q6": 2, "q7": 1, "q8": 1, "q9": 3}
_BODY = orjson.dumps({"instrument": "phq9", "answers": ANSWERS})
_ENROLLED_AT_ONCE = 16
_CONNECTIONS = 256


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """How much of everything; `rate_per_s` counts all chains together, times are seconds."""

    samples: int = 500
    rate_per_s: float = 20.0
    warm: int = 40
    bursts: int = 5
    burst_size: int = 100
    flooded: int = 100
    flooded_rate_per_s: float = 6.0
    cpu_samples: int = 100
    settle_s: float = 1.0
    idle_s: float = 3.0
    burst_within_s: float = 10.0
    seed: int = 20_260_101

    @property
    def flags(self) -> int:
        """How many patients Vigil will page about."""
        return self.warm + self.samples + self.cpu_samples + self.flooded + self.bursts * self.burst_size


QUICK = BenchPlan(samples=60, warm=15, bursts=2, cpu_samples=40, flooded=30)
_ROUTINE_PATIENTS = 40


class Watcher(Protocol):
    """Who shows how it goes."""

    def phase(self, name: str, done: int, total: int) -> None:
        """So much of a phase is done."""
        ...


class BenchRun:
    """One run; everything it needs is started around it."""

    def __init__(self, stack: Stack, plan: BenchPlan, samples: Samples, watcher: Watcher) -> None:
        self._stack = stack
        self._plan = plan
        self._samples = samples
        self._watcher = watcher
        self._clock: Clock = SystemClock()

    async def run(self) -> None:
        """Measure, and add what was measured to the samples."""
        plan = self._plan
        load_before = os.getloadavg()[0]
        async with bare_chain(self._stack) as bare, generator_session(_CONNECTIONS) as session:
            record = self._stack.record()
            self._phone = PhoneNetwork("phone", session, [record.phone_url])
            self._session = session
            self._bare = bare
            self._token = self._stack.token("service", "bench")
            self._patients = iter(await self._enrol(plan.flags))
            live = [record.intake_url + "/health/live", bare.ingest_url + "/", bare.floor_url + "/"]
            await warm_up(session, live, plan.burst_size)
            await fire(session, self._round(plan.warm), plan.rate_per_s)
            await self._settle()
            # First, while nothing is left over from a burst that would count as idling.
            await self._profile()
            shots = await self._measure()
            await self._flood()
        self._samples.runs.append(shots)
        self._samples.rate_per_s = plan.rate_per_s
        self._samples.load_average = (round(load_before, 2), round(os.getloadavg()[0], 2))

    async def _measure(self) -> dict[str, list[Shot]]:
        """The interleaved samples, in as many parts as there are bursts, a burst of each chain after each part."""
        plan = self._plan
        parts = max(1, plan.bursts)
        after = await self._last_entry()
        found: dict[str, list[Shot]] = {VIGIL: [], BARE: [], FLOOR: []}
        for part in range(parts):
            size = plan.samples * (part + 1) // parts - plan.samples * part // parts
            shots = self._round(size, seed=plan.seed + part)
            await fire(self._session, shots, plan.rate_per_s)
            await self._settle()
            for shot in shots:
                found[shot.chain].append(shot)
            self._watcher.phase("samples", len(found[VIGIL]), plan.samples)
            if plan.bursts:
                for chain in (VIGIL, BARE) if part % 2 else (BARE, VIGIL):
                    await self._burst(chain)
                self._watcher.phase("bursts", part + 1, plan.bursts)
        assign_pages([shot for shots in found.values() for shot in shots], await self._phone.pages(after), code_on)
        return found

    async def _flood(self) -> None:
        """The same shots beside routine work: how far the crisis lane hears of it."""
        plan = self._plan
        if not plan.flooded:
            return
        record = self._stack.record()
        flood = Flood(
            plan=FloodPlan(),
            intake_url=record.intake_url,
            token=self._token,
            patients=await self._enrol(_ROUTINE_PATIENTS, "routine"),
            kafka=record.kafka,
            topic_prefix=record.topic_prefix,
            session=self._session,
            clock=self._clock,
        )
        after = await self._last_entry()
        shots = [self._shot(VIGIL) for _ in range(plan.flooded)]
        async with flood.running() as sent:
            await self._settle()
            await fire(self._session, shots, plan.flooded_rate_per_s)
        await self._settle()
        assign_pages(shots, await self._phone.pages(after), code_on)
        self._samples.flooded += shots
        self._samples.flood = sent.told()
        self._watcher.phase("beside a flood", len(shots), plan.flooded)

    async def _burst(self, chain: str) -> None:
        shots = [self._shot(chain) for _ in range(self._plan.burst_size)]
        after = await self._last_entry()
        await fire_at_once(self._session, shots)
        until_s = self._clock.monotonic_s() + self._plan.burst_within_s
        while not all("sms" in shot.paged_ms for shot in shots):
            assign_pages(shots, await self._phone.pages(after), code_on)
            if self._clock.monotonic_s() > until_s:
                missing = sum("sms" not in shot.paged_ms for shot in shots)
                raise BurstIncomplete(f"{missing} of {len(shots)} pages of a {chain} burst did not come")
            await self._clock.sleep(0.1)
        self._samples.bursts_ms[chain].append(max(shot.paged_ms["sms"] - shot.planned_ms for shot in shots))
        await self._settle()
        await self._settle()

    async def _profile(self) -> None:
        """Processor time per flag: one chain at a time, what the processes use when idle taken off."""
        plan = self._plan
        if not plan.cpu_samples:
            return
        pids = {name: self._stack.process(name).pid for name in self._stack.names()} | self._bare.pids
        await self._settle()
        rested = [read_cpu(pids, self._clock)]
        await self._clock.sleep(plan.idle_s)
        rested.append(read_cpu(pids, self._clock))
        for chain in (VIGIL, BARE):
            before = read_cpu(pids, self._clock)
            await fire(self._session, [self._shot(chain) for _ in range(plan.cpu_samples)], plan.rate_per_s)
            await self._settle()
            cost = per_sample_ms(rested, [before, read_cpu(pids, self._clock)], plan.cpu_samples)
            self._samples.cpu_ms[chain] = cost
        self._watcher.phase("processor time", 1, 1)

    async def _settle(self) -> None:
        await self._clock.sleep(self._plan.settle_s)

    async def _last_entry(self) -> int:
        entries = await self._phone.entries()
        return int(entries[-1]["seq"]) if entries else 0

    async def _enrol(self, count: int, name: str = "bench") -> list[str]:
        """Distinct patients, so that every flag opens a case of its own."""
        intake_url = self._stack.record().intake_url
        found: list[str] = []
        numbers = iter(range(count))
        async with aiohttp.ClientSession() as session:
            intake = Intake("intake", session, [intake_url], self._token)

            async def work(waiting: Iterator[int]) -> None:
                for number in waiting:
                    found.append(await intake.enrol(f"{name}-{number}", _patient(number)))
                    self._watcher.phase("patients enrolled", len(found), count)

            await asyncio.gather(*(work(numbers) for _ in range(_ENROLLED_AT_ONCE)))
        return found

    def _round(self, size: int, seed: int = 0) -> list[Shot]:
        return interleaved({chain: self._shots(chain, size) for chain in (VIGIL, BARE, FLOOR)}, seed)

    def _shots(self, chain: str, count: int) -> Sequence[Shot]:
        return [self._shot(chain) for _ in range(count)]

    def _shot(self, chain: str) -> Shot:
        base = {VIGIL: self._stack.record().intake_url, BARE: self._bare.ingest_url, FLOOR: self._bare.floor_url}[chain]
        # The bare chain keeps no patients: any id will do, and one of the same length.
        patient = next(self._patients) if chain == VIGIL else "00000000-0000-4000-8000-000000000000"
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self._token}",
            "Idempotency-Key": f"bench-{patient}",
        }
        return Shot(chain, Request(f"{base}/v1/patients/{patient}/assessments", headers, _BODY))


class BurstIncomplete(Exception):
    """A burst's pages did not all come in time."""


def _patient(number: int) -> dict[str, object]:
    return {
        "name": f"Bench {number}",
        "phone": f"+15553{number:06d}",
        "locale": "en-US",
        "zone": "America/New_York",
        "location": {"country": "US", "region": "NY"},
    }
