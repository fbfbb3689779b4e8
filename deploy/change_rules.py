"""`python -m deploy.change_rules [--check]`: the figures by which changes of totals are judged, for all services.

Written from the instrument files into `shared/contracts/change_rules.json`: intake owns the instruments, and no service
imports another. With `--check` nothing is written; exit code 1 when the file is not what the instruments say.
"""

import json
import sys
from dataclasses import asdict

from services.intake.gateways.instruments import load_registry
from shared.contracts.change import RULES_FILE


def written() -> str:
    """The file as it has to be."""
    rules = {name: asdict(one.change) for name, one in sorted(load_registry().registry.current.items())}
    return json.dumps(rules, indent=2, sort_keys=True) + "\n"


def main(*, check: bool) -> int:
    """Write the file, or compare it; the exit code."""
    now = written()
    if RULES_FILE.exists() and RULES_FILE.read_text(encoding="utf-8") == now:
        return 0
    sys.stdout.write(f"{RULES_FILE.name}: {'not what the instruments say' if check else 'written'}\n")
    if not check:
        RULES_FILE.write_text(now, encoding="utf-8")
    return 1 if check else 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
