"""One patient's flags and facts, merged by union: commutative, associative, idempotent.

Peers, the store, the journal and the bus may tell the same things in any order, twice, or late.
"""

from collections.abc import Iterable
from dataclasses import replace

from services.crisis.domain.facts import (
    ATTEMPT_FACTS,
    Attempt,
    Closed,
    Fact,
    Failed,
    Flag,
    Handed,
    Receipt,
    Upto,
    restamped,
    shifted,
)
from shared.contracts.levels import rank

# The latest tries of each intent say who sent last, by which provider, and how often in a row.
KEPT_TRIES = 2
FOLDED_AT_ONCE = 8
# A document that holds so many facts is on its way to its bound: whatever can be folded is.
CROWDED = 80
LOOKED_BACK_S = 60.0
# A refusal for certain spaces the next try by a second (`definite_retry`): folded earlier, it would be repeated at once.
REFUSED_BACK_S = 2.0

_Intent = tuple[str, str, str, str]


class Ledger:
    """The union of one patient's flags and of the facts about them; grows only, except by folding.

    `revision` moves with every change; `derived` is room for what somebody derived from that revision.
    """

    __slots__ = ("_closed", "_uptos", "derived", "facts", "flags", "patient_id", "revision")

    def __init__(self, patient_id: str) -> None:
        self.patient_id = patient_id
        self.flags: dict[str, Flag] = {}
        self.facts: dict[Fact, Fact] = {}
        self.revision = 0
        self.derived: tuple[int, object] | None = None
        self._closed: frozenset[str] = frozenset()
        self._uptos: dict[_Intent, Upto] = {}

    def add_flag(self, flag: Flag) -> bool:
        """Take a flag in; True when it was new (an earlier stamp of a known one is kept silently)."""
        known = self.flags.get(flag.flag_id)
        if known is None:
            self.flags[flag.flag_id] = flag
            self.revision += 1
            return True
        # A flag's id is derived from its level too; should two levels ever claim one id, the graver one counts.
        graver = flag if rank(flag.level) > rank(known.level) else known
        if flag.at < known.at or graver is not known:
            self.flags[flag.flag_id] = restamped(graver, min(flag.at, known.at))
            self.revision += 1
        return False

    def add(self, fact: Fact) -> bool:
        """Take a fact in; True when it said something new."""
        known = self.facts.get(fact)
        if known is not None:
            if fact.at < known.at:
                self._put(fact)
            return False
        if isinstance(fact, Upto):
            return self._add_upto(fact)
        if self._uptos and isinstance(fact, ATTEMPT_FACTS) and self._dominated(fact.attempt):
            return False
        if self._uptos and isinstance(fact, Receipt) and self._spoken_for(fact):
            return self._absorb(fact)
        self._put(fact)
        return True

    def merge(self, other: "Ledger") -> bool:
        """Union with another ledger of the same patient; True when something was new."""
        before = self.revision
        for flag in other.flags.values():
            self.add_flag(flag)
        for fact in other.facts.values():
            self.add(fact)
        return self.revision != before

    def closed_flags(self) -> frozenset[str]:
        """Flags that a human closed."""
        return self._closed

    def open_flags(self) -> dict[str, Flag]:
        """Flags that nobody closed yet, the earliest first."""
        still = [flag for flag_id, flag in self.flags.items() if flag_id not in self._closed]
        if len(still) > 1:
            still.sort(key=lambda flag: (flag.at, flag.flag_id))
        return {flag.flag_id: flag for flag in still}

    def about(self, flag_ids: Iterable[str]) -> list[Fact]:
        """The facts that name at least one of these flags."""
        wanted = frozenset(flag_ids)
        return [fact for fact in self.facts.values() if not wanted.isdisjoint(fact.flags)]

    def last_k(self, person: str, channel: str, by: str) -> int:
        """The number of this replica's latest try at a person and channel, over all flags; 0 before the first."""
        tries = (
            fact.attempt.k
            for fact in self.facts
            if isinstance(fact, ATTEMPT_FACTS)
            and (fact.attempt.person, fact.attempt.channel, fact.attempt.by) == (person, channel, by)
        )
        folded_away = (u.k for u in self._uptos.values() if (u.person, u.channel, u.by) == (person, channel, by))
        return max(max(tries, default=0), max(folded_away, default=0))

    def shift(self, by_s: float) -> None:
        """Set the clock under every stamp forward by `by_s` seconds."""
        self.flags = {flag_id: shifted(flag, by_s) for flag_id, flag in self.flags.items()}
        self._rebuild([shifted(fact, by_s) for fact in self.facts.values()])

    def forget(self, flag_ids: Iterable[str]) -> None:
        """Drop flags (closed ones beyond their time) and the facts about them that name no other flag known here."""
        gone = frozenset(flag_ids)
        self.flags = {flag_id: flag for flag_id, flag in self.flags.items() if flag_id not in gone}
        still = self.flags.keys()
        self._rebuild([f for f in self.facts.values() if gone.isdisjoint(f.flags) or not still.isdisjoint(f.flags)])

    def _rebuild(self, facts: list[Fact]) -> None:
        self.facts = {fact: fact for fact in facts}
        self._uptos = {_intent(fact): fact for fact in facts if isinstance(fact, Upto)}
        self._closed = frozenset(flag_id for fact in facts if isinstance(fact, Closed) for flag_id in fact.flags)
        self.revision += 1

    def _put(self, fact: Fact) -> None:
        # A dictionary keeps its first key object: drop it, so that key and value carry the same stamp.
        self.facts.pop(fact, None)
        self.facts[fact] = fact
        self.revision += 1
        if isinstance(fact, Closed):
            self._closed = self._closed.union(fact.flags)
        elif isinstance(fact, Upto):
            self._uptos[_intent(fact)] = fact

    def _dominated(self, one: Attempt | Receipt) -> bool:
        """Whether folded lines speak for this try: those of all its flags."""
        for flag_id in one.flags:
            upto = self._uptos.get((flag_id, one.person, one.channel, one.by))
            if upto is None or upto.k < one.k:
                return False
        return True

    def _spoken_for(self, receipt: Receipt) -> bool:
        return receipt.k > 0 and self._dominated(receipt)

    def _absorb(self, receipt: Receipt) -> bool:
        """Let the folded lines say what a receipt of their tries said; True when that is news."""
        if receipt.outcome != "delivered":
            return False
        news = False
        for flag_id in receipt.flags:
            line = self._uptos[flag_id, receipt.person, receipt.channel, receipt.by]
            first = _least(line.delivered_first, receipt.at)
            if first != line.delivered_first:
                del self.facts[line]
                self._put(replace(line, delivered_first=first))
                news = True
        return news

    def _add_upto(self, fact: Upto) -> bool:
        known = self._uptos.get(_intent(fact))
        joined = fact if known is None else _joined(known, fact)
        if known is not None:
            if joined == known and joined.at >= known.at:
                return False
            del self.facts[known]
        self._put(joined)
        for one in list(self.facts):
            if isinstance(one, ATTEMPT_FACTS) and self._dominated(one.attempt):
                del self.facts[one]
            elif isinstance(one, Receipt) and self._spoken_for(one):
                self._absorb(self.facts.pop(one))  # type: ignore[arg-type]
        return True


