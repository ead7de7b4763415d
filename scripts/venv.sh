#!/usr/bin/env bash
# make venv: .venv with exactly what requirements.txt locks, and the project itself, editable.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=lib.sh
. scripts/lib.sh

# What a finished .venv was made from, path included: a virtual environment does not survive a move.
want="$PWD $(cksum requirements.txt pyproject.toml)"
if [[ -x .venv/bin/python && -f .venv/stamp && $(<.venv/stamp) == "$want" ]]; then exit 0; fi

command -v git >/dev/null || apt_install git # a release is named after its commit

find_python() { # the first one that is new enough and can make a virtual environment with pip
    local python
    for python in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' &>/dev/null; then
            echo "$python"
            return
        fi
    done
    return 1
}

if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' &>/dev/null ||
    [[ ! -f .venv/stamp || $(<.venv/stamp) != "$PWD "* ]]; then
    python=$(find_python) || { apt_install python3-venv && python=$(find_python); } ||
        die "needs Python 3.11 or newer with its venv module; found: $(python3 --version 2>&1 || :)"
    "$python" -m venv --clear .venv
fi

# Errors only: a machine's own pip settings may have pip warn about each package.
pip=(.venv/bin/python -m pip -qq --disable-pip-version-check --no-input)
"${pip[@]}" install --require-hashes --requirement requirements.txt
# Nothing is fetched here: the build backend is locked too.
"${pip[@]}" install --no-deps --no-build-isolation --editable .
echo "$want" >.venv/stamp
