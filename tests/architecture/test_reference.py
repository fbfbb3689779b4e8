"""The pages under docs/reference/ are what the code says, and the generator sees what is there."""

import re
from pathlib import Path

import pytest
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema
from jsonschema import Draft202012Validator

from deploy.reference.asyncapi import document
from deploy.reference.errors import dead_letters, problems, unexplained
from deploy.reference.events import topic_of
from deploy.reference.metrics import metrics
from deploy.reference.pages import PAGES, REFERENCE, differing, write
from deploy.reference.settings import settings
from shared.contracts.catalogue import EVENTS, type_of
from tests.architecture.test_names import metrics as declared
from tests.architecture.test_names import settings_classes

AGAIN = "run `make docs` (.venv/bin/python -m deploy.reference) and commit docs/reference/"


def test_every_error_is_explained_and_no_other() -> None:
    assert unexplained() == [], "write it into deploy/reference/errors.yaml, then run `make docs`"


def test_the_pages_are_what_the_code_says() -> None:
    assert differing() == [], AGAIN


def test_a_page_that_is_missing_stale_or_of_nobody_is_noticed_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PAGES:
        monkeypatch.setitem(PAGES, name, lambda: "what the code says")
    assert differing(tmp_path) == sorted(PAGES)
    write(tmp_path)
    assert differing(tmp_path) == []
    (tmp_path / "metrics.md").write_text("| `vigil_gone_total` |", encoding="utf-8")
    (tmp_path / "left-over.md").write_text("of nobody", encoding="utf-8")
    assert differing(tmp_path) == ["left-over.md", "metrics.md"]
    assert write(tmp_path) == ["left-over.md", "metrics.md"]
    assert {path.name for path in tmp_path.iterdir()} == set(PAGES)


def test_every_setting_has_its_row() -> None:
    page = (REFERENCE / "settings.md").read_text(encoding="utf-8")
    names = [f"{one.model_config['env_prefix']}{field}".upper() for one in settings_classes() for field in one.model_fields]
    assert len(names) > 30
    assert [name for name in names if f"| `{name}` |" not in page] == [], AGAIN


def test_a_variable_that_two_services_read_means_the_same_to_both() -> None:
    by_variable: dict[str, set[tuple[str, str]]] = {}
    for setting in settings():
        by_variable.setdefault(setting.variable, set()).add((setting.default, setting.kind))
    assert {name: told for name, told in by_variable.items() if len(told) > 1} == {}


def test_every_metric_has_its_row_and_its_words() -> None:
    page = (REFERENCE / "metrics.md").read_text(encoding="utf-8")
    assert {one.name.removesuffix("_total") for one in metrics()} == {
        name.removesuffix("_total") for _, _, name, _ in declared()
    }
    assert [one.name for one in metrics() if f"| `{one.name}` |" not in page] == [], AGAIN
    assert [one.name for one in metrics() if len(one.told) < 10] == [], "say what it counts, in the metric's help"


@pytest.mark.parametrize("event", EVENTS, ids=type_of)
def test_every_event_has_its_section_and_travels_on_a_topic(event: type) -> None:
    page = (REFERENCE / "events.md").read_text(encoding="utf-8")
    assert f"\n## {type_of(event)}\n" in page, AGAIN
    assert topic_of(event) is not None, "give its subject a topic in shared/contracts/topics.py"
    assert event.__doc__


def test_the_bus_is_described_by_asyncapi_3() -> None:
    told = document()
    ApplicationSchema.model_validate(told)
    assert {name for channel in told["channels"].values() for name in channel["messages"]} == {
        type_of(event) for event in EVENTS
    }
    assert {one["channel"]["$ref"].removeprefix("#/channels/") for one in told["operations"].values()} == set(told["channels"])
    for message in told["components"]["messages"].values():
        Draft202012Validator.check_schema(message["payload"])
        assert Draft202012Validator(message["payload"]).is_valid(message["examples"][0]["payload"])


def test_errors_are_found_in_every_form_in_which_the_code_raises_them() -> None:
    found = problems()
    assert {"forbidden", "not-confirmed", "not-found", "token-expired", "not-a-flag", "validation"} <= found.keys()
    assert all(re.fullmatch(r"[a-z][a-z-]*", slug) for slug in found)
    assert {"header_missing", "not_a_flag", "defect", "unknown_type"} <= dead_letters().keys()
