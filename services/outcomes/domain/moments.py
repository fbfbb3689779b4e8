"""Times as events tell them, as seconds; what cannot be read is told by the caller's own second choice."""

from shared.time.clock import epoch_s

HOUR_S = 3_600.0
DAY_S = 86_400.0


def seconds_of(told: str | None, otherwise: float = 0.0) -> float:
    """ISO 8601 as epoch seconds; `otherwise` for what is missing or has no zone."""
    if told is None:
        return otherwise
    try:
        return epoch_s(told)
    except (ValueError, OverflowError):
        return otherwise
