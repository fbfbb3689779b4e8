"""`accept`: one function for both lanes, SOS and restart: journal, then into the table, then the engine.

The raw bytes are on the journal before anybody parses them. A record that killed the process twice, and one on the bus that
nobody can read, is paged as an unreadable risk event instead of being lost.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from services.crisis.clock import CrisisClock
from services.crisis.domain.encoding import Garbled, from_record, to_record
from services.crisis.domain.facts import Durable, Fact, Flag
from services.crisis.engine import Engine
from services.crisis.ports import Journal
from services.crisis.table import Table
from shared.contracts.risk import RiskFlagged
from shared.time.clock import epoch_s
from shared.time.ids import derived_id

INPUT_MAX_BYTES = 64 * 1024
FLAGS_MAX = 100
UNREADABLE_RULE = "crisis.unreadable_risk_event"
_TICKET_BYTES = 8


class Unreadable(ValueError):
    """Input that is no risk flag; `code` is stable, the text names fields, never values."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Ticket:
    """A raw record on the journal: its name there, and the position to wait for (None: the disk refused)."""

    name: bytes
    position: int | None


@dataclass(frozen=True, slots=True)
class Taken:
    """A flag that this replica has now; `known` when it had it before."""

    flag_id: str
    known: bool


class Acceptance:
    """The way in for flags."""

    def __init__(
        self,
        *,
        journal: Journal,
        table: Table,
        engine: Engine,
        clock: CrisisClock,
        me: str,
        on_disk_trouble: Callable[[OSError], None],
    ) -> None:
        self._journal = journal
        self._table = table
        self._engine = engine
        self._clock = clock
        self._me = me
        self._on_disk_trouble = on_disk_trouble

    def write_down(self, raw: bytes) -> Ticket:
        """Put raw input on the journal before anything reads it; a refusing disk is an alarm, not a reason to lose a page."""
        name = secrets.token_bytes(_TICKET_BYTES)
        return Ticket(name, self._append("raw", name + raw))

    def finish(self, ticket: Ticket) -> None:
        """The record was read and is in the table."""
        self._append("done", ticket.name)

    def accept(self, event: RiskFlagged, at: float, *, fresh: bool) -> Taken:
        """Take a flag in, stamped `at`; strikes in the same turn of the loop when it is this replica's to strike."""
        known = self._table.knows(event.flag_id)
        self._engine.hear(event.patient_id, [flag_of(event, at)], fresh=fresh, keep=False)
        return Taken(event.flag_id, known)

    def accept_unreadable(self, source: str, programme_id: str) -> Taken:
        """Page a record that nobody can read: its flag is derived from where it came from, the same on every replica."""
        flag_id = derived_id("unreadable", source)
        known = self._table.knows(flag_id)
        patient_id = f"unreadable-{flag_id[:8]}"
        flag = Flag(flag_id, patient_id, "high", UNREADABLE_RULE, source[:64], programme_id, at=self._clock.now())
        self._engine.hear(patient_id, [flag], fresh=True, keep=True)
        return Taken(flag_id, known)

    def durable(self, flag_id: str, medium: str) -> None:
        """This replica's copy of a flag reached its disk or was read from the bus: part of t1."""
        patient_id = self._table.patient_of(flag_id)
        if patient_id is not None:
            mark = Durable(flag_id, self._me, medium, at=self._clock.now())
            self._table.take_in(patient_id, [mark], mark.at, fresh=False)

    def restore(self, frames: Sequence[Any], programme_id: str) -> int:
        """Take the journal of earlier lives in, nothing of it fresh; returns how many records were restored."""
        ended = {frame.body for frame in frames if frame.kind == "done"}
        tries = Counter(frame.body for frame in frames if frame.kind == "try")
        restored = 0
        for frame in frames:
            if frame.kind == "raw":
                name, raw = frame.body[:_TICKET_BYTES], frame.body[_TICKET_BYTES:]
                if name not in ended:
                    if tries[name] >= 1:
                        self.accept_unreadable(f"journal:{name.hex()}", programme_id)
                        continue
                    self._append("try", name)
                self._restore_raw(raw)
                if name not in ended:
                    self._append("done", name)
            elif frame.kind == "facts":
                self._restore_facts(frame.body)
            elif frame.kind == "shift":
                self._table.shift(float(frame.body))
            restored += 1
        return restored

    def _restore_raw(self, raw: bytes) -> None:
        try:
            for event, at in read_flags(raw, None):
                self._table.take_in(event.patient_id, [flag_of(event, at)], self._clock.now(), fresh=False)
        except Unreadable:
            # It was answered with an error (HTTP) or paged as unreadable (bus) in its own time.
            return

    def _restore_facts(self, body: bytes) -> None:
        try:
            kept = orjson.loads(body)
            items: list[Flag | Fact] = [from_record(record) for record in kept["items"]]
            self._table.take_in(str(kept["patient_id"]), items, self._clock.now(), fresh=False)
        except (orjson.JSONDecodeError, KeyError, TypeError, Garbled):
            return

    def _append(self, kind: str, body: bytes) -> int | None:
        try:
            return self._journal.append(kind, body)
        except OSError as error:
            self._on_disk_trouble(error)
            return None


