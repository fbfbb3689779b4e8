"""The part of TwiML that a pager uses."""

import pytest

from deploy.local.phone.twiml import NotTwiml, Twiml, read_twiml


def test_all_that_is_said_is_heard_in_order() -> None:
    document = "<Response><Say>One  two</Say><Gather action='https://h/k?a=1&amp;b=2'><Say>three</Say></Gather><Say>four</Say></Response>"
    assert read_twiml(document) == Twiml("One two three four", True, "https://h/k?a=1&b=2", [])


def test_messages_hold_their_text_or_a_body() -> None:
    document = "<Response><Message>a &lt; b</Message><Message to='+1'><Body>c</Body><Media>x</Media></Message></Response>"
    assert read_twiml(document).messages == ["a < b", "c"]


@pytest.mark.parametrize(
    ("gather", "action"),
    [
        ("<Gather action='keys'/>", "https://h/v/keys"),
        ("<Gather action='/keys'/>", "https://h/keys"),
        ("<Gather/>", "https://h/v/doc"),
        ("<Gather action='https://other/keys'/>", "https://other/keys"),
    ],
)
def test_an_action_is_relative_to_its_document(gather: str, action: str) -> None:
    assert read_twiml(f"<Response>{gather}</Response>", "https://h/v/doc").action == action


def test_a_gather_without_document_and_action_has_nowhere_to_go() -> None:
    assert read_twiml("<Response><Gather/></Response>") == Twiml("", True, None, [])


def test_an_empty_document_says_nothing() -> None:
    assert read_twiml(" \n") == Twiml()


@pytest.mark.parametrize("document", ["<Response><Say>", "plain", "<html/>"])
def test_what_is_no_twiml_is_refused(document: str) -> None:
    with pytest.raises(NotTwiml):
        read_twiml(document)
