"""One run: the scene is played on virtual time, everything that matters is written down for the judge."""

from collections.abc import Callable
from dataclasses import dataclass, field

from services.crisis.domain.facts import Attempt, Fact, Flag
from services.crisis.domain.reference import Reference, reference_to, referred
from services.crisis.domain.replies import Reply
from services.crisis.engine import Outbound
from services.crisis.handlers import Refused, Unknown
from services.crisis.memory import MemoryCases
from services.crisis.ports import StoreSilent
from services.crisis.table import Table
from shared.time.ids import page_code
from tests.unit.crisis.simulation.life import Bus, Clinic, Life, wall_of
from tests.unit.crisis.simulation.outside import EPOCH, Machine, Ring, Troubles
from tests.unit.crisis.simulation.scene import ADAEZE, BRUNO, Crash, Raised, Scene, scene_of
from tests.unit.crisis.simulation.world import World


@dataclass
class Mutant:
    """A way to build the product wrong, through what it is given from outside."""

    outbound: Callable[[Outbound], Outbound] = lambda pager: pager
    table: Callable[[float], Table] = Table
    scene: Callable[[Scene], Scene] = lambda scene: scene


@dataclass
class Closing:
    """A human closed flags; the store has it since."""

    at: float
    flags: tuple[str, ...]


@dataclass
class Run:
    """The world after a scene was played in it."""

    scene: Scene
    world: World
    clinic: Clinic
    rings: list[Ring] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    closings: list[Closing] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    detailed: bool = False
    replies: int = 0

    # What happens

    def say(self, who: str, what: str) -> None:
        """A line of the timeline."""
        self.lines.append(f"{self.world.now:9.4f}  {who:9}  {what}")

    def detail(self, who: str, item: Flag | Fact) -> None:
        """A fact that a replica writes down."""
        if self.detailed:
            about = getattr(item, "attempt", None) or getattr(item, "person", "")
            names = " ".join(flag_id[:8] for flag_id in ([item.flag_id] if isinstance(item, Flag) else item.flags))
            told = f"{about.by} {about.person} {about.channel} k {about.k}" if isinstance(about, Attempt) else about
            self.say(who, f"    notes {item.KIND} {names} {told}")

    def play(self) -> None:
        """Let the scene happen."""
        scene, world = self.scene, self.world
        for machine in self.clinic.machines:
            world.at(scene.starts[machine.name], self._start, machine)
        for raised in scene.flags:
            world.at(raised.at, self._raise, raised)
        for window in scene.windows:
            if window.kind == "freeze":
                world.at(window.begins, self._freeze, self._machine(window.who[0]), window.ends)
            else:
                world.at(window.begins, self.say, "fault", f"{window.kind} {' '.join(window.who)} until {window.ends:.1f}")
        for crash in scene.crashes:
            world.at(crash.at, self._crash, crash)
        world.at(scene.people_act_from_s, self._everybody_answers)
        for at in scene.closes_at:
            world.at(at, self._close_somehow)
        world.run(scene.end_s)

    def _machine(self, name: str) -> Machine:
        return next(machine for machine in self.clinic.machines if machine.name == name)

    def _start(self, machine: Machine) -> None:
        if machine.life is not None:
            return
        self.say(machine.name, "starts" if machine.lives == 0 else "starts again")
        self.lives.append(Life(self.clinic, machine))

    def _crash(self, crash: Crash) -> None:
        machine = self._machine(crash.who)
        life = machine.life
        if life is None:
            return
        life.mourned_by = lambda: self.world.after(crash.restarts_after_s, self._restart, machine, crash.loses_disk)
        if life.loop.frozen:
            life.kill()
        elif crash.when_it_says is not None:
            life.dies_saying = (crash.when_it_says, crash.after_callbacks)
        else:
            life.loop.dies_after = crash.after_callbacks

    def _restart(self, machine: Machine, loses_disk: bool) -> None:
        if loses_disk:
            self.say(machine.name, "has lost its disk")
            machine.frames.clear()
            machine.bus_read, machine.kept_skew_s = 0, 0.0
        self._start(machine)

    def _freeze(self, machine: Machine, until: float) -> None:
        life = machine.life
        if life is not None:
            self.say(machine.name, "freezes")
            life.loop.freeze()
            self.world.at(until, self._thaw, life)

    def _thaw(self, life: Life) -> None:
        if life.loop.alive:
            self.say(life.machine.name, "thaws")
            life.loop.thaw()

    # Flags

    def _raise(self, raised: Raised) -> None:
        self.say("intake", f"{raised.flag.rule} {raised.flag.level} of {raised.flag.patient_id} {raised.flag.flag_id[:8]}")
        for name in raised.express:
            self._express(name, raised)
        dead = [w for w in self.scene.windows if w.kind == "bus dead" and not w.who and w.begins <= raised.at < w.ends]
        # Intake's clock is right within 20 ms; a dead bus gets its record when it is back.
        accepted_at = EPOCH + raised.at + self.world.between(-0.02, 0.0)
        self.world.at(dead[0].ends if dead else raised.at, self.clinic.bus.publish, raised.flag, accepted_at)
        if dead:
            self.world.after(1.0, self._rescan, raised)

    def _express(self, name: str, raised: Raised) -> None:
        self.world.after(self.world.between(0.0004, 0.003), self._express_arrives, self._machine(name), raised)

    def _express_arrives(self, machine: Machine, raised: Raised) -> None:
        life = machine.life
        if life is not None:
            life.loop.deliver(life.hear_express, raised.flag, self.world.now - raised.at)

    def _rescan(self, raised: Raised) -> None:
        """Intake sends again what no replica has confirmed."""
        if not any(raised.flag in life.heard_at for life in self.lives):
            for machine in self.clinic.machines:
                self._express(machine.name, raised)
            self.world.after(1.0, self._rescan, raised)

    # People

    def took(self, ring: Ring, provider_id: str) -> None:
        """A page reached a provider."""
        self.rings.append(ring)
        attempt = ring.page.attempt
        names = " ".join(flag_id[:8] for flag_id in attempt.flags)
        how = "rings" if ring.rang else "is asked for"
        self.say(
            ring.by,
            f"{ring.provider} {how} {attempt.person} {attempt.channel} for {names}"
            f" step {attempt.step} n {attempt.n} k {attempt.k}{'' if ring.page.first else ' again'}"
            f"{'' if ring.accepted else ' (not accepted)'}",
        )
        if ring.accepted and self.scene.receipts:
            self.world.after(self.world.between(0.05, 0.6), self._receipt, ring, provider_id)
        answering = self.scene.answering.get(attempt.person)
        if ring.rang and answering is not None and self.world.now < self.scene.people_act_from_s:
            self.world.after(answering.after_s, self._answer, ring, answering.how)

    def _receipt(self, ring: Ring, provider_id: str) -> None:
        life = self._machine(ring.by).life
        if life is not None:
            about = referred(reference_to(ring.page.flag.flag_id, ring.page.attempt))
            life.loop.deliver(_receipt_heard, life, about, provider_id)

    def _answer(self, ring: Ring, how: str) -> None:
        person = ring.page.attempt.person
        text = "1" if how == "bare" else ring.text.split(" - ")[1]
        self._reply(person, text, ring.page.flag.flag_id if how == "link" else None)

    def _reply(self, person: str, text: str, flag_id: str | None) -> None:
        """The number's own replica, else its fallback; else the person tries again."""
        self.replies += 1
        reply_id = f"SM{self.replies}"
        for machine in self.clinic.machines:
            if machine.life is not None:
                self.say(person, f"answers {flag_id[:8] if flag_id else text} to {machine.name}")
                machine.life.loop.deliver(_reply_heard, machine.life, reply_id, person, text, flag_id)
                return
        self.world.after(1.0, self._reply, person, text, flag_id)

    def _everybody_answers(self) -> None:
        """In the end two people of different roles take every flag that is still open."""
        for raised in self.scene.flags:
            for person in (ADAEZE, BRUNO):
                self._reply(person, page_code(raised.flag.flag_id), raised.flag.flag_id)

    def _close_somehow(self) -> None:
        """A clinician closes what is open, through whichever replica answers."""
        life = next((m.life for m in self.clinic.machines if m.life is not None and not m.life.loop.frozen), None)
        if life is None:
            self.world.after(0.5, self._close_somehow)
            return
        for patient_id in dict.fromkeys(raised.flag.patient_id for raised in self.scene.flags):
            life.loop.start(self._resolve(life, patient_id))

    async def _resolve(self, life: Life, patient_id: str) -> None:
        """A clinician closes the case, naming its flags; refused for an unseen one, they look again."""
        for _ in range(10):
            case = life.table.case(patient_id)
            if case is None:
                return
            flags = tuple(sorted(case.flags))
            try:
                await life.handlers.resolve(flags[0], ADAEZE, None, flags, "low", BRUNO)
            except (Refused, StoreSilent, Unknown) as error:
                self.say(ADAEZE, f"cannot close {patient_id}: {error!r}")
                await life.clock.sleep(0.5)
                continue
            self.say(ADAEZE, f"closes {patient_id}")
            self.closings.append(Closing(self.world.now, flags))
            return


