"""The bench of missed sessions measures what it says: every place is found once, and flagged where there is a risk. No times."""

from tests.bench.sessions_due import Plan, measured
from tests.support.servers import Servers


async def test_every_place_is_found_once_however_many_look(servers: Servers) -> None:
    told = await measured(servers.mongo, Plan(places=60, spread_s=0.5, lookers=2, ahead_s=0.2))
    assert (told["missed"], told["flags"]) == (60, 30)
    assert set(told["late_ms"]) == {"p50", "p90", "p99", "max"}
