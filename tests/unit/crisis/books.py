"""A book to write on: ana and ben take turns by day, sue by night, eva speaks Spanish, mia has mail only."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from services.crisis.domain.book import Book
from services.crisis.domain.roster import Roster
from services.crisis.domain.roster_document import book_of
from shared.contracts.levels import LEVELS

# A Wednesday, noon in New York.
NOON = datetime(2026, 5, 6, 16, tzinfo=UTC).timestamp()
HOUR_S, DAY_S = 3_600.0, 86_400.0
NIGHT = NOON + 15 * HOUR_S
CHANNELS = ("sms", "voice", "webhook", "email")
ALL_WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def person(name: str, number: int, *kinds: str) -> dict[str, Any]:
    """Somebody with these ways to be reached."""
    address = {
        "sms": f"+155501{number:05}",
        "voice": f"+155501{number:05}",
        "email": f"{name}@clinic.example",
        "webhook": f"https://pager.example/{name}",
        "push": f"token-{name}",
    }
    return {
        "id": name,
        "name": name.title(),
        "zone": "America/New_York",
        "roles": ["supervisor" if name == "sue" else "clinician"],
        "contact_methods": [{"id": f"{name}-{kind}", "kind": kind, "address": address[kind]} for kind in kinds],
    }


def document() -> dict[str, Any]:
    """The book as a document."""
    days = {
        "zone": "America/New_York",
        "layers": [
            {
                "kind": "weekly",
                "starts_at": "2026-01-05T08:00",
                "people": ["ana", "ben"],
                "restrict": [{"days": ALL_WEEK, "from": "08:00", "to": "20:00"}],
            }
        ],
    }
    nights = {
        "zone": "America/New_York",
        "layers": [
            {
                "kind": "daily",
                "starts_at": "2026-01-05T20:00",
                "people": ["sue"],
                "restrict": [{"from": "20:00", "to": "08:00"}],
            }
        ],
    }
    spanish = {**days, "layers": [{**days["layers"][0], "people": ["eva"]}], "serves": {"languages": ["es"]}}  # type: ignore[dict-item]
    policy = {
        "steps": [{"after_s": 0, "rosters": ["days", "nights", "spanish"]}, {"after_s": 300, "people": ["sue"]}],
        "fallback": ["tom"],
        "interval_s": 300,
    }
    people = [
        person("ana", 1, "sms", "voice"),
        person("ben", 2, "sms", "voice"),
        person("sue", 3, "sms", "voice"),
        person("eva", 4, "sms"),
        person("mia", 5, "email"),
        person("tom", 6, "sms", "webhook"),
        person("zoe", 7, "sms", "voice", "email", "webhook"),
    ]
    rosters = {"days": days, "nights": nights, "spanish": spanish}
    return {"version": 4, "people": people, "rosters": rosters, "policies": dict.fromkeys(LEVELS, policy)}


def book(**policy: Any) -> Book:
    """The book, with these words changed in every policy."""
    told = document()
    told["policies"] = {level: {**one, **policy} for level, one in told["policies"].items()}
    return book_of(told).reachable_by(CHANNELS)


def without_people(roster: Roster, *names: str) -> Roster:
    """The roster where nobody of these names can be reached."""
    people = {name: replace(p, contact_methods=()) if name in names else p for name, p in roster.people.items()}
    return replace(roster, people=people)
