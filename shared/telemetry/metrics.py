"""Every metric of every service, declared once; budget limits stand on bucket edges, so a breach can be counted exactly.

Labels are codes (levels, lanes, route templates), never ids: no patient can be found in a metric.
"""

from prometheus_client import Counter, Gauge, Histogram

# Seconds. 0.1 and 0.25 are the crisis lane's bounds, 1, 5 and 10 those of moderate and low flags and of provider faults.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)

HTTP_REQUEST_SECONDS = Histogram(
    "vigil_http_request_seconds", "Time to answer a request.", ["method", "route", "status"], buckets=SECONDS
)
LOG_LINES_SUPPRESSED = Counter("vigil_log_lines_suppressed", "Log lines held back by the rate limit.", ["logger"])

ANSWERS_ACCEPTED = Counter("vigil_intake_answers_accepted", "Answer sheets evaluated, by what became of them.", ["outcome"])
FLAGS_RAISED = Counter("vigil_flags_raised", "Risk flags handed to both lanes for the first time.", ["level"])
ANSWER_SECONDS = Histogram(
    "vigil_intake_answer_seconds", "Answer sheet accepted to response ready.", ["flagged"], buckets=SECONDS
)
LANE_CONFIRM_SECONDS = Histogram(
    "vigil_lane_confirm_seconds", "Flag handed to a lane until the lane confirmed a copy.", ["lane"], buckets=SECONDS
)
LANE_FAILURES = Counter("vigil_lane_failures", "Flags a lane could not confirm.", ["lane", "code"])
EXPRESS_PENDING = Gauge(
    "vigil_express_pending", "Stored flags still waiting for both lanes' confirmation, by collection.", ["documents"]
)
EXPRESS_OLDEST_PENDING_S = Gauge(
    "vigil_express_oldest_pending_seconds", "Age of the oldest stored flag still waiting for both lanes.", ["documents"]
)
EXPRESS_RESENT = Counter("vigil_express_resent", "Flags sent again by the rescan.")
ROUTINE_REFUSED = Counter(
    "vigil_intake_routine_refused", "Routine requests refused because the bound on routine work was reached."
)
SEALING_FAILURES = Counter(
    "vigil_intake_sealing_failures", "Answer sheets that could not be sealed, and so not stored.", ["code"]
)
KEYS_REWRAPPED = Counter("vigil_intake_keys_rewrapped", "Data keys wrapped anew after a rotation.")
OUTBOX_PUBLISHED = Counter("vigil_outbox_published", "Outbox entries published, right after the write or by the scan.", ["by"])
OUTBOX_LEFT_BEHIND = Counter(
    "vigil_outbox_left_behind", "Documents with outbox entries that the scan took up, by outbox.", ["outbox"]
)
OUTBOX_OLDEST_S = Gauge("vigil_outbox_oldest_seconds", "Age of the oldest outbox entry that the scan found.", ["outbox"])
OUTBOX_FAILURES = Counter("vigil_outbox_failures", "Outbox entries that could not be published for now.")

# Seconds. A projection may be an hour behind after an outage, and that must be seen as such.
AGE_SECONDS = (*SECONDS, 60.0, 600.0, 3600.0)
EVENTS_DELIVERED = Counter(
    "vigil_events_delivered", "Records a group is done with, by what became of them.", ["topic", "group", "outcome"]
)
EVENT_AGE_SECONDS = Histogram(
    "vigil_event_age_seconds", "An event happened until a group began to handle it.", ["topic", "group"], buckets=AGE_SECONDS
)
EVENT_HANDLING_SECONDS = Histogram(
    "vigil_event_handling_seconds", "Handling of one event, all its tries.", ["topic", "group"], buckets=AGE_SECONDS
)
EVENT_RETRIES = Counter("vigil_event_retries", "Tries of an event that failed and were repeated.", ["topic", "group", "code"])
DEAD_LETTERS = Counter("vigil_dead_letters", "Records put on a dead-letter topic.", ["topic", "group", "code"])
CONSUMER_LAG = Gauge("vigil_consumer_lag_records", "Records of a topic that a group has not handled yet.", ["topic", "group"])
TRACE_SPANS = Counter(
    "vigil_trace_spans", "Spans by what became of them; overflow, refused, stopped and defect are lost.", ["fate"]
)
CONSUMER_REBUILDS = Counter("vigil_consumer_rebuilds", "Readers of routine topics made anew, by what stood still.", ["reason"])

CHECK_INS = Counter("vigil_outcomes_check_ins", "Check-ins evaluated, by what became of them.", ["outcome"])
CHECK_INS_NOT_SEALED = Counter(
    "vigil_outcomes_check_ins_not_sealed", "Check-ins that could not be sealed, and so not stored.", ["code"]
)
FOLLOW_UPS = Counter("vigil_outcomes_follow_ups", "Contacts after a discharge that were settled: told or expired.", ["state"])
NOTIFICATION_STEPS = Counter(
    "vigil_notifications_steps", "Messages that were looked at, by what came of it and why.", ["outcome", "code"]
)
NOTIFICATIONS_CALLBACKS_FORGED = Counter(
    "vigil_notifications_callbacks_forged", "Callbacks of the provider whose signature did not hold."
)
NOTIFICATIONS_UNREAD = Counter(
    "vigil_notifications_unread", "Messages that nobody read by their reply time, by who was told of it.", ["outcome"]
)
