"""The language of stories about phones: a device expects pages, replies, presses keys; what nobody expected fails the story.

Every expectation that is not met raises AssertionError with all that is on all phones.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn
from urllib.parse import quote

from aiohttp import ClientSession, ClientTimeout, TCPConnector

from deploy.local.phone.page_text import read_page, read_spoken_page
from shared.time.clock import SystemClock

_ASK_AGAIN_MS = 20_000
# An answer of the simulator that takes so much longer than it was asked to wait is a fault of the harness, not of Vigil.
_GRACE_S = 10.0


@dataclass(frozen=True, slots=True)
class Page:
    """A page as its reader sees it; `level`, `code`, `link` and `ack_by` are None when the text is not of the page grammar."""

    to: str
    channel: str
    body: str
    at: str
    at_ms: float
    monotonic_ms: float
    page_id: str
    segments: int | None
    level: str | None
    code: str | None
    ack_by: str | None
    link: str | None
    sender: str = ""


def page_of(item: dict[str, Any]) -> Page:
    """A simulator's entry as a page."""
    text = read_page(item["body"]) if item["channel"] == "sms" else read_spoken_page(item["body"])
    return Page(
        to=item["to"],
        channel=item["channel"],
        body=item["body"],
        at=item["at"],
        at_ms=item["at_ms"],
        monotonic_ms=item["monotonic_ms"],
        page_id=item["page_id"],
        segments=item.get("segments"),
        level=text.level if text else None,
        code=text.code if text else None,
        ack_by=text.ack_by if text else None,
        link=text.link if text else None,
        sender=str(item.get("from") or ""),
    )


class Phone:
    """The phone network of one story: `async with Phone(base_url) as phone`."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._session: ClientSession | None = None
        self._devices: dict[str, Device] = {}
        self._clock = SystemClock()
        self._started_ms = self._clock.now_s() * 1000

    async def __aenter__(self) -> "Phone":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def device(self, number: str) -> "Device":
        """The phone with this E.164 number; always the same object, so that what it has seen stays seen."""
        if number not in self._devices:
            self._devices[number] = Device(self, number)
        return self._devices[number]

    async def pages(self) -> list[Page]:
        """All pages on all phones, oldest first."""
        return [page_of(item) for item in await self.items() if item["kind"] == "page"]

    async def items(self, number: str | None = None, after: int = 0, wait_s: float = 0.0) -> list[dict[str, Any]]:
        """Entries of one phone or all, newer than `after`; waits up to so long for the first one."""
        where = "/_phone/pages" if number is None else f"/_phone/{quote(number)}/pages"
        deadline_s = self._clock.monotonic_s() + wait_s
        while True:
            left_ms = max(0, min(_ASK_AGAIN_MS, int((deadline_s - self._clock.monotonic_s()) * 1000)))
            status, told = await self.call("GET", f"{where}?after={after}&wait_ms={left_ms}")
            assert status == 200, f"{where}: {status} {told}"
            items: list[dict[str, Any]] = told["items"]
            if items or self._clock.monotonic_s() >= deadline_s - 0.001:
                return items

    async def break_down(self, mode: str, ms: float | None = None, **scope: Any) -> None:
        """Make the provider fail (see `deploy.local.phone.faults.Fault`); `scope`: sender, path, to, times."""
        body = {"mode": mode, "ms": ms, **scope}
        status, told = await self.call(
            "PUT", "/_phone/faults", {name: value for name, value in body.items() if value is not None}
        )
        assert status == 200, f"faults: {status} {told}"

    async def mend(self) -> None:
        """The provider works again."""
        await self.break_down("ok")

    async def forget(self) -> None:
        """Empty all phones, mend the provider."""
        status, _ = await self.call("DELETE", "/_phone")
        assert status == 204, f"DELETE /_phone: {status}"

    async def quiet_for(self, seconds: float) -> None:
        """No page reaches any phone for so long (a real wait)."""
        seen = await self.items()
        after = seen[-1]["seq"] if seen else 0
        deadline_s = self._clock.monotonic_s() + seconds
        while (left_s := deadline_s - self._clock.monotonic_s()) > 0:
            items = await self.items(None, after, left_s)
            if any(item["kind"] == "page" for item in items):
                await self.fail(f"a page came although all was to be quiet for {seconds:g} s")
            after = items[-1]["seq"] if items else after

    async def assert_no_foreign_pages(self, expected: Iterable[str] | None = None) -> None:
        """Fail when a phone was paged that is not one of these numbers (default: the devices this story named)."""
        known = set(self._devices if expected is None else expected)
        foreign = sorted({page.to for page in await self.pages()} - known)
        if foreign:
            await self.fail(f"pages reached phones that this story did not expect: {', '.join(foreign)}")

    async def fail(self, sentence: str) -> NoReturn:
        """Raise AssertionError with this sentence and all that is on the phones."""
        items = await self.items()
        lines = [
            f"  {(item['at_ms'] - self._started_ms) / 1000:+9.3f} s  {item['to']:<16} {item['channel']:<5} {item['kind']:<6} {item['body']}"
            for item in items
        ]
        raise AssertionError("\n".join([sentence, "on the phones (time since the story began):", *(lines or ["  nothing"])]))

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One control request: status and decoded JSON (None without a body)."""
        if self._session is None:
            self._session = ClientSession(
                connector=TCPConnector(limit=0), timeout=ClientTimeout(total=_ASK_AGAIN_MS / 1000 + _GRACE_S)
            )
        async with self._session.request(method, self.base_url + path, json=body) as answer:
            return answer.status, None if answer.status == 204 else await answer.json(content_type=None)


