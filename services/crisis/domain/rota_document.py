"""One rota as a JSON document: `{zone, layers:[{kind, starts_at, hours?, people, restrict?}], overrides?, serves?}`."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from services.crisis.domain.roster import FOR_ALL, Serves
from services.crisis.domain.rota import DAYS, Kind, Layer, Override, Restriction, Rota
from services.crisis.domain.told import RosterRefused, Told
from shared.time.clock import iso

_KINDS: tuple[Kind, ...] = ("daily", "weekly", "custom")
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
HOURS_MAX = 24.0 * 366
LAYERS_MAX = 20
OVERRIDES_MAX = 1_000


def rota_of(roster_id: str, told: Told) -> Rota:
    """The rota in a document; raises RosterRefused."""
    name = told.word("zone")
    try:
        zone = ZoneInfo(name)
    except (LookupError, OSError, ValueError):
        raise RosterRefused(f"{told.where}.zone: {name!r} is no IANA time zone; write for example America/New_York") from None
    layers = tuple(_layer(one, zone) for one in told.parts("layers"))
    if not 1 <= len(layers) <= LAYERS_MAX:
        raise RosterRefused(f"{told.where}.layers: give 1 to {LAYERS_MAX}; the last one that has somebody counts")
    overrides = tuple(override_of(one) for one in told.parts("overrides")) if told.has("overrides") else ()
    if len(overrides) > OVERRIDES_MAX:
        raise RosterRefused(f"{told.where}.overrides: at most {OVERRIDES_MAX}; delete those that are over")
    return Rota(roster_id, name, layers, overrides, _serves(told))


def rota_told(rota: Rota) -> dict[str, object]:
    """A rota as a document says it."""
    serves = {
        name: list(codes)
        for name, codes in (
            ("languages", rota.serves.languages),
            ("regions", rota.serves.regions),
            ("tracks", rota.serves.tracks),
        )
        if codes
    }
    return {
        "zone": rota.zone,
        "layers": [_layer_told(layer) for layer in rota.layers],
        "overrides": [
            {"id": one.id, "person": one.person, "from": iso(one.starts_at), "to": iso(one.ends_at)} for one in rota.overrides
        ],
        "serves": serves,
    }


def override_of(told: Told) -> Override:
    """An override in a document; raises RosterRefused."""
    starts_at, ends_at = told.span()
    return Override(told.word("id"), told.word("person"), starts_at, ends_at)


def _layer(told: Told, zone: ZoneInfo) -> Layer:
    kind = told.word("kind")
    if kind not in _KINDS:
        raise RosterRefused(f"{told.where}.kind: {kind!r} is none of {', '.join(_KINDS)}")
    hours = 24.0
    if kind == "custom":
        given = told.field("hours")
        whole = isinstance(given, (int, float)) and not isinstance(given, bool) and 1.0 <= given <= HOURS_MAX
        if not whole or not float(str(given)) * 60.0 == int(float(str(given)) * 60.0):
            raise RosterRefused(f"{told.where}.hours: give 1 to {HOURS_MAX:g} hours in whole minutes")
        hours = float(str(given))
    elif told.has("hours"):
        raise RosterRefused(f"{told.where}.hours: only a custom layer has hours; {kind} says it already")
    people = told.words("people")
    restrict = tuple(_restriction(one) for one in told.parts("restrict")) if told.get("restrict") else ()
    return Layer(kind, _starts(told, zone), people, hours, restrict)


def _starts(told: Told, zone: ZoneInfo) -> datetime:
    """The first hand-over by the rota's wall clock; a time with a zone of its own is turned into that."""
    try:
        starts = datetime.fromisoformat(told.word("starts_at"))
        local = starts.astimezone(zone).replace(tzinfo=None) if starts.tzinfo is not None else starts
    except (ValueError, OverflowError):
        local = None
    if local is None or not 2000 <= local.year <= 2999:
        raise RosterRefused(
            f"{told.where}.starts_at: write the first hand-over, for example 2026-01-05T08:00 (the rota's own time)"
        )
    return local.replace(second=0, microsecond=0, fold=0)


def _restriction(told: Told) -> Restriction:
    days = told.items("days") if told.has("days") else list(DAYS)
    foreign = [day for day in days if day not in DAYS]
    if foreign or not days:
        raise RosterRefused(f"{told.where}.days: give some of {', '.join(DAYS)}, or leave them out for every day")
    from_min, to_min = _minute(told, "from"), _minute(told, "to")
    if from_min == to_min or from_min == 24 * 60:
        raise RosterRefused(f"{told.where}: `from` and `to` leave no time between them; a whole day is 00:00 to 24:00")
    return Restriction(frozenset(DAYS.index(str(day)) for day in days), from_min, to_min)


def _minute(told: Told, name: str) -> int:
    found = told.word(name)
    if not _CLOCK.fullmatch(found):
        raise RosterRefused(f"{told.where}.{name}: write a time of day like 08:00 or 24:00")
    return int(found[:2]) * 60 + int(found[3:])


def _layer_told(layer: Layer) -> dict[str, object]:
    told: dict[str, object] = {
        "kind": layer.kind,
        "starts_at": layer.starts.isoformat(timespec="minutes"),
        "people": list(layer.people),
    }
    if layer.kind == "custom":
        told["hours"] = layer.hours
    if layer.restrict:
        told["restrict"] = [
            {
                "days": [DAYS[day] for day in sorted(one.days)],
                "from": f"{one.from_min // 60:02}:{one.from_min % 60:02}",
                "to": f"{one.to_min // 60:02}:{one.to_min % 60:02}",
            }
            for one in layer.restrict
        ]
    return told


def _serves(told: Told) -> Serves:
    if not told.get("serves"):
        return FOR_ALL
    serves = told.part("serves")
    codes = [serves.words(name) if serves.has(name) else () for name in ("languages", "regions", "tracks")]
    return Serves(*codes)
