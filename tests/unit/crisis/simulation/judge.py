"""What must hold in every run, whatever broke. Each rule returns what is wrong, in words."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise

from services.crisis.domain.facts import Acknowledged, Closed, Durable, Owned
from tests.unit.crisis.simulation.evidence import (
    BEGINS_S,
    acks_of,
    brief,
    closed_at,
    covered_at,
    ended_before,
    first_ring,
    has_taken,
    is_covered,
    life_of,
    living,
    owner_when_raised,
    patients,
    rings_of,
    rounds_of,
    stored_of,
    told,
)
from tests.unit.crisis.simulation.run import Run
from tests.unit.crisis.simulation.scene import (
    ADAEZE,
    BRUNO,
    CHIARA,
    DMITRI,
    FAULTS_END_S,
    PROVIDER,
    RERING_S,
    RETRY_S,
    ROUND_S,
    STEP_S,
    STORE,
)

# A request of ours on a working wire, and the wire itself.
BOUND_S = 0.250
# `intended` without `sending`, then the record and the way.
TAKEOVER_S = 2.6
HEALTHY_S = 0.100
WIRE_S = 0.013
# The next step, and the time between two rings that are no first pages.
LONGEST_PAUSE_S = STEP_S + RERING_S + 1.0


def judged(run: Run) -> list[str]:
    """Everything that is wrong with a run; empty when all is well."""
    rules = (
        nothing_broke,
        no_flag_is_lost,
        every_flag_is_sent_in_time,
        a_provider_that_recovers_is_used_soon,
        the_next_step_comes,
        no_step_comes_early,
        nobody_falls_silent,
        an_acknowledgement_is_heard_everywhere,
        an_acknowledgement_stops_its_pages,
        nobody_is_flooded,
        nobody_is_paged_twice_when_all_is_well,
        a_further_flag_is_never_swallowed,
        no_acknowledgement_is_ownerless,
        all_come_to_know_the_same,
        closed_is_closed,
        one_page_is_enough_where_others_can_be_asked,
        a_restart_floods_nobody,
        a_refusing_provider_is_asked_once_a_second,
        no_acknowledgement_is_forgotten,
    )
    return [f"{rule.__name__.replace('_', ' ')}: {wrong}" for rule in rules for wrong in rule(run)]


def nothing_broke(run: Run) -> Iterator[str]:
    yield from run.world.failures


def no_flag_is_lost(run: Run) -> Iterator[str]:
    """A provider took a page about every flag, or a human had it before."""
    for raised in run.scene.flags:
        if not rings_of(run, raised.flag, accepted=True) and not ended_before(run, raised, run.scene.people_act_from_s):
            yield f"{raised.flag.rule} was never paged"


def every_flag_is_sent_in_time(run: Run) -> Iterator[str]:
    """From the answer to a request on a working wire, whatever single thing of ours is broken."""
    if not run.scene.single:
        return
    for raised in run.scene.flags:
        if (not raised.express and "bus dead" in run.scene.kinds) or ended_before(run, raised, raised.at + BOUND_S):
            continue
        path_broken = bool(run.scene.kinds & {"path refused", "path hangs"})
        took_s = first_ring(run, raised, accepted=path_broken) - raised.at
        bound_s = WIRE_S + (HEALTHY_S if run.scene.healthy and raised.express else BOUND_S)
        if took_s > bound_s:
            yield f"{raised.flag.rule} took {took_s * 1000:.0f} ms to a provider"


def a_provider_that_recovers_is_used_soon(run: Run) -> Iterator[str]:
    """1.5 s after it refused for certain, at the next retry after it hung; a second provider takes over at once."""
    if len(run.scene.kinds) != 1 or not run.scene.kinds <= set(PROVIDER):
        return
    (kind,) = run.scene.kinds
    back_at = max(window.ends for window in run.scene.windows)
    after_s = {"twilio refuses": 1.55, "twilio slow": 1.0}.get(kind, RETRY_S[-1] + 3.2)
    for raised in run.scene.flags:
        back = raised.at if run.scene.two_providers else max(raised.at, back_at + after_s)
        until = back + BOUND_S + 0.1
        if owner_when_raised(run, raised, margin_s=-0.5) or ended_before(run, raised, until):
            continue
        times = [ring.at for ring in rings_of(run, raised.flag, accepted=True) if ring.page.attempt.person == ADAEZE]
        if min(times, default=float("inf")) > until:
            yield f"{ADAEZE}'s page for {raised.flag.rule} was not taken until {until:.3f}"


def the_next_step_comes(run: Run) -> Iterator[str]:
    """While nobody takes a flag, the person of each step is rung when the step begins, or when a takeover is due."""
    if not run.scene.single:
        return
    late_s = 0.15 if run.scene.healthy else TAKEOVER_S
    for raised in run.scene.flags:
        if owner_when_raised(run, raised, margin_s=-0.5):
            continue
        for person, offset_s in ((BRUNO, STEP_S), (CHIARA, 2 * STEP_S)):
            begins = raised.at + offset_s
            if ended_before(run, raised, begins + late_s) or has_taken(run, person, raised.flag, begins + late_s):
                continue
            rings = [r for r in rings_of(run, raised.flag, accepted=True) if r.page.attempt.person == person]
            if not any(begins - 0.05 <= ring.at <= begins + late_s for ring in rings):
                yield f"{person} was not rung for {raised.flag.rule} at {begins:.3f}"


def no_step_comes_early(run: Run) -> Iterator[str]:
    """Wrong clocks, restarts and late news don't escalate a case before its time."""
    # Half of a slow answer's way is not known.
    early_s = 0.6 if "store slow" in run.scene.kinds else 0.1
    for raised in run.scene.flags:
        if owner_when_raised(run, raised, margin_s=-0.5):
            continue
        for ring in rings_of(run, raised.flag):
            person = ring.page.attempt.person
            begins = ROUND_S if person == DMITRI else BEGINS_S[person]
            if ring.sent_at < raised.at + begins - early_s:
                yield f"{person} was rung for {raised.flag.rule} {raised.at + begins - ring.sent_at:.1f} s too early"


