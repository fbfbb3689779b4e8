"""What sealing costs: `python -m tests.bench.sealing [--stack]` prints microseconds of each step and of whole requests.

Without `--stack`: the steps, and intake's handlers in one process over the store in memory, sealing and not, interleaved. With it:
POSTs to two real intakes, of which one seals nothing (`tests/support/intake_mutants.py`), interleaved too. Figures in
docs/operations/sealing.md come from here.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from statistics import quantiles
from time import perf_counter
from typing import Any

import orjson

from deploy.local.percentiles import percentiles
from services.intake.domain.sheet import Received
from shared.security.keks import Keks, fresh_kek_line
from shared.security.phi import Answers
from shared.security.sealing import DataKey
from shared.time.ids import fresh_id
from tests.support.canaries import PATIENT
from tests.support.clinic import Clinic
from tests.support.runs import Run
from tests.support.servers import found_servers
from tests.support.stack import StackFactory
from tests.unit.intake.house import House, enrolment

ANSWERS = {f"q{number}": 1 for number in range(1, 10)}
SHEET = {"instrument": "phq9", "answers": ANSWERS}
RAW = orjson.dumps(SHEET)
ROUNDS, IN_EACH = 30, 500


def steps() -> dict[str, Callable[[], object]]:
    """Everything that sealing adds, step by step."""
    keks = Keks.read(fresh_kek_line("bench"))
    key, wrapped = keks.new_key("p")
    token = key.seal("answers", ANSWERS)

    def a_sheet() -> object:
        one = keks.unwrap("p", wrapped)
        return one.seal("answers", ANSWERS), one.digest(RAW)

    def an_enrolment() -> object:
        one, _ = keks.new_key("p")
        told = enrolment(**{name: PATIENT[name] for name in ("email", "emergency_contact")})
        return told.contacts.sealed(one), told.digest(one)

    return {
        "seal nine answers": lambda: key.seal("answers", ANSWERS),
        "open them": lambda: key.open("answers", token),
        "digest": lambda: key.digest(RAW),
        "make and wrap a data key": lambda: keks.new_key("p"),
        "unwrap one": lambda: keks.unwrap("p", wrapped),
        "all that a sheet needs": a_sheet,
        "all that an enrolment needs (with its validation)": an_enrolment,
    }


def microseconds(step: Callable[[], object]) -> float:
    """The median over rounds of the mean of many calls."""
    means = []
    for _ in range(ROUNDS):
        started = perf_counter()
        for _ in range(IN_EACH):
            step()
        means.append((perf_counter() - started) / IN_EACH * 1e6)
    return quantiles(means, n=2)[0]


class _Unsealed:
    """While it lasts, data keys seal nothing: what requests cost without."""

    def __enter__(self) -> None:
        self._kept = DataKey.seal, DataKey.digest
        DataKey.seal = lambda self, field, value: orjson.dumps(value).decode()  # type: ignore[method-assign]
        DataKey.digest = lambda self, content: content.hex()[:64]  # type: ignore[method-assign]

    def __exit__(self, *_error: object) -> None:
        DataKey.seal, DataKey.digest = self._kept  # type: ignore[method-assign]


async def in_process(count: int) -> dict[str, list[float]]:
    """Milliseconds of enrolments and answers in one process, sealed and not, in turns."""
    house, told = House(), enrolment()
    patient = await house.enrol()
    found: dict[str, list[float]] = {}

    async def timed(name: str, work: Callable[[], Awaitable[object]]) -> None:
        started = perf_counter()
        await work()
        found.setdefault(name, []).append((perf_counter() - started) * 1000.0)

    async def both(suffix: str) -> None:
        await timed(f"enrol, {suffix}", lambda: house.enrolment.enrol("bench", None, told))
        received = Received("bench", patient, fresh_id(), RAW, Answers(SHEET))
        await timed(f"answer, {suffix}", lambda: house.handler.take(received))

    for _ in range(count):
        await both("sealed")
        with _Unsealed():
            await both("in the clear")
    return found


async def on_stacks(count: int) -> dict[str, list[float]]:
    """Milliseconds of POSTs to two real intakes, one of which seals nothing, in turns."""
    found: dict[str, list[float]] = {}

    async def timed(name: str, work: Awaitable[Any]) -> Any:
        started = perf_counter()
        told = await work
        found.setdefault(name, []).append((perf_counter() - started) * 1000.0)
        return told

    async with found_servers(await Run.open()) as servers:
        factory = StackFactory(servers, "sealing")
        broken = (sys.executable, "-m", "tests.support.intake_mutants", "seal_nothing")
        stacks = {"sealed": await factory(replicas=1), "in the clear": await factory(replicas=1, commands={"intake": broken})}
        for stack in stacks.values():
            stack.allow_errors("aiokafka")
        try:
            async with Clinic(stacks["sealed"], replicas=1) as one, Clinic(stacks["in the clear"], replicas=1) as other:
                for _ in range(count):
                    for suffix, clinic in (("sealed", one), ("in the clear", other)):
                        patient = await timed(f"POST /v1/patients, {suffix}", clinic.enrol())
                        await timed(f"POST answers, {suffix}", patient.answers_phq9(item9=0))
        finally:
            await factory.end()
    return found


def shown(found: dict[str, list[float]]) -> None:
    """Print p50, p90 and p99 of each."""
    for name, values in sorted(found.items()):
        told = percentiles(values)
        print(f"{name:34} {len(values):6} × p50 {told['p50']:8.3f}  p90 {told['p90']:8.3f}  p99 {told['p99']:8.3f} ms")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", action="store_true", help="measure real processes too")
    parser.add_argument("--count", type=int, default=500, help="requests of each kind")
    asked = parser.parse_args()
    for name, step in steps().items():
        print(f"{name:52} {microseconds(step):8.2f} µs")
    shown(asyncio.run(in_process(asked.count)))
    if asked.stack:
        shown(asyncio.run(on_stacks(asked.count)))


if __name__ == "__main__":
    main()
