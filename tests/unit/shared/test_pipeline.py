"""A record's way and its fate: whatever the handler, the bytes or the headers do, nothing is dropped in silence."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from shared.bus.dead_letter import BurialSettings, DeadLetterLost, SentDeadLetters
from shared.bus.delivery import Record, Rejected, Subscription, Unavailable
from shared.bus.middleware.retry import Retry, RetrySettings
from shared.bus.subscriptions import Pipeline
from shared.bus.wire import LaneFailed
from shared.contracts.catalogue import example_of
from shared.contracts.crisis import CaseOpened, CaseResolved
from shared.contracts.envelope import Envelope, encoded, headers_of
from shared.contracts.topics import CASES
from shared.time.clock import ManualClock, iso

OPENED = CaseOpened.model_validate(example_of(CaseOpened))
NOW_S = 1_700_000_000.0
TOLD = Envelope("e1", CaseOpened.TYPE, "vigil/crisis", iso(NOW_S - 2.0), OPENED.patient_id, "default", 7)


class PassingClock(ManualClock):
    """Whoever sleeps is told at once that the time has passed."""

    def __init__(self) -> None:
        super().__init__(NOW_S)
        self.waits: list[float] = []
        self.on_wait: Callable[[], None] = lambda: None

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.on_wait()
        self.advance(seconds)
        await asyncio.sleep(0)


class Sent:
    """A producer that keeps what it is given; refuses as often as it is told."""

    def __init__(self, refusals: int = 0) -> None:
        self.records: list[tuple[str, bytes | None, bytes | None, list[tuple[str, bytes | None]]]] = []
        self.refusals = refusals

    def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
    ) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.refusals:
            self.refusals -= 1
            future.set_exception(LaneFailed("timeout"))
        else:
            self.records.append((topic, key, value, list(headers)))
            future.set_result(None)
        return future


class Line:
    """A pipeline with its surroundings."""

    def __init__(self, work: Callable[[], Awaitable[None]] | None = None, refusals: int = 0, attempt_s: float = 5.0) -> None:
        self.clock = PassingClock()
        self.sent = Sent(refusals)
        self.heard: list[tuple[Any, Envelope]] = []
        self.tries = 0
        self._work = work
        dead_letters = SentDeadLetters(self.sent, "stage", self.clock, BurialSettings(tries_max=3, wait_s=1.0))
        subscription = Subscription(CASES, "intake", {CaseOpened: self.handle})
        self.pipeline = Pipeline(subscription, dead_letters, self.clock, RetrySettings(attempts_max=4, attempt_s=attempt_s))

    async def handle(self, event: Any, envelope: Envelope) -> None:
        self.tries += 1
        if self._work is not None:
            await self._work()
        self.heard.append((event, envelope))

    def letter(self) -> dict[str, bytes | None]:
        """The headers of the only dead letter."""
        ((topic, _key, _value, headers),) = self.sent.records
        assert topic == "stage.cases.v1.intake.dlq"
        return dict(headers)


def record(**changes: Any) -> Record:
    plain = Record(
        topic="stage.cases.v1",
        partition=2,
        offset=41,
        key=b"p1",
        headers=tuple(headers_of(TOLD)),
        value=encoded(OPENED),
        timestamp_s=NOW_S - 1.0,
    )
    return replace(plain, **changes)


def failing(*errors: Exception) -> Callable[[], Awaitable[None]]:
    """Work that fails with these errors, one after the other, then succeeds."""
    left = list(errors)

    async def work() -> None:
        if left:
            raise left.pop(0)

    return work


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"topic": "cases.v1", "group": "intake", **labels}) or 0.0


async def test_an_event_comes_to_its_handler_as_its_class_with_its_envelope() -> None:
    line = Line()
    before = counted("vigil_events_delivered_total", outcome="handled")
    await line.pipeline.deliver(record())
    assert line.heard == [(OPENED, TOLD)]
    assert line.sent.records == []
    assert counted("vigil_events_delivered_total", outcome="handled") == before + 1


async def test_its_age_is_measured_from_when_it_happened() -> None:
    line = Line()
    before = counted("vigil_event_age_seconds_sum")
    await line.pipeline.deliver(record())
    await line.pipeline.deliver(record(headers=tuple(headers_of(replace(TOLD, time="soon")))))
    assert counted("vigil_event_age_seconds_sum") - before == pytest.approx(2.0 + 1.0)


async def test_what_nobody_asked_for_is_passed_over_and_counted_even_when_its_data_cannot_be_read() -> None:
    line = Line()
    before = counted("vigil_events_delivered_total", outcome="passed_over")
    await line.pipeline.deliver(record(headers=tuple(headers_of(replace(TOLD, type=CaseResolved.TYPE))), value=b"\xff"))
    assert (line.heard, line.sent.records) == ([], [])
    assert counted("vigil_events_delivered_total", outcome="passed_over") == before + 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"value": b"{not json"}, "schema"),
        ({"value": None}, "schema"),
        ({"value": b'{"case_id": "c"}'}, "schema"),
        ({"headers": ()}, "header_missing"),
        ({"headers": (("ce_id", None), *headers_of(TOLD)[2:])}, "header_missing"),
        ({"headers": (*headers_of(TOLD), ("of_somebody", b"\xff\xfe"))}, "header_not_utf8"),
    ],
)
async def test_what_cannot_be_decoded_is_a_dead_letter_byte_for_byte(changes: dict[str, Any], code: str) -> None:
    line = Line()
    spoilt = record(**changes)
    await line.pipeline.deliver(spoilt)
    ((_, key, value, headers),) = line.sent.records
    assert line.heard == []
    assert (key, value) == (spoilt.key, spoilt.value)
    assert tuple(headers[: len(spoilt.headers)]) == spoilt.headers
    told = line.letter()
    assert told["vigil_error"] == code.encode()
    assert told["vigil_origin"] == b"stage.cases.v1/2/41"
    assert told["vigil_attempts"] == b"1"
    assert told["vigil_first_failed_at"] == told["vigil_last_failed_at"] == iso(NOW_S).encode()


async def test_a_record_without_key_and_value_is_buried_with_an_empty_value() -> None:
    line = Line()
    await line.pipeline.deliver(record(key=None, value=None))
    # A Kafka client refuses a record that has neither.
    assert line.sent.records[0][1:3] == (None, b"")


async def test_a_null_header_that_nobody_needs_is_no_reason_to_skip_a_record() -> None:
    line = Line()
    await line.pipeline.deliver(record(headers=(*headers_of(TOLD), ("of_somebody", None))))
    assert line.heard == [(OPENED, TOLD)]


async def test_what_is_rejected_is_a_dead_letter_at_once() -> None:
    line = Line(failing(Rejected("of_another_programme")))
    await line.pipeline.deliver(record())
    assert (line.tries, line.clock.waits) == (1, [])
    assert line.letter()["vigil_error"] == b"of_another_programme"


async def test_a_passing_trouble_is_tried_again_and_leaves_no_dead_letter() -> None:
    line = Line(failing(RuntimeError("x"), ConnectionError("y")))
    await line.pipeline.deliver(record())
    assert (line.tries, line.heard, line.sent.records) == (3, [(OPENED, TOLD)], [])
    assert all(0.05 <= wait <= 0.2 for wait in line.clock.waits)


async def test_a_trouble_that_stays_is_a_dead_letter_with_its_attempts_and_times() -> None:
    line = Line(failing(*[ValueError("quotes an answer")] * 9))
    await line.pipeline.deliver(record())
    told = line.letter()
    assert line.tries == 4
    assert (told["vigil_error"], told["vigil_attempts"]) == (b"defect", b"4")
    assert told["vigil_first_failed_at"] == iso(NOW_S).encode()
    assert told["vigil_last_failed_at"] == iso(line.clock.now_s()).encode()
    assert not any(b"quotes" in (value or b"") for value in told.values())


async def test_a_handler_that_hangs_is_cut_off_and_tried_again() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    line = Line(hang, attempt_s=0.01)
    await line.pipeline.deliver(record())
    assert line.tries == 4
    assert line.letter()["vigil_error"] == b"timeout"


async def test_an_outage_is_waited_out_however_long_it_takes() -> None:
    line = Line(failing(*[Unavailable("store_silent")] * 50))
    seen: list[str | None] = []
    line.clock.on_wait = lambda: seen.append(line.pipeline.waiting_for)
    await line.pipeline.deliver(record())
    assert (line.tries, line.heard, line.sent.records) == (51, [(OPENED, TOLD)], [])
    assert set(seen) == {"store_silent"}
    assert line.pipeline.waiting_for is None
    assert max(line.clock.waits) <= 5.0


async def test_an_outage_does_not_use_up_a_records_own_attempts() -> None:
    away, own = Unavailable("store_silent"), RuntimeError("x")
    line = Line(failing(away, own, away, own, away, own, away))
    await line.pipeline.deliver(record())
    assert (line.tries, line.sent.records) == (8, [])


async def test_a_stop_ends_neither_in_an_acknowledgement_nor_in_a_dead_letter() -> None:
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    line = Line(hang)
    delivering = asyncio.create_task(line.pipeline.deliver(record()))
    await begun.wait()
    assert line.pipeline.in_hand == 1
    line.clock.advance(3.0)
    assert line.pipeline.without_progress_s() == pytest.approx(3.0)
    delivering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivering
    assert (line.pipeline.in_hand, line.pipeline.without_progress_s(), line.sent.records) == (0, 0.0, [])


async def test_a_dead_letter_that_is_refused_is_tried_again() -> None:
    line = Line(failing(Rejected("x")), refusals=2)
    await line.pipeline.deliver(record())
    assert len(line.sent.records) == 1
    assert line.clock.waits == [1.0, 2.0]


async def test_a_record_whose_dead_letter_nobody_takes_is_not_done_and_not_back_at_once() -> None:
    line = Line(failing(Rejected("x")), refusals=99)
    with pytest.raises(DeadLetterLost):
        await line.pipeline.deliver(record())
    assert line.clock.waits == [1.0, 2.0, 3.0]


async def test_a_second_burial_replaces_what_the_first_one_said() -> None:
    line = Line(failing(Rejected("first"), Rejected("second")))
    await line.pipeline.deliver(record())
    again = tuple(line.sent.records.pop()[3])
    await line.pipeline.deliver(record(headers=again))
    ((_, _, _, headers),) = line.sent.records
    assert [value for name, value in headers if name == "vigil_error"] == [b"second"]
    assert [name for name, _ in headers] == [name for name, _ in again]


def test_waits_double_up_to_their_bound_and_at_most_half_of_them_is_chance() -> None:
    subscription = Subscription(CASES, "intake", {})
    settings = RetrySettings(wait_first_s=0.1, wait_max_s=1.0)
    longest = Retry(subscription, ManualClock(), settings, lambda: 1.0)
    shortest = Retry(subscription, ManualClock(), settings, lambda: 0.0)
    assert [longest.wait_s(tries) for tries in (1, 2, 3, 4, 5, 5000)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])
    assert [shortest.wait_s(tries) for tries in (1, 5)] == pytest.approx([0.05, 0.5])
