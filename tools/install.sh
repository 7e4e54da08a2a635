#!/usr/bin/env bash
# Make .venv and install what is pinned in a constraints file, then Farthing itself from this tree.
#
#     tools/install.sh constraints.txt           what runs it
#     tools/install.sh constraints-dev.txt       what checks it, too
#
# Twice is safe, and quick when nothing changed. PYTHON names another interpreter than the newest found.
set -euo pipefail
cd "$(dirname "$0")/.."

constraints="${1:-constraints.txt}"
venv=".venv"

usable() {
    "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
        if usable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

if ! python="$(find_python)"; then
    if [ -z "${PYTHON:-}" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing python3 and python3-venv with apt-get" >&2
        apt-get update -qq >&2
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3 python3-venv >&2
    fi
    if ! python="$(find_python)"; then
        {
            echo "Farthing needs Python 3.11 or newer with its venv module${PYTHON:+, which $PYTHON is not}."
            echo "  Debian, Ubuntu   sudo apt-get install python3 python3-venv"
            echo "  macOS            brew install python@3.12"
            echo "  elsewhere        make PYTHON=/path/to/python3.12 demo"
        } >&2
        exit 1
    fi
fi

if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    echo "making $venv with $("$python" --version)" >&2
    "$python" -m venv --clear "$venv"
fi
pip=("$venv/bin/python" -m pip --disable-pip-version-check --no-input)

echo "installing what $constraints pins" >&2
"${pip[@]}" install -qq --require-hashes --requirement "$constraints"
# Its dependencies and its build backend are there already: nothing is looked up.
"${pip[@]}" install -qq --no-deps --no-build-isolation --no-index --editable .
