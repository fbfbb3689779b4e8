"""How everything is drawn: colours that nobody confuses, text that stays text, files that are the same for the same figures.

The colours are those of Okabe and Ito, told apart by people with every common kind of colour blindness; no meaning rests on colour
alone: shapes, hatches or labels say it too.
"""

import io
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib.figure import Figure

BLUE, ORANGE, VERMILION, GREY, SKY, INK = "#0072B2", "#E69F00", "#D55E00", "#8C8C8C", "#56B4E9", "#1F2933"
# From light to dark, so that order is seen without colour.
ORDERED = ("#DCEAF5", "#A9CDE6", "#6AA9D0", "#2F7FB5", "#0B4F80")
# One of matplotlib's own keys each; it knows what each may hold.
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10.0,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "vigil",
}
_PNG_DPI = 160
_NUMBERED = re.compile(r"^([a-z]{3,})(\d+)$")


@dataclass(frozen=True, slots=True)
class Drawn:
    """One figure in both forms."""

    png: bytes
    svg: bytes


def figure(width_in: float, height_in: float) -> Figure:
    """An empty figure in the common style, inches."""
    with mpl.rc_context(_STYLE):
        return Figure(figsize=(width_in, height_in), layout="constrained")


def drawn(picture: Figure) -> Drawn:
    """A figure as PNG and SVG; without dates, so that the same figures are the same bytes."""
    with mpl.rc_context(_STYLE):
        png, svg = io.BytesIO(), io.BytesIO()
        picture.savefig(png, format="png", dpi=_PNG_DPI, metadata={"Software": None})
        picture.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    return Drawn(png.getvalue(), svg.getvalue())


def style() -> AbstractContextManager[None]:
    """The common style, for whoever adds axes."""
    return mpl.rc_context(_STYLE)


def called(instrument: str) -> str:
    """An instrument as people write it: `phq9` → `PHQ-9`, `cssrs_screener` → `CSSRS SCREENER`."""
    return _NUMBERED.sub(r"\1-\2", words(instrument)).upper()


def words(code: str) -> str:
    """A code as words: `moderately_severe` → `moderately severe`."""
    return code.replace("_", " ")
