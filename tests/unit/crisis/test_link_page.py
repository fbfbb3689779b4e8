"""What a one-tap link shows on a phone."""

import re

import pytest
from starlette.requests import Request
from starlette.responses import Response

from services.crisis.api.link_page import answered, nowhere, question
from shared.chassis.http import Problem

EXPIRED = Problem(410, "link-expired", "The link has expired", "use the newest link you were sent")


def asking_for(kind: str) -> Request:
    return Request({"type": "http", "method": "GET", "path": "/a/x", "headers": [(b"accept", kind.encode())]})


def shown(response: Response) -> str:
    return bytes(response.body).decode()


def test_a_question_is_one_form_with_one_button_that_fits_a_phone() -> None:
    page = shown(question("BJ177P", "Ana Duarte"))
    assert page.count("<button>") == page.count("<form method=post>") == 1
    assert "width=device-width" in page
    assert "BJ177P" in page
    assert "Ana Duarte, do you take this case?" in page


def test_nothing_on_a_page_is_markup_of_somebody_else() -> None:
    assert "<b>" not in shown(question("<b>", "<b>x</b>")) + shown(answered("<b>x</b>"))


@pytest.mark.parametrize("response", [question("BJ177P", "Ana"), answered("Noted."), nowhere(asking_for("text/html"), EXPIRED)])
def test_a_page_is_kept_nowhere_and_loads_nothing(response: Response) -> None:
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert not re.search(r"(?:src|href|url\()", shown(response))


def test_a_browser_reads_why_a_link_leads_nowhere_and_what_still_works() -> None:
    response = nowhere(asking_for("text/html,*/*"), EXPIRED)
    assert response.status_code == 410
    assert "The link has expired" in shown(response)
    assert "answer the text with its code" in shown(response)


def test_whoever_does_not_ask_for_a_page_is_told_the_problem() -> None:
    with pytest.raises(Problem) as raised:
        nowhere(asking_for("*/*"), EXPIRED)
    assert raised.value is EXPIRED
