"""Composition root of outcomes."""

from services.outcomes.settings import OutcomesSettings
from shared.chassis.application import Parts, Service, run_service


def build(parts: Parts, settings: OutcomesSettings) -> Service:
    """What outcomes adds to the chassis."""
    return Service()


def main() -> None:
    """Run outcomes."""
    run_service("outcomes", OutcomesSettings, build)
