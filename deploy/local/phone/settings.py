"""Every bound and address of the phone simulator."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class PhoneSettings:
    """What one simulator process is started with; times in the unit their name ends in."""

    account_sid: str
    auth_token: str
    host: str = "127.0.0.1"
    port: int = 8190
    # Where replies and key presses of every phone go, unless a phone has URLs of its own.
    numbers_url: str | None = None
    numbers_fallback_url: str | None = None
    # Where texts to one of our other numbers go, by number.
    number_urls: Mapping[str, str] = field(default_factory=dict)
    # Twilio's magic test sender: our number on a phone that nobody has paged yet.
    default_number: str = "+15005550006"

    keepalive_s: float = 600.0
    backlog: int = 1024
    body_max_bytes: int = 65_536
    items_max: int = 200_000
    watch_max_ms: int = 60_000
    stop_s: float = 1.0

    # A status callback leaves a little after the 201: a real carrier's receipt is later still, and a burst of
    # pages is not slowed by the receipts of its first ones.
    receipt_delay_ms: float = 50.0
    receipt_sent: bool = False
    receipt_attempts: int = 4
    receipt_retry_ms: float = 250.0
    receipt_timeout_s: float = 3.0
    receipts_pending_max: int = 50_000
    receipt_lanes_max: int = 32
    receipt_lane_workers: int = 4
    # How long an answered call with a Gather stays "in-progress" when nobody presses a key.
    call_hold_ms: float = 1_000.0

    reply_timeout_s: float = 3.0
    replies_at_once: int = 64
    # A hang without `ms` lasts this long: longer than any sender should wait.
    hang_ms: float = 60_000.0
    fault_max_ms: float = 600_000.0

    auto_answer: bool = False
    crisis_urls: tuple[str, ...] = ()
    token_file: str | None = None
    second_clinician_id: str = "replay-second"
    auto_queue_max: int = 20_000
    auto_codes_max: int = 200_000
    auto_failures_max: int = 1_000
    auto_workers: int = 4
    auto_attempts: int = 8
    auto_retry_ms: float = 250.0
    auto_timeout_s: float = 5.0
