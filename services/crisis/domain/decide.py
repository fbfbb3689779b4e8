"""What to do now: pure `decide(ledger, situation) → pages that are due, and when to look again`.

First page, escalation, lapsed lease, receipt timeout, hedge, retry, takeover and life without a store are one mechanism:
one due per intent (flag × person × channel), derived from the facts. Nothing here ends but by a human: every flag that no
live lease covers has a due, in the future or now.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from services.crisis.domain.case import Case, Try, open_case
from services.crisis.domain.coverage import Coverage, coverage
from services.crisis.domain.facts import Attempt, Flag, Gap
from services.crisis.domain.ledger import Ledger
from services.crisis.domain.policy import Joining, Ring, planned
from services.crisis.domain.roster import Roster
from services.crisis.times import Times
from shared.contracts.levels import Level, rank

_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Heard:
    """When this replica learned of a flag, and whether it came by a way that proves it is new."""

    at: float
    fresh: bool


@dataclass(frozen=True, slots=True)
class Situation:
    """What a replica knows beside the ledger: its clock, itself, its peers, its own lag, its providers."""

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
    providers: tuple[str, ...] = ()
    by_channel: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def providers_of(self, channel: str) -> tuple[str, ...]:
        """Who can deliver on a channel, in the order of choice; all providers where nothing is said of it."""
        return self.by_channel.get(channel, self.providers)

    def hedge_of(self, channel: str) -> float:
        """How long somebody's unfinished try on a channel silences the others: a phone's provider is measured, a webhook is
        given the longest hedge, a mail as long as a try may take (it is a copy, and one is enough)."""
        if channel == "email":
            return self.times.provider_attempt
        return self.times.hedge_cap if channel == "webhook" else self.hedge_s


@dataclass(frozen=True, slots=True)
class Page:
    """A page that is due now; `fresh` may go out beside its record, `look` asks the store once more before.

    `old`: its flag came late and a moment ago, so that others have probably settled it long since.
    """

    attempt: Attempt
    flag: Flag
    level: Level
    first: bool
    fresh: bool
    look: bool
    avoid_provider: str | None
    old: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """Pages due now, coverage gaps found, and the next moment anything changes by itself."""

    pages: tuple[Page, ...] = ()
    gaps: tuple[Gap, ...] = ()
    next_due: float | None = None


@dataclass(frozen=True, slots=True)
class _Intent:
    """A flag that should ring a person on a channel: since when (`at`), by which step of which episode."""

    flag: Flag
    person: str
    channel: str
    step: int
    at: float
    episode: int


@dataclass(slots=True)
class _Due:
    """When this replica acts on an intent. `busy` while somebody's unfinished try speaks for it."""

    intent: _Intent
    at: float
    n: int
    first: bool
    fresh: bool
    old: bool
    look: bool
    busy: bool
    handed_before: bool
    avoid_provider: str | None


@lru_cache(maxsize=8192)
def replica_order(patient_id: str, replicas: tuple[str, ...]) -> tuple[str, ...]:
    """The replicas in this patient's order: rendezvous hash, the same everywhere."""
    return tuple(sorted(replicas, key=lambda name: hashlib.blake2b(f"{name}|{patient_id}".encode(), digest_size=8).digest()))


def decide(ledger: Ledger, situation: Situation) -> Decision:
    """The pages due at `situation.now` for one patient, and when to decide again."""
    case = open_case(ledger)
    if case is None:
        return Decision()
    order = replica_order(case.patient_id, situation.replicas)
    dues: dict[tuple[str, str], list[_Due]] = {}
    moments: list[float] = []
    gaps: list[Gap] = []
    for told in case.flags.values():
        flag = _not_of_the_future(told, situation)
        held = coverage(flag, case.levels[flag.flag_id], case.leases_of(flag), situation.now)
        for intent in _intents(case, flag, held, situation, moments, gaps):
            due = _due(case, intent, situation, order)
            if due is not None:
                dues.setdefault((intent.person, intent.channel), []).append(due)
    pages: list[Page] = []
    for group in dues.values():
        pages.extend(_pages(ledger, case, group, situation, moments))
    return Decision(tuple(pages), tuple(gaps), min(moments, default=None))


def _not_of_the_future(flag: Flag, situation: Situation) -> Flag:
    """The flag, begun when it was heard at the latest: a stamp from a clock that runs ahead must not silence it until then."""
    if flag.at <= situation.now:
        return flag
    heard = situation.heard.get(flag.flag_id)
    return replace(flag, at=situation.now if heard is None else min(heard.at, situation.now))


# Whom a flag rings


