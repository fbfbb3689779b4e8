"""Stage 2: on which channels this patient may be written to (clinical sheet, section 5; TCPA's health-care exemption).

Granted: yes. Withdrawn, or STOP from that number: no. Never asked: yes, for a number that the patient gave, within the exemption's
counts (stage 5). Emergency-purpose messages need no consent and are marked so.
"""

from dataclasses import replace

from services.notifications.domain.channels import PURPOSE_OF, Channel
from services.notifications.domain.verdict import Draft, Drop, Outcome


def consent(draft: Draft) -> Outcome:
    """Leave the channels that may be used; those used under the exemption are marked."""
    if draft.emergency:
        return draft
    open_ = tuple(channel for channel in draft.channels if not draft.ways[channel].stopped)
    allowed = tuple(channel for channel in open_ if _told(draft, channel) is not False)
    if not _there(draft, allowed):
        if _there(draft, open_):
            return Drop("dropped", "consent_withdrawn")
        if _there(draft, draft.channels):
            return Drop("dropped", "stopped")
    if not allowed:
        return Drop("dropped", "consent_withdrawn" if open_ else "stopped")
    return replace(draft, channels=allowed, exempt=frozenset(one for one in allowed if _told(draft, one) is None))


def _told(draft: Draft, channel: Channel) -> bool | None:
    told = draft.consents.get(PURPOSE_OF[channel])
    return None if told is None else bool(told.get("granted"))


def _there(draft: Draft, channels: tuple[Channel, ...]) -> bool:
    """Whether the patient has an address on one of these."""
    return any(draft.ways[one].state != "none" for one in channels)