def nobody_falls_silent(run: Run) -> Iterator[str]:
    """A flag that nobody holds rings again and again, until somebody acts."""
    begins, ends = FAULTS_END_S, run.scene.people_act_from_s
    for raised in run.scene.flags:
        if covered_at(run, raised.flag, ends) or closed_at(run, raised.flag) < ends:
            continue
        times = sorted({begins, ends, *(r.at for r in rings_of(run, raised.flag) if begins < r.at < ends)})
        pause_s = max(later - earlier for earlier, later in pairwise(times))
        # A first page of another flag to the same person puts a re-ring off by as much again.
        crowded_s = RERING_S if sum(r.flag.patient_id == raised.flag.patient_id for r in run.scene.flags) > 1 else 0.0
        if pause_s > LONGEST_PAUSE_S + crowded_s + run.scene.patience_s:
            yield f"{raised.flag.rule} was silent for {pause_s:.1f} s"


def an_acknowledgement_is_heard_everywhere(run: Run) -> Iterator[str]:
    """Within a quarter of a second by all replicas that are connected."""
    if run.scene.kinds & {"link cut", "freeze", "crash", "all crash", "late start"}:
        return
    bound_s = 2.0 if "link lossy" in run.scene.kinds else BOUND_S
    for ack, (first, _) in acks_of(run).items():
        for life in run.lives:
            if life.heard_at.get(ack, float("inf")) > first + bound_s and first + bound_s < run.scene.end_s:
                yield f"{life.machine.name} did not hear {ack.person}'s answer in time"


def an_acknowledgement_stops_its_pages(run: Run) -> Iterator[str]:
    """What a replica has heard of, it rings about no more: at once."""
    for ring in run.rings:
        life = life_of(run, ring)
        for flag_id in ring.page.attempt.flags:
            known = [a for a, at in life.heard_at.items() if isinstance(a, Acknowledged) and at <= ring.sent_at - 0.01]
            if is_covered(flag_id, ring.page.level, known):
                yield f"{ring.by} rang {ring.page.attempt.person} at {ring.at:.3f} for a flag it knew to be taken"