class FactJournal:
    """Keeps what was heard and said on the journal, as the engine's port JournalFacts."""

    def __init__(self, journal: Journal, on_disk_trouble: Callable[[OSError], None]) -> None:
        self._journal = journal
        self._on_disk_trouble = on_disk_trouble

    def keep(self, patient_id: str, items: Sequence[Flag | Fact]) -> None:
        """Write flags and facts of one patient down."""
        try:
            self._journal.append("facts", orjson.dumps({"patient_id": patient_id, "items": [to_record(i) for i in items]}))
        except OSError as error:
            self._on_disk_trouble(error)


def read_flags(raw: bytes, now: float | None) -> list[tuple[RiskFlagged, float]]:
    """The flags in a body `{…}` or `{"flags": […]}` with their stamps: `now − age_ms`, or `accepted_at` without `now`.

    Raises Unreadable (`too_large`, `not_json`, `no_flags`, `too_many`, `not_a_flag`).
    """
    if len(raw) > INPUT_MAX_BYTES:
        raise Unreadable("too_large", f"send at most {INPUT_MAX_BYTES} bytes")
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Unreadable("not_json", "the body must be a JSON object") from None
    if not isinstance(body, dict):
        raise Unreadable("not_json", "the body must be a JSON object")
    listed = body.get("flags", [body])
    if not isinstance(listed, list) or not listed:
        raise Unreadable("no_flags", "`flags` must be a list of at least one flag")
    if len(listed) > FLAGS_MAX:
        raise Unreadable("too_many", f"send at most {FLAGS_MAX} flags at once")
    return [read_flag(one, now) for one in listed]


def read_flag(one: object, now: float | None) -> tuple[RiskFlagged, float]:
    """One flag with its stamp; raises Unreadable (`not_a_flag`) naming the fields at fault."""
    try:
        event = RiskFlagged.model_validate(one)
        accepted_at = epoch_s(event.accepted_at)
        age_ms = one.get("age_ms") if isinstance(one, dict) else None
        if now is None or not isinstance(age_ms, (int, float)):
            return event, accepted_at
        return event, now - max(0.0, float(age_ms)) / 1000.0
    except ValidationError as error:
        fields = sorted({".".join(str(part) for part in problem["loc"]) for problem in error.errors()})
        raise Unreadable("not_a_flag", f"these fields are missing or wrong: {', '.join(fields)}") from None
    except (ValueError, OverflowError):
        raise Unreadable("not_a_flag", "`accepted_at` must be ISO 8601 with a zone") from None


def flag_of(event: RiskFlagged, at: float) -> Flag:
    """The domain's flag of an event."""
    routing = event.routing
    return Flag(
        event.flag_id,
        event.patient_id,
        event.level,
        event.rule,
        event.source_id,
        event.programme_id,
        routing.region,
        routing.language,
        routing.track,
        routing.own_clinician_id,
        routing.minor,
        event.reporter,
        at=at,
    )
