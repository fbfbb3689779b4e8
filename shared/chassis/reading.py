"""A service's subscriptions, read: pipelines, their dead letters' own producer, the reader that keeps them alive."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from shared.bus.ports import RoutineReading
from shared.bus.subscriptions import Pipeline, SentDeadLetters, Subscription
from shared.chassis.outside import Outside
from shared.contracts.topics import dead_letters_of
from shared.time.clock import Clock


@asynccontextmanager
async def reading(
    outside: Outside, service: str, subscriptions: Sequence[Subscription], topic_prefix: str, clock: Clock
) -> AsyncIterator[RoutineReading]:
    """Read in the background until the end of the context, which finishes what is in hand.

    A dead bus stops no start. Dead letters have a producer of their own, so that no other lane's records wait behind them.
    """
    letters = [dead_letters_of(one.topic, one.group).full_name(topic_prefix) for one in subscriptions]
    async with outside.flag_producer(f"{service}-dead-letters", letters) as producer:
        dead_letters = SentDeadLetters(producer, topic_prefix, clock)
        pipelines = [Pipeline(one, dead_letters, clock) for one in subscriptions]
        async with outside.routine_reader(service, pipelines) as reader:
            yield reader
