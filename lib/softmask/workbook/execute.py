"""One notebook under papermill, in a kernel of this interpreter that ends with the process that runs it."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from softmask.config import ROOT
from softmask.files import write_atomic
from softmask.machine import cores
from softmask.workbook.notebook import Notebook, NotebookError

LAST_LINES = 15
MEMORY_EVERY = 1.0
"""Seconds between two looks at the memory that a kernel and its processes hold."""

# IPython's own watch misses a runner that is killed while the kernel is being started.
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
    """A notebook that did not run as it should: ``str()`` is the reason in a line, ``detail`` the last lines."""

    def __init__(self, reason: str, detail: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.detail = "\n".join(detail[-LAST_LINES:])


def end_kernels() -> None:
    """End the kernels that are running, with all processes they have started, and remove their scratch folders."""
    for scratch, groups in _running.items():
        for group in groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        shutil.rmtree(scratch, ignore_errors=True)


def kernel_environment(name: str, scratch: Path) -> dict[str, str]:
    """Return the environment variables of the kernel that runs notebook ``name``.

    No user start-up files, no user packages, inline figures, a fixed hash seed, and as many threads as there are
    cores to use (a container's limit counts) unless the caller has chosen otherwise.
    """
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return os.environ | {
        "SOFTMASK_NOTEBOOK": name,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "IPYTHONDIR": str(scratch / "ipython"),
        "PYTHONHASHSEED": "0",
        "PYTHONNOUSERSITE": "1",
        **{variable: os.environ.get(variable) or str(cores()) for variable in threads},
    }


def _kernel_manager(name: str, scratch: Path, log: IO[bytes]) -> type:
    """A kernel manager that starts this interpreter, whatever kernels a user has installed under any name.

    What the kernel's process itself prints, such as the words a crash leaves, goes to ``log``.
    """
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec

    # -P: no module is taken from the working directory
    command = [sys.executable, "-P", "-c", _KERNEL, "-f", "{connection_file}"]

    class ThisInterpreter(AsyncKernelManager):
        kernel_spec = KernelSpec(argv=command, display_name="softmask", language="python")

        def _transport_default(self) -> str:
            # sockets in the private folder, unless their paths would be longer than a socket's may be
            return "ipc" if len(str(scratch)) < 80 else "tcp"

        def _connection_file_default(self) -> str:
            return str(scratch / "kernel.json")

        async def start_kernel(self, **options) -> None:
            environment = kernel_environment(name, scratch)
            await super().start_kernel(env=environment, stdout=log, stderr=log, **options)
            _running[scratch].append(self.provisioner.process.pid)  # it leads a process group

    return ThisInterpreter


def memory_of(pid: int) -> int:
    """Return the bytes that a process and its descendants hold, what they share counted once where the system tells."""
    import psutil

    held = 0
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                memory = process.memory_full_info()
                held += getattr(memory, "pss", memory.rss)
    return held


@contextlib.contextmanager
def _peak_memory(pids: Sequence[int], peak: list[int]):
    """Keep in ``peak[0]`` the most bytes that ``pids``, to which others may be added, hold at once."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(MEMORY_EVERY):
            peak[0] = max(peak[0], sum(map(memory_of, pids)))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def check_executed(content: Mapping) -> None:
    """Raise Failed unless every code cell of an executed notebook (its JSON) has run and none shows an error.

    papermill lets an error pass that ``raises-exception`` allows for or that is ``sys.exit()``.
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


def execute(book: Notebook, parameters: Mapping[str, object], target: Path, title: str = "") -> int:
    """Execute ``book`` with ``parameters``, in the checkout as working directory; the executed copy goes to ``target``.

    The copy is written whole, also when the notebook fails (it then shows the error). papermill's progress bar bears
    the ``title``. Returns the most bytes of memory that the kernel and its processes held.

    Raises:
        NotebookError: when the notebook does not declare the parameters; :class:`Failed` for an error output, a cell
            that did not run or a kernel that died.
    """
    import nbformat
    import papermill

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what it would log is said in the failure
    declared = papermill.inspect_notebook(str(book.path))
    unknown = [name for name in parameters if name not in declared]
    if unknown:
        raise NotebookError(
            f"{book.path.name} does not declare the parameter {', '.join(unknown)}: assign profile, data and seeds in "
            "a cell with the tag 'parameters'"
        )
    live = sys.stdout.isatty()
    bar = {"desc": title, "bar_format": "{desc}  cell {n_fmt}/{total_fmt}  {elapsed}", "file": sys.stdout}
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
                    kernel_name="python3",  # the name the copy carries; the manager decides what is started
                    language="python",
                    progress_bar={**bar, "leave": not live, "mininterval": 0.1 if live else 60},
                    cwd=ROOT,
                    start_timeout=120,
                    kernel_manager_class=_kernel_manager(book.name, scratch, log),
                )
            except papermill.PapermillExecutionError:
                pass  # the copy holds the error output, which check_executed reports
            except Exception as error:  # a dead kernel, or one that did not start, comes as one of several types
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
