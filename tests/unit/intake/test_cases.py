"""What intake knows of cases: the same events in any order, twice, interleaved, end in the same projection."""

import itertools
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain.cases import SETTLED_MAX, CaseEvent, PatientCases, cases_of, document_of
from services.intake.handlers.cases import CONFLICTS_MAX, CaseHandler
from services.intake.ports import Conflict, StoreSilent
from services.intake.projections import MongoCases
from services.intake.subscribers import GROUP, subscriptions
from shared.bus.delivery import Unavailable
from shared.bus.keeper import ExpressKeeper, RescanSettings
from shared.contracts.crisis import CaseOpened, CaseResolved, FlagJoined
from shared.contracts.envelope import Envelope
from shared.contracts.levels import LEVELS, Level
from shared.contracts.topics import CASES
from shared.storage.errors import StoreUnavailable
from shared.storage.memory import MemoryDocuments
from shared.time.clock import iso
from tests.unit.intake.house import House
from tests.unit.intake.programme import Programme
from tests.unit.intake.test_answers import flag_id_of

AT_S = 1_700_000_000.0
ENVELOPE = Envelope("e", CaseOpened.TYPE, "vigil/crisis", "", "p1", "default")


def opened(flag: str, case: str = "c1", level: Level = "high", at: float = 0.0, patient: str = "p1") -> CaseOpened:
    return CaseOpened(case_id=case, patient_id=patient, programme_id="default", at=iso(AT_S + at), flag_id=flag, level=level)


def joined(flag: str, case: str = "c1", level: Level = "high", at: float = 0.0, patient: str = "p1") -> FlagJoined:
    return FlagJoined(case_id=case, patient_id=patient, programme_id="default", at=iso(AT_S + at), flag_id=flag, level=level)


def resolved(*flags: str, case: str = "c1", at: float = 60.0, patient: str = "p1") -> CaseResolved:
    return CaseResolved(
        case_id=case,
        patient_id=patient,
        programme_id="default",
        at=iso(AT_S + at),
        flag_ids=flags,
        person_id="ana",
        level="low",
    )


def after(events: Sequence[CaseEvent], patient: str = "p1") -> PatientCases:
    cases = PatientCases(patient)
    for event in events:
        cases = cases.after(event)
    return cases


def test_a_case_is_open_until_a_closing_names_its_flags() -> None:
    cases = after([opened("f1", level="moderate"), joined("f2", level="imminent")])
    assert (cases.open, cases.level) == (True, "imminent")
    cases = cases.after(resolved("f2"))
    assert (cases.open, cases.level) == (True, "moderate")
    cases = cases.after(resolved("f1"))
    assert (cases.open, cases.level) == (False, None)
    assert cases.knows("f1")
    assert not cases.knows("f3")


def test_a_late_copy_of_an_opening_does_not_open_a_closed_case_again() -> None:
    cases = after([resolved("f1", "f2"), opened("f1"), joined("f2"), opened("f1")])
    assert not cases.open


def test_a_flag_after_the_close_opens_a_case() -> None:
    assert after([opened("f1"), resolved("f1"), opened("f2", case="c2", at=90.0)]).open


def test_two_cases_that_became_one_are_closed_by_their_flags() -> None:
    """Two replicas without a store may each open a case; the closing names one case and both flags."""
    events: list[CaseEvent] = [opened("f1", "c1"), opened("f2", "c2"), resolved("f1", "f2", case="c1")]
    for order in itertools.permutations(events):
        assert not after(order).open


def test_what_says_nothing_new_changes_nothing() -> None:
    events: list[CaseEvent] = [opened("f1"), joined("f2"), resolved("f1")]
    cases = after(events)
    assert all(cases.after(event) == cases for event in events)


def test_only_flags_that_were_closed_longest_ago_are_forgotten_and_open_ones_never() -> None:
    events: list[CaseEvent] = [opened(f"open{number}") for number in range(10)]
    for number in range(SETTLED_MAX + 50):
        events += [joined(f"f{number:04}"), resolved(f"f{number:04}", at=100.0 + number)]
    cases = after(events)
    assert len(cases.flags) == SETTLED_MAX + 10
    assert all(cases.knows(f"open{number}") for number in range(10))
    assert not cases.knows("f0049")
    assert cases.knows("f0050")


def test_it_is_stored_and_read_back() -> None:
    cases = after([opened("f1"), joined("f2"), resolved("f2"), resolved("unheard")])
    document = document_of(cases)
    assert cases_of(document) == cases
    assert (document["open"], document["level"]) == (True, "high")


FLAGS = [f"f{number}" for number in range(6)]
FLAG, CASE, PATIENT = st.sampled_from(FLAGS), st.sampled_from(["c1", "c2"]), st.sampled_from(["p1", "p2"])
SECONDS = st.integers(0, 300).map(float)
EVENT = st.one_of(
    st.builds(opened, FLAG, CASE, st.sampled_from(LEVELS), SECONDS, PATIENT),
    st.builds(joined, FLAG, CASE, st.sampled_from(LEVELS), SECONDS, PATIENT),
    st.builds(
        lambda flags, case, at, patient: resolved(*flags, case=case, at=at, patient=patient),
        st.lists(FLAG, min_size=1, max_size=4),
        CASE,
        SECONDS,
        PATIENT,
    ),
)


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[CaseEvent], list[CaseEvent]]:
    """Events, and the same ones shuffled, each once to three times."""
    events = draw(st.lists(EVENT, max_size=20))
    often = [event for event in events for _ in range(draw(st.integers(1, 3)))]
    return events, draw(st.permutations(often))


