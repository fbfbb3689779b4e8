"""A POST that comes again: what it makes has an id derived from its caller and its Idempotency-Key, so no keys are stored.

Same key and same body: the same thing again, nothing is done twice. Same key, other body: 409 `key-used`. The key is the
caller's own text of any form; without one every request is a new one.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import Request
from pydantic import BaseModel

from shared.chassis.problems import Problem
from shared.security.auth import Principal
from shared.time.ids import derived_id, fresh_id

KEY_HEADER = "Idempotency-Key"
# For `openapi_extra` of a route that heeds the header.
DOCUMENTED: dict[str, Any] = {
    "parameters": [
        {
            "name": KEY_HEADER,
            "in": "header",
            "required": False,
            "description": "Any text; the same key and body again do nothing twice, another body under it is a 409.",
            "schema": {"type": "string"},
        }
    ]
}
_DIGEST_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class Posted:
    """One POST: who sent it where under which key, and a digest of its body that neither spacing nor order changes."""

    principal: str
    route: str
    key: str | None
    digest: str

    def id_in(self, programme_id: str, subject: str = "") -> str:
        """The id of what this request makes; `subject` is whom or what it is about, an empty one for something new."""
        if self.key is None:
            return fresh_id()
        return derived_id(programme_id, self.principal, subject, self.route, self.key)


def posted(request: Request, who: Principal, body: BaseModel | None = None) -> Posted:
    """What a route needs to know of a POST that may come again."""
    content = None if body is None else body.model_dump(mode="json", exclude_none=True)
    digest = hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:_DIGEST_CHARACTERS]
    route = getattr(request.scope.get("route"), "path", request.url.path)
    return Posted(who.sub, f"{request.method} {route}", request.headers.get(KEY_HEADER) or None, digest)


def key_used() -> Problem:
    """The 409 for another body under a used key."""
    return Problem(409, "key-used", "This Idempotency-Key was used for another request")
