"""One stack for all stories that break nothing; each story gets a clinic of its own and must leave it as it found it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.canaries import KINDS, look
from tests.support.clinic import Clinic
from tests.support.servers import Servers
from tests.support.stack import StackFactory, StackUnderTest

# What a deployment does that has registered with the screener's owners.
_INTAKE = {"VIGIL_INTAKE_LICENCES_ACKNOWLEDGED": "cssrs_screener"}


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def story_stack(servers: Servers) -> AsyncIterator[StackUnderTest]:
    """Intake, two replicas and a phone; the policy steps every two seconds. At the end no patient can be read anywhere."""
    factory = StackFactory(servers, "stories")
    stack = await factory(profile="test", replicas=2, env={"intake": _INTAKE})
    yield stack
    try:
        (await look(stack)).expect_nothing(*KINDS)
    finally:
        await factory.end()


@pytest_asyncio.fixture
async def clinic(story_stack: StackUnderTest, request: pytest.FixtureRequest) -> AsyncIterator[Clinic]:
    """A clinic whose phones are empty; at the end nothing may ring any more, and no page may have come unexpected."""
    async with Clinic(story_stack) as clinic:
        yield clinic
        await clinic.close_everything()
        await clinic.expect_no_surprises()
