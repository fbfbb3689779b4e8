"""Processes of the local stack: found again, stopped, killed, and never mistaken for others."""

import asyncio
import dataclasses
import sys
from pathlib import Path

import psutil
import pytest

from deploy.local.lacks import MachineLacks
from deploy.local.ports import free_base, free_ports, is_free
from deploy.local.processes import NotReady, Process, ProcessDied, ProcessPlan, eventually

_WAITS = "import signal; print('here', flush=True); signal.pause()"
_DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); signal.pause()"
_LISTENS = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(sys.argv[2])); self.end_headers(); self.wfile.write(b"roster: false")
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


def _plan(folder: Path, name: str, code: str, *words: str, port: int | None = None) -> ProcessPlan:
    ready_url = f"http://127.0.0.1:{port}/health/ready" if port else None
    ports = (port,) if port else ()
    return ProcessPlan(name, (sys.executable, "-c", code, *words), {}, folder / f"{name}.log", ready_url=ready_url, ports=ports)


async def _started(plan: ProcessPlan) -> Process:
    process = Process.start(plan)

    async def says_so() -> bool:
        process.check()
        return "here" in process.tail()

    assert await eventually(says_so, 20.0)
    return process


async def test_a_recorded_process_is_found_again_and_stopped_by_who_did_not_start_it(tmp_path: Path) -> None:
    process = await _started(_plan(tmp_path, "service", _WAITS))
    found = Process.found(process.record)
    assert found.alive()
    stopping = asyncio.create_task(found.stop())
    # Its parent is this test: until it is waited for, the system keeps it as a zombie, which counts as ended.
    assert await stopping is True
    assert not process.alive()
    assert not Process.found(process.record).alive()


async def test_a_process_that_took_over_a_recorded_id_is_not_touched(tmp_path: Path) -> None:
    other = await _started(_plan(tmp_path, "other", _WAITS))
    try:
        recorded = dataclasses.replace(other.record, name="kafka-1", command=("java", "kafka.Kafka"))
        found = Process.found(recorded)
        assert not found.alive()
        await found.kill()
        assert other.alive()
    finally:
        assert await other.stop() is True


async def test_a_process_deaf_to_sigterm_is_killed_and_that_is_said(tmp_path: Path) -> None:
    deaf = await _started(_plan(tmp_path, "deaf", _DEAF))
    assert await deaf.stop(within_s=1.0) is False
    assert not psutil.pid_exists(deaf.pid)


async def test_a_frozen_process_hears_sigterm(tmp_path: Path) -> None:
    frozen = await _started(_plan(tmp_path, "frozen", _WAITS))
    try:
        frozen.freeze()
        state = psutil.Process(frozen.pid).status()
    finally:
        heard = await frozen.stop()
    assert state == psutil.STATUS_STOPPED
    assert heard


async def test_a_process_that_ends_too_early_shows_the_end_of_its_log(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    broken = Process.start(_plan(tmp_path, "broken", "raise SystemExit('no roster file')", port=port))
    with pytest.raises(ProcessDied, match=r"(?s)broken ended with 1.*no roster file"):
        await broken.wait_ready(20.0)


async def test_a_process_that_is_not_ready_says_why_and_frees_its_port_when_killed(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    unready = Process.start(_plan(tmp_path, "unready", _LISTENS, str(port), "503", port=port))
    try:
        with pytest.raises(NotReady, match=r"(?s)unready is not ready after 3 s.*503 roster: false"):
            await unready.wait_ready(3.0)
        assert not await unready.is_ready()
    finally:
        await unready.kill()
    assert is_free(port)


async def test_a_ready_process_is_awaited_and_its_taken_port_is_named_to_a_second_one(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    plan = _plan(tmp_path, "ready", _LISTENS, str(port), "200", port=port)
    ready = Process.start(plan)
    try:
        await ready.wait_ready(20.0)
        assert await ready.is_ready()
        with pytest.raises(MachineLacks, match=f"port {port}, which ready needs, is taken"):
            Process.start(plan)
    finally:
        await ready.stop()


async def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    plan = ProcessPlan("ghost", ("/no/such/program",), {}, tmp_path / "ghost.log")
    with pytest.raises(ProcessDied, match="ghost: /no/such/program: No such file"):
        Process.start(plan)


async def test_ports_that_were_given_are_given_to_no_other_process(tmp_path: Path) -> None:
    code = "from deploy.local.ports import free_base, free_ports; print(*free_ports(150), free_base()); " + _WAITS
    mine = [*free_ports(150), *range(base := free_base(), base + 100)]
    others = [await _started(_plan(tmp_path, name, code)) for name in ("one", "other")]
    try:
        given = [{int(word) for word in other.tail().split()[:-1]} for other in others]
    finally:
        for other in others:
            await other.stop()
    assert len(set(mine)) == 250
    assert [len(ports) for ports in given] == [151, 151]
    assert not given[0] & given[1]
    assert not (given[0] | given[1]) & set(mine)
