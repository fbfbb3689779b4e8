"""Composition root of notifications: settings → parts → service."""

from services.notifications.app.wiring import Notifications
from services.notifications.settings import NotificationsSettings, ProviderSettings
from shared.chassis.application import Parts, Service, run_service


def build(parts: Parts, settings: NotificationsSettings) -> Service:
    """What notifications adds to the chassis."""
    return Notifications(parts, settings, ProviderSettings()).service()


def main() -> None:
    """Run notifications."""
    run_service("notifications", NotificationsSettings, build)
