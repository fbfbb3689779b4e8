"""Forms, faults, entries, arguments and the hand-kept document, without any socket."""

from pathlib import Path

import pytest

from deploy.local.phone.__main__ import read_arguments
from deploy.local.phone.faults import MODES, OK, Fault, Faults, read_fault
from deploy.local.phone.openapi import document
from deploy.local.phone.phones import NumberUrls, Phones
from deploy.local.phone.server import PhoneNetwork
from deploy.local.phone.settings import PhoneSettings
from deploy.local.phone.twilio_form import TwilioError, check_call, check_message, read_form, rfc2822
from shared.time.clock import ManualClock

_FORM = {"To": "+15550100001", "From": "+15005550006", "StatusCallback": "http://127.0.0.1:8103/status"}


def test_a_form_keeps_repeated_events() -> None:
    form = read_form(b"To=%2B1555&StatusCallbackEvent=initiated&StatusCallbackEvent=answered+completed&Body=")
    assert form.events == ("initiated", "answered", "completed")
    assert (form.get("To"), form.get("Body"), form.get("From")) == ("+1555", None, None)


def test_a_form_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(TwilioError) as refusal:
        read_form(b"\xff\xfe")
    assert refusal.value.status == 400


@pytest.mark.parametrize("sender", ["From=%2B15005550006", "From=12345", "From=VIGIL", "MessagingServiceSid=MG1"])
def test_a_message_may_come_from_a_number_a_word_or_a_service(sender: str) -> None:
    check_message(read_form(f"To=%2B15550100001&Body=x&{sender}".encode()))


@pytest.mark.parametrize(
    ("fields", "code"),
    [("To=nobody&From=%2B15005550006&Url=http://h/t", 21211), ("To=%2B15550100001&From=%2B15005550006&Url=ftp://h", 21205)],
)
def test_a_call_needs_a_number_and_a_document(fields: str, code: int) -> None:
    with pytest.raises(TwilioError) as refusal:
        check_call(read_form(fields.encode()))
    assert refusal.value.code == code


def test_dates_are_written_as_twilio_does() -> None:
    assert rfc2822(0) == "Thu, 01 Jan 1970 00:00:00 +0000"


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_can_be_asked_for(mode: str) -> None:
    assert read_fault({"mode": mode, "ms": 5}, 100) == Fault(mode, 5)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"mode": "x"},
        {"mode": "ok", "ms": True},
        {"mode": "ok", "ms": 101},
        {"mode": "ok", "times": 1.5},
        {"mode": "ok", "to": 1},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(body: object) -> None:
    with pytest.raises(ValueError, match="must"):
        read_fault(body, 100)


def test_a_narrow_fault_leaves_the_rest_alone() -> None:
    faults = Faults()
    for narrow, hit in (
        ({"path": "Messages"}, True),
        ({"path": "Calls"}, False),
        ({"sender": "+15005550006"}, True),
        ({"sender": "http://127.0.0.1:8103"}, True),
        ({"sender": "http://127.0.0.1:8113"}, False),
        ({"to": "+15550100002"}, False),
    ):
        faults.set(read_fault({"mode": "500", **narrow}, 100))
        assert (faults.of("Messages", _FORM).mode == "500") is hit, narrow


def test_a_counted_fault_is_used_up() -> None:
    faults = Faults()
    faults.set(read_fault({"mode": "429", "times": 2}, 100))
    assert [faults.of("Messages", _FORM).mode for _ in range(3)] == ["429", "429", "ok"]
    faults.set(OK)
    assert faults.of("Messages", _FORM) is OK


def _phones(items_max: int) -> Phones:
    return Phones(ManualClock(), items_max, NumberUrls("http://h/v1/providers/twilio/sms", None))


def _write(phones: Phones, count: int) -> None:
    for index in range(count):
        phones.write(
            {
                **phones.stamp(),
                "kind": "page",
                "to": f"+1555010{index % 2}",
                "from": "+1500",
                "channel": "sms",
                "body": str(index),
            }
        )


def test_the_oldest_entries_make_room_and_are_counted() -> None:
    phones = _phones(20)
    _write(phones, 25)
    assert phones.forgotten == 6
    assert [item["body"] for item in phones.items()] == [str(index) for index in range(6, 25)]
    assert [item["body"] for item in phones.items("+15550101")] == [str(index) for index in range(7, 25, 2)]


def test_entries_after_a_seq_are_the_newer_ones() -> None:
    phones = _phones(100)
    _write(phones, 6)
    first = phones.items()[0]["seq"]
    assert [item["seq"] - first for item in phones.items(after=first + 3)] == [4, 5]
    assert [item["seq"] - first for item in phones.items("+15550100", after=first)] == [2, 4]
    assert phones.items("+19990000") == []


def test_a_simulator_started_again_goes_on_above_the_former_one() -> None:
    clock = ManualClock()
    former = Phones(clock, 10, NumberUrls(None, None))
    _write(former, 5)
    clock.advance(1)
    again = Phones(clock, 10, NumberUrls(None, None))
    _write(again, 1)
    assert again.items()[0]["seq"] > former.items()[-1]["seq"]


def test_a_stamp_has_microseconds_and_a_zone() -> None:
    assert _phones(1).stamp()["at"] == "2023-11-14T22:13:20.000000Z"


def test_a_numbers_url_for_texts_stands_for_its_sibling_for_keys() -> None:
    urls = NumberUrls("http://h/v1/providers/twilio/sms?a=1", "http://h/hook")
    assert urls.for_keys() == ["http://h/v1/providers/twilio/voice?a=1", "http://h/hook"]
    assert urls.for_texts() == ["http://h/v1/providers/twilio/sms?a=1", "http://h/hook"]


def test_a_text_goes_where_the_number_it_answers_to_belongs_unless_the_phone_has_urls_of_its_own() -> None:
    phones = Phones(ManualClock(), 10, NumberUrls("http://pages/sms", "http://other/sms"), {"+1500": "http://messages/sms"})
    assert phones.text_urls("+15550100") == ["http://pages/sms", "http://other/sms"]
    _write(phones, 1)
    assert phones.text_urls("+15550100") == ["http://messages/sms"]
    assert phones.text_urls("+15550101") == ["http://pages/sms", "http://other/sms"]
    phones.set_urls("+15550100", NumberUrls("http://own", None))
    assert phones.text_urls("+15550100") == ["http://own"]


def test_every_route_is_documented_and_nothing_else() -> None:
    app = PhoneNetwork(PhoneSettings("AC1", "token")).application()
    routes = {(route.resource.canonical, route.method.lower()) for route in app.router.routes() if route.resource is not None}
    paths = document()["paths"]
    documented = {(path, method) for path, operations in paths.items() for method in operations if method != "parameters"}
    assert routes == documented


def test_the_command_line_becomes_settings(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    needed = ["--account-sid", "AC1", "--auth-token-file", str(token)]
    settings = read_arguments([*needed, "--port", "1", "--numbers-url", "http://a", "--crisis-urls", "http://b,http://c"])
    assert (settings.auth_token, settings.port, settings.crisis_urls) == ("secret", 1, ("http://b", "http://c"))
    assert read_arguments([*needed, "--number-url", "+1500=http://d?e=f"]).number_urls == {"+1500": "http://d?e=f"}
    token.write_text("\n")
    for wrong in (
        needed,
        [*needed[:2], "--auth-token-file", str(tmp_path / "none")],
        needed[:2],
        [*needed, "--auto-answer"],
        [*needed, "--number-url", "x"],
    ):
        with pytest.raises(SystemExit) as end:
            read_arguments(wrong)
        assert end.value.code == 2
