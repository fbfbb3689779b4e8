"""Error lines in the logs of a stack: each must be expected by the test that provoked it."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

_ERROR_LEVELS = ("error", "critical")
_PLAIN = re.compile(r"\b(?:ERROR|CRITICAL)\b:?\s+(?P<logger>[\w.]+)")
_TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """A line in which a logger of a process reports an error."""

    process: str
    logger: str
    text: str


def error_lines(process: str, log: str) -> list[ErrorLine]:
    """Every error line of a log: JSON lines by their level, plain ones by the word, bare tracebacks as logger `traceback`."""
    return [ErrorLine(process, logger, line) for line in log.splitlines() if (logger := _error_logger(line)) is not None]


def unexplained(lines: Iterable[ErrorLine], allowed: Iterable[str]) -> list[ErrorLine]:
    """The lines of loggers that are not allowed, nor below an allowed one (`aiokafka` allows `aiokafka.consumer`)."""
    names = tuple(allowed)
    return [line for line in lines if not any(line.logger == name or line.logger.startswith(f"{name}.") for name in names)]


def _error_logger(line: str) -> str | None:
    if line.startswith("{"):
        try:
            entry = json.loads(line)
        except ValueError:
            return "unreadable" if '"level":"error"' in line else None
        return str(entry.get("logger", "")) if entry.get("level") in _ERROR_LEVELS else None
    if _TRACEBACK in line:
        return "traceback"
    match = _PLAIN.search(line)
    return match["logger"] if match else None
