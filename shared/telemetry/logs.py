"""JSON lines on standard error: ours by structlog, the libraries' through the same redaction and a rate limit.

aiokafka writes thousands of lines in seconds while a broker is down; at most so many of one kind leave per minute, and the
number held back is said.
"""

import logging
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from types import MappingProxyType
from typing import IO, Any

import orjson
import structlog

from shared.telemetry.metrics import LOG_LINES_SUPPRESSED
from shared.telemetry.redaction import describe_error, redact
from shared.time.clock import SystemClock, iso

LIBRARY_LINES_PER_MINUTE = 10
OWN_LINES_PER_MINUTE = 600
KINDS_MAX = 512
WINDOW_S = 60.0
NOTHING: Mapping[str, Any] = MappingProxyType({})
_CLOCK = SystemClock()


class RateLimit:
    """At most `limit` lines of one kind (logger and message template) per minute; counts what it holds back."""

    def __init__(self, limit: int, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._monotonic_s = monotonic_s
        self._windows: dict[tuple[str, str], list[float]] = {}

    def admits(self, logger: str, template: str) -> bool:
        """Whether the line may leave; call `expired` for the counts to report."""
        kind = (logger, template)
        window = self._windows.get(kind)
        if window is None:
            if len(self._windows) >= KINDS_MAX:
                kind = (logger, "other")
            window = self._windows.setdefault(kind, [self._monotonic_s(), 0.0])
        window[1] += 1
        return window[1] <= self._limit

    def expired(self, everything: bool = False) -> list[tuple[str, str, int]]:
        """(logger, template, held back) of every kind whose minute is over, forgetting those minutes."""
        now = self._monotonic_s()
        over = [kind for kind, (since, _) in self._windows.items() if everything or now - since >= WINDOW_S]
        told = [(*kind, int(self._windows.pop(kind)[1]) - self._limit) for kind in over]
        return [(logger, template, held) for logger, template, held in told if held > 0]


class Lines:
    """Writes events as JSON lines; `always` stands on each of them."""

    def __init__(
        self,
        service: str,
        stream: IO[bytes],
        monotonic_s: Callable[[], float] = time.monotonic,
        always: Mapping[str, Any] = NOTHING,
    ) -> None:
        self._service = service
        self._stream = stream
        self._always = always
        self._limits = {
            True: RateLimit(OWN_LINES_PER_MINUTE, monotonic_s),
            False: RateLimit(LIBRARY_LINES_PER_MINUTE, monotonic_s),
        }

    def write(self, level: str, logger: str, template: str, fields: dict[str, Any], *, own: bool) -> None:
        """One line, unless too many of its kind have left within the minute."""
        self.report()
        if self._limits[own].admits(logger, template):
            self._put(level, logger, fields)
        else:
            LOG_LINES_SUPPRESSED.labels(logger).inc()

    def report(self, everything: bool = False) -> None:
        """Say how many lines were held back in the minutes that are over."""
        for limit in self._limits.values():
            for logger, template, held in limit.expired(everything):
                self._put("warning", logger, {"event": "lines_suppressed", "template": template, "count": held})

    def _put(self, level: str, logger: str, fields: dict[str, Any]) -> None:
        line = {"ts": iso(_CLOCK.now_s()), "level": level, "logger": logger, "service": self._service, **self._always}
        line |= redact(fields)
        self._stream.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        self._stream.flush()


# aiokafka calls it an error when a group's coordinator is slow or still to be chosen, and asks again by itself. A reader that
# does not come back is told by its keeper: reader_rebuilt, its alarm and /health/live.
_TRIES_AGAIN = frozenset({"aiokafka.consumer.group_coordinator"})
# It says so of a connection that was given up while it was being opened: the collector closes it, and another one is opened.
_GIVEN_UP = "Unclosed AIOKafkaConnection"


def _level(record: logging.LogRecord) -> str:
    mends_itself = record.name in _TRIES_AGAIN or (record.name == "asyncio" and record.getMessage().startswith(_GIVEN_UP))
    return "warning" if mends_itself and record.levelno == logging.ERROR else record.levelname.lower()


class _LibraryLines(logging.Handler):
    """Lets the standard library's records leave as our lines."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        try:
            template = str(record.msg)[:200]
            fields: dict[str, Any] = {"event": record.getMessage()}
            if record.exc_info and record.exc_info[1] is not None:
                fields["error"] = describe_error(record.exc_info[1])
            self._lines.write(_level(record), record.name, template, fields, own=False)
        except Exception:  # noqa: BLE001 - a log line must never break its caller; logging's own rule
            self.handleError(record)


class _OwnLogger:
    """The end of structlog's chain: hands the finished event to the lines."""

    def __init__(self, lines: Lines, name: str) -> None:
        self._lines = lines
        self.name = name

    def msg(self, *, level: str, fields: dict[str, Any]) -> None:
        self._lines.write(level, self.name, str(fields.get("event", "")), fields, own=True)

    debug = info = warning = error = critical = exception = msg


def configure_logs(
    service: str, level: int = logging.INFO, stream: IO[bytes] | None = None, always: Mapping[str, Any] = NOTHING
) -> Lines:
    """Route every log line of this process to `stream` (standard error), `always` on each of them; call `report(True)` on the
    result when it ends."""
    lines = Lines(service, stream if stream is not None else sys.stderr.buffer, always=always)

    def finish(_logger: Any, level_name: str, event: MutableMapping[str, Any]) -> tuple[tuple[()], dict[str, Any]]:
        fields = dict(event)
        error = _error_in(fields.pop("exc_info", None))
        if error is not None:
            fields["error"] = describe_error(error)
        return (), {"level": "error" if level_name == "exception" else level_name, "fields": fields}

    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, finish],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *names: _OwnLogger(lines, str(names[0]) if names else service),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_LibraryLines(lines)]
    root.setLevel(level)
    # pymongo narrates whole commands at DEBUG: documents, that is patients. Never, whatever the level.
    logging.getLogger("pymongo").setLevel(max(level, logging.WARNING))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "aiokafka", "faststream"):
        library = logging.getLogger(name)
        library.handlers[:] = []
        library.propagate = True
        library.setLevel(max(level, logging.WARNING))
    return lines


def _error_in(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        found = exc_info[1]
        return found if isinstance(found, BaseException) else None
    return sys.exc_info()[1] if exc_info else None
