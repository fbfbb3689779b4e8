"""Everything that has to be on the machine before a stack can start."""

from dataclasses import dataclass
from pathlib import Path

from deploy.local.kafka.broker import KafkaParts
from deploy.local.kafka.template import ensure_kafka
from deploy.local.mongo.binary import ensure_mongod


@dataclass(frozen=True, slots=True)
class Parts:
    """What the local servers are made of; None for one that runs elsewhere."""

    kafka: KafkaParts | None
    mongod: Path | None


def prepare(*, kafka: bool = True, mongo: bool = True) -> Parts:
    """Fetch, verify and make what is not there yet; quick when it is.

    Blocks, and runs an event loop of its own: call it outside of one (or in a thread). Raises MachineLacks.
    """
    return Parts(ensure_kafka() if kafka else None, ensure_mongod() if mongo else None)
