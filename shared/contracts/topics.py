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


_PRODUCERS = ("intake", "sessions", "outcomes", "notifications", "crisis")
_DOWNSTREAM = ("intake", "sessions", "outcomes", "notifications")

RISK = Topic("risk.v1", _PRODUCERS, ("crisis",), "patient_id", 4, 14 * _DAY_MS, "crisis")
RISK_DEAD_LETTERS = Topic("risk.v1.crisis.dlq", ("crisis",), (), "patient_id", 1, 365 * _DAY_MS, "routine")
PATIENTS = Topic(
    "patients.v1", ("intake",), ("crisis", "sessions", "outcomes", "notifications"), "patient_id", 4, 365 * _DAY_MS, "routine"
)
ASSESSMENTS = Topic("assessments.v1", ("intake",), ("outcomes", "notifications"), "patient_id", 4, 365 * _DAY_MS, "routine")
CASES = Topic("cases.v1", ("crisis",), _DOWNSTREAM, "patient_id", 4, 365 * _DAY_MS, "routine")

TOPICS: tuple[Topic, ...] = (RISK, RISK_DEAD_LETTERS, PATIENTS, ASSESSMENTS, CASES)
