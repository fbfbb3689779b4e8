"""Templates: words with four variables, and how they are filled in for one patient."""

import string
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from services.notifications.domain.local_time import local

VARIABLES = ("first_name_opt", "time", "link", "phone")
FALLBACK_LOCALE = "en"
# The longest that each variable may become in a text message, septets; the linter and the settings hold them to it.
LONGEST = {"first_name_opt": 16, "time": 22, "link": 36, "contact": 16, "crisis": 40}


@dataclass(frozen=True, slots=True)
class Template:
    """One message in one language; a channel without words is not used for it."""

    code: str
    locale: str
    phone: Literal["contact", "crisis"]
    sms: str | None = None
    subject: str | None = None
    text: str | None = None


Templates = Mapping[str, Mapping[str, Template]]


def read_templates(told: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Template]]:
    """The templates of all locales, from the files' contents by locale; raises ValueError naming what is wrong."""
    return {
        locale: {
            code: _template(code, locale, one) for code, one in content.items() if code != "status" and isinstance(one, Mapping)
        }
        for locale, content in told.items()
    }


def _template(code: str, locale: str, told: Mapping[str, Any]) -> Template:
    mail = told.get("email") or {}
    if told.get("phone") not in ("contact", "crisis"):
        raise ValueError(f"{locale}/{code}: phone is contact or crisis")
    return Template(code, locale, told["phone"], told.get("sms"), mail.get("subject"), mail.get("text"))


def template_for(templates: Templates, code: str, locale: str | None) -> Template:
    """The template in the patient's language, or the programme's; raises KeyError for a code that nobody wrote."""
    language = (locale or FALLBACK_LOCALE).replace("_", "-").split("-")[0].lower()
    found = templates.get(language, {}).get(code)
    return found if found is not None else templates[FALLBACK_LOCALE][code]


def variables_of(text: str) -> set[str]:
    """The variables a text names; raises ValueError for braces that do not fit."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


_MONTHS = {
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    "es": ("ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic"),
}


def said_time(at_s: float, now_s: float, zone: ZoneInfo, locale: str) -> str:
    """A moment as the patient's own clock shows it: `today at 3:00 PM`, `mañana a las 15:00`, `Nov 30 at 9:15 AM`."""
    there, today = local(at_s, zone), local(now_s, zone).date()
    spanish = locale == "es"
    days = (there.date() - today) // timedelta(days=1)
    near = {0: "hoy", 1: "mañana"} if spanish else {0: "today", 1: "tomorrow"}
    month = _MONTHS["es" if spanish else "en"][there.month - 1]
    day = near.get(days) or (f"el {there.day} {month}" if spanish else f"{month} {there.day}")
    if spanish:
        return f"{day} a las {there:%H:%M}"
    return f"{day} at {there.hour % 12 or 12}:{there:%M} {'AM' if there.hour < 12 else 'PM'}"
