"""One stack of each kind for all stories that break nothing; each story gets a clinic of its own and must leave it as it found it.

Every story runs on an embedded stack and on the real one, unless it is marked `real_stack`: it kills, freezes or replaces a
process, or takes a server away.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.canaries import EMBEDDED_KINDS, KINDS, look
from tests.support.clinic import Clinic
from tests.support.programme import Programme
from tests.support.runs import Run
from tests.support.servers import Servers
from tests.support.stack import EmbeddedFactory, StackFactory, StackUnderTest

_HERE = Path(__file__).parent
# What a deployment does that has registered with the screener's owners.
_INTAKE = {"VIGIL_INTAKE_LICENCES_ACKNOWLEDGED": "cssrs_screener"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    real = pytest.param("real", marks=pytest.mark.real_stack)
    alone = metafunc.definition.get_closest_marker("real_stack") is not None
    kinds = [real] if alone else ["embedded", real]
    for shared in ("story_stack", "programme_stack"):
        if shared in metafunc.fixturenames:
            metafunc.parametrize(shared, kinds, indirect=True, scope="package")
    if "own_stack" in metafunc.fixturenames:
        metafunc.parametrize("own_stack", kinds, indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A story that starts real stacks of its own is one of the real stack, whether it says so or not."""
    for item in items:
        if item.path.parent == _HERE and {"stack", "servers"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.real_stack)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def embedded_story_stack(run: Run) -> AsyncIterator[StackUnderTest]:
    """Intake, two replicas and a phone in one process; the policy steps every two seconds."""
    factory = EmbeddedFactory(run, "stories-embedded")
    stack = await factory(profile="test", replicas=2, env={"intake": _INTAKE})
    yield stack
    try:
        (await look(stack)).expect_nothing(*EMBEDDED_KINDS)
    finally:
        await factory.end()


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def real_story_stack(servers: Servers) -> AsyncIterator[StackUnderTest]:
    """Intake, two replicas and a phone; the policy steps every two seconds. At the end no patient can be read anywhere."""
    factory = StackFactory(servers, "stories")
    stack = await factory(profile="test", replicas=2, env={"intake": _INTAKE})
    yield stack
    try:
        (await look(stack)).expect_nothing(*KINDS)
    finally:
        await factory.end()


@pytest.fixture(scope="package")
def story_stack(request: pytest.FixtureRequest) -> StackUnderTest:
    """The stack that all stories of one kind share."""
    shared: StackUnderTest = request.getfixturevalue(f"{request.param}_story_stack")
    return shared


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def embedded_programme_stack(run: Run) -> AsyncIterator[StackUnderTest]:
    """All services in one process; what takes minutes in a programme takes seconds (`PACE`)."""
    factory = EmbeddedFactory(run, "programme-embedded")
    stack = await factory(profile="test", replicas=2, env={"intake": _INTAKE}, programme=True)
    yield stack
    try:
        (await look(stack)).expect_nothing(*EMBEDDED_KINDS)
    finally:
        await factory.end()


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def real_programme_stack(servers: Servers) -> AsyncIterator[StackUnderTest]:
    """All services; at the end no patient can be read anywhere, in their databases and on their topics neither."""
    factory = StackFactory(servers, "programme")
    stack = await factory(profile="test", replicas=2, env={"intake": _INTAKE}, programme=True)
    yield stack
    try:
        (await look(stack)).expect_nothing(*KINDS)
    finally:
        await factory.end()


@pytest.fixture(scope="package")
def programme_stack(request: pytest.FixtureRequest) -> StackUnderTest:
    """The stack that all stories of the programme share, one of each kind."""
    shared: StackUnderTest = request.getfixturevalue(f"{request.param}_programme_stack")
    return shared


@pytest_asyncio.fixture
async def programme(programme_stack: StackUnderTest, request: pytest.FixtureRequest) -> AsyncIterator[Programme]:
    """A programme whose phones are empty; at the end nothing may ring any more, and no page may have come unexpected."""
    async with Programme(programme_stack) as programme:
        yield programme
        await programme.close_everything()
        await programme.expect_no_surprises()


@pytest_asyncio.fixture
async def embedded_own_stack(run: Run, request: pytest.FixtureRequest) -> AsyncIterator[EmbeddedFactory]:
    """Starts embedded stacks for one story."""
    factory = EmbeddedFactory(run, request.node.name)
    yield factory
    await factory.end()


@pytest.fixture
def own_stack(request: pytest.FixtureRequest) -> EmbeddedFactory | StackFactory:
    """Starts stacks for a story that needs one of its own: `running = await own_stack(env=…)`."""
    kind = "embedded_own_stack" if request.param == "embedded" else "stack"
    factory: EmbeddedFactory | StackFactory = request.getfixturevalue(kind)
    return factory


@pytest_asyncio.fixture
async def clinic(story_stack: StackUnderTest, request: pytest.FixtureRequest) -> AsyncIterator[Clinic]:
    """A clinic whose phones are empty; at the end nothing may ring any more, and no page may have come unexpected."""
    async with Clinic(story_stack) as clinic:
        yield clinic
        await clinic.close_everything()
        await clinic.expect_no_surprises()
