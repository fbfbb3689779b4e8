"""What the judge looks at: who was rung when, who had what, what everybody knows in the end."""

from collections import Counter

from services.crisis.domain.facts import Acknowledged, Closed, Durable, Fact, Flag
from services.crisis.ports import StoredCase
from tests.unit.crisis.simulation.life import Life
from tests.unit.crisis.simulation.outside import Ring
from tests.unit.crisis.simulation.run import Run
from tests.unit.crisis.simulation.scene import ADAEZE, BRUNO, CHIARA, DMITRI, ROUND_S, STEP_S, Raised

# How well the replicas know the store's clock, when it answers at once.
CLOCKS_AGREE_S = 0.05
# When in a round somebody's step begins.
BEGINS_S = {ADAEZE: 0.0, BRUNO: STEP_S, CHIARA: 2 * STEP_S, DMITRI: 0.0}


def first_ring(run: Run, raised: Raised, *, accepted: bool = False) -> float:
    return min((ring.at for ring in rings_of(run, raised.flag, accepted=accepted)), default=float("inf"))


def rounds_of(run: Run, raised: Raised) -> Counter[tuple[str, str, float]]:
    """How often each person was rung on each channel in each of their rounds."""
    return Counter(
        (a.person, a.channel, (ring.at - raised.at - BEGINS_S[a.person] + CLOCKS_AGREE_S) // ROUND_S)
        for ring in rings_of(run, raised.flag)
        for a in (ring.page.attempt,)
    )


def closed_at(run: Run, flag: Flag) -> float:
    times = [at for life in run.lives for f, at in life.heard_at.items() if isinstance(f, Closed) and flag.flag_id in f.flags]
    return min(times, default=float("inf"))


def ended_before(run: Run, raised: Raised, when: float) -> bool:
    """Whether people had the flag, or closed it."""
    return covered_at(run, raised.flag, when) or closed_at(run, raised.flag) < when


def has_taken(run: Run, person: str, flag: Flag, when: float) -> bool:
    return any(ack.person == person and flag.flag_id in ack.flags and at < when for ack, (at, _) in acks_of(run).items())


def patients(run: Run) -> list[str]:
    return list(dict.fromkeys(raised.flag.patient_id for raised in run.scene.flags))


def living(run: Run) -> list[Life]:
    return [machine.life for machine in run.clinic.machines if machine.life is not None]


def life_of(run: Run, ring: Ring) -> Life:
    return next(life for life in run.lives if life.machine.name == ring.by and life.number == ring.life)


def rings_of(run: Run, flag: Flag, *, accepted: bool = False) -> list[Ring]:
    return [r for r in run.rings if flag.flag_id in r.page.attempt.flags and (r.accepted or not accepted)]


def acks_of(run: Run) -> dict[Acknowledged, tuple[float, str]]:
    """Every acknowledgement: when it was first heard, and where."""
    found: dict[Acknowledged, tuple[float, str]] = {}
    for life in run.lives:
        for fact, at in life.heard_at.items():
            if isinstance(fact, Acknowledged) and (fact not in found or at < found[fact][0]):
                found[fact] = (at, life.machine.name)
    return found


def is_covered(flag_id: str, level: str, acks: list[Acknowledged]) -> bool:
    roles = {ack.role for ack in acks if flag_id in ack.flags}
    return len(roles) >= (2 if level == "imminent" else 1)


def covered_at(run: Run, flag: Flag, when: float) -> bool:
    return is_covered(flag.flag_id, flag.level, [ack for ack, (at, _) in acks_of(run).items() if at < when])


def owner_when_raised(run: Run, raised: Raised, margin_s: float = 0.5) -> str | None:
    """Who held an earlier flag of this patient, known everywhere, when this one came."""
    earlier = {r.flag.flag_id for r in run.scene.flags if r.flag.patient_id == raised.flag.patient_id and r.at < raised.at}
    acks = sorted((at, ack.person) for ack, (at, _) in acks_of(run).items() if earlier & set(ack.flags))
    return next((person for at, person in acks if at < raised.at - margin_s), None)


def stored_of(run: Run, patient_id: str) -> StoredCase | None:
    try:
        run.clinic.store.load(patient_id, ()).send(None)
    except StopIteration as done:
        return next((case for case in done.value if case.open), None)
    raise AssertionError("the store in memory waits for nothing")


def told(life: Life, patient_id: str) -> set[Flag | Fact]:
    """What a replica knows of a patient's open flags, without who has it on disk."""
    entry = life.table.entries.get(patient_id)
    if entry is None:
        return set()
    flags = entry.ledger.open_flags()
    return {item for item in (*flags.values(), *entry.ledger.about(flags)) if not isinstance(item, Durable)}


def brief(item: Flag | Fact) -> str:
    return f"{item.KIND} {[flag_id[:8] for flag_id in ([item.flag_id] if isinstance(item, Flag) else item.flags)]}"
