"""How a refusal goes on."""

from dataclasses import dataclass
from typing import Literal

Fate = Literal["retry", "refused", "dead", "stopped"]


@dataclass(frozen=True, slots=True)
class Meaning:
    """`retry`: later · `refused`: not this message · `dead`: nobody there, for `rest_s` or for good · `stopped`: opted out."""

    fate: Fate
    rest_s: float | None = None
