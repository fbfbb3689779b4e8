"""`stack.json`: what runs, written while it starts, so that nothing is ever left that nobody knows of."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from deploy.local.home import Home
from deploy.local.processes import Process, ProcessRecord

_VERSION = 1


class StackNotRunning(Exception):
    """No stack runs in this home."""


@dataclass(frozen=True, slots=True)
class StackRecord:
    """One stack as it is written down: addresses, and every process in the order of its start."""

    profile: str
    topic_prefix: str
    kafka: str
    mongo: str
    intake_url: str
    crisis_urls: tuple[str, ...]
    phone_url: str
    running: tuple[ProcessRecord, ...]
    embedded: bool = False

    def processes(self) -> list[Process]:
        """The recorded processes that still are what they were (see `alive`)."""
        return [Process.found(record) for record in self.running]


def write_record(home: Home, record: StackRecord) -> None:
    """Write it whole or not at all."""
    home.path.mkdir(parents=True, exist_ok=True)
    arriving = home.record.with_name("stack.json.part")
    arriving.write_text(json.dumps({"version": _VERSION, **dataclasses.asdict(record)}, indent=2) + "\n", encoding="utf-8")
    arriving.rename(home.record)


def read_record(home: Home) -> StackRecord | None:
    """What is written in this home, or None; raises StackNotRunning when it cannot be understood."""
    try:
        raw: dict[str, Any] = json.loads(home.record.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StackNotRunning(f"{home.record} cannot be read: {error}") from None
    if raw.pop("version", None) != _VERSION:
        raise StackNotRunning(f"{home.record} was written by another version")
    running = tuple(_process_record(entry) for entry in raw.pop("running"))
    return StackRecord(running=running, crisis_urls=tuple(raw.pop("crisis_urls")), **raw)


def running_stack(home: Home) -> StackRecord:
    """The record of the stack that runs in this home; raises StackNotRunning when none of its processes lives."""
    record = read_record(home)
    if record is None or not any(process.alive() for process in record.processes()):
        raise StackNotRunning(f"no stack runs in {home.path}")
    return record


def _process_record(raw: dict[str, Any]) -> ProcessRecord:
    return ProcessRecord(**{**raw, "command": tuple(raw["command"]) if raw["command"] else None, "ports": tuple(raw["ports"])})
