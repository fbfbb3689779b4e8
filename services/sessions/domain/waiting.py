"""What time does to a place: missed at +15 minutes, dropped after two minutes of silence, over some time after the end."""

from dataclasses import dataclass, replace

from services.sessions.domain.attending import ended
from services.sessions.domain.facts import Change, dropped, missed
from services.sessions.domain.place import Place, due_s
from services.sessions.domain.risk import (
    DROPPED_RULE,
    MISSED_RULE,
    Raise,
    Risk,
    level_when_dropped,
    level_when_missed,
    to_raise,
)
from services.sessions.domain.times import Times


@dataclass(frozen=True, slots=True)
class Became:
    """What a place became by itself, when that was due, and what is to be flagged with it."""

    change: Change
    due_s: float
    raises: Raise | None = None

    def flagged(self, flag_id: str) -> "Became":
        """The same with the id of the flag in what is told."""
        told = tuple(event.model_copy(update={"flag_id": flag_id}) for event in self.change.events)
        return replace(self, change=replace(self.change, events=told))


def in_time(place: Place, risk: Risk, missed_before: int, now_s: float, times: Times) -> Became | None:
    """What is due now; None when nothing is. `missed_before`: missed sessions in a row before this one."""
    due = due_s(place, times)
    if due is None or due > now_s:
        return None
    backlog = now_s - due > times.backlog_s
    if place.state == "scheduled":
        after = place.next(state="missed")
        told = missed(after, due, missed_before + 1, risk.known, None, now_s)
        raises = to_raise(MISSED_RULE, level_when_missed(risk), place.place_id, due, backlog=backlog)
        return Became(Change(after, (told,)), due, raises)
    if place.state == "joined" and place.lost_s is not None and due < place.ends_s + times.close_after_s:
        after = place.next(dropped_s=now_s)
        raises = to_raise(DROPPED_RULE, level_when_dropped(risk), place.place_id, due, backlog=backlog)
        return Became(Change(after, (dropped(after, None, now_s),)), due, raises)
    # Nobody closed it: whoever was still there was there until its planned end, as far as anybody knows.
    closing = ended(place, now_s, times, here_until_s=min(now_s, place.ends_s))
    return None if closing is None else Became(closing, due)
