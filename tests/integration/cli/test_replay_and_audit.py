"""`vigil replay`, `vigil audit` and `vigil case` on a stack whose simulated clinician acknowledges and resolves."""

import json
from pathlib import Path

import pytest

from deploy.local.processes import eventually
from tests.integration.cli.command import vigil
from tests.support.stack import StackFactory

HEADER = "SEQN,DPQ010,DPQ020,DPQ030,DPQ040,DPQ050,DPQ060,DPQ070,DPQ080,DPQ090,DPQ100"
LINES = [
    "1,0,0,0,0,0,0,0,0,0,",
    "2,1.0,1.0,1.0,1.0,1.0,0,0,0,0,1",
    "3,2,2,2,2,2,0,0,0,1,0",
    "4,3,3,3,3,3,3,3,3,3,3",
    "5,,,,,,,,,,",
    "6,7,9,7,9,7,9,7,9,7,9",
    "7,1,,,,,,,,2,",
    "8,0,0,sometimes,0,0,0,0,0,0,",
    "9,3,3,3,2,2,2,0,0,0,nan",
]


def a_file(tmp_path: Path) -> str:
    path = tmp_path / "answers.csv"
    path.write_text("\n".join([HEADER, *LINES]) + "\n", encoding="utf-8")
    return str(path)


async def test_a_file_is_replayed_once_and_nobody_is_lost(stack: StackFactory, tmp_path: Path) -> None:
    running = await stack(profile="replay")
    home, file = running.options.home.path, a_file(tmp_path)

    first = await vigil("replay", file, "--concurrency", "4", "--json", home=home)
    assert first.code == 0, first.err
    report = first.document
    counts = {
        name: report[name] for name in ("rows", "blank", "complete", "created", "item9_positive", "flags", "cases", "paged")
    }
    assert counts == {
        "rows": 9,
        "blank": 2,
        "complete": 5,
        "created": 6,
        "item9_positive": 3,
        "flags": 3,
        "cases": 3,
        "paged": 3,
    }
    assert report["bands"] == {"minimal": 1, "mild": 1, "moderate": 1, "moderately_severe": 1, "severe": 1}
    assert report["flags_by_level"] == {"high": 1, "moderate": 2}
    assert report["errors"] == [{"line": 9, "code": "not_a_number", "detail": "DPQ030 must be a number or blank"}]
    assert report["lost"] == []
    assert report["t0_t2_ms"]["p50"] > 0
    assert report["rows_per_s"] > 0
    assert report["open"] == 0

    second = await vigil("replay", file, "--json", str(tmp_path / "second.json"), home=home)
    assert second.code == 0, second.err
    assert "not_a_number" in second.out
    again = json.loads((tmp_path / "second.json").read_text(encoding="utf-8"))
    assert again["created"] == 0
    assert {name: again[name] for name in ("flags", "cases", "paged", "lost", "bands")} == {
        name: report[name] for name in ("flags", "cases", "paged", "lost", "bands")
    }

    audit = await vigil("audit", "--json", home=home)
    assert audit.code == 0, audit.err
    found = audit.document
    assert {name: found[name] for name in ("flags", "cases", "paged", "open", "lost", "oldest_unhanded_s")} == {
        "flags": 3,
        "cases": 3,
        "paged": 3,
        "open": 0,
        "lost": [],
        "oldest_unhanded_s": 0.0,
    }
    assert found["one_lane_only"] == 0
    assert found["duplicates"] == report["duplicates"]

    closed = (await vigil("case", "list", "--status", "closed", "--json", home=home)).document["items"]
    assert {case["state"] for case in closed} == {"closed"}
    assert len(closed) == 3
    refused = await vigil("case", "ack", closed[0]["code"], "--json", home=home)
    assert (refused.code, refused.document["state"]) == (1, "closed")


async def test_a_flag_that_nobody_pages_is_lost_until_somebody_does(stack: StackFactory) -> None:
    running = await stack(profile="test")
    home = running.options.home.path
    # Whoever speaks to a dead replica may say so.
    running.allow_errors("intake", "shared", "deploy")
    await running.kill("crisis-0")
    await running.kill("crisis-1")
    posted = await vigil("replay", _one_flag(home), "--wait-s", "1", "--json", home=home)
    assert posted.code == 4, "without a living replica nobody can say who was paged"

    audit = await vigil("audit", "--json", home=home)
    assert audit.code == 1, audit.out
    assert audit.document["flags"] == 1
    assert [one["reason"] for one in audit.document["lost"]] == ["it reached crisis and became no case"]
    assert audit.document["oldest_unhanded_s"] > 0.25

    await running.restart("crisis-0")
    await running.restart("crisis-1")
    shown = await vigil("audit", home=home)

    async def paged() -> bool:
        nonlocal shown
        shown = await vigil("audit", home=home)
        return shown.code == 0

    assert await eventually(paged, 30.0), shown.out


async def test_a_case_is_listed_shown_and_acknowledged(stack: StackFactory) -> None:
    running = await stack(profile="default")
    home = running.options.home.path
    assert (await vigil("replay", _one_flag(home), home=home)).code == 0

    (case,) = (await vigil("case", "list", "--json", home=home)).document["items"]
    listed = await vigil("case", "list", home=home)
    assert case["code"] in listed.out
    shown = await vigil("case", "show", case["code"], home=home)

    async def written_down() -> bool:
        nonlocal shown
        shown = await vigil("case", "show", case["code"], home=home)
        return "handed" in shown.out

    # Nobody waits for durability: a page is on the phone before its line is in the store.
    assert await eventually(written_down, 30.0), shown.out
    for word in (case["code"], case["case_id"], "phq9.q9", "sending", "handed"):
        assert word in shown.out
    told = (await vigil("case", "show", case["case_id"], "--json", home=home)).document
    assert told["timeline"][0]["kind"] == "flag"

    taken = await vigil("case", "ack", case["flags"][0]["flag_id"], "--json", home=home)
    assert taken.code == 0, taken.out
    assert (taken.document["state"], taken.document["owner"]) == ("owned", "ana")
    assert (await vigil("case", "show", "000000", home=home)).code == 2


@pytest.mark.parametrize("command", [("audit",), ("case", "list"), ("status",)])
async def test_without_a_stack_commands_say_so(command: tuple[str, ...], tmp_path: Path) -> None:
    ran = await vigil(*command, home=tmp_path)
    assert ran.code == 4
    assert "vigil up" in ran.err


async def test_a_replay_needs_a_stack_and_a_file_that_is_one(tmp_path: Path) -> None:
    assert (await vigil("replay", a_file(tmp_path), home=tmp_path)).code == 4
    broken = tmp_path / "broken.csv"
    broken.write_text("SEQN,DPQ010\n1,2\n", encoding="utf-8")
    refused = await vigil("replay", str(broken), "--json", home=tmp_path)
    assert (refused.code, refused.out) == (2, "")
    assert "DPQ090" in refused.err
    assert (await vigil("replay", str(tmp_path / "none.csv"), home=tmp_path)).code == 2


def _one_flag(home: Path) -> str:
    path = home / "one.csv"
    path.write_text(f"{HEADER}\n77,0,0,0,0,0,0,0,0,3,\n", encoding="utf-8")
    return str(path)
