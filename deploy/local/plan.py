"""What a stack consists of: its options, and the table of Vigil's own processes with everything they are told."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.credentials import Credentials
from deploy.local.embedded.parts import VARIABLE, Parts, part_of
from deploy.local.home import Home
from deploy.local.ports import BASE, LOOPBACK
from deploy.local.processes import ProcessPlan, priorities

PROFILES = ("default", "demo", "replay", "test")
# Pace of escalation per profile; without one the roster's own times count.
STEP_S = {"demo": "5", "test": "2"}
# The services of the programme around the crisis lane; whatever they do yields to a flag's way.
PROGRAMME = ("sessions", "outcomes", "notifications")
# By service and profile: times that a story, or a test, sees in seconds instead of minutes or days. A line for each variable.
PACE: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "sessions": {
        "demo": {"VIGIL_SESSIONS_LATE_S": "1", "VIGIL_SESSIONS_MISSED_S": "2"},
        "test": {"VIGIL_SESSIONS_LATE_S": "1", "VIGIL_SESSIONS_MISSED_S": "2", "VIGIL_SESSIONS_DROPPED_S": "2"},
    },
    "outcomes": {"demo": {}, "test": {"VIGIL_OUTCOMES_FOLLOW_UP_DAY_S": "1"}},
    "notifications": {
        "demo": {},
        "test": {
            "VIGIL_NOTIFICATIONS_MISSED_SECOND_S": "4",
            "VIGIL_NOTIFICATIONS_RETRY_S": "1,2,4",
            "VIGIL_NOTIFICATIONS_LEASE_S": "5",
            "VIGIL_NOTIFICATIONS_UNKNOWN_S": "5",
        },
    },
}
# Messages that are no pages come from another number than pages do: nobody takes one for the other.
MESSAGES_SENDER = "+15550000001"
_SAMPLE = Path(__file__).parent / "sample"
EVERY = "*"
EMBEDDED = "embedded"


@dataclass(frozen=True, slots=True)
class StackOptions:
    """What a stack is asked to be.

    `kafka_bootstrap` and `mongo_uri` name servers that run elsewhere; without them the stack starts its own. `port_base` None
    takes free ports. With `inherit` the caller's VIGIL_ variables win over ours. `extra_env` adds variables to a process by
    name (`*`: to all), `commands` replaces command lines, `without` leaves processes out. `steady_kafka` is for measurements.
    With `embedded` all services are one process on a bus and a store in memory, whatever servers are named.
    """

    home: Home
    profile: str = "default"
    crisis_replicas: int = 2
    port_base: int | None = BASE
    topic_prefix: str = "vigil"
    sample: bool = True
    kafka_bootstrap: str | None = None
    mongo_uri: str | None = None
    twilio_base_url: str | None = None
    steady_kafka: bool = False
    embedded: bool = False
    inherit: bool = True
    extra_env: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    commands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    without: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise ValueError(f"profile must be one of {', '.join(PROFILES)}, not {self.profile}")

    @property
    def replica_names(self) -> tuple[str, ...]:
        """crisis-0, crisis-1, …"""
        return tuple(f"crisis-{ordinal}" for ordinal in range(self.crisis_replicas))


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything of one stack is."""

    options: StackOptions
    ports: Mapping[str, int]
    kafka: str
    mongo: str
    credentials: Credentials

    def url(self, name: str) -> str:
        """Base URL of a process."""
        return f"http://{LOOPBACK}:{self.ports[name]}"

    @property
    def crisis_urls(self) -> tuple[str, ...]:
        """Base URLs of all replicas, in ordinal order."""
        return tuple(self.url(name) for name in self.options.replica_names)

    @property
    def phone_url(self) -> str:
        """Where the provider's API is: the simulator, or what the caller named instead."""
        return self.options.twilio_base_url or self.url("phone")

    def log(self, name: str) -> Path:
        """The log of a process."""
        return self.options.home.logs / f"{name}.log"


def phone_plan(layout: Layout) -> ProcessPlan:
    """The simulator of phones and their network."""
    own = layout.credentials
    # Replies to pages go to the first replica and, when that is dead, to the second; what patients answer goes to notifications.
    reply_urls = [f"{url}/v1/providers/twilio/sms" for url in layout.crisis_urls]
    words = ["--port", str(layout.ports["phone"]), "--account-sid", own.account_sid, "--auth-token-file", str(own.auth_token)]
    words += ["--numbers-url", reply_urls[0], "--numbers-fallback-url", reply_urls[-1 if len(reply_urls) < 2 else 1]]
    words += ["--number-url", f"{MESSAGES_SENDER}={layout.url('notifications')}/v1/providers/twilio/sms"]
    if layout.options.profile == "replay":
        words += ["--auto-answer", "--crisis-urls", ",".join(layout.crisis_urls), "--token-file", str(own.supervisor_token)]
    return _plan(layout, "phone", _module("deploy.local.phone", *words), {}, {}, ready_path="/_phone/pages")


