"""What the write side raises, as problems."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from services.intake.handlers.patients import Forgotten, NoSuchPatient, VersionHasChanged
from services.intake.ports import Busy, StoreSilent
from shared.chassis.http import etag
from shared.chassis.problems import Problem
from shared.security.keks import KeyUnavailable

RETRY_SOON = {"Retry-After": "1"}


@contextmanager
def told() -> Iterator[None]:
    """Turn Busy, StoreSilent and KeyUnavailable into 503 problems, a patient who is not there (any more) into 404 and 410."""
    try:
        yield
    except Busy as busy:
        raise Problem(503, "busy", "Too much routine work at once", headers={"Retry-After": str(busy.retry_after_s)}) from None
    except StoreSilent:
        raise Problem(
            503, "store-unavailable", "The store does not answer; send the same request again", headers=RETRY_SOON
        ) from None
    except KeyUnavailable as unavailable:
        # Nothing is stored or shown in the clear instead: routine work waits for the key, flags never do.
        raise Problem(
            503, "sealing-unavailable", "What a patient tells cannot be sealed now", unavailable.code, headers=RETRY_SOON
        ) from None
    except NoSuchPatient:
        raise not_found() from None
    except Forgotten:
        raise gone() from None
    except VersionHasChanged as changed:
        title = "The patient has changed since that version"
        raise Problem(
            412, "version-has-changed", title, extra={"version": changed.version}, headers=etag(changed.version)
        ) from None


def gone(forgotten: Mapping[str, Any] | None = None) -> Problem:
    """The 410 for a patient who was forgotten."""
    extra = {} if forgotten is None else {"forgotten": dict(forgotten)}
    return Problem(410, "patient-forgotten", "This patient was forgotten", extra=extra)


def not_found() -> Problem:
    """The 404 for a thing that is not there (or not the caller's to see)."""
    return Problem(404, "not-found", "Nothing is here")
