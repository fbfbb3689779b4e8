"""Everything this replica knows, in memory: one ledger per patient, and the ways to find one."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from services.crisis.domain.case import Case, case_id_of, case_of, open_case
from services.crisis.domain.decide import Heard
from services.crisis.domain.facts import Attempt, Closed, Fact, Flag, Handed, Sending, Upto
from services.crisis.domain.ledger import Ledger
from shared.time.ids import page_code


@dataclass(slots=True)
class Entry:
    """One patient's ledger and what is only true on this replica: when it heard of flags, which intents it holds."""

    ledger: Ledger
    heard: dict[str, Heard] = field(default_factory=dict)
    held: dict[Attempt, float] = field(default_factory=dict)
    closed_at: dict[str, float] = field(default_factory=dict)


class Table:
    """The union of all flags and facts heard, bounded by what is closed and old."""

    def __init__(self, known_s: float, known_flags_max: int = 100_000) -> None:
        self._known_s = known_s
        self._known_flags_max = known_flags_max
        self.entries: dict[str, Entry] = {}
        self._patient_of_flag: dict[str, str] = {}
        self._flags_of_code: dict[str, set[str]] = {}
        self._flag_of_case: dict[str, str] = {}
        self._closed: OrderedDict[str, float] = OrderedDict()

    def entry(self, patient_id: str) -> Entry:
        """The patient's entry, made when there is none."""
        found = self.entries.get(patient_id)
        if found is None:
            found = self.entries[patient_id] = Entry(Ledger(patient_id))
        return found

    def knows(self, flag_id: str) -> bool:
        """Whether the flag was heard, open or closed."""
        return flag_id in self._patient_of_flag

    def patient_of(self, flag_id: str) -> str | None:
        """Whose flag it is."""
        return self._patient_of_flag.get(flag_id)

    def take_in(self, patient_id: str, items: Iterable[Flag | Fact], now: float, *, fresh: bool) -> list[Flag | Fact]:
        """Add flags and facts; returns those that were new."""
        entry = self.entry(patient_id)
        new: list[Flag | Fact] = []
        for item in items:
            if isinstance(item, Flag):
                if entry.ledger.add_flag(item):
                    self._index(patient_id, item)
                    entry.heard[item.flag_id] = Heard(now, fresh)
                    new.append(item)
                elif fresh and item.flag_id in entry.heard and not entry.heard[item.flag_id].fresh:
                    entry.heard[item.flag_id] = Heard(entry.heard[item.flag_id].at, True)
            elif entry.ledger.add(item):
                new.append(item)
                if isinstance(item, Closed):
                    for flag_id in item.flags:
                        entry.closed_at[flag_id] = self._closed[flag_id] = item.at
        return new

    def case(self, patient_id: str) -> Case | None:
        """The patient's open case."""
        entry = self.entries.get(patient_id)
        return None if entry is None else open_case(entry.ledger)

    def closed_case(self, patient_id: str, flag_id: str) -> Case | None:
        """The closed case that this flag belonged to."""
        entry = self.entries.get(patient_id)
        if entry is None:
            return None
        for fact in entry.ledger.facts:
            if isinstance(fact, Closed) and flag_id in fact.flags:
                flags = {f: entry.ledger.flags[f] for f in fact.flags if f in entry.ledger.flags}
                return case_of(entry.ledger, flags) if flags else None
        return None

    def find(self, identifier: str) -> tuple[str, str] | None:
        """(patient id, flag id) behind a case id, a flag id or a six-character code."""
        if identifier in self._patient_of_flag:
            return self._patient_of_flag[identifier], identifier
        flag_id = self._flag_of_case.get(identifier)
        if flag_id is None:
            flags = self.flags_with_code(identifier)
            flag_id = next(iter(flags)) if len(flags) == 1 else None
        return None if flag_id is None else (self._patient_of_flag[flag_id], flag_id)

    def flags_with_code(self, code: str) -> set[str]:
        """The flags whose pages carry this code."""
        return self._flags_of_code.get(code, set())

    def open_cases(self) -> Iterator[Case]:
        """All open cases."""
        for entry in list(self.entries.values()):
            case = open_case(entry.ledger)
            if case is not None:
                yield case

    def open_count(self) -> int:
        """How many patients have an open case."""
        return sum(1 for entry in self.entries.values() if entry.ledger.flags.keys() - entry.ledger.closed_flags())

    def cases_paged_to(self, person: str) -> Iterator[Case]:
        """Open cases of which a page was sent to this person, whether or not a provider has confirmed it."""
        for entry in list(self.entries.values()):
            if any(_sent_to(fact, person) for fact in entry.ledger.facts):
                case = open_case(entry.ledger)
                if case is not None:
                    yield case

    def shift(self, by_s: float, *, this_life: bool = True) -> None:
        """Set the clock under everything forward; without `this_life` not under when it was heard and intended here.

        (A journal tells at a start what was said on another clock; it is heard only now.)
        """
        for entry in self.entries.values():
            entry.ledger.shift(by_s)
            if this_life:
                entry.heard = {f: Heard(h.at + by_s, h.fresh) for f, h in entry.heard.items()}
                entry.held = {a: at + by_s for a, at in entry.held.items()}
            entry.closed_at = {f: at + by_s for f, at in entry.closed_at.items()}
        for flag_id in self._closed:
            self._closed[flag_id] += by_s

    def forget_old(self, now: float) -> int:
        """Drop closed flags that are older than `known` or beyond the bound; returns how many."""
        gone = 0
        while self._closed:
            flag_id, at = next(iter(self._closed.items()))
            if at > now - self._known_s and len(self._patient_of_flag) <= self._known_flags_max:
                break
            del self._closed[flag_id]
            gone += self._forget(flag_id)
        return gone

    def _forget(self, flag_id: str) -> int:
        patient_id = self._patient_of_flag.pop(flag_id, None)
        if patient_id is None:
            return 0
        entry = self.entries[patient_id]
        entry.ledger.forget((flag_id,))
        entry.heard.pop(flag_id, None)
        entry.closed_at.pop(flag_id, None)
        self._flag_of_case.pop(case_id_of(flag_id), None)
        code = page_code(flag_id)
        self._flags_of_code.get(code, set()).discard(flag_id)
        if not self._flags_of_code.get(code):
            self._flags_of_code.pop(code, None)
        if not entry.ledger.flags:
            del self.entries[patient_id]
        return 1

    def _index(self, patient_id: str, flag: Flag) -> None:
        self._patient_of_flag[flag.flag_id] = patient_id
        self._flag_of_case[case_id_of(flag.flag_id)] = flag.flag_id
        self._flags_of_code.setdefault(page_code(flag.flag_id), set()).add(flag.flag_id)


def _sent_to(fact: Fact, person: str) -> bool:
    if isinstance(fact, (Sending, Handed)):
        return fact.attempt.person == person
    return isinstance(fact, Upto) and fact.person == person
