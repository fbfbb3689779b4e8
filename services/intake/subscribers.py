"""Bus into intake: topic → typed event → one handler call."""

from collections.abc import Awaitable, Callable
from typing import Any

from services.intake.handlers.cases import CaseHandler
from services.intake.handlers.work import WorkHandler
from services.intake.ports import StoreSilent
from shared.bus.delivery import Subscription, Unavailable
from shared.contracts.crisis import CaseOpened, CaseResolved, FlagJoined
from shared.contracts.envelope import Envelope
from shared.contracts.notifications import PatientUnreachable
from shared.contracts.outcomes import FollowUpDue
from shared.contracts.sessions import SessionMissed
from shared.contracts.topics import CASES, NOTIFICATIONS, OUTCOMES, SESSIONS

GROUP = "intake"
# The rescan asks once a second: what crisis says of a burst may wait until the burst's answers are out.
SETTLE_S = 0.5


def subscriptions(cases: CaseHandler, work: WorkHandler) -> tuple[Subscription, ...]:
    """What intake hears: case openings, joined flags and closings; missed sessions, follow-ups, patients out of reach."""
    heard = _waiting_for_the_store(cases.heard)
    return (
        Subscription(CASES, GROUP, {CaseOpened: heard, FlagJoined: heard, CaseResolved: heard}, SETTLE_S),
        Subscription(SESSIONS, GROUP, {SessionMissed: _waiting_for_the_store(work.missed)}),
        Subscription(OUTCOMES, GROUP, {FollowUpDue: _waiting_for_the_store(work.follow_up_due)}),
        Subscription(NOTIFICATIONS, GROUP, {PatientUnreachable: _waiting_for_the_store(work.unreachable)}),
    )


def _waiting_for_the_store(
    handle: Callable[[Any, Envelope], Awaitable[None]],
) -> Callable[[Any, Envelope], Awaitable[None]]:
    async def handled(event: Any, envelope: Envelope) -> None:
        try:
            await handle(event, envelope)
        except StoreSilent:
            raise Unavailable("store_silent") from None

    return handled
