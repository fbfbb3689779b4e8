"""One change of one place: load, decide, compare-and-set, again when somebody else was first."""

from collections.abc import Callable
from dataclasses import replace

from services.sessions.domain.facts import Change
from services.sessions.domain.place import ACTS_MAX, Place
from services.sessions.handlers.observed import PLACES_CHANGED
from services.sessions.ports import Conflict, Places
from shared.contracts.envelope import Envelope

# Two who change one place at the same moment are rare; five in a row are a defect.
ATTEMPTS = 5
Decide = Callable[[Place], Change | None]
# A request: its id, and a digest of what it asks for.
Act = tuple[str, str]


class NotThere(Exception):
    """No such session, or nobody of this id has a place in it."""


class KeyUsed(Exception):
    """The request's key was used for another request."""


class PlaceChanger:
    """Changes places; every method passes on what a silent store raises, and Refused."""

    def __init__(self, places: Places) -> None:
        self._places = places

    async def change(self, place: Place, decide: Decide, act: Act | None = None, cause: Envelope | None = None) -> Place:
        """The place after `decide`, which is asked again with what others wrote; raises Conflict, KeyUsed."""
        for _ in range(ATTEMPTS):
            if act is not None and done(place, act):
                return place
            change = decide(place)
            if change is None:
                return place
            if act is not None:
                change = replace(change, place=replace(change.place, acts=(*change.place.acts, act)[-ACTS_MAX:]))
            if await self._places.save(place, change, cause=cause):
                PLACES_CHANGED.labels(change.place.state).inc()
                return change.place
            found = await self._places.load(place.place_id)
            if found is None:
                raise NotThere
            place = found
        raise Conflict(place.place_id)


def done(place: Place, act: Act) -> bool:
    """Whether the place has this request behind it; raises KeyUsed when it was another one under the same key."""
    for known, digest in place.acts:
        if known == act[0]:
            if digest != act[1]:
                raise KeyUsed
            return True
    return False
