"""Every time constant of the crisis lane; no other number waits anywhere in crisis.

Seconds throughout. The reasons stand in docs/architecture.md ("Every time constant").
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Times:
    """The waits of flags, pages, facts and records."""

    fresh_for: float = 1.0
    rank_step: float = 0.150
    lag_max: float = 1.0
    hedge_floor: float = 0.150
    hedge_cap: float = 1.0
    look: float = 0.025
    resend: float = 0.200
    provider_attempt: float = 3.0
    retry: tuple[float, ...] = (0.0, 0.0, 1.0, 3.0, 10.0, 30.0)
    definite_retry: float = 1.0
    rering: float = 10.0
    rerings_per_minute: int = 6
    receipt: float = 15.0
    takeover: float = 1.0
    record_wait: float = 1.0
    record_wait_old: float = 5.0
    scan: float = 0.250
    clerk: float = 0.100
    relay: float = 0.250
    together: float = 0.010
    second_hand: float = 0.500
    journal_answer: float = 0.250
    sos_body: float = 0.500
    routing_read: float = 0.025
    kafka_request: float = 1.0
    kafka_fetch_wait: float = 0.100
    catch_up: int = 16
    bookmark: float = 0.250
    backlog: float = 86_400.0
    known: float = 86_400.0
    store_operation: float = 2.0
    peer_table: float = 1.0
    peer_again: float = 2.0
    link_life: float = 259_200.0
    kek_look: float = 5.0
    roster_poll: float = 0.500
    roster_horizon: float = 1_209_600.0
    gap_scan: float = 300.0
    gap_ahead: float = 1_209_600.0

    def retry_after(self, attempts: int) -> float:
        """Spacing before attempt number `attempts` (0 = the first), counted from the start of the one before."""
        return self.retry[min(attempts, len(self.retry) - 1)]