def nobody_is_flooded(run: Run) -> Iterator[str]:
    """At most six re-rings a minute for each case, person and channel; twelve when peers are cut and the store is dead."""
    most = 12 if "link cut" in run.scene.kinds and run.scene.kinds & set(STORE) else 6
    again: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    first: Counter[tuple[str, str, str]] = Counter()
    for ring in run.rings:
        attempt = ring.page.attempt
        if not ring.rang:
            continue
        if ring.page.first:
            first[(attempt.flags[0], attempt.person, attempt.channel)] += 1
        else:
            # A patient is one case, unless part of it was closed meanwhile.
            for what in attempt.flags if run.closings else (ring.page.flag.patient_id,):
                again[(what, attempt.person, attempt.channel)].append(ring.at)
    for (_, person, channel), times in again.items():
        for begin in times:
            count = sum(begin <= at < begin + 59.9 for at in times)
            if count > most:
                yield f"{person} was rung {count} times a minute by {channel}"
                break
    for (flag_id, person, channel), count in first.items():
        if count > len(run.lives):
            yield f"{person} had {count} first pages of {flag_id[:8]} by {channel}"


def nobody_is_paged_twice_when_all_is_well(run: Run) -> Iterator[str]:
    """Exactly one page for each flag, person, channel and ring."""
    if not run.scene.healthy:
        return
    for raised in run.scene.flags:
        if owner_when_raised(run, raised, margin_s=0.0):
            continue
        if not any(ring.page.attempt.person == ADAEZE and ring.page.first for ring in rings_of(run, raised.flag)):
            yield f"{raised.flag.rule} did not ring step one"
        for (person, channel, number), count in rounds_of(run, raised).items():
            if count > 1:
                yield f"{person} was paged {count} times by {channel} for {raised.flag.rule} in round {number:.0f}"


def a_further_flag_is_never_swallowed(run: Run) -> Iterator[str]:
    """A flag that joins a held case is a page of its own to the owner, and to step one when the level rises."""
    if not run.scene.single:
        return
    for raised in run.scene.flags:
        owner = owner_when_raised(run, raised)
        if owner is None:
            continue
        early = [r for r in rings_of(run, raised.flag, accepted=True) if r.at < raised.at + STEP_S + 1.0]
        if owner not in {r.page.attempt.person for r in early} and not ended_before(run, raised, raised.at + STEP_S):
            yield f"{owner} has the case and was not paged for {raised.flag.rule}"


def no_acknowledgement_is_ownerless(run: Run) -> Iterator[str]:
    """Whoever took a flag that is still open: the case has an owner, the same everywhere."""
    for patient_id in patients(run):
        cases = [life.table.case(patient_id) for life in living(run)]
        owners = {case.owner for case in cases if case is not None}
        if any(case is not None and case.acks for case in cases) and (len(owners) != 1 or None in owners):
            yield f"{patient_id} is owned by {sorted(map(str, owners))}"
        stored = stored_of(run, patient_id)
        acked = any(case is not None and case.acks for case in cases)
        if stored is not None and acked and not any(isinstance(item, Owned) for item in stored.items):
            yield f"{patient_id} has no owner in the store"


def all_come_to_know_the_same(run: Run) -> Iterator[str]:
    """After the faults: every replica's table and the store's documents say the same."""
    for patient_id in patients(run):
        known = [told(life, patient_id) for life in living(run)]
        for life, mine in zip(living(run), known, strict=True):
            missing = known[0] ^ mine
            if missing:
                yield f"{life.machine.name} differs about {patient_id}: {sorted(map(brief, missing))[:4]}"
        case = living(run)[0].table.case(patient_id)
        stored = stored_of(run, patient_id)
        if case is None:
            if stored is not None:
                yield f"{patient_id} is closed here and open in the store"
            continue
        if stored is None:
            yield f"{patient_id} is not in the store"
            continue
        lacking = {item for item in (*case.flags.values(), *case.facts) if not isinstance(item, Durable)} - set(stored.items)
        if lacking:
            yield f"the store lacks {sorted(map(brief, lacking))[:4]} of {patient_id}"


