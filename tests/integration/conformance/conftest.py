"""Fixtures of the conformance suites."""

import pytest

from deploy.local.ports import free_ports


@pytest.fixture
def free_port() -> int:
    """A port on which nobody listens."""
    return free_ports(1)[0]
