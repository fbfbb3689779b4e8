"""What an image copies is all that its process imports, and what it installs is all that is imported from elsewhere."""

import json
import subprocess
import sys
from functools import cache
from importlib.metadata import packages_distributions

import pytest

from deploy.compose.files import copied
from deploy.local.home import ROOT
from deploy.local.lock_file import pins

_SERVICES = tuple(f"services.{name}.app" for name in ("crisis", "intake", "notifications", "outcomes", "sessions"))
_IMAGES = {"phone-code": "deploy.local.phone.__main__", "prepare-code": "deploy.compose.__main__"}


@cache
def _loaded(*modules: str) -> frozenset[str]:
    """Every module that is there once these are imported, in a process of its own."""
    program = f"import importlib, json, sys\nfor one in {modules!r}: importlib.import_module(one)\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return frozenset(json.loads(done.stdout))


@pytest.mark.parametrize("stage", _IMAGES)
def test_an_image_holds_every_file_that_it_imports(stage: str) -> None:
    loaded, there = _loaded(_IMAGES[stage]), copied(stage)
    assert [module for module in loaded if module.split(".")[0] in ("services", "tests")] == []
    needed = []
    for module in loaded:
        if module.split(".")[0] == "deploy":
            path = ROOT / module.replace(".", "/")
            needed.append(path / "__init__.py" if path.is_dir() else path.with_suffix(".py"))
    assert needed
    missing = [path for path in needed if not any(path == one or path.is_relative_to(one) for one in there)]
    assert missing == [], f"stage {stage} of the Dockerfile copies none of these"


def test_services_import_nothing_of_the_deployment() -> None:
    assert [one for one in _loaded(*_SERVICES) if one.split(".")[0] in ("deploy", "tests")] == []


def test_what_is_imported_from_elsewhere_is_installed_in_the_images() -> None:
    known = packages_distributions()
    loaded = _loaded(*_SERVICES).union(*(_loaded(module) for module in _IMAGES.values()))
    used = {name.lower().replace("_", "-") for one in loaded for name in known.get(one.split(".")[0], ())}
    pinned, _ = pins((ROOT / "deploy" / "images" / "services.lock").read_text(encoding="utf-8"))
    assert len(used) > 20
    # Our own name, and what Python's start-up files of a development environment load.
    assert used - {"vigil", "setuptools"} <= set(pinned), "not in deploy/images/services.lock"
