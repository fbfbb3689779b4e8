"""The part of TwiML that a pager uses: Say, Gather, Message, Redirect, Hangup."""

from dataclasses import dataclass, field
from urllib.parse import urljoin
from xml.etree import ElementTree


class NotTwiml(Exception):
    """The document is not TwiML (Twilio's error 12100 or 12300)."""


@dataclass(frozen=True, slots=True)
class Twiml:
    """What a document makes a phone hear and read; `action` is set when keys are waited for and have a URL."""

    said: str = ""
    gathers: bool = False
    action: str | None = None
    messages: list[str] = field(default_factory=list)


def read_twiml(document: str, base_url: str | None = None) -> Twiml:
    """Parse a TwiML document; an empty one says nothing.

    `base_url`: where it was fetched, for relative actions; a Gather without an action asks there again.
    Raises NotTwiml when it is no XML or its root is not Response.
    """
    if not document.strip():
        return Twiml()
    try:
        root = ElementTree.fromstring(document)
    except ElementTree.ParseError as error:
        raise NotTwiml(str(error)) from None
    if root.tag != "Response":
        raise NotTwiml("the root is not Response")
    gather = root.find(".//Gather")
    action = None
    if gather is not None:
        action = urljoin(base_url or "", gather.get("action") or "") or None
    said = " ".join(_text(say) for say in root.iter("Say"))
    return Twiml(said, gather is not None, action, [_message(message) for message in root.iter("Message")])


def _text(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def _message(element: ElementTree.Element) -> str:
    """A Message holds its text itself or in a Body."""
    body = element.find("Body")
    return "".join((element if body is None else body).itertext()).strip()
