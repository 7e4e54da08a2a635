#!/usr/bin/env bash
# Write constraints.txt (what runs and builds Farthing, with the extras `semantic` and `cloud`), constraints-dev.txt (what
# checks it, on top) and tests/clients/apart/*.txt (clients that want environments of their own):
# every version pinned, every file by its hash, for all supported versions of Python. `make lock` calls it.
set -euo pipefail
cd "$(dirname "$0")/.."

tool="build/lock"
if [ ! -x "$tool/bin/uv" ]; then
    python3 -m venv "$tool"
    "$tool/bin/python" -m pip install -qq uv
fi
compile() {
    "$tool/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-annotate --custom-compile-command "make lock" "$@"
}
compile pyproject.toml tools/build-requirements.in --extra semantic --extra cloud --output-file constraints.txt
# The constraint keeps what both files name at one version.
compile pyproject.toml tools/build-requirements.in --extra semantic --extra cloud --extra dev --constraints constraints.txt \
    --output-file constraints-dev.txt
for apart in clients aider; do
    compile "tests/clients/apart/$apart.in" --output-file "tests/clients/apart/$apart.txt"
done
