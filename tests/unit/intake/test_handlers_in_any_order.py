"""Clients repeat, lanes die and come back, intake restarts: every sheet is stored once, every flag is heard by both lanes."""

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.intake.house import House

EXAMPLES = 25
# (key, item 9): a sheet that is corrected under its key is another flag of the same record.
SHEETS = (("k1", 3), ("k2", 2), ("k2", 3), ("k3", 0), ("k4", 9))


@settings(max_examples=EXAMPLES)
@given(st.integers(0, 2**32))
async def test_whatever_the_order_and_however_often_every_flag_is_heard_and_every_sheet_kept_once(seed: int) -> None:
    chance = random.Random(seed)
    house = House()
    patients = {(await house.enrol(f"p{number % 2}")) for number in range(4)}
    assert len(patients) == 2, "an enrolment that is repeated is the same patient"
    posts = [(patient, key, q9) for patient in sorted(patients) for key, q9 in SHEETS for _ in range(chance.choice((1, 2, 3)))]
    chance.shuffle(posts)
    flags: dict[tuple[str, str, int], set[str]] = {}
    for begin in range(0, len(posts), 3):
        # Kafka is dead, or the replicas are; never both at once, so that the caller need not come back.
        house.bus.mode = chance.choice(("ok", "dead"))
        for replica in house.replicas:
            replica.mode = "ok" if house.bus.mode == "dead" else chance.choice(("ok", "dead", "unjournaled"))
        at_once = posts[begin : begin + 3]
        words = await asyncio.gather(*(house.send(patient, q9, key) for patient, key, q9 in at_once))
        for post, word in zip(at_once, words, strict=True):
            assert word.kind in _expected(post[2])
            assert word.flagged == (post[2] > 0)
            assert word.guidance
            flags.setdefault(post, set()).update([word.flag.flag_id] if word.flag is not None else [])
        if chance.random() < 0.2:
            await house.turns()
            house.restart()
    assert all(len(ids) == (1 if q9 else 0) for (_, _, q9), ids in flags.items()), "a repetition is the same flag"
    await _both_lanes_are_back(house)
    wanted = {flag_id for ids in flags.values() for flag_id in ids}
    assert await house.pending() == []
    assert {told["flag_id"] for told in house.bus.flags} == wanted
    assert {told["flag_id"] for replica in house.replicas for told in replica.flags} == wanted
    accepted = [document for document in house.sheets.written if document["rejected"] is None]
    assert len(accepted) == len({(patient, key) for patient, key, q9 in posts if q9 != 9})


def _expected(q9: int) -> set[str]:
    """A sheet of the first body under its key is stored, then repeated; another body under it stands against it."""
    return {"invalid"} if q9 == 9 else {"stored", "repeated", "conflict"}


async def _both_lanes_are_back(house: House) -> None:
    house.everything("ok")
    for _ in range(3):
        await house.turns()
        await house.keeper.rescan_once()
        await house.turns()
        await house.keeper.clear_once()
