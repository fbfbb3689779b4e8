"""Every topic, one record each: who writes it, who reads it, how it is keyed and kept."""

from dataclasses import dataclass

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Topic:
    """One stream of one subject; its name on the wire is `<prefix>.<name>`."""

    name: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    key: str
    partitions: int
    retention_ms: int
    lane: str
    compacted: bool = False

    def full_name(self, prefix: str) -> str:
        """The name on the wire under a deployment's prefix."""
        return f"{prefix}.{self.name}"


def dead_letters_of(topic: Topic, group: str) -> Topic:
    """Where a group puts the records of a topic that it cannot take; nobody reads it but `vigil dlq`."""
    return Topic(f"{topic.name}.{group}.dlq", (group,), (), topic.key, 1, 365 * _DAY_MS, "routine")


_PRODUCERS = ("intake", "sessions", "outcomes", "notifications", "crisis")
_DOWNSTREAM = ("intake", "sessions", "outcomes", "notifications")

RISK = Topic("risk.v1", _PRODUCERS, ("crisis",), "patient_id", 4, 14 * _DAY_MS, "crisis")
RISK_DEAD_LETTERS = dead_letters_of(RISK, "crisis")
PATIENTS = Topic(
    "patients.v1", ("intake",), ("crisis", "sessions", "outcomes", "notifications"), "patient_id", 4, 365 * _DAY_MS, "routine"
)
ASSESSMENTS = Topic("assessments.v1", ("intake",), ("outcomes", "notifications"), "patient_id", 4, 365 * _DAY_MS, "routine")
CASES = Topic("cases.v1", ("crisis",), _DOWNSTREAM, "patient_id", 4, 365 * _DAY_MS, "routine")
SESSIONS = Topic(
    "sessions.v1", ("sessions",), ("intake", "crisis", "outcomes", "notifications"), "patient_id", 4, 365 * _DAY_MS, "routine"
)
OUTCOMES = Topic("outcomes.v1", ("outcomes",), ("intake", "notifications"), "patient_id", 4, 365 * _DAY_MS, "routine")
NOTIFICATIONS = Topic("notifications.v1", ("notifications",), ("intake",), "patient_id", 4, 365 * _DAY_MS, "routine")
# Read whole at every start, without a group: the newest wrapped key of each patient; a record without a value = forgotten.
PATIENT_KEYS = Topic(
    "patient-keys.v1",
    ("intake",),
    ("crisis", "sessions", "outcomes", "notifications"),
    "patient_id",
    4,
    _DAY_MS,
    "routine",
    True,
)
# Read whole at every start, by every crisis replica: the newest roster; see shared/contracts/roster.py for the other key.
ROSTER = Topic("roster.v1", ("crisis",), ("crisis",), "roster", 1, _DAY_MS, "routine", True)

SUBJECTS: tuple[Topic, ...] = (RISK, PATIENTS, ASSESSMENTS, CASES, SESSIONS, OUTCOMES, NOTIFICATIONS, PATIENT_KEYS, ROSTER)
# Which group keeps aside what it cannot take of which topic; whoever reads a compacted topic whole has no group.
BURIALS: tuple[tuple[Topic, str], ...] = tuple(
    (topic, group) for topic in SUBJECTS if not topic.compacted for group in topic.readers
)
TOPICS: tuple[Topic, ...] = (*SUBJECTS, *(dead_letters_of(topic, group) for topic, group in BURIALS))
