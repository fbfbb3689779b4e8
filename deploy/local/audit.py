"""The verdict over everything that was ever flagged: who was paged, who is still waiting, who was lost.

Pure, and on purpose none of crisis' own reasoning: it counts what intake's answers, the risk topic, the store's cases and the
replicas' journals say, and judges by the contract's sentence alone. A flag is lost when it has neither an accepted page nor
a due younger than its t2 budget. Its due is the store's, else the next try that its last one promises, else the
moment it was accepted. A flag that a human has acknowledged or closed is in hand: it needs no page any more.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

# A try that failed is repeated after at most so long (`retry` of the crisis lane): within it, somebody is working on the flag.
RETRY_MAX_S = 30.0
# Journals and bookmarks reach so far back (`known`): older flags can't be asked which lanes they came by.
LANES_KNOWN_S = 86_400.0
_TRIES = ("intended", "sending", "failed", "handed")


@dataclass(slots=True)
class FlagEvidence:
    """Where one flag was seen; times are seconds since the epoch."""

    flag_id: str
    level: str
    accepted_at: float
    patient_id: str = ""
    answered: bool = False
    on_topic: bool = False
    by_express: bool = False
    in_case: bool = False
    # Whether its producer sends it by both lanes; what crisis itself makes of an unreadable record it does not.
    two_lanes: bool = True


@dataclass(frozen=True, slots=True)
class CaseEvidence:
    """One document of the store: its flags and when crisis means to look again (None: it did not say)."""

    case_id: str
    patient_id: str
    is_open: bool
    flag_ids: tuple[str, ...]
    next_due: float | None = None


@dataclass(slots=True)
class Evidence:
    """All that was found; facts are the records of the store and of the journals, each told once or more often."""

    flags: dict[str, FlagEvidence] = field(default_factory=dict)
    cases: dict[str, CaseEvidence] = field(default_factory=dict)
    facts: dict[tuple[object, ...], Mapping[str, Any]] = field(default_factory=dict)

    def flag(self, flag_id: str, level: str, accepted_at: float, patient_id: str = "") -> FlagEvidence:
        """The evidence on this flag; of two times of acceptance the earlier counts."""
        found = self.flags.get(flag_id)
        if found is None:
            found = self.flags[flag_id] = FlagEvidence(flag_id, level, accepted_at)
        found.accepted_at = min(found.accepted_at, accepted_at)
        found.patient_id = found.patient_id or patient_id
        return found

    def take_fact(self, record: Mapping[str, Any]) -> None:
        """Note a fact; the same one told by several replicas counts once, with its earliest time."""
        identity = tuple(sorted((name, _plain(value)) for name, value in record.items() if name not in ("at", "age_ms")))
        known = self.facts.get(identity)
        if known is None or float(record["at"]) < float(known["at"]):
            self.facts[identity] = record


def verdict(evidence: Evidence, now: float, t2_budgets_s: Mapping[str, float]) -> dict[str, Any]:
    """The report; `lost` is empty when nobody was forgotten."""
    facts = list(evidence.facts.values())
    paged, in_hand, last_try = _handed_flags(facts), _in_hand(facts), _last_tries(facts)
    for flag_id in {flag_id for fact in facts for flag_id in _flags_of(fact)} & evidence.flags.keys():
        evidence.flags[flag_id].in_case = True
    dues = {flag_id: case.next_due or 0.0 for case in evidence.cases.values() for flag_id in case.flag_ids}
    lost: list[dict[str, str]] = []
    unhanded_s = [0.0]
    for flag in sorted(evidence.flags.values(), key=lambda one: (one.accepted_at, one.flag_id)):
        if flag.flag_id in paged or flag.flag_id in in_hand:
            continue
        unhanded_s.append(now - flag.accepted_at)
        tried = last_try.get(flag.flag_id)
        due = max(flag.accepted_at, dues.get(flag.flag_id, 0.0), 0.0 if tried is None else tried + RETRY_MAX_S)
        if now - due > t2_budgets_s.get(flag.level, 0.0):
            lost.append({"flag_id": flag.flag_id, "reason": _reason(flag, tried)})
    homeless = _without_document(evidence)
    return {
        "flags": len(evidence.flags),
        "cases": len(evidence.cases) + len(homeless),
        "paged": sum(flag_id in paged for flag_id in evidence.flags),
        "open": sum(case.is_open for case in evidence.cases.values()) + len(homeless),
        "duplicates": _duplicates(facts),
        "one_lane_only": sum(_came_by_one_lane(flag, now) for flag in evidence.flags.values()),
        "lost": lost,
        "oldest_unhanded_s": round(max(unhanded_s), 3),
    }


def _reason(flag: FlagEvidence, tried: float | None) -> str:
    if tried is not None:
        return "its tries failed and nobody tries again"
    if flag.in_case:
        return "its case is known and nobody was paged"
    if flag.on_topic or flag.by_express:
        return "it reached crisis and became no case"
    return "it never left the service that raised it"


def _came_by_one_lane(flag: FlagEvidence, now: float) -> bool:
    return flag.two_lanes and now - flag.accepted_at <= LANES_KNOWN_S and flag.on_topic != flag.by_express


def _flags_of(fact: Mapping[str, Any]) -> tuple[str, ...]:
    named = fact.get("flags")
    return tuple(str(flag_id) for flag_id in named) if named else (str(fact.get("flag", "")),)


def _handed_flags(facts: Iterable[Mapping[str, Any]]) -> set[str]:
    accepted = (f for f in facts if f["kind"] == "handed" or (f["kind"] == "upto" and f.get("handed_first") is not None))
    return {flag_id for fact in accepted for flag_id in _flags_of(fact)}


def _in_hand(facts: Iterable[Mapping[str, Any]]) -> set[str]:
    facts = list(facts)
    released = {str(f["ack_id"]) for f in facts if f["kind"] == "released"}
    taken = (f for f in facts if f["kind"] == "closed" or (f["kind"] == "acknowledged" and str(f["ack_id"]) not in released))
    return {flag_id for fact in taken for flag_id in _flags_of(fact)}


def _last_tries(facts: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    tries: dict[str, float] = {}
    for fact in facts:
        if fact["kind"] in (*_TRIES, "upto"):
            for flag_id in _flags_of(fact):
                tries[flag_id] = max(float(fact["at"]), tries.get(flag_id, 0.0))
    return tries


def _duplicates(facts: Iterable[Mapping[str, Any]]) -> int:
    """Accepted pages beyond the one that each ring (flag, person, channel, episode, step) needs."""
    rings: dict[tuple[object, ...], int] = defaultdict(int)
    for fact in facts:
        if fact["kind"] == "handed":
            for flag_id in _flags_of(fact):
                rings[flag_id, fact["person"], fact["channel"], fact["episode"], fact["step"]] += 1
    return sum(count - 1 for count in rings.values())


def _without_document(evidence: Evidence) -> set[str]:
    """Patients with a flag that crisis knows and the store does not hold (it was silent)."""
    stored = {flag_id for case in evidence.cases.values() for flag_id in case.flag_ids}
    return {flag.patient_id for flag in evidence.flags.values() if flag.in_case and flag.flag_id not in stored}


def _plain(value: Any) -> object:
    return tuple(value) if isinstance(value, list) else value
