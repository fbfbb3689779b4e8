"""`python -m deploy.local.phone`: start one phone network."""

import argparse
import logging
from pathlib import Path

import uvloop

from deploy.local.phone.server import serve
from deploy.local.phone.settings import PhoneSettings


def read_arguments(arguments: list[str] | None = None) -> PhoneSettings:
    """The settings that the command line asks for; exits with 2 when they do not fit together."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local.phone", description="A phone network that speaks Twilio's API."
    )
    parser.add_argument("--host", default=PhoneSettings.host)
    parser.add_argument("--port", type=int, default=PhoneSettings.port, help="0 takes a free one")
    parser.add_argument("--account-sid", required=True)
    parser.add_argument("--auth-token-file", required=True, type=Path)
    parser.add_argument("--numbers-url", help="where replies and key presses go")
    parser.add_argument("--numbers-fallback-url", help="where they go when that fails")
    parser.add_argument(
        "--number-url", action="append", default=[], metavar="+NUMBER=URL", help="where texts to this one of our numbers go"
    )
    parser.add_argument("--reply-timeout-s", type=float, default=PhoneSettings.reply_timeout_s)
    parser.add_argument("--receipt-delay-ms", type=float, default=PhoneSettings.receipt_delay_ms)
    parser.add_argument("--receipt-sent", action="store_true", help="send a `sent` callback before `delivered`")
    parser.add_argument("--call-hold-ms", type=float, default=PhoneSettings.call_hold_ms)
    parser.add_argument("--auto-answer", action="store_true", help="acknowledge and resolve every case by itself")
    parser.add_argument("--crisis-urls", default="", help="base URLs of crisis, comma-separated (for --auto-answer)")
    parser.add_argument("--token-file", help="a supervisor's token (for --auto-answer)")
    parser.add_argument("--second-clinician-id", default=PhoneSettings.second_clinician_id)
    parser.add_argument("--auto-retry-ms", type=float, default=PhoneSettings.auto_retry_ms)
    given = parser.parse_args(arguments)
    crisis_urls = tuple(url for url in given.crisis_urls.split(",") if url)
    if given.auto_answer and not (crisis_urls and given.token_file and given.numbers_url):
        parser.error("--auto-answer needs --numbers-url, --crisis-urls and --token-file")
    number_urls = dict(told.partition("=")[::2] for told in given.number_url)
    if not all(number and url for number, url in number_urls.items()):
        parser.error("--number-url is a number, `=`, and a URL")
    try:
        auth_token = given.auth_token_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        parser.error(f"--auth-token-file: {error.strerror}")
    if not auth_token:
        parser.error("--auth-token-file is empty")
    return PhoneSettings(
        account_sid=given.account_sid,
        auth_token=auth_token,
        host=given.host,
        port=given.port,
        numbers_url=given.numbers_url,
        numbers_fallback_url=given.numbers_fallback_url,
        number_urls=number_urls,
        reply_timeout_s=given.reply_timeout_s,
        receipt_delay_ms=given.receipt_delay_ms,
        receipt_sent=given.receipt_sent,
        call_hold_ms=given.call_hold_ms,
        auto_answer=given.auto_answer,
        crisis_urls=crisis_urls,
        token_file=given.token_file,
        auto_retry_ms=given.auto_retry_ms,
        second_clinician_id=given.second_clinician_id,
    )


def main() -> None:
    """Run until told to stop."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    uvloop.run(serve(read_arguments()))


if __name__ == "__main__":
    main()
