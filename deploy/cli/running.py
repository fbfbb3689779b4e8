"""How subcommands reach the running stack: its record, its addresses, tokens of its issuer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from deploy.local.apis import Crisis, Intake, Patience, PhoneNetwork, Unreachable, calling
from deploy.local.credentials import issuer_of
from deploy.local.home import Home, default_home
from deploy.local.record import StackNotRunning, StackRecord, running_stack

_TOKEN_S = 12 * 3600


@dataclass(frozen=True, slots=True)
class Running:
    """The stack that runs in a home, and callers of its services."""

    home: Home
    record: StackRecord
    intake: Intake
    crisis: Crisis
    phone: PhoneNetwork
    supervisor: Crisis


@asynccontextmanager
async def running(connections: int = 64) -> AsyncIterator[Running]:
    """The running stack; raises StackNotRunning, also when its services stop answering while it is used."""
    home = default_home()
    record = running_stack(home)
    issuer = issuer_of(home)
    if issuer is None:
        raise StackNotRunning(f"{home.secrets} holds no issuer key")
    service = issuer.issue("vigil-cli", "service", (), _TOKEN_S)
    clinician = issuer.issue("ana", "clinician", (), _TOKEN_S)
    supervisor = issuer.issue("vigil-cli", "supervisor", (), _TOKEN_S)
    async with calling(connections) as session:
        try:
            yield Running(
                home,
                record,
                Intake("intake", session, [record.intake_url], service),
                Crisis("crisis", session, record.crisis_urls, clinician),
                PhoneNetwork("the phone simulator", session, [record.phone_url]),
                # A test page is waited for until its receipt is overdue.
                Crisis("crisis", session, record.crisis_urls, supervisor, Patience(attempts=3, attempt_s=60.0)),
            )
        except Unreachable as unreachable:
            raise StackNotRunning(str(unreachable)) from None
