"""`vigil demo`: the story it tells is the story that happened, and nothing is left behind."""

from pathlib import Path

import psutil

from tests.integration.cli.command import vigil
from tests.support.servers import Servers

IN_ORDER = ["enrolled", "answers_sent", "t0", "page_on_phone", "second_person", "reply", "t3", "heard", "silence"]


async def test_the_demo_tells_its_story_and_leaves_nothing(servers: Servers, tmp_path: Path) -> None:
    elsewhere = {"VIGIL_KAFKA_BOOTSTRAP": servers.kafka, "VIGIL_MONGO_URI": servers.mongo}
    ran = await vigil("demo", "--json", home=tmp_path, env=elsewhere)
    assert ran.code == 0, ran.err
    report = ran.document
    assert (report["ok"], report["unexpected_pages"], report["processes_left"]) == (True, 0, 0)
    assert report["first_page_s"] > 0

    stages = report["stages"]
    assert [stage["at"] for stage in stages] == sorted(stage["at"] for stage in stages)
    first_seen = list(dict.fromkeys(stage["stage"] for stage in stages))
    assert [name for name in first_seen if name in IN_ORDER] == IN_ORDER
    assert {stage["case_id"] for stage in stages} == {report["case_id"]}
    budgets = {stage["stage"]: (stage["budget_ms"], stage["met"]) for stage in stages if stage["budget_ms"] is not None}
    assert budgets["t2"][0] == 250
    assert budgets["t3"] == (300_000, True)
    pages = [stage for stage in stages if stage["stage"] == "page_on_phone"]
    assert sorted(stage["what"].split("'s phone, ")[0] for stage in pages) == ["Ana Duarte"] * 2 + ["Ben Okafor"] * 2
    second = next(stage["ms_since_t0"] for stage in stages if stage["stage"] == "second_person")
    # The step is 5 s by the replicas' clock, which may still be settling in the first seconds of a stack.
    assert second >= 4_000.0

    kinds = [line["kind"] for line in report["timeline"]]
    assert kinds[0] == "flag"
    assert {"sending", "handed", "acknowledged"} <= set(kinds)
    # Links acknowledge for whoever follows them: they are for the phones alone.
    assert "/a/" not in ran.out + ran.err
    assert not [
        process for process in psutil.process_iter(["cmdline"]) if "vigil-demo-" in " ".join(process.info["cmdline"] or ())
    ]


async def test_the_demo_without_servers_tells_the_same_story(tmp_path: Path) -> None:
    nothing_but_python = {"PATH": str(tmp_path), "VIGIL_CACHE": "/dev/null/cache"}
    ran = await vigil("demo", "--embedded", "--json", home=tmp_path, env=nothing_but_python)
    assert ran.code == 0, ran.err
    report = ran.document
    assert (report["ok"], report["embedded"]) == (True, True)
    assert (report["unexpected_pages"], report["processes_left"]) == (0, 0)
    assert report["ready_s"] > 0
    first_seen = list(dict.fromkeys(stage["stage"] for stage in report["stages"]))
    assert [name for name in first_seen if name in IN_ORDER] == IN_ORDER