def closed_is_closed(run: Run) -> Iterator[str]:
    """Nothing rings for a closed flag that this replica heard of, or could have looked up."""
    can_look = not run.scene.kinds & {*STORE, "link cut", "link lossy", "freeze"}
    for ring in run.rings:
        flags = set(ring.page.attempt.flags)
        heard = {
            flag_id
            for fact, at in life_of(run, ring).heard_at.items()
            if isinstance(fact, Closed) and at <= ring.sent_at - 0.01
            for flag_id in fact.flags
        }
        stored = {flag_id for one in run.closings if one.at <= ring.sent_at - BOUND_S for flag_id in one.flags}
        if flags <= heard or (can_look and flags <= stored):
            yield f"{ring.by} rang {ring.page.attempt.person} at {ring.at:.3f} for a closed flag"


def one_page_is_enough_where_others_can_be_asked(run: Run) -> Iterator[str]:
    """No second first page when only the peers' link is cut (the store tells), or by a replica that slept through it."""
    for raised in run.scene.flags:
        slept = any(w.kind == "freeze" and w.begins < raised.at - 0.01 and w.ends > raised.at + 1.2 for w in run.scene.windows)
        if run.scene.kinds != {"link cut"} and not (run.scene.kinds == {"freeze"} and slept):
            continue
        firsts = Counter(
            (ring.page.attempt.person, ring.page.attempt.channel)
            for ring in rings_of(run, raised.flag)
            if ring.page.first and ring.at < raised.at + STEP_S
        )
        for (person, channel), count in firsts.items():
            if count > 1:
                yield f"{person} had {count} first pages for {raised.flag.rule} by {channel}"


def a_restart_floods_nobody(run: Run) -> Iterator[str]:
    """What is known in a journal, at a peer or in the store is not sent again: one page more for each death at most."""
    if len(run.scene.kinds) != 1 or not run.scene.kinds <= {"crash", "all crash", "late start", "freeze"}:
        return
    for raised in run.scene.flags:
        if owner_when_raised(run, raised, margin_s=-0.5):
            continue
        for (person, channel, number), count in rounds_of(run, raised).items():
            if count > 1 + max(1, len(run.scene.crashes)):
                yield f"{person} was paged {count} times by {channel} for {raised.flag.rule} in round {number:.0f}"


def a_refusing_provider_is_asked_once_a_second(run: Run) -> Iterator[str]:
    """By each replica, about each page: a refusal is repeated, not hammered."""
    asked: dict[tuple[str, tuple[str, ...], str, str], list[float]] = defaultdict(list)
    for ring in run.rings:
        if not ring.accepted and not ring.rang:
            asked[(ring.by, ring.page.attempt.flags, ring.page.attempt.person, ring.page.attempt.channel)].append(ring.at)
    for (by, _, person, channel), times in asked.items():
        for begin in times:
            count = sum(begin <= at < begin + 5.0 for at in times)
            if count > 7:
                yield f"{by} asked {count} times within 5 s for {person} by {channel}"
                break


def no_acknowledgement_is_forgotten(run: Run) -> Iterator[str]:
    """What one replica heard and wrote down is known to all in the end."""
    lost_disks = {crash.who for crash in run.scene.crashes if crash.loses_disk}
    for ack, (_, where) in acks_of(run).items():
        if where in lost_disks:
            continue
        for life in living(run):
            patient_id = life.table.patient_of(ack.flags[0])
            entry = life.table.entries.get(patient_id or "")
            if entry is None or (ack not in entry.ledger.facts and not entry.ledger.closed_flags().issuperset(ack.flags)):
                yield f"{life.machine.name} does not know that {ack.person} took {ack.flags[0][:8]}"
