#!/usr/bin/env bash
# Sets the environment up where that is needed, then runs the notebooks in order.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)" # through a link, the environment is the same
. "$ROOT/tools/setup.sh"

usage() {
    cat <<'TEXT'
Usage: ./run_all.sh [options]

Sets the environment up where that is needed, then runs the notebooks in order: tables and figures of the five papers,
each beside the printed one, and the report. What has not changed since it last ran is skipped.

  --profile smoke|cpu|night|full
                              how much is computed: to see that all runs; on a CPU (the default); the results that
                              count: some 140 core-hours on a CPU, hours on a GPU, resumable at any time; as in the papers
  --data auto|embedded|real   real or embedded data; auto takes the real data where it is found (the default)
  --seeds N                   how many seeds (default: the profile's own)
  --only 02,05                only these notebooks, by number or name
  --from 04                   this notebook and those after it
  --force                     run notebooks that have not changed, too
  --recorded                  train nothing: tables and figures from the records that are there; rows without say that
                              they are not finished
  --fetch                     first get the real data that is public without registration
  --list                      list the notebooks, what each regenerates, the time and memory it takes; sets nothing up
  --lab [options]             open JupyterLab instead, on a page that links the notebooks in order; goes first, and
                              what follows goes to JupyterLab, such as --no-browser or --port 9000;
                              as root in a container: --allow-root --ip=0.0.0.0 --no-browser
  --help                      this text

Real data is looked for in the folder that SOFTMASK_DATA names (default ./data).
At the end the tables are compared with the committed ones (.venv/bin/softmask verify tells more).
Exit status: 0 all well, 1 a notebook or the set-up failed, 2 a wrong option or data that is not there.
TEXT
}

lab=""
list=""
if [ "${1:-}" = --lab ]; then
    lab=yes
    shift
    if [ "$EUID" = 0 ] && [[ " $* " != *" --allow-root "* ]]; then # before the set-up
        say "run_all.sh: as root, JupyterLab starts only with ./run_all.sh --lab --allow-root (in a container, add --ip=0.0.0.0 --no-browser)"
        exit 2
    fi
fi
for argument in "$@"; do # before the set-up, which may take minutes
    [ -z "$lab" ] || break
    case "$argument" in
    -h | --help)
        usage
        exit 0
        ;;
    --lab)
        say "run_all.sh: --lab comes first; SOFTMASK_PROFILE=smoke ./run_all.sh --lab makes every notebook quick"
        exit 2
        ;;
    --profile | --profile=* | --data | --data=* | --seeds | --seeds=* | --only | --only=* | --from | --from=*) ;;
    --force | --recorded | --fetch) ;;
    --list) list=yes ;;
    -*)
        say "run_all.sh: there is no option $argument; ./run_all.sh --help lists them"
        exit 2
        ;;
    esac
done

if [ -n "$list" ]; then
    python_for_list
else
    setup_environment
fi
if [ -n "$lab" ]; then
    "$PYTHON" -m softmask.workbook.cli --start-page "$ROOT/notebooks"
    # settings and layout are the checkout's: those that a user has elsewhere stay as they are
    exec "$PYTHON" -m jupyterlab --ServerApp.root_dir="$ROOT" --LabApp.default_url=/lab/tree/notebooks/START.md \
        --LabApp.app_settings_dir="$ROOT/tools/jupyterlab" --LabApp.workspaces_dir="$ROOT/.cache/jupyterlab" "$@"
fi
exec "$PYTHON" -m softmask.workbook.cli "$@"
