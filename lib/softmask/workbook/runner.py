"""Execution of the notebooks of a run with papermill, in order, except unchanged ones and those that need a failed one.

Each notebook runs in a kernel of this Python interpreter, which ends with the process that runs the notebook.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import platform
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from softmask.config import ROOT, Config, cache_root
from softmask.data import real_paths
from softmask.errors import ConfigError
from softmask.files import remove_parts, sha256_of, write_atomic
from softmask.machine import clock, cores
from softmask.workbook import state
from softmask.workbook.notebook import Notebook, NotebookError
from softmask.workbook.state import FAILED, NOT_RUN, OK, RUNNING, UNCHANGED, Cost, Entry

LAST_LINES = 15
MEMORY_EVERY = 1.0
"""Seconds between two measurements of the memory of a kernel and its processes."""

# IPython itself does not notice a runner that is killed while the kernel starts.
_KERNEL = """\
import os
from softmask.machine import end_with
end_with(int(os.environ["JPY_PARENT_PID"]))  # set by jupyter_client
from ipykernel.kernelapp import launch_new_instance  # takes seconds, which are watched already
launch_new_instance()
"""
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_running: dict[Path, list[int]] = {}
"""Scratch folder of each notebook that is being executed, with the process groups of its kernels."""


class Failed(NotebookError):
    """Error of a failed notebook: ``str()`` is the reason in one line, ``detail`` the last lines of trace or log."""

    def __init__(self, reason: str, detail: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.detail = "\n".join(detail[-LAST_LINES:])


@contextlib.contextmanager
def only_one(config: Config) -> Iterator[None]:
    """Prevent two runs from writing the same results at once (ConfigError); remove incomplete files of a killed run."""
    path = cache_root() / "locks" / f"{config.run}-{sha256_of(str(config.results))[:12]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=0)
    try:
        acquired = lock.acquire()
    except Timeout:
        raise ConfigError(f"another start is already running the notebooks of {config.run}; wait for it") from None
    with acquired:
        remove_parts(config.results)
        remove_parts(config.figures)
        yield


def run(config: Config, books: Sequence[Notebook], chosen: Sequence[Notebook], force: bool = False) -> list[Entry]:
    """Run the ``chosen`` notebooks of all ``books`` and return the outcome of each.

    Executed copies go to ``results/<run>/notebooks``; the state is saved after every notebook. ``force`` also runs
    unchanged notebooks.
    """
    parameters = {"profile": config.profile.name, "data": config.data, "seeds": config.seeds}
    common = sha256_of(common_digest(config), repr(sorted(parameters.items())))
    entries = state.load(config)
    outcomes: list[Entry] = []
    digests: dict[str, str] = {}  # of code, parameters, package and data, and of the notebooks needed
    for book in books:
        digests[book.name] = sha256_of(common, *(f"{name} {digests[name]}" for name in sorted(book.needs)), *book.code)

    def digest_of(book: Notebook, outputs: Sequence[str]) -> str:
        """Return the digest of everything ``book`` depends on. A notebook that runs last also depends on every file of
        the run except its own ``outputs``, and on the outcomes of the others."""
        if not book.last:
            return digests[book.name]
        other_entries = [entry for entry in entries.values() if entry.name != book.name]
        lines = [f"{entry.name} {entry.status} {entry.digest} {entry.finished}" for entry in other_entries]
        lines += [f"{path} {stat}" for path, stat in state.outputs_now(config).items() if path not in outputs]
        return sha256_of(digests[book.name], *sorted(lines))

    def remember(entry: Entry) -> Entry:
        entries[entry.name] = entry
        state.save(config, [entries[book.name] for book in books if book.name in entries])
        return entry

    for number, book in enumerate(chosen, start=1):
        title = f"[{number}/{len(chosen)}] {book.name}"
        entry = entries.get(book.name)
        if failed_needs := [entries[name] for name in book.needs if name in entries and entries[name].status != OK]:
            status_text = "failed" if failed_needs[0].status == FAILED else "was not run"
            ran_earlier = failed_needs[0].name not in {outcome.name for outcome in outcomes}
            reason = f"{failed_needs[0].name} {'failed when it last ran' if ran_earlier else status_text}"
            outcome = remember(Entry(book.name, NOT_RUN, reason=reason))
            print(f"{title}: not run, because {reason}", flush=True)
        elif entry and not force and entry.unchanged(digest_of(book, entry.outputs)):
            outcome = replace(entry, status=UNCHANGED)
            print(f"{title}: unchanged, skipped", flush=True)
        else:
            remember(Entry(book.name, RUNNING, reason="was stopped while it ran"))  # remains if killed
            stats_before = state.outputs_now(config)
            outcome = _run_one(book, parameters, config, title)
            stats_after = state.outputs_now(config)
            outputs = tuple(sorted(path for path, stat in stats_after.items() if stats_before.get(path) != stat))
            finished = datetime.now(UTC).isoformat(timespec="microseconds")
            outcome = remember(replace(outcome, digest=digest_of(book, outputs), finished=finished, outputs=outputs))
        outcomes.append(outcome)
    return outcomes


def _run_one(book: Notebook, parameters: Mapping, config: Config, title: str) -> Entry:
    """Execute ``book``, print and return the outcome, and store its time and memory."""
    began = time.monotonic()
    try:
        memory = execute(book, parameters, config.results / "notebooks" / book.path.name, title)
    except NotebookError as error:
        seconds = round(time.monotonic() - began, 1)
        detail = "".join(f"\n    {line}" for line in getattr(error, "detail", "").splitlines())
        print(f"{title}: FAILED after {clock(seconds)}, {error}{detail}", flush=True)
        return Entry(book.name, FAILED, seconds, str(error))
    seconds = round(time.monotonic() - began, 1)
    print(f"{title}: ok, {clock(seconds)}", flush=True)
    state.add_time(config, book.name, Cost(seconds, round(memory / 1e6, 1)))
    return Entry(book.name, OK, seconds)


def code_digest(root: Path = ROOT) -> str:
    """Return a digest of the packages' sources and data files, ``requirements.lock`` and the Python version."""
    files = sorted(path for path in (root / "lib").rglob("*") if path.suffix in (".py", ".yaml", ".j2"))
    named_files = ((path.relative_to(root).as_posix(), path) for path in (*files, root / "requirements.lock"))
    return sha256_of(platform.python_version(), *itertools.chain.from_iterable(named_files))


