"""How fast pages follow each other: quick where a phone has not rung, six times a minute at most where it has."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from services.crisis.domain.decide import Heard, Page, decide, replica_order
from services.crisis.domain.facts import Fact, Failed, Handed, Intended, Receipt, Sending
from services.crisis.domain.roster import Policy, Step
from shared.contracts.levels import LEVELS, Level
from tests.unit.crisis.clinic import (
    ADAEZE,
    BRUNO,
    DMITRI,
    NOON,
    PATIENT,
    REPLICAS,
    ROUND_S,
    STEP_S,
    TIMES,
    Provider,
    Replica,
    accepting,
    attempt,
    flag,
    handed_page,
    ledger_of,
    refusing,
    resetting,
    roster,
)

FIRST, SECOND = replica_order(PATIENT, REPLICAS)
levels = st.sampled_from(LEVELS)


@settings(max_examples=12)
@given(
    st.lists(st.tuples(st.floats(0.0, 60.0), levels), min_size=1, max_size=3),
    st.lists(st.sampled_from([accepting, resetting, refusing]), min_size=1, max_size=7),
    st.floats(1.0, 20.0),
)
def test_nobody_is_rung_more_than_six_times_a_minute_again(
    raised: list[tuple[float, Level]], provider: list[Provider], step_s: float
) -> None:
    """However many flags a case has, however short the steps and whatever the provider does; first pages are exempt."""
    may_have_rung: list[bool] = []

    def fickle(page: Page, at: float) -> list[Fact]:
        told = provider[len(may_have_rung) % len(provider)](page, at)
        may_have_rung.append(not any(isinstance(fact, Failed) and not fact.maybe for fact in told))
        return told

    short = Policy((Step(0.0, (ADAEZE,)), Step(step_s, (BRUNO,))), (DMITRI,), step_s)
    replica = Replica(ledger_of(), provider=fickle, roster=roster(short))
    for number, (after_s, level) in enumerate(sorted(raised)):
        replica.run(NOON + after_s)
        replica.ledger.add_flag(flag(f"flag {number}", level, at=NOON + after_s))
    replica.run(NOON + 110.0)
    again: dict[tuple[str, str], list[float]] = {}
    firsts: dict[tuple[tuple[str, ...], str, str], int] = {}
    for (at, page), rang in zip(replica.pages, may_have_rung, strict=True):
        a = page.attempt
        if not rang:
            continue
        if page.first:
            firsts[(a.flags, a.person, a.channel)] = firsts.get((a.flags, a.person, a.channel), 0) + 1
        else:
            again.setdefault((a.person, a.channel), []).append(at)
    for times in again.values():
        for begin in times:
            assert sum(begin <= at < begin + 59.99 for at in times) <= 6
    assert all(count == 1 and len(flags) == 1 for (flags, _, _), count in firsts.items())


@given(levels)
def test_one_page_for_each_person_and_channel_of_a_ring(level: Level) -> None:
    replica = Replica(ledger_of(flag(level=level)))
    replica.run(NOON + ROUND_S - 1.0)
    rung = [(page.attempt.person, page.attempt.channel) for _, page in replica.pages if page.attempt.step < 3]
    assert len(rung) == len(set(rung))


def test_voice_waits_for_an_escalation_at_moderate_and_rings_at_once_at_high() -> None:
    for level, channels in (
        ("moderate", {"sms"}),
        ("low", {"sms"}),
        ("high", {"sms", "voice"}),
        ("imminent", {"sms", "voice"}),
    ):
        replica = Replica(ledger_of(flag(level=level)))  # type: ignore[arg-type]
        replica.run(NOON + 1.0)
        assert {page.attempt.channel for _, page in replica.pages} == channels


def test_no_receipt_in_time_means_the_next_channel_now() -> None:
    replica = Replica(ledger_of(flag(level="moderate")))
    replica.run(NOON + TIMES.receipt - 0.1)
    assert not replica.rung(ADAEZE, "voice")
    replica.run(NOON + TIMES.receipt + 0.1)
    assert replica.rung(ADAEZE, "voice") == [NOON + TIMES.receipt]


def test_a_receipt_in_time_keeps_the_next_channel_quiet() -> None:
    alarm = flag(level="moderate")
    replica = Replica(ledger_of(alarm))
    replica.act()
    (handed,) = (f for f in replica.ledger.facts if isinstance(f, Handed))
    replica.ledger.add(Receipt(handed.provider_id, "delivered", (alarm.flag_id,), at=NOON + 2.0))
    replica.run(NOON + STEP_S - 1.0)
    assert not replica.rung(ADAEZE, "voice")


def test_an_undelivered_page_means_the_next_channel_at_once() -> None:
    alarm = flag(level="moderate")
    replica = Replica(ledger_of(alarm))
    replica.act()
    (handed,) = (f for f in replica.ledger.facts if isinstance(f, Handed))
    replica.ledger.add(Receipt(handed.provider_id, "undelivered", (alarm.flag_id,), at=NOON + 2.0))
    replica.run(NOON + 2.1)
    assert replica.rung(ADAEZE, "voice") == [NOON + 2.0] or len(replica.rung(ADAEZE, "voice")) == 1


def test_a_restart_does_not_flood() -> None:
    """An hour into a case a replica starts that heard everything late: it sends what the current step asks, no more."""
    before = Replica(ledger_of(flag()))
    before.run(NOON + 3600.0)
    after = Replica(before.ledger, NOON + 3600.0, heard_at=NOON + 3600.0, fresh=False)
    assert not after.run(NOON + 3600.0 + 9.0)


def test_a_replica_that_hears_a_flag_hours_late_rings_the_round_of_now_once() -> None:
    replica = Replica(ledger_of(flag()), NOON + 7200.0, heard_at=NOON + 7200.0, fresh=False)
    pages = replica.run(NOON + 7200.0 + 1.0)
    rung = [(page.attempt.person, page.attempt.channel) for _, page in pages]
    assert len(rung) == len(set(rung))
    assert {page.fresh for _, page in pages} == {False}


def test_what_came_late_waits_for_its_record_what_came_now_does_not() -> None:
    alarm = flag()
    replica = Replica(ledger_of(alarm))
    assert all(page.fresh and not page.look for page in replica.decide().pages)
    late = replace(replica.situation(), now=NOON + TIMES.fresh_for, heard={alarm.flag_id: Heard(NOON, True)})
    assert not any(page.fresh for page in decide(replica.ledger, late).pages)
    lagging = replace(replica.situation(), now=NOON + 0.5, lag_s=0.6)
    assert not any(page.fresh for page in decide(replica.ledger, lagging).pages)


def peer_view(*facts: Fact, now: float, hedge_s: float = 0.150) -> tuple[set[str], float | None]:
    """What the second replica does about Adaeze's SMS: rings it (channels due), or waits until when."""
    alarm = flag()
    peer = Replica(ledger_of(alarm, *facts), now, me=SECOND, replicas=REPLICAS)
    decision = decide(peer.ledger, replace(peer.situation(), hedge_s=hedge_s))
    return {page.attempt.channel for page in decision.pages}, decision.next_due


