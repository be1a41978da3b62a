import json
import sys
from pathlib import Path

import pytest

from softmask.config import ROOT
from softmask.workbook.execute import Failed, check_executed, execute
from softmask.workbook.notebook import NotebookError, load

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
    with pytest.raises(Failed, match=r"^code cell 2 did not run$"):
        check_executed({"cells": [code("1"), code("2", None)]})
    # a cell whose error was allowed for is a failure all the same; papermill's own cell is not counted
    cells = [code("1"), code("2", tags=["injected-parameters"]), code("3", 3, [error], tags=["raises-exception"])]
    with pytest.raises(Failed, match=r"^code cell 2: KeyError: 'a'$") as failed:
        check_executed({"cells": cells})
    assert failed.value.detail == "one\ntwo"


def test_runs_in_this_interpreter_whatever_kernels_the_user_has(
    write, tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch
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
    cells: list[int] = []
    target = output / "01_data.ipynb"
    execute(load(tmp_path / "notebooks" / "01_data.ipynb"), GIVEN, target, cells.append)
    executable, folder, *rest = json.loads(said.read_text())
    assert (executable, folder) == (sys.executable, str(ROOT))
    assert rest[:4] == ["smoke", "embedded", 1, False]
    assert "inline" in rest[4]
    assert rest[5:] == ["01_data", "1"]
    assert cells == [1, 2, 3]
    assert str(tmp_path) not in json.dumps(json.loads(target.read_text())["metadata"])
    assert list(output.iterdir()) == [target]


def test_parameters_that_do_not_fit_start_nothing(write, output: Path):
    book = load(write("01_data", ["1/0"], parameters="profile = None"))
    with pytest.raises(NotebookError, match="does not know the parameter data, seeds"):
        execute(book, GIVEN, output / "01_data.ipynb")
    assert not output.exists()


def test_a_dead_kernel_is_a_failure(write, output: Path):
    book = load(write("01_data", ["import os\nos.write(2, b'last words')\nos._exit(3)", "2"]))
    with pytest.raises(Failed, match=r"code cell 2: .*[Kk]ernel died") as failed:
        execute(book, GIVEN, output / "01_data.ipynb")
    assert "last words" in failed.value.detail
