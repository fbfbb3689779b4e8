"""The description of the bus is AsyncAPI 3.0.0 as far as a machine without node can tell; its own parser is run by hand."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema
from pydantic import ValidationError

from deploy.reference.asyncapi import document
from shared.contracts.topics import TOPICS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "deploy" / "reference" / "validate_asyncapi.sh"


def _references(told: Any) -> Iterator[str]:
    if isinstance(told, dict):
        for name, value in told.items():
            if name == "$ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(told, list):
        for value in told:
            yield from _references(value)


def _resolves(reference: str, told: dict[str, Any]) -> bool:
    found: Any = told
    for part in reference.removeprefix("#/").split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or name not in found:
            return False
        found = found[name]
    return True


def test_every_reference_leads_somewhere() -> None:
    told = document()
    # A payload is a JSON schema of its own: what it refers to is within it.
    payloads = [one.pop("payload") for one in told["components"]["messages"].values()]
    found = list(_references(told))
    assert len(found) > 50
    assert [one for one in found if not _resolves(one, told)] == []
    for payload in payloads:
        assert [one for one in _references(payload) if not _resolves(one, payload)] == []


def test_whoever_writes_a_topic_sends_and_whoever_reads_it_receives() -> None:
    told = document()
    by_topic = {topic.name: topic for topic in TOPICS}
    for channel in told["channels"]:
        of_channel = [one for one in told["operations"].values() if one["channel"]["$ref"] == f"#/channels/{channel}"]
        actions = [one["action"] for one in of_channel]
        topic = by_topic[channel]
        assert (actions.count("send"), actions.count("receive")) == (len(topic.writers), len(topic.readers)), channel
        assert len(actions) == len(topic.writers) + len(topic.readers)


def test_a_document_that_is_none_is_refused() -> None:
    told = document()
    next(iter(told["operations"].values()))["action"] = "shout"
    with pytest.raises(ValidationError):
        ApplicationSchema.model_validate(told)


def test_without_node_the_parser_says_that_nothing_was_validated(tmp_path: Path) -> None:
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    run = subprocess.run(
        ["/bin/sh", str(SCRIPT)], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False, timeout=30
    )
    assert (run.returncode, run.stderr) == (2, "node is not installed: nothing was validated\n")
