"""What the smoke test makes of a container's state."""

from typing import Any

import pytest

from deploy.compose.smoke import state_of


def _container(service: str, restarts: int = 0, **state: Any) -> dict[str, Any]:
    labels = {"com.docker.compose.service": service}
    told = {"Status": "running", "Running": True, "ExitCode": 0, **state}
    return {"Config": {"Labels": labels}, "State": told, "RestartCount": restarts}


@pytest.mark.parametrize(
    ("container", "state"),
    [
        (_container("intake", Health={"Status": "healthy"}), "ready"),
        (_container("intake", Health={"Status": "starting"}), "starting"),
        (_container("intake", Health={"Status": "unhealthy"}), "unhealthy"),
        (_container("prometheus"), "ready"),
        (_container("prepare"), "running"),
        (_container("prepare", Status="exited", Running=False), "done"),
        (_container("prepare", Status="exited", Running=False, ExitCode=1), "ended with 1"),
        (_container("intake", Status="exited", Running=False), "ended with 0"),
        (_container("intake", 2, Status="restarting", Health={"Status": "starting"}), "starting"),
        (_container("intake", 3, Status="restarting", ExitCode=1), "ended again and again, last with 1"),
    ],
)
def test_a_state_is_ready_done_ended_or_still_on_its_way(container: dict[str, Any], state: str) -> None:
    assert state_of(container) == state
