"""Everything a new stack in containers needs before its services start: replica set, topics, keys and tokens, a roster."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.credentials import ensure_credentials
from deploy.local.home import Home
from deploy.local.kafka.topics import bus_ready, create_topics
from deploy.local.mongo.replica_set import store_ready

_SAMPLE = Path(__file__).parents[1] / "local" / "sample" / "roster.json"
_MONGO_PORT = 27017


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the stack's broker and store are, and the prefix of its topics."""

    kafka: str
    mongo_uri: str
    topic_prefix: str

    @property
    def mongo_member(self) -> tuple[str, int]:
        """Host and port of the store's only member."""
        where = urlsplit(self.mongo_uri)
        return where.hostname or "", where.port or _MONGO_PORT


async def prepare(home: Home, addresses: Addresses, tell: Callable[[str], None]) -> None:
    """Make what is not there yet and tell each step; run again, it changes no key and no roster, and issues tokens anew.

    Raises NotReady when the broker or the store does not come.
    """
    ensure_credentials(home)
    tell("keys and tokens are there")
    roster = home.path / "prepared" / _SAMPLE.name
    if not roster.exists():
        # Whole or not at all: a replica that starts meanwhile must not read half a roster.
        roster.parent.mkdir(parents=True, exist_ok=True)
        arriving = roster.with_suffix(".part")
        shutil.copyfile(_SAMPLE, arriving)
        arriving.rename(roster)
    tell("roster is there")
    host, port = addresses.mongo_member
    await store_ready(port, _nobody_to_check, host=host)
    tell("MongoDB takes majority writes")
    await bus_ready(addresses.kafka, _nobody_to_check)
    await create_topics(addresses.kafka, addresses.topic_prefix)
    tell("every topic is there")


def _nobody_to_check() -> None:
    # The engine restarts a broker or store that ends; here it only counts whether it comes.
    return None
