"""One notebook under papermill: this interpreter as its kernel, every cell run, no error output."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from softmask import config as settings
from softmask.files import write_atomic
from softmask.workbook.memory import Peak
from softmask.workbook.notebook import Notebook, NotebookError

LAST_LINES = 15
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Failed(NotebookError):
    """A notebook that did not run as it should: ``str()`` is the reason in a line, ``detail`` the last lines."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.detail = detail


def kernel_environment(name: str, scratch: Path) -> dict[str, str]:
    """The environment variables of the kernel that runs notebook ``name``.

    No user start-up files, no user packages, inline figures, a fixed hash seed, and as many threads as there are
    cores to use (a container's limit counts) unless the caller has chosen otherwise.
    """
    from joblib import cpu_count

    environment = {
        "SOFTMASK_NOTEBOOK": name,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "IPYTHONDIR": str(scratch / "ipython"),
        "PYTHONHASHSEED": "0",
        "PYTHONNOUSERSITE": "1",
    }
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[variable] = os.environ.get(variable) or str(cpu_count())
    return environment


def _kernel_manager(environment: Mapping[str, str], scratch: Path, log: IO[bytes], started: list[int]) -> type:
    """A kernel manager that starts this interpreter, whatever kernels a user has installed under any name.

    What the kernel's process itself prints, such as the words a crash leaves, goes to ``log``; its process group (it
    leads one) is added to ``started``.
    """
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec

    spec = KernelSpec(
        # -P: no module is taken from the working directory
        argv=[sys.executable, "-P", "-m", "softmask.workbook.kernel", "-f", "{connection_file}"],
        display_name="softmask",
        language="python",
        # jupyter_client substitutes ${...} in these
        env={name: value.replace("$", "$$") for name, value in environment.items()},
    )

    class ThisInterpreter(AsyncKernelManager):
        kernel_spec = spec

        def _transport_default(self) -> str:
            # sockets in the private folder, unless their paths would be longer than a socket's may be
            return "ipc" if len(str(scratch)) < 80 else "tcp"

        def _connection_file_default(self) -> str:
            return str(scratch / "kernel.json")

        async def start_kernel(self, **options) -> None:
            await super().start_kernel(stdout=log, stderr=log, **options)
            started.append(self.provisioner.process.pid)

    return ThisInterpreter


def _in_thread(work: Callable[[], object], kernels: list[int]) -> None:
    """Call ``work`` in a thread and wait for it; when the wait is interrupted, end its ``kernels`` and it with them.

    A signal raises its exception in the main thread, wherever that is. In the midst of the event loop that talks to
    the kernel, it could be lost or leave the kernel behind; in this wait it cannot.
    """
    done, errors = threading.Event(), []

    def call() -> None:
        try:
            work()
        except BaseException as error:  # handed on below
            errors.append(error)
        finally:
            done.set()

    threading.Thread(target=call, daemon=True).start()
    try:
        done.wait()
    except BaseException:
        while not done.wait(0.05):  # a kernel that is just being started is ended when it is there
            for group in kernels:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)
        raise
    if errors:
        raise errors[0]


def _is_injected(cell: Mapping) -> bool:
    """Whether papermill put the cell in, with the parameters: such a cell is not counted as one of the notebook's."""
    return "injected-parameters" in cell.get("metadata", {}).get("tags", [])


def check_executed(content: Mapping) -> None:
    """Raise Failed unless every code cell of an executed notebook has run and none shows an error.

    Args:
        content: the notebook, as nbformat or the JSON file gives it.
    """
    position = 0
    for cell in content["cells"]:
        if cell["cell_type"] != "code" or not "".join(cell["source"]).strip():
            continue
        position += not _is_injected(cell)
        where = f"code cell {position}"
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                trace = _ANSI.sub("", "\n".join(output.get("traceback", []))).splitlines()
                raise Failed(f"{where}: {output['ename']}: {output['evalue']}", "\n".join(trace[-LAST_LINES:]))
        if cell.get("execution_count") is None:
            raise Failed(f"{where} did not run")


def execute(
    book: Notebook,
    parameters: Mapping[str, object],
    target: Path,
    on_cell: Callable[[int], None] = lambda number: None,
) -> int:
    """Execute ``book`` with ``parameters``, in the checkout as working directory; the executed copy goes to ``target``.

    The copy is written whole, also when the notebook fails (it then shows the error). Returns the most bytes of memory
    that the kernel and its processes held, as :mod:`softmask.workbook.memory` tells.

    Args:
        on_cell: called with the number, from 1, of each code cell as it starts.

    Raises:
        NotebookError: when the parameters do not fit; :class:`Failed` for an error output, a cell that did not run
            or a kernel that died.
    """
    import nbformat
    import papermill

    book.check_parameters(parameters)
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what it would log is said in the failure
    started = 0

    def cell_starts(cell, cell_index) -> None:
        nonlocal started
        if cell.cell_type == "code" and cell.source.strip() and not _is_injected(cell):
            started += 1
            on_cell(started)

    with (
        tempfile.TemporaryDirectory(prefix="softmask-", ignore_cleanup_errors=True) as folder,
        open(Path(folder, "kernel.log"), "w+b") as log,
    ):
        scratch = Path(folder)
        copy = scratch / target.name
        kernels: list[int] = []
        manager = _kernel_manager(kernel_environment(book.name, scratch), scratch, log, kernels)
        run = functools.partial(
            papermill.execute_notebook,
            book.path,
            copy,
            parameters=dict(parameters),
            kernel_name="python3",  # the name the copy carries; the manager decides what is started
            language="python",
            progress_bar=False,
            cwd=settings.ROOT,
            start_timeout=120,
            kernel_manager_class=manager,
            on_cell_start=cell_starts,
        )
        failure: Failed | None = None
        peak = Peak(kernels)
        try:
            with peak:
                _in_thread(run, kernels)
        except papermill.PapermillExecutionError:
            pass  # the copy holds the error output, which check_executed reports
        except Exception as error:  # a dead kernel, or one that did not start, comes as one of several types
            log.seek(0)
            last_words = log.read().decode(errors="replace").splitlines()[-LAST_LINES:]
            where = f"code cell {started}" if started else "before the first cell"
            failure = Failed(f"{where}: {type(error).__name__}: {error}", "\n".join(last_words))
        if copy.exists():
            content = nbformat.read(copy, as_version=4)
            content.metadata.get("papermill", {}).update(input_path=book.path.name, output_path=target.name)
            write_atomic(target, nbformat.writes(content) + "\n")
            if failure is None:
                check_executed(content)
        if failure is not None:
            raise failure
        return peak.bytes
