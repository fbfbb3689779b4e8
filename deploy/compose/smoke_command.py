"""`python -m deploy.compose.smoke_command [--stand-ins]`, behind `make docker-smoke`.

Exit codes as everywhere: 0 ok, 1 the verdict failed, 3 the machine lacks something, which is named.
"""

import argparse
import asyncio
import signal
import sys
from types import FrameType

from deploy.compose.engine import EngineRefused
from deploy.compose.smoke import Smoke, SmokeFailed
from deploy.local.apis import Refused, Unreachable
from deploy.local.lacks import MachineLacks

_INTERRUPTED = 130


def main() -> int:
    """Run the smoke test; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make docker-smoke", description="Vigil in containers: one crisis, one page.")
    parser.add_argument("--stand-ins", action="store_true", help="make the images of others here: no registry is reached")
    given = parser.parse_args()
    # A polite stop ends like Ctrl-C: what was made is removed.
    signal.signal(signal.SIGTERM, _interrupt)
    smoke = Smoke(lambda text: print(text, flush=True), stand_ins=given.stand_ins)
    try:
        asyncio.run(smoke.run())
    except MachineLacks as lack:
        print(f"{lack.what}\n  {lack.how}", file=sys.stderr)
        return 3
    except (EngineRefused, SmokeFailed, Refused, Unreachable) as trouble:
        print(f"FAILED: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what was made is removed", file=sys.stderr)
        return _INTERRUPTED
    print(f"ok: {sum(smoke.seconds.values()):.0f} s in all")
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
