#!/usr/bin/env bash
# Sets the environment up where that is needed, then lint, unit tests, and every notebook in the smoke profile.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)" # through a link, the environment is the same
. "$ROOT/tools/setup.sh"

case "${1:-}" in
-h | --help)
    cat <<'TEXT'
Usage: ./run_tests.sh [what pytest takes]

Sets the environment up where that is needed. Without arguments: ruff, the unit tests, and every notebook under nbval
in the smoke profile; all of them run, and the exit status is 1 when one failed. With arguments only pytest runs, with
those: ./run_tests.sh tests/label -k matting

Tests that read real data look for it in the folder that SOFTMASK_DATA names, and are skipped without.
TEXT
    exit 0
    ;;
esac

# a relative folder is the caller's
if [ -d "${SOFTMASK_DATA:-}" ]; then
    SOFTMASK_DATA="$(cd "$SOFTMASK_DATA" && pwd)"
    export SOFTMASK_DATA
fi
setup_environment
cd "$ROOT"
if [ $# -gt 0 ]; then
    exec "$PYTHON" -m pytest "$@"
fi

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
failed=()
stage() { # stage <name> <command ...>
    local name="$1" began="$SECONDS"
    shift
    say "== $name"
    "$@" || failed+=("$name")
    say "== $name: $((SECONDS - began)) s"
}

# a process a core, each with whole files: what the tests of one file share is made once
AT_ONCE=(--numprocesses auto --maxprocesses 8 --dist loadfile)

notebooks() {
    shopt -s nullglob
    local found=(notebooks/*.ipynb) # the lessons run, unsolved and solved, among the unit tests
    if [ ${#found[@]} -eq 0 ]; then
        say "there are no notebooks yet: nothing to run"
        return
    fi
    SOFTMASK_PROFILE=smoke SOFTMASK_SOURCE=embedded SOFTMASK_OUTPUT="$scratch" IPYTHONDIR="$scratch/ipython" \
        MPLBACKEND=module://matplotlib_inline.backend_inline \
        "$PYTHON" -m pytest "${AT_ONCE[@]}" --nbval-lax --nbval-current-env -p no:cacheprovider "${found[@]}"
}

stage "ruff check" "$PYTHON" -m ruff check .
stage "ruff format" "$PYTHON" -m ruff format --check .
stage "unit tests" env OMP_NUM_THREADS=1 "$PYTHON" -m pytest "${AT_ONCE[@]}"
stage "notebooks" notebooks
if [ ${#failed[@]} -gt 0 ]; then
    say "FAILED: $(printf '%s, ' "${failed[@]}" | sed 's/, $//') (after $SECONDS s)"
    exit 1
fi
say "All passed, in $SECONDS s."
