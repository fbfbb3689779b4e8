"""What says, on every answer, that this Vigil forgets: a header, words on every page, words in every API document."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER, HEADER_VALUE = "Vigil-Embedded", "forgets"
WORDS = "Embedded: one process, kept in memory only. Everything here is forgotten when it ends."
_BANNER = (
    f'<p role="note" style="background:#d9480f;color:#fff;font:16px/1.4 sans-serif;margin:0 0 1rem;padding:.6rem">{WORDS}</p>'
)
_API_PATH = "/openapi.json"
_Page = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Forgetful:
    """Around a service's application: the header on every answer, the words where people and generators read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        held: Message | None = None
        chunks: list[bytes] = []

        async def marked(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), (HEADER.lower().encode(), HEADER_VALUE.encode())]
                message = {**message, "headers": headers}
                if _is_read_by_people(scope["path"], headers):
                    held = message
                    return
            elif held is not None:
                chunks.append(message.get("body", b""))
                if message.get("more_body"):
                    return
                body = with_words(scope["path"], b"".join(chunks))
                kept = [(name, value) for name, value in held["headers"] if name.lower() != b"content-length"]
                await send({**held, "headers": [*kept, (b"content-length", str(len(body)).encode())]})
                message = {"type": "http.response.body", "body": body}
            await send(message)

        await self._app(scope, receive, marked)


@web.middleware
async def forgetful_phone(request: web.Request, handler: _Page) -> web.StreamResponse:
    """The same around the phone simulator."""
    response = await handler(request)
    if isinstance(response, web.Response) and isinstance(response.body, bytes):
        of_people = response.content_type == "text/html" or request.path == _API_PATH
        if of_people:
            response.body = with_words(request.path, response.body)
    response.headers[HEADER] = HEADER_VALUE
    return response


def with_words(path: str, body: bytes) -> bytes:
    """A page with the words on top of it, or an API document with the words in its title and description."""
    if path == _API_PATH:
        document: dict[str, Any] = orjson.loads(body)
        about = document.setdefault("info", {})
        about["title"] = f"{about.get('title', 'Vigil')} (embedded, forgets)"
        about["description"] = " ".join(filter(None, (WORDS, about.get("description"))))
        return orjson.dumps(document)
    text = body.decode()
    begin = text.find("<body")
    place = text.find(">", begin) + 1 if begin >= 0 else _after_head(text)
    return (text[:place] + _BANNER + text[place:]).encode()


def _after_head(text: str) -> int:
    # A page without <body>: after its title, which is the last thing of its head.
    end = text.find("</title>")
    return end + len("</title>") if end >= 0 else 0


def _is_read_by_people(path: str, headers: list[tuple[bytes, bytes]]) -> bool:
    return path == _API_PATH or any(
        name.lower() == b"content-type" and value.startswith(b"text/html") for name, value in headers
    )
