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
    Flag,
    Handed,
    Lowered,
    Offered,
    Progress,
    Receipt,
)
from services.crisis.domain.replies import Meant, Reply, acknowledged_flags, codes_in, meant_by
from services.crisis.domain.roster import Person, Roster
from services.crisis.engine import Engine
from services.crisis.ports import StoredCase
from services.crisis.table import Table
from shared.contracts.levels import Level, rank
from shared.time.ids import fresh_id, page_code

PENDING_REPLIES_MAX = 1000
# A reply that resolves to nothing yet is tried again whenever facts arrive, for this long.
PENDING_REPLY_S = 600.0


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
    ) -> None:
        self._clock = clock
        self._table = table
        self._engine = engine
        self._clerk = clerk
        self._roster = roster
        self._pass_on = pass_on
        self._pending: dict[Reply, None] = {}
        engine.listeners.append(self._retry_pending)

    # Acknowledging

    def reply(self, reply: Reply, *, from_peer: bool = False) -> str | None:
        """Act on a person's answer; returns what to tell them, None when it resolves to nothing here (and is passed on)."""
        person = self._roster().people.get(reply.person)
        if person is None:
            return None
        meant = self._meant(reply)
        if meant.patient_id is not None:
            self._pending.pop(reply, None)
            return self._acknowledged(person, meant.patient_id, meant.flags, reply.via, reply.reply_id)
        if meant.unclear and not codes_in(reply.text):
            # Asked back, it is answered: acted on later, it would take a case that nobody chose.
            self._pending.pop(reply, None)
            return _which_one(meant)
        if not from_peer and reply not in self._pending:
            self._pass_on(reply)
        self._remember(reply)
        return _which_one(meant) if meant.unclear else None

    def acknowledge(self, identifier: str, person: str, role: str) -> Standing:
        """A clinician takes the case by API: all its open flags known here."""
        case = self._open(identifier)
        flags = tuple(sorted(case.flags))
        self._take(case.patient_id, flags, person, role, "api", fresh_id())
        return self._standing(case.patient_id)

    def _acknowledged(self, person: Person, patient_id: str, flags: tuple[str, ...], via: str, ack_id: str) -> str:
        self._take(patient_id, flags, person.id, person.role, via, ack_id)
        case = self._table.case(patient_id)
        codes = ", ".join(page_code(flag_id) for flag_id in flags)
        if case is None:
            return f"{codes} is closed already."
        owner = case.owner
        if owner is not None and owner != person.id:
            known = self._roster().people.get(owner)
            return f"{codes} taken by {known.name if known else owner}. Your answer is noted."
        return f"You have {codes}. Report progress or it rings again."

    def _take(self, patient_id: str, flags: tuple[str, ...], person: str, role: str, via: str, ack_id: str) -> None:
        fact = Acknowledged(ack_id, person, role, flags, via, at=self._clock.now())
        self._engine.say(patient_id, [fact])
        self._engine.touch(patient_id)

    def _meant(self, reply: Reply) -> Meant:
        if reply.flag_id is not None:
            patient_id = self._table.patient_of(reply.flag_id)
            case = self._table.case(patient_id) if patient_id is not None else None
            if case is not None and reply.flag_id in case.flags:
                return Meant(case.patient_id, acknowledged_flags(case, reply, (reply.flag_id,)))
            return Meant(patient_id, (reply.flag_id,)) if patient_id is not None else Meant()
        return meant_by(reply, self._table.cases_paged_to(reply.person))

    def _remember(self, reply: Reply) -> None:
        self._pending[reply] = None
        if len(self._pending) > PENDING_REPLIES_MAX:
            self._pending.pop(next(iter(self._pending)))

    def _retry_pending(self, patient_id: str, new: Sequence[Flag | Fact]) -> None:
        if not self._pending or not any(isinstance(item, (Handed, Flag)) for item in new):
            return
        now = self._clock.now()
        for reply in list(self._pending):
            if now - reply.at > PENDING_REPLY_S:
                del self._pending[reply]
            else:
                self.reply(reply, from_peer=True)

    # On the case

    def progress(self, identifier: str, person: str, code: str) -> Standing:
        """Somebody is on it: the lease is renewed."""
        case = self._open(identifier)
        return self._say(case, Progress(fresh_id(), person, code, tuple(sorted(case.flags)), at=self._clock.now()))

    def contacted(self, identifier: str, person: str, result: str) -> Standing:
        """A live contact with the patient was tried."""
        case = self._open(identifier)
        return self._say(case, Contacted(fresh_id(), person, result, tuple(sorted(case.flags)), at=self._clock.now()))

    def escalate(self, identifier: str, person: str) -> Standing:
        """Page the next step now."""
        case = self._open(identifier)
        steps = [t.attempt.step for tries in case.tries.values() for t in tries.values()] + [e.step for e in case.escalations]
        step = max(steps, default=0) + 1
        return self._say(case, Escalated(fresh_id(), person, step, tuple(sorted(case.flags)), at=self._clock.now()))

    def offer(self, identifier: str, person: str, to: str) -> Standing:
        """The owner offers the case to somebody else; it stays with the owner until accepted."""
        case = self._open(identifier)
        if case.owner != person:
            raise Refused("only the owner can offer the case", self._standing(case.patient_id))
        if to not in self._roster().people:
            raise Refused("the person is not on the roster", self._standing(case.patient_id))
        generation = case.owned.generation if case.owned is not None else 1
        flags = tuple(sorted(case.flags))
        return self._say(case, Offered(fresh_id(), person, to, generation, flags, at=self._clock.now()))

    async def accept(self, identifier: str, person: str) -> Standing:
        """Take an offered case over."""

        def verdict(case: Case, stored: StoredCase | None) -> list[Fact]:
            current = case.owned.generation if case.owned is not None else 1
            open_offers = [o for o in case.offers if o.to == person and o.generation == current]
            if not open_offers:
                raise Refused("there is no open offer to you", _standing_of(case))
            newest = max(open_offers, key=lambda o: (o.at, o.offer_id))
            return [Accepted(newest.offer_id, person, tuple(sorted(case.flags)), at=self._clock.now())]

        return await self._decide(identifier, verdict)

    async def lower(self, identifier: str, person: str, flags: tuple[str, ...], level: Level, second: str) -> Standing:
        """Two clinicians lower flags to a level."""

        def verdict(case: Case, stored: StoredCase | None) -> list[Fact]:
            _require_named(case, flags)
            if second == person:
                raise Refused("lowering needs a second clinician", _standing_of(case))
            if any(rank(level) >= rank(case.levels[flag_id]) for flag_id in flags if flag_id in case.levels):
                raise Refused("the level is not lower", _standing_of(case))
            return [Lowered(fresh_id(), person, second, level, tuple(sorted(flags)), at=self._clock.now())]

        return await self._decide(identifier, verdict)

    async def resolve(
        self, identifier: str, person: str, version: int | None, flags: tuple[str, ...], level: Level, second: str | None
    ) -> Standing:
        """A human closes the case, naming its flags; refused when one that is open is not named."""
        patient_id, _ = self._find(identifier)
        final: list[Standing] = []

        def verdict(case: Case, stored: StoredCase | None) -> list[Fact]:
            if version is not None and version != case.version:
                raise Refused("the case has changed since that version", _standing_of(case))
            _require_named(case, flags)
            final[:] = [Standing("closed", case.owner, case.version + 1)]
            return [Closed(fresh_id(), person, level, second, tuple(sorted(case.flags)), at=self._clock.now())]

        if self._table.case(patient_id) is None:
            raise Refused("the case is closed", self._standing(patient_id))
        await self._clerk.decide_inside(patient_id, verdict)
        self._engine.touch(patient_id)
        return final[0]

    # What providers report

    def receipt(self, flag_id: str, provider_id: str, outcome: str) -> None:
        """A provider says what became of a page."""
        patient_id = self._table.patient_of(flag_id)
        if patient_id is not None:
            self._engine.say(patient_id, [Receipt(provider_id, outcome, (flag_id,), at=self._clock.now())])
            self._engine.touch(patient_id)

    # Finding

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
        await self._clerk.decide_inside(case.patient_id, verdict)
        self._engine.touch(case.patient_id)
        return self._standing(case.patient_id)

    def _standing(self, patient_id: str, flag_id: str | None = None) -> Standing:
        case = self._table.case(patient_id)
        if case is None and flag_id is not None:
            case = self._table.closed_case(patient_id, flag_id)
        return _standing_of(case) if case is not None else Standing("closed", None, 0)


def _which_one(meant: Meant) -> str:
    return f"Which one? Reply with a code: {', '.join(meant.unclear)}"


def _standing_of(case: Case) -> Standing:
    open_flags = () if case.state == "closed" else tuple(sorted(case.flags))
    return Standing(case.state, case.owner, case.version, open_flags)


def _require_named(case: Case, flags: tuple[str, ...]) -> None:
    unnamed = set(case.flags) - set(flags)
    if unnamed:
        raise Refused("an open flag is not named", _standing_of(case))
