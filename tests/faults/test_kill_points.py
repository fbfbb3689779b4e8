"""SIGKILL at each await between acceptance and hand-over, on the replica that sends and on the one that waits its turn."""

import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.crisis.domain.decide import replica_order
from tests.faults.conftest import STEP_S
from tests.support.clinic import Clinic, Patient
from tests.support.crisis_killpoints import FILE_VARIABLE
from tests.support.fault_table import FaultTable
from tests.support.faults import REPLICAS, Breakable
from tests.support.servers import Servers
from tests.support.stack import StackFactory, StackUnderTest

DIES_WITHIN_S = 5.0
# Whoever is left pages: at once, after its rank's step, or after `hedge` when the dead one had said that it was sending.
PAGED_WITHIN_S = 3.0
_EVERYWHERE = (
    "journal.append.raw:before",
    "journal.append.raw:after",
    "journal.append.done:before",
    "journal.durable:before",
    "journal.durable:after",
)
# Reached by whoever strikes.
_SENDING = (
    "peers.spread:before",
    "peers.spread:after",
    "journal.append.facts:before",
    "provider.send.sms:before",
    "provider.send.sms:after",
    "provider.send.voice:after",
    "cases.insert:before",
    "cases.insert:after",
)
# Reached by the second replica when the first one's tries have failed for certain.
_TAKING_OVER = ("cases.load:before", "cases.load:after", "provider.send.sms:before", "provider.send.sms:after")


# A stack and, per replica, the file that says where it dies.
Mortal = tuple[StackUnderTest, dict[str, Path]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def mortal_stack(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mortal]:
    """Replicas that die where a file of theirs says."""
    folder = tmp_path_factory.mktemp("killpoints")
    points = {replica: folder / replica for replica in REPLICAS}
    factory = StackFactory(servers, "kill-points")
    command = (sys.executable, "-m", "tests.support.crisis_killpoints")
    env = {replica: {FILE_VARIABLE: str(path)} for replica, path in points.items()}
    env["*"] = {"VIGIL_CRISIS_STEP_S": str(STEP_S)}
    stack = await factory(profile="test", replicas=2, env=env, commands=dict.fromkeys(REPLICAS, command))
    yield stack, points
    await factory.end()


@pytest_asyncio.fixture
async def broken(mortal_stack: Mortal) -> AsyncIterator[Breakable]:
    """The stack of mortal replicas."""
    breakable = Breakable(mortal_stack[0])
    yield breakable
    for point in mortal_stack[1].values():
        point.unlink(missing_ok=True)
    await breakable.mended()
    errors = breakable.unexplained_errors()
    assert not errors, "unexplained errors:\n" + "\n".join(errors[:20])


@pytest.mark.parametrize("point", [*_EVERYWHERE, *_SENDING])
async def test_the_replica_that_sends_dies(
    clinic: Clinic, broken: Breakable, mortal_stack: Mortal, table: FaultTable, point: str
) -> None:
    patient, sender, _ = await _ranked(clinic)
    mortal_stack[1][sender].write_text(point, encoding="utf-8")

    table.killed("the sender", point, *await _nobody_is_forgotten(clinic, broken, patient, sender))


@pytest.mark.parametrize("point", _EVERYWHERE)
async def test_the_replica_that_waits_its_turn_dies(
    clinic: Clinic, broken: Breakable, mortal_stack: Mortal, table: FaultTable, point: str
) -> None:
    patient, _, waiting = await _ranked(clinic)
    mortal_stack[1][waiting].write_text(point, encoding="utf-8")

    table.killed("the one that waits", point, *await _nobody_is_forgotten(clinic, broken, patient, waiting))


@pytest.mark.parametrize("point", _TAKING_OVER)
async def test_the_replica_that_takes_over_dies(
    clinic: Clinic, broken: Breakable, mortal_stack: Mortal, table: FaultTable, point: str
) -> None:
    patient, sender, taker = await _ranked(clinic)
    # The first replica's text and call are both refused; then the provider works.
    await clinic.phone.break_down("500", sender=broken.running.url(sender), times=2)
    mortal_stack[1][taker].write_text(point, encoding="utf-8")

    table.killed("the one that takes over", point, *await _nobody_is_forgotten(clinic, broken, patient, taker))


async def test_a_record_whose_reading_kills_is_paged_as_unreadable_and_kills_no_third_time(
    clinic: Clinic, broken: Breakable, mortal_stack: Mortal
) -> None:
    deadly, other = await clinic.enrol(), await clinic.enrol()
    for point in mortal_stack[1].values():
        point.write_text(f"reading:{deadly.patient_id}", encoding="utf-8")

    async def both_dead() -> bool:
        return not any(broken.running.process(replica).alive() for replica in REPLICAS)

    answer = await deadly.answers_phq9(item9=3)
    assert (answer.status, answer.flagged) == (201, True)
    await clinic.eventually(both_dead, DIES_WITHIN_S, "both replicas die of reading it")
    await broken.kill(*REPLICAS)
    for replica in REPLICAS:
        await broken.running.restart(replica, wait=False)
    await clinic.eventually(both_dead, DIES_WITHIN_S, "both replicas die of reading it in their journals")

    # In the third life it is not read: neither from the journal, nor from the bus, nor when intake sends it again.
    await broken.back(*REPLICAS)
    page = await clinic.ana.phone.expect_page(PAGED_WITHIN_S, channel="sms", level="high")
    fine = await other.answers_phq9(item9=3)
    for channel in ("sms", "voice"):
        await clinic.ana.is_paged(fine, channel)

    assert page.code != answer.code
    both = [(page.code, "crisis.unreadable_risk_event"), (fine.code, "phq9.q9")]
    for number in clinic.replicas:
        told = await clinic.open_flags(2, number)
        assert [(flag["code"], flag["rule"]) for flag in told] == both
    assert all(broken.running.process(replica).alive() for replica in REPLICAS)


async def _ranked(clinic: Clinic) -> tuple[Patient, str, str]:
    """A patient, the replica that strikes for them first, and the other one."""
    patient = await clinic.enrol()
    first, second = replica_order(patient.patient_id, REPLICAS)
    return patient, first, second


async def _nobody_is_forgotten(clinic: Clinic, broken: Breakable, patient: Patient, victim: str) -> tuple[float, int]:
    """How long the slower of both pages took, milliseconds, and how many came twice."""
    answer = await patient.answers_phq9(item9=3)

    async def dead() -> bool:
        return not broken.running.process(victim).alive()

    await clinic.eventually(dead, DIES_WITHIN_S, f"{victim} dies where it was told to")
    firsts = [await clinic.ana.is_paged(answer, channel, PAGED_WITHIN_S) for channel in ("sms", "voice")]
    await broken.back(victim)

    cases = await clinic.both_see(patient, code=answer.code, state="received")
    assert all([flag["flag_id"] for flag in case["flags"]] == [answer.flag_id] for case in cases)
    await clinic.both_are_quiet(patient, for_s=STEP_S / 2)
    pages = await clinic.phone.pages()
    assert {(page.to, page.code) for page in pages} == {(clinic.ana.number, answer.code)}
    assert max(Counter(page.channel for page in pages).values()) <= len(REPLICAS)
    return max(clinic.since_ms(answer, page) for page in firsts), len(pages) - len(firsts)
