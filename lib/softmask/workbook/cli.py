"""Command line of the workbook, behind ``./run_all.sh``, whose ``--help`` describes the options."""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from softmask.config import PROFILES, ROOT, SOURCES, Config, output_root
from softmask.errors import SoftmaskError
from softmask.files import whole_path, write_atomic
from softmask.machine import clock
from softmask.workbook import state
from softmask.workbook.notebook import PATTERN, Notebook, choose, discover, load

USAGE = 2
FAILURE = 1
START = "START.md"
"""Name of the page that JupyterLab opens first, in the folder of the notebooks."""
SECTIONS = (
    ("The workbook", "The five papers, in this order.", PATTERN),
    ("Interactive labelling", "The soft mask of a nodule under sliders.", "explore.ipynb"),
    ("Lessons", "A course on soft-mask segmentation, with exercises.", "teaching/*.ipynb"),
)
"""Sections of the page: heading, sentence below it, and pattern of the notebooks listed there."""
START_TEXT = (
    "A click opens a notebook; *Run > Run All Cells* runs it, Shift-Enter runs cell by cell. Change what you like: "
    "parameters stand in the first code cell, settings are the arguments of the calls, and what is called is in "
    "`lib/softmask`.\n"
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    usage = "./run_all.sh --help lists the options"
    options = argparse.ArgumentParser(prog="run_all.sh", usage=usage, add_help=False, allow_abbrev=False)
    options.add_argument("--profile", choices=list(PROFILES))
    options.add_argument("--data", choices=SOURCES)
    options.add_argument("--seeds", type=int)
    options.add_argument("--only")
    options.add_argument("--from", dest="start")
    for name in ("--force", "--recorded", "--fetch", "--list"):
        options.add_argument(name, action="store_true")
    options.add_argument("--start-page", type=Path)  # for run_all.sh --lab
    return options


def main(argv: Sequence[str] | None = None, folder: Path = ROOT / "notebooks") -> int:
    """Run the workbook; return the exit status: 0 success, 1 notebook or file failed, 2 wrong option or no data."""
    try:
        arguments = parser().parse_args(argv)
    except SystemExit as system_exit:  # argparse has printed the error
        return int(system_exit.code or 0)
    old_handlers = {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        # kernels run in the checkout, where relative paths of the caller would have another meaning
        for name in ("SOFTMASK_DATA", "SOFTMASK_OUTPUT", "SOFTMASK_CACHE", "SOFTMASK_RUNS"):
            if os.environ.get(name):
                os.environ[name] = str(whole_path(os.environ[name], name))
        if arguments.recorded:
            os.environ["SOFTMASK_RECORDED"] = "1"  # the kernels also read it
        return _run(arguments, folder)
    except SoftmaskError as error:
        print(f"run_all.sh: {error}", file=sys.stderr)
        return USAGE
    except OSError as error:
        print(
            f"run_all.sh: {error.filename or output_root()}: {error.strerror}; make it writable and free some space, "
            "or set SOFTMASK_OUTPUT and SOFTMASK_CACHE elsewhere; the next start goes on from here",
            file=sys.stderr,
        )
        return FAILURE
    finally:
        for number, handler in old_handlers.items():
            signal.signal(number, handler)


def _stop(number: int, frame: object) -> None:
    """End immediately at a signal: an exception could be lost in the event loop that talks to the kernel."""
    end_kernels = getattr(sys.modules.get("softmask.workbook.runner"), "end_kernels", None)
    if end_kernels:  # None until the module is imported: no kernel runs before
        end_kernels()
    name = signal.Signals(number).name
    os.write(2, f"\nrun_all.sh: stopped by {name}; the next start goes on from here\n".encode())
    os._exit(128 + number)


def _configured(arguments: argparse.Namespace) -> Config:
    """Return the settings; packages are needed only to find out which real data a data folder contains."""
    config = Config.from_parameters(arguments.profile, arguments.data, arguments.seeds)
    if config.data != "auto":
        return config
    if config.data_root.is_dir():
        try:
            from softmask.data import configure

            return configure(arguments.profile, arguments.data, arguments.seeds)
        except ImportError:
            if not arguments.list:
                raise
            warning = f"run_all.sh: real data in {config.data_root} is not looked for before the set-up"
            print(f"{warning}; this is the list for embedded data", file=sys.stderr)
    return dataclasses.replace(config, data="embedded")


def _run(arguments: argparse.Namespace, folder: Path) -> int:
    config = _configured(arguments)
    if arguments.start_page:
        write_atomic(arguments.start_page / START, start_page(arguments.start_page, config))
        return 0
    books = discover(folder)
    selected = choose(books, arguments.only, arguments.start)
    if arguments.list:
        print(listing(config, selected, state.load(config)))
        return 0
    if not selected:
        print(f"run_all.sh: there are no notebooks in {folder}", file=sys.stderr)
        return USAGE
    from softmask.data import open_dataset, real_paths
    from softmask.report import verify
    from softmask.workbook import runner

    if arguments.fetch:
        from softmask.cli import main as softmask

        if status := softmask(["data", "fetch"]):
            return status
        config = _configured(arguments)  # with the new data
    if config.data == "real" and not config.recorded and "lidc" not in real_paths(config.data_root):
        open_dataset("lidc", config)  # raises MissingData early; the notebooks check other data sets
    with runner.only_one(config):
        outcomes = runner.run(config, books, selected, arguments.force)
    width = max((len(outcome.name) for outcome in outcomes), default=0)
    print()
    for outcome in outcomes:
        seconds = clock(outcome.seconds) if outcome.status in (state.OK, state.FAILED) else ""
        reason = "" if outcome.status == state.UNCHANGED else outcome.reason.partition("\n")[0]
        print(f"{outcome.name:<{width}}  {outcome.status:<9}  {seconds:>7}  {reason}".rstrip())
    results = config.results
    print(f"\nResults are in {results.relative_to(Path.cwd()) if results.is_relative_to(Path.cwd()) else results}")
    if config.profile.is_result and verify.has_committed(config.run):
        # does not affect the exit status: networks trained on another machine may differ
        try:
            print(f"\n{verify.summary(verify.compare(config.run))}")
        except SoftmaskError as error:
            print(f"\nThe tables were not compared with the committed ones: {error}")
    return 0 if all(outcome.status in (state.OK, state.UNCHANGED) for outcome in outcomes) else FAILURE


def listing(config: Config, books: Sequence[Notebook], entries: Mapping[str, state.Entry]) -> str:
    """Return the notebooks, what each regenerates, and the time and memory it takes from scratch, as text."""
    lines, costs = [f"Notebooks of {config.run}", ""], [state.expected(book, config) for book in books]
    for book, cost in zip(books, costs):  # noqa: B905 (Python 3.8 has no strict)
        entry = entries.get(book.name)
        last_run = f"last {clock(entry.seconds)}" if entry and entry.status == state.OK else ""
        lines.append(f"{book.name:<22} {_cost(cost)}  {last_run:<12}  {book.title}")
        if book.regenerates:
            lines.append(f"{'':<22} regenerates {', '.join(book.regenerates)}")
    total = state.Cost(sum(cost.seconds for cost in costs), max((cost.memory_mb for cost in costs), default=0.0))
    lines += ["", f"{'together':<22} {_cost(total)}".rstrip()]
    origin = "These are estimates: no earlier run is known."
    for machine in [*state.load_times(config)][:1]:
        comparison = "hardware like this" if machine == state.hardware() else "another than this machine"
        origin = f"The longest of earlier runs on {machine[0]}, cores: {machine[1]} ({comparison})."
    return "\n".join([*lines, f"{origin} Where all has been trained, it takes less."])


def _cost(cost: state.Cost) -> str:
    time = f"about {clock(cost.seconds)}" if cost.seconds else "time not known"
    memory = f"{cost.memory_mb / 1000:.1f} GB" if cost.memory_mb else ""
    return f"{time:<14}  {memory:<7}"


def start_page(folder: Path, config: Config) -> str:
    """Return the page for the notebooks of ``folder``, as Markdown; unreadable notebooks are listed with the reason."""
    lines = ["# The soft-mask workbook", "", START_TEXT]
    for title, sentence, pattern in SECTIONS:
        rows = [_row(path, folder, config) for path in sorted(folder.glob(pattern))]
        if rows:
            lines += [f"## {title}", "", sentence, "", f"| notebook | what it shows | time ({config.profile.name}) |"]
            lines += ["|---|---|---|", *rows, ""]
    reports = sorted((folder.parent / "results").glob("*/report.html"))
    if reports:
        lines += ["## Reports", "", "Every table and figure, printed and measured, of the runs that are there.", ""]
        lines += [f"- [{path.parent.name}](../results/{path.parent.name}/report.html)" for path in reports]
    return "\n".join(lines).rstrip() + "\n"


def _row(path: Path, folder: Path, config: Config) -> str:
    title, goal, time = path.stem, "", ""
    try:
        book = load(path)
    except SoftmaskError as error:
        goal = str(error)
    else:
        title = f"{int(book.number)} · {book.title}" if book.number.isdigit() else book.title
        goal = book.goal
        if config.profile.name in book.seconds:
            time = clock(book.seconds[config.profile.name])
    title, goal = (" ".join(text.split()).replace("|", "\\|") for text in (title, goal))
    return f"| [{title}]({path.relative_to(folder).as_posix()}) | {goal} | {time} |"


if __name__ == "__main__":
    sys.exit(main())
