"""Which instruments are known: by id and version, by other names people use for them, and which may not be used yet."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from services.intake.domain.building import InstrumentUnusable, Mistake
from services.intake.domain.instrument import Instrument

_NOISE = re.compile(r"[^a-z0-9]")
_DIGITS = re.compile(r"(\d+)")


class Registry:
    """The instruments of a deployment. The newest version of an id is the current one."""

    def __init__(self, instruments: Iterable[Instrument] = (), acknowledged: Collection[str] = ()) -> None:
        self._acknowledged = frozenset(acknowledged)
        self._versions: dict[str, dict[str, Instrument]] = {}
        self._current: dict[str, Instrument] = {}
        self._names: dict[str, Instrument] = {}
        for instrument in instruments:
            self.add(instrument)

    def add(self, instrument: Instrument) -> None:
        """Take up an instrument, or a further version of one.

        Raises InstrumentUnusable for a version that is there already, for one that watches less than those before it, and for a
        name that is another instrument's.
        """
        versions = self._versions.get(instrument.id, {})
        if instrument.version in versions:
            raise InstrumentUnusable([Mistake(("version",), f"{instrument.id} {instrument.version} is known already")])
        watched = {rule.item for rule in instrument.safety}
        lost = sorted({rule.item for other in versions.values() for rule in other.safety} - watched)
        if lost:
            raise InstrumentUnusable(
                [Mistake(("safety",), f"{lost[0]} is a safety item of another version, and must stay one")]
            )
        for place, name in (
            (("id",), instrument.id),
            *((("names", index), name) for index, name in enumerate(instrument.names)),
        ):
            other = self._names.get(_plain(name))
            if other is not None and other.id != instrument.id:
                # What people mean by a name decides which safety items are read of a sheet that is not known exactly.
                raise InstrumentUnusable([Mistake(place, f"{name} is what {other.id} is called")])
        self._versions[instrument.id] = {**versions, instrument.version: instrument}
        current = max(self._versions[instrument.id].values(), key=lambda one: _in_order(one.version))
        self._current[current.id] = current
        for name in (current.id, *current.names):
            self._names[_plain(name)] = current

    @property
    def current(self) -> Mapping[str, Instrument]:
        """The current version of every instrument, by id."""
        return self._current

    def find(self, name: Any, version: Any = None) -> Instrument | None:
        """The instrument of exactly this id (and version, where one is named); None when it is not known."""
        if not isinstance(name, str):
            return None
        if version is None:
            return self._current.get(name)
        return self._versions.get(name, {}).get(version) if isinstance(version, str) else None

    def watched(self, name: Any) -> Instrument | None:
        """The instrument a caller may mean, spelled loosely (`PHQ-9`, `phq9_es`): for its safety items only, never for scoring."""
        if not isinstance(name, str):
            return None
        plain = _plain(name[:128])
        exact = self._names.get(plain)
        if exact is not None or not plain:
            return exact
        # A longer name that begins or ends like one that is known: of several, the one that has most in common.
        near = [known for known in self._names if len(known) > 2 and (plain.startswith(known) or plain.endswith(known))]
        return self._names[max(near, key=len)] if near else None

    def may_be_used(self, instrument: Instrument) -> bool:
        """Whether its licence needs no acknowledgement, or has one."""
        return not instrument.licence.needs_acknowledgement or instrument.id in self._acknowledged

    def unacknowledged(self) -> tuple[Instrument, ...]:
        """Instruments that may not be used yet."""
        return tuple(one for one in self._current.values() if not self.may_be_used(one))


def _plain(name: str) -> str:
    return _NOISE.sub("", name.lower())


def _in_order(version: str) -> list[tuple[int, int, str]]:
    """Versions in the order people mean: 2 before 10, 1.9 before 1.10."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in _DIGITS.split(version)]
