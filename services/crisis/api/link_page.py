"""What a one-tap link shows on a phone: one question, one answer, or why it leads nowhere. No script, nothing from elsewhere."""

from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from shared.chassis.http import Problem

# The token in the URL is what lets its bearer act: no cache and no other site may learn it.
PRIVATE = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
}
# Read at arm's length, at night, with one thumb: large type, one wide button, dark where the phone is.
_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:1.25rem/1.45 system-ui,sans-serif;margin:0 auto;padding:1.5rem 1.25rem;max-width:30rem;overflow-wrap:anywhere}"
    "h1{font-size:1.5rem;margin:0 0 .75rem}p{margin:0 0 1.25rem}code{font-size:1.3em;letter-spacing:.08em}"
    "button{font:inherit;font-weight:600;width:100%;min-height:4rem;padding:1rem;color:#fff;background:#b00020;border:0;"
    "border-radius:.75rem}button:focus-visible{outline:.25rem solid;outline-offset:.2rem}"
)


def question(code: str, name: str) -> Response:
    """Whether this person takes the flag of the link; nothing happens by looking."""
    return _page(
        f"Page {code}",
        f"<h1>Page <code>{escape(code)}</code></h1><p>{escape(name)}, do you take this case?</p>"
        "<form method=post><button>Acknowledge</button></form>",
    )


def answered(said: str) -> Response:
    """What became of the tap."""
    return _page("Answered", f"<p role=status>{escape(said)}</p>")


def nowhere(request: Request, problem: Problem) -> Response:
    """Why the link leads nowhere, for a browser; raises the problem for whoever does not ask for a page."""
    if "text/html" not in request.headers.get("accept", ""):
        raise problem
    way_out = "The page still rings: answer the text with its code, or the call with 1."
    body = f"<h1>{escape(problem.title)}</h1><p>{escape(problem.detail or '')}</p><p>{way_out}</p>"
    return _page(problem.title, body, problem.status)


def _page(title: str, body: str, status: int = 200) -> Response:
    return HTMLResponse(
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style><body>{body}",
        status,
        headers=PRIVATE,
    )
