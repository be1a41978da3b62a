"""The command line of the workbook: ``./run_all.sh`` and ``python -m softmask.workbook``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from softmask.config import PROFILES, ROOT, SOURCES, Config, output_root, whole_path
from softmask.errors import SoftmaskError
from softmask.workbook import runner, state, times
from softmask.workbook.notebook import Notebook, choose, discover
from softmask.workbook.progress import clock
from softmask.workbook.state import Entry

USAGE = 2
FAILURE = 1


class Stopped(KeyboardInterrupt):
    """A signal asked the run to end; ``status`` is the exit status that says which."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


def parser() -> argparse.ArgumentParser:
    """The options, as ``--help`` tells them."""
    options = argparse.ArgumentParser(
        prog="run_all.sh",
        description="Runs the notebooks in order and writes tables, figures and the report. The first start sets "
        "the environment up. What has not changed since it last ran is skipped.",
        epilog="Exit status: 0 all well, 1 a notebook failed, 2 a wrong option or data that is not there. "
        "Real data is looked for in the folder that SOFTMASK_DATA names (default ./data).",
        allow_abbrev=False,
    )
    options.add_argument("--profile", choices=list(PROFILES), help="how much is computed (default cpu)")
    options.add_argument("--data", choices=SOURCES, help="real or embedded data; auto: real where found (default)")
    options.add_argument("--seeds", type=int, metavar="N", help="how many seeds (default: the profile's own)")
    options.add_argument("--only", metavar="02,05", help="only these notebooks (numbers or names)")
    options.add_argument("--from", dest="start", metavar="04", help="this notebook and those after it")
    options.add_argument("--force", action="store_true", help="run notebooks that have not changed, too")
    options.add_argument(
        "--recorded", action="store_true", help="train nothing: tables and figures from the records there are"
    )
    options.add_argument("--fetch", action="store_true", help="first get the real data that is public")
    options.add_argument("--list", action="store_true", help="list the notebooks, their outputs, time and memory")
    return options


def listing(config: Config, books: Sequence[Notebook], entries: Mapping[str, Entry]) -> str:
    """The notebooks, what each regenerates, and the time and memory it takes from scratch, as text."""
    lines, all_taken = [f"Notebooks of {config.run}", ""], []
    for book in books:
        taken = runner.from_scratch(book, config)
        all_taken.append(taken)
        about = f"about {clock(taken.seconds)}" if taken.seconds else "time not known"
        entry = entries.get(book.name)
        last = f"last {clock(entry.seconds)}" if entry and entry.status == state.OK else ""
        lines.append(f"{book.name:<22} {about:<14}  {_gigabytes(taken.memory_mb):<7}  {last:<12}  {book.title}")
        if book.regenerates:
            lines.append(f"{'':<22} regenerates {', '.join(book.regenerates)}")
    seconds = sum(taken.seconds for taken in all_taken)
    memory = max((taken.memory_mb for taken in all_taken), default=0.0)
    lines += ["", f"{'together':<22} {f'about {clock(seconds)}':<14}  {_gigabytes(memory)}".rstrip()]
    return "\n".join([*lines, _known_from(config)])


def _gigabytes(megabytes: float) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes else ""


def _known_from(config: Config) -> str:
    """Which machine's times are told."""
    known = times.load(config)
    if not known:
        return "These are estimates: no earlier run is known. Where all has been trained, it takes less."
    like = "hardware like this" if known[0].here else "another than this machine"
    return f"The longest of earlier runs on {known[0]} ({like}). Where all has been trained, it takes less."


def table(outcomes: Sequence[runner.Outcome]) -> str:
    """What became of each notebook, as text."""
    width = max((len(outcome.name) for outcome in outcomes), default=0)
    lines = [""]
    for outcome in outcomes:
        seconds = clock(outcome.seconds) if outcome.status in (state.OK, state.FAILED) else ""
        reason = outcome.reason.splitlines()[0] if outcome.reason else ""
        reason = f"because {reason}" if outcome.status == state.NOT_RUN else reason
        lines.append(f"{outcome.name:<{width}}  {outcome.status:<9}  {seconds:>7}  {reason}".rstrip())
    return "\n".join(lines)


def beside_committed(config: Config) -> str:
    """How the run's tables compare with the committed ones, in a few lines; empty where none are, and of smoke runs.

    It does not decide the exit status: networks trained on another machine may well differ. ``softmask verify`` has
    one for scripts.
    """
    from softmask.report import kept, verify_cli

    if not config.profile.is_result or not kept.has_committed(config.run):
        return ""
    try:
        return verify_cli.summary(verify_cli.comparison(config.run))
    except SoftmaskError as error:
        return f"The tables were not compared with the committed ones: {error}"


def require_data(config: Config) -> None:
    """With ``--data real``, raise MissingData at once when there are no lidc slices; the rest is each notebook's."""
    from softmask.data import found, open_dataset

    if config.data == "real" and "lidc" not in found(config.data_root):
        open_dataset("lidc", config)


def fetch() -> int:
    """``softmask data fetch``: get what is public into the data folder."""
    from softmask.cli import main as softmask

    return softmask(["data", "fetch"])


def _absolute_paths() -> None:
    """Kernels work in the checkout; a relative path of the caller's must mean the same there."""
    for name in ("SOFTMASK_DATA", "SOFTMASK_OUTPUT", "SOFTMASK_CACHE", "SOFTMASK_RUNS"):
        if os.environ.get(name):
            os.environ[name] = str(whole_path(os.environ[name], name))


def _stop(number: int, frame: object) -> None:
    raise Stopped(number)


def main(argv: Sequence[str] | None = None, folder: Path = ROOT / "notebooks") -> int:
    """Run the workbook; the exit status (see ``--help``)."""
    try:
        chosen = parser().parse_args(argv)
    except SystemExit as end:  # argparse has printed what is wrong, or the help
        return int(end.code or 0)
    previous = {name: signal.signal(name, _stop) for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        _absolute_paths()
        return _run(chosen, folder)
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
    except Stopped as stopped:
        print(f"run_all.sh: stopped by {stopped}; the next start goes on from here", file=sys.stderr)
        return stopped.status
    finally:
        for name, handler in previous.items():
            signal.signal(name, handler)


def _run(chosen: argparse.Namespace, folder: Path) -> int:
    if chosen.recorded:
        os.environ["SOFTMASK_RECORDED"] = "1"  # the notebooks' kernels read it, too
    config = Config.from_parameters(chosen.profile, chosen.data, chosen.seeds)
    books = discover(folder)
    selected = choose(books, chosen.only, chosen.start)
    if chosen.list:
        print(listing(config, selected, state.load(config)))
        return 0
    if not selected:
        print(f"run_all.sh: there are no notebooks in {folder}", file=sys.stderr)
        return USAGE
    if chosen.fetch:
        status = fetch()
        if status:
            return status
    require_data(config)
    with runner.only_one(config):
        outcomes = runner.run(config, books, selected, chosen.force)
    print(table(outcomes))
    where = config.results
    print(f"\nResults are in {where.relative_to(Path.cwd()) if where.is_relative_to(Path.cwd()) else where}")
    if said := beside_committed(config):
        print(f"\n{said}")
    return 0 if all(outcome.good for outcome in outcomes) else FAILURE
