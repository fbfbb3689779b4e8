"""The services composed in this process over a bus and a store in memory, and one request to them without a socket."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.types import ASGIApp, Message

from deploy.local.credentials import ensure_credentials
from deploy.local.embedded.parts import environment
from deploy.local.home import Home
from deploy.local.plan import Layout, StackOptions, service_plans
from deploy.local.ports import contract_ports, free_ports
from services.crisis import app as crisis
from services.crisis.settings import CrisisSettings, SharedSettings
from services.intake import app as intake
from services.intake.settings import IntakeSettings
from services.notifications import app as notifications
from services.notifications.settings import NotificationsSettings
from services.outcomes import app as outcomes
from services.outcomes.settings import OutcomesSettings
from services.sessions import app as sessions
from services.sessions.settings import SessionsSettings
from shared.chassis.application import Parts, Service, compose_service
from shared.chassis.memory import Memory
from shared.chassis.settings import DeploymentSettings
from shared.security.auth import TokenIssuer

_IN_MEMORY = "memory"
# The services of the chassis: their settings, and what builds them.
PROGRAMME: Mapping[str, tuple[Callable[[], Any], Callable[[Parts, Any], Service]]] = {
    "sessions": (SessionsSettings, sessions.build),
    "outcomes": (OutcomesSettings, outcomes.build),
    "notifications": (NotificationsSettings, notifications.build),
}


@dataclass(frozen=True, slots=True)
class Composed:
    """Every service's application by name, and who signs their tokens."""

    apps: Mapping[str, ASGIApp]
    issuer: TokenIssuer


@dataclass(frozen=True, slots=True)
class Told:
    """One answer."""

    status: int
    kind: str
    text: str


@asynccontextmanager
async def composed(directory: Path, programme: Sequence[str] = ()) -> AsyncIterator[Composed]:
    """Intake, one crisis replica and these services of the programme as `vigil up --embedded` wires them, without listening; no
    provider answers."""
    options = StackOptions(
        Home(directory), profile="test", crisis_replicas=1, port_base=None, topic_prefix="t", inherit=False, embedded=True
    )
    names = list(contract_ports(crisis_replicas=1))
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    credentials = ensure_credentials(options.home)
    plans = {plan.name: plan for plan in service_plans(Layout(options, ports, _IN_MEMORY, _IN_MEMORY, credentials))}
    with environment(plans["intake"].env):
        # Nobody listens at the receivers' addresses: it need not wait for them before it is ready.
        deployment, of_intake = DeploymentSettings(), IntakeSettings().model_copy(update={"warm_up_s": 0.01})
    with environment(plans["crisis-0"].env):
        shared, of_crisis = SharedSettings(), CrisisSettings()
    memory = Memory("t")
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(intake.compose(deployment, of_intake, outside=memory))
        app, drain = await stack.enter_async_context(crisis.compose(shared, of_crisis, outside=memory))
        others = {name: await stack.enter_async_context(_programme(name, plans[name].env, memory)) for name in programme}
        apps = {"intake": one.app, "crisis-0": app} | {name: other.app for name, other in others.items()}
        yield Composed(apps, credentials.issuer)
        for finish in (one.drain, drain, *(other.drain for other in others.values())):
            await finish()


@asynccontextmanager
async def _programme(name: str, env: Mapping[str, str], memory: Memory) -> AsyncIterator[Any]:
    settings, build = PROGRAMME[name]

    def built(parts: Parts) -> Service:
        with environment(env):
            return build(parts, own)

    with environment(env):
        deployment, own = DeploymentSettings(), settings()
    async with compose_service(name, deployment, built, outside=memory) as running:
        yield running


async def ask(app: ASGIApp, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Told:
    """One request and its whole answer."""
    target = urlsplit(url)
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": unquote(target.path), "root_path": "",
        "raw_path": target.path.encode(), "query_string": target.query.encode(), "server": ("t", 80), "client": ("t", 1),
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
    }  # fmt: skip
    given = False
    told: list[Message] = []

    async def receive() -> Message:
        nonlocal given
        message = {"type": "http.disconnect"} if given else {"type": "http.request", "body": body, "more_body": False}
        given = True
        return message

    async def send(message: Message) -> None:
        told.append(message)

    await app(scope, receive, send)
    start = next(message for message in told if message["type"] == "http.response.start")
    kinds = [value.decode("latin-1") for name, value in start["headers"] if name.lower() == b"content-type"]
    whole = b"".join(message.get("body", b"") for message in told if message["type"] == "http.response.body")
    return Told(start["status"], kinds[0] if kinds else "", whole.decode(errors="replace"))
