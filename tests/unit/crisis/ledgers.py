"""Ledgers as life writes them: any flags of one patient and any kind of fact about them, in any order.

A story is made from a number and a length: quick to make, and a failing one is shrunk to the shortest length that fails.
"""

import random
from collections.abc import Callable

from hypothesis import strategies as st

from services.crisis.domain.facts import (
    Accepted,
    Acknowledged,
    Attempt,
    Closed,
    Contacted,
    Durable,
    Escalated,
    Fact,
    Failed,
    Flag,
    Gap,
    Handed,
    Intended,
    Lowered,
    Offered,
    Owned,
    Progress,
    Receipt,
    Released,
    Sending,
    Upto,
)
from shared.contracts.levels import LEVELS
from tests.unit.crisis.clinic import ADAEZE, BRUNO, CHIARA, NOON, PATIENT, ROLES, flag

Story = list[Flag | Fact]

FLAG_IDS = [flag(name).flag_id for name in ("first", "second", "third")]
PEOPLE = (ADAEZE, BRUNO, CHIARA)
SENDERS = ("crisis-0", "crisis-1", "guardian")
# The scenes last half an hour; leases of imminent flags end within it, those of high ones too.
LATEST = NOON + 1800.0


def stamp(chance: random.Random) -> float:
    """Some moment of the scene; now and then one that many things share."""
    if chance.random() < 0.3:
        return NOON + chance.choice((0.0, 60.0, 300.0, 360.0))
    return NOON + chance.uniform(0.0, 1800.0)


def some_flags(chance: random.Random) -> tuple[str, ...]:
    """One to three flags."""
    return tuple(sorted(chance.sample(FLAG_IDS, chance.choice((1, 1, 2, 3)))))


def a_flag(chance: random.Random) -> Flag:
    """A flag, perhaps heard before with another stamp."""
    return Flag(chance.choice(FLAG_IDS), PATIENT, chance.choice(LEVELS), "phq9.item9", at=stamp(chance))


def a_try(chance: random.Random) -> Story:
    """One try as far as it got, told in part."""
    attempt = Attempt(
        some_flags(chance),
        chance.choice(PEOPLE),
        chance.choice(("sms", "voice")),
        chance.randint(0, 1),
        chance.randint(0, 4),
        chance.randint(0, 6),
        chance.choice(SENDERS),
        chance.randint(1, 6),
    )
    at = stamp(chance)
    end = at + chance.uniform(0.0, 3.0)
    told: list[Fact] = [
        Intended(attempt, 7, 7, at=at),
        Sending(attempt, chance.choice(("twilio", "other")), at=at),
        chance.choice(
            (
                Failed(attempt, False, "status 500", at=end),
                Failed(attempt, True, "timeout", at=end),
                Handed(attempt, "twilio", f"id-{attempt.by}-{attempt.k}", at=end),
            )
        ),
    ]
    return [fact for fact in told if chance.random() < 0.7]


def a_folded_line(chance: random.Random) -> Fact:
    """Somebody's settled tries."""
    first, last = sorted((stamp(chance), stamp(chance)))
    handed = (first, last) if chance.random() < 0.6 else (None, None)
    maybe = stamp(chance) if chance.random() < 0.4 else None
    by, k, flag_id = chance.choice(SENDERS), chance.randint(1, 6), chance.choice(FLAG_IDS)
    arrived = stamp(chance) if chance.random() < 0.3 else None
    person, channel = chance.choice(PEOPLE), chance.choice(("sms", "voice"))
    return Upto(flag_id, person, channel, by, k, handed[0], handed[1], maybe, arrived, at=stamp(chance))


def a_receipt(chance: random.Random) -> Fact:
    """What became of a page; the provider's id says which try it was, as a real one does."""
    by, k = chance.choice(SENDERS), chance.randint(1, 6)
    flags = some_flags(chance)
    return Receipt(
        f"id-{by}-{k}", chance.choice(("delivered", "undelivered")), flags, PEOPLE[k % 2], "sms", by, k, at=stamp(chance)
    )


