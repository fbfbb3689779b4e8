"""Markers in everything a patient tells, and a look for them in everything that a stack keeps, says or writes down.

The clinic's patients carry the markers. What is stored or sent of them may be sealed; wherever a marker stands in the clear, a
patient could be read by somebody who has no key.
"""

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession
from aiokafka import AIOKafkaConsumer, TopicPartition
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient

from deploy.local.kafka.topics import topic_names
from deploy.local.stack import KAFKA, MONGOD
from shared.contracts.topics import TOPICS
from tests.support.stack import StackUnderTest

PATIENT: Mapping[str, Any] = {
    "name": "Zebedee Quillfeather",
    "phone": "+15557301946",
    "email": "zebedee@quillfeather.example",
    "locale": "en-US",
    "zone": "America/New_York",
    "location": {"country": "US", "region": "Kestrelmoor Lane 9"},
    "emergency_contact": {"name": "Grizelda Thistledown", "phone": "+15557301947"},
}
# The kinds of places that every stack has something in.
KINDS: Sequence[str] = ("log", "metrics", "page", "topic", "database", "file")
EMBEDDED_KINDS: Sequence[str] = ("log", "metrics", "page")
# Names, numbers (so much of them that no id and no time has it by chance) in any encoding of text; answers as JSON (once or
# twice encoded), as Python shows them, as BSON elements.
MARKER = re.compile(
    rb"(?i)zebedee|quillfeather|grizelda|thistledown|kestrelmoor|557301946|557301947"
    rb"|\\?\"q[1-9]\\?\"\s*:|'q[1-9]'\s*:|[\x01-\x12]q[1-9]\x00"
)
_AROUND = 40
_POLL_MS = 500
_DOCUMENTS_MAX = 100_000


@dataclass
class Finding:
    """What a look has seen: where markers stand, and how much there was of each kind of place."""

    places: list[str] = field(default_factory=list)
    looked_at: Counter[str] = field(default_factory=Counter)

    def take(self, kind: str, place: str, content: bytes | None) -> None:
        """Look at one record, line, document, file or answer."""
        if not content:
            return
        self.looked_at[kind] += 1
        for match in MARKER.finditer(content):
            around = content[max(0, match.start() - _AROUND) : match.end() + _AROUND]
            self.places.append(f"{kind} {place}: {around!r}")

    def expect_nothing(self, *kinds: str) -> None:
        """No marker stood anywhere, and there was something to look at in each of these kinds of places."""
        empty = [kind for kind in kinds if not self.looked_at[kind]]
        assert not empty, f"nothing was looked at in {empty}: {dict(self.looked_at)}"
        assert not self.places, "a patient can be read in the clear:\n" + "\n".join(self.places[:20])


def seen(content: str | bytes) -> list[str]:
    """The markers in a text."""
    raw = content.encode() if isinstance(content, str) else content
    return [match.group().decode(errors="replace") for match in MARKER.finditer(raw)]


async def look(stack: StackUnderTest) -> Finding:
    """Look through logs, metrics, phones, topics, databases and files of a running stack.

    An embedded one has no servers to look into; what it says and writes down is looked through all the same.
    """
    finding = Finding()
    own = [name for name in stack.names() if name not in (KAFKA, MONGOD)]
    for name in own:
        for line in stack.log(name).splitlines():
            finding.take("log", name, line.encode())
    async with ClientSession() as session:
        for name in own:
            if name == "phone":
                # A patient's own number is the address of what is written to them, and no part of it.
                async with session.get(f"{stack.url(name)}/_phone/pages") as response:
                    for item in (await response.json())["items"]:
                        finding.take("page", item["kind"], item["body"].encode())
                continue
            async with session.get(f"{stack.url(name)}/metrics") as response:
                finding.take("metrics", name, await response.read())
    for file, written in _files(stack):
        finding.take("file", file, written)
    if stack.options.embedded:
        return finding
    async for place, content in _records(stack.layout.kafka, stack.options.topic_prefix):
        finding.take("topic", place, content)
    async for collection, document in _documents(stack.layout.mongo, stack.options.topic_prefix):
        finding.take("database", collection, document)
    return finding


async def _records(bootstrap: str, prefix: str) -> AsyncIterator[tuple[str, bytes | None]]:
    known = {topic.full_name(prefix): topic.partitions for topic in TOPICS}
    there = {name for name in await topic_names(bootstrap) if name.startswith(f"{prefix}.")}
    assert there <= known.keys(), f"topics that are in no table: {sorted(there - known.keys())}"
    partitions = [TopicPartition(topic, number) for topic in sorted(there) for number in range(known[topic])]
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        while any([await consumer.position(one) < ends[one] for one in partitions]):
            for partition, records in (await consumer.getmany(timeout_ms=_POLL_MS)).items():
                for record in records:
                    headers = b"\n".join(name.encode() + b"=" + (value or b"") for name, value in record.headers)
                    yield (
                        f"{partition.topic}/{partition.partition}/{record.offset}",
                        b"\n".join((record.key or b"", record.value or b"", headers)),
                    )
    finally:
        await consumer.stop()


async def _documents(uri: str, prefix: str) -> AsyncIterator[tuple[str, bytes]]:
    client: AsyncMongoClient[Any] = AsyncMongoClient(uri)
    raw: CodecOptions[Any] = CodecOptions(document_class=RawBSONDocument)
    wanted = prefix.replace(".", "_")
    try:
        for name in await client.list_database_names():
            if name != wanted and not name.startswith(f"{wanted}_"):
                continue
            database = client.get_database(name)
            for collection in await database.list_collection_names():
                found = database.get_collection(collection, codec_options=raw).find({}, limit=_DOCUMENTS_MAX)
                async for document in found:
                    yield f"{name}.{collection}", document.raw
    finally:
        await client.close()


def _files(stack: StackUnderTest) -> Iterator[tuple[str, bytes]]:
    """Journals, bookmarks, snapshots: all that the services keep on disk. A server's own files are seen through the server."""
    data = stack.options.home.data
    for path in sorted(data.rglob("*")):
        # `kafka-1`, and `mongod-1-<port>`: one directory for each address.
        if path.is_file() and not path.relative_to(data).parts[0].startswith((KAFKA, MONGOD)):
            yield str(path.relative_to(data)), path.read_bytes()