def _intents(
    case: Case, flag: Flag, held: Coverage, situation: Situation, moments: list[float], gaps: list[Gap]
) -> list[_Intent]:
    """What rings for one flag: the steps of the last round's length, or only those a human asked for while it is held."""
    now = situation.now
    level, roster = case.levels[flag.flag_id], situation.roster
    wishes = roster.wishes(level, flag.own_clinician_id, flag.language, flag.region, flag.track)
    plan = planned(level, roster, _joining(case, flag, roster), wishes)
    size = len(plan.first_round)
    steps: dict[int, float] = {}
    current = -1
    if held.covered_until is not None:
        moments.append(held.covered_until)
    else:
        current = plan.current(now - held.episode_start)
        moments.append(held.episode_start + plan.starts_s(current + 1))
        steps = {i: held.episode_start + plan.starts_s(i) for i in range(max(0, current - size + 1), current + 1)}
    for call in case.escalations:
        if flag.flag_id in call.flags and call.at >= held.episode_start:
            steps[call.step] = min(call.at, steps.get(call.step, call.at))
    moments.extend(lease.ends for lease in held.holders)
    rings: dict[str, tuple[Ring, int, float]] = {}
    for at, index in sorted((at, index) for index, at in steps.items()):
        step = plan.step(index)
        if step.gap and (flag.flag_id, index % size) not in case.gaps:
            gaps.append(Gap(flag.flag_id, index % size, at=now))
        rings.update({ring.person: (ring, index, at) for ring in step.rings if not held.holds(ring.person)})
    if not rings and current >= size - 1:
        # Everybody whom the policy names holds the flag, and that is not enough: whoever else can be reached, or all of them.
        others = [ring for ring in plan.anybody if not held.holds(ring.person)]
        rings = {ring.person: (ring, current, steps[current]) for ring in others or plan.anybody}
    return [i for ring, index, at in rings.values() for i in _ring_intents(case, flag, held, ring, index, at, situation)]


def _joining(case: Case, flag: Flag, roster: Roster) -> Joining | None:
    """The owner, when somebody held the case at the moment this further flag came: asked alone unless the level rises."""
    if len(case.flags) == 1 or not case.acks:
        return None
    others = [f for f in case.flags.values() if (f.at, f.flag_id) < (flag.at, flag.flag_id)]
    holders = [lease.person for f in others for lease in case.leases_of(f) if lease.starts <= flag.at < lease.ends]
    if not holders:
        return None
    owner = case.owner if case.owner in holders else min(holders)
    if owner is None or not roster.eligible((owner,)):
        return None
    rises = rank(flag.level) > max(rank(case.levels[f.flag_id]) for f in others)
    return Joining(owner, alone=not rises and roster.on_duty(owner))


def _ring_intents(
    case: Case, flag: Flag, held: Coverage, ring: Ring, index: int, at: float, situation: Situation
) -> list[_Intent]:
    intents = [_Intent(flag, ring.person, channel, index, at, held.episode) for channel in ring.channels]
    if ring.next_channel is not None:
        silent_since = _no_receipt_since(case, flag, ring, at, situation.times.receipt)
        if silent_since is not None:
            intents.append(_Intent(flag, ring.person, ring.next_channel, index, silent_since, held.episode))
    return intents


def _no_receipt_since(case: Case, flag: Flag, ring: Ring, at: float, receipt_s: float) -> float | None:
    """When the wait for a receipt is (or will be) over; None while no page was handed or one is known to have arrived."""
    ends: list[float] = []
    for channel in ring.channels:
        for one in case.tries.get((ring.person, channel), {}).values():
            if one.handed_at is None or one.handed_at < at or flag.flag_id not in one.attempt.flags:
                continue
            receipt = case.receipts.get(one.provider_id or "")
            if receipt is not None and receipt.outcome == "delivered":
                return None
            ends.append(receipt.at if receipt is not None else one.handed_at + receipt_s)
    return min(ends, default=None)


# When this replica acts


def _due(case: Case, intent: _Intent, situation: Situation, order: tuple[str, ...]) -> _Due | None:
    """When this replica should act on an intent; None when a provider has taken it for this ring."""
    times, flag_id = situation.times, intent.flag.flag_id
    all_tries = case.tries.get((intent.person, intent.channel), {}).values()
    handed = case.handed_times(flag_id, intent.person, intent.channel)
    last_handed = max(handed, default=float("-inf"))
    if last_handed >= intent.at:
        return None
    tries = [t for t in all_tries if flag_id in t.attempt.flags and t.handed_at is None and t.began > last_handed]
    counted = [t for t in tries if t.may_have_rung]
    # Tries that were folded away are still counted by those that came after them.
    n = max([len(counted), *(t.attempt.n + t.may_have_rung for t in tries)])
    silenced_until = _silenced_until(tries, intent, situation)
    due = max(intent.at, silenced_until)
    if counted:
        due = max(due, max(t.began for t in counted) + times.retry_after(n))
    elif handed:
        rung = [t.handed_at or t.began for t in all_tries if t.may_have_rung]
        due = max(due, max(rung, default=last_handed) + times.rering)
    last = max((t for t in tries if t.sending_at is not None), key=lambda t: (t.began, t.attempt.by), default=None)
    refused_at = _own_refusal(intent.channel, tries, last, situation)
    if refused_at is not None:
        due = max(due, refused_at + times.definite_retry)
    if last is not None:
        order = (*(name for name in order if name != last.attempt.by), last.attempt.by)
    my_rank = order.index(situation.me)
    heard = situation.heard.get(flag_id) or Heard(situation.now, fresh=False)
    fresh = heard.fresh and situation.now - intent.flag.at + situation.lag_s < times.fresh_for
    due = max(due, heard.at)
    if my_rank > 0 or not fresh:
        due = max(due, situation.awake_at)
    due += my_rank * (times.rank_step + min(situation.lag_s, times.lag_max))
    look = my_rank > 0 or bool(tries)
    first = not handed and n == 0
    avoid = last.provider if last is not None else None
    old = not heard.fresh and situation.now < heard.at + times.record_wait_old
    return _Due(intent, due, n, first, fresh, old, look, silenced_until > situation.now, bool(handed), avoid)