class Device:
    """One person's phone. What an expectation returned is consumed: the next one looks at the rest."""

    def __init__(self, phone: Phone, number: str) -> None:
        self.phone = phone
        self.number = number
        self._consumed: set[int] = set()
        self._clock = SystemClock()

    async def expect_page(
        self, within_s: float, containing: str | None = None, channel: str | None = None, level: str | None = None
    ) -> Page:
        """The oldest page not yet consumed that fits, waiting up to so long for it (from now)."""

        def fits(item: dict[str, Any]) -> bool:
            page = page_of(item)
            return _fits(item, containing, channel) and level in (None, page.level)

        wanted = " ".join(str(word) for word in (channel, level, f"containing {containing!r}" if containing else None) if word)
        return page_of(await self._expect("page", within_s, fits, wanted))

    async def expect_answer(self, containing: str | None = None, within_s: float = 5.0, channel: str | None = None) -> str:
        """The text of the oldest answer not yet consumed that fits."""
        item = await self._expect(
            "answer", within_s, lambda item: _fits(item, containing, channel), f"containing {containing!r}"
        )
        return str(item["body"])

    async def expect_no_page(self, for_s: float, containing: str | None = None, channel: str | None = None) -> None:
        """No fitting page is on the phone unconsumed, nor comes for so long (a real wait)."""
        deadline_s = self._clock.monotonic_s() + for_s
        after = 0
        while True:
            items = await self.phone.items(self.number, after, max(0.0, deadline_s - self._clock.monotonic_s()))
            if any(
                item["kind"] == "page" and item["seq"] not in self._consumed and _fits(item, containing, channel)
                for item in items
            ):
                await self.phone.fail(f"{self.number} was paged although no page was expected for {for_s:g} s")
            after = items[-1]["seq"] if items else after
            if self._clock.monotonic_s() >= deadline_s - 0.001:
                return

    async def pages(self) -> list[Page]:
        """All pages on this phone, consumed or not."""
        return [page_of(item) for item in await self.phone.items(self.number) if item["kind"] == "page"]

    async def unexpected(self) -> list[Page]:
        """The pages on this phone that no expectation has consumed."""
        items = [item for item in await self.phone.items(self.number) if item["seq"] not in self._consumed]
        return [page_of(item) for item in items if item["kind"] == "page"]

    async def consume_all(self) -> list[Page]:
        """Take note of all that is on the phone; returns the pages that nobody had expected."""
        items = [item for item in await self.phone.items(self.number) if item["seq"] not in self._consumed]
        self._consumed.update(item["seq"] for item in items)
        return [page_of(item) for item in items if item["kind"] == "page"]

    async def reply(self, body: str) -> dict[str, Any]:
        """Text our number; fails when neither the number's URL nor its fallback took it."""
        return await self._say("reply", {"body": body})

    async def press(self, digits: str) -> dict[str, Any]:
        """Press keys in the last call; fails when nobody took them."""
        return await self._say("press", {"digits": digits})

    async def use_urls(self, url: str | None, fallback_url: str | None = None) -> None:
        """Send this phone's replies and key presses elsewhere."""
        status, told = await self.phone.call("PUT", f"/_phone/{quote(self.number)}", {"url": url, "fallback_url": fallback_url})
        assert status == 200, f"PUT /_phone/{self.number}: {status} {told}"

    async def _say(self, action: str, body: dict[str, str]) -> dict[str, Any]:
        status, told = await self.phone.call("POST", f"/_phone/{quote(self.number)}/{action}", body)
        if status != 200:
            await self.phone.fail(f"{action} {body} of {self.number} reached nobody: {status} {told}")
        outcome: dict[str, Any] = told
        return outcome

    async def _expect(self, kind: str, within_s: float, fits: Any, wanted: str) -> dict[str, Any]:
        deadline_s = self._clock.monotonic_s() + within_s
        after = 0
        while True:
            items = await self.phone.items(self.number, after, max(0.0, deadline_s - self._clock.monotonic_s()))
            for item in items:
                if item["kind"] == kind and item["seq"] not in self._consumed and fits(item):
                    self._consumed.add(item["seq"])
                    return item
            after = items[-1]["seq"] if items else after
            if self._clock.monotonic_s() >= deadline_s - 0.001:
                await self.phone.fail(f"{self.number} got no {kind} {wanted} within {within_s:g} s")


def _fits(item: dict[str, Any], containing: str | None, channel: str | None) -> bool:
    return channel in (None, item["channel"]) and (containing is None or containing in item["body"])
