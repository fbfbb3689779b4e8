"""People who can be paged, and how they are reached."""

from dataclasses import dataclass, field

CHANNELS = ("sms", "push", "voice")
_CHANNEL_OF_KIND = {"sms": "sms", "voice": "voice", "push": "push"}


@dataclass(frozen=True, slots=True)
class ContactMethod:
    """One way to reach a person; `kind` is sms, voice, push, webhook or email, `address` what the provider dials."""

    id: str
    kind: str
    address: str


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody on the roster; `zone` is an IANA time zone, used for the time in a page's text."""

    id: str
    name: str
    zone: str
    roles: tuple[str, ...]
    contact_methods: tuple[ContactMethod, ...]
    languages: tuple[str, ...] = ("en",)

    def address(self, channel: str) -> str | None:
        """Where this person is reached on a channel."""
        return next((m.address for m in self.contact_methods if _CHANNEL_OF_KIND.get(m.kind) == channel), None)

    def channels(self) -> tuple[str, ...]:
        """The channels this person has, the quickest first."""
        return tuple(channel for channel in CHANNELS if self.address(channel) is not None)

    @property
    def role(self) -> str:
        """The role that counts when two distinct roles are asked for."""
        return self.roles[0] if self.roles else "clinician"


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a policy: whom to page so many seconds after the episode (or the round) began."""

    after_s: float
    people: tuple[str, ...]
    channels: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """Steps for one level; after the last one the policy starts again after `interval_s`, with the fallback pool added."""

    steps: tuple[Step, ...]
    fallback: tuple[str, ...]
    interval_s: float


@dataclass(frozen=True, slots=True)
class Roster:
    """Who there is and what the policies say; a value, replaced as a whole. `plans` is what policies derived from it."""

    version: int
    people: dict[str, Person] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    plans: dict[object, object] = field(default_factory=dict, init=False, compare=False, repr=False)

    def eligible(self, people: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the given people whom a page can reach, each once, in order."""
        return tuple(dict.fromkeys(p for p in people if p in self.people and self.people[p].channels()))

    def everybody(self) -> tuple[str, ...]:
        """All who can be reached: the last resort when a policy and its fallback pool name nobody."""
        return self.eligible(tuple(self.people))

    def on_duty(self, person_id: str) -> bool:
        """Whether some step of some policy names this person."""
        return any(person_id in step.people for policy in self.policies.values() for step in policy.steps)

    def person_at(self, address: str) -> Person | None:
        """Whose phone this is."""
        return next((p for p in self.people.values() if any(m.address == address for m in p.contact_methods)), None)


class RosterRefused(ValueError):
    """A roster document cannot be used; the text says where and what to do."""


def roster_of(document: dict[str, object], step_s: float | None = None) -> Roster:
    """The roster in a JSON document; with `step_s` every policy steps at that pace (profiles for demos and tests)."""
    try:
        people = {str(p["id"]): _person(p) for p in document["people"]}  # type: ignore[attr-defined]
        policies = {str(level): _policy(p, step_s) for level, p in document["policies"].items()}  # type: ignore[attr-defined]
        version = int(document["version"])  # type: ignore[call-overload]
    except (KeyError, TypeError, ValueError) as error:
        raise RosterRefused(f"the roster lacks or garbles {error}; see the sample roster") from None
    for level in ("low", "moderate", "high", "imminent"):
        if level not in policies or not policies[level].steps:
            raise RosterRefused(f"the roster has no policy with steps for level {level}")
    return Roster(version, people, policies)


def _person(raw: dict[str, object]) -> Person:
    methods = tuple(ContactMethod(str(m["id"]), str(m["kind"]), str(m["address"])) for m in raw["contact_methods"])  # type: ignore[attr-defined]
    roles = tuple(str(role) for role in raw.get("roles", ()))  # type: ignore[attr-defined]
    languages = tuple(str(code) for code in raw.get("languages", ("en",)))  # type: ignore[attr-defined]
    return Person(str(raw["id"]), str(raw.get("name", raw["id"])), str(raw["zone"]), roles, methods, languages)


def _policy(raw: dict[str, object], step_s: float | None) -> Policy:
    steps = []
    for index, step in enumerate(raw["steps"]):  # type: ignore[arg-type,var-annotated]
        after_s = float(step["after_s"]) if step_s is None else index * step_s
        channels = tuple(step["channels"]) if step.get("channels") else None
        steps.append(Step(after_s, tuple(str(p) for p in step["people"]), channels))
    interval_s = float(raw["interval_s"]) if step_s is None else step_s  # type: ignore[arg-type]
    starts = [step.after_s for step in steps]
    if interval_s <= 0.0 or starts != sorted(starts) or starts[:1] not in ([], [0.0]):
        raise ValueError("a policy whose steps do not begin at 0 and go forward, or that never starts again")
    return Policy(tuple(steps), tuple(str(p) for p in raw.get("fallback", ())), interval_s)  # type: ignore[attr-defined]
