"""Calls of the command line over real connections: repeated while it is worth it, under one key, at whoever is alive."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from deploy.local.apis import Crisis, Intake, Patience, Refused, Unreachable, calling
from deploy.local.ports import LOOPBACK, free_ports

QUICK = Patience(attempts=4, attempt_s=2.0, first_pause_s=0.01, pause_max_s=0.02)


class Server:
    """Answers what it was told to, one after the other; the last one again and again."""

    def __init__(self, *answers: tuple[int, dict[str, Any]]) -> None:
        self._answers = list(answers)
        self.keys: list[str | None] = []
        self.paths: list[str] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        """The next answer."""
        self.keys.append(request.headers.get("Idempotency-Key"))
        self.paths.append(request.path_qs)
        status, body = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return web.json_response(body, status=status)


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Server]:
    """The server on a port of its own."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    server.url = f"http://{LOOPBACK}:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


async def test_a_503_is_repeated_under_the_same_key() -> None:
    ok = (201, {"patient_id": "p1"})
    async with serving(Server((503, {}), (503, {}), ok)) as server, calling() as session:
        intake = Intake("intake", session, [server.url], "token", QUICK)
        assert await intake.enrol("key-1", {"name": "x"}) == "p1"
        assert server.keys == ["key-1"] * 3


async def test_an_error_for_good_is_not_repeated() -> None:
    problem = (409, {"type": "https://vigil.invalid/problems/other-answers"})
    async with serving(Server(problem)) as server, calling() as session:
        intake = Intake("intake", session, [server.url], "token", QUICK)
        with pytest.raises(Refused) as refused:
            await intake.assess("p1", "key-1", {"q1": 1})
        assert (len(server.keys), refused.value.answer.problem) == (1, "other-answers")


async def test_after_the_last_attempt_the_last_answer_is_kept() -> None:
    flagged = {"flag": {"flag_id": "f1", "level": "high"}, "flagged": True}
    async with serving(Server((503, flagged))) as server, calling() as session:
        intake = Intake("intake", session, [server.url], "token", QUICK)
        with pytest.raises(Unreachable) as given_up:
            await intake.assess("p1", "key-1", {"q9": 3})
        assert len(server.keys) == QUICK.attempts
        assert given_up.value.answer is not None
        assert given_up.value.answer.body == flagged


async def test_a_dead_replica_gives_way_to_a_living_one() -> None:
    dead = f"http://{LOOPBACK}:{free_ports(1)[0]}"
    async with serving(Server((200, {"items": [], "next": None}))) as server, calling() as session:
        crisis = Crisis("crisis", session, [dead, server.url], "token", QUICK)
        assert await crisis.cases("open") == []
        assert await crisis.cases() == []
        assert server.paths == ["/v1/cases?status=open", "/v1/cases"]


async def test_cases_come_page_by_page_and_each_once() -> None:
    pages: list[Any] = [
        (200, {"items": [{"case_id": "a", "v": 1}, {"case_id": "b"}], "next": "00:7&x"}),
        (200, {"items": [{"case_id": "a", "v": 2}, {"case_id": "c"}], "next": None}),
    ]
    async with serving(Server(*pages)) as server, calling() as session:
        cases = await Crisis("crisis", session, [server.url], "token", QUICK).cases("closed")
        assert [case["case_id"] for case in cases] == ["a", "b", "c"]
        assert cases[0]["v"] == 2
        assert server.paths[1] == "/v1/cases?status=closed&cursor=00:7%26x"


async def test_an_unknown_case_is_none_and_a_refusal_is_no_case() -> None:
    async with serving(Server((404, {}))) as server, calling() as session:
        assert await Crisis("crisis", session, [server.url], "token", QUICK).case("000000") is None
    async with serving(Server((401, {"code": "token-expired"}))) as server, calling() as session:
        with pytest.raises(Unreachable, match="token-expired"):
            await Crisis("crisis", session, [server.url], "token", QUICK).case("000000")


async def test_a_service_without_an_address_is_not_part_of_the_stack() -> None:
    async with calling() as session:
        with pytest.raises(Unreachable, match="not part of the running stack"):
            Crisis("crisis", session, [])
