"""A stack for one command alone: free ports, a directory and a topic prefix of its own, nothing left of it afterwards."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

from deploy.local.home import Home
from deploy.local.kafka.topics import delete_topics
from deploy.local.mongo.replica_set import drop_databases
from deploy.local.plan import EVERY, StackOptions
from deploy.local.prepare import Parts, prepare
from deploy.local.stack import Stack, options_of_caller


def private_parts() -> Parts:
    """What such a stack is made of, fetched if need be; blocks. Raises MachineLacks."""
    return prepare(kafka=not os.environ.get("VIGIL_KAFKA_BOOTSTRAP"), mongo=not os.environ.get("VIGIL_MONGO_URI"))


def private_options(
    purpose: str,
    *,
    profile: str = "default",
    steady_kafka: bool = False,
    embedded: bool = False,
    without: Collection[str] = (),
) -> StackOptions:
    """Options of a stack that shares nothing with another one; a broker or a store that the caller named is used, not its data.

    The provider is always the simulator: what these commands watch is on its phones. Traces go where the caller wants them.
    """
    endpoint = os.environ.get("VIGIL_OTLP_ENDPOINT")
    return options_of_caller(
        Home(Path(tempfile.mkdtemp(prefix=f"vigil-{purpose}-"))),
        profile=profile,
        port_base=None,
        inherit=False,
        twilio_base_url=None,
        topic_prefix=f"{purpose}-{secrets.token_hex(3)}",
        steady_kafka=steady_kafka,
        embedded=embedded,
        without=frozenset(without),
        extra_env={EVERY: {"VIGIL_OTLP_ENDPOINT": endpoint}} if endpoint else {},
    )


async def end_private(stack: Stack) -> None:
    """Stop everything and remove what it kept, on foreign servers too; its record can still be read from the object."""
    options = stack.options
    await stack.shut_down()
    if options.kafka_bootstrap is not None:
        await delete_topics(options.kafka_bootstrap, options.topic_prefix)
    if options.mongo_uri is not None:
        await drop_databases(options.mongo_uri, options.topic_prefix)
    shutil.rmtree(options.home.path, ignore_errors=True)
