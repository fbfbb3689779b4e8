"""Why something cannot be done with a place; the code is what the caller is told."""


class Refused(Exception):
    """A rule stands against it; `code` is stable, `detail` says what to do, `at_s` a moment that it depends on."""

    def __init__(self, code: str, detail: str, at_s: float | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.at_s = at_s
