"""Percentiles as every report of the command line gives them, and a histogram for a terminal."""

import math
from collections.abc import Iterable, Sequence

# What a report says of one distribution: p50, p90, p99 and max, each null without a sample.
Percentiles = dict[str, float | None]
_BLOCKS = " ▁▂▃▄▅▆▇█"


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of values in ascending order: always one that occurred. Raises IndexError without a value."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def percentiles(values: Iterable[float], digits: int = 2) -> Percentiles:
    """`{p50, p90, p99, max}` in the values' own unit."""
    ordered = sorted(values)
    if not ordered:
        return {"p50": None, "p90": None, "p99": None, "max": None}
    shares = {"p50": 0.50, "p90": 0.90, "p99": 0.99, "max": 1.0}
    return {name: round(percentile(ordered, share), digits) for name, share in shares.items()}


def ratio(over: float | None, under: float | None) -> float | None:
    """One number over another; null when either is missing or the second is nothing."""
    return None if over is None or not under else round(over / under, 3)


def bars(values: Sequence[float], low: float, high: float, width: int) -> str:
    """A histogram on a logarithmic axis from `low` to `high`, one character a bin; what lies outside counts at the ends."""
    counts = [0] * width
    span = math.log(high / low)
    for value in values:
        place = int(math.log(max(value, low) / low) / span * width)
        counts[min(width - 1, place)] += 1
    top = max(counts, default=0)
    # A bin that holds anything shows at least the lowest block: one slow page in a thousand must be seen.
    return "".join(" " if not count else _BLOCKS[max(1, math.ceil(count / top * 8))] for count in counts)
