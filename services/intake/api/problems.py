"""What the write side raises, as problems."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.intake.ports import Busy, StoreSilent
from shared.chassis.problems import Problem

RETRY_SOON = {"Retry-After": "1"}


@contextmanager
def told() -> Iterator[None]:
    """Turn Busy and StoreSilent into 503 problems."""
    try:
        yield
    except Busy as busy:
        raise Problem(503, "busy", "Too much routine work at once", headers={"Retry-After": str(busy.retry_after_s)}) from None
    except StoreSilent:
        raise Problem(
            503, "store-unavailable", "The store does not answer; send the same request again", headers=RETRY_SOON
        ) from None


def not_found() -> Problem:
    """The 404 for a thing that is not there (or not the caller's to see)."""
    return Problem(404, "not-found", "Nothing is here")
