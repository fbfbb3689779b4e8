"""What crisis says about who is on call. Names and addresses of staff travel sealed; only crisis has the key."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.levels import Level

ROSTER_KEY = "roster"


class RosterChanged(BaseModel):
    """Somebody changed people, rotas, time off or policies; `sealed` is the whole of it, as it is from then on.

    Key `roster`: the newest record is the roster. `entry` says what was changed: `people/<id>`, `rosters/<id>`,
    `policies/<level>`; `by` is the subject of the token that changed it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    TYPE: ClassVar[str] = "vigil.roster.changed.v1"

    programme_id: str = Field(max_length=64)
    version: int = Field(ge=1)
    at: str
    entry: str
    by: str
    sealed: str


class CoverageGapForeseen(BaseModel):
    """Nobody can be paged at this step of the policy in a span of time that is still to come, or has begun.

    Told once for each gap. Key `gap/<level>/<step>`. `ends_at` is None when it goes on past the days that were looked at.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    TYPE: ClassVar[str] = "vigil.roster.coverage-gap-foreseen.v1"

    programme_id: str = Field(max_length=64)
    level: Level
    step: int
    starts_at: str
    ends_at: str | None = None
    roster_version: int
    at: str
