"""Composition root of sessions."""

from services.sessions.settings import SessionsSettings
from shared.chassis.application import Parts, Service, run_service


def build(parts: Parts, settings: SessionsSettings) -> Service:
    """What sessions adds to the chassis."""
    return Service()


def main() -> None:
    """Run sessions."""
    run_service("sessions", SessionsSettings, build)
