"""One patient as a picture: every measure over time with what is said of each point, and the weeks below."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

from deploy.report.drawing import BLUE, GREY, INK, SKY, VERMILION, Drawn, called, drawn, figure, style, words
from shared.contracts.change import change_rules

_ROW_IN = 2.6
_WIDTH_IN = 8.6
_WEEKS_NAMED = 14
# Shape and colour of a point, and what it is called.
_MARKS: Mapping[str | None, tuple[str, str, str]] = {
    "improved": ("^", BLUE, "reliably improved"),
    "deteriorated": ("v", VERMILION, "reliably worse"),
    "unchanged": ("o", GREY, "no reliable change"),
    None: ("s", INK, "first, or nothing said"),
}


def picture(told: Mapping[str, Any]) -> Drawn:
    """The picture of a trajectory as outcomes tells it."""
    series = [one for one in told["instruments"] if one["points"]]
    weeks = told["attendance"]["weeks"]
    rows = max(1, len(series) + bool(weeks))
    sheet = figure(_WIDTH_IN, _ROW_IN * rows + 0.5)
    with style():
        sheet.suptitle(f"Patient {told['patient_id']}", x=0.01, ha="left", fontsize=13, fontweight="bold")
        axes = sheet.subplots(rows, 1, squeeze=False)[:, 0]
        for place, one in zip(axes, series, strict=False):
            _measure(place, one)
        if weeks:
            _weeks(axes[-1], weeks)
        if not series and not weeks:
            axes[0].set_axis_off()
            axes[0].text(0.0, 0.5, "Nothing has been measured yet.", fontsize=11)
    return drawn(sheet)


def _measure(place: Axes, series: Mapping[str, Any]) -> None:
    times = [_at(point["answered_at"]) for point in series["points"]]
    totals = [point["total"] for point in series["points"]]
    scale = "" if series["scale"] in (None, "sum") else f" ({words(series['scale'])})"
    place.set_title(called(series["instrument"]) + scale)
    place.plot(times, totals, color=GREY, linewidth=1.2, zorder=1)
    _lines(place, series)
    named: set[str] = set()
    for at, point in zip(times, series["points"], strict=True):
        shape, colour, name = _MARKS.get(point["reliable"], _MARKS[None])
        label = name if name not in named else None
        named.add(name)
        place.scatter(at, point["total"], marker=shape, color=colour, s=52, zorder=3, label=label)
        place.annotate(
            str(point["total"]),
            (at, point["total"]),
            xytext=(0, 8),
            textcoords="offset points",
            ha="center",
            fontsize=9,
        )
    place.margins(x=0.06, y=0.25)
    place.set_ylabel("total")
    locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    place.xaxis.set_major_locator(locator)
    place.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    place.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)


def _at(told: str) -> float:
    """A moment as matplotlib counts it."""
    return float(date2num(datetime.fromisoformat(told)))  # type: ignore[no-untyped-call]


def _lines(place: Axes, series: Mapping[str, Any]) -> None:
    """The first total, and from where on a change is reliable."""
    if series["baseline"] is None:
        return
    first = series["baseline"]["total"]
    place.axhline(first, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
    rule = change_rules().get(series["instrument"])
    if rule is not None and rule.reliable_points is not None:
        place.axhspan(
            first - rule.reliable_points + 0.5,
            first + rule.reliable_points - 0.5,
            color=SKY,
            alpha=0.18,
            linewidth=0,
            label=f"within {rule.reliable_points - 1} points of the first",
        )


def _weeks(place: Axes, weeks: Sequence[Mapping[str, Any]]) -> None:
    places = range(len(weeks))
    planned, attended = ([week[name] for week in weeks] for name in ("hours_planned", "hours_attended"))
    place.set_title("Hours per ISO week")
    place.bar(places, planned, color="white", edgecolor=GREY, hatch="//", linewidth=0.8, width=0.72, label="planned")
    place.bar(places, attended, color=BLUE, width=0.48, label="attended")
    place.set_ylabel("hours")
    # The year stands at its first week only; of many weeks every second or third is named.
    every = -(-len(weeks) // _WEEKS_NAMED)
    years = [week["week"][:4] for week in weeks]
    names = [
        f"{week['week'][5:]}\n{years[at]}" if at == 0 or years[at] != years[at - 1] else week["week"][5:]
        for at, week in enumerate(weeks)
    ]
    place.set_xticks(places[::every], names[::every])
    place.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
