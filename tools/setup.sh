# Sourced by run_all.sh and run_tests.sh: `setup_environment` installs what is missing and leaves the interpreter in
# $PYTHON. Into .venv with uv; or, inside an active conda environment made from environment.yml, into that one.
#
# What is installed is requirements.lock, checked by its hashes. A stamp, written last, names the lock it was made
# from: later starts compare it and do nothing else. A set-up that was interrupted is started over; two at a time wait
# for each other.
# shellcheck shell=bash

ENVIRONMENT=softmask # the name in environment.yml
UV_LEAST=0.9.0       # older ones do not read extra-build-dependencies from pyproject.toml
UV_VERSION=0.13.8    # what is got where there is none

say() { printf '%s\n' "$*" >&2; }
die() {
    say "set-up: $*"
    exit 1
}

# What the environment was made from, and in which folder.
setup_stamp() {
    cat "$ROOT/requirements.lock" "$ROOT/pyproject.toml" | { sha256sum 2>/dev/null || shasum -a 256; }
    printf '%s\n' "$ROOT"
}
is_set_up() { [ "$(cat "$STAMP" 2>/dev/null)" = "$(setup_stamp)" ]; }

# version_at_least 0.13.8 0.9.0
version_at_least() {
    local IFS=. part
    local -a have want
    read -r -a have <<<"$1"
    read -r -a want <<<"$2"
    for part in 0 1 2; do
        [ "${have[part]:-0}" -gt "${want[part]:-0}" ] && return 0
        [ "${have[part]:-0}" -lt "${want[part]:-0}" ] && return 1
    done
    return 0
}

# Leaves a uv that is new enough in $UV.
find_uv() {
    local version
    UV="$(command -v uv || true)"
    if [ -n "$UV" ]; then
        version="$("$UV" --version | cut -d ' ' -f 2)"
        version_at_least "${version%%[!0-9.]*}" "$UV_LEAST" && return
    fi
    UV="$ROOT/.cache/uv-$UV_VERSION/bin/uv"
    [ -x "$UV" ] && return
    command -v python3 >/dev/null || die "neither uv nor python3 is there to begin with. Install one of them."
    say "Getting uv $UV_VERSION ..."
    rm -rf "$ROOT/.cache/uv.part"
    PIP_REQUIRE_VIRTUALENV=0 python3 -m pip install -qq --no-user --target "$ROOT/.cache/uv.part" "uv==$UV_VERSION" ||
        die "uv could not be installed with python3 -m pip (see above). Install uv, or pip for python3, and start again."
    mv "$ROOT/.cache/uv.part" "$ROOT/.cache/uv-$UV_VERSION"
}

# Whether the interpreter $1 can build pyradiomics' C extension: prints what it lacks.
lacks_to_build() {
    "$1" - <<'PYTHON'
import importlib.util
import os
import shutil
import sysconfig

if importlib.util.find_spec("radiomics") is None:
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if not shutil.which(compiler):
        print(f"compiler {compiler}")
    elif not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
        print("headers")
PYTHON
}

# A .venv of another checkout stays: clearing it would take away that one's environment.
check_venv() {
    local owner
    owner="$(sed -n 2p "$STAMP" 2>/dev/null || true)"
    [ "$owner" != "$ROOT" ] || return 0
    if [ -L "$PREFIX" ]; then
        die "$PREFIX is a link to $(readlink "$PREFIX"), which was not made for this checkout." \
            "Remove the link (rm $PREFIX) and start again to set up an environment here."
    elif [ -n "$owner" ] && [ -d "$owner" ]; then
        die "$PREFIX was made for another checkout, $owner." \
            "Move it back there or remove it, and start again to set up an environment here."
    fi
}

# Leaves a Python 3.11 with its C headers in $PREFIX. What is there stays, unless it is broken or this checkout moved.
make_venv() {
    if [ -e "$UNFINISHED" ] || ! "$PREFIX/bin/python" -c '' 2>/dev/null ||
        { [ -e "$STAMP" ] && [ "$(sed -n 2p "$STAMP")" != "$ROOT" ]; }; then
        "$UV" venv --quiet --clear --python 3.11 "$PREFIX" || die "there is no Python 3.11 and uv could not get one."
        : >"$UNFINISHED"
    fi
    if [ "$(lacks_to_build "$PREFIX/bin/python")" = headers ]; then
        say "Python.h is missing (the python3.11-dev package on Debian and Ubuntu); getting a Python that has it ..."
        "$UV" venv --quiet --clear --managed-python --python 3.11 "$PREFIX" ||
            die "no Python 3.11 with its C headers; install python3.11-dev (or -devel) and start again."
    fi
}

