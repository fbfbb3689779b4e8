"""Who holds a flag, and who may forget it on what evidence: a test for each stage of its life."""

import asyncio
from collections import Counter
from collections.abc import Mapping

from aiohttp import ClientError

from deploy.local.stack import KAFKA, MONGOD
from shared.contracts.topics import RISK_DEAD_LETTERS
from shared.time.ids import fresh_id, page_code
from tests.support.clinic import Answer, Clinic, Patient
from tests.support.device import Page
from tests.support.fault_table import FaultTable
from tests.support.faults import (
    DEAD_BUS,
    DEAD_STORE,
    REPLICAS,
    Breakable,
    all_records,
    flag_record,
    put_closed_cases_in_store,
    put_on_bus,
)

# From everything being ready to the page: intake's rescan, or the way back to the bus.
FOUND_AGAIN_S = 6.0
# From a replica being ready to the page of a flag that it knows from its journal.
TAKEN_OVER_MS = 1_500.0
BACKLOG, HOUR_S = 1_000, 3_600.0


async def _rings(clinic: Clinic, answer: Answer, within_s: float = FOUND_AGAIN_S) -> list[Page]:
    return [await clinic.ana.is_paged(answer, channel, within_s) for channel in ("sms", "voice")]


async def _is_found_again(clinic: Clinic, answer: Answer, table: FaultTable, lost: str, ready_at_ms: float) -> None:
    pages = await _rings(clinic, answer)
    table.returned(lost, "ready", max(page.at_ms for page in pages) - ready_at_ms, FOUND_AGAIN_S * 1000.0)


async def _rings_no_more(clinic: Clinic) -> None:
    """Nobody is paged twice by what was sent again, read again or restored."""
    await clinic.listens(for_s=1.5)


async def test_a_stored_answer_outlives_the_bus_both_replicas_and_intake(
    clinic: Clinic, broken: Breakable, table: FaultTable
) -> None:
    broken.allow_errors(*DEAD_BUS)
    patient, other = await clinic.enrol(), await clinic.enrol()
    await broken.kill(KAFKA, *REPLICAS)

    valid = await patient.answers_phq9(item9=3)
    invalid = await other.answers_phq9(item9=9)

    assert (valid.status, valid.flagged, valid.level) == (503, True, "high")
    assert (invalid.status, invalid.flagged, invalid.level) == (422, True, "high")
    assert valid.guidance
    assert invalid.guidance
    await broken.kill("intake")
    ready_at_ms = await broken.back(KAFKA, *REPLICAS, "intake")
    for answer, what in ((valid, "a stored answer"), (invalid, "a refused answer")):
        await _is_found_again(clinic, answer, table, f"Kafka, both replicas, then intake: {what}", ready_at_ms)
    await _rings_no_more(clinic)
    again = await patient.answers_phq9(item9=3, key=valid.key)
    assert (again.status, again.flag_id) in ((200, valid.flag_id), (201, valid.flag_id))


async def test_what_nobody_could_keep_is_said_so_and_the_clients_retry_pages(clinic: Clinic, broken: Breakable) -> None:
    broken.allow_errors(*DEAD_STORE, *DEAD_BUS)
    patient = await clinic.enrol()
    await broken.kill(KAFKA, MONGOD, *REPLICAS)

    refused = await patient.answers_phq9(item9=3)

    assert (refused.status, refused.flagged, refused.level) == (503, False, "high")
    assert refused.guidance
    await broken.mended()
    retried = await patient.answers_phq9(item9=3, key=refused.key)
    # 200 when the write that the caller no longer waited for has reached the store after all.
    assert retried.status in (200, 201)
    assert (retried.flagged, retried.flag_id) == (True, refused.flag_id)
    await _rings(clinic, retried)
    await _rings_no_more(clinic)


