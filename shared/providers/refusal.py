"""How every provider says no."""


class ProviderRefused(Exception):
    """The provider did not accept; `maybe` when the phone may have rung all the same.

    `status` is the answer's, where there was one; `code` the provider's own number for what is wrong.
    """

    def __init__(self, reason: str, *, maybe: bool, status: int | None = None, code: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.maybe = maybe
        self.status = status
        self.code = code
