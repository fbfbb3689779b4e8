"""One stack with a broker and a store of its own for the fault tests; each test gets it whole and must leave it whole."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.support.canaries import KINDS, look
from tests.support.clinic import Clinic
from tests.support.fault_table import FaultTable
from tests.support.faults import Breakable
from tests.support.servers import Servers
from tests.support.stack import StackFactory, StackUnderTest

# Only the first step rings while a test lasts: every further page is then a page that came twice.
STEP_S = 60.0


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def fault_stack(servers: Servers) -> AsyncIterator[StackUnderTest]:
    """Kafka, mongod, intake, two replicas and a phone."""
    factory = StackFactory(servers, "faults")
    env = {"*": {"VIGIL_CRISIS_STEP_S": str(STEP_S)}}
    stack = await factory(profile="test", replicas=2, own_kafka=True, own_mongo=True, env=env)
    yield stack
    try:
        # Faults are when something is said that never is otherwise.
        (await look(stack)).expect_nothing(*KINDS)
    finally:
        await factory.end()


@pytest.fixture(scope="package")
def table(servers: Servers) -> Iterator[FaultTable]:
    """The table of this run."""
    table = FaultTable()
    yield table
    print(f"\n{table.text()}\nwritten to {table.write(servers.run.path)}")


@pytest_asyncio.fixture
async def broken(fault_stack: StackUnderTest) -> AsyncIterator[Breakable]:
    """The stack, to be broken."""
    breakable = Breakable(fault_stack)
    yield breakable
    await breakable.mended()
    errors = breakable.unexplained_errors()
    assert not errors, "unexplained errors:\n" + "\n".join(errors[:20])


@pytest_asyncio.fixture
async def clinic(broken: Breakable) -> AsyncIterator[Clinic]:
    """A clinic whose phones are empty; at the end everything is mended and closed."""
    async with Clinic(broken.running, step_s=STEP_S) as clinic:
        yield clinic
        await clinic.phone.mend()
        await broken.mended()
        await clinic.close_everything()
