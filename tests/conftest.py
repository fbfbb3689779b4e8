"""Fixtures of every tier, which tiers may use sockets, and how a tier that cannot run says so."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import pytest_asyncio

from deploy.local.lacks import MachineLacks
from tests.support.runs import Run
from tests.support.servers import Servers, found_servers
from tests.support.stack import StackFactory

IN_CI = bool(os.environ.get("CI"))
_TESTS = Path(__file__).parent
# Rules and structure: whoever reaches for the network there has put a rule in the wrong place.
_WITHOUT_SOCKETS = ("unit", "architecture", "contract")
_SERVERS = pytest.StashKey[str]()
_NOT_RUN = pytest.StashKey[set[str]]()

# How long an example takes on a busy machine says nothing about the code.
_UNTIMED = [hypothesis.HealthCheck.too_slow]
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True, suppress_health_check=_UNTIMED)
hypothesis.settings.register_profile("dev", deadline=None, print_blob=True, suppress_health_check=_UNTIMED)
hypothesis.settings.load_profile("ci" if IN_CI else "dev")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_NOT_RUN] = set[str]()
    config.addinivalue_line("markers", "real_stack: needs Kafka, MongoDB and processes of its own; left out with FAST=1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _tier(item) in _WITHOUT_SOCKETS:
            item.add_marker(pytest.mark.disable_socket)
        else:
            item.add_marker(pytest.mark.xdist_group(_together(item)))


def _together(item: pytest.Item) -> str:
    """What one process runs when several share a tier with servers: a file, but stories by the stack that they share."""
    if _tier(item) == "stories":
        return "stories-real" if item.get_closest_marker("real_stack") is not None else "stories-embedded"
    return item.path.relative_to(_TESTS).with_suffix("").as_posix() if item.path.is_relative_to(_TESTS) else item.path.name


def pytest_sessionfinish(session: pytest.Session) -> None:
    """One of several processes tells the one that sums up."""
    told: dict[str, object] | None = getattr(session.config, "workeroutput", None)
    if told is not None:
        reasons: set[str] = session.config.stash[_NOT_RUN]
        told |= {"servers": session.config.stash.get(_SERVERS, None), "not_run": sorted(reasons)}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    told: dict[str, Any] = getattr(node, "workeroutput", {})
    config: pytest.Config = node.config
    reasons: set[str] = config.stash[_NOT_RUN]
    reasons.update(told.get("not_run", ()))
    if told.get("servers"):
        former = config.stash.get(_SERVERS, None)
        config.stash[_SERVERS] = told["servers"] if former is None else f"{former}\n{told['servers']}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.write_line(config.stash.get(_SERVERS, "servers: none were needed"))
    reasons: set[str] = config.stash[_NOT_RUN]
    for reason in sorted(reasons):
        terminalreporter.write_sep("!", "A TIER DID NOT RUN", red=True, bold=True)
        terminalreporter.write_line(reason, red=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def run() -> Run:
    """The directory of this test run."""
    return await Run.open()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def servers(run: Run, pytestconfig: pytest.Config) -> AsyncIterator[Servers]:
    """The run's Kafka and MongoDB; in CI a machine that cannot have them fails the run."""
    try:
        async with found_servers(run) as found:
            pytestconfig.stash[_SERVERS] = f"servers: {found.origin}; Kafka {found.kafka}, MongoDB {found.mongo}"
            yield found
    except MachineLacks as lack:
        if IN_CI:
            raise
        pytestconfig.stash[_NOT_RUN].add(f"{lack.what}: {lack.how}")
        pytest.skip(f"no servers: {lack}")


@pytest_asyncio.fixture
async def stack(servers: Servers, request: pytest.FixtureRequest) -> AsyncIterator[StackFactory]:
    """Starts stacks: `running = await stack(replicas=2)`; see StackFactory."""
    factory = StackFactory(servers, request.node.name)
    yield factory
    await factory.end()


def _tier(item: pytest.Item) -> str:
    relative = item.path.relative_to(_TESTS) if item.path.is_relative_to(_TESTS) else item.path
    return relative.parts[0]
