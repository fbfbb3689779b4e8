"""What the embedded process is told by whoever starts it: its parts, and the environment that each would have had alone."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

VARIABLE = "VIGIL_EMBEDDED_PARTS"


@dataclass(frozen=True, slots=True)
class Part:
    """One service: its name in the stack, `python -m` what it would be, its words, its VIGIL_ variables."""

    name: str
    module: str
    words: tuple[str, ...]
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Parts:
    """All of them, and the directory for what must be a file while the process lives; it is emptied before and after."""

    directory: Path
    parts: tuple[Part, ...]

    def told(self) -> str:
        """The value of the variable."""
        return json.dumps({"directory": str(self.directory), "parts": [asdict(part) for part in self.parts]})

    @staticmethod
    def read(told: str) -> "Parts":
        """What a value of the variable says; raises ValueError, KeyError or TypeError."""
        raw = json.loads(told)
        parts = [Part(one["name"], one["module"], tuple(one["words"]), one["env"]) for one in raw["parts"]]
        if not parts:
            raise ValueError("nothing to run")
        return Parts(Path(raw["directory"]), tuple(parts))


def part_of(name: str, command: Sequence[str], env: Mapping[str, str]) -> Part:
    """The part that a process with this command (`python -m module words…`) and this environment would have been."""
    _python, _option, module, *words = command
    return Part(name, module, tuple(words), {key: value for key, value in env.items() if key.startswith("VIGIL_")})


@contextlib.contextmanager
def environment(env: Mapping[str, str]) -> Iterator[None]:
    """While settings are read, only these VIGIL_ variables are set; the process's own environment is back afterwards."""
    before = {name: value for name, value in os.environ.items() if name.startswith("VIGIL_")}
    _replace(before, env)
    try:
        yield
    finally:
        _replace(env, before)


def _replace(old: Mapping[str, str], new: Mapping[str, str]) -> None:
    for name in old:
        os.environ.pop(name, None)
    os.environ.update(new)
