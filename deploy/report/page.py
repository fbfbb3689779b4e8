"""The cohort page: one HTML file with its pictures inside, for a screen and for paper."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from deploy.report import cohort
from deploy.report.drawing import Drawn, called, words

_XML = re.compile(rb"^.*?(?=<svg)", re.DOTALL)
_NAMES = {
    "drr_e": "HEDIS DRR-E, days 120 to 240",
    "mncm_6_months": "MNCM, six months ± 60 days",
    "mncm_12_months": "MNCM, twelve months ± 60 days",
}
KEPT_BACK = "kept back"


def cohort_page(report: Mapping[str, Any]) -> str:
    """The page of a report as outcomes tells it."""
    environment = Environment(
        loader=PackageLoader("deploy.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"count": count, "share": share, "words": words, "called": called, "took": took, "hours": hours}
    return environment.get_template("cohort.html.j2").render(
        report=report,
        as_of=datetime.fromisoformat(report["as_of"]),
        measures=_NAMES,
        pictures=[(one, _inline(cohort.bands(one)), _inline(cohort.change(one))) for one in report["instruments"]],
        attendance=_inline(cohort.attendance(report["engagement"])),
        acknowledged=_inline(cohort.crises(report["crisis"], "to_acknowledge_s")),
        resolved=_inline(cohort.crises(report["crisis"], "to_resolve_s")),
    )


def count(cell: Any) -> str:
    """A cell for people: a number with its thousands, `<11`, or that it is kept back."""
    if cell is None or cell == "hidden":
        return KEPT_BACK
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def share(rate: float | None) -> str:
    """A share in whole per cent, or a dash."""
    return "–" if rate is None else f"{rate:.0%}".replace("%", " %")


def hours(told: float | None) -> str:
    """Hours without fractions, or a dash."""
    return "–" if told is None else f"{told:,.0f} h"


def took(seconds: float | None) -> str:
    """How long something took, in the unit that a person would use."""
    if seconds is None:
        return "–"
    for size, unit in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _inline(drawn: Drawn | None) -> Markup | None:
    """A picture inside the page. Its text is matplotlib's, made of numbers and names that it escapes itself."""
    return None if drawn is None else Markup(_XML.sub(b"", drawn.svg).decode())
