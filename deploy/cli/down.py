"""`vigil down`: nothing is left running."""

import asyncio

from deploy.cli.output import JsonTo, Output
from deploy.local.home import default_home
from deploy.local.record import StackNotRunning
from deploy.local.stack import stop_recorded


def down(json_to: JsonTo = None) -> None:
    """Stop every process of the stack and remove its record; what was stored stays."""
    output = Output(json_to)
    home = default_home()
    stopped = asyncio.run(stop_recorded(home))
    if stopped is None:
        raise StackNotRunning(f"no stack runs in {home.path}")
    output.say(f"Stopped {', '.join(stopped)}." if stopped else "Nothing of the recorded stack was running any more.")
    output.result({"stopped": stopped})
