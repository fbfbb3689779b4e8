"""Whom a patient in danger can reach: the table of the deployment's home country until the shared one is there."""

from collections.abc import Sequence

from services.notifications.domain.guidance import Line

_US: Sequence[Line] = (
    {"label": "988 Suicide and Crisis Lifeline", "phone": "988", "text_to": "988"},
    {"label": "Local emergency number", "phone": "911", "text_to": None},
)


class HomeGuidance:
    """The port GuidanceTable for one country."""

    def of(self, country: str | None, track: str | None) -> Sequence[Line]:
        return _US