def a_closing(chance: random.Random) -> Fact:
    """A human closes flags."""
    name, person = chance.choice("ab"), chance.choice(PEOPLE)
    return Closed(f"closing-{name}", person, chance.choice(LEVELS), None, some_flags(chance), at=stamp(chance))


def an_ack(chance: random.Random) -> Fact:
    """Somebody takes flags."""
    person = chance.choice(PEOPLE)
    return Acknowledged(
        f"ack-{person}-{chance.choice('ab')}", person, ROLES[person], some_flags(chance), "sms", at=stamp(chance)
    )


_DEEDS: tuple[Callable[[random.Random], Fact], ...] = (
    an_ack,
    an_ack,
    lambda c: Released(f"ack-{c.choice(PEOPLE)}-{c.choice('ab')}", some_flags(c), at=stamp(c)),
    lambda c: Progress(f"progress-{c.choice('ab')}", c.choice(PEOPLE), "called", some_flags(c), at=stamp(c)),
    lambda c: Contacted(
        f"contact-{c.choice('ab')}", c.choice(PEOPLE), c.choice(("reached", "not_reached")), some_flags(c), at=stamp(c)
    ),
    lambda c: Escalated(f"call-{c.choice('ab')}", c.choice(PEOPLE), c.randint(0, 4), some_flags(c), at=stamp(c)),
    lambda c: Offered(
        f"offer-{c.choice('ab')}", c.choice(PEOPLE), c.choice(PEOPLE), c.randint(1, 2), some_flags(c), at=stamp(c)
    ),
    lambda c: Accepted(f"offer-{c.choice('ab')}", c.choice(PEOPLE), some_flags(c), at=stamp(c)),
    lambda c: Owned(c.randint(1, 2), c.choice(PEOPLE), f"ack-{c.choice(PEOPLE)}-a", some_flags(c), at=stamp(c)),
    lambda c: Lowered(f"lowering-{c.choice('ab')}", ADAEZE, CHIARA, c.choice(LEVELS), some_flags(c), at=stamp(c)),
    lambda c: a_receipt(c),
    lambda c: Gap(c.choice(FLAG_IDS), c.randint(0, 3), at=stamp(c)),
    lambda c: Durable(c.choice(FLAG_IDS), c.choice(SENDERS), c.choice(("journal", "bus")), at=stamp(c)),
)


def told(seed: int, length: int, *, closings: bool = True, folded: bool = True) -> Story:
    """The story with this number: at least one flag, then `length` things about it."""
    chance = random.Random(seed)
    story: Story = [a_flag(chance)]
    for _ in range(length):
        kind = chance.random()
        if kind < 0.15:
            story.append(a_flag(chance))
        elif kind < 0.55:
            story += a_try(chance)
        elif kind < 0.62 and folded:
            story.append(a_folded_line(chance))
        elif kind < 0.65 and closings:
            story.append(a_closing(chance))
        else:
            story.append(chance.choice(_DEEDS)(chance))
    chance.shuffle(story)
    return story


def every_kind_of_fact(seed: int = 1) -> Story:
    """At least one fact of each kind."""
    chance = random.Random(seed)
    story: Story = [a_flag(chance), a_folded_line(chance), a_closing(chance), *(deed(chance) for deed in _DEEDS)]
    while len({type(item) for item in story}) < 19:
        story += a_try(chance)
    return story


def stories(*, closings: bool = True, folded: bool = True) -> st.SearchStrategy[Story]:
    """Flags and facts of one patient, in the order in which somebody heard them."""
    return st.builds(
        lambda seed, length: told(seed, length, closings=closings, folded=folded),
        st.integers(0, 2**32),
        st.integers(0, 16),
    )


def shuffles() -> st.SearchStrategy[Callable[[Story], Story]]:
    """Another order of hearing the same, every other thing twice."""

    def shuffle(seed: int) -> Callable[[Story], Story]:
        def again(story: Story) -> Story:
            chance = random.Random(seed)
            other = [*story, *story[::2]]
            chance.shuffle(other)
            return other

        return again

    return st.builds(shuffle, st.integers(0, 2**16))
