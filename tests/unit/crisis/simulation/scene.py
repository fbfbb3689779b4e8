"""What happens in the run with a given seed: which flags come, what breaks, and what people do."""

import random
from dataclasses import dataclass, field

from services.crisis.domain.decide import replica_order
from services.crisis.domain.facts import Flag
from services.crisis.domain.roster import ContactMethod, Person, Policy, Roster, Step
from services.crisis.times import Times
from shared.contracts.levels import LEVELS, Level
from shared.time.ids import derived_id
from tests.unit.crisis.simulation.outside import Window

ADAEZE, BRUNO, CHIARA, DMITRI = "adaeze", "bruno", "chiara", "dmitri"
ROLES = {ADAEZE: "clinician", BRUNO: "psychiatrist", CHIARA: "supervisor", DMITRI: "clinician"}
KINDS = {ADAEZE: ("sms", "voice"), BRUNO: ("sms",), CHIARA: ("sms", "voice"), DMITRI: ("sms",)}
STEP_S = 3.0
# Shorter than in life, so that a scene of half a minute sees a hung provider come back and everybody ring again.
RETRY_S = (0.0, 0.0, 1.0, 3.0, 8.0)
RERING_S = 5.0
ROUND_S = 3 * STEP_S
# Nothing is broken after this; then everybody is answered for and the replicas come to agree.
FAULTS_END_S = 10.0
PEOPLE_ACT_FROM_S = 20.0
END_S = 24.0

# What can break, alone. Every one of them leaves a working way.
SINGLE = (
    "store refuses",
    "store hangs",
    "store slow",
    "store ambiguous",
    "link cut",
    "link lossy",
    "path refused",
    "path hangs",
    "bus dead",
    "crash",
    "freeze",
    "clocks",
    "late start",
)
# Those that strike hardest at the worst moment are tried more often.
OFTEN = (*SINGLE, *2 * ("crash", "freeze", "path hangs"), "path refused", "link cut")
PROVIDER = ("twilio refuses", "twilio hangs", "twilio resets", "twilio slow")
STORE = ("store refuses", "store hangs", "store slow", "store ambiguous")


@dataclass(frozen=True, slots=True)
class Raised:
    """A flag, when, and by which replicas it is heard directly."""

    at: float
    flag: Flag
    express: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answering:
    """Whether and how somebody answers a page: by `code`, `bare` 1 or `link`, after so many seconds."""

    after_s: float
    how: str


@dataclass(frozen=True, slots=True)
class Crash:
    """A replica is killed so many callbacks after a moment, and starts again later.

    With `when_it_says` (a kind of fact) the moment is when it next writes such a fact down.
    """

    at: float
    who: str
    after_callbacks: int
    restarts_after_s: float
    loses_disk: bool = False
    when_it_says: str | None = None


@dataclass
class Scene:
    """Everything decided beforehand."""

    seed: int
    chance: random.Random
    replicas: tuple[str, ...]
    roster: Roster
    times: Times
    flags: list[Raised] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    crashes: list[Crash] = field(default_factory=list)
    wall_off_s: dict[str, float] = field(default_factory=dict)
    starts: dict[str, float] = field(default_factory=dict)
    answering: dict[str, Answering] = field(default_factory=dict)
    closes_at: list[float] = field(default_factory=list)
    receipts: bool = True
    two_providers: bool = False
    kinds: set[str] = field(default_factory=set)

    @property
    def patience_s(self) -> float:
        """How much longer than usual a flag may be silent: a provider that hangs is asked at the longest spacing."""
        return RETRY_S[-1] + 3.0 if self.kinds & {"twilio hangs", "twilio resets", "twilio slow"} else 0.0

    @property
    def people_act_from_s(self) -> float:
        """When everybody who has not answered yet does."""
        return PEOPLE_ACT_FROM_S + self.patience_s

    @property
    def end_s(self) -> float:
        """When the run is over."""
        return END_S + self.patience_s

    @property
    def healthy(self) -> bool:
        """Whether nothing at all is broken."""
        return not self.kinds

    @property
    def single(self) -> bool:
        """Whether one thing of ours is broken, and all providers work."""
        late = sum(at > 0.0 for at in self.starts.values())
        faults = len(self.windows) + len({crash.at for crash in self.crashes}) + late
        return len(self.kinds) <= 1 and faults <= 1 and self.kinds <= set(SINGLE)


