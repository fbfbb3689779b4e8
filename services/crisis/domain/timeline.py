"""The case's story, line by line, each chained to the one before by a hash; and the events told to other services."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from services.crisis.domain.budget import VERSION as BUDGET_VERSION
from services.crisis.domain.case import Case, case_id_of
from services.crisis.domain.encoding import to_record
from services.crisis.domain.facts import (
    ATTEMPT_FACTS,
    Acknowledged,
    Closed,
    Durable,
    Escalated,
    Fact,
    Failed,
    Flag,
    Gap,
    Handed,
    Owned,
    Receipt,
    Sending,
    Upto,
    flags_of,
)
from shared.contracts import crisis as events
from shared.time.clock import iso
from shared.time.ids import derived_id

GENESIS = "0" * 64


def is_told(item: Flag | Fact) -> bool:
    """Whether an item is a line of the timeline (folded lines and durability marks are not)."""
    return not isinstance(item, (Durable, Upto))


def line_of(item: Flag | Fact, seq: int, prev_hash: str, versions: dict[str, int]) -> dict[str, Any]:
    """One line: `{seq, at, actor, kind, flag_id?, person?, channel?, body_digest?, versions, prev_hash}`."""
    line: dict[str, Any] = {
        "seq": seq,
        "at": iso(item.at),
        "actor": _actor(item),
        "kind": item.KIND,
        "flag_id": item.flag_id if isinstance(item, Flag) else flags_of(item)[0],
        "versions": versions,
        "prev_hash": prev_hash,
    }
    if isinstance(item, ATTEMPT_FACTS):
        line |= {"person": item.attempt.person, "channel": item.attempt.channel, "step": item.attempt.step}
    elif isinstance(item, Receipt):
        # Whose phone it is about, where that is told; the person has done nothing.
        line |= {"person": item.person, "channel": item.channel} if item.person else {}
    elif not isinstance(item, Flag) and getattr(item, "person", None):
        line["person"] = item.person  # type: ignore[union-attr]
    if isinstance(item, Handed):
        line["body_digest"] = item.body_digest
    if isinstance(item, Failed):
        line["reason"] = item.reason
    return line


def hash_of(line: dict[str, Any]) -> str:
    """The hash that the next line carries as `prev_hash`."""
    return hashlib.sha256(json.dumps(line, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def lines_of(
    items: Iterable[Flag | Fact], seq: int, prev_hash: str, roster_version: int
) -> tuple[list[dict[str, Any]], int, str]:
    """The lines for new items in order of their stamps, continuing at `seq` and `prev_hash`; returns both moved on."""
    versions = {"roster": roster_version, "policy": roster_version, "budget": BUDGET_VERSION}
    lines: list[dict[str, Any]] = []
    for item in sorted((i for i in items if is_told(i)), key=lambda i: (i.at, i.KIND)):
        seq += 1
        line = line_of(item, seq, prev_hash, versions)
        prev_hash = hash_of(line)
        lines.append(line)
    return lines, seq, prev_hash


def event_of(item: Flag | Fact, case: Case, case_id: str) -> tuple[str, BaseModel] | None:
    """(event id, event) that tells other services of a new item; None when it is no news to them."""
    base = {
        "case_id": case_id,
        "patient_id": case.patient_id,
        "programme_id": case.first_flag.programme_id,
        "at": iso(item.at),
    }
    event: BaseModel | None = None
    if isinstance(item, Flag):
        # Which flag opened it was settled by the first write; one with an earlier stamp may be heard of later.
        opened = case_id == case_id_of(item.flag_id)
        event = (events.CaseOpened if opened else events.FlagJoined)(**base, flag_id=item.flag_id, level=item.level)
    elif isinstance(item, (Handed, Failed)):
        event = _page_event(item, base)
    elif isinstance(item, Acknowledged):
        event = events.CaseAcknowledged(**base, flag_ids=item.flags, person_id=item.person, via=item.via)
    elif isinstance(item, Escalated):
        event = events.CaseEscalated(**base, flag_ids=item.flags, step=item.step, cause="asked")
    elif isinstance(item, Sending) and _opens_step(item, case):
        event = events.CaseEscalated(**base, flag_ids=item.attempt.flags, step=item.attempt.step, cause="unanswered")
    elif isinstance(item, Owned) and item.generation > 1:
        before = next((o.person for o in case.offers if o.offer_id == item.cause), None)
        event = events.CaseTransferred(**base, from_person_id=before, to_person_id=item.person, generation=item.generation)
    elif isinstance(item, Closed):
        event = events.CaseResolved(**base, flag_ids=item.flags, person_id=item.person, level=item.level)
    elif isinstance(item, Gap):
        event = events.CoverageGapFound(**base, level=case.levels.get(item.flag, case.level), step=item.step)
    return None if event is None else (_event_id(item, case_id), event)


def _event_id(item: Flag | Fact, case_id: str) -> str:
    """The same for the same news about a case, whoever writes it and whenever they heard it: readers dedupe by it."""
    told = to_record(item)
    del told["at"]
    return derived_id("event", case_id, json.dumps(told, sort_keys=True, separators=(",", ":")))


def _opens_step(item: Sending, case: Case) -> bool:
    """Whether this page is the first of a step after the first one."""
    if item.attempt.step == 0:
        return False
    earlier = (
        one.sending_at
        for tries in case.tries.values()
        for one in tries.values()
        if one.attempt.step == item.attempt.step and one.attempt.episode == item.attempt.episode and one.sending_at
    )
    return item.at <= min(earlier, default=item.at)


def _page_event(item: Handed | Failed, base: dict[str, Any]) -> BaseModel:
    a = item.attempt
    about = {**base, "flag_ids": a.flags, "person_id": a.person, "channel": a.channel, "step": a.step}
    if isinstance(item, Handed):
        return events.PageHandedOff(**about, provider=item.provider)
    return events.PageFailed(**about, maybe_rang=item.maybe)


def _actor(item: Flag | Fact) -> str:
    if isinstance(item, Flag):
        return item.rule
    if isinstance(item, ATTEMPT_FACTS):
        return item.attempt.by
    if isinstance(item, Receipt):
        return item.by or "vigil"
    return str(getattr(item, "person", None) or getattr(item, "by", None) or "vigil")