async def test_intake_dies_between_the_flag_and_the_store(clinic: Clinic, broken: Breakable) -> None:
    broken.allow_errors(*DEAD_STORE)
    patient, key = await clinic.enrol(), fresh_id()
    # With a dead store the flag is out and the document never gets there.
    await broken.kill(MONGOD)
    asking = asyncio.create_task(patient.answers_phq9(item9=3, key=key))
    pages = [await clinic.ana.phone.expect_page(FOUND_AGAIN_S, channel=channel) for channel in ("sms", "voice")]
    await broken.kill("intake")
    [told] = await asyncio.gather(asking, return_exceptions=True)
    assert isinstance(told, ClientError) or (isinstance(told, Answer) and told.status == 503)
    await broken.back(MONGOD, "intake")

    retried = await patient.answers_phq9(item9=3, key=key)

    assert (retried.status, retried.code) == (201, pages[0].code)
    await clinic.both_see(patient, code=pages[0].code)
    await _rings_no_more(clinic)


async def test_both_replicas_die_after_the_text_was_handed_over_and_before_the_call(
    clinic: Clinic, broken: Breakable, table: FaultTable
) -> None:
    patient = await clinic.enrol()
    await clinic.phone.break_down("hang", path="Calls")
    answer = await patient.answers_phq9(item9=3)
    await clinic.ana.is_paged(answer, "sms")
    await clinic.on_both(lambda replica: clinic.ana.has_been_reached(answer, replica))
    await broken.kill(*REPLICAS)
    await clinic.phone.mend()

    ready_at_ms = await broken.back(*REPLICAS)

    call = await clinic.ana.is_paged(answer, "voice", FOUND_AGAIN_S)
    table.returned("both replicas, between text and call", "ready", call.at_ms - ready_at_ms, TAKEN_OVER_MS)
    assert call.at_ms - ready_at_ms <= TAKEN_OVER_MS
    await _rings_no_more(clinic)


async def test_both_replicas_die_after_a_second_flag_joined(clinic: Clinic, broken: Breakable, table: FaultTable) -> None:
    patient = await clinic.enrol()
    first = await patient.answers_phq9(item9=3)
    await _rings(clinic, first)
    await clinic.acknowledge(patient)
    await clinic.both_see(patient, owner="ana", state="owned")
    await clinic.phone.break_down("500")
    second = await patient.answers_phq9(item9=3)
    await broken.kill(*REPLICAS)
    await clinic.phone.mend()

    ready_at_ms = await broken.back(*REPLICAS)

    after_ms = max(page.at_ms for page in await _rings(clinic, second)) - ready_at_ms
    table.returned("both replicas, after a second flag joined", "ready", after_ms, TAKEN_OVER_MS)
    assert after_ms <= TAKEN_OVER_MS
    await clinic.both_see(patient, owner="ana", code=first.code)
    await _rings_no_more(clinic)


async def test_both_journals_are_lost_and_the_bus_still_has_the_flag(
    clinic: Clinic, broken: Breakable, table: FaultTable
) -> None:
    closed, patient = await clinic.enrol(), await clinic.enrol()
    earlier = await closed.answers_phq9(item9=3)
    await _rings(clinic, earlier)
    await clinic.resolve(closed)
    await clinic.both_see(closed, state="closed")
    answer = await _only_on_the_bus(clinic, broken, patient)
    for replica in REPLICAS:
        broken.lose_journal(replica)

    ready_at_ms = await broken.back(*REPLICAS)

    await _is_found_again(clinic, answer, table, "both replicas and their journals, intake", ready_at_ms)
    # The bus is read a day back; what a human has closed is known from the store, and pages nobody.
    await _rings_no_more(clinic)


async def test_a_bookmark_out_of_range_means_reading_a_day_back(clinic: Clinic, broken: Breakable, table: FaultTable) -> None:
    patient = await clinic.enrol()
    answer = await _only_on_the_bus(clinic, broken, patient)
    for replica in REPLICAS:
        broken.misplace_bookmark(replica, offset=10**9)

    ready_at_ms = await broken.back(*REPLICAS)

    await _is_found_again(clinic, answer, table, "both replicas, bookmarks out of range, intake", ready_at_ms)

    async def said() -> bool:
        return all("bookmark_out_of_range" in broken.running.log(replica) for replica in REPLICAS)

    await clinic.eventually(said, FOUND_AGAIN_S, "both replicas say that their bookmark was out of range")
    await _rings_no_more(clinic)


