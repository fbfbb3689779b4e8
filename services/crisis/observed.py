"""What a replica counts and times, in metrics and log lines; no ids of patients, no addresses."""

import errno

import structlog
from prometheus_client import Counter, Gauge, Histogram

from services.crisis.domain.decide import Page

# From 1 ms; the budgets' edges (250 ms, 1 s, 5 s) stand on bucket edges.
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2, 5, 10, 30)
FLAG_TO_HANDED = Histogram("vigil_crisis_flag_to_handed_seconds", "t0 to a provider's acceptance", ["level"], buckets=BUCKETS_S)
FLAG_TO_HEARD = Histogram("vigil_crisis_flag_to_heard_seconds", "Age of a flag when heard", ["lane"], buckets=BUCKETS_S)
PAGES_HANDED = Counter("vigil_crisis_pages_handed_total", "Pages a provider accepted", ["channel", "level", "ring"])
PAGES_FAILED = Counter("vigil_crisis_pages_failed_total", "Tries that came to nothing", ["channel", "reason", "maybe_rang"])
PAGES_ON_MEMORY = Counter("vigil_crisis_pages_on_memory_total", "Pages sent while the store was silent")
STORE_SILENT = Gauge("vigil_crisis_store_silent", "1 while the store does not answer")
JOURNAL_FAILURES = Counter("vigil_crisis_journal_failures_total", "Records the disk refused")
SOS_PRESSED = Counter("vigil_crisis_sos_pressed_total", "Presses for help", ["by", "level", "repeated"])
FORGED = Counter("vigil_crisis_forged_total", "Callbacks and links refused as forged", ["what"])
REPLIES_UNRESOLVED = Counter("vigil_crisis_replies_unresolved_total", "Answers of people that came to mean nothing in time")
OPEN_CASES = Gauge("vigil_crisis_open_cases", "Cases no human has closed")
UNRECORDED = Gauge("vigil_crisis_unrecorded_patients", "Patients whose news the store does not have yet")
HEDGE = Gauge("vigil_crisis_hedge_seconds", "How long somebody's unfinished try silences the other replicas")
LOOP_LAG = Gauge("vigil_crisis_loop_lag_seconds", "How late this replica's event loop runs")
ROSTER_VERSION = Gauge("vigil_crisis_roster_version", "Version of the roster that this replica pages by")
ROSTER_AGE = Gauge("vigil_crisis_roster_unconfirmed_seconds", "How long neither store nor bus has confirmed the roster")
ROSTER_CHANGES = Counter("vigil_crisis_roster_changes_total", "Rosters taken in", ["source"])
GAP_AHEAD = Gauge("vigil_crisis_coverage_gap_ahead_seconds", "Time in the next days in which a step has nobody", ["level"])
GAP_NEXT = Gauge("vigil_crisis_coverage_gap_next_seconds", "How long until the next such gap begins; -1 = none", ["level"])
GAPS_TOLD = Counter("vigil_crisis_coverage_gaps_foreseen_total", "Gaps told before they happen", ["level"])
TEST_PAGES = Counter("vigil_crisis_test_pages_total", "Test pages and what became of them", ["channel", "verdict"])
log = structlog.get_logger("crisis")


class Observed:
    """The engine's port Telemetry, and the alarms of this replica."""

    def __init__(self) -> None:
        self.store_silent = True

    def handed(self, page: Page, at: float) -> None:
        """A provider took a page."""
        PAGES_HANDED.labels(page.attempt.channel, page.level, "first" if page.first else "again").inc()
        if page.first and page.attempt.step == 0:
            FLAG_TO_HANDED.labels(page.level).observe(max(0.0, at - page.flag.at))

    def failed(self, page: Page, reason: str, maybe: bool) -> None:
        """A try came to nothing."""
        PAGES_FAILED.labels(page.attempt.channel, reason, str(maybe).lower()).inc()
        log.warning("page_failed", channel=page.attempt.channel, reason=reason, maybe_rang=maybe, n=page.attempt.n)

    def acted_on_memory(self) -> None:
        """A page went out without its record: the store was silent."""
        PAGES_ON_MEMORY.inc()

    def on_silent(self, silent: bool) -> None:
        """The store stopped answering, or answers again."""
        if silent != self.store_silent:
            log.warning("store_silent" if silent else "store_answers")
        self.store_silent = silent
        STORE_SILENT.set(1 if silent else 0)

    def on_disk_trouble(self, error: OSError) -> None:
        """The journal could not be written."""
        if error.errno == errno.ESHUTDOWN:
            # This replica is going away: what a page under way still learns is for the peers and the store.
            log.warning("journal_closed")
            return
        JOURNAL_FAILURES.inc()
        log.error("journal_refused", error=type(error).__name__, errno=error.errno)

    def on_forged(self, what: str) -> None:
        """Somebody sent a callback or link that was not signed by its owner."""
        FORGED.labels(what).inc()
        log.warning("forged_refused", what=what)
