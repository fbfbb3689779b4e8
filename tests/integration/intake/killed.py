"""Intake's own process whose ports may kill it: `python -m tests.integration.intake.killed`.

`KILL_AT` names port, method and moment (`assessments.insert.before`): the process ends by SIGKILL right there, once the
file `KILL_ARMED` exists.
"""

import os
import signal
from pathlib import Path
from typing import Any

from services.intake.app import serve_intake
from shared.chassis.service import run

PORT, METHOD, MOMENT = os.environ["KILL_AT"].split(".")
ARMED = Path(os.environ["KILL_ARMED"])


def die() -> None:
    if ARMED.exists():
        os.kill(os.getpid(), signal.SIGKILL)


class Deadly:
    """An adapter of which one method kills, before or after it has done its work."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if name != METHOD:
            return real

        async def awaited(*args: Any, **options: Any) -> Any:
            if MOMENT == "before":
                die()
            result = await real(*args, **options)
            die()
            return result

        def called(*args: Any, **options: Any) -> Any:
            if MOMENT == "before":
                die()
            result = real(*args, **options)
            die()
            return result

        return called if PORT == "lanes" else awaited


def wrap(name: str, port: Any) -> Any:
    return Deadly(port) if name == PORT else port


if __name__ == "__main__":
    run(lambda: serve_intake(wrap))