def roster() -> Roster:
    """Three steps of one person each, three seconds apart, and a pool of one."""
    people = {
        name: Person(
            name,
            name.title(),
            "Europe/Rome",
            (ROLES[name],),
            tuple(ContactMethod(f"{name}-{kind}", kind, f"+1{name}{kind}") for kind in kinds),
        )
        for name, kinds in KINDS.items()
    }
    steps = (Step(0.0, (ADAEZE,)), Step(STEP_S, (BRUNO,)), Step(2 * STEP_S, (CHIARA,)))
    return Roster(1, people, {level: Policy(steps, (DMITRI,), STEP_S) for level in LEVELS})


def scene_of(seed: int) -> Scene:
    """The scene with this number. Themes take turns, so that any few hundred seeds hold some of each."""
    chance = random.Random(f"scene-{seed}")
    replicas = tuple(f"crisis-{n}" for n in range(chance.choice((2, 2, 3))))
    scene = Scene(seed, chance, replicas, roster(), Times(retry=RETRY_S, rering=RERING_S))
    scene.wall_off_s = dict.fromkeys(replicas, 0.0)
    scene.starts = dict.fromkeys(replicas, 0.0)
    scene.receipts = chance.random() < 0.7
    THEMES[seed % len(THEMES)](scene)
    return scene


# Themes


def all_is_well(scene: Scene) -> None:
    """Flags come, alone or joining; some people answer; nothing breaks."""
    _raise_some(scene)
    _somebody_answers(scene, 0.3)
    _somebody_closes(scene, 0.3)


def one_fault_at_the_first_page(scene: Scene) -> None:
    """The worst moment for one thing of ours to break: just as the flag comes."""
    _raise_some(scene)
    _break(scene, scene.chance.choice(OFTEN), _about(scene, 0.0))
    _somebody_answers(scene, 0.2)


def one_fault_at_a_later_step(scene: Scene) -> None:
    """Something of ours breaks while the case escalates or rings again."""
    _raise_some(scene)
    _break(scene, scene.chance.choice(OFTEN), _about(scene, scene.chance.choice((STEP_S, 2 * STEP_S, 3 * STEP_S))))
    _somebody_answers(scene, 0.2)
    _somebody_closes(scene, 0.2)


def a_flag_joins(scene: Scene) -> None:
    """Somebody has the case when a further flag comes; perhaps something breaks just then."""
    chance = scene.chance
    first = _raise(scene, chance.uniform(1.0, 2.0), f"patient-{scene.seed}")
    owner = chance.choice((ADAEZE, BRUNO))
    scene.answering[owner] = Answering(0.4, chance.choice(("code", "link")))
    _raise(scene, first.at + chance.choice((2.0, 5.0) if owner == ADAEZE else (5.0, 7.0)), first.flag.patient_id)
    if chance.random() < 0.5:
        _break(scene, chance.choice(OFTEN), _about(scene, 0.0))


def the_provider_breaks(scene: Scene) -> None:
    """It refuses, hangs, resets or is slow for a while; now and then there is another one."""
    _raise_some(scene)
    _break(scene, scene.chance.choice(PROVIDER), _about(scene, scene.chance.choice((0.0, 0.0, STEP_S))))
    scene.two_providers = scene.chance.random() < 0.25


def people_are_slow(scene: Scene) -> None:
    """One person takes an imminent case that needs two; cases are closed early; something may break."""
    chance = scene.chance
    _raise(scene, chance.uniform(1.0, 3.0), f"patient-{scene.seed}", "imminent")
    _raise_some(scene)
    scene.answering[chance.choice((ADAEZE, BRUNO))] = Answering(0.4, chance.choice(("code", "bare", "link")))
    _somebody_closes(scene, 0.5)
    if chance.random() < 0.4:
        _break(scene, chance.choice(OFTEN), _about(scene, chance.choice((0.0, STEP_S))))


