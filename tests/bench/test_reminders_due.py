"""The bench of reminders measures what it says: everything that is due goes out once, guidance beside it. No times."""

from shared.storage.memory import MemoryStore
from tests.bench.reminders_due import CLOCK, Plan, measured


async def test_everything_due_goes_out_once_with_guidance_beside_it() -> None:
    found = await measured(MemoryStore(CLOCK), Plan(reminders=300, cases=5, loaders=4))
    assert (found["reminders"], found["sent"]) == (300, 305)
    assert found["per_s"] > 0
    assert found["guidance_ms"]["p99"] >= found["guidance_ms"]["p50"] > 0