# Fills $PREFIX from the lock. Runs in a subshell: the lock on file 9 ends with it.
install_environment() (
    cd "$ROOT"
    mkdir -p .cache
    exec 9>.cache/setup.lock
    # macOS has no flock command; perl locks the same open file
    if command -v flock >/dev/null; then
        lock() { flock "$@" 9; }
    else
        lock() { perl -MFcntl=:flock -e 'open(my $f, ">&=", 9); exit !flock($f, LOCK_EX | (@ARGV ? LOCK_NB : 0))' "$@"; }
    fi
    if ! lock -n; then
        say "Another start is setting the environment up; waiting for it ..."
        lock
        is_set_up && return
    fi
    say "Setting up the environment in $PREFIX; this takes one to five minutes, and a download of about 3 GB the first time."
    find_uv
    [ -n "$CONDA" ] || make_venv
    rm -f "$STAMP"
    # once here; where Python writes no bytecode, every kernel would do it again, and importing takes twice as long
    export UV_COMPILE_BYTECODE=1
    python="$PREFIX/bin/python"
    "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || die "$python is not a Python 3.11."
    lacks="$(lacks_to_build "$python")"
    case "$lacks" in
    compiler*)
        die "pyradiomics is built from source and needs a C compiler; ${lacks#compiler } is not there." \
            "Install one (gcc or clang; on macOS: xcode-select --install) and start again."
        ;;
    headers) die "pyradiomics is built from source and needs Python.h, which $python lacks." ;;
    esac
    # in a conda environment the packages that conda brought stay
    if [ -n "$CONDA" ]; then
        again=()
        [ -e "$UNFINISHED" ] && again=(--reinstall)
        : >"$UNFINISHED"
        "$UV" pip install --python "$python" ${again[@]+"${again[@]}"} --require-hashes -r requirements.lock
    else
        : >"$UNFINISHED"
        "$UV" pip sync --python "$python" --require-hashes requirements.lock
    fi || die "the packages could not be installed (see above). Start again to go on; what was downloaded is kept."
    "$UV" pip install --quiet --python "$python" --no-deps --no-build-isolation --editable . ||
        die "the softmask package could not be installed (see above)."
    setup_stamp >"$STAMP.part"
    mv "$STAMP.part" "$STAMP"
    rm -f "$UNFINISHED"
    say "The environment stands, after $SECONDS s."
)

# Says where the environment is, whether or not it is there.
find_environment() {
    CONDA=""
    if [ -n "${CONDA_PREFIX:-}" ] && [ "$(basename "${CONDA_DEFAULT_ENV:-}")" = "$ENVIRONMENT" ]; then
        CONDA=yes
        PREFIX="$CONDA_PREFIX"
    else
        PREFIX="$ROOT/.venv"
    fi
    PYTHON="$PREFIX/bin/python"
    STAMP="$PREFIX/.softmask-made-from"
    UNFINISHED="$PREFIX/.softmask-unfinished"
    # an editable install writes the checkout's path, and cannot where letters outside ASCII have no encoding
    if [ "$(locale charmap 2>/dev/null || echo UTF-8)" != UTF-8 ]; then
        export LC_ALL=C.UTF-8
    fi
    # nothing of the user's own Python set-up gets in
    unset PYTHONPATH PYTHONHOME JUPYTER_PATH
    export PYTHONNOUSERSITE=1 JUPYTER_PREFER_ENV_PATH=1
}

setup_environment() {
    find_environment
    if ! is_set_up; then
        [ -n "$CONDA" ] || check_venv
        install_environment
    fi
}

# Leaves in $PYTHON an interpreter that can list the notebooks: the environment's, else the machine's own.
python_for_list() {
    find_environment
    is_set_up && return
    say "The environment is not set up, or for other packages than requirements.lock; ./run_all.sh does that."
    PYTHON=python3
    command -v python3 >/dev/null || die "python3 is missing; install it, or start without --list."
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 8))' ||
        die "the list needs Python 3.8 or newer, and python3 is older; start without --list to set up another one."
    export PYTHONPATH="$ROOT/lib" PYTHONDONTWRITEBYTECODE=1
}