def test_sending_silences_the_peer_for_the_hedge_then_it_takes_over_and_looks_first() -> None:
    on_its_way = Sending(attempt(flag(), by=FIRST), "twilio", at=NOON)
    waiting, until = peer_view(on_its_way, now=NOON + 0.1)
    assert "sms" not in waiting
    assert until == NOON + 0.150
    taken_over, _ = peer_view(on_its_way, now=NOON + 0.1501)
    assert "sms" in taken_over


def test_failed_for_certain_releases_the_peer_at_once() -> None:
    refused = attempt(flag(), by=FIRST)
    told = (Sending(refused, "twilio", at=NOON), Failed(refused, False, "refused", at=NOON + 0.01))
    assert "sms" in peer_view(*told, now=NOON + 0.02)[0]


def test_intended_without_sending_is_taken_over_after_a_second() -> None:
    intended = Intended(attempt(flag(), by=FIRST), at=NOON)
    assert "sms" not in peer_view(intended, now=NOON + TIMES.takeover)[0]
    assert "sms" in peer_view(intended, now=NOON + TIMES.takeover + TIMES.rank_step + 0.001)[0]


def test_the_peer_that_takes_over_uses_another_provider() -> None:
    alarm = flag()
    peer = Replica(
        ledger_of(alarm, Sending(attempt(alarm, by=FIRST), "twilio", at=NOON)), NOON + 0.2, me=SECOND, replicas=REPLICAS
    )
    pages = [page for page in peer.decide().pages if page.attempt.channel == "sms"]
    assert [(page.avoid_provider, page.look, page.attempt.n) for page in pages] == [("twilio", True, 1)]


def test_an_intent_for_somebody_outside_the_roster_silences_nothing() -> None:
    elsewhere = Sending(attempt(flag(), person_id="somebody else", by=FIRST), "twilio", at=NOON)
    assert peer_view(elsewhere, now=NOON + TIMES.rank_step + 0.001)[0] == {"sms", "voice"}


@given(st.integers(1, 3), st.integers(0, 3))
def test_retries_are_counted_over_all_replicas(ours: int, theirs: int) -> None:
    """Tries that may have rung: the next waits for its spacing after the last, whoever made it."""
    alarm = flag()
    told: list[Fact] = []
    for number in range(ours + theirs):
        by = FIRST if number < ours else SECOND
        one = attempt(alarm, n=number, k=number + 1, by=by)
        told += [Sending(one, "twilio", at=NOON + number), Failed(one, True, "timeout", at=NOON + number + 0.5)]
    last = NOON + ours + theirs - 1
    due = last + TIMES.retry_after(ours + theirs)
    replica = Replica(ledger_of(alarm, *told), last + 0.6, me=FIRST, replicas=REPLICAS)
    replica.run(last + 40.0)
    again = replica.rung(ADAEZE, "sms")
    assert again
    assert due - 0.001 <= again[0] <= max(due, last + 0.6) + 2 * TIMES.rank_step + 0.01


def test_a_hand_over_begins_the_count_anew() -> None:
    alarm = flag()
    one = attempt(alarm, n=4, k=5)
    replica = Replica(ledger_of(alarm, Sending(one, "twilio", at=NOON), Handed(one, "twilio", "id", at=NOON)), NOON + 1.0)
    replica.run(NOON + ROUND_S + 1.0)
    assert {page.attempt.n for _, page in replica.pages} == {0}
    assert handed_page(replica.pages[0][1], NOON)