def _own_refusal(channel: str, tries: list[Try], last: Try | None, situation: Situation) -> float | None:
    """When the provider whose turn it is last refused this replica for certain."""
    turn = next((name for name in situation.providers_of(channel) if last is None or name != last.provider), None)
    refused = (
        t.failed_at
        for t in tries
        if t.failed_at is not None
        and not t.may_have_rung
        and t.attempt.by == situation.me
        and (turn is None or t.provider == turn)
    )
    return max(refused, default=None)


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
            # What a busy loop has not read yet is not silence: the outcome may lie in this replica's own socket.
            hedge_s = situation.hedge_of(intent.channel)
            until = max(until, one.sending_at + hedge_s + min(situation.lag_s, situation.times.lag_max))
            continue
        # An own intent that is not held any more was dropped, here or in an earlier life. Of two who intend the same, the
        # one who said so first goes ahead.
        said_at, by = one.intended_at, one.attempt.by
        if said_at is not None and by != situation.me and not any((at, situation.me) < (said_at, by) for at in mine):
            until = max(until, said_at + situation.times.takeover)
    return until


# What goes out


def _pages(ledger: Ledger, case: Case, group: list[_Due], situation: Situation, moments: list[float]) -> list[Page]:
    """The pages of one person and channel. First pages stand alone, one each, whatever else was sent; retries and re-rings
    go together in one page, and no more than `rerings_per_minute` of them."""
    now = situation.now
    pages: list[Page] = []
    again = [due for due in group if not due.first]
    if again:
        at = max(min(due.at for due in again), _room_for_reringing(case, again[0].intent, situation))
        if at > now:
            moments.append(at)
        else:
            pages.append(_page(ledger, case, [due for due in again if due.at <= now or not due.busy], situation, 0))
    for due in group:
        if due.first and due.at > now:
            moments.append(due.at)
        elif due.first:
            pages.append(_page(ledger, case, [due], situation, len(pages)))
    return pages


def _room_for_reringing(case: Case, intent: _Intent, situation: Situation) -> float:
    """From when one more ring that is no first page fits into the minute."""
    most = situation.times.rerings_per_minute
    tries = case.tries.get((intent.person, intent.channel), {})
    if len(tries) < most:
        return float("-inf")
    rung = sorted(
        one.handed_at or one.began for one in tries.values() if one.may_have_rung and not _was_first(case, one, intent)
    )
    return rung[-most] + _MINUTE_S if len(rung) >= most else float("-inf")


def _was_first(case: Case, one: Try, intent: _Intent) -> bool:
    """Whether a try was a flag's own first page: nothing about it had been handed over, nothing else may have rung."""
    flags = one.attempt.flags
    if len(flags) > 1 or one.attempt.n > 0:
        return False
    return one.began <= min(case.handed_times(flags[0], intent.person, intent.channel), default=float("inf"))


def _page(ledger: Ledger, case: Case, group: list[_Due], situation: Situation, already: int) -> Page:
    gravest = max(group, key=lambda d: (rank(case.levels[d.intent.flag.flag_id]), d.intent.flag.at, d.intent.flag.flag_id))
    intent = gravest.intent
    person, channel = intent.person, intent.channel
    flags = tuple(sorted(due.intent.flag.flag_id for due in group))
    attempt = next((a for a in situation.held if (a.flags, a.person, a.channel) == (flags, person, channel)), None)
    if attempt is None:
        k = ledger.last_k(person, channel, situation.me) + 1 + already
        n = max(due.n for due in group)
        attempt = Attempt(flags, person, channel, intent.episode, intent.step, n, situation.me, k)
    return Page(
        attempt,
        intent.flag,
        case.levels[intent.flag.flag_id],
        # What was intended as a flag's first page stays one, although somebody else may have begun meanwhile.
        first=len(group) == 1 and attempt.n == 0 and not gravest.handed_before,
        fresh=all(due.fresh for due in group),
        look=any(due.look for due in group),
        avoid_provider=gravest.avoid_provider,
        old=any(due.old for due in group),
    )
