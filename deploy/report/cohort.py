"""The cohort as pictures: bands first and last, reliable change, attendance, how long crises took."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from deploy.report.drawing import BLUE, GREY, INK, ORANGE, ORDERED, VERMILION, Drawn, drawn, figure, style, words

_CHANGE: Mapping[str, tuple[str, str]] = {
    "improved": (BLUE, ""),
    "unchanged": ("#D5D8DC", ""),
    "deteriorated": (VERMILION, "//"),
}
_LEVELS = ("imminent", "high", "moderate", "low")
_PERCENTILES: Mapping[str, tuple[str, str]] = {"p50": ("o", BLUE), "p90": ("D", ORANGE), "p99": ("^", VERMILION)}


def bands(instrument: Mapping[str, Any]) -> Drawn | None:
    """How the pairs were distributed over the bands at first and last; None when a part is kept back."""
    first, latest, names = (instrument[name] for name in ("first_bands", "latest_bands", "bands"))
    if not names or not _told(first) or not _told(latest) or not sum(first.values()):
        return None
    sheet = figure(7.4, 1.75)
    with style():
        place = sheet.subplots()
        for row, counts in enumerate((latest, first)):
            left, whole = 0.0, sum(counts.values())
            for at, name in enumerate(names):
                share = counts[name] / whole
                shade = ORDERED[round(at * (len(ORDERED) - 1) / max(1, len(names) - 1))]
                place.barh(row, share, left=left, color=shade, edgecolor="white", label=words(name) if row == 0 else None)
                _label(place, left, share, row, str(counts[name]), dark=shade in ORDERED[3:])
                left += share
        place.set_yticks([0, 1], ["latest", "first"])
        _shares(place, len(names))
    return drawn(sheet)


def change(instrument: Mapping[str, Any]) -> Drawn | None:
    """Who became reliably better, worse or neither; None when a part is kept back or no rule is known."""
    told = instrument["reliable"]
    if told is None or any(one["rate"] is None for one in told.values()):
        return None
    sheet = figure(7.4, 1.35)
    with style():
        place = sheet.subplots()
        left = 0.0
        for name, (colour, hatch) in _CHANGE.items():
            share = told[name]["rate"]
            place.barh(0, share, left=left, color=colour, edgecolor="white", hatch=hatch, label=words(name))
            _label(place, left, share, 0, f"{share * 100:.0f} %", dark=name == "improved", boxed=bool(hatch))
            left += share
        place.set_yticks([0], [f"n = {instrument['n_paired']}"])
        _shares(place, 3)
    return drawn(sheet)


def attendance(engagement: Mapping[str, Any]) -> Drawn | None:
    """How many attended which share of their planned hours; None when a part is kept back."""
    counts = engagement["bands"]
    if not _told(counts) or not sum(counts.values()):
        return None
    sheet = figure(7.4, 2.0)
    with style():
        place = sheet.subplots()
        names = list(counts)[::-1]
        values = [counts[name] for name in names]
        bars = place.barh(names, values, color=BLUE, height=0.62)
        place.bar_label(bars, padding=4, fontsize=9)
        place.set_xlabel("patients")
        place.margins(x=0.1)
        place.xaxis.set_major_locator(MaxNLocator(integer=True))
    return drawn(sheet)


def crises(levels: Mapping[str, Any], what: str) -> Drawn | None:
    """Percentiles of how long it took, per level, on a scale from seconds to days; None when nothing may be told."""
    shown = [level for level in _LEVELS if levels[level][what]]
    if not shown:
        return None
    sheet = figure(7.4, 0.85 + 0.42 * len(shown))
    with style():
        place = sheet.subplots()
        for row, level in enumerate(reversed(shown)):
            told = levels[level][what]
            values = [max(0.5, told[name]) for name in _PERCENTILES]
            place.plot([values[0], values[-1]], [row, row], color=GREY, linewidth=1.2, zorder=1)
            for value, (name, (shape, colour)) in zip(values, _PERCENTILES.items(), strict=True):
                place.scatter([value], [row], marker=shape, color=colour, s=50, zorder=3, label=name if row == 0 else None)
        place.set_yticks(range(len(shown)), shown[::-1])
        place.set_ylim(-0.6, len(shown) - 0.4)
        _durations(place)
        place.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    return drawn(sheet)


def _durations(place: Axes) -> None:
    ticks = {1: "1 s", 10: "10 s", 60: "1 min", 600: "10 min", 3_600: "1 h", 6 * 3_600: "6 h", 86_400: "1 d"}
    place.set_xscale("log")
    low, high = place.get_xlim()
    kept = [at for at in ticks if low / 3 <= at <= high * 3]
    place.set_xlim(min(low, *kept) * 0.8, max(high, *kept) * 1.25)
    place.set_xticks(kept, [ticks[at] for at in kept])
    place.minorticks_off()
    place.grid(axis="x", color="#E5E7EB", linewidth=0.8, zorder=0)


def _shares(place: Axes, columns: int) -> None:
    place.set_xlim(0, 1)
    place.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    place.tick_params(axis="y", length=0)
    place.spines["left"].set_visible(False)
    place.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, frameon=False, fontsize=9, handlelength=1.2)


def _label(place: Axes, left: float, share: float, row: int, text: str, *, dark: bool, boxed: bool = False) -> None:
    if share < 0.035:
        return
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5} if boxed else None
    place.text(left + share / 2, row, text, ha="center", va="center", fontsize=9, color="white" if dark else INK, bbox=box)


def _told(counts: Mapping[str, Any]) -> bool:
    return all(isinstance(count, int) for count in counts.values())