@given(deliveries())
async def test_shuffled_repeated_and_interleaved_deliveries_end_as_the_sorted_ones(
    told: tuple[list[CaseEvent], list[CaseEvent]],
) -> None:
    events, often = told
    in_order, at_random = projection(), projection()
    for event in sorted(events, key=lambda one: one.at):
        await CaseHandler(in_order).heard(event, ENVELOPE)
    for event in often:
        await CaseHandler(at_random).heard(event, ENVELOPE)
    for patient in ("p1", "p2"):
        assert (await at_random.load(patient))[0] == (await in_order.load(patient))[0]


def projection(cases: MemoryDocuments | None = None, answers: MemoryDocuments | None = None) -> MongoCases:
    return MongoCases(cases or MemoryDocuments(), answers or MemoryDocuments())


async def test_what_is_heard_twice_is_written_once() -> None:
    cases = projection()
    handler = CaseHandler(cases)
    for _ in range(3):
        await handler.heard(opened("f1"), ENVELOPE)
    assert (await cases.load("p1"))[1] == 1


class Contested(MongoCases):
    """Somebody else writes first, so many times."""

    times = 1

    async def save(self, cases: PatientCases, version: int) -> bool:
        if self.times:
            self.times -= 1
            stored, at = await self.load(cases.patient_id)
            await super().save(stored.after(joined(f"theirs{self.times}")), at)
        return await super().save(cases, version)


async def test_when_another_replica_was_faster_both_are_kept() -> None:
    cases = Contested(MemoryDocuments(), MemoryDocuments())
    cases.times = CONFLICTS_MAX - 1
    await CaseHandler(cases).heard(opened("ours"), ENVELOPE)
    known, _ = await cases.load("p1")
    assert set(known.flags) == {"ours", *(f"theirs{number}" for number in range(CONFLICTS_MAX - 1))}


async def test_whoever_always_loses_says_so() -> None:
    cases = Contested(MemoryDocuments(), MemoryDocuments())
    cases.times = CONFLICTS_MAX
    with pytest.raises(Conflict):
        await CaseHandler(cases).heard(opened("ours"), ENVELOPE)


async def test_intake_hears_openings_joinings_and_closings_and_waits_for_its_store() -> None:
    cases = projection()
    subscription, *_ = subscriptions(CaseHandler(cases), Programme().work)
    assert (subscription.topic, subscription.group) == (CASES, GROUP)
    assert GROUP in CASES.readers
    assert set(subscription.handlers) == {CaseOpened, FlagJoined, CaseResolved}
    await subscription.handlers[CaseOpened](opened("f1"), ENVELOPE)
    assert (await cases.load("p1"))[0].open

    class Silent(MongoCases):
        async def load(self, patient_id: str) -> tuple[PatientCases, int]:
            raise StoreSilent

    waiting, *_ = subscriptions(CaseHandler(Silent(MemoryDocuments(), MemoryDocuments())), Programme().work)
    with pytest.raises(Unavailable) as away:
        await waiting.handlers[CaseOpened](opened("f1"), ENVELOPE)
    assert away.value.code == "store_silent"


async def test_a_patient_is_unsettled_until_every_flag_of_theirs_is_in_a_closed_case() -> None:
    answers = MemoryDocuments()
    await answers.insert({"_id": "a1", "patient_id": "p1", "flags": ["f1"]})
    await answers.insert({"_id": "a2", "patient_id": "p1", "flags": []})
    await answers.insert({"_id": "a3", "patient_id": "p2", "flags": []})
    cases = projection(answers=answers)
    assert await cases.unsettled("p1"), "the flag is on its way"
    assert not await cases.unsettled("p2")
    handler = CaseHandler(cases)
    await handler.heard(opened("f1"), ENVELOPE)
    assert await cases.unsettled("p1")
    await handler.heard(resolved("f1"), ENVELOPE)
    assert not await cases.unsettled("p1")


async def test_a_flag_counts_as_known_only_for_its_own_patient() -> None:
    cases = projection()
    await CaseHandler(cases).heard(opened("f1", patient="p1"), ENVELOPE)
    await CaseHandler(cases).heard(resolved("f2", patient="p2"), ENVELOPE)
    assert await cases.known({"f1": "p1", "f2": "p2", "f3": "p1"}) == {"f1", "f2"}
    assert await cases.known({"f1": "p2"}) == set()


class Known:
    """Crisis knows these flags, or the store is silent about it."""

    def __init__(self, flags: set[str]) -> None:
        self.flags = flags
        self.silent = False

    async def known(self, flags: Mapping[str, str]) -> set[str]:
        if self.silent:
            raise StoreUnavailable("timeout")
        return self.flags & set(flags)


async def unconfirmed(house: House) -> tuple[str, Known]:
    """A flag that no replica has confirmed; its id, and what crisis knows of."""
    for replica in house.replicas:
        replica.mode = "dead"
    word = await house.send(await house.enrol())
    await house.turns()
    known = Known(set())
    house.keeper = ExpressKeeper(house.lanes, house.assessments, house.clock, RescanSettings(rescan_s=0.0), known)
    return flag_id_of(word), known


async def test_a_flag_whose_case_is_known_is_sent_no_more_and_its_entry_goes() -> None:
    house = House()
    flag_id, known = await unconfirmed(house)
    await house.keeper.rescan_once()
    await house.turns()
    assert await house.keeper.clear_once() == 0
    known.flags.add(flag_id)
    sent = len(house.bus.flags)
    await house.keeper.rescan_once()
    assert await house.keeper.clear_once() == 1
    assert (await house.pending(), len(house.bus.flags)) == ([], sent)


async def test_while_nobody_can_say_what_is_known_flags_are_sent_again() -> None:
    house = House()
    flag_id, known = await unconfirmed(house)
    known.flags.add(flag_id)
    known.silent = True
    assert await house.keeper.rescan_once() == 1
    await house.turns()
    assert await house.pending() == [flag_id]
