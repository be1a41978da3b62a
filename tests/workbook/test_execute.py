import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from softmask.config import ROOT
from softmask.workbook.notebook import NotebookError, load
from softmask.workbook.runner import Failed, check_executed, execute, memory_of

GIVEN = {"profile": "smoke", "data": "embedded", "seeds": 1}


def code(source, count=1, outputs=(), tags=()):
    return {
        "cell_type": "code",
        "source": source,
        "execution_count": count,
        "outputs": list(outputs),
        "metadata": {"tags": list(tags)},
    }


def test_check_executed():
    error = {"output_type": "error", "ename": "KeyError", "evalue": "'a'", "traceback": ["\x1b[31mone\x1b[0m", "two"]}
    check_executed({"cells": [code("1"), code("", None), {"cell_type": "markdown", "source": "text"}]})
    with pytest.raises(Failed, match=r"^a cell did not run: 2$"):
        check_executed({"cells": [code("1"), code("2", None)]})

    cells = [code("1"), code("2", 2, [error], tags=["raises-exception"])]
    with pytest.raises(Failed, match=r"^In \[2\]: KeyError: 'a'$") as failed:
        check_executed({"cells": cells})
    assert failed.value.detail == "one\ntwo"


def test_runs_in_this_interpreter_whatever_kernels_the_user_has(
    write, tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    kernel = tmp_path / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": ["/bin/false", "{connection_file}"], "display_name": "x", "language": "python"})
    )
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("hostile = True")
    for variable in ("JUPYTER_DATA_DIR", "JUPYTER_PATH"):
        monkeypatch.setenv(variable, str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("MPLBACKEND", "TkAgg")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    said = tmp_path / "said.json"
    write(
        "01_data",
        [
            "import json, os, sys, matplotlib",
            f"said = [sys.executable, os.getcwd(), profile, data, seeds, 'hostile' in globals(),"
            f" matplotlib.get_backend(), os.environ['SOFTMASK_NOTEBOOK'], os.environ['OMP_NUM_THREADS']]\n"
            f"open({str(said)!r}, 'w').write(json.dumps(said))",
        ],
    )
    target = output / "01_data.ipynb"
    execute(load(tmp_path / "notebooks" / "01_data.ipynb"), GIVEN, target, "[1/1] 01_data")
    executable, folder, *rest = json.loads(said.read_text())
    assert (executable, folder) == (sys.executable, str(ROOT))
    assert rest[:4] == ["smoke", "embedded", 1, False]
    assert "inline" in rest[4]
    assert rest[5:] == ["01_data", "1"]
    assert str(tmp_path) not in json.dumps(json.loads(target.read_text())["metadata"])
    assert list(output.iterdir()) == [target]
    assert "[1/1] 01_data  cell 4/4" in capsys.readouterr().out


def test_parameters_that_are_not_declared_start_nothing(write, output):
    with pytest.raises(NotebookError, match="does not declare the parameter data, seeds"):
        execute(load(write("01_data", ["1/0"], parameters="profile = None")), GIVEN, output / "01_data.ipynb")
    assert not output.exists()


@pytest.mark.parametrize(
    ("source", "message", "detail"),
    [
        ("import os\nos.write(2, b'last words')\nos._exit(3)", r"[Kk]ernel died", "last words"),
        ("import sys\nsys.exit()", "SystemExit", ""),
    ],
)
def test_a_dead_kernel_and_an_early_exit_are_failures(write, output, source, message, detail):
    with pytest.raises(Failed, match=message) as failed:
        execute(load(write("01_data", [source, "2"])), GIVEN, output / "01_data.ipynb")
    assert detail in failed.value.detail


HOLDING = """
import os, subprocess, sys, time
block = bytearray(os.urandom(1) * 60_000_000)
if len(sys.argv) == 2:
    child = subprocess.Popen([sys.executable, __file__])
print("ready", flush=True)
time.sleep(60)
"""


def test_memory_is_that_of_a_process_and_its_children(tmp_path):
    (tmp_path / "holding.py").write_text(HOLDING)
    command = [sys.executable, tmp_path / "holding.py", "with a child"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert [process.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
        assert 120e6 < memory_of(process.pid) < 180e6
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert memory_of(process.pid) == 0