def clocks_are_wrong_and_the_store_is_away(scene: Scene) -> None:
    """Wall clocks off by minutes, and no store to tell until later."""
    _raise_some(scene)
    _break(scene, "clocks", 0.0)
    kind = scene.chance.choice(("store refuses", "store hangs"))
    scene.kinds.add(kind)
    scene.windows.append(Window(kind, 0.0, scene.chance.uniform(2.0, FAULTS_END_S)))
    if scene.chance.random() < 0.5:
        _break(scene, scene.chance.choice(("crash", "all crash", "freeze")), scene.chance.uniform(1.0, 12.0))


def everything_dies(scene: Scene) -> None:
    """All replicas are killed, with the store away or there; nothing may be forgotten, least of all who has it."""
    chance = scene.chance
    _raise_some(scene)
    _somebody_answers(scene, 0.3)
    if chance.random() < 0.5:
        scene.answering[ADAEZE] = Answering(0.4, "code")
    _break(scene, "all crash", _about(scene, chance.choice((0.0, 0.5, 1.0, STEP_S))))
    if chance.random() < 0.7:
        kind = chance.choice((*STORE, "store hangs", "store refuses"))
        scene.kinds.add(kind)
        scene.windows.append(Window(kind, 0.5, chance.uniform(5.0, FAULTS_END_S)))


def killed_in_the_act(scene: Scene) -> None:
    """The replica that acts first dies just after it said what it is about to do, or did, and stays away for a while."""
    chance = scene.chance
    raised = _raise(scene, chance.uniform(1.0, 3.0), f"patient-{scene.seed}")
    scene.kinds.add("crash")
    at = raised.at + chance.choice((-0.2, STEP_S - 0.2, 2 * STEP_S - 0.2))
    first = replica_order(raised.flag.patient_id, scene.replicas)[0]
    says = chance.choice(("intended", "sending", "handed"))
    scene.crashes.append(Crash(at, first, chance.randrange(0, 4), 5.0, when_it_says=says))


def an_answer_is_lost_on_the_way(scene: Scene) -> None:
    """Links lose messages while the store is away: what a human said must come through all the same."""
    chance = scene.chance
    raised = _raise(scene, chance.uniform(1.0, 3.0), f"patient-{scene.seed}")
    scene.answering[chance.choice((ADAEZE, BRUNO))] = Answering(chance.uniform(0.4, 2.0), "code")
    store = chance.choice(("store refuses", "store hangs"))
    scene.kinds |= {"link lossy", store}
    scene.windows.append(Window(store, raised.at - 0.1, FAULTS_END_S))
    scene.windows.append(Window("link lossy", raised.at - 0.1, FAULTS_END_S))


def a_closed_case_is_read_again(scene: Scene) -> None:
    """A case was closed; a replica that lost its disk reads the topic from a day back."""
    _raise_some(scene)
    scene.closes_at = [scene.flags[-1].at + scene.chance.uniform(0.5, 3.0)]
    scene.kinds.add("crash")
    at = scene.closes_at[0] + scene.chance.uniform(0.5, 2.0)
    scene.crashes.append(Crash(at, scene.chance.choice(scene.replicas), 0, 0.5, loses_disk=True))


def peers_cannot_hear_each_other(scene: Scene) -> None:
    """Links are cut or lossy; the store may be away as well."""
    _raise_some(scene)
    _somebody_answers(scene, 0.5)
    _break(scene, scene.chance.choice(("link cut", "link lossy")), _about(scene, 0.0))
    if scene.chance.random() < 0.5:
        _break(scene, scene.chance.choice(STORE), _about(scene, 0.0))


def several_things_break(scene: Scene) -> None:
    """Anything at once."""
    _raise_some(scene)
    for _ in range(scene.chance.choice((2, 3, 4))):
        kind = scene.chance.choice((*SINGLE, *PROVIDER, "all crash"))
        _break(scene, kind, scene.chance.choice((_about(scene, 0.0), _about(scene, STEP_S), 0.0)))
    _somebody_answers(scene, 0.35)
    _somebody_closes(scene, 0.3)


THEMES = (
    all_is_well,
    one_fault_at_the_first_page,
    one_fault_at_the_first_page,
    one_fault_at_a_later_step,
    a_flag_joins,
    the_provider_breaks,
    people_are_slow,
    clocks_are_wrong_and_the_store_is_away,
    everything_dies,
    killed_in_the_act,
    an_answer_is_lost_on_the_way,
    a_closed_case_is_read_again,
    peers_cannot_hear_each_other,
    several_things_break,
    several_things_break,
)


