"""`accept`: one function for both lanes, SOS and restart: journal, then into the table, then the engine.

The raw bytes are on the journal before anybody parses them. A record that killed the process twice, and one on the bus that
nobody can read, is paged as an unreadable risk event instead of being lost.
"""

import asyncio
import re
import secrets
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson
import structlog
from pydantic import ValidationError

from services.crisis.clock import CrisisClock
from services.crisis.domain.encoding import reply_record, to_record
from services.crisis.domain.facts import Durable, Fact, Flag
from services.crisis.domain.replies import Reply
from services.crisis.engine import Engine
from services.crisis.ports import Journal
from services.crisis.table import Table
from shared.contracts.risk import RiskFlagged
from shared.time.clock import epoch_s
from shared.time.ids import derived_id

INPUT_MAX_BYTES = 64 * 1024
FLAGS_MAX = 100
ITEMS_PER_RECORD = 500
UNREADABLE_RULE = "crisis.unreadable_risk_event"
# Before the raw bytes: the record's name, the crisis time it was heard at, and whether its own `accepted_at` may be believed.
_RAW_HEADER = struct.Struct(">8sd?")
_FLAG_ID = re.compile(rb'"flag_id"\s*:\s*"([0-9A-Za-z-]{36})"')
log = structlog.get_logger("crisis.accept")


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
        self._deadly: set[str] = set()

    def write_down(self, raw: bytes, *, dated: bool = True) -> Ticket:
        """Put raw input on the journal before anything reads it; a refusing disk is an alarm, not a reason to lose a page.

        `dated`: its `accepted_at` can be compared with this replica's clock (it can't before the store has set that clock).
        """
        name = secrets.token_bytes(8)
        return Ticket(name, self.note("raw", _RAW_HEADER.pack(name, self._clock.now(), dated) + raw))

    def finish(self, ticket: Ticket) -> None:
        """The record was read and is in the table."""
        self.note("done", ticket.name)

    def accept_all(self, flags: Sequence[tuple[RiskFlagged, float]], *, fresh: bool) -> list[Taken]:
        """Take flags in, each on its own: a defect that one of them meets is raised after the others are in."""
        taken: list[Taken] = []
        defect: Exception | None = None
        for event, at in flags:
            try:
                taken.append(self.accept(event, at, fresh=fresh))
            except Exception as error:
                log.critical("flag_not_accepted", exc_info=error)
                defect = error
        if defect is not None:
            raise defect
        return taken

    def accept(self, event: RiskFlagged, at: float, *, fresh: bool) -> Taken:
        """Take a flag in, stamped `at`; strikes in the same turn of the loop when it is this replica's to strike."""
        known = self._table.knows(event.flag_id)
        self._engine.hear(event.patient_id, [flag_of(event, at)], fresh=fresh, keep=False)
        return Taken(event.flag_id, known)

    def accept_unreadable(self, source: str, programme_id: str, at: float, *, fresh: bool) -> Taken:
        """Page a record that nobody can read: its flag is derived from where it came from, the same on every replica.

        A source that is known already is left alone: a restart pages nobody twice.
        """
        flag_id = derived_id("unreadable", source)
        known = self._table.knows(flag_id)
        if not known:
            patient_id = f"unreadable-{flag_id}"
            flag = Flag(flag_id, patient_id, "high", UNREADABLE_RULE, source[-64:], programme_id, at=at)
            self._engine.hear(patient_id, [flag], fresh=fresh, keep=True)
        return Taken(flag_id, known)

    def give_up(self, record: "Raw", programme_id: str) -> None:
        """Page a record whose reading ended two processes. When it is about one flag, no copy of that flag is read again."""
        ids = flag_ids_in(record.raw)
        self._deadly.update(ids if len(ids) == 1 else ())
        source = deadly_source(ids[0]) if len(ids) == 1 else f"journal:{record.name.hex()}"
        self.accept_unreadable(source, programme_id, self._clock.now(), fresh=False)

    def deadly_in(self, raw: bytes) -> str | None:
        """A flag in raw bytes whose reading has ended processes: they must not be read."""
        return next((one for one in flag_ids_in(raw) if one in self._deadly), None) if self._deadly else None

    def durable(self, flag_id: str, medium: str) -> None:
        """This replica's copy of a flag reached its disk or was read from the bus: part of t1."""
        patient_id = self._table.patient_of(flag_id)
        if patient_id is not None:
            mark = Durable(flag_id, self._me, medium, at=self._clock.now())
            self._table.take_in(patient_id, [mark], mark.at, fresh=False)

    async def on_disk(self, ticket: Ticket, flag_ids: Sequence[str], within_s: float) -> bool:
        """Whether the record is on the disk within so many seconds; never an error. Noted also when it comes later."""
        if ticket.position is None:
            return False
        waiter = asyncio.ensure_future(self._journal.durable(ticket.position))
        done, _ = await asyncio.wait((waiter,), timeout=within_s)
        if not done:
            waiter.add_done_callback(lambda late: self._marked(late, flag_ids))
            return False
        return self._marked(waiter, flag_ids)

    def _marked(self, waiter: "asyncio.Future[None]", flag_ids: Sequence[str]) -> bool:
        """Note the moment a copy reached the disk, also when nobody waits for it any more; False when it did not."""
        if waiter.cancelled() or waiter.exception() is not None:
            return False
        for flag_id in flag_ids:
            self.durable(flag_id, "journal")
        return True

    def note(self, kind: str, body: bytes) -> int | None:
        """Put something on the journal; its position, None when the disk refused."""
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
        for begin in range(0, len(items), ITEMS_PER_RECORD):
            part = [to_record(item) for item in items[begin : begin + ITEMS_PER_RECORD]]
            self._append("facts", orjson.dumps({"patient_id": patient_id, "items": part}))

    def keep_reply(self, reply: Reply) -> None:
        """Write an answer down that means nothing here yet."""
        self._append("reply", orjson.dumps(reply_record(reply)))

    def keep_shift(self, by_s: float, skew_s: float) -> None:
        """Write down that the store has set the clock: by how much, and how far it is ahead of this machine's since then."""
        self._append("shift", f"{by_s!r} {skew_s!r}".encode())

    def _append(self, kind: str, body: bytes) -> None:
        try:
            self._journal.append(kind, body)
        except OSError as error:
            self._on_disk_trouble(error)


