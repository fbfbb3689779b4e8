"""mongod is dead for the whole story: pages, steps and acknowledgements go on; what needs a decision says so and waits."""

from typing import Any

import pytest
from pymongo import AsyncMongoClient

from deploy.local.stack import MONGOD
from services.crisis.domain.timeline import GENESIS, hash_of
from tests.support.clinic import FIRST_PAGE_S, HEARD_S, Clinic, Patient
from tests.support.faults import DEAD_STORE
from tests.support.stack import StackFactory, StackUnderTest

BACK_S = 20.0


@pytest.mark.real_stack
async def test_with_the_store_dead_people_are_paged_and_answer_and_the_case_is_whole_when_it_is_back(
    stack: StackFactory,
) -> None:
    running = await stack(profile="test", own_mongo=True)
    running.allow_errors(*DEAD_STORE)
    async with Clinic(running) as clinic:
        patient = await clinic.enrol()
        await running.kill(MONGOD)

        answer = await patient.answers_phq9(item9=3, key="told-with-a-dead-store")
        assert (answer.status, answer.flagged, answer.level) == (503, True, "high")
        assert answer.guidance
        for channel in ("sms", "voice"):
            await clinic.ana.is_paged(answer, channel)
        for channel in ("sms", "voice"):
            await clinic.ben.is_paged(answer, channel, within_s=clinic.step_s + FIRST_PAGE_S)
        await clinic.ben.has_been_reached(answer)
        assert f"You have {answer.code}" in await clinic.ben.replies("1")

        await clinic.both_see(patient, owner="ben", state="owned")
        await clinic.both_are_quiet(patient)
        await clinic.listens(for_s=clinic.step_s + 0.5)
        for what, body in _DECISIONS.items():
            refused = await clinic.does(what, patient, {**body, "flags": [answer.flag_id]})
            assert (refused.status, refused.problem) == (503, "store-silent"), what
        assert (await clinic.does("offer", patient, {"to": "sue"}, by="ben")).status == 200
        assert (await clinic.does("accept", patient, by="sue")).status == 503
        await clinic.both_see(patient, owner="ben", state="owned")

        await running.restart(MONGOD)
        await _is_whole(clinic, running, patient, answer.flag_id)
        again = await patient.answers_phq9(item9=3, key="told-with-a-dead-store")
        assert (again.status, again.flag_id) == (201, answer.flag_id)
        await clinic.both_see(patient, owner="ben", state="owned")
        await clinic.close_everything()
        await clinic.expect_no_surprises()


_DECISIONS: dict[str, dict[str, Any]] = {
    "resolve": {"level": "low", "plan": "seen", "why": "seen"},
    "lower": {"level": "moderate", "why": "seen", "second_clinician_id": "ana"},
}


async def _is_whole(clinic: Clinic, running: StackUnderTest, patient: Patient, flag_id: str) -> None:
    """One open document with the flag and every fact, and a timeline whose hashes join."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(running.layout.mongo)
    database = client[f"{running.options.topic_prefix}_crisis"]
    kinds: list[str] = []
    documents: list[dict[str, Any]] = []

    async def stored() -> bool:
        documents[:] = await database["cases"].find({"patient_id": patient.patient_id}).to_list()
        kinds[:] = [fact["kind"] for document in documents for fact in document["facts"]]
        lines = await database["timeline"].count_documents({"patient_id": patient.patient_id})
        return {"handed", "acknowledged", "owned"} <= set(kinds) and lines > 0 and not documents[0]["outbox"]

    try:
        await clinic.eventually(stored, BACK_S, lambda: f"the case is in the store; there are facts {kinds}")
        [document] = documents
        assert (document["open"], [flag["flag_id"] for flag in document["flags"]]) == (True, [flag_id])
        handed = {(fact["person"], fact["channel"]) for fact in document["facts"] if fact["kind"] == "handed"}
        assert handed == {("ana", "sms"), ("ana", "voice"), ("ben", "sms"), ("ben", "voice")}
        lines = await database["timeline"].find({"patient_id": patient.patient_id}).sort("line.seq", 1).to_list()
    finally:
        await client.close()
    told = [document["line"] for document in lines]
    assert [line["seq"] for line in told] == list(range(1, len(told) + 1))
    assert [line["prev_hash"] for line in told] == [GENESIS, *(hash_of(line) for line in told[:-1])]
    await clinic.both_see(patient, within_s=HEARD_S, owner="ben")
