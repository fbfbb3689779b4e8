"""MongoDB, by either driver, does what the same plain model does that the twin in memory is held to."""

from contextlib import AsyncExitStack

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from shared.storage.documents import Documents
from shared.storage.mongo import connect
from shared.time.ids import fresh_id
from tests.support.servers import Servers
from tests.support.store_machine import StoreMachine

SETTINGS = settings(max_examples=12, stateful_step_count=15, suppress_health_check=list(HealthCheck), deadline=None)


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
def test_the_store_does_what_the_model_does(servers: Servers, driver: str) -> None:
    class MongoMachine(StoreMachine):
        """A database of its own for each run of calls."""

        async def open(self, stack: AsyncExitStack) -> Documents:
            store = await stack.enter_async_context(connect(servers.mongo, f"machine_{fresh_id()[:8]}", driver=driver))
            stack.push_async_callback(store.drop)
            return store.documents("things")

    run_state_machine_as_test(MongoMachine, settings=SETTINGS)
