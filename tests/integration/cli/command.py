"""Runs the `vigil` command as its users do: a process of its own, an exit code, words and a JSON document."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.home import ROOT

WITHIN_S = 100.0


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a command."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document that it must be."""
        return json.loads(self.out)


async def vigil(*arguments: str, home: Path, env: Mapping[str, str] | None = None, within_s: float = WITHIN_S) -> Ran:
    """Run `vigil …` against the stack in this home; raises AssertionError when it does not end in time."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("VIGIL_") or name == "VIGIL_CACHE"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "deploy.cli.main",
        *arguments,
        cwd=ROOT,
        env={**inherited, "VIGIL_HOME": str(home), "COLUMNS": "160", **(env or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), within_s)
    except TimeoutError:
        process.terminate()
        out, err = await process.communicate()
        raise AssertionError(
            f"vigil {' '.join(arguments)} took longer than {within_s:g} s:\n{out.decode()}\n{err.decode()}"
        ) from None
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())
