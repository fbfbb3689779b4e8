"""Which pages on the phones are the first of their flag, and which say the same once more."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from deploy.local.phone.page_text import read_page, read_spoken_page

# Nothing rings again on purpose so soon after a page was accepted (`rering` of the crisis lane is 10 s): a further page within
# this time was sent by two replicas, or sent again.
FIRST_WITHIN_MS = 5_000.0


def code_on(item: dict[str, Any]) -> str | None:
    """The code that an entry of the simulator carries; None when its text is no page."""
    text = read_page(item["body"]) if item["channel"] == "sms" else read_spoken_page(item["body"])
    return None if text is None else text.code


def repeated_first_pages(pages: Sequence[dict[str, Any]], codes: Collection[str]) -> int:
    """How many pages of these codes reached a phone on a channel on which the first had come just before."""
    times: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for page in pages:
        code = code_on(page)
        if code is not None and code in codes:
            times[code, page["channel"], page["to"]].append(float(page["at_ms"]))
    return sum(sum(at - min(arrived) <= FIRST_WITHIN_MS for at in arrived) - 1 for arrived in times.values())