def data_digest(root: Path, places: Iterable[Path]) -> str:
    """Return a digest of names, sizes and modification times, not of content, of the data sets at ``places`` and of the
    plain files directly in ``root``, such as a flags file."""
    root_files = [path for path in root.iterdir() if path.is_file()] if root.is_dir() else []
    files = [path for place in {*places, *root_files} for path in (place, *place.rglob("*"))]  # does not follow links
    stats = ((path.relative_to(root), os.lstat(path)) for path in sorted(set(files)) if not path.is_dir())
    return sha256_of("\n".join(f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats))


def common_digest(config: Config) -> str:
    """Return a digest of what all notebooks of a run depend on; embedded data is part of the locked packages."""
    root = config.data_root
    data = "embedded" if config.data == "embedded" else data_digest(root, real_paths(root).values())
    records = sorted((config.results / "records").glob("*.json")) if config.recorded else ["trained"]
    return sha256_of(code_digest(), data, *records)


def execute(book: Notebook, parameters: Mapping[str, object], target: Path, title: str = "") -> int:
    """Execute ``book`` with ``parameters`` in the checkout, and return the peak memory in bytes.

    The executed copy goes to ``target``, also when the notebook fails (it then shows the error). Raises NotebookError
    when the parameters are not declared; :class:`Failed` for an error, a cell that did not run or a kernel that died.
    """
    import nbformat
    import papermill

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # its log would repeat the failure
    unknown_names = [name for name in parameters if name not in papermill.inspect_notebook(str(book.path))]
    if unknown_names:
        remedy = "assign profile, data and seeds in a cell with the tag 'parameters'"
        raise NotebookError(f"{book.path.name} does not declare the parameter {', '.join(unknown_names)}: {remedy}")
    is_terminal = sys.stdout.isatty()
    bar_options = {"desc": title, "bar_format": "{desc}  cell {n_fmt}/{total_fmt}  {elapsed}", "file": sys.stdout}
    failure, peak = None, [0]
    scratch = Path(tempfile.mkdtemp(prefix="softmask-"))
    kernels = _running[scratch] = []
    copy = scratch / target.name
    try:
        with open(scratch / "kernel.log", "w+b") as log, _peak_memory(kernels, peak):
            try:
                papermill.execute_notebook(
                    book.path,
                    copy,
                    parameters=dict(parameters),
                    kernel_name="python3",  # name stored in the copy; the manager chooses the interpreter
                    language="python",
                    progress_bar={**bar_options, "leave": not is_terminal, "mininterval": 0.1 if is_terminal else 60},
                    cwd=ROOT,
                    start_timeout=120,
                    kernel_manager_class=_kernel_manager(book.name, scratch, log),
                )
            except papermill.PapermillExecutionError:
                pass  # the copy holds the error output, which check_executed reports
            except Exception as error:  # a kernel that died or did not start raises one of several types
                log.seek(0)
                last_words = log.read().decode(errors="replace").splitlines()
                failure = Failed(f"{type(error).__name__}: {error}", last_words)
        if copy.exists():
            content = nbformat.read(copy, as_version=4)
            content.metadata.get("papermill", {}).update(input_path=book.path.name, output_path=target.name)
            write_atomic(target, nbformat.writes(content) + "\n")
            if failure is None:
                check_executed(content)
        if failure is not None:
            raise failure
        return peak[0]
    finally:
        end_kernels()
        del _running[scratch]


