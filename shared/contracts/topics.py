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


RISK = Topic(
    "risk.v1", ("intake", "sessions", "outcomes", "notifications", "crisis"), ("crisis",), "patient_id", 4, 14 * _DAY_MS, "crisis"
)
PATIENTS = Topic(
    "patients.v1", ("intake",), ("crisis", "sessions", "outcomes", "notifications"), "patient_id", 4, 365 * _DAY_MS, "routine"
)
ASSESSMENTS = Topic("assessments.v1", ("intake",), ("outcomes", "notifications"), "patient_id", 4, 365 * _DAY_MS, "routine")
CASES = Topic(
    "cases.v1", ("crisis",), ("intake", "sessions", "outcomes", "notifications"), "patient_id", 4, 365 * _DAY_MS, "routine"
)

TOPICS: tuple[Topic, ...] = (RISK, PATIENTS, ASSESSMENTS, CASES)
