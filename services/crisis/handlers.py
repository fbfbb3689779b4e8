"""What people do to a case. Whatever rings or stops ringing is a fact and works without the store; closing, lowering and
accepting are decisions made inside a compare-and-set, refused (503) while the store is silent.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.crisis.clerk import Clerk
from services.crisis.clock import CrisisClock
from services.crisis.domain.case import Case
from services.crisis.domain.facts import (
    Accepted,
    Acknowledged,
    Closed,
    Contacted,
    Escalated,
    Fact,
    Failed,
    Flag,
    Handed,
    Lowered,
    Offered,
    Progress,
    Receipt,
    Sending,
)
from services.crisis.domain.orders import Order, is_known
from services.crisis.domain.reference import Reference
from services.crisis.domain.replies import Meant, Reply, acknowledged_flags, meant_by
from services.crisis.domain.roster import MINUTES_COUNT, Person, Roster
from services.crisis.engine import Engine
from services.crisis.observed import REPLIES_UNRESOLVED
from services.crisis.ports import StoredCase
from services.crisis.table import Table
from shared.contracts.levels import Level, rank
from shared.time.ids import fresh_id, page_code

PENDING_REPLIES_MAX = 1000
# A reply that resolves to nothing yet is tried again whenever facts arrive, for this long.
PENDING_REPLY_S = 600.0
# What may tell what a pending reply meant: a flag, or that a page about it went out.
_TELLING = (Flag, Sending, Handed, Failed)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a case stands: what callers are told after every command, and when one is refused."""

    state: str
    owner: str | None
    version: int
    open_flags: tuple[str, ...] = ()


class Refused(Exception):
    """The case's state, version or an open flag not named stands against the command (409)."""

    def __init__(self, why: str, standing: Standing) -> None:
        super().__init__(why)
        self.why = why
        self.standing = standing


class Unknown(Exception):
    """No such case here."""


