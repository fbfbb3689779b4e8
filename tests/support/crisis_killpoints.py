"""Crisis that dies at a named point: `python -m tests.support.crisis_killpoints`, armed through a file.

The file named by VIGIL_TEST_KILLPOINT_FILE holds `<port>.<method>[.<first word>]:<before|after>`; the first call that fits
removes the file and kills the process with SIGKILL, so that nothing is said and nothing is flushed. `reading:<patient id>`
stays: whoever reads a flag of that patient dies, as often as it is tried.
"""

import functools
import inspect
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.crisis import accept
from services.crisis.app import serve_crisis
from shared.chassis.service import run

FILE_VARIABLE = "VIGIL_TEST_KILLPOINT_FILE"


class Killing:
    """A port whose every call may be the last thing that this process does."""

    def __init__(self, name: str, port: Any, armed: Path) -> None:
        self._name = name
        self._port = port
        self._armed = armed

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._port, attribute)
        if not callable(found):
            return found
        return _asynchronous(self, attribute, found) if inspect.iscoroutinefunction(found) else _plain(self, attribute, found)

    def pass_by(self, method: str, arguments: tuple[Any, ...], side: str) -> None:
        """Die here when this is the point that is armed."""
        try:
            point = self._armed.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        word = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        if point in (f"{self._name}.{method}:{side}", f"{self._name}.{method}.{word}:{side}"):
            self._armed.unlink()
            os.kill(os.getpid(), signal.SIGKILL)


def _plain(port: Killing, method: str, call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def killing(*arguments: Any, **options: Any) -> Any:
        port.pass_by(method, arguments, "before")
        result = call(*arguments, **options)
        port.pass_by(method, arguments, "after")
        return result

    return killing


def _asynchronous(port: Killing, method: str, call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    async def killing(*arguments: Any, **options: Any) -> Any:
        port.pass_by(method, arguments, "before")
        result = await call(*arguments, **options)
        port.pass_by(method, arguments, "after")
        return result

    return killing


def make_reading_deadly(armed: Path) -> None:
    """Let the reading of the flags of one patient end the process."""
    read = accept.read_flag

    def reading(one: Any, *arguments: Any, **options: Any) -> Any:
        if armed.exists() and armed.read_text(encoding="utf-8") == f"reading:{one['patient_id']}":
            os.kill(os.getpid(), signal.SIGKILL)
        return read(one, *arguments, **options)

    accept.read_flag = reading


def main() -> None:
    """Run one replica."""
    armed = Path(os.environ[FILE_VARIABLE])
    make_reading_deadly(armed)
    run(lambda: serve_crisis(wrap=lambda name, port: Killing(name, port, armed)))


if __name__ == "__main__":
    main()
