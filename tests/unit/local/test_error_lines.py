"""Which lines of a log count as errors, and which of them a test has explained."""

from tests.support.error_lines import error_lines, unexplained

_LOG = "\n".join(
    [
        '{"ts":"2026-01-31T08:00:00Z","level":"info","logger":"crisis","event":"ERROR is only a word here"}',
        '{"ts":"2026-01-31T08:00:00Z","level":"error","logger":"aiokafka.consumer","event":"no coordinator"}',
        '{"ts":"2026-01-31T08:00:01Z","level":"critical","logger":"crisis","event":"a_loop_died"}',
        "2026-01-31 08:00:02,000 ERROR deploy.local.phone callback failed",
        "Traceback (most recent call last):",
        '{"level":"error","logger":"crisis","event":"cut off in the mid',
        "phone simulator on http://127.0.0.1:8190/_phone",
    ]
)


def test_errors_are_found_in_json_and_in_plain_lines() -> None:
    loggers = [line.logger for line in error_lines("crisis-0", _LOG)]
    assert loggers == ["aiokafka.consumer", "crisis", "deploy.local.phone", "traceback", "unreadable"]


def test_an_allowed_logger_allows_those_below_it_and_no_namesake() -> None:
    lines = error_lines("crisis-0", _LOG)
    left = unexplained(lines, ["aiokafka", "deploy.local.phone", "crisis-1", "trace"])
    assert [line.logger for line in left] == ["crisis", "traceback", "unreadable"]
    assert all(line.process == "crisis-0" for line in left)
