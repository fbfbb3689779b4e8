"""Stage 8: what became of a message, written into its obligation with the event that tells of it. Pure."""

from dataclasses import dataclass, replace

from services.notifications.domain import events
from services.notifications.domain.channels import Channel
from services.notifications.domain.obligation import TRIES_MAX, Item, Obligation, Try
from services.notifications.domain.verdict import Drop, Hold
from services.notifications.ports import NotSent


@dataclass(frozen=True, slots=True)
class Patience:
    """Bounds of trying, seconds and counts."""

    # Tries of one message on one channel, and how long after each the next one begins.
    tries_max: int
    retry_s: tuple[float, ...]
    # How long a try may be without a word of its end: then whoever made it has died.
    lease_s: float
    # How long a receipt may come after the provider's acceptance.
    receipt_s: float
    # How long a try whose end nobody knows waits for a receipt that tells it.
    unknown_s: float


def held(obligation: Obligation, item: Item, hold: Hold) -> Obligation:
    """Looked at again later, at the latest when its window ends; the due time stays."""
    return obligation.with_item(replace(item, next_s=min(hold.until_s, item.until_s), code=hold.code))


def dropped(obligation: Obligation, item: Item, drop: Drop) -> Obligation:
    """Over, with the reason."""
    return obligation.with_item(replace(item, state=drop.state, code=drop.code, next_s=None))


def intended(
    obligation: Obligation, item: Item, channel: Channel, provider: str, now_s: float, patience: Patience
) -> Obligation:
    """About to be sent: written before the provider hears of it."""
    tries = (*item.tries, Try(channel, now_s))[-TRIES_MAX:]
    return obligation.with_item(
        replace(
            item,
            state="sending",
            code=None,
            channel=channel,
            provider=provider,
            tries=tries,
            next_s=now_s + patience.lease_s,
        )
    )


def taken_back(obligation: Obligation, item: Item, now_s: float) -> Obligation:
    """Not sent after all: nothing left this house, the try does not count."""
    if item.state != "sending":
        return obligation
    return obligation.with_item(replace(item, state="planned", tries=item.tries[:-1], next_s=now_s))


def accepted(obligation: Obligation, item: Item, provider_id: str, now_s: float, patience: Patience) -> Obligation:
    """The provider has it, under this id. Mail has no receipts: that is its last state."""
    if item.state != "sending":
        # A receipt was faster than the provider's own answer.
        return obligation
    channel = item.channel or "sms"
    waits = None if channel == "email" else now_s + patience.receipt_s
    new = replace(
        _ended(item, "accepted", maybe=False), state="sent", code=None, provider_id=provider_id, sent_s=now_s, next_s=waits
    )
    event = events.sent(obligation, new, channel, item.provider or channel, now_s)
    return _told(obligation.with_item(new), event)


def refused(obligation: Obligation, item: Item, error: NotSent, now_s: float, patience: Patience) -> Obligation:
    """The provider did not take it: again later, by the next channel, or wait for word of a try whose end nobody knows."""
    if item.state != "sending":
        return obligation
    channel = item.channel or "sms"
    if error.maybe and not obligation.emergency:
        new = _ended(item, error.code, maybe=True)
        return obligation.with_item(replace(new, state="sending", code=error.code, next_s=now_s + patience.unknown_s))
    code = {"dead": f"dead_{error.code}", "stopped": "stopped", "refused": "refused"}.get(error.fate, error.code)
    new = replace(_ended(item, code, maybe=error.maybe), state="planned", code=error.code, channel=None, provider=None)
    if error.fate == "retry" and new.tries_on(channel) < patience.tries_max:
        waits = patience.retry_s[min(new.tries_on(channel), len(patience.retry_s)) - 1]
        return obligation.with_item(replace(new, next_s=now_s + waits))
    event = events.failed(obligation, new, channel, error.code, now_s)
    return _told(obligation.with_item(replace(new, next_s=now_s)), event)


def lost(obligation: Obligation, item: Item, now_s: float) -> Obligation:
    """A try of whose end nothing was heard. It may have gone out: what can wait is not said twice on the same channel, what is
    an emergency is."""
    channel = item.channel or "sms"
    code = "lost" if obligation.emergency else "unknown_outcome"
    new = replace(_ended(item, code, maybe=True), state="planned", code=code, channel=None, provider=None, next_s=now_s)
    if obligation.emergency:
        return obligation.with_item(new)
    return _told(obligation.with_item(new), events.failed(obligation, new, channel, code, now_s))


def unconfirmed(obligation: Obligation, item: Item) -> Obligation:
    """Accepted, and no receipt came in time: that is where it ends."""
    return obligation.with_item(replace(item, state="unconfirmed", code="no_receipt", next_s=None))


def arrived(obligation: Obligation, item: Item, provider_id: str, now_s: float, patience: Patience) -> Obligation:
    """A receipt says that it is there; for a try whose end nobody knew it is the acceptance too."""
    if item.state == "sending":
        obligation = accepted(obligation, item, provider_id, now_s, patience)
        item = obligation.item(item.key) or item
    if item.state not in ("sent", "unconfirmed") or item.provider_id != provider_id:
        return obligation
    new = replace(item, state="delivered", code=None, next_s=None)
    return _told(obligation.with_item(new), events.delivered(obligation, new, item.channel or "sms", now_s))


def undelivered(
    obligation: Obligation, item: Item, provider_id: str, error: NotSent, now_s: float, patience: Patience
) -> Obligation:
    """A receipt says that it will not arrive: the next channel, if there is time and one."""
    if item.state == "sending":
        obligation = accepted(obligation, item, provider_id, now_s, patience)
        item = obligation.item(item.key) or item
    if item.state not in ("sent", "unconfirmed") or item.provider_id != provider_id:
        return obligation
    channel = item.channel or "sms"
    code = {"dead": f"dead_{error.code}", "stopped": "stopped"}.get(error.fate, "undelivered")
    new = replace(_ended(item, code, maybe=False), state="planned", code=error.code, channel=None, provider=None, next_s=now_s)
    return _told(obligation.with_item(new), events.failed(obligation, new, channel, error.code, now_s))


def _ended(item: Item, code: str, *, maybe: bool) -> Item:
    """The item with the end of its last try."""
    if not item.tries:
        return item
    return replace(item, tries=(*item.tries[:-1], replace(item.tries[-1], code=code, maybe=maybe)))


def _told(obligation: Obligation, event: object) -> Obligation:
    return replace(obligation, events=(*obligation.events, event))  # type: ignore[arg-type]
