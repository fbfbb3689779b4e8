"""Stage 3: the channels the patient wants, in their order, as far as somebody lives at their addresses."""

from dataclasses import replace

from services.notifications.domain.channels import Channel
from services.notifications.domain.verdict import Draft, Drop, Outcome


def preference(draft: Draft, tries_max: int) -> Outcome:
    """Leave the wanted channels that can still be tried; an emergency uses every one, the wanted ones first."""
    wanted = draft.patient.order()
    if draft.emergency:
        rest = tuple(one for one in draft.channels if one not in wanted)
        ordered = tuple(one for one in wanted if one in draft.channels) + rest
    else:
        ordered = tuple(one for one in wanted if one in draft.channels)
    if not ordered:
        return Drop("dropped", "not_wanted")
    failed = draft.item.failed_channels(tries_max)
    there = tuple(one for one in ordered if draft.ways[one].state != "none")
    untried = tuple(one for one in there if one not in failed)
    living = tuple(one for one in untried if draft.ways[one].state == "live")
    if draft.emergency:
        # A number that was dead yesterday is tried last, and is tried.
        living = living + tuple(one for one in untried if one not in living)
    if not living:
        return Drop("failed", _why(draft, there, untried))
    return replace(draft, channels=living)


def _why(draft: Draft, there: tuple[Channel, ...], untried: tuple[Channel, ...]) -> str:
    if not there:
        return "no_address"
    return "no_live_channel" if untried else next((one.code for one in reversed(draft.item.tries)), "no_live_channel")
