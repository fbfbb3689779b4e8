"""The bench of scoring measures every instrument; how long it takes is for whoever reads the figures."""

from services.intake.gateways.instruments import load_registry
from tests.bench.scoring import measured


def test_every_instrument_is_measured() -> None:
    told = measured(rounds=1, sheets=2)
    assert set(told) == set(load_registry().registry.current)
    for figures in told.values():
        assert figures.keys() == {"items", "score_us", "safety_us", "look_us"}
        assert all(figure > 0 for figure in figures.values())
