"""What scoring a sheet gives, whatever the kind of the instrument."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Number = int | float


@dataclass(frozen=True, slots=True)
class Score:
    """`status` is complete, prorated, incomplete or invalid; total and band are None where there is none.

    `scales`: subscales and other scales of the total; `findings`: named conditions of the whole sheet; `signs`: what single
    answers say (they stay in intake); `codes`: words such as a colour. None = not known from what was answered.
    """

    status: str
    total: int | None = None
    band: str | None = None
    scales: Mapping[str, Number | None] = field(default_factory=dict)
    findings: Mapping[str, bool | None] = field(default_factory=dict)
    signs: Mapping[str, bool | None] = field(default_factory=dict)
    codes: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def extra(self) -> dict[str, Number | bool | str | None]:
        """Everything beside status, total and band, under its own name."""
        return {**self.scales, **self.findings, **self.signs, **self.codes}
