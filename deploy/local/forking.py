"""`python -m deploy.local.forking`: import Vigil's services once, then fork one for every line on standard input.

A line is JSON: `name`, `arguments` (module and its words), `env`, `log`, `cwd`, `nice`; the answer is the process id. Ends with
standard input; what it has forked lives on.
"""

import gc
import importlib
import json
import os
import runpy
import signal
import sys
import threading
import traceback
from typing import Any

from setproctitle import setproctitle

_IMPORTED = (
    "services.crisis.app",
    "services.intake.app",
    "deploy.local.phone.server",
    "services.sessions.app",
    "services.outcomes.app",
    "services.notifications.app",
)


def main() -> None:
    """Fork until standard input ends."""
    for module in _IMPORTED:
        try:
            importlib.import_module(module)
        except Exception:  # noqa: BLE001 - whoever is forked to run it will fail in its own log
            continue
    if threading.active_count() != 1:
        raise RuntimeError("an import started a thread; forking would lose it")
    # Ended children leave no zombie behind: nobody here waits for them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(order)
        # Both sides set it: whoever signals the group next finds it.
        _own_group(child)
        print(child, flush=True)


def _become(order: dict[str, Any]) -> None:
    code = 1
    try:
        _own_group(0)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _redirect(order["log"])
        os.chdir(order["cwd"])
        # Before the environment changes: the title is written where it lies.
        setproctitle(f"vigil {order['name']}: python -m {' '.join(order['arguments'])}")
        os.environ.clear()
        os.environ.update(order["env"])
        os.nice(order["nice"])
        module, *words = order["arguments"]
        sys.argv = [module, *words]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001 - the fork must never go on as a fork server
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _redirect(log: str) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)


def _own_group(pid: int) -> None:
    try:
        os.setpgid(pid, pid)
    except (PermissionError, ProcessLookupError):
        return  # the other side was first, or it has ended already


if __name__ == "__main__":
    main()
