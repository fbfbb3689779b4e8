"""Topics: one record each, named and keyed as everybody expects."""

import re

import pytest

from shared.contracts.catalogue import EVENTS
from shared.contracts.topics import CASES, RISK, ROSTER, TOPICS, Topic

SERVICES = {"intake", "sessions", "crisis", "outcomes", "notifications"}
TOPIC = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)


def test_no_two_topics_share_a_name() -> None:
    assert len({topic.name for topic in TOPICS}) == len(TOPICS)


@TOPIC
def test_a_name_is_subject_and_version_or_a_dead_letter_of_one(topic: Topic) -> None:
    assert re.fullmatch(r"[a-z-]+\.v\d+(\.[a-z]+\.dlq)?", topic.name)
    if topic.name.endswith(".dlq"):
        assert any(topic.name.startswith(f"{other.name}.") for other in TOPICS)


@TOPIC
def test_everything_about_a_patient_is_keyed_by_the_patient(topic: Topic) -> None:
    assert topic.key == ("roster" if topic == ROSTER else "patient_id")
    assert set(topic.writers) | set(topic.readers) <= SERVICES
    assert topic.writers
    assert topic.partitions >= 1
    assert topic.retention_ms >= 86_400_000
    assert topic.lane in ("crisis", "routine")


def test_the_crisis_lane_has_its_own_topic_kept_longer_than_the_longest_look_back() -> None:
    assert [topic.name for topic in TOPICS if topic.lane == "crisis"] == [RISK.name]
    assert RISK.retention_ms > 24 * 3_600_000


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_every_event_has_a_topic_of_its_subject(event: type) -> None:
    prefix, subject, *_, version = event.TYPE.split(".")  # type: ignore[attr-defined]
    assert prefix == "vigil"
    assert f"{subject}.{version}" in {topic.name for topic in TOPICS}


def test_a_deployments_prefix_comes_first() -> None:
    assert CASES.full_name("stage-2") == "stage-2.cases.v1"
