"""A restart knows what the life before knew, repeats nothing, and is not killed a third time by the same record."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
import pytest_asyncio

from services.crisis.accept import UNREADABLE_RULE, Ticket
from services.crisis.domain.encoding import reply_record, to_record
from services.crisis.domain.facts import Acknowledged, Closed, Flag, Handed
from services.crisis.domain.replies import Reply
from services.crisis.gateways.journal import DiskJournal, Frame, segments_in
from services.crisis.restore import Restore, SegmentExpiry, expire, flags_in, kept_skew
from shared.contracts.risk import RiskFlagged
from tests.unit.crisis.lane import ANA, Lane, as_body


@pytest_asyncio.fixture
async def lane() -> AsyncIterator[Lane]:
    one = Lane()
    yield one
    await one.end()


def frames_of(lane: Lane) -> list[Frame]:
    return [Frame(kind, body) for kind, body in lane.journal.frames]


def restored(lane: Lane, frames: list[Frame]) -> Restore:
    restore = Restore(lane.acceptance, lane.table, lane.clock.now, "default")
    restore.take_in(frames)
    return restore


async def next_life(lane: Lane) -> Lane:
    """Another process over the same disk."""
    after = Lane(journal=lane.journal)
    restored(after, frames_of(lane))
    return after


async def post(lane: Lane, *events: RiskFlagged, age_ms: float | None = 0.0) -> Ticket:
    return lane.acceptance.write_down(orjson.dumps(as_body(*events, age_ms=age_ms)))


async def test_a_flag_that_was_never_finished_is_read_again(lane: Lane) -> None:
    event = lane.flag()
    ticket = await post(lane, event)
    after = await next_life(lane)
    assert after.table.knows(event.flag_id)
    assert lane.journal.frames[1:] == [("try", ticket.name), ("done", ticket.name)]


async def test_what_was_restored_is_not_fresh(lane: Lane) -> None:
    await post(lane, lane.flag())
    after = await next_life(lane)
    after.engine.reconsider_all()
    await after.settled()
    assert not after.phone.pages
    await after.end()


async def test_a_record_that_killed_two_lives_is_paged_as_unreadable(lane: Lane) -> None:
    ticket = await post(lane, lane.flag())
    # The second life began to read it, and ended there.
    lane.journal.append("try", ticket.name)
    third = await next_life(lane)
    assert not third.table.knows(lane.flag().flag_id)
    await third.store_answers()
    await third.until(lambda: len(third.phone.pages) == 1)
    (case,) = third.table.open_cases()
    assert case.first_flag.rule == UNREADABLE_RULE
    await third.end()


async def test_an_unreadable_record_is_paged_by_one_life_only(lane: Lane) -> None:
    ticket = await post(lane, lane.flag())
    lane.journal.append("try", ticket.name)
    third = await next_life(lane)
    await third.store_answers()
    await third.until(lambda: len(third.phone.pages) == 1)
    await third.end()
    fourth = await next_life(third)
    fourth.engine.reconsider_all()
    await fourth.settled()
    assert not fourth.phone.pages
    (case,) = fourth.table.open_cases()
    assert case.first_flag.rule == UNREADABLE_RULE
    await fourth.end()


async def test_a_page_that_was_handed_over_is_known_after_a_restart(lane: Lane) -> None:
    await lane.flagged(lane.flag())
    after = await next_life(lane)
    (case,) = after.table.open_cases()
    assert [type(fact) for fact in case.facts if isinstance(fact, Handed)] == [Handed]


async def test_stamps_are_those_of_the_life_that_heard_them(lane: Lane) -> None:
    """By the age in the body and the clock of that moment: the date in it may be of any clock."""
    before = lane.clock.now()
    event = lane.flag(age_s=-86_400.0)
    await post(lane, event, age_ms=2_000.0)
    after = await next_life(lane)
    flag = after.table.entries["patient-1"].ledger.flags[event.flag_id]
    assert before - 2.0 <= flag.at <= lane.clock.now() - 2.0


async def test_a_shift_counts_for_what_was_heard_before_it(lane: Lane) -> None:
    await post(lane, lane.flag("first"))
    lane.journal.append("shift", b"3600.0 3600.0")
    await post(lane, lane.flag("second", "patient-2"))
    after = await next_life(lane)
    first = after.table.entries["patient-1"].ledger.flags[lane.flag("first").flag_id]
    second = after.table.entries["patient-2"].ledger.flags[lane.flag("second").flag_id]
    assert 3590 < first.at - second.at < 3610


@pytest.mark.parametrize(
    ("frames", "skew"),
    [
        ([], 1.5),
        ([Frame("shift", b"3.0 -7.25"), Frame("raw", b"")], -7.25),
        ([Frame("shift", b"3.0 -7.25"), Frame("shift", b"1.0 -6.25")], -6.25),
        ([Frame("shift", b"3.0")], 1.5),
    ],
)
def test_the_clock_goes_on_where_the_stamps_were_counted(frames: list[Frame], skew: float) -> None:
    assert kept_skew(frames, 1.5) == skew


async def test_garbled_frames_hide_no_others(lane: Lane) -> None:
    event = lane.flag()
    for kind in ("raw", "facts", "shift", "reply"):
        for body in (b"", b"\xff", b"{}", b"[]", b'{"patient_id": "p", "items": [{"kind": "hologram"}]}'):
            lane.journal.append(kind, body)
    await post(lane, event)
    after = await next_life(lane)
    assert after.table.knows(event.flag_id)


async def test_an_answer_that_meant_nothing_yet_is_acted_on_by_the_next_life(lane: Lane) -> None:
    assert await lane.reply(ANA, "1") is None
    frames = frames_of(lane)
    assert [frame.kind for frame in frames] == ["reply"]
    after = Lane()
    after.handlers.remember(restored(after, frames).replies)
    event = after.flag()
    at = lane.clock.now() - 30
    known = [*facts_of_a_page(event.flag_id, at)]
    after.engine.hear("patient-1", known)
    await after.settled()
    (case,) = after.table.open_cases()
    assert [ack.person for ack in case.acks] == [ANA]
    await after.end()


async def test_an_answer_that_was_acted_on_is_not_acted_on_again(lane: Lane) -> None:
    await lane.reply(ANA, "1", reply_id="SM-1")
    await lane.flagged(lane.flag())
    flag_id = lane.flag().flag_id
    ack = Acknowledged("SM-1", ANA, "clinician", (flag_id,), "sms", at=lane.clock.now())
    lane.engine.hear("patient-1", [ack])
    after = Lane(journal=lane.journal)
    after.handlers.remember(restored(after, frames_of(lane)).replies)
    (case,) = after.table.open_cases()
    assert len(case.acks) == 1
    await after.end()


def facts_of_a_page(flag_id: str, at: float) -> list[Flag | Handed]:
    from services.crisis.domain.facts import Attempt

    attempt = Attempt((flag_id,), ANA, "sms", 0, 0, 0, "crisis-1", 1)
    return [Flag(flag_id, "patient-1", "high", "phq9.q9", at=at), Handed(attempt, "twilio", "SM9", at=at)]


# What may go


def record(*items: Flag | Closed) -> bytes:
    return orjson.dumps({"patient_id": "patient-1", "items": [to_record(item) for item in items]})


async def test_a_segment_goes_when_its_flags_are_closed_or_recorded(lane: Lane, tmp_path: Path) -> None:
    event = lane.flag()
    lane.acceptance.accept(event, lane.clock.now(), fresh=False)
    journal = DiskJournal(tmp_path)
    journal.append("raw", lane.journal.frames[0][1] if lane.journal.frames else b"")
    journal.append("facts", record(lane.table.entries["patient-1"].ledger.flags[event.flag_id]))
    journal.close()
    later = DiskJournal(tmp_path)
    (old, current) = segments_in(tmp_path)
    os.utime(old, (1_000, 1_000))
    recorded: set[str] = set()
    expiry = SegmentExpiry(lane.table, recorded.__contains__)
    assert flags_in(old) == {event.flag_id}
    assert await expire(later, expiry, 500.0) == 0
    assert await expire(later, expiry, 2_000.0) == 0
    recorded.add("patient-1")
    assert await expire(later, expiry, 2_000.0) == 1
    assert segments_in(tmp_path) == [current]
    later.close()


async def test_closed_and_forgotten_flags_keep_no_segment(lane: Lane, tmp_path: Path) -> None:
    event = lane.flag()
    lane.acceptance.accept(event, lane.clock.now(), fresh=False)
    closed = Closed("closing-1", ANA, "low", None, (event.flag_id,), at=lane.clock.now())
    unknown = lane.flag("forgotten")
    expiry = SegmentExpiry(lane.table, lambda patient_id: False)
    expiry.learn(tmp_path, frozenset({event.flag_id, unknown.flag_id}))
    assert expiry.dispensable([tmp_path]) == []
    lane.engine.hear("patient-1", [closed])
    assert expiry.dispensable([tmp_path]) == [tmp_path]


async def test_no_segment_goes_before_an_older_one(lane: Lane, tmp_path: Path) -> None:
    event = lane.flag()
    lane.acceptance.accept(event, lane.clock.now(), fresh=False)
    first, second, third = (tmp_path / f"{number:08d}.journal" for number in (1, 2, 3))
    expiry = SegmentExpiry(lane.table, lambda patient_id: False)
    expiry.learn(first, frozenset())
    expiry.learn(second, frozenset({event.flag_id}))
    expiry.learn(third, frozenset())
    assert expiry.dispensable([first, second, third]) == [first]


async def test_a_reply_on_the_disk_is_the_reply(lane: Lane) -> None:
    reply = Reply("SM-1", ANA, "1", None, "sms", 5.0)
    restore = restored(lane, [Frame("reply", orjson.dumps(reply_record(reply)))])
    assert restore.replies == [reply]
    assert restore.replies[0].at == 5.0
