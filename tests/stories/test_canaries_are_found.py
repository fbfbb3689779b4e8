"""The look for markers at the end of all stories finds them where a part of intake is broken so that they get there."""

import asyncio
import sys

import pytest

from deploy.local.processes import eventually
from tests.support.canaries import KINDS, Finding, look, seen
from tests.support.clinic import Clinic
from tests.support.intake_mutants import MUTANTS
from tests.support.stack import StackFactory, StackUnderTest

_TOLD_WITHIN_S = 20.0
_FOUND_IN: dict[str, set[str]] = {"seal_nothing": {"database", "topic"}, "talk": {"log", "metrics"}}


@pytest.mark.real_stack
async def test_a_patient_in_the_clear_is_found_wherever_intake_lets_one_slip(stack: StackFactory) -> None:
    assert set(_FOUND_IN) == set(MUTANTS)
    stories = []
    for mutant in MUTANTS:
        command = (sys.executable, "-m", "tests.support.intake_mutants", mutant)
        running = await stack(profile="test", replicas=1, commands={"intake": command})
        stories.append(asyncio.create_task(_is_found(running, mutant)))
    await asyncio.gather(*stories)


async def _is_found(running: StackUnderTest, mutant: str) -> None:
    async with Clinic(running, replicas=1) as clinic:
        patient = await clinic.enrol()
        answer = await patient.answers_phq9(item9=3)
        assert answer.status == 201
        await clinic.ana.is_paged(answer)
        await clinic.sees(patient, state="received")
        finding = await _as_soon_as_told(running, _FOUND_IN[mutant])
        await clinic.close_everything()
    with pytest.raises(AssertionError, match="can be read in the clear"):
        finding.expect_nothing(*KINDS)
    assert _kinds(finding) == _FOUND_IN[mutant]


async def _as_soon_as_told(running: StackUnderTest, kinds: set[str]) -> Finding:
    """What a look finds, once markers stand in all these kinds of places: events leave a little after their writes."""
    finding = await look(running)

    async def told() -> bool:
        nonlocal finding
        finding = await look(running)
        return kinds <= _kinds(finding)

    if not kinds <= _kinds(finding):
        await eventually(told, _TOLD_WITHIN_S)
    return finding


def _kinds(finding: Finding) -> set[str]:
    return {place.split(" ", 1)[0] for place in finding.places}


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ('{"name": "Zebedee Quillfeather"}', 2),
        ('{"answers":{"q1":0,"q9":3}}', 2),
        ('{"sent":"{\\"answers\\": {\\"q1\\" : 0}}"}', 1),
        ("{'q4': 2}", 1),
        (b"\x10q8\x00\x02\x00\x00\x00", 1),
        ("+1 555 730 1946", 0),
        ("tel:5557301946", 1),
        ('{"rule": "phq9.q9", "faults": [{"item": "q9"}]}', 0),
        ("s1.0a0b0c0d.q9Zq1xq2", 0),
    ],
)
def test_a_marker_is_told_from_what_may_stand_there(content: str | bytes, found: int) -> None:
    assert len(seen(content)) == found
