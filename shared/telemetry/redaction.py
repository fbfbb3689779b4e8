"""Keeps people out of log lines, whatever a caller or a library puts into them."""

import re
from collections.abc import Mapping
from pathlib import PurePath
from traceback import extract_tb
from types import TracebackType
from typing import Any

REDACTED = "[redacted]"

# Field names that carry a person or an answer; matched whole, lower case.
PRIVATE_FIELDS = frozenset(
    {
        "name", "phone", "email", "address", "location", "emergency_contact", "contacts", "answers", "answer", "items", "body",
        "text", "note", "token", "authorization", "password", "secret", "url", "query", "value",
    }
)  # fmt: skip
# E.164 numbers, mail addresses, bearer tokens (three base64url parts) and one-tap links.
_PRIVATE_TEXT = re.compile(
    r"\+\d[\d ().-]{6,17}\d"
    r"|[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"
    r"|eyJ[\w-]{4,}\.[\w-]+\.[\w-]*"
    r"|(?<=/a/)[\w-]{20,}"
)
_DEPTH_MAX = 4
_TEXT_MAX = 2_000
_FRAMES_MAX = 12
# Only these say nothing about their input in their text: our own (a rule of the house) and the operating system's.
_OWN = ("shared.", "services.")


def redact_text(text: str) -> str:
    """The text without phone numbers, mail addresses and tokens, and not longer than 2,000 characters."""
    return _PRIVATE_TEXT.sub(REDACTED, text[:_TEXT_MAX])


def redact(value: Any, depth: int = 0) -> Any:
    """The value with private fields and private text replaced, however nested (deeper than 4: replaced whole)."""
    if isinstance(value, str):
        return redact_text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth >= _DEPTH_MAX:
        return REDACTED
    if isinstance(value, Mapping):
        names = {key: str(key) for key in value}
        return {
            name: REDACTED if name.lower() in PRIVATE_FIELDS else redact(value[key], depth + 1) for key, name in names.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(inner, depth + 1) for inner in value]
    return redact_text(str(value))


def describe_error(error: BaseException) -> dict[str, Any]:
    """An exception as type and places; its text only where it can't quote its input (drivers' texts quote documents)."""
    kind = type(error)
    told: dict[str, Any] = {"type": f"{kind.__module__}.{kind.__qualname__}", "at": _places(error.__traceback__)}
    if isinstance(error, OSError) or kind.__module__.startswith(_OWN):
        told["detail"] = redact_text(str(error))
    cause = error.__cause__
    if cause is not None:
        told["cause"] = f"{type(cause).__module__}.{type(cause).__qualname__}"
    return told


def _places(traceback: TracebackType | None) -> list[str]:
    frames = extract_tb(traceback)[-_FRAMES_MAX:]
    return [f"{'/'.join(PurePath(frame.filename).parts[-3:])}:{frame.lineno} {frame.name}" for frame in frames]
