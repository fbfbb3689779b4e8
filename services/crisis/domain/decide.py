"""What to do now: pure `decide(ledger, situation) → pages that are due, and when to look again`.

First page, escalation, lapsed lease, receipt timeout, hedge, retry, takeover and life without a store are one mechanism:
one due per intent (flag × person × channel), derived from the facts. Nothing here ends but by a human: every flag that no
live lease covers has a due, in the future or now.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.crisis.domain.case import Case, Try, open_case
from services.crisis.domain.coverage import Coverage, coverage
from services.crisis.domain.facts import Attempt, Flag, Gap
from services.crisis.domain.ledger import Ledger
from services.crisis.domain.policy import Plan, channels_of, planned
from services.crisis.domain.roster import Roster
from services.crisis.times import Times
from shared.contracts.levels import Level, rank


@dataclass(frozen=True, slots=True)
class Heard:
    """When this replica learned of a flag, and whether it came by a way that proves it is new."""

    at: float
    fresh: bool


@dataclass(frozen=True, slots=True)
class Situation:
    """What a replica knows beside the ledger: its clock, itself, its peers, its own lag."""

    now: float
    me: str
    replicas: tuple[str, ...]
    roster: Roster
    times: Times
    hedge_s: float
    lag_s: float = 0.0
    awake_at: float = 0.0
    heard: Mapping[str, Heard] = field(default_factory=dict)
    held: Mapping[Attempt, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """A page that is due now; `fresh` may go out beside its record, `look` asks the store once more before."""

    attempt: Attempt
    flag: Flag
    level: Level
    first: bool
    fresh: bool
    look: bool
    avoid_provider: str | None


@dataclass(frozen=True, slots=True)
class Decision:
    """Pages due now, coverage gaps found, and the next moment anything changes by itself."""

    pages: tuple[Page, ...] = ()
    gaps: tuple[Gap, ...] = ()
    next_due: float | None = None


@dataclass(frozen=True, slots=True)
class _Intent:
    flag: Flag
    person: str
    channel: str
    step: int
    at: float
    episode: int


@dataclass(frozen=True, slots=True)
class _Due:
    intent: _Intent
    due: float
    n: int
    first: bool
    fresh: bool
    look: bool
    avoid_provider: str | None


def replica_order(patient_id: str, replicas: tuple[str, ...]) -> list[str]:
    """The replicas in this patient's order: rendezvous hash, the same everywhere."""
    return sorted(replicas, key=lambda name: hashlib.blake2b(f"{name}|{patient_id}".encode(), digest_size=8).digest())


def decide(ledger: Ledger, situation: Situation) -> Decision:
    """The pages due at `situation.now` for one patient, and when to decide again."""
    case = open_case(ledger)
    if case is None:
        return Decision()
    order = replica_order(case.patient_id, situation.replicas)
    dues: list[_Due] = []
    moments: list[float] = []
    gaps: list[Gap] = []
    for flag in case.flags.values():
        held = coverage(flag, case.levels[flag.flag_id], case.leases_of(flag), situation.now)
        intents = _intents(case, flag, held, situation, moments, gaps)
        dues.extend(due for i in intents if (due := _due(case, i, situation, order)) is not None)
    pages = _pages(case, [due for due in dues if due.due <= situation.now], situation)
    moments.extend(due.due for due in dues if due.due > situation.now)
    return Decision(tuple(pages), tuple(gaps), min(moments, default=None))


def _owner_first(case: Case, flag: Flag, roster: Roster) -> str | None:
    """The owner who is asked alone about a further flag, if one was on duty and at it when the flag came."""
    others = [f for f in case.flags.values() if (f.at, f.flag_id) < (flag.at, flag.flag_id)]
    if not others or rank(flag.level) > max(rank(case.levels[f.flag_id]) for f in others):
        return None
    for other in others:
        for lease in case.leases_of(other):
            if lease.starts <= flag.at < lease.ends and roster.on_duty(lease.person):
                owner = case.owner
                return owner if owner is not None and roster.eligible((owner,)) else lease.person
    return None


