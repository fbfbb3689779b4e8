"""`python -m deploy.reference [--check]`: write docs/reference/, or say which page is not what the code says."""

import sys

from deploy.reference.pages import REFERENCE, differing, write


def main(*, check: bool) -> int:
    """Write the pages, or compare them; the exit code."""
    if check:
        wrong = differing()
        for name in wrong:
            sys.stdout.write(f"{name} is not what the code says: run `make docs`\n")
        return 1 if wrong else 0
    for name in write():
        sys.stdout.write(f"{REFERENCE.name}/{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
