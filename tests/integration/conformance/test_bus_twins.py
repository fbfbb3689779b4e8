"""The suite of every bus on a real Kafka; `tests/unit/shared/test_memory_bus.py` runs it on the twin in memory."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.local.kafka.topics import create_topics, delete_topics
from shared.chassis.outside import Servers as RealServers
from shared.chassis.settings import DeploymentSettings
from shared.contracts.topics import CASES, RISK
from shared.time.ids import fresh_id
from tests.support.bus_suite import LETTERS, Bus, BusSuite
from tests.support.servers import Servers


@pytest_asyncio.fixture
async def bus(servers: Servers) -> AsyncIterator[Bus]:
    prefix = f"twin{fresh_id()[:8]}"
    await create_topics(servers.kafka, prefix, (RISK, CASES, LETTERS))
    nowhere = Path("/dev/null")
    settings = DeploymentSettings(
        kafka_bootstrap=servers.kafka, topic_prefix=prefix, service_token_file=nowhere, dev_issuer_key_file=nowhere
    )
    yield Bus(RealServers(settings), prefix)
    await delete_topics(servers.kafka, prefix)


@pytest.fixture(params=[1, 2])
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.param)


class TestKafka(BusSuite):
    """Every promise of the suite, on Kafka."""
