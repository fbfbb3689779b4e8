"""The subscriber's bench measures what it says: every event is handled, every layer counted. No times."""

from tests.bench.subscriber import Plan, measured
from tests.support.servers import Servers


async def test_every_event_is_handled_and_every_layer_has_its_number(servers: Servers) -> None:
    found = await measured(servers.kafka, Plan(layered=200, flooded=300, paced=5))
    assert set(found) == {"layers", "batches of 100", "passed over, batches of 100", "one by one", "on its way, ms"}
    assert all(found[name]["events_per_s"] > 0 for name in ("batches of 100", "one by one"))
    assert found["layers"]["pipeline_us"] > found["layers"]["handler_call_us"] > 0
    assert found["on its way, ms"]["p99"] >= found["on its way, ms"]["p50"] > 0