class Handlers:
    """Commands of clinicians, and what providers report."""

    def __init__(
        self,
        *,
        clock: CrisisClock,
        table: Table,
        engine: Engine,
        clerk: Clerk,
        roster: Callable[[], Roster],
        pass_on: Callable[[Reply], None],
        keep: Callable[[Reply], None] = lambda reply: None,
        second_to_reduce: bool = False,
    ) -> None:
        """`second_to_reduce`: closing below the level of a high or imminent flag needs a second clinician, as lowering does."""
        self._clock = clock
        self._table = table
        self._engine = engine
        self._clerk = clerk
        self._roster = roster
        self._pass_on = pass_on
        self._keep = keep
        self._second_to_reduce = second_to_reduce
        self._pending: dict[str, Reply] = {}
        engine.listeners.append(self._retry_pending)

    # Acknowledging

    def reply(self, reply: Reply, *, from_peer: bool = False) -> str | None:
        """Act on a person's answer; returns what to tell them, None when it resolves to nothing here (and is passed on)."""
        person = self._roster().people.get(reply.person)
        if person is None:
            return None
        if reply.reply_id not in self._pending and (answered := self._answered(reply.reply_id)):
            # Told again (a provider repeats callbacks), it covers what it covered: not what was paged in between.
            return " ".join(self._told(person, patient_id, flags) for patient_id, flags in answered)
        meant = self._meant(reply)
        if meant.taken:
            self._pending.pop(reply.reply_id, None)
            return " ".join(self._acknowledged(person, reply, patient_id, flags) for patient_id, flags in meant.taken)
        if meant.later and reply.reply_id not in self._pending:
            self._remember(reply)
            self._keep(reply)
            if not from_peer:
                self._pass_on(reply)
        elif not meant.later:
            # Asked back, it is answered: acted on later, it would take a case that nobody chose.
            self._pending.pop(reply.reply_id, None)
        return f"Which one? Reply with a code: {', '.join(meant.unclear)}" if meant.unclear else None

    def remember(self, replies: Sequence[Reply]) -> None:
        """Answers of an earlier life that meant nothing then; those that were acted on meanwhile are left alone."""
        acted_on = {ack.ack_id for case in self._table.open_cases() for ack in case.acks}
        for reply in replies:
            if reply.reply_id not in acted_on:
                self._remember(reply)
        self._try_pending()

    def acknowledge(self, identifier: str, person: str, role: str, order_id: str | None = None) -> Standing:
        """A clinician takes the case by API: all its open flags known here."""
        case = self._open(identifier)
        flags = tuple(sorted(case.flags))
        self._take(case.patient_id, flags, person, role, "api", order_id or fresh_id())
        return self._standing(case.patient_id)

    def _acknowledged(self, person: Person, reply: Reply, patient_id: str, named: tuple[str, ...]) -> str:
        case = self._table.case(patient_id)
        flags = tuple(flag_id for flag_id in named if case is not None and flag_id in case.flags)
        if flags:
            self._take(patient_id, flags, person.id, person.role, reply.via, reply.reply_id)
        return self._told(person, patient_id, flags or named)

    def _answered(self, reply_id: str) -> list[tuple[str, tuple[str, ...]]]:
        """What an answer took when it was acted on, here or at a peer: patients and their flags."""
        return [
            (case.patient_id, ack.flags) for case in self._table.open_cases() for ack in case.acks if ack.ack_id == reply_id
        ]

    def _told(self, person: Person, patient_id: str, flags: tuple[str, ...]) -> str:
        """What somebody hears who has answered for these flags."""
        case = self._table.case(patient_id)
        codes = ", ".join(page_code(flag_id) for flag_id in flags)
        if case is None or case.flags.keys().isdisjoint(flags):
            return f"{codes} is closed already."
        owner = case.owner if case is not None else None
        if owner is not None and owner != person.id:
            known = self._roster().people.get(owner)
            return f"{codes} taken by {known.name if known else owner}. Your answer is noted."
        return f"You have {codes}. Report progress or it rings again."

    def _take(self, patient_id: str, flags: tuple[str, ...], person: str, role: str, via: str, ack_id: str) -> None:
        fact = Acknowledged(ack_id, person, role, flags, via, at=self._clock.now())
        self._engine.say(patient_id, [fact])
        self._engine.touch(patient_id)

    def _meant(self, reply: Reply) -> Meant:
        if reply.flag_id is None:
            return meant_by(reply, self._table.cases_paged_to(reply.person))
        patient_id = self._table.patient_of(reply.flag_id)
        if patient_id is None:
            return Meant(later=True)
        case = self._table.case(patient_id)
        if case is None or reply.flag_id not in case.flags:
            return Meant(((patient_id, (reply.flag_id,)),))
        return Meant(((patient_id, acknowledged_flags(case, reply, (reply.flag_id,))),))

    def _remember(self, reply: Reply) -> None:
        self._pending[reply.reply_id] = reply
        if len(self._pending) > PENDING_REPLIES_MAX:
            self._pending.pop(next(iter(self._pending)))
            REPLIES_UNRESOLVED.inc()

    def _retry_pending(self, patient_id: str, new: Sequence[Flag | Fact]) -> None:
        if not self._pending:
            return
        for item in new:
            if isinstance(item, Acknowledged):
                # Somebody else understood it: its flags are fixed where it was first heard.
                self._pending.pop(item.ack_id, None)
        if any(isinstance(item, _TELLING) for item in new):
            self._try_pending()

    def _try_pending(self) -> None:
        now = self._clock.now()
        for reply in list(self._pending.values()):
            if now - reply.at > PENDING_REPLY_S:
                del self._pending[reply.reply_id]
                REPLIES_UNRESOLVED.inc()
            else:
                self.reply(reply, from_peer=True)

    # On the case

    def progress(self, identifier: str, person: str, code: str, order_id: str | None = None) -> Standing:
        """Somebody is on it: the lease is renewed."""
        case = self._open(identifier)
        told = Progress(order_id or fresh_id(), person, code, tuple(sorted(case.flags)), at=self._clock.now())
        return self._say(case, told)

    def contacted(self, identifier: str, person: str, result: str, order_id: str | None = None) -> Standing:
        """A live contact with the patient was tried."""
        case = self._open(identifier)
        told = Contacted(order_id or fresh_id(), person, result, tuple(sorted(case.flags)), at=self._clock.now())
        return self._say(case, told)

    def escalate(self, identifier: str, person: str, order_id: str | None = None) -> Standing:
        """Page the next step now."""
        case = self._open(identifier)
        steps = [t.attempt.step for tries in case.tries.values() for t in tries.values()] + [e.step for e in case.escalations]
        step = max(steps, default=0) + 1
        told = Escalated(order_id or fresh_id(), person, step, tuple(sorted(case.flags)), at=self._clock.now())
        return self._say(case, told)

    def offer(self, identifier: str, person: str, to: str, order_id: str | None = None) -> Standing:
        """The owner offers the case to somebody else; it stays with the owner until accepted."""
        case = self._open(identifier)
        if case.owner != person:
            raise Refused("only the owner can offer the case", self._standing(case.patient_id))
        if to not in self._roster().people:
            raise Refused("the person is not on the roster", self._standing(case.patient_id))
        generation = case.owned.generation if case.owned is not None else 1
        flags = tuple(sorted(case.flags))
        return self._say(case, Offered(order_id or fresh_id(), person, to, generation, flags, at=self._clock.now()))

    async def accept(self, identifier: str, person: str, order_id: str | None = None) -> Standing:
        """Take an offered case over."""

        def verdict(case: Case, stored: StoredCase | None) -> list[Fact]:
            current = case.owned.generation if case.owned is not None else 1
            open_offers = [o for o in case.offers if o.to == person and o.generation == current]
            if not open_offers:
                raise Refused("there is no open offer to you", _standing_of(case))
            newest = max(open_offers, key=lambda o: (o.at, o.offer_id))
            flags = tuple(sorted(case.flags))
            return [Accepted(newest.offer_id, person, flags, order_id or "", at=self._clock.now())]

        return await self._decide(identifier, verdict)

    async def lower(
        self,
        identifier: str,
        person: str,
        version: int | None,
        flags: tuple[str, ...],
        level: Level,
        second: str,
        order_id: str | None = None,
    ) -> Standing:
        """Two clinicians lower flags to a level; refused when one that is open is not named."""
        lowering_id = order_id or fresh_id()

        def verdict(case: Case, stored: StoredCase | None) -> list[Fact]:
            _require_version(case, version)
            _require_named(case, flags)
            if not self._is_second(second, person):
                raise Refused("lowering needs a second clinician who is on the roster", _standing_of(case))
            if any(rank(level) >= rank(case.levels[flag_id]) for flag_id in flags if flag_id in case.levels):
                raise Refused("the level is not lower", _standing_of(case))
            return [Lowered(lowering_id, person, second, level, tuple(sorted(case.flags)), at=self._clock.now())]

        return await self._decide(identifier, verdict)

    async def resolve(
        self,
        identifier: str,
        person: str,
        version: int | None,
        flags: tuple[str, ...],
        level: Level,
        second: str | None,
        order_id: str | None = None,
    ) -> Standing:
        """A human closes the case, naming its flags; refused when one that is open is not named."""
        closing_id = order_id or fresh_id()

        def verdict(case: Case, stored: StoredCase | None) -> list[Fact]:
            _require_version(case, version)
            _require_named(case, flags)
            if self._second_to_reduce and _reduces(case, level) and not self._is_second(second, person):
                raise Refused(
                    "closing below the level of a high flag needs a second clinician on the roster", _standing_of(case)
                )
            return [Closed(closing_id, person, level, second, tuple(sorted(case.flags)), at=self._clock.now())]

        return await self._decide(identifier, verdict)

    # What providers report

    def receipt(self, page: Reference, provider_id: str, outcome: str) -> None:
        """A provider says what became of a page of this replica's own."""
        patient_id = self._table.patient_of(page.flag_id)
        if patient_id is not None:
            sender = self._engine.me if page.k else ""
            flags, at = (page.flag_id,), self._clock.now()
            receipt = Receipt(provider_id, outcome, flags, page.person, page.channel, sender, page.k, at=at)
            self._engine.say(patient_id, [receipt], urgent=outcome != "delivered")
            self._engine.touch(patient_id)

    # Finding

    def _is_second(self, second: str | None, person: str) -> bool:
        return second is not None and second != person and second in self._roster().people

    def subject_of(self, identifier: str) -> str:
        """Whose case it is, whatever it is called by; raises Unknown."""
        return self._find(identifier)[0]

    def standing(self, identifier: str) -> Standing:
        """Where the case stands; raises Unknown."""
        return self._standing(*self._find(identifier))

    def repeated(self, identifier: str, order: Order) -> Standing | None:
        """Where the case stands when this order was carried out before, here or at a peer; raises Unknown, OtherBody."""
        patient_id, flag_id = self._find(identifier)
        entry = self._table.entries.get(patient_id)
        known = entry is not None and is_known(order, entry.ledger.facts)
        return self._standing(patient_id, flag_id) if known else None

    def _find(self, identifier: str) -> tuple[str, str]:
        found = self._table.find(identifier)
        if found is None:
            raise Unknown(identifier)
        return found

    def _open(self, identifier: str) -> Case:
        patient_id, flag_id = self._find(identifier)
        case = self._table.case(patient_id)
        if case is None or flag_id not in case.flags:
            raise Refused("the case is closed", self._standing(patient_id, flag_id))
        return case

    def _say(self, case: Case, fact: Fact) -> Standing:
        self._engine.say(case.patient_id, [fact])
        self._engine.touch(case.patient_id)
        return self._standing(case.patient_id)

    async def _decide(self, identifier: str, verdict: Callable[[Case, StoredCase | None], list[Fact]]) -> Standing:
        case = self._open(identifier)
        flag_id = case.first_flag.flag_id
        await self._clerk.decide_inside(case.patient_id, verdict)
        self._engine.touch(case.patient_id)
        return self._standing(case.patient_id, flag_id)

    def _standing(self, patient_id: str, flag_id: str | None = None) -> Standing:
        """Where the patient's open case stands, or the one that this flag belongs to."""
        case = self._table.case(patient_id)
        if flag_id is not None and (case is None or flag_id not in case.flags):
            case = self._table.closed_case(patient_id, flag_id)
        return _standing_of(case) if case is not None else Standing("closed", None, 0)


def _standing_of(case: Case) -> Standing:
    open_flags = () if case.state == "closed" else tuple(sorted(case.flags))
    return Standing(case.state, case.owner, case.version, open_flags)


def _reduces(case: Case, level: Level) -> bool:
    """Whether this level is below that of an open flag at which minutes count."""
    return any(one in MINUTES_COUNT and rank(level) < rank(one) for one in case.levels.values())


def _require_version(case: Case, version: int | None) -> None:
    if version is not None and version != case.version:
        raise Refused("the case has changed since that version", _standing_of(case))


def _require_named(case: Case, flags: tuple[str, ...]) -> None:
    unnamed = set(case.flags) - set(flags)
    if unnamed:
        raise Refused("an open flag is not named", _standing_of(case))
