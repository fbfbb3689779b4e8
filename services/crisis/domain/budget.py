"""How long each stage of a flag may take, per level.

Figures: the programme's proposal [P] in docs/clinical-safety/budgets.md, to be signed by the clinical lead. Stages: t2 a
provider accepted the page, t3 a human acknowledged, t4 live contact with the patient, t5 disposition; seconds since t0.
"""

from dataclasses import dataclass

from shared.contracts.levels import Level

VERSION = 1


@dataclass(frozen=True, slots=True)
class Budget:
    """Seconds from t0 to each stage."""

    level: Level
    t2: float
    t3: float
    t4: float
    t5: float
    version: int = VERSION

    @property
    def lease_s(self) -> float:
        """What an acknowledgement or a sign of progress buys: the time between t3 and t4."""
        return self.t4 - self.t3

    def stages(self) -> tuple[tuple[str, float], ...]:
        """The budgeted stages in order."""
        return (("t2", self.t2), ("t3", self.t3), ("t4", self.t4), ("t5", self.t5))


BUDGETS: dict[Level, Budget] = {
    "imminent": Budget("imminent", 0.250, 60.0, 300.0, 3_600.0),
    "high": Budget("high", 0.250, 300.0, 1_800.0, 21_600.0),
    "moderate": Budget("moderate", 1.0, 1_800.0, 21_600.0, 86_400.0),
    "low": Budget("low", 5.0, 86_400.0, 172_800.0, 2_592_000.0),
}
