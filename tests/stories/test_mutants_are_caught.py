"""A crisis with one part broken on purpose fails the story that is about that part."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

import pytest

from tests.stories.test_a_page_arrives import test_a_high_answer_rings_the_first_person_by_text_and_by_voice as page_arrives
from tests.stories.test_flags_that_join import test_a_second_equal_flag_pages_the_owner_and_nobody_else as flag_joins
from tests.stories.test_somebody_must_answer import test_nobody_answers_for_three_rounds_and_it_is_still_ringing as rings_on
from tests.support.clinic import Clinic
from tests.support.crisis_mutants import MUTANTS
from tests.support.stack import StackFactory, StackUnderTest

# The story that takes longest comes first: the others are told while its phones are silent.
_CAUGHT_BY: dict[str, tuple[Callable[[Clinic], Awaitable[None]], str]] = {
    "end_the_policy": (rings_on, "the phones ring in the third round"),
    "skip_the_strike": (page_arrives, "got no page sms"),
    "swallow_the_join": (flag_joins, "got no page sms"),
}


@pytest.mark.real_stack
async def test_a_broken_part_is_caught_by_its_story(stack: StackFactory) -> None:
    assert set(_CAUGHT_BY) == set(MUTANTS)
    stories = []
    for mutant in _CAUGHT_BY:
        command = (sys.executable, "-m", "tests.support.crisis_mutants", mutant)
        running = await stack(profile="test", replicas=1, commands={"crisis-0": command})
        stories.append(asyncio.create_task(_is_caught(running, mutant)))
    await asyncio.gather(*stories)


async def _is_caught(running: StackUnderTest, mutant: str) -> None:
    story, complaint = _CAUGHT_BY[mutant]
    async with Clinic(running, replicas=1) as clinic:
        with pytest.raises(AssertionError, match=complaint):
            await story(clinic)
