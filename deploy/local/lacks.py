"""What this machine lacks, said so that it can be mended."""


class MachineLacks(Exception):
    """Something the local stack needs is not here; `what` names it, `how` says how to get it."""

    def __init__(self, what: str, how: str) -> None:
        super().__init__(f"{what}: {how}")
        self.what = what
        self.how = how
