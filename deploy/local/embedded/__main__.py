"""`python -m deploy.local.embedded`: every part that VIGIL_EMBEDDED_PARTS names, in this one process."""

import os
import sys

from deploy.local.embedded.parts import VARIABLE, Parts
from deploy.local.embedded.running import run_parts
from shared.chassis.service import run


def main() -> None:
    """Run until told to stop."""
    try:
        told = Parts.read(os.environ.pop(VARIABLE))
    except (KeyError, TypeError, ValueError):
        sys.exit(f"{VARIABLE} does not say what to run; `vigil up --embedded` does")
    run(lambda: run_parts(told))


if __name__ == "__main__":
    main()
