"""Composition root of notifications."""

from services.notifications.settings import NotificationsSettings
from shared.chassis.application import Parts, Service, run_service


def build(parts: Parts, settings: NotificationsSettings) -> Service:
    """What notifications adds to the chassis."""
    return Service()


def main() -> None:
    """Run notifications."""
    run_service("notifications", NotificationsSettings, build)
