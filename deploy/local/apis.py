"""The stack's HTTP as its callers see it: intake, crisis at any living replica, the phone network.

A POST is repeated under the same Idempotency-Key while the answer is 503 or 429 or nobody answers, a bounded number of times.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

from shared.time.clock import Clock, SystemClock

_TRANSIENT = (429, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long a call is tried: attempts, and seconds."""

    attempts: int = 8
    attempt_s: float = 10.0
    first_pause_s: float = 0.1
    pause_max_s: float = 2.0

    def pause_s(self, attempt: int) -> float:
        """The pause after attempt number `attempt` (from 1)."""
        return float(min(self.pause_max_s, self.first_pause_s * 2.0 ** (attempt - 1)))


PATIENT = Patience()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service said: the status and the decoded JSON (an empty object when it was none)."""

    status: int
    body: dict[str, Any]

    @property
    def problem(self) -> str:
        """The code of a problem+json: the last word of its `type`, or of what stands in for it."""
        named = str(self.body.get("type") or self.body.get("code") or f"status_{self.status}")
        return named.rsplit("/", 1)[-1].rsplit(":", 1)[-1]


class Unreachable(Exception):
    """Nobody answered, or only with 503 and its like, however often it was asked; `answer` is the last one, if any came."""

    def __init__(self, text: str, answer: Answer | None = None) -> None:
        super().__init__(text)
        self.answer = answer


class Refused(Exception):
    """A service said no for good."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status} {answer.problem}")
        self.answer = answer


class Caller:
    """One service at one or several base URLs, with a bearer token; a URL that does not answer gives way to the next."""

    def __init__(
        self,
        name: str,
        session: aiohttp.ClientSession,
        urls: Sequence[str],
        token: str = "",
        patience: Patience = PATIENT,
        clock: Clock | None = None,
    ) -> None:
        if not urls:
            raise Unreachable(f"{name} is not part of the running stack")
        self.name = name
        self._session = session
        self._urls = [url.rstrip("/") for url in urls]
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._patience = patience
        self._clock = clock or SystemClock()
        self._first = 0

    async def call(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One call, repeated while it is worth it; raises Unreachable."""
        data = None if body is None else orjson.dumps(body)
        sent = {**self._headers, **(headers or {}), **({} if body is None else {"Content-Type": "application/json"})}
        why, last = "nobody answers", None
        for attempt in range(1, self._patience.attempts + 1):
            url = self._urls[self._first % len(self._urls)]
            try:
                answer = await self._once(method, url + path, data, sent)
                if answer.status not in _TRANSIENT:
                    return answer
                why, last = f"status {answer.status} {answer.problem}", answer
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                why = type(error).__name__
            self._first += 1
            if attempt < self._patience.attempts:
                await self._clock.sleep(self._patience.pause_s(attempt))
        raise Unreachable(f"{self.name} does not answer ({why})", last)

    async def get(self, path: str) -> dict[str, Any]:
        """The JSON at a path; raises Unreachable, also when the answer is not 200."""
        answer = await self.call("GET", path)
        if answer.status != 200:
            raise Unreachable(f"{self.name} answers {answer.status} {answer.problem}")
        return answer.body

    async def _once(self, method: str, url: str, data: bytes | None, headers: Mapping[str, str]) -> Answer:
        timeout = aiohttp.ClientTimeout(total=self._patience.attempt_s)
        async with self._session.request(method, url, data=data, headers=headers, timeout=timeout) as response:
            raw = await response.read()
            try:
                told = orjson.loads(raw) if raw else {}
            except orjson.JSONDecodeError:
                told = {}
            return Answer(response.status, told if isinstance(told, dict) else {"items": told})


class Intake(Caller):
    """Enrolling and answering."""

    async def enrol(self, key: str, patient: Mapping[str, Any]) -> str:
        """The id of the patient enrolled under this key, now or before; raises Unreachable, Refused."""
        answer = await self.call("POST", "/v1/patients", patient, {"Idempotency-Key": key})
        if answer.status not in (200, 201):
            raise Refused(answer)
        return str(answer.body["patient_id"])

    async def assess(
        self, patient_id: str, key: str, answers: Mapping[str, int], instrument: str = "phq9", answered_at: str | None = None
    ) -> Answer:
        """201, or 200 when the same came before; raises Unreachable, Refused."""
        body: dict[str, Any] = {"instrument": instrument, "answers": dict(answers)}
        body |= {} if answered_at is None else {"answered_at": answered_at}
        answer = await self.call("POST", f"/v1/patients/{quote(patient_id)}/assessments", body, {"Idempotency-Key": key})
        if answer.status not in (200, 201):
            raise Refused(answer)
        return answer


class Crisis(Caller):
    """Cases as any living replica tells them."""

    async def cases(self, status: str | None = None) -> list[dict[str, Any]]:
        """All cases (`open`, `closed`, both), page by page; raises Unreachable."""
        found: dict[str, dict[str, Any]] = {}
        cursor: str | None = None
        while True:
            query = [f"status={status}"] if status else []
            query += [f"cursor={quote(cursor)}"] if cursor else []
            page = await self.get(f"/v1/cases{'?' if query else ''}{'&'.join(query)}")
            found.update({case["case_id"]: case for case in page["items"]})
            cursor = page["next"]
            if cursor is None:
                return list(found.values())

    async def case(self, identifier: str) -> dict[str, Any] | None:
        """The case behind a case id, flag id or code; None when crisis knows none. Raises Unreachable."""
        answer = await self.call("GET", f"/v1/cases/{quote(identifier, safe='')}")
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise Unreachable(f"{self.name} answers {answer.status} {answer.problem}")
        return answer.body

    async def timeline(self, identifier: str) -> list[dict[str, Any]]:
        """The lines of a case's timeline; empty when crisis knows no such case. Raises Unreachable."""
        answer = await self.call("GET", f"/v1/cases/{quote(identifier, safe='')}/timeline")
        return list(answer.body["items"]) if answer.status == 200 else []

    async def acknowledge(self, identifier: str) -> Answer:
        """Take a case: 200, 404 or 409; raises Unreachable."""
        return await self.call("POST", f"/v1/cases/{quote(identifier, safe='')}/acknowledge", {})


class PhoneNetwork(Caller):
    """The phone simulator's control side."""

    async def pages(self, after: int = 0) -> list[dict[str, Any]]:
        """Pages of all phones, newer than entry number `after`, oldest first; raises Unreachable."""
        return [item for item in await self.entries(after) if item["kind"] == "page"]

    async def entries(self, after: int = 0, wait_ms: int = 0) -> list[dict[str, Any]]:
        """Pages and answers of all phones; waits so long for the first one. Raises Unreachable."""
        told = await self.get(f"/_phone/pages?after={after}&wait_ms={wait_ms}")
        return list(told["items"])

    async def reply(self, number: str, text: str) -> Answer:
        """Text our number from this phone; raises Unreachable."""
        return await self.call("POST", f"/_phone/{quote(number)}/reply", {"body": text})


def calling(connections: int = 64) -> aiohttp.ClientSession:
    """A session with so many connections that stay warm; the caller closes it."""
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=60.0)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None, sock_connect=2.0))
