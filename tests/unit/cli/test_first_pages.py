"""What counts as the same first page twice."""

from typing import Any

from deploy.local.first_pages import FIRST_WITHIN_MS, code_on, repeated_first_pages

CODE = "7KQ0A2"


def page(at_ms: float, to: str = "+15550100001", channel: str = "sms", code: str = CODE) -> dict[str, Any]:
    body = f"VIGIL high - {code} - ack by 10:15 - http://127.0.0.1/a/x"
    if channel == "voice":
        body = f"VIGIL high. Code {'. '.join(code)}. Press 1 to acknowledge."
    return {"at_ms": at_ms, "to": to, "channel": channel, "body": body, "kind": "page"}


def test_a_code_is_read_from_texts_and_from_voices() -> None:
    assert code_on(page(0.0)) == CODE
    assert code_on(page(0.0, channel="voice")) == CODE
    assert code_on({"channel": "sms", "body": "hello"}) is None


def test_another_channel_and_another_person_are_no_repetition() -> None:
    pages = [page(0.0), page(1.0, channel="voice"), page(2.0, to="+15550100002")]
    assert repeated_first_pages(pages, {CODE}) == 0


def test_the_same_again_at_once_is_one_and_a_later_ring_is_none() -> None:
    pages = [page(0.0), page(140.0), page(FIRST_WITHIN_MS + 1.0)]
    assert repeated_first_pages(pages, {CODE}) == 1


def test_pages_of_other_runs_do_not_count() -> None:
    assert repeated_first_pages([page(0.0), page(1.0)], {"000000"}) == 0