def _intent(upto: Upto) -> _Intent:
    return upto.flag, upto.person, upto.channel, upto.by


def _least(a: float | None, b: float | None) -> float | None:
    return a if b is None else b if a is None else min(a, b)


def _most(a: float | None, b: float | None) -> float | None:
    return a if b is None else b if a is None else max(a, b)


def _joined(a: Upto, b: Upto) -> Upto:
    return Upto(
        a.flag,
        a.person,
        a.channel,
        a.by,
        max(a.k, b.k),
        _least(a.handed_first, b.handed_first),
        _most(a.handed_last, b.handed_last),
        _most(a.maybe_last, b.maybe_last),
        _least(a.delivered_first, b.delivered_first),
        at=min(a.at, b.at),
    )


def folded(ledger: Ledger, by: str, now: float, least: int | None = None) -> list[Upto]:
    """The lines that may replace this replica's own settled tries, where at least so many of one intent can be folded (by
    default eight, in a crowded ledger one).

    Only a settled, gap-free prefix is folded: what comes after an open try or a try not known here stays as it is, so do
    the latest two, what may have rung within the last minute and what was refused a moment ago (spacing looks back that
    far). Adding the result to any ledger is a join, not a rewrite.
    """
    if least is None:
        least = FOLDED_AT_ONCE if len(ledger.facts) < CROWDED else 1
    own: dict[tuple[str, str], dict[int, dict[Attempt, list[Fact]]]] = {}
    for fact in ledger.facts.values():
        if isinstance(fact, ATTEMPT_FACTS) and fact.attempt.by == by:
            attempt = fact.attempt
            tries = own.setdefault((attempt.person, attempt.channel), {}).setdefault(attempt.k, {})
            tries.setdefault(attempt, []).append(fact)
    lines: list[Upto] = []
    for (person, channel), numbered in own.items():
        prefix: list[int] = []
        for k in sorted(numbered)[:-KEPT_TRIES]:
            gap = prefix and k != prefix[-1] + 1
            if gap or not all(_settled(facts, now) for facts in numbered[k].values()):
                break
            prefix.append(k)
        if len(prefix) >= least:
            lines += _fold_lines(person, channel, by, [f for k in prefix for facts in numbered[k].values() for f in facts])
    return lines


def _settled(facts: list[Fact], now: float) -> bool:
    rung = [f.at for f in facts if isinstance(f, Handed) or (isinstance(f, Failed) and f.maybe)]
    if rung:
        return max(rung) < now - LOOKED_BACK_S
    refused = [fact.at for fact in facts if isinstance(fact, Failed)]
    return bool(refused) and max(refused) < now - REFUSED_BACK_S


def _fold_lines(person: str, channel: str, by: str, facts: list[Fact]) -> list[Upto]:
    lines: dict[str, Upto] = {}
    for fact in facts:
        if not isinstance(fact, ATTEMPT_FACTS):
            continue
        handed = fact.at if isinstance(fact, Handed) else None
        maybe = fact.at if isinstance(fact, Failed) and fact.maybe else None
        for flag_id in fact.attempt.flags:
            line = Upto(flag_id, person, channel, by, fact.attempt.k, handed, handed, maybe, None, at=fact.at)
            lines[flag_id] = _joined(lines[flag_id], line) if flag_id in lines else line
    return list(lines.values())
