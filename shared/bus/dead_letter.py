"""Dead letters: a record that cannot be taken, byte for byte, with the reason as a code. One format for every group.

They stand on `<prefix>.<topic>.<group>.dlq` with the original key, value and headers; ours are added: `vigil_error` (code),
`vigil_origin` (topic/partition/offset), `vigil_attempts`, `vigil_first_failed_at`, `vigil_last_failed_at` (ISO 8601 UTC). What is
put back on its topic carries `vigil_replayed_from` instead.
Nothing is in them that the event did not say.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from shared.bus.delivery import Failed, Headers, Record
from shared.bus.wire import LaneFailed
from shared.contracts.topics import Topic, dead_letters_of
from shared.telemetry.metrics import DEAD_LETTERS
from shared.time.clock import Clock, iso

_log = structlog.get_logger(__name__)
ERROR = "vigil_error"
ORIGIN = "vigil_origin"
ATTEMPTS = "vigil_attempts"
FIRST_FAILED_AT = "vigil_first_failed_at"
LAST_FAILED_AT = "vigil_last_failed_at"
REPLAYED_FROM = "vigil_replayed_from"
OURS = frozenset({ERROR, ORIGIN, ATTEMPTS, FIRST_FAILED_AT, LAST_FAILED_AT, REPLAYED_FROM})


class DeadLetterLost(Exception):
    """The dead letter was not taken: its record must not be acknowledged."""


class DeadLetters(Protocol):
    """Where records go that cannot be taken."""

    async def bury(self, record: Record, topic: Topic, group: str, failed: Failed) -> None:
        """Return when all in-sync replicas have it; raises DeadLetterLost."""
        ...


class Sender(Protocol):
    """A producer of bytes."""

    def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
    ) -> "asyncio.Future[None]":
        """Send one record; the future ends with LaneFailed when it was not taken in time."""
        ...


@dataclass(frozen=True, slots=True)
class BurialSettings:
    """How a dead letter is tried again before its record is given back to the topic; seconds."""

    tries_max: int = 5
    wait_s: float = 1.0


DEFAULT = BurialSettings()


class SentDeadLetters:
    """The port over a producer of bytes."""

    def __init__(self, sender: Sender, topic_prefix: str, clock: Clock, settings: BurialSettings = DEFAULT) -> None:
        self._sender = sender
        self._prefix = topic_prefix
        self._clock = clock
        self._settings = settings

    async def bury(self, record: Record, topic: Topic, group: str, failed: Failed) -> None:
        name = dead_letters_of(topic, group).full_name(self._prefix)
        headers = dead_letter_headers(record.headers, record.origin, failed)
        for tried in range(1, self._settings.tries_max + 1):
            try:
                await self._sender.send(name, record.key, buried_value(record.key, record.value), headers)
            except LaneFailed as not_taken:
                _log.warning("dead_letter_not_taken", code=not_taken.code, tried=tried)
                # Also after the last try: a record given back at once would be here again at once.
                await self._clock.sleep(self._settings.wait_s * tried)
            else:
                DEAD_LETTERS.labels(topic.name, group, failed.code).inc()
                return
        raise DeadLetterLost(failed.code)


def dead_letter_headers(original: Sequence[tuple[str, bytes | None]], origin: str, failed: Failed) -> Headers:
    """A dead letter's headers: the record's own, then ours; ours of an earlier burial are replaced."""
    return (
        *original_headers(original),
        (ERROR, failed.code.encode()),
        (ORIGIN, origin.encode()),
        (ATTEMPTS, str(failed.attempts).encode()),
        (FIRST_FAILED_AT, iso(failed.first_s).encode()),
        (LAST_FAILED_AT, iso(failed.last_s).encode()),
    )


def buried_value(key: bytes | None, value: bytes | None) -> bytes | None:
    """A dead letter's value: the record's own; empty where it has neither key nor value, which no client would send again."""
    return b"" if key is None and value is None else value


def original_headers(headers: Sequence[tuple[str, bytes | None]]) -> Headers:
    """The headers without what a burial or a replay added."""
    return tuple((name, value) for name, value in headers if name not in OURS)