@dataclass(frozen=True, slots=True)
class Raw:
    """A raw record read back: its name, when it was heard (crisis clock, seconds), whether its own date counts, its bytes."""

    name: bytes
    heard_at: float
    dated: bool
    raw: bytes


def raw_of(frame: bytes) -> Raw:
    """What `write_down` wrote; raises struct.error."""
    name, heard_at, dated = _RAW_HEADER.unpack_from(frame)
    return Raw(name, heard_at, dated, frame[_RAW_HEADER.size :])


def flag_ids_in(raw: bytes) -> tuple[str, ...]:
    """The flag ids that stand in raw bytes, found without reading what they say."""
    return tuple(dict.fromkeys(found.decode() for found in _FLAG_ID.findall(raw)))


def deadly_source(flag_id: str) -> str:
    """Where an unreadable event comes from that stands for this flag: the same on every replica and by every lane."""
    return f"flag:{flag_id}"


def read_flags(raw: bytes, now: float, *, dated: bool = True) -> list[tuple[RiskFlagged, float]]:
    """The flags in a body `{…}` or `{"flags": […]}` with their stamps, never later than `now` (crisis clock, seconds).

    The stamp is `now − age_ms`; without an age it is `accepted_at`, or `now` where that date cannot be compared with `now`.
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
    return [read_flag(one, now, dated=dated) for one in listed]


def read_flag(one: object, now: float, *, dated: bool = True) -> tuple[RiskFlagged, float]:
    """One flag with its stamp; raises Unreadable (`not_a_flag`) naming the fields at fault."""
    try:
        event = RiskFlagged.model_validate(one)
        accepted_at = epoch_s(event.accepted_at)
    except ValidationError as error:
        fields = sorted({".".join(str(part) for part in problem["loc"]) for problem in error.errors()})
        raise Unreadable("not_a_flag", f"these fields are missing or wrong: {', '.join(fields)}") from None
    except (ValueError, OverflowError):
        raise Unreadable("not_a_flag", "`accepted_at` must be ISO 8601 with a zone") from None
    age_ms = one.get("age_ms") if isinstance(one, dict) else None
    dated_at = accepted_at if dated else now
    at = now - max(0.0, float(age_ms)) / 1000.0 if isinstance(age_ms, (int, float)) else dated_at
    # A flag from the future would wait for its moment, one from before the calendar could not be told.
    return event, max(0.0, min(now, at))


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
