"""The walk through the API is true: every block of the page runs against a stack, in the page's order."""

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.programme import WALKERS_NUMBER, Programme
from tests.support.stack import StackUnderTest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "walkthrough-api.md"
_WITHIN_S = 120.0
_BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> str:
    """All of the page in one language, as one script."""
    return "\n".join(body for told, body in _BLOCK.findall(PAGE.read_text(encoding="utf-8")) if told == language)


def as_in_a_shell(stack: StackUnderTest) -> dict[str, str]:
    """The environment of somebody who has started this stack and installed Vigil."""
    urls = {name.upper(): stack.url(name) for name in ("intake", "sessions", "outcomes")} | {"CRISIS": stack.url("crisis-0")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "VIGIL_HOME": str(stack.options.home.path), "PYTHON": sys.executable, "LC_ALL": "C.UTF-8", **urls}


async def run(stack: StackUnderTest, *command: str) -> str:
    """What a command says; fails with its words when it ends badly."""
    process = await asyncio.create_subprocess_exec(
        *command, env=as_in_a_shell(stack), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(_WITHIN_S):
            told, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, told.decode()
    return told.decode()


async def pages_were_expected(programme: Programme) -> None:
    """The walk pages Ana: that is no surprise, whatever the moment at which she took the case."""
    await programme.phone.forget()


@pytest.mark.skipif(
    shutil.which("curl") is None and not os.environ.get("CI"), reason="curl is not installed: the walk with curl is not tried"
)
async def test_the_walk_with_curl(programme: Programme, programme_stack: StackUnderTest) -> None:
    said = await run(programme_stack, "bash", "-euo", "pipefail", "-c", blocks("bash"))
    lines = said.splitlines()
    assert [line for line in lines if line in ("ahead", "open", "high", "ana", "contacted", "closed", "11")] == [
        "open",
        "high",
        "ana",
        "contacted",
        "closed",
        "11",
    ], said
    await pages_were_expected(programme)


async def test_the_walk_in_python(programme: Programme, programme_stack: StackUnderTest) -> None:
    said = await run(programme_stack, sys.executable, "-c", blocks("python"))
    lines = said.splitlines()
    assert lines[1:2] + lines[3:] == ["total 11 flag high call 988", "owner ana", "state closed", "phq9 baseline 11"], said
    await pages_were_expected(programme)


def test_every_block_of_the_page_is_run() -> None:
    languages = [language for language, _ in _BLOCK.findall(PAGE.read_text(encoding="utf-8"))]
    assert (languages.count("bash"), languages.count("python"), languages.count("sh")) == (7, 1, 1)
    assert len(languages) == 9


def test_the_page_enrols_the_patient_whose_phone_is_known() -> None:
    assert set(re.findall(r"\+1555\d+", PAGE.read_text(encoding="utf-8"))) == {WALKERS_NUMBER}
