"""The simulator's control side, its process, the language of stories, and the clinician who answers by himself."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientConnectionError, ClientSession, web

from tests.support.device import Phone
from tests.support.phone_process import PAGE_TEXT, PhoneProcess, Receiver, message, phone_process, provider_session

CLINICIAN = "+15550100001"
OTHER = "+15550100002"


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PhoneProcess]:
    folder: Path = tmp_path_factory.mktemp("phone")
    with phone_process(
        folder, "--numbers-url", "http://127.0.0.1:9/first", "--numbers-fallback-url", "http://127.0.0.1:9/second"
    ) as process:
        yield process


@pytest_asyncio.fixture
async def phone(simulator: PhoneProcess) -> AsyncIterator[Phone]:
    async with Phone(simulator.url) as phone:
        await phone.forget()
        yield phone


@pytest_asyncio.fixture
async def sender(simulator: PhoneProcess) -> AsyncIterator[ClientSession]:
    async with provider_session() as session:
        yield session


async def page(simulator: PhoneProcess, sender: ClientSession, to: str, body: str = PAGE_TEXT) -> None:
    async with sender.post(simulator.account("Messages"), data={**message(to), "Body": body}) as answer:
        assert answer.status == 201


@pytest.mark.asyncio
async def test_delete_forgets_everything(simulator: PhoneProcess, phone: Phone, sender: ClientSession) -> None:
    await page(simulator, sender, CLINICIAN)
    await phone.device(CLINICIAN).use_urls("http://127.0.0.1:9/own")
    await phone.break_down("500", ms=1)
    before = (await phone.items())[-1]["seq"]
    await phone.forget()
    assert await phone.items() == []
    assert await phone.call("GET", "/_phone/faults") == (200, {"mode": "ok"})
    urls = {"url": "http://127.0.0.1:9/first", "fallback_url": "http://127.0.0.1:9/second"}
    assert await phone.call("GET", f"/_phone/{CLINICIAN}") == (200, urls)
    await page(simulator, sender, CLINICIAN)
    # Who watches with `after` must not miss what comes after a DELETE.
    assert (await phone.items(after=before))[0]["seq"] > before


@pytest.mark.asyncio
async def test_a_watcher_is_woken_by_the_page_it_waits_for(
    simulator: PhoneProcess, phone: Phone, sender: ClientSession
) -> None:
    watch = asyncio.create_task(phone.call("GET", f"/_phone/{OTHER}/pages?wait_ms=30000"))
    await page(simulator, sender, CLINICIAN)
    await page(simulator, sender, OTHER)
    async with asyncio.timeout(10):
        _, told = await watch
    assert [item["to"] for item in told["items"]] == [OTHER]
    assert await phone.items(OTHER, after=told["items"][0]["seq"]) == []


@pytest.mark.asyncio
async def test_the_phones_can_be_looked_at_and_the_process_answers_for_itself(simulator: PhoneProcess, phone: Phone) -> None:
    async with ClientSession() as session:
        for path, kind, containing in (
            ("/_phone", "text/html", "Reply 1"),
            ("/health/live", "application/json", "live"),
            ("/health/ready", "application/json", "ready"),
            ("/metrics", "text/plain", "phone_requests_total"),
            ("/openapi.json", "application/json", "/_phone/{e164}/reply"),
        ):
            async with session.get(simulator.url + path) as answer:
                assert (answer.status, answer.content_type) == (200, kind), path
                assert containing in await answer.text(), path


@pytest.mark.asyncio
async def test_an_expectation_consumes_its_page_and_names_what_it_saw_when_it_is_not_met(
    simulator: PhoneProcess, phone: Phone, sender: ClientSession
) -> None:
    device = phone.device(CLINICIAN)
    await page(simulator, sender, CLINICIAN, PAGE_TEXT)
    await page(simulator, sender, CLINICIAN, PAGE_TEXT.replace("high", "imminent"))
    assert (await device.expect_page(within_s=1, level="imminent")).level == "imminent"
    assert (await device.expect_page(within_s=1, containing="K7Q0M2")).level == "high"
    with pytest.raises(AssertionError, match=r"no page .* within 0 s") as failure:
        await device.expect_page(within_s=0)
    assert PAGE_TEXT in str(failure.value)
    await device.expect_no_page(for_s=0)
    await page(simulator, sender, CLINICIAN)
    with pytest.raises(AssertionError, match="although no page was expected"):
        await device.expect_no_page(for_s=0)
    assert len(await device.consume_all()) == 1
    assert len(await device.pages()) == 3


@pytest.mark.asyncio
async def test_a_page_that_nobody_expected_fails_the_story(
    simulator: PhoneProcess, phone: Phone, sender: ClientSession
) -> None:
    await page(simulator, sender, CLINICIAN)
    phone.device(CLINICIAN)
    await phone.assert_no_foreign_pages()
    await phone.quiet_for(0.05)
    await page(simulator, sender, OTHER)
    with pytest.raises(AssertionError, match=r"did not expect: \+15550100002"):
        await phone.assert_no_foreign_pages()
    await phone.assert_no_foreign_pages(expected=[CLINICIAN, OTHER])
    noise = asyncio.create_task(phone.quiet_for(30))
    while not noise.done():
        await page(simulator, sender, OTHER)
    with pytest.raises(AssertionError, match="all was to be quiet"):
        await noise


@pytest.mark.asyncio
async def test_the_process_stops_at_once_though_a_request_hangs(tmp_path: Path) -> None:
    with phone_process(tmp_path) as process:
        async with Phone(process.url) as phone, provider_session() as sender:
            await phone.break_down("hang", times=1)
            # The fault is for one request: when one of two is answered, the other one hangs.
            requests = [
                asyncio.create_task(sender.post(process.account("Messages"), data=message(to))) for to in (CLINICIAN, OTHER)
            ]
            answered, hanging = await asyncio.wait(requests, timeout=10, return_when=asyncio.FIRST_COMPLETED)
            assert [request.result().status for request in answered] == [201]
            process.process.terminate()
            assert await asyncio.to_thread(process.process.wait, 5) == 0
            for request in hanging:
                with pytest.raises(ClientConnectionError):
                    await request


class Crisis:
    """Cases of crisis as the answering clinician meets them, with the conflicts he must get over."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.conflicts = 1
        self.unavailable = 2

    async def case(self, request: web.Request) -> web.Response:
        code = request.match_info["id"]
        if request.headers.get("Authorization") != "Bearer supervisor-token":
            return web.json_response({"code": "forged"}, status=401)
        if code == "N0CASE":
            return web.json_response({"code": "no_case"}, status=404)
        level = "imminent" if code == "1MM1NT" else "high"
        return web.json_response(
            {"case_id": f"case-{code}", "version": 3, "level": level, "state": "owned", "flags": [{"flag_id": "f1"}]}
        )

    async def resolve(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.calls.append((request.match_info["id"], body))
        if self.unavailable:
            self.unavailable -= 1
            return web.json_response({"code": "store"}, status=503)
        if self.conflicts:
            self.conflicts -= 1
            return web.json_response({"state": "owned", "owner": "p", "version": 4, "open_flags": ["f2"]}, status=409)
        return web.json_response({"state": "closed", "owner": "p", "version": 5})


@pytest.mark.asyncio
async def test_the_answering_clinician_acknowledges_each_code_once_and_resolves_its_case(tmp_path: Path) -> None:
    crisis = Crisis()
    app = web.Application()
    app.add_routes([web.get("/v1/cases/{id}", crisis.case), web.post("/v1/cases/{id}/resolve", crisis.resolve)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    crisis_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    token = tmp_path / "token"
    token.write_text("supervisor-token\n", encoding="utf-8")
    async with Receiver() as receiver:
        arguments = ["--numbers-url", receiver.url + "/sms", "--auto-answer", "--crisis-urls", f"{crisis_url},{crisis_url}"]
        with phone_process(tmp_path, *arguments, "--token-file", str(token), "--auto-retry-ms", "20") as process:
            async with Phone(process.url) as phone, provider_session() as sender:
                await page(process, sender, CLINICIAN)
                await page(process, sender, CLINICIAN)
                await page(process, sender, OTHER, PAGE_TEXT.replace("high", "imminent").replace("K7Q0M2", "1MM1NT"))
                await page(process, sender, OTHER, PAGE_TEXT.replace("K7Q0M2", "N0CASE"))
                await page(process, sender, OTHER, "no page at all")
                report: dict[str, Any] = {"pending": 1}
                async with asyncio.timeout(60):
                    while report["pending"]:
                        await phone.items(None, after=10**15, wait_s=0.1)
                        _, report = await phone.call("GET", "/_phone/auto")
    await runner.cleanup()
    assert report == {
        "acknowledged": 3,
        "resolved": 2,
        "pending": 0,
        "failed": [{"code": "N0CASE", "step": "resolve", "reason": "GET case: 404"}],
        "failed_count": 1,
    }
    assert sorted(received.form["Body"] for received in receiver.at("/sms")) == ["1MM1NT", "K7Q0M2", "N0CASE"]
    last = dict(crisis.calls)
    assert last["case-K7Q0M2"]["level"] == "high"
    assert "second_clinician_id" not in last["case-K7Q0M2"]
    assert last["case-1MM1NT"]["second_clinician_id"] == "replay-second"
    # One of them met the conflict: it named the open flag at the version it was told.
    assert [(body["version"], body["flags"]) for _, body in crisis.calls].count((4, ["f1", "f2"])) == 1
