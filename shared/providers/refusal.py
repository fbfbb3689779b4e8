"""How every provider says no."""


class ProviderRefused(Exception):
    """The provider did not accept; `maybe` when the phone may have rung all the same."""

    def __init__(self, reason: str, *, maybe: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.maybe = maybe
