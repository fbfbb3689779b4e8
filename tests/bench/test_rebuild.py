"""The rebuild's bench measures what it says: every event is read, and the second time nothing is new. No times."""

from tests.bench.rebuild import measured, programme
from tests.support.servers import Servers


def test_a_programme_has_as_many_events_as_are_asked_for() -> None:
    assert [len(list(programme(events))) for events in (0, 1, 100, 250)] == [0, 1, 100, 250]


async def test_every_event_is_read_and_the_second_time_nothing_is_new(servers: Servers) -> None:
    first, again = await measured(servers.kafka, servers.mongo, 500)
    assert (first.events, again.events) == (500, 500)
    # Of each of five patients: twelve sheets, twenty-eight places, a case, a life; whatever is in two batches is new twice.
    assert (first.news >= 5 * 42, again.news) == (True, 0)
    assert first.events_per_s > 0
