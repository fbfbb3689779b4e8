"""What crisis cannot read is kept aside in the format of every dead letter, byte for byte."""

import asyncio
from collections.abc import Sequence

from services.crisis.gateways.bus import EventBus
from shared.bus.dead_letter import OURS, REPLAYED_FROM
from shared.contracts.topics import RISK_DEAD_LETTERS
from shared.time.clock import epoch_s

Headers = Sequence[tuple[str, bytes | None]]


class Producer:
    """Keeps what it is given."""

    connected = True

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.sent: list[tuple[str, bytes | None, bytes | None, list[tuple[str, bytes | None]]]] = []

    def cluster_id(self) -> str | None:
        return "c"

    def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> "asyncio.Future[None]":
        self.sent.append((topic, key, value, list(headers)))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


async def test_a_buried_record_keeps_its_bytes_and_says_why_where_and_when() -> None:
    producer = Producer()
    headers: Headers = [("ce_id", b"f1"), ("odd", b"\xff"), ("empty", None)]
    EventBus(producer, "stage").bury(b"p1", None, headers, "not_json", "stage.risk.v1/2/41")
    ((topic, key, value, told),) = producer.sent
    assert (topic, key, value) == (RISK_DEAD_LETTERS.full_name("stage"), b"p1", None)
    assert told[:3] == list(headers)
    said = dict(told[3:])
    assert set(said) == OURS - {REPLAYED_FROM}
    assert (said["vigil_error"], said["vigil_origin"], said["vigil_attempts"]) == (b"not_json", b"stage.risk.v1/2/41", b"1")
    first, last = said["vigil_first_failed_at"], said["vigil_last_failed_at"]
    assert first == last
    assert first is not None
    assert epoch_s(first.decode()) > 1_700_000_000


async def test_a_record_without_key_and_value_can_be_buried_too() -> None:
    producer = Producer()
    EventBus(producer, "stage").bury(None, None, [], "not_json", "stage.risk.v1/2/41")
    # A Kafka client refuses a record that has neither.
    assert producer.sent[0][1:3] == (None, b"")
