"""Whose turn it is: the own clinician, somebody who takes over tonight, and nobody at all."""

from typing import Any

from shared.time.clock import iso
from tests.support.clinic import Clinic
from tests.support.stack import EmbeddedFactory, StackFactory

DAY_S = 86_400.0


async def test_the_own_clinician_on_duty_is_paged_first_beside_whoever_is_on_call(clinic: Clinic) -> None:
    """Sue is the patient's own clinician and on the roster tonight; the first step does not wait for her, nor she for it."""
    patient = await clinic.enrol(own_clinician_id="sue")
    answer = await patient.answers_phq9(item9=3)
    pages = [await person.is_paged(answer, channel) for person in (clinic.sue, clinic.ana) for channel in ("sms", "voice")]
    assert all(clinic.since_ms(answer, page) < clinic.step_s * 1000 for page in pages)


async def test_whoever_takes_over_tonight_is_paged_and_with_nobody_left_the_next_step_rings_at_once(
    own_stack: EmbeddedFactory | StackFactory,
) -> None:
    running = await own_stack(profile="test")
    async with Clinic(running) as clinic:
        now = clinic.clock.now_s()
        tonight = {"from": iso(now - 3600), "to": iso(now + 3600)}
        nights = {"kind": "daily", "starts_at": "2026-01-05T20:00", "people": ["ana"]}
        await _put(clinic, "/v1/rosters/nights", {"zone": "America/New_York", "layers": [nights]})
        steps = [{"after_s": 0, "rosters": ["nights"]}, {"after_s": 60, "people": ["sue"]}]
        await _put(clinic, "/v1/policies/high", {"steps": steps, "fallback": ["sue"]})
        await _post(clinic, "/v1/rosters/nights/overrides", {"person": "ben", **tonight})

        patient = await clinic.enrol()
        answer = await patient.answers_phq9(item9=3)
        for channel in ("sms", "voice"):
            await clinic.ben.is_paged(answer, channel)
        assert "acknowledged" not in await clinic.ben.replies("1")
        await clinic.both_see(patient, owner="ben")
        await clinic.resolve(patient)

        for person in ("ana", "ben"):
            await _post(clinic, f"/v1/people/{person}/time-off", tonight)
        second = await clinic.enrol()
        answer = await second.answers_phq9(item9=3)
        for channel in ("sms", "voice"):
            page = await clinic.sue.is_paged(answer, channel)
            assert clinic.since_ms(answer, page) < clinic.step_s * 1000
        await clinic.timeline_tells(second, "gap")
        await clinic.close_everything()
        await clinic.expect_no_surprises()


async def _put(clinic: Clinic, path: str, body: dict[str, Any]) -> None:
    told = await clinic.crisis("PUT", path, body, by="sue", role="supervisor")
    assert told.status in (200, 201), told.body
    await _known(clinic, told.body["version"], path)


async def _post(clinic: Clinic, path: str, body: dict[str, Any]) -> None:
    told = await clinic.crisis("POST", path, body, by="sue", role="supervisor")
    assert told.status == 201, told.body
    await _known(clinic, told.body["version"], path.rsplit("/", 1)[0])


async def _known(clinic: Clinic, version: int, path: str) -> None:
    """Both replicas have it."""

    async def known(replica: int) -> bool:
        told = await clinic.crisis("GET", path, by="sue", role="supervisor", replica=replica)
        return told.status == 200 and told.body["version"] == version

    for replica in clinic.replicas:
        await clinic.eventually(lambda replica=replica: known(replica), 2.0, f"crisis-{replica} knows version {version}")  # type: ignore[misc]