async def test_a_days_backlog_of_closed_cases_pages_nobody_and_holds_up_no_fresh_flag(
    clinic: Clinic, broken: Breakable, table: FaultTable
) -> None:
    patient = await clinic.enrol()
    flags = {fresh_id(): fresh_id() for _ in range(BACKLOG)}
    before = broken.bookmarked("crisis-0")
    await broken.kill(*REPLICAS)
    for replica in REPLICAS:
        broken.lose_journal(replica)
    await put_closed_cases_in_store(broken.running, flags, age_s=HOUR_S)
    await put_on_bus(broken.running, [flag_record(p, f, age_s=HOUR_S) for p, f in flags.items()])

    await broken.back(*REPLICAS)
    fresh = await patient.answers_phq9(item9=3)

    after_ms = max(clinic.since_ms(fresh, page) for page in await _rings(clinic, fresh))
    table.returned(f"both journals, a backlog of {BACKLOG} closed flags: a fresh flag", "pressing send", after_ms, 1_000.0)

    async def read() -> bool:
        return all(broken.bookmarked(replica) >= before + BACKLOG for replica in REPLICAS)

    await clinic.eventually(read, FOUND_AGAIN_S, "both replicas have read the backlog")
    # Longer than an old flag may wait for its record.
    await clinic.listens(for_s=6.0)
    assert after_ms <= 1_000.0


async def _only_on_the_bus(clinic: Clinic, broken: Breakable, patient: Patient) -> Answer:
    """An answer whose flag no replica has heard, and that nobody will send again: replicas and intake are dead."""
    await broken.kill(*REPLICAS)
    answer = await patient.answers_phq9(item9=3)
    assert (answer.status, answer.flagged) == (201, True)
    await broken.kill("intake")
    return answer


async def test_a_poisoned_record_among_ten_good_ones_holds_up_none_of_them_and_is_paged_itself(
    clinic: Clinic, broken: Breakable
) -> None:
    flags = {fresh_id(): fresh_id() for _ in range(10)}
    records = [flag_record(patient_id, flag_id) for patient_id, flag_id in flags.items()]
    poison = (b'{"flag_id": 12, \xff', records[0][1])

    await put_on_bus(broken.running, [*records[:5], poison, *records[5:]])

    codes = {page_code(flag_id) for flag_id in flags.values()}

    async def all_paged() -> bool:
        return len(await clinic.ana.phone.pages()) >= 2 * (len(codes) + 1)

    await clinic.eventually(all_paged, FOUND_AGAIN_S, "ten good flags and the unreadable record are paged")
    for replica in clinic.replicas:
        rules = sorted(flag["rule"] for flag in await clinic.open_flags(11, replica))
        assert rules == ["crisis.unreadable_risk_event", *["phq9.q9"] * 10]
    # Time for whatever might come twice.
    await clinic.clock.sleep(1.5)
    pages = await clinic.ana.phone.consume_all()
    assert len({(page.code, page.channel) for page in pages}) == 22
    assert max(Counter((page.code, page.channel) for page in pages).values()) <= len(REPLICAS)
    assert codes < {page.code for page in pages}
    buried: list[tuple[bytes, Mapping[str, bytes]]] = []

    async def is_buried() -> bool:
        buried[:] = await all_records(broken.running, RISK_DEAD_LETTERS)
        return bool(buried)

    await clinic.eventually(is_buried, FOUND_AGAIN_S, "the unreadable record is kept aside")
    assert {(value, headers["vigil_error"]) for value, headers in buried} == {(poison[0], b"not_json")}
