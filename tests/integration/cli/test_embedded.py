"""`vigil up --embedded`: everything in one process with nothing but Python; it says that it forgets, and it does."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import pytest_asyncio

from deploy.local.embedded.marks import HEADER, HEADER_VALUE, WORDS
from deploy.local.ports import free_base, taken
from shared.time.clock import SystemClock
from tests.integration.cli.command import Ran, vigil

NOT_RUNNING, USAGE = 4, 2
WITHIN_S = 20.0
CLOCK = SystemClock()
PATIENT = {
    "name": "Jordan Example",
    "phone": "+15550123456",
    "locale": "en-US",
    "zone": "America/New_York",
    "location": {"country": "US", "region": "NY"},
}
ANSWERS = {f"q{number}": 3 for number in range(1, 10)}


@dataclass
class Embedded:
    """A running embedded stack, and the command that speaks of it."""

    home: Path
    env: Mapping[str, str]
    document: dict[str, Any]
    session: aiohttp.ClientSession

    async def vigil(self, *words: str) -> Ran:
        return await vigil(*words, home=self.home, env=self.env)

    def url(self, name: str) -> str:
        return str(next(one["url"] for one in self.document["running"] if one["name"] == name))

    async def get(self, url: str, **options: Any) -> tuple[int, Mapping[str, str], str]:
        async with self.session.get(url, **options) as response:
            return response.status, response.headers, await response.text()

    async def post(self, url: str, body: object) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.document['tokens']['service']}"}
        async with self.session.post(url, json=body, headers=headers) as response:
            told: dict[str, Any] = await response.json()
            assert response.status == 201, told
            return told

    async def flagged(self) -> str:
        """A patient who is at risk; returns the flag's id."""
        patient = (await self.post(f"{self.url('intake')}/v1/patients", PATIENT))["patient_id"]
        sheet = {"instrument": "phq9", "answers": ANSWERS}
        told = await self.post(f"{self.url('intake')}/v1/patients/{patient}/assessments", sheet)
        return str(told["flag"]["flag_id"])

    async def page(self) -> dict[str, Any]:
        """The first text on any phone."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                items = json.loads((await self.get(f"{self.url('phone')}/_phone/pages"))[2])["items"]
                if texts := [item for item in items if item["channel"] == "sms"]:
                    return dict(texts[0])
                await CLOCK.sleep(0.02)


@pytest_asyncio.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[Embedded]:
    # Nothing but Python: no programs to find, nowhere to put a download, no server to reach.
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    env = {"PATH": str(nothing), "VIGIL_CACHE": "/dev/null/cache", "JAVA_HOME": str(nothing)}
    home = tmp_path / "home"
    up = await vigil("up", "--embedded", "--profile", "test", "--port-base", str(free_base()), "--json", home=home, env=env)
    try:
        assert up.code == 0, up.err
        async with aiohttp.ClientSession() as session:
            yield Embedded(home, env, up.document, session)
    finally:
        await vigil("down", home=home, env=env)


async def test_it_runs_with_nothing_but_python_and_leaves_nothing(embedded: Embedded) -> None:
    running = {one["name"]: one for one in embedded.document["running"]}
    assert set(running) == {"intake", "sessions", "crisis-0", "crisis-1", "outcomes", "notifications", "phone"}
    assert all(one["ready"] for one in running.values())
    assert embedded.document["embedded"] is True
    (pid,) = {one["pid"] for one in running.values()}
    assert [child.pid for child in psutil.Process(pid).children()] == []
    await embedded.flagged()
    assert (await embedded.page())["body"].startswith("VIGIL high - ")
    assert any((embedded.home / "embedded" / "crisis-0").iterdir()), "the journal is no file"

    down = await embedded.vigil("down", "--json")

    assert (down.code, set(down.document["stopped"])) == (0, set(running))
    assert not psutil.pid_exists(pid)
    assert not taken(int(one["url"].rsplit(":", 1)[1]) for one in running.values())
    assert not (embedded.home / "embedded").exists(), "something of patients was left on the disk"
    assert not (embedded.home / "stack.json").exists()
    for command in (("status",), ("case", "list"), ("audit",)):
        assert (await embedded.vigil(*command)).code == NOT_RUNNING


async def test_every_answer_and_every_line_says_that_it_forgets(embedded: Embedded) -> None:
    await embedded.flagged()
    link = (await embedded.page())["body"].split()[-1]
    pages = [link, f"{embedded.url('phone')}/_phone"]
    refused = f"{embedded.url('crisis-0')}/v1/cases"
    for url in (*pages, refused, f"{embedded.url('intake')}/health/ready", f"{embedded.url('intake')}/nowhere"):
        status, headers, text = await embedded.get(url)
        assert headers[HEADER] == HEADER_VALUE, url
        assert (WORDS in text) == (url in pages), (url, status)
    for name in ("intake", "crisis-0", "phone"):
        about = json.loads((await embedded.get(f"{embedded.url(name)}/openapi.json"))[2])["info"]
        assert about["title"].endswith("(embedded, forgets)")
        assert about["description"].startswith(WORDS)
    lines = (embedded.home / "logs" / "embedded.log").read_text(encoding="utf-8").splitlines()
    assert lines
    told = [json.loads(line) for line in lines]
    assert all((line["embedded"], line["forgets"]) == (True, True) for line in told)
    assert {"intake", "crisis-0", "crisis-1"} <= {line["service"] for line in told}


async def test_the_commands_work_on_it_as_far_as_they_can(embedded: Embedded) -> None:
    flag_id = await embedded.flagged()
    code = (await embedded.page())["body"].split(" - ")[1]
    shown = await embedded.vigil("status")
    assert "forgets everything" in shown.out

    async with asyncio.timeout(WITHIN_S):
        while (audit := (await embedded.vigil("audit", "--json")).document)["paged"] != 1:
            await CLOCK.sleep(0.05)
    assert (audit["flags"], audit["cases"], audit["open"], audit["lost"]) == (1, 1, 1, [])
    assert (await embedded.vigil("case", "ack", code)).code == 0
    (case,) = (await embedded.vigil("case", "list", "--json")).document["items"]
    assert ([flag["flag_id"] for flag in case["flags"]], case["owner"]) == ([flag_id], "ana")
    assert (await embedded.vigil("token", "--role", "clinician", "--sub", "ben")).code == 0

    # The audit's route is for those who may see cases.
    audit_url = f"{embedded.url('intake')}/_embedded/audit"
    assert (await embedded.get(audit_url))[0] == 401
    patient = (await embedded.vigil("token", "--role", "patient", "--sub", "p1", "--json")).document["token"]
    assert (await embedded.get(audit_url, headers={"Authorization": f"Bearer {patient}"}))[0] == 401
    assert (await embedded.vigil("up", "--profile", "test")).code == USAGE, "another kind of stack was taken for this one"
    letters = await embedded.vigil("dlq", "list")
    assert (letters.code, "in memory" in letters.err) == (NOT_RUNNING, True)


async def test_it_forgets(embedded: Embedded) -> None:
    await embedded.flagged()
    await embedded.page()
    (pid,) = {one["pid"] for one in embedded.document["running"]}
    # Also after a death in which nothing could be tidied up.
    psutil.Process(pid).kill()
    base = str(int(embedded.url("intake").rsplit(":", 1)[1]) - 1)
    again = await embedded.vigil("up", "--embedded", "--profile", "test", "--port-base", base, "--json")
    assert again.code == 0, again.err
    audit = (await embedded.vigil("audit", "--json")).document
    assert (audit["flags"], audit["cases"]) == (0, 0)


@pytest.mark.parametrize("missing", ["", "{}", '{"directory": "x", "parts": []}'])
async def test_the_process_alone_says_who_starts_it(missing: str, tmp_path: Path) -> None:
    env = {**os.environ, "VIGIL_EMBEDDED_PARTS": missing}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.local.embedded", env=env, stderr=asyncio.subprocess.PIPE
    )
    _, told = await process.communicate()
    assert process.returncode == 1
    assert b"vigil up --embedded" in told
