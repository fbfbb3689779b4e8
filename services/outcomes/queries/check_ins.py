"""A patient's check-ins, opened with their key for those who may read them."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import orjson

from services.outcomes.domain.check_in import CONTENT
from services.outcomes.ports import CheckIns, PatientKeys
from shared.security.keks import KeyUnavailable
from shared.security.sealing import DataKey


class BadCursor(ValueError):
    """A cursor that this service did not give out."""


class CheckInQueries:
    """Reads check-ins; raises StoreSilent, and KeyUnavailable while nothing can be opened."""

    def __init__(self, check_ins: CheckIns, keys: PatientKeys, *, page_max: int) -> None:
        self._check_ins = check_ins
        self._keys = keys
        self._page_max = page_max

    async def page(self, patient_id: str, cursor: str | None) -> dict[str, Any]:
        """A page, newest first: `{items, next}`; raises BadCursor. Of a patient who was forgotten the content is null."""
        found = await self._check_ins.page(patient_id, _before(cursor), self._page_max + 1)
        shown = found[: self._page_max]
        key = self._key(patient_id) if shown else None
        after = None if len(found) <= self._page_max else _cursor(shown[-1])
        return {"items": [told(document, key) for document in shown], "next": after}

    def one(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """A check-in as its sender is told it."""
        return told(document, self._key(document["patient_id"]))

    def _key(self, patient_id: str) -> DataKey | None:
        try:
            return self._keys.key_of(patient_id)
        except KeyUnavailable as unavailable:
            if unavailable.code == "key_forgotten":
                return None
            raise


def told(document: Mapping[str, Any], key: DataKey | None) -> dict[str, Any]:
    """A check-in as it is shown; without its key what was said stays closed for ever."""
    content = {"mood": None, "urges": None, "note": None} if key is None else key.open(CONTENT, document[CONTENT])
    return {
        "check_in_id": document["_id"],
        "patient_id": document["patient_id"],
        "recorded_at": document["recorded_at"],
        **content,
        "forgotten": key is None,
        "flag": document["flag"],
    }


def _cursor(document: Mapping[str, Any]) -> str:
    place = orjson.dumps([document["recorded_s"], document["_id"]])
    return base64.urlsafe_b64encode(place).decode().rstrip("=")


def _before(cursor: str | None) -> tuple[float, str] | None:
    if cursor is None:
        return None
    try:
        at_s, last = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError, binascii.Error):
        raise BadCursor from None
    if not isinstance(at_s, int | float) or not isinstance(last, str):
        raise BadCursor
    return float(at_s), last