# Their parts


def _raise_some(scene: Scene) -> None:
    chance = scene.chance
    patients = [f"patient-{scene.seed}-{n}" for n in range(chance.choice((1, 1, 2)))]
    for _ in range(chance.choice((1, 1, 2, 3))):
        _raise(scene, chance.choice((chance.uniform(1.0, 2.0), chance.uniform(1.0, 6.0))), chance.choice(patients))


def _raise(scene: Scene, at: float, patient_id: str, level: Level | None = None) -> Raised:
    chance, number = scene.chance, len(scene.flags)
    flag_id = derived_id("flag", str(scene.seed), str(number))
    level = level or chance.choices(LEVELS, weights=(1, 3, 4, 2))[0]
    heard = tuple(name for name in scene.replicas if chance.random() < 0.8)
    raised = Raised(at, Flag(flag_id, patient_id, level, f"flag-{number}"), heard)
    scene.flags.append(raised)
    return raised


def _about(scene: Scene, later_s: float) -> float:
    """A moment around the one at which a flag comes or its case moves on."""
    chance = scene.chance
    about_s = chance.choice((chance.uniform(-0.3, 0.0), chance.uniform(0.0, 0.03), chance.uniform(0.0, 0.4)))
    return max(0.1, chance.choice(scene.flags).at + later_s + about_s)


def _victim(scene: Scene) -> str:
    """Mostly the replica that acts first for some patient: others are hardly missed."""
    if scene.chance.random() < 0.7:
        return replica_order(scene.chance.choice(scene.flags).flag.patient_id, scene.replicas)[0]
    return scene.chance.choice(scene.replicas)


def _somebody_answers(scene: Scene, likely: float) -> None:
    chance = scene.chance
    for name in (ADAEZE, BRUNO, CHIARA, DMITRI):
        if chance.random() < likely:
            after_s = chance.choice((0.4, chance.uniform(0.5, 4.0)))
            scene.answering[name] = Answering(after_s, chance.choice(("code", "code", "bare", "link")))


def _somebody_closes(scene: Scene, likely: float) -> None:
    if scene.chance.random() < likely:
        scene.closes_at = [scene.chance.uniform(scene.flags[0].at + 0.2, PEOPLE_ACT_FROM_S)]


def _break(scene: Scene, kind: str, begins: float) -> None:
    chance = scene.chance
    ends = min(FAULTS_END_S, begins + chance.choice((0.4, 2.0, 6.0, FAULTS_END_S)))
    if chance.random() < 0.25 and len(scene.kinds) == 0 and kind in ("link cut", "store refuses"):
        # For good: there is another way. (A store that is away for good is away for one replica only.)
        ends = 2 * END_S
    scene.kinds.add(kind)
    if kind in ("crash", "all crash"):
        again_s = chance.uniform(0.3, 3.0)
        for name in scene.replicas if kind == "all crash" else (_victim(scene),):
            loses_disk = kind == "crash" and chance.random() < 0.25
            says = chance.choice((None, "intended", "sending", "handed"))
            callbacks = chance.randrange(0, 4 if says else 25)
            scene.crashes.append(Crash(begins - (0.1 if says else 0.0), name, callbacks, again_s, loses_disk, says))
    elif kind == "freeze":
        scene.windows.append(Window("freeze", begins, begins + chance.choice((0.1, 0.4, 1.5, 4.0)), (_victim(scene),)))
    elif kind == "clocks":
        scene.wall_off_s = {name: chance.choice((0.0, -300.0, 300.0, 45.0)) for name in scene.replicas}
    elif kind == "late start":
        scene.starts[_victim(scene)] = begins + chance.uniform(0.0, 4.0)
    elif kind.startswith("link"):
        scene.windows.append(Window(kind, begins, ends, tuple(chance.sample(scene.replicas, 2))))
    elif kind.startswith("path"):
        scene.windows.append(Window(kind, begins, ends, (_victim(scene),)))
    elif kind in PROVIDER:
        scene.windows.append(Window(kind, begins, ends))
    else:
        who = (_victim(scene),) if chance.random() < 0.5 or ends > END_S else ()
        scene.windows.append(Window(kind, begins, ends, who))