def service_plans(layout: Layout) -> list[ProcessPlan]:
    """Vigil's services; one entry each: name, command, what the caller may override, what is fixed."""
    own, options = layout.credentials, layout.options
    intake = _plan(
        layout,
        "intake",
        _module("services.intake"),
        {
            "VIGIL_CRISIS_URLS": ",".join(layout.crisis_urls),
            "VIGIL_SERVICE_TOKEN_FILE": str(own.intake_token),
            "VIGIL_KEK_FILE": str(own.kek),
        },
        {"VIGIL_INTAKE_PORT": str(layout.ports["intake"])},
        nice=priorities().answers,
    )
    plans = [intake]
    for ordinal, name in enumerate(options.replica_names):
        replica = _plan(
            layout,
            name,
            _module("services.crisis"),
            {
                "VIGIL_CRISIS_ROSTER_FILE": str(_SAMPLE / ("roster.json" if options.sample else "nobody.json")),
                "VIGIL_CRISIS_LINK_KEY_FILE": str(own.link_key),
                "VIGIL_CRISIS_PUBLIC_URL": layout.crisis_urls[0],
                "VIGIL_SERVICE_TOKEN_FILE": str(own.crisis_token),
                "VIGIL_KEK_FILE": str(own.kek),
                "VIGIL_TWILIO_BASE_URL": layout.phone_url,
                "VIGIL_TWILIO_ACCOUNT_SID": own.account_sid,
                "VIGIL_TWILIO_AUTH_TOKEN_FILE": str(own.auth_token),
            }
            | ({"VIGIL_CRISIS_STEP_S": STEP_S[options.profile]} if options.profile in STEP_S else {}),
            {
                "VIGIL_CRISIS_ORDINAL": str(ordinal),
                "VIGIL_CRISIS_PEERS": ",".join(layout.crisis_urls),
                "VIGIL_CRISIS_PORT": str(layout.ports[name]),
                "VIGIL_CRISIS_JOURNAL_DIR": str(options.home.data / name),
            },
            # Without people a replica is rightly not ready, and still to be had: the roster comes over its API.
            ready_path="/health/ready" if options.sample else "/health/live",
            nice=priorities().pages,
        )
        plans.append(replica)
    return plans + programme_plans(layout)


def programme_plans(layout: Layout) -> list[ProcessPlan]:
    """Sessions, outcomes, notifications: each may raise flags, and has its own token for that."""
    own, profile = layout.credentials, layout.options.profile
    shared = {"VIGIL_CRISIS_URLS": ",".join(layout.crisis_urls), "VIGIL_KEK_FILE": str(own.kek)}
    provider = {
        "VIGIL_TWILIO_BASE_URL": layout.phone_url,
        "VIGIL_TWILIO_ACCOUNT_SID": own.account_sid,
        "VIGIL_TWILIO_AUTH_TOKEN_FILE": str(own.auth_token),
        "VIGIL_TWILIO_SENDER": MESSAGES_SENDER,
        # Where receipts and patients' replies come to.
        "VIGIL_NOTIFICATIONS_PUBLIC_URL": layout.url("notifications"),
    }
    return [
        _plan(
            layout,
            name,
            _module(f"services.{name}"),
            {
                **shared,
                **(provider if name == "notifications" else {}),
                "VIGIL_SERVICE_TOKEN_FILE": str(own.programme_tokens[name]),
                **PACE[name].get(profile, {}),
            },
            {f"VIGIL_{name.upper()}_PORT": str(layout.ports[name])},
        )
        for name in PROGRAMME
    ]


def embedded_plan(layout: Layout, parts: Sequence[ProcessPlan]) -> ProcessPlan:
    """One process instead of all of these, with everything that each of them would have been told."""
    told = Parts(layout.options.home.path / "embedded", tuple(part_of(plan.name, plan.command, plan.env) for plan in parts))
    return ProcessPlan(
        name=EMBEDDED,
        command=_module("deploy.local.embedded"),
        env={**base_env(inherit=False), "PYTHONUNBUFFERED": "1", VARIABLE: told.told()},
        log=layout.log(EMBEDDED),
        ports=tuple(port for plan in parts for port in plan.ports),
        nice=priorities().pages,
    )


def server_plan(options: StackOptions, name: str, command: list[str], ports: tuple[int, ...]) -> ProcessPlan:
    """A broker or a store; the first of its ports is the one that clients use."""
    log, url = options.home.logs / f"{name}.log", f"{LOOPBACK}:{ports[0]}"
    nice = priorities().answers if name.startswith("mongod") else priorities().others
    return ProcessPlan(name, tuple(command), base_env(inherit=False), log, url=url, ports=ports, nice=nice)


def base_env(*, inherit: bool) -> dict[str, str]:
    """The caller's environment; without `inherit` none of its VIGIL_ variables."""
    return {name: value for name, value in os.environ.items() if inherit or not name.startswith("VIGIL_")}


def _plan(
    layout: Layout,
    name: str,
    command: tuple[str, ...],
    defaults: Mapping[str, str],
    fixed: Mapping[str, str],
    *,
    ready_path: str = "/health/ready",
    nice: int | None = None,
) -> ProcessPlan:
    options, url = layout.options, layout.url(name)
    common = {
        "PYTHONUNBUFFERED": "1",
        "VIGIL_KAFKA_BOOTSTRAP": layout.kafka,
        "VIGIL_MONGO_URI": layout.mongo,
        "VIGIL_TOPIC_PREFIX": options.topic_prefix,
        "VIGIL_DEV_ISSUER_KEY_FILE": str(layout.credentials.issuer_key),
    }
    extra = {**options.extra_env.get(EVERY, {}), **options.extra_env.get(name, {})}
    return ProcessPlan(
        name=name,
        command=options.commands.get(name, command),
        env={**common, **defaults, **base_env(inherit=options.inherit), **fixed, **extra},
        log=layout.log(name),
        url=url,
        ready_url=url + ready_path,
        ports=(layout.ports[name],),
        nice=priorities().others if nice is None else nice,
    )


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *arguments)
