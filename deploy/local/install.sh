#!/usr/bin/env bash
# install.sh PYTHON VENV: the virtual environment from requirements.lock, hashes checked, with the `vigil` command in it.
set -euo pipefail
python=$1 venv=$2
lacks() { echo "$1" >&2; exit 3; }

command -v "$python" >/dev/null || lacks "Python is missing: install Python 3.11 or later"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || lacks "$("$python" --version) is too old: install Python 3.11 or later"

if ! [ -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
  # Debian keeps ensurepip in a package of its own.
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      echo "installing $package by apt-get …" >&2
      get=(apt-get install -y --no-install-recommends "$package")
      DEBIAN_FRONTEND=noninteractive "${get[@]}" >/dev/null 2>&1 ||
        { apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive "${get[@]}" >/dev/null; } ||
        lacks "apt-get could not install $package"
    else
      lacks "Python's venv module is missing: install it (Debian: apt-get install $package)"
    fi
  fi
  "$python" -m venv --clear "$venv"
fi

# uv installs the lock in seconds, pip in minutes; pip is there in any case.
if ! "$venv/bin/uv" --version >/dev/null 2>&1; then
  "$venv/bin/python" -m pip install -q --disable-pip-version-check uv || echo "no uv: installing with pip, which takes longer" >&2
fi
if "$venv/bin/uv" --version >/dev/null 2>&1; then
  # Compiled once here: where a caller forbids Python to cache bytecode, every process would compile everything anew.
  export VIRTUAL_ENV=$PWD/$venv
  "$venv/bin/uv" pip install -q --compile-bytecode --require-hashes -r requirements.lock || lacks "the packages of requirements.lock could not be installed"
  "$venv/bin/uv" pip install -q --no-deps --no-build-isolation -e .
else
  "$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock ||
    lacks "the packages of requirements.lock could not be installed"
  "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
fi
echo "virtual environment ready: $venv (commands: $venv/bin/vigil)" >&2
