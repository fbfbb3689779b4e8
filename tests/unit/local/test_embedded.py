"""What the embedded process is told, and how its answers say what they are."""

import os
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message

from deploy.local.embedded.marks import HEADER, HEADER_VALUE, WORDS, Forgetful, with_words
from deploy.local.embedded.parts import Part, Parts, environment, part_of


async def _page(_request: Request) -> Response:
    return HTMLResponse("<!doctype html><title>ü</title><p>Take this case?</p>")


async def _slowly(_request: Request) -> Response:
    async def parts() -> Any:
        yield "<!doctype html><body class=a>"
        yield "<p>ü</p>"

    return StreamingResponse(parts(), media_type="text/html; charset=utf-8")


async def _openapi(_request: Request) -> Response:
    return JSONResponse({"info": {"title": "Vigil intake"}, "paths": {}})


async def _stream(_request: Request) -> Response:
    async def events() -> Any:
        yield "event: case\n\n"
        yield "event: case\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


APP = Forgetful(
    Starlette(
        routes=[
            Route("/page", _page),
            Route("/slowly", _slowly),
            Route("/openapi.json", _openapi),
            Route("/stream", _stream),
        ]
    )
)


async def answered(path: str) -> tuple[dict[str, str], list[bytes]]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", "root_path": ""}
    await APP({**scope, "raw_path": path.encode(), "asgi": {"version": "3.0", "spec_version": "2.4"}}, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return headers, [message.get("body", b"") for message in sent[1:]]


@pytest.mark.parametrize("path", ["/page", "/slowly", "/openapi.json"])
async def test_what_people_read_has_the_words_and_the_right_length(path: str) -> None:
    headers, bodies = await answered(path)
    (body,) = bodies
    assert WORDS in body.decode()
    assert headers["content-length"] == str(len(body))
    assert headers[HEADER.lower()] == HEADER_VALUE
    assert "ü" in body.decode() or path == "/openapi.json"


@pytest.mark.parametrize("path", ["/stream", "/nowhere"])
async def test_everything_else_is_passed_on_as_it_comes_with_the_header(path: str) -> None:
    headers, bodies = await answered(path)
    assert headers[HEADER.lower()] == HEADER_VALUE
    assert WORDS.encode() not in b"".join(bodies)
    assert path != "/stream" or bodies[:2] == [b"event: case\n\n"] * 2


@pytest.mark.parametrize("page", ["<body class=x>text", "<title>t</title><p>text", "text"])
def test_the_words_stand_before_the_text(page: str) -> None:
    marked = with_words("/a/token", page.encode()).decode()
    assert marked.index(WORDS) < marked.index("text")
    assert marked.startswith("<") == page.startswith("<") or WORDS in marked


def test_what_is_told_is_what_is_read() -> None:
    env = {"VIGIL_TOPIC_PREFIX": "t", "PATH": "/bin", "HOME": "/root"}
    part = part_of("crisis-0", ("python", "-m", "services.crisis", "--word"), env)
    assert part == Part("crisis-0", "services.crisis", ("--word",), {"VIGIL_TOPIC_PREFIX": "t"})
    told = Parts(Path("somewhere"), (part,))
    assert Parts.read(told.told()) == told


@pytest.mark.parametrize("told", ["", "{}", "[]", '{"directory": "x", "parts": [{}]}', '{"directory": "x", "parts": []}'])
def test_what_cannot_be_read_is_said(told: str) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        Parts.read(told)


def test_a_part_sees_its_own_variables_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIL_MONGO_URI", "of-the-caller")
    monkeypatch.setenv("PATH", "/bin")
    with environment({"VIGIL_TOPIC_PREFIX": "t"}):
        assert "VIGIL_MONGO_URI" not in os.environ
        assert (os.environ["VIGIL_TOPIC_PREFIX"], os.environ["PATH"]) == ("t", "/bin")
    assert os.environ["VIGIL_MONGO_URI"] == "of-the-caller"
    assert "VIGIL_TOPIC_PREFIX" not in os.environ
