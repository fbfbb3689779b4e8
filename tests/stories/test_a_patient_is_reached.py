"""Whoever has the case finds out how the patient is reached; and once all is over the patient can be forgotten."""

from tests.support.canaries import PATIENT
from tests.support.clinic import HEARD_S, Clinic


async def test_the_contacts_of_an_open_case_are_shown_to_staff_on_every_replica(clinic: Clinic) -> None:
    patient = await clinic.enrol()
    answer = await patient.answers_phq9(item9=3)
    await clinic.ana.is_paged(answer)
    await clinic.ana.is_paged(answer, "voice")
    case = await clinic.case_of(patient)
    path = f"/v1/cases/{case['case_id']}/contacts"

    async def shown(replica: int) -> bool:
        return (await clinic.crisis("GET", path, replica=replica)).status == 200

    for replica in clinic.replicas:

        async def here(replica: int = replica) -> bool:
            return await shown(replica)

        await clinic.eventually(here, 4 * HEARD_S, f"crisis-{replica} shows the contacts")
        told = await clinic.crisis("GET", path, replica=replica)
        contacts = told.body["contacts"]
        assert (contacts["phone"], contacts["location"]) == (PATIENT["phone"], PATIENT["location"])
        assert contacts["emergency_contact"] == PATIENT["emergency_contact"]
    assert (await clinic.crisis("GET", path, role="service")).status == 403
    assert (await clinic.acknowledge(patient)).status == 200
    assert (await clinic.resolve(patient)).status == 200
    await clinic.both_see(patient, state="closed")
    assert (await clinic.crisis("GET", path)).problem == "case-closed"


async def test_a_patient_is_forgotten_after_the_case_is_closed_and_not_before(clinic: Clinic) -> None:
    patient = await clinic.enrol()
    answer = await patient.answers_phq9(item9=3)
    await clinic.ana.is_paged(answer)
    await clinic.ana.is_paged(answer, "voice")
    path = f"/v1/patients/{patient.patient_id}/forget"

    async def forget() -> int:
        headers = {"Authorization": f"Bearer {clinic.servers.token('supervisor', 'sue')}"}
        return (await clinic.call("POST", clinic.servers.url("intake") + path, {"why": "patient_request"}, headers)).status

    assert await forget() == 409
    assert (await clinic.acknowledge(patient)).status == 200
    assert (await clinic.resolve(patient)).status == 200

    async def forgotten() -> bool:
        return await forget() == 200

    await clinic.eventually(forgotten, 4 * HEARD_S, "intake has heard that the case is closed, and forgets the patient")
    told = await clinic.intake("GET", f"/v1/patients/{patient.patient_id}")
    assert (told.status, told.problem, told.body["forgotten"]["by"]) == (410, "patient-forgotten", "sue")