def _intents(
    case: Case, flag: Flag, held: Coverage, situation: Situation, moments: list[float], gaps: list[Gap]
) -> list[_Intent]:
    roster, now = situation.roster, situation.now
    policy = roster.policies[case.levels[flag.flag_id]]
    plan = planned(policy, roster, _owner_first(case, flag, roster))
    calls = [e for e in case.escalations if flag.flag_id in e.flags and e.at >= held.episode_start]
    if held.covered_until is not None:
        moments.append(held.covered_until)
        steps = {e.step: e.at for e in calls}
    else:
        current = plan.current(now - held.episode_start)
        moments.append(held.episode_start + plan.starts_s(current + 1))
        size = len(plan.first_round)
        steps = {i: held.episode_start + plan.starts_s(i) for i in range(max(0, current - size + 1), current + 1)}
        for call in calls:
            steps[call.step] = min(call.at, steps.get(call.step, call.at))
    rings: dict[str, tuple[int, float]] = {}
    for index, at in sorted(steps.items(), key=lambda item: item[1]):
        if plan.step(index).gap and (flag.flag_id, index % len(plan.first_round)) not in case.gaps:
            gaps.append(Gap(flag.flag_id, index % len(plan.first_round), at=now))
        rings.update({person: (index, at) for person in plan.step(index).people if not held.holds(person)})
    moments.extend(lease.ends for lease in held.holders)
    return [i for person, ring in rings.items() for i in _person_intents(case, flag, held, person, ring, plan, situation)]


def _person_intents(
    case: Case,
    flag: Flag,
    held: Coverage,
    person: str,
    ring: tuple[int, float],
    plan: Plan,
    situation: Situation,
) -> list[_Intent]:
    index, at = ring
    available = situation.roster.people[person].channels()
    now_channels = channels_of(case.levels[flag.flag_id], index, plan.step(index), available)
    intents = [_Intent(flag, person, channel, index, at, held.episode) for channel in now_channels]
    silent_since = _no_receipt_since(case, flag, person, now_channels, at, situation.times.receipt)
    if silent_since is not None:
        further = next((channel for channel in available if channel not in now_channels), None)
        if further is not None:
            intents.append(_Intent(flag, person, further, index, silent_since, held.episode))
    return intents


def _no_receipt_since(
    case: Case, flag: Flag, person: str, channels: tuple[str, ...], at: float, receipt_s: float
) -> float | None:
    """When the wait for a receipt is (or will be) over; None while no page was handed or one is known to have arrived."""
    ends: list[float] = []
    for channel in channels:
        for one in case.tries.get((person, channel), {}).values():
            if one.handed_at is None or one.handed_at < at or flag.flag_id not in one.attempt.flags:
                continue
            receipt = case.receipts.get(one.provider_id or "")
            if receipt is not None and receipt.outcome == "delivered":
                return None
            ends.append(receipt.at if receipt is not None else one.handed_at + receipt_s)
    return min(ends, default=None)


