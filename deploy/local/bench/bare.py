"""The bare chain and the floor as processes beside a running stack, on its broker, its store and its phones."""

import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from deploy.local.home import ROOT
from deploy.local.lacks import MachineLacks
from deploy.local.ports import LOOPBACK, free_ports
from deploy.local.processes import Process, ProcessPlan, priorities
from deploy.local.stack import Stack

READY_WITHIN_S = 20.0
BARE_NUMBER = "+15550190001"
_PACKAGE = "tests.bench.bare"


@dataclass(frozen=True, slots=True)
class Bare:
    """Where to post, and the processes by name."""

    ingest_url: str
    floor_url: str
    pids: dict[str, int]


@asynccontextmanager
async def bare_chain(stack: Stack) -> AsyncIterator[Bare]:
    """Start all three, stop them afterwards. Raises MachineLacks without a source checkout, ProcessDied, NotReady."""
    if not (ROOT / "tests" / "bench" / "bare" / "ingest.py").is_file():
        raise MachineLacks("the bare chain", "run the bench from a source checkout: tests/bench/bare is not here")
    ports = dict(zip(("bare-ingest", "bare-pager", "floor"), free_ports(3), strict=True))
    started: list[Process] = []
    try:
        for plan in _plans(stack, ports):
            # One by one: what has started is stopped even when a later one cannot.
            started.append(Process.start(plan))  # noqa: PERF401
        for process in started:
            await process.wait_ready(READY_WITHIN_S)
        pids = {process.name: process.pid for process in started}
        yield Bare(_url(ports["bare-ingest"]), _url(ports["floor"]), pids)
    finally:
        for process in started:
            await process.stop()


def _plans(stack: Stack, ports: dict[str, int]) -> list[ProcessPlan]:
    own, layout = stack.credentials, stack.layout
    name = f"bare_{secrets.token_hex(4)}"
    servers = ("--mongo", layout.mongo, "--kafka", layout.kafka, "--database", name, "--topic", name)
    provider = ("--provider", layout.phone_url, "--account-sid", own.account_sid, "--auth-token-file", str(own.auth_token))
    words = {
        "bare-ingest": ("ingest", *servers),
        "bare-pager": ("pager", *servers, *provider, "--to", BARE_NUMBER),
        "floor": ("floor", *provider, "--to", BARE_NUMBER, "--file", str(stack.options.home.data / "floor.log")),
    }
    return [
        ProcessPlan(
            name=process,
            command=(sys.executable, "-m", f"{_PACKAGE}.{module}", *options, "--port", str(ports[process])),
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            log=stack.options.home.logs / f"{process}.log",
            url=_url(ports[process]),
            ready_url=_url(ports[process]) + "/",
            ports=(ports[process],),
            # The same as Vigil's: what the caller waits for, then what pages, before the bus and the phone.
            nice=priorities().pages if process == "bare-pager" else priorities().answers,
        )
        for process, (module, *options) in words.items()
    ]


def _url(port: int) -> str:
    return f"http://{LOOPBACK}:{port}"