def _receipt_heard(life: Life, page: Reference, provider_id: str) -> None:
    life.handlers.receipt(page, provider_id, "delivered")


def _reply_heard(life: Life, reply_id: str, person: str, text: str, flag_id: str | None) -> None:
    life.handlers.reply(Reply(reply_id, person, text, flag_id, "link" if flag_id else "sms", at=life.clock.now()))


def played(seed: int, mutant: Mutant = Mutant(), *, detailed: bool = False) -> Run:  # noqa: B008 - nothing in it changes
    """The run with this seed."""
    scene = mutant.scene(scene_of(seed))
    world = World(seed)
    troubles = Troubles(scene.windows)
    machines = [
        Machine(name, troubles, scene.wall_off_s[name], boot_s=1000.0 * (index + 1))
        for index, name in enumerate(scene.replicas)
    ]
    run: Run
    clinic = Clinic(
        world,
        scene.times,
        scene.roster,
        machines,
        MemoryCases(lambda: wall_of(world)),
        Bus(world),
        took=lambda ring, provider_id: run.took(ring, provider_id),
        say=lambda who, what: run.say(who, what),
        detail=lambda who, item: run.detail(who, item),
        two_providers=scene.two_providers,
        make_outbound=mutant.outbound,
        make_table=mutant.table,
    )
    run = Run(scene, world, clinic, detailed=detailed)
    run.play()
    return run
