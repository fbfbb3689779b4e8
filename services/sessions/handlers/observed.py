"""What sessions counts and times; labels are codes, never ids."""

from prometheus_client import Counter, Histogram

# Seconds. Missed is promised to the second; a backlog after an outage may be hours old and must be seen as such.
LATENESS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 600.0, 3600.0, 21600.0)
DUE_LATENESS = Histogram(
    "vigil_sessions_due_lateness_seconds", "A place was due until its change was stored.", ["what"], buckets=LATENESS_S
)
FLAGGED = Counter("vigil_sessions_flags_raised", "Risk flags raised by missed and broken sessions.", ["rule", "level"])
DUE_FAILURES = Counter("vigil_sessions_due_failures", "Due places that could not be changed this time.", ["code"])
DUE_TAKEN = Counter("vigil_sessions_due_taken_by_others", "Due places that another process had changed first.")
LOCATIONS_UNSENT = Counter(
    "vigil_sessions_locations_unsent", "Joins whose location could not be sealed, and so was told to nobody.", ["code"]
)
PLACES_CHANGED = Counter("vigil_sessions_places_changed", "Places that changed, by what they became.", ["state"])
ROOM_SIGNALS = Counter("vigil_sessions_room_signals", "Signals of rooms, by what became of them.", ["kind", "outcome"])
OVERBOOKED = Counter("vigil_sessions_overbooked", "Places that a care plan made beyond a group's capacity.")