def _due(case: Case, intent: _Intent, situation: Situation, order: list[str]) -> _Due | None:
    """When this replica should act on an intent; None when a provider has taken it for this ring."""
    times, flag_id = situation.times, intent.flag.flag_id
    handed = case.handed_times(flag_id, intent.person, intent.channel)
    if any(at >= intent.at for at in handed):
        return None
    all_tries = list(case.tries.get((intent.person, intent.channel), {}).values())
    last_handed = max(handed, default=float("-inf"))
    tries = [t for t in all_tries if flag_id in t.attempt.flags and t.handed_at is None and _began(t) > last_handed]
    counted = [t for t in tries if t.may_have_rung]
    due = max(intent.at, _silenced_until(tries, intent, situation))
    if counted:
        due = max(due, max(_began(t) for t in counted) + times.retry_after(len(counted)))
    first = not handed and not counted
    if handed:
        rung = [t.handed_at for t in all_tries if t.handed_at is not None] + [last_handed]
        due = max(due, max(rung) + times.rering)
    own_refusals = [t.failed_at for t in tries if t.failed_at is not None and not t.maybe and t.attempt.by == situation.me]
    if own_refusals:
        due = max(due, max(own_refusals) + times.definite_retry)
    senders = sorted((t for t in tries if t.sending_at is not None), key=_began)
    last_sender = senders[-1] if senders else None
    ordered = order if last_sender is None else [*(n for n in order if n != last_sender.attempt.by), last_sender.attempt.by]
    my_rank = ordered.index(situation.me)
    heard = situation.heard.get(flag_id, Heard(situation.now, False))
    fresh = heard.fresh and situation.now - intent.flag.at + situation.lag_s < times.fresh_for
    base = max(due, heard.at)
    if my_rank > 0 or not fresh:
        base = max(base, situation.awake_at)
    due = base + my_rank * (times.rank_step + min(situation.lag_s, times.lag_max))
    look = my_rank > 0 or bool(tries)
    return _Due(intent, due, len(counted), first, fresh, look, last_sender.provider if last_sender else None)


def _began(one: Try) -> float:
    at = one.sending_at if one.sending_at is not None else one.intended_at
    if at is not None:
        return at
    settled = one.failed_at if one.failed_at is not None else one.handed_at
    return settled if settled is not None else float("-inf")


def _silenced_until(tries: list[Try], intent: _Intent, situation: Situation) -> float:
    """Until when somebody's unfinished try keeps this replica quiet."""
    mine = [
        at
        for attempt, at in situation.held.items()
        if (attempt.person, attempt.channel) == (intent.person, intent.channel) and intent.flag.flag_id in attempt.flags
    ]
    until = float("-inf")
    for one in tries:
        if one.settled or one.attempt in situation.held:
            continue
        if one.sending_at is not None:
            until = max(until, one.sending_at + situation.hedge_s)
        elif one.intended_at is not None and not any((at, situation.me) < (one.intended_at, one.attempt.by) for at in mine):
            # Of two who intend the same, the one who said so first goes ahead.
            until = max(until, one.intended_at + situation.times.takeover)
    return until


def _pages(case: Case, due: list[_Due], situation: Situation) -> list[Page]:
    """First pages stand alone, one each; retries and re-rings of a person and channel go together in one page."""
    pages: list[Page] = []
    together: dict[tuple[str, str], list[_Due]] = {}
    used_k: dict[tuple[str, str], int] = {}
    for one in due:
        if one.first:
            pages.append(_page(case, [one], situation, used_k))
        else:
            together.setdefault((one.intent.person, one.intent.channel), []).append(one)
    pages.extend(_page(case, group, situation, used_k) for group in together.values())
    return pages


def _page(case: Case, group: list[_Due], situation: Situation, used_k: dict[tuple[str, str], int]) -> Page:
    gravest = max(group, key=lambda d: (rank(case.levels[d.intent.flag.flag_id]), d.intent.flag.at))
    intent = gravest.intent
    flags = tuple(sorted(d.intent.flag.flag_id for d in group))
    intent_key = (intent.person, intent.channel)
    held = next((a for a in situation.held if (a.flags, a.person, a.channel) == (flags, *intent_key)), None)
    if held is None:
        own = [a.k for a in case.tries.get(intent_key, {}) if a.by == situation.me]
        own += [u.k for u in case.uptos if (u.person, u.channel, u.by) == (*intent_key, situation.me)]
        k = max([*own, used_k.get(intent_key, 0)]) + 1
        used_k[intent_key] = k
        n = max(d.n for d in group)
        held = Attempt(flags, intent.person, intent.channel, intent.episode, intent.step, n, situation.me, k)
    return Page(
        held,
        intent.flag,
        case.levels[intent.flag.flag_id],
        all(d.first for d in group),
        all(d.fresh for d in group),
        any(d.look for d in group),
        gravest.avoid_provider,
    )
