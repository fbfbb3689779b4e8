"""One patient's flags and facts, merged by union: commutative, associative, idempotent.

Peers, the store, the journal and the bus may tell the same things in any order, twice, or late.
"""

from collections.abc import Iterable

from services.crisis.domain.facts import ATTEMPT_FACTS, Closed, Fact, Failed, Flag, Handed, Upto, flags_of, shifted


class Ledger:
    """The union of one patient's flags and of the facts about them; grows only, except by folding."""

    __slots__ = ("facts", "flags", "patient_id", "revision")

    def __init__(self, patient_id: str) -> None:
        self.patient_id = patient_id
        self.flags: dict[str, Flag] = {}
        self.facts: dict[Fact, Fact] = {}
        self.revision = 0

    def add_flag(self, flag: Flag) -> bool:
        """Take a flag in; True when it was new (an earlier stamp of a known one is kept silently)."""
        known = self.flags.get(flag.flag_id)
        if known is None:
            self.flags[flag.flag_id] = flag
            self.revision += 1
            return True
        if flag.at < known.at:
            self.flags[flag.flag_id] = flag
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
        if isinstance(fact, ATTEMPT_FACTS) and self._dominated(fact):
            return False
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
        return frozenset(flag_id for fact in self.facts if isinstance(fact, Closed) for flag_id in fact.flags)

    def open_flags(self) -> dict[str, Flag]:
        """Flags that nobody closed yet."""
        closed = self.closed_flags()
        return {flag_id: flag for flag_id, flag in self.flags.items() if flag_id not in closed}

    def about(self, flag_ids: Iterable[str]) -> list[Fact]:
        """The facts that name at least one of these flags."""
        wanted = frozenset(flag_ids)
        return [fact for fact in self.facts.values() if not wanted.isdisjoint(flags_of(fact))]

    def shift(self, by_s: float) -> None:
        """Set the clock under every stamp forward by `by_s` seconds."""
        self.flags = {flag_id: shifted(flag, by_s) for flag_id, flag in self.flags.items()}
        moved = [shifted(fact, by_s) for fact in self.facts.values()]
        self.facts = {fact: fact for fact in moved}
        self.revision += 1

    def forget(self, flag_ids: Iterable[str]) -> None:
        """Drop flags and what only names them (closed ones beyond their time)."""
        gone = frozenset(flag_ids)
        self.flags = {flag_id: flag for flag_id, flag in self.flags.items() if flag_id not in gone}
        self.facts = {fact: fact for fact in self.facts.values() if not gone.issuperset(flags_of(fact))}
        self.revision += 1

    def _put(self, fact: Fact) -> None:
        # A dictionary keeps its first key object: drop it, so that key and value carry the same stamp.
        self.facts.pop(fact, None)
        self.facts[fact] = fact
        self.revision += 1

    def _uptos(self) -> dict[tuple[str, str, str, str], Upto]:
        return {(u.flag, u.person, u.channel, u.by): u for u in self.facts.values() if isinstance(u, Upto)}

    def _dominated(self, fact: Fact) -> bool:
        if not isinstance(fact, ATTEMPT_FACTS):
            return False
        attempt = fact.attempt
        uptos = self._uptos()
        if not uptos:
            return False
        for flag_id in attempt.flags:
            upto = uptos.get((flag_id, attempt.person, attempt.channel, attempt.by))
            if upto is None or upto.k < attempt.k:
                return False
        return True

    def _add_upto(self, fact: Upto) -> bool:
        known = self._uptos().get((fact.flag, fact.person, fact.channel, fact.by))
        joined = fact if known is None else _joined(known, fact)
        if known is not None:
            if joined == known and joined.at >= known.at:
                return False
            del self.facts[known]
        self._put(joined)
        for attempt_fact in [f for f in self.facts.values() if isinstance(f, ATTEMPT_FACTS)]:
            if self._dominated(attempt_fact):
                del self.facts[attempt_fact]
        return True


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
        at=min(a.at, b.at),
    )


def folded(ledger: Ledger, by: str, keep: int) -> list[Upto]:
    """The lines that may replace this replica's own settled tries, the newest `keep` of each intent left alone.

    Only a settled, gap-free prefix is folded. Adding the result to any ledger is a join, not a rewrite.
    """
    own: dict[tuple[str, str], dict[int, list[Fact]]] = {}
    for fact in ledger.facts.values():
        if isinstance(fact, ATTEMPT_FACTS) and fact.attempt.by == by:
            own.setdefault((fact.attempt.person, fact.attempt.channel), {}).setdefault(fact.attempt.k, []).append(fact)
    lines: list[Upto] = []
    for (person, channel), tries in own.items():
        settled: list[int] = []
        for k in sorted(tries)[: max(0, len(tries) - keep)]:
            if not any(isinstance(fact, (Failed, Handed)) for fact in tries[k]):
                break
            if settled and k != settled[-1] + 1:
                break
            settled.append(k)
        lines.extend(_fold_lines(person, channel, by, [fact for k in settled for fact in tries[k]]))
    return lines


def _fold_lines(person: str, channel: str, by: str, facts: list[Fact]) -> list[Upto]:
    lines: dict[str, Upto] = {}
    for fact in facts:
        if not isinstance(fact, ATTEMPT_FACTS):
            continue
        handed = fact.at if isinstance(fact, Handed) else None
        maybe = fact.at if isinstance(fact, Failed) and fact.maybe else None
        for flag_id in fact.attempt.flags:
            line = Upto(flag_id, person, channel, by, fact.attempt.k, handed, handed, maybe, at=fact.at)
            lines[flag_id] = _joined(lines[flag_id], line) if flag_id in lines else line
    return list(lines.values())
