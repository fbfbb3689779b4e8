"""An obligation: something a patient is to be told of, and every message that this takes, in one document.

A session, a form to fill in, a risk case, a contact after a discharge. Its `facts` are what was heard of its source, joined so
that order and repetition do not matter; its `items` are the messages, each from `planned` to a final state with a reason.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from services.notifications.domain.channels import Channel

State = Literal["planned", "sending", "sent", "delivered", "unconfirmed", "failed", "cancelled", "expired", "dropped"]
Kind = Literal["session", "assignment", "case", "follow_up"]
# What an obligation remembers of messages that are over and that nobody asks for any more.
ITEMS_MAX = 40
TRIES_MAX = 20


@dataclass(frozen=True, slots=True)
class Try:
    """One try to send: by which channel, when, and what came of it (`intended` while nobody knows)."""

    channel: Channel
    at_s: float
    code: str = "intended"
    maybe: bool = True


@dataclass(frozen=True, slots=True)
class Item:
    """One message. `due_s` is when it was to be sent and never changes by holding; `next_s` is when it is looked at again."""

    key: str
    template: str
    due_s: float
    until_s: float
    about_s: float
    state: State = "planned"
    code: str | None = None
    next_s: float | None = None
    channel: Channel | None = None
    provider: str | None = None
    provider_id: str | None = None
    sent_s: float | None = None
    tries: tuple[Try, ...] = ()

    @property
    def series(self) -> str:
        """Messages of one series say the same: after an outage the latest one is enough."""
        return self.key.split(":", 1)[0]

    def failed_channels(self, tries_max: int) -> frozenset[Channel]:
        """Channels that are not to be tried again for this message."""
        ended = {one.channel for one in self.tries if one.code in ENDED or one.code.startswith("dead_")}
        counted = {channel for channel in {one.channel for one in self.tries} if self.tries_on(channel) >= tries_max}
        return frozenset(ended | counted)

    def tries_on(self, channel: Channel) -> int:
        """How often it was tried by this channel."""
        return sum(1 for one in self.tries if one.channel == channel)


# Codes of tries after which this channel is not tried again for the same message.
ENDED = frozenset({"unknown_outcome", "refused", "undelivered", "stopped", "no_provider_id"})
WAITING: frozenset[State] = frozenset({"planned", "sending", "sent"})


@dataclass(frozen=True, slots=True)
class Obligation:
    """Everything about one thing a patient is to be told of."""

    obligation_id: str
    kind: Kind
    subject_id: str
    patient_id: str
    programme_id: str
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    items: tuple[Item, ...] = ()
    ended: str | None = None
    version: int = 0
    events: tuple[Mapping[str, Any], ...] = ()

    @property
    def emergency(self) -> bool:
        """Emergency-purpose messages go at once, whatever the hour, the count or a STOP."""
        return self.kind == "case"

    @property
    def next_s(self) -> float | None:
        """When something is to be looked at next; None = never again."""
        return min((one.next_s for one in self.items if one.next_s is not None), default=None)

    def item(self, key: str) -> Item | None:
        """A message by its key."""
        return next((one for one in self.items if one.key == key), None)

    def due(self, now_s: float) -> Item | None:
        """What is to be looked at now, the earliest first."""
        return min(self.all_due(now_s), key=lambda one: (one.next_s or 0.0, one.due_s), default=None)

    def all_due(self, now_s: float) -> list[Item]:
        """Everything that is to be looked at now."""
        return [one for one in self.items if one.next_s is not None and one.next_s <= now_s]

    def with_item(self, item: Item) -> "Obligation":
        """With this message in the place of the former one of its key."""
        return replace(self, items=tuple(item if one.key == item.key else one for one in self.items))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the plan asks for: these messages and no other; `ended` says why what is left is not wanted any more."""

    items: tuple[Item, ...]
    ended: str | None


def reconciled(obligation: Obligation, wanted: Wanted) -> Obligation:
    """The obligation after its plan: new messages added, moved ones moved, unwanted ones cancelled with the reason."""
    asked = {one.key: one for one in wanted.items}
    kept = tuple(_kept(one, asked.get(one.key), wanted.ended or "moved") for one in obligation.items)
    known = {one.key for one in obligation.items}
    new = tuple(replace(one, next_s=one.due_s) for one in wanted.items if one.key not in known)
    return replace(obligation, items=_bounded((*kept, *new), asked), ended=wanted.ended)


def _kept(item: Item, wanted: Item | None, reason: str) -> Item:
    if item.state not in ("planned", "cancelled"):
        return item
    if wanted is None:
        return item if item.state == "cancelled" else replace(item, state="cancelled", code=reason, next_s=None)
    # What was cancelled and is wanted again: events came in another order, or an appointment was taken up again.
    if item.state == "planned" and (item.due_s, item.until_s, item.about_s) == (wanted.due_s, wanted.until_s, wanted.about_s):
        return item
    return replace(wanted, next_s=wanted.due_s, tries=item.tries)


def _bounded(items: tuple[Item, ...], asked: Iterable[str]) -> tuple[Item, ...]:
    over = len(items) - ITEMS_MAX
    if over <= 0:
        return items
    keep = set(asked)
    go = [one.key for one in items if one.next_s is None and one.key not in keep][:over]
    return tuple(one for one in items if one.key not in set(go))
