"""The raw reader of assigned partitions: aiokafka's consumer, made so that it never commits, never guesses a place."""

from pathlib import Path

from aiokafka import AIOKafkaConsumer

from shared.bus.ports import PartitionReader
from shared.bus.security import kafka_connection


def kafka_reader(bootstrap: str, security_file: Path | None, *, fetch_wait_s: float, request_s: float) -> PartitionReader:
    """A reader that is not connected yet; must be made on a running loop.

    A broker holds a fetch for `fetch_wait_s` at most when nothing came; a request that takes longer than `request_s` (at
    least 1 s) fails.
    """
    reader: PartitionReader = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=int(fetch_wait_s * 1000),
        fetch_min_bytes=1,
        request_timeout_ms=max(1000, int(request_s * 1000)),
        retry_backoff_ms=100,
        metadata_max_age_ms=30_000,
        **kafka_connection(security_file),
    )
    return reader
