"""The roster over HTTP: what is put is there, on every replica; nobody overwrites unseen; what is wrong says what to do."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.crisis.oncall.reach import TEXT
from services.crisis.ports import PageRefused
from shared.time.clock import iso
from tests.unit.crisis.books import HOUR_S, NOON, document, person
from tests.unit.crisis.oncall_house import CLINICIAN, PATIENT, SUPERVISOR, House, Replica
from tests.unit.shared.asgi import Answer, call

EVA = {name: value for name, value in person("eva", 4, "sms", "email").items() if name != "id"}
WEEK = {"zone": "America/New_York", "layers": [{"kind": "weekly", "starts_at": "2026-01-05T08:00", "people": ["eva"]}]}
POLICY = {"steps": [{"after_s": 0, "rosters": ["days"]}, {"after_s": 60, "people": ["sue"]}], "fallback": ["tom"]}


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def put(replica: Replica, path: str, body: Any, token: str = SUPERVISOR, **headers: Any) -> Answer:
    return await call(replica.app, "PUT", path, body, token=token, **headers)


async def get(replica: Replica, path: str, token: str = CLINICIAN) -> Answer:
    return await call(replica.app, "GET", path, token=token)


async def post(replica: Replica, path: str, body: Any, **headers: Any) -> Answer:
    return await call(replica.app, "POST", path, body, token=SUPERVISOR, **headers)


def span(starts: float, hours: float) -> dict[str, str]:
    return {"from": iso(NOON + starts * HOUR_S), "to": iso(NOON + (starts + hours) * HOUR_S)}


async def test_what_is_put_is_there_with_its_version_and_counts_at_once(house: House) -> None:
    here, there = house.replicas
    assert (await put(here, "/v1/people/eva", EVA)).status == 200
    answer = await put(here, "/v1/rosters/week", WEEK)
    assert answer.status == 201
    assert answer.headers["etag"] == '"6"'
    assert (await put(here, "/v1/policies/high", {**POLICY, "steps": [{"after_s": 0, "rosters": ["week"]}]})).status == 200
    assert here.on_call() == ["eva"]
    assert there.on_call() == ["ben", "eva"]
    await there.rostering.look()
    assert there.on_call() == ["eva"]
    told = await get(there, "/v1/policies/high")
    assert told.headers["etag"] == '"7"'
    assert told.json["interval_s"] == 300.0
    assert (await get(there, "/v1/rosters/week")).json["layers"][0]["people"] == ["eva"]
    assert {one["id"] for one in (await get(there, "/v1/rosters")).json["items"]} == {"days", "nights", "spanish", "week"}


async def test_the_bus_is_told_the_whole_roster_and_the_changes_are_kept(house: House) -> None:
    here, there = house.replicas
    await put(here, "/v1/rosters/week", WEEK)
    await put(here, "/v1/people/eva", EVA)
    await there.rostering.look()
    ((told, entry),) = house.bus.rosters
    assert (told["version"], entry["version"], entry["by"], entry["entry"]) == (6, 6, "sue", "people/eva")
    await there.rostering.look()
    assert len(house.bus.rosters) == 1
    changes = (await get(here, "/v1/roster-changes")).json["items"]
    assert [(one["version"], one["entry"]) for one in changes] == [(6, "people/eva"), (5, "rosters/week")]


async def test_while_the_bus_is_down_the_change_waits_in_the_store_and_counts_all_the_same(house: House) -> None:
    here, there = house.replicas
    house.bus.down = True
    await put(here, "/v1/rosters/days", WEEK)
    await there.rostering.look()
    assert there.on_call() == ["eva"]
    house.bus.down = False
    await there.rostering.look()
    assert house.bus.rosters == [], "not again at once: every try costs the store the whole roster"
    house.clock.advance(2.0)
    await there.rostering.look()
    assert len(house.bus.rosters) == 1


async def test_without_the_store_nothing_is_changed_and_the_bus_brings_what_others_changed(house: House) -> None:
    here, there = house.replicas
    there.store.down = True
    assert (await put(there, "/v1/rosters/days", WEEK)).problem == "store-silent"
    await put(here, "/v1/rosters/days", WEEK)
    await here.rostering.look()
    await there.rostering.look()
    assert there.on_call() == ["ben", "eva"]
    await there.duty.take_document(house.bus.rosters[0][0], "bus")
    assert there.on_call() == ["eva"]


async def test_a_version_that_was_seen_is_asked_for_and_a_newer_one_refuses(house: House) -> None:
    here, _ = house.replicas
    seen = (await get(here, "/v1/rosters/days")).headers["etag"]
    assert (await put(here, "/v1/rosters/days", WEEK, if_match=seen)).status == 200
    refused = await put(here, "/v1/rosters/days", {**WEEK, "zone": "UTC"}, if_match=seen)
    assert (refused.status, refused.problem, refused.headers["etag"]) == (412, "roster-changed", '"5"')
    assert (await put(here, "/v1/rosters/days", {**WEEK, "zone": "UTC"}, if_match='"5"')).status == 200


async def test_two_supervisors_at_two_replicas_lose_nothing(house: House) -> None:
    here, there = house.replicas
    names = [f"n{number}" for number in range(6)]
    bodies = [
        {**EVA, "contact_methods": person(name, 100 + index, "sms")["contact_methods"]} for index, name in enumerate(names)
    ]
    answers = await asyncio.gather(
        *(put((here, there)[index % 2], f"/v1/people/{name}", bodies[index]) for index, name in enumerate(names))
    )
    assert {answer.status for answer in answers} == {201}
    await here.rostering.look()
    assert set(names) <= set(here.duty.book.people)
    assert here.duty.book.version == 10


async def test_an_override_rings_whom_it_names_and_is_taken_back(house: House) -> None:
    here, _ = house.replicas
    body = {"person": "tom", **span(-1, 2)}
    made = await post(here, "/v1/rosters/days/overrides", body)
    assert made.status == 201
    assert here.on_call() == ["tom", "eva"]
    again = await post(here, "/v1/rosters/days/overrides", body)
    assert (again.status, again.json["override_id"]) == (200, made.json["override_id"])
    gone = await call(here.app, "DELETE", f"/v1/rosters/days/overrides/{made.json['override_id']}", token=SUPERVISOR)
    assert gone.status == 204
    assert here.on_call() == ["ben", "eva"]


async def test_a_key_makes_an_override_once_and_refuses_another_body(house: House) -> None:
    here, there = house.replicas
    first = await post(here, "/v1/rosters/days/overrides", {"person": "tom", **span(1, 2)}, idempotency_key="k")
    again = await post(there, "/v1/rosters/days/overrides", {"person": "tom", **span(1, 2)}, idempotency_key="k")
    assert (first.status, again.status) == (201, 200)
    other = await post(there, "/v1/rosters/days/overrides", {"person": "zoe", **span(1, 2)}, idempotency_key="k")
    assert (other.status, other.problem) == (409, "key-used")


async def test_time_off_counts_to_the_minute_and_stands_against_an_override(house: House) -> None:
    here, _ = house.replicas
    made = await post(here, "/v1/people/ben/time-off", span(0, 1))
    assert made.status == 201
    assert here.on_call() == ["eva"]
    refused = await post(here, "/v1/rosters/days/overrides", {"person": "ben", **span(0.5, 2)})
    assert (refused.status, refused.problem) == (422, "roster-refused")
    assert "has time off then" in refused.json["detail"]
    house.clock.advance(HOUR_S)
    here.duty.turn()
    assert here.on_call() == ["ben", "eva"]


async def test_a_shift_change_tells_whoever_waits_and_a_minute_in_which_nothing_changes_does_not(house: House) -> None:
    here, _ = house.replicas
    changed: list[list[str]] = []
    here.duty.on_change = lambda: changed.append(here.on_call())
    before = here.duty.roster()
    house.clock.advance(8 * HOUR_S - 60)
    here.duty.turn()
    assert here.duty.roster() is before
    house.clock.advance(60)
    here.duty.turn()
    assert changed == [["sue"]]


REFUSED: list[tuple[str, Any, str]] = [
    ("/v1/policies/high", {**POLICY, "fallback": ["mot"]}, "fallback: nobody is called 'mot'; PUT /v1/people/mot first"),
    ("/v1/policies/high", {"steps": [{"after_s": 0, "rosters": ["dyas"]}]}, "steps[0].rosters: no roster is called 'dyas'"),
    ("/v1/policies/high", {"steps": []}, "high.steps: name at least one step"),
    ("/v1/rosters/new", {**WEEK, "layers": [{**WEEK["layers"][0], "people": ["bne"]}]}, "layers: nobody is called 'bne'"),  # type: ignore[dict-item]
    ("/v1/rosters/new", {**WEEK, "zone": "Eastern"}, "new.zone: 'Eastern' is no IANA time zone"),
    ("/v1/people/new", EVA, "contact_methods: a number is 'eva''s already"),
]


@pytest.mark.parametrize(("path", "body", "told"), REFUSED)
async def test_what_would_not_be_usable_is_refused_with_what_to_do(house: House, path: str, body: Any, told: str) -> None:
    answer = await put(house.replicas[0], path, body)
    assert (answer.status, answer.problem) == (422, "roster-refused")
    assert answer.json["detail"].startswith(told)
    assert house.replicas[0].duty.book.version == 4


async def test_a_word_nobody_knows_is_refused_and_what_a_get_gave_may_come_back(house: House) -> None:
    here, _ = house.replicas
    assert (await put(here, "/v1/rosters/days", {**WEEK, "restrictions": []})).problem == "validation"
    for path in ("/v1/people/ana", "/v1/rosters/nights", "/v1/policies/low"):
        told = (await get(here, path, SUPERVISOR)).json
        answer = await put(here, path, told)
        assert (answer.status, answer.json["version"]) == (200, told["version"]), "the same again is no change"


async def test_supervisors_write_clinicians_read_and_see_no_numbers_of_others(house: House) -> None:
    here, _ = house.replicas
    assert (await put(here, "/v1/people/eva", EVA, CLINICIAN)).status == 403
    assert (await get(here, "/v1/people/ana", PATIENT)).status == 403
    assert (await call(here.app, "GET", "/v1/people")).status == 401
    masked = (await get(here, "/v1/people/ana")).json["contact_methods"][0]["address"]
    whole = (await get(here, "/v1/people/ana", SUPERVISOR)).json["contact_methods"][0]["address"]
    assert (masked, whole) == ("+1…01", "+15550100001")
    assert (await get(here, "/v1/people/nobody")).problem == "not-on-the-roster"


async def test_every_answer_says_what_is_doubtful(house: House) -> None:
    body = {**EVA, "contact_methods": [{"id": "p", "kind": "push", "address": "token"}]}
    answer = await put(house.replicas[0], "/v1/people/pia", body)
    assert answer.status == 201
    assert any(line.startswith("people: 'pia' has push; nothing here delivers that yet") for line in answer.json["doubts"])


async def test_the_coming_turns_and_gaps_are_told(house: House) -> None:
    here, _ = house.replicas
    turns = (await get(here, "/v1/rosters/days/turns?days=1")).json["items"]
    assert [turn["person"] for turn in turns] == ["ben", None, "ben"]
    await post(here, "/v1/people/sue/time-off", span(15, 2))
    gaps = (await get(here, "/v1/coverage-gaps?days=2")).json["items"]
    assert {(gap["level"], gap["step"]) for gap in gaps} == {
        (level, step) for level in house.told["policies"] for step in (0, 1)
    }
    assert {(gap["from"], gap["to"]) for gap in gaps} == {(iso(NOON + 15 * HOUR_S), iso(NOON + 17 * HOUR_S))}


async def test_a_test_page_says_it_is_one_and_every_way_has_its_verdict(house: House) -> None:
    here, _ = house.replicas
    here.provider.refuses["voice"] = PageRefused("status_500", maybe=False)
    tried = asyncio.create_task(post(here, "/v1/people/zoe/test", None))
    await house.until(lambda: len(here.provider.pages) == 3 and here.reach._waiting)
    assert {text for _, _, text, _ in here.provider.pages} == {TEXT}
    assert TEXT.startswith("VIGIL TEST")
    number = next(index for index, page in enumerate(here.provider.pages) if page[0] == "sms")
    here.reach.receipt("another", f"SM{number + 1}", "delivered")
    here.reach.receipt(here.provider.pages[number][3], f"SM{number + 1}", "delivered")
    answer = (await tried).json
    assert answer["works"] is True
    assert {way["channel"]: (way["verdict"], way["reason"]) for way in answer["channels"]} == {
        "sms": ("delivered", None),
        "voice": ("refused", "status_500"),
        "email": ("no_provider", None),
        "webhook": ("accepted", None),
    }
    assert house.replicas[0].reach._waiting == {}


async def test_nobody_can_be_tested_twice_at_once(house: House) -> None:
    here, _ = house.replicas
    tried = asyncio.create_task(post(here, "/v1/people/ana/test", None))
    await house.until(lambda: here.provider.pages)
    assert (await post(here, "/v1/people/ana/test", None)).problem == "test-runs"
    tried.cancel()
    assert (await post(here, "/v1/people/nobody/test", None)).problem == "not-on-the-roster"


def test_the_document_is_one_that_tests_may_change(house: House) -> None:
    assert document() == house.told


async def test_a_roster_that_could_not_be_told_to_everybody_is_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.crisis.oncall.rostering.PEOPLE_MAX", len(house.told["people"]))
    body = {**EVA, "contact_methods": person("new", 99, "sms")["contact_methods"]}
    assert (await put(house.replicas[0], "/v1/people/new", body)).problem == "roster-full"
    monkeypatch.setattr("services.crisis.oncall.rostering.PEOPLE_MAX", 100)
    monkeypatch.setattr("services.crisis.oncall.rostering.EVENT_MAX_BYTES", 100)
    assert (await put(house.replicas[0], "/v1/people/new", body)).problem == "roster-full"
