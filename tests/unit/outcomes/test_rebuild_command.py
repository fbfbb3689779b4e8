"""`vigil rebuild outcomes` as its user sees it."""

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

import services.outcomes.rebuild as of_outcomes
from deploy.cli import rebuild as command
from deploy.cli.main import app
from deploy.local.record import StackNotRunning, StackRecord
from services.outcomes.rebuild import BusSilent, Rebuilt


def record(*, embedded: bool = False, profile: str = "test") -> StackRecord:
    return StackRecord(profile, "vigil", "127.0.0.1:1", "mongodb://127.0.0.1:1", "", (), "", (), embedded)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command hands over; the servers of the stack are not asked."""
    seen: dict[str, Any] = {}

    async def rebuild(deployment: Any, settings: Any, _outside: Any, _clock: Any, progress: Any) -> Rebuilt:
        seen.update(deployment=deployment, settings=settings)
        progress(5, 10)
        return Rebuilt(10, Counter(AssessmentCompleted=9), seen.get("unreadable", Counter()), 9)

    monkeypatch.setattr(of_outcomes, "rebuild", rebuild)
    monkeypatch.setattr(command, "running_stack", lambda _home: record())
    return seen


def test_it_says_what_was_read(told: dict[str, Any], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["rebuild", "outcomes", "--json", str(tmp_path / "told.json")])
    assert done.exit_code == 0, done.output
    assert "AssessmentCompleted" in done.output
    assert "9 documents had something new" in done.output
    document = orjson.loads((tmp_path / "told.json").read_bytes())
    assert (document["service"], document["records"], document["taken"]) == ("outcomes", 10, {"AssessmentCompleted": 9})
    assert (told["deployment"].kafka_bootstrap, told["deployment"].topic_prefix) == ("127.0.0.1:1", "vigil")


def test_its_days_are_those_of_the_running_service(told: dict[str, Any]) -> None:
    CliRunner().invoke(app, ["rebuild", "outcomes"])
    assert told["settings"].follow_up_day_s == 1.0


def test_records_that_could_not_be_read_fail_it(told: dict[str, Any]) -> None:
    told["unreadable"] = Counter(not_an_event=2)
    done = CliRunner().invoke(app, ["rebuild", "outcomes"])
    assert done.exit_code == 1
    assert "2 records could not be read: not_an_event" in done.output


def test_an_embedded_stack_has_nothing_to_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "running_stack", lambda _home: record(embedded=True))
    done = CliRunner().invoke(app, ["rebuild", "outcomes"])
    assert isinstance(done.exception, StackNotRunning)
    assert "only a real stack" in str(done.exception)


def test_servers_that_are_away_are_told(told: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_told: Any) -> Rebuilt:
        raise BusSilent("KafkaConnectionError")

    monkeypatch.setattr(of_outcomes, "rebuild", away)
    done = CliRunner().invoke(app, ["rebuild", "outcomes"])
    assert isinstance(done.exception, StackNotRunning)


def test_another_service_is_not_to_be_rebuilt() -> None:
    assert CliRunner().invoke(app, ["rebuild", "crisis"]).exit_code == 2
