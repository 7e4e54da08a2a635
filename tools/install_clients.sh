#!/usr/bin/env bash
# Install the clients that the tests run unmodified and that Python's package index does not have.
#
#     tools/install_clients.sh                 Java, whose HttpClient is the client; OpenAI's package for Node;
#                                              the tests of OpenAI's package for Python (in .venv/openai-python)
#     tools/install_clients.sh conformance     Chromium, the other packages for Node, clients for Python that
#                                              want other versions than ours (in .venv/clients and .venv/aider),
#                                              Claude Code, Codex, Cline and Continue
#
# Needs what constraints-dev.txt pins: node and npm are among it. Twice is safe, and quick when nothing changed.
set -euo pipefail
cd "$(dirname "$0")/.."

# `java Ask.java` compiles what it runs; of Debian's packages the headless runtime can do that.
runs_java() {
    java --list-modules 2>/dev/null | grep -q '^jdk\.compiler'
}

runs_browser() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
} >/dev/null

# need WHAT PACKAGE CHECK: install the Debian package PACKAGE where CHECK fails, or say who has to.
need() {
    local what="$1" package="$2" check="$3"
    if "$check"; then
        return
    fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing $package with apt-get" >&2
        {
            apt-get update -qq &&
                DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package"
        } >&2 || echo "apt-get could not install $package" >&2
    fi
    if ! "$check"; then
        {
            echo "The tests with real clients need $what."
            echo "  Debian, Ubuntu   sudo apt-get install --no-install-recommends $package"
            echo "  elsewhere        install it so that it is found on the PATH"
        } >&2
        exit 1
    fi
}

need "Java 11 or newer with its compiler" default-jre-headless runs_java
omit=(--omit=dev)
if [ "${1:-}" = conformance ]; then
    need "Chromium" chromium runs_browser
    omit=()
    for apart in clients aider; do
        if ! ".venv/$apart/bin/python" -c 'import pip' 2>/dev/null; then
            .venv/bin/python -m venv --clear ".venv/$apart"
        fi
        ".venv/$apart/bin/python" -m pip --disable-pip-version-check --no-input install -qq \
            --require-hashes --requirement "tests/clients/apart/$apart.txt" >&2
    done
fi

# install_node FROM TO [OPTION...]: what FROM/package-lock.json pins, into TO; npm is a script for the node beside it.
install_node() {
    local from="$1" to="$2"
    shift 2
    mkdir -p "$to"
    [ "$from" -ef "$to" ] || cp "$from/package.json" "$from/package-lock.json" "$to/"
    PATH="$PWD/.venv/bin:$PATH" npm ci --prefix "$to" "$@" \
        --ignore-scripts --no-audit --no-fund --loglevel=error >&2
}

# fetch_openai_tests: what the source distribution of the pinned package for Python has and its wheel has not.
# Apache-2.0; checked by its hash, and none of it is copied into this tree.
fetch_openai_tests() {
    local pinned cache work
    pinned="$(sed -n 's/^openai==\([^ ]*\).*/\1/p' constraints-dev.txt)"
    cache="${XDG_CACHE_HOME:-$HOME/.cache}/farthing/openai-python-$pinned"
    if [ ! -d "$cache" ]; then
        work="$(mktemp -d)"
        sed -n '/^openai==/,/[^\\]$/p' constraints-dev.txt >"$work/openai.txt"
        .venv/bin/python -m pip --disable-pip-version-check --no-input download -qq --no-deps --require-hashes \
            --no-binary :all: --no-build-isolation --dest "$work" --requirement "$work/openai.txt" >&2
        mkdir -p "$work/openai" "${cache%/*}"
        tar -xzf "$work/openai-$pinned.tar.gz" -C "$work/openai" --strip-components=1 \
            "openai-$pinned/tests" "openai-$pinned/LICENSE"
        mv "$work/openai" "$cache"
        rm -rf "$work"
    fi
    ln -sfn "$cache" .venv/openai-python
}

fetch_openai_tests
install_node tests/clients/node tests/clients/node "${omit[@]}"
if [ "${1:-}" = conformance ]; then
    # Some 400 MB each, which every checkout may share.
    for agent in claude_code codex_cli agents_cli; do
        pinned="$(.venv/bin/node -p "Object.values(require('./tests/clients/$agent/package.json').dependencies).join('-')")"
        cache="${XDG_CACHE_HOME:-$HOME/.cache}/farthing/$agent-$pinned"
        if [ ! -e "$cache/installed" ]; then
            install_node "tests/clients/$agent" "$cache"
            touch "$cache/installed"
        fi
        ln -sfn "$cache" ".venv/$agent"
    done
fi
