"""`python -m deploy.contracts [--check]`: freeze the schemas of events.

Writes `shared/contracts/versions/<type>.json` for every event class that is new or has got an optional field, and adds its example
to `shared/contracts/golden/<type>.jsonl`. A change that a
reader of the frozen version could not live with is refused (exit 1): give the changed event a class with the next `.vN`
in its `TYPE`, keep the old one, and run this again. With `--check` nothing is written.
"""

import json
import sys

from shared.contracts.catalogue import (
    EVENTS,
    Event,
    breaks,
    example_file,
    frozen_schema,
    golden_file,
    golden_of,
    schema_file,
    schema_of,
    shapes_of,
    type_of,
)


def freeze(*, check: bool) -> int:
    """Freeze what may be frozen; the exit code."""
    refused = False
    for event in EVENTS:
        now, frozen = schema_of(event), frozen_schema(event)
        if not example_file(event).exists():
            refused = True
            _say(f"{type_of(event)}: write an example to {example_file(event).name} first")
        broken = breaks(frozen, now) if frozen is not None else []
        if broken:
            refused = True
            _say(f"{type_of(event)} is frozen; this needs a new version: {'; '.join(broken)}")
        elif frozen != now:
            refused = refused or check
            _say(f"{type_of(event)}: {'not frozen' if check else 'frozen'}")
            if not check:
                schema_file(event).write_text(json.dumps(now, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        if not broken and example_file(event).exists():
            refused = _remember(event, check=check) or refused
    return 1 if refused else 0


def _remember(event: Event, *, check: bool) -> bool:
    """Add the shapes that no golden line has; whether some are missing that were not added."""
    known = golden_of(event)
    new = [shape for shape in shapes_of(event) if shape not in known]
    if not new:
        return False
    _say(f"{type_of(event)}: {len(new)} golden lines {'missing' if check else 'added'}")
    if not check:
        golden_file(event).parent.mkdir(exist_ok=True)
        with golden_file(event).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(shape, sort_keys=True) + "\n" for shape in new)
    return check


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(freeze(check="--check" in sys.argv[1:]))
