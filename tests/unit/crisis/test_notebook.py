"""What clinicians write is kept in the store, and nowhere before the decision it belongs to."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from services.crisis.clock import CrisisClock
from services.crisis.handlers import Refused, Standing, Unknown
from services.crisis.memory import MemoryCases
from services.crisis.notebook import Notebook, NoteSeal
from services.crisis.ports import StoreSilent
from shared.security.keyring import Keyring
from shared.security.sealing import is_sealed
from shared.time.clock import ManualClock
from tests.unit.crisis.lane import Keys, note_seal

FLAG = "0b1f7f9e-51f3-5d70-8f0a-4a5f6d1f2a01"
CLOSED = Standing("closed", "ana", 3)


class SilentNotes(MemoryCases):
    """A store that does not answer until it is told to."""

    silent = True

    async def keep_note(self, note: dict[str, object]) -> None:
        if self.silent:
            raise StoreSilent("slow")
        await super().keep_note(note)


def notebook_over(notes: MemoryCases, seal: NoteSeal | None = None) -> tuple[Notebook, ManualClock]:
    clock = ManualClock()
    flags_of: Callable[[str], tuple[str, ...]] = lambda identifier: (FLAG,) if identifier == "K3QXZ7" else ()  # noqa: E731
    return Notebook(notes, CrisisClock(clock), flags_of, lambda flag_id: "patient-1", seal or note_seal()), clock


async def test_a_closing_keeps_its_plan_and_reason() -> None:
    notes = MemoryCases(lambda: 0.0)
    notebook, _ = notebook_over(notes)

    async def resolve() -> Standing:
        return CLOSED

    assert await notebook.deciding("K3QXZ7", "closed", "ana", {"plan": "call at 18:00", "why": "safe"}, resolve) == CLOSED
    (note,) = await notebook.of("K3QXZ7")
    assert (note["flag_id"], note["kind"], note["person"]) == (FLAG, "closed", "ana")
    assert note["texts"] == {"plan": "call at 18:00", "why": "safe"}


async def test_a_refused_decision_takes_its_note_back() -> None:
    notebook, _ = notebook_over(MemoryCases(lambda: 0.0))

    async def resolve() -> Standing:
        raise Refused("an open flag is not named", CLOSED)

    with pytest.raises(Refused):
        await notebook.deciding("K3QXZ7", "closed", "ana", {"why": "safe"}, resolve)
    assert await notebook.of("K3QXZ7") == []


async def test_nothing_is_decided_while_the_note_cannot_be_kept() -> None:
    notebook, _ = notebook_over(SilentNotes(lambda: 0.0))
    decided = []

    async def resolve() -> Standing:
        decided.append(True)
        return CLOSED

    with pytest.raises(StoreSilent):
        await notebook.deciding("K3QXZ7", "closed", "ana", {"why": "safe"}, resolve)
    assert decided == []


async def test_a_note_to_what_works_without_the_store_waits_for_it() -> None:
    notes = SilentNotes(lambda: 0.0)
    notebook, clock = notebook_over(notes)
    notebook.later("K3QXZ7", "escalated", "ana", {"why": "no answer at home"})
    await asyncio.sleep(0)
    notes.silent = False
    clock.advance(1.0)
    for _ in range(3):
        await asyncio.sleep(0)
    assert [note["texts"] for note in await notebook.of("K3QXZ7")] == [{"why": "no answer at home"}]


async def written(seal: NoteSeal) -> tuple[MemoryCases, Notebook, dict[str, Any]]:
    """A note and how it stands in the store."""
    notes = MemoryCases(lambda: 0.0)
    notebook, _ = notebook_over(notes, seal)

    async def resolve() -> Standing:
        return CLOSED

    await notebook.deciding("K3QXZ7", "closed", "ana", {"plan": "call at 18:00"}, resolve)
    (kept,) = await notes.notes_of([FLAG])
    return notes, notebook, kept


async def test_what_is_written_is_sealed_with_the_patients_key_and_goes_with_it() -> None:
    keys, keyring = Keys(), Keyring()
    keyring.hear("patient-1", keys.current().new_key("patient-1")[1])
    _, notebook, kept = await written(NoteSeal(keys, keyring))
    assert is_sealed(kept["texts"])
    assert "key" not in kept
    assert [note["texts"] for note in await notebook.of("K3QXZ7")] == [{"plan": "call at 18:00"}]
    keyring.hear("patient-1", None)
    assert [note["texts"] for note in await notebook.of("K3QXZ7")] == [{}]


async def test_a_note_on_a_patient_whose_key_was_not_heard_of_has_a_key_of_its_own() -> None:
    _, notebook, kept = await written(note_seal())
    assert is_sealed(kept["texts"])
    assert "18:00" not in str(kept)
    (told,) = await notebook.of("K3QXZ7")
    assert told["texts"] == {"plan": "call at 18:00"}
    assert "key" not in told


async def test_without_a_key_nothing_is_written_in_the_clear() -> None:
    decided: list[bool] = []

    async def resolve() -> Standing:
        decided.append(True)
        return CLOSED

    notes = MemoryCases(lambda: 0.0)
    notebook, _ = notebook_over(notes, NoteSeal(Keys(None), Keyring()))
    with pytest.raises(StoreSilent):
        await notebook.deciding("K3QXZ7", "closed", "ana", {"why": "safe"}, resolve)
    assert (decided, await notes.notes_of([FLAG])) == ([], [])


async def test_a_case_that_nobody_knows_has_no_notes() -> None:
    notebook, _ = notebook_over(MemoryCases(lambda: 0.0))
    with pytest.raises(Unknown):
        await notebook.of("AAAAAA")
