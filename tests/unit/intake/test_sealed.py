"""What a patient tells is stored sealed or not at all; a flag waits for no key; who forgets the key has forgotten the patient."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.intake.domain.patient import enrolled_document
from services.intake.handlers.cases import CaseHandler
from services.intake.handlers.patients import Forgotten, NoSuchPatient
from services.intake.rewrap import rewrap_all
from services.intake.settings import IntakeSettings
from shared.chassis.memory import Memory
from shared.chassis.settings import DeploymentSettings
from shared.contracts.catalogue import type_of
from shared.contracts.crisis import CaseOpened, CaseResolved
from shared.contracts.envelope import Envelope
from shared.contracts.patient import KEY_FORGOTTEN, ConsentChanged, ContactChanged, PatientEnrolled, PatientKeyWrapped
from shared.security.keks import Keks, KeyUnavailable, fresh_kek_line
from shared.storage.memory import MemoryDocuments
from tests.unit.intake.house import ENROLMENT, House, enrolment
from tests.unit.intake.test_api import ANSWERS, Client

MARKERS = ("Ada Lovelace", "0199", "Ada", "ada@example.org", "Kestrel", "Grace", "0188", '"q1"', '"q8"', "Quill")
TOLD = {
    "email": "ada@example.org",
    "location": {"country": "US", "region": "Kestrel Street 7"},
    "emergency_contact": {"name": "Grace", "phone": "+15550100188"},
}


async def stored(house: House) -> str:
    """Everything in the store and on its way to the bus, as text."""
    found = [await MemoryDocuments.find(one, {}, limit=1000) for one in (house.sheets, house.people)]
    return orjson.dumps([found, [dict(entry) for entry in house.outbox.entries]]).decode()


def seen(text: str) -> list[str]:
    return [marker for marker in MARKERS if marker in text.replace('\\"', '"')]


async def enrolled(house: House) -> str:
    return (await house.enrolment.enrol("ana", "p", enrolment(**TOLD))).patient_id


async def test_nothing_that_was_told_stands_in_the_store_or_in_an_event() -> None:
    house = House()
    patient = await enrolled(house)
    for q9, key in ((0, "a"), (3, "b"), (7, "c")):
        await house.send(patient, q9, key)
    await house.send("Quill Street", 3, "d")
    await house.enrolment.change_consents(patient, {"contact_sms": True})
    assert seen(await stored(house)) == []
    assert seen(orjson.dumps([ENROLMENT, TOLD]).decode()), "the markers are worth nothing if they are never found"


async def test_an_enrolment_says_its_key_and_then_its_sealed_contacts() -> None:
    house = House()
    patient = await enrolled(house)
    wrapped, told = house.outbox.entries
    assert (wrapped["type"], told["type"]) == (PatientKeyWrapped.TYPE, PatientEnrolled.TYPE)
    event = PatientEnrolled.model_validate(told["data"])
    key = house.keys.current().unwrap(patient, PatientKeyWrapped.model_validate(wrapped["data"]).wrapped)
    assert event.contacts is not None
    assert event.contacts.phone is not None
    assert key.open("phone", event.contacts.phone) == "+15550100199"
    assert event.routing.region == "unknown", "an address is no code, and travels sealed only"


async def test_sheets_are_opened_for_their_readers_and_recognized_when_they_come_again() -> None:
    house = House()
    patient = await house.enrol()
    first, again, other = [await house.send(patient, q9, "k") for q9 in (2, 2, 3)]
    assert (first.kind, again.kind, other.kind) == ("stored", "repeated", "conflict")
    assert first.document is not None
    told = await house.queries.assessment(first.document["_id"])
    assert told is not None
    assert told["answers"] == {**{f"q{n}": 1 for n in range(1, 9)}, "q9": 2}
    page = await house.queries.assessments(patient, None)
    assert [item["answers"]["q9"] for item in page["items"]] == [2]


# Without a key


async def test_without_a_key_a_flag_goes_both_ways_and_is_kept_and_the_caller_comes_back() -> None:
    house = House()
    patient = await house.enrol()
    keks, house.keys.keks = house.keys.keks, None
    word = await house.send(patient, q9=3)
    assert (word.kind, word.flagged, bool(word.guidance)) == ("unsure", True, True)
    assert word.flag is not None
    assert [len(lane.flags) for lane in (*house.replicas, house.bus)] == [1, 1, 1]
    assert seen(await stored(house)) == []
    house.restart()
    house.keys.keks = keks
    again = await house.send(patient, q9=3)
    assert (again.kind, again.flag and again.flag.flag_id) == ("stored", word.flag.flag_id)


@pytest.mark.parametrize("patient", ["known", "nobody"])
@pytest.mark.parametrize("q9", [3, 7])
async def test_a_flag_survives_a_restart_without_a_key_and_without_lanes(patient: str, q9: int) -> None:
    house = House()
    patient_id = await house.enrol() if patient == "known" else "nobody"
    house.keys.keks = None
    house.everything("dead")
    word = await house.send(patient_id, q9)
    assert word.flag is not None
    assert word.flagged, "it is stored"
    house.restart()
    house.everything("ok")
    await house.turns()
    assert await house.keeper.rescan_once() == 1
    assert {flag["flag_id"] for lane in (*house.replicas, house.bus) for flag in lane.flags} == {word.flag.flag_id}


async def test_the_strike_comes_before_the_seal() -> None:
    house = House()
    patient = await house.enrol()
    struck_at_seal: list[int] = []
    keks = house.keys.current()

    def current() -> Keks:
        struck_at_seal.append(len(house.bus.flags))
        return keks

    house.keys.current = current  # type: ignore[method-assign]
    await house.send(patient, q9=3)
    await house.send(patient, q9=7, key="other")
    assert struck_at_seal == [1, 2]


async def test_without_a_key_nothing_routine_is_stored_in_any_form() -> None:
    house = House()
    patient = await house.enrol()
    client = Client(house)
    before = await stored(house)
    house.keys.keks = None
    assert (await house.send(patient, q9=0, key="a")).kind == "unsure"
    refused = await client("POST", "/v1/patients", ENROLMENT)
    assert (refused.status, refused.problem, refused.headers["retry-after"]) == (503, "sealing-unavailable", "1")
    assert refused.json["guidance"]
    assert (await client("GET", f"/v1/patients/{patient}")).problem == "sealing-unavailable"
    assert await stored(house) == before


async def test_a_key_of_a_lost_kek_costs_the_content_no_seal_of_its_own_and_the_flag_nothing() -> None:
    house = House()
    patient = await house.enrol()
    house.keys.keks = Keks.read(fresh_kek_line("another"))
    word = await house.send(patient, q9=3)
    assert (word.kind, word.flagged) == ("unsure", True)
    [document] = await MemoryDocuments.find(house.sheets, {}, limit=9)
    own = house.keys.current().unwrap(patient, document["key"])
    assert orjson.loads(own.open("sent", document["sent"]))["answers"]["q9"] == 3


# Changes


async def test_contacts_change_and_the_newest_version_says_so() -> None:
    house = House()
    patient, client = await enrolled(house), Client(house)
    new = {name: ENROLMENT[name] for name in ("name", "location")} | {"phone": "+15550100200"}
    told = await client("PUT", f"/v1/patients/{patient}/contacts", new)
    assert (told.status, told.json) == (200, {"patient_id": patient, "version": 2})
    shown = (await client("GET", f"/v1/patients/{patient}")).json
    assert (shown["phone"], shown["email"], shown["emergency_contact"]) == ("+15550100200", None, None)
    entry = house.outbox.entries[-1]
    event = ContactChanged.model_validate(entry["data"])
    assert (entry["type"], entry["sequence"], event.routing.region) == (ContactChanged.TYPE, 2, "CA")
    card = house.directory.known(patient)
    assert card is not None
    assert card.routing["region"] == "CA"


async def test_consents_are_given_and_withdrawn_one_by_one() -> None:
    house = House()
    patient = await enrolled(house)
    own = Client(house, "patient", patient)
    path = f"/v1/patients/{patient}/consents"
    assert (await own("PUT", path, {"consents": {"contact_sms": True, "research": True}})).json["version"] == 2
    assert (await own("PUT", path, {"consents": {"contact_sms": False}})).status == 200
    consents = (await own("GET", f"/v1/patients/{patient}")).json["consents"]
    assert {purpose: one["granted"] for purpose, one in consents.items()} == {"contact_sms": False, "research": True}
    event = ConsentChanged.model_validate(house.outbox.entries[-1]["data"])
    key = house.keys.current().unwrap(patient, house.outbox.entries[0]["data"]["wrapped"])
    assert key.open("consents", event.consents) == consents
    assert (await own("PUT", path, {"consents": {"anything": True}})).problem == "unknown-purpose"
    assert (await own("PUT", "/v1/patients/other/consents", {"consents": {}})).problem == "forbidden"


async def test_a_change_of_nobody_or_of_somebody_forgotten_is_refused() -> None:
    house = House()
    patient = await house.enrol()
    with pytest.raises(NoSuchPatient):
        await house.enrolment.change_consents("nobody", {})
    await house.forgetting.forget(patient, "sue", "patient_request")
    with pytest.raises(Forgotten):
        await house.enrolment.change_consents(patient, {})
    answer = await Client(house)("PUT", f"/v1/patients/{patient}/consents", {"consents": {}})
    assert (answer.status, answer.problem) == (410, "patient-forgotten")


async def test_changes_at_the_same_time_are_all_kept() -> None:
    house = House()
    patient = await house.enrol()
    await asyncio.gather(
        house.enrolment.change_consents(patient, {"contact_sms": True}),
        house.enrolment.change_consents(patient, {"contact_email": True}),
    )
    shown = await house.queries.patient(patient, with_contacts=False)
    assert shown is not None
    assert set(shown["consents"]) == {"contact_sms", "contact_email"}


# Forgetting


async def test_whoever_was_forgotten_cannot_be_read_from_any_copy_that_was_made_before() -> None:
    house = House()
    patient = await enrolled(house)
    await house.send(patient, q9=0)
    await house.send(patient, q9=0, key="b", nonsense="x")
    backup = await MemoryDocuments.find_one(house.people, {"_id": patient})
    assert backup is not None
    assert await house.forgetting.forget(patient, "sue", "patient_request") == "forgotten"
    tombstone = house.outbox.entries[-1]
    assert (tombstone["type"], tombstone["tombstone"], tombstone["data"]) == (
        KEY_FORGOTTEN, True, {"patient_id": patient, "programme_id": "default"},
    )  # fmt: skip
    [left] = await MemoryDocuments.find(house.people, {}, limit=9)
    assert left["forgotten"] | {"at": ""} == {"at": "", "by": "sue", "why": "patient_request"}
    assert not {"key", "contacts", "consents", "digest", "routing", "country", "zone"} & set(left)
    # The store's backup still has the wrapped key: it goes with the key-encryption key, when that is rotated out.
    new = fresh_kek_line("two")
    house.keys.keks = Keks.read(new)
    with pytest.raises(KeyUnavailable, match="kek_gone"):
        house.keys.current().unwrap(patient, backup["key"])


async def test_whoever_is_forgotten_is_unknown_from_then_on_and_still_flagged() -> None:
    house = House()
    patient, client = await house.enrol(), Client(house, "supervisor", "sue")
    sheet = await client.send(patient, ANSWERS, "before")
    path = f"/v1/patients/{patient}/forget"
    assert (await client("POST", path, {"why": "retention_over"})).json == {"patient_id": patient, "forgotten": True}
    assert (await client("POST", path, {"why": "retention_over"})).status == 200
    gone = await client("GET", f"/v1/patients/{patient}")
    assert (gone.status, gone.json["forgotten"]["by"], gone.json["forgotten"]["why"]) == (410, "sue", "retention_over")
    read = (await client("GET", f"/v1/assessments/{sheet.json['assessment_id']}")).json
    assert (read["answers"], read["status"]) == (None, "complete")
    word = await house.send(patient, q9=3, key="after")
    assert (word.kind, word.flagged) == ("unknown_patient", True)
    again = await house.enrolment.enrol("clinician", "p", enrolment())
    assert again.kind == "conflict"


@pytest.mark.parametrize("role", ["patient", "clinician", "service"])
async def test_only_a_supervisor_forgets(role: str) -> None:
    house = House()
    patient = await house.enrol()
    refused = await Client(house, role, patient)("POST", f"/v1/patients/{patient}/forget", {"why": "patient_request"})
    assert (refused.status, refused.problem) == (403, "forbidden")
    assert (await Client(house, "supervisor")("POST", "/v1/patients/nobody/forget", {"why": "patient_request"})).status == 404
    free_text = await Client(house, "supervisor")("POST", f"/v1/patients/{patient}/forget", {"why": "Ada asked"})
    assert free_text.status == 422
    assert b"Ada" not in free_text.body


async def test_nobody_is_forgotten_while_a_case_is_open_or_a_flag_on_its_way() -> None:
    house = House()
    patient, client = await house.enrol(), Client(house, "supervisor")
    word = await house.send(patient, q9=3)
    assert word.flag is not None
    case: dict[str, Any] = {"case_id": "c", "patient_id": patient, "programme_id": "default", "at": "2026-01-01T00:00:00Z"}

    async def forget() -> str | int:
        answer = await client("POST", f"/v1/patients/{patient}/forget", {"why": "patient_request"})
        return answer.problem if answer.status == 409 else answer.status

    assert await forget() == "case-open", "the flag may not be in a case yet"
    await heard(house, CaseOpened(**case, flag_id=word.flag.flag_id, level="high"))
    assert await forget() == "case-open"
    await heard(house, CaseResolved(**case, flag_ids=(word.flag.flag_id,), person_id="ana", level="low"))
    assert await forget() == 200


async def heard(house: House, event: CaseOpened | CaseResolved) -> None:
    await CaseHandler(house.cases).heard(
        event, Envelope("e", type_of(type(event)), "vigil/crisis", event.at, event.patient_id, "default")
    )


# Rotation


async def test_after_a_rotation_every_key_is_wrapped_anew_page_by_page_and_reads_on_without_the_old_one() -> None:
    house = House()
    old, new = fresh_kek_line("old"), fresh_kek_line("new")
    house.keys.keks = Keks.read(old)
    patients = [(await house.enrolment.enrol("ana", str(number), enrolment())).patient_id for number in range(3)]
    for number, patient in enumerate(patients):
        await house.send(patient, 9, key=f"refused {number}")
    await house.forgetting.forget(
        (await house.enrolment.enrol("ana", "gone", enrolment())).patient_id, "sue", "patient_request"
    )
    house.keys.keks = Keks.read(f"{new}\n{old}")
    assert [await house.rewrapper.rewrap_once() for _ in range(3)] == [4, 2, 0]
    assert await house.rewrapper.rewrap_all() == (0, 0)
    assert sum(entry["type"] == PatientKeyWrapped.TYPE for entry in house.outbox.entries) == 4 + 3
    house.keys.keks = Keks.read(new)
    house.restart()
    for number, patient in enumerate(patients):
        shown = await house.queries.patient(patient, with_contacts=True)
        assert shown is not None
        assert shown["name"] == "Ada Lovelace"
        assert (await house.send(patient, 0, key=f"after {number}")).kind == "stored"
    sheets = await MemoryDocuments.find(house.sheets, {"rejected": "invalid"}, limit=9)
    assert all(house.keys.current().unwrap(one["patient_id"], one["key"]).open("sent", one["sent"]) for one in sheets)


async def test_keys_that_cannot_be_wrapped_anew_are_counted_and_hide_no_others() -> None:
    house = House()
    for number in range(5):
        await house.enrol(f"lost {number}")
    old = fresh_kek_line("old")
    house.keys.keks = Keks.read(old)
    found = [await house.enrol(f"found {number}") for number in range(5)]
    house.keys.keks = Keks.read(f"{fresh_kek_line('new')}\n{old}")
    assert await house.rewrapper.rewrap_all() == (5, 2), "left is counted up to a page"
    for patient in found:
        assert await house.queries.patient(patient, with_contacts=False) is not None


async def test_the_command_wraps_all_anew_and_says_so_by_its_exit_code(tmp_path: Path) -> None:
    memory, kek = Memory("t"), tmp_path / "kek"
    old, new = fresh_kek_line("old"), fresh_kek_line("new")
    deployment = DeploymentSettings(
        topic_prefix="t", kek_file=kek, service_token_file=tmp_path / "x", dev_issuer_key_file=tmp_path / "x"
    )
    assert await rewrap_all(deployment, IntakeSettings(), memory) == 1, "there are no keys"
    keks = Keks.read(old)
    key, wrapped = keks.new_key("p")
    async with memory.store(deployment.database("intake")) as store:
        patients = store.documents("patients")
        await patients.insert(enrolled_document("p", "default", enrolment(), key, wrapped, 0.0))
        kek.write_text(new)
        assert await rewrap_all(deployment, IntakeSettings(), memory) == 1, "the old key is still needed"
        kek.write_text(f"{new}\n{old}")
        assert await rewrap_all(deployment, IntakeSettings(), memory) == 0
        document = await patients.find_one({"_id": "p"})
        assert document is not None
        assert Keks.read(new).unwrap("p", document["key"]).open("name", document["contacts"]["name"]) == "Ada Lovelace"
        assert [entry["type"] for entry in document["outbox"]][-1] == PatientKeyWrapped.TYPE