def end_kernels() -> None:
    """End the kernels that are running, with all processes they have started, and remove their scratch folders."""
    for scratch, groups in _running.items():
        for group in groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        shutil.rmtree(scratch, ignore_errors=True)


def check_executed(content: Mapping) -> None:
    """Raise Failed unless every code cell of an executed notebook (its JSON) has run and none shows an error.

    papermill ignores errors in cells with the tag ``raises-exception``, and ``sys.exit()``.
    """
    for cell in content["cells"]:
        if cell["cell_type"] != "code" or not "".join(cell["source"]).strip():
            continue
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                trace = _ANSI.sub("", "\n".join(output.get("traceback", []))).splitlines()
                raise Failed(f"In [{cell['execution_count']}]: {output['ename']}: {output['evalue']}", trace)
        if cell.get("execution_count") is None:
            raise Failed(f"a cell did not run: {''.join(cell['source']).strip().splitlines()[0]}")


def _kernel_manager(name: str, scratch: Path, log: IO[bytes]) -> type:
    """Return a kernel manager that starts this interpreter, whatever kernels are installed, with output to ``log``."""
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec

    # -P: import no module from the working directory
    command = [sys.executable, "-P", "-c", _KERNEL, "-f", "{connection_file}"]
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | {
        "SOFTMASK_NOTEBOOK": name,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "IPYTHONDIR": str(scratch / "ipython"),
        "PYTHONHASHSEED": "0",
        "PYTHONNOUSERSITE": "1",
        **{variable: os.environ.get(variable) or str(cores()) for variable in threads},
    }

    class ThisInterpreter(AsyncKernelManager):
        kernel_spec = KernelSpec(argv=command, display_name="softmask", language="python")

        def _transport_default(self) -> str:
            # sockets in the private folder, unless their paths would be too long for a socket
            return "ipc" if len(str(scratch)) < 80 else "tcp"

        def _connection_file_default(self) -> str:
            return str(scratch / "kernel.json")

        async def start_kernel(self, **options) -> None:
            await super().start_kernel(env=environment, stdout=log, stderr=log, **options)
            _running[scratch].append(self.provisioner.process.pid)  # it leads a process group

    return ThisInterpreter


def memory_of(pid: int) -> int:
    """Return the memory, in bytes, of a process and its descendants; shared memory counts once where reported."""
    import psutil

    total = 0
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                memory = process.memory_full_info()
                total += getattr(memory, "pss", memory.rss)
    return total


@contextlib.contextmanager
def _peak_memory(pids: Sequence[int], peak: list[int]) -> Iterator[None]:
    """Store in ``peak[0]`` the peak memory, in bytes, of all ``pids`` together; ``pids`` may grow in the meantime."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(MEMORY_EVERY):
            peak[0] = max(peak[0], sum(map(memory_of, pids)))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
