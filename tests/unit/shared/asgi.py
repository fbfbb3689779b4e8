"""Calls an ASGI application without a socket."""

from dataclasses import dataclass
from typing import Any

import orjson
from starlette.types import ASGIApp, Message


@dataclass(frozen=True)
class Answer:
    """One response; `problem` is the slug of its type."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def problem(self) -> str:
        assert self.headers["content-type"] == "application/problem+json"
        return str(self.json["type"]).removeprefix("urn:vigil:problem:")


async def call(
    app: ASGIApp,
    method: str,
    path: str,
    body: Any = None,
    *,
    token: str | None = None,
    raw: bytes | None = None,
    **headers: str,
) -> Answer:
    """One request; `body` is sent as JSON, `raw` as it is. A header's underscores become dashes."""
    content = raw if raw is not None else (b"" if body is None else orjson.dumps(body))
    sent = {name.replace("_", "-"): value for name, value in headers.items()} | {"content-type": "application/json"}
    if token is not None:
        sent["authorization"] = f"Bearer {token}"
    target, _, query = path.partition("?")
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": target, "root_path": "",
        "raw_path": target.encode(), "query_string": query.encode(), "server": ("t", 80), "client": ("t", 1),
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
    }  # fmt: skip
    told: list[Message] = []
    given = False

    async def receive() -> Message:
        nonlocal given
        if given:
            return {"type": "http.disconnect"}
        given = True
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: Message) -> None:
        told.append(message)

    try:
        await app(scope, receive, send)
    except Exception:
        # The outermost layer answers 500 and lets the error go on to the server's log.
        if not told:
            raise
    start = next(message for message in told if message["type"] == "http.response.start")
    return Answer(
        start["status"],
        {name.decode(): value.decode() for name, value in start["headers"]},
        b"".join(message.get("body", b"") for message in told if message["type"] == "http.response.body"),
    )
