"""Stage 1: said already, not wanted any more, or too late to be said."""

from services.notifications.domain.verdict import Draft, Drop, Outcome

# States in which another message of the series says nothing in this one's place.
UNSAID = frozenset({"cancelled", "expired", "dropped"})
SAID = frozenset({"sending", "sent", "delivered", "unconfirmed"})


def dedupe(draft: Draft) -> Outcome:
    """Drop what is over; of several messages of one series that are due, only the latest goes out (one catch-up)."""
    item, now_s = draft.item, draft.now_s
    if draft.patient.gone and not draft.emergency:
        return Drop("cancelled", "discharged")
    if draft.patient.discharged is not None and draft.obligation.kind in ("session", "assignment"):
        return Drop("cancelled", "discharged")
    if now_s >= item.until_s:
        return Drop("expired", "window_over")
    same = [one for one in draft.obligation.items if one.key != item.key and one.series == item.series]
    if any(one.state not in UNSAID and item.due_s < one.due_s <= now_s for one in same):
        return Drop("expired", "superseded")
    # Sent after this one was due, about the same thing: what this one would say is known.
    if any(one.state in SAID and one.about_s == item.about_s and (one.sent_s or 0.0) > item.due_s for one in same):
        return Drop("expired", "superseded")
    return draft
