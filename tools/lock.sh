#!/usr/bin/env bash
# Makes requirements.lock anew from pyproject.toml: exact versions of everything, with hashes, without addresses.
# What is locked stays at its version where pyproject.toml allows it; ./tools/lock.sh --upgrade takes the newest.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
. "$ROOT/tools/setup.sh"
cd "$ROOT"
find_uv
"$UV" pip compile pyproject.toml --extra test --universal --python-version 3.11 --generate-hashes --no-header -q \
    --output-file requirements.lock "$@"
