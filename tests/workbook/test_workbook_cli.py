"""The command line: with real kernels, in processes of their own; the list of notebooks; the page of JupyterLab."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from softmask.config import ROOT, Config
from softmask.errors import DataError
from softmask.workbook import state
from softmask.workbook.cli import START, main, start_page
from softmask.workbook.state import Cost

CPU = Config.from_parameters("cpu", "embedded")
GOAL = "# 1 · Data\n\n**Goal.** See what\nthe papers | learn from.\n\n**Time:** long"


def test_runs_fails_and_stops_cleanly(write, folder, output, tmp_path, program):
    command = [sys.executable, "-c", program, str(folder), "--profile", "smoke", "--data", "embedded"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    pid, table = tmp_path / "pid", output / "results" / "smoke-embedded" / "tables" / "a.csv"
    make = (
        "from softmask.config import Config\nfrom softmask.files import write_atomic\n"
        "write_atomic(Config.from_parameters(profile, data, seeds).results / 'tables' / 'a.csv', '1')"
    )
    wait = (
        f"import os, subprocess, time\nchild = subprocess.Popen(['sleep', '600'])\n"
        f"open({str(pid)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        f"time.sleep(600)"
    )
    write("01_data", [make])
    write("02_masks", [wait])
    process = subprocess.Popen(command, **pipes)
    deadline = time.monotonic() + 300
    while not (pid.exists() and pid.read_text().count(" ")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 143, said
    assert "stopped by SIGTERM" in said
    assert "Traceback" not in said
    for number in map(int, pid.read_text().split()):
        assert gone(number)
    results = output / "results" / "smoke-embedded"
    entries = {item["name"]: item for item in json.loads((results / "state.json").read_text())["notebooks"]}
    assert [entries["01_data"]["status"], entries["02_masks"]["status"]] == ["ok", "running"]
    assert "results/smoke-embedded/tables/a.csv" in entries["01_data"]["outputs"]
    written = sorted(path.name for path in results.rglob("*") if path.is_file())
    assert written == ["01_data.ipynb", "a.csv", "state.json"]

    # the next start goes on: the first is skipped, the second runs, and its failure is told
    table_time = table.stat().st_mtime_ns
    write("02_masks", ["raise ValueError('no such mask')"])
    done = subprocess.run(command, **pipes, timeout=300)
    said = done.stdout
    assert done.returncode == 1, said
    assert "01_data: unchanged, skipped" in said
    assert said.count("In [3]: ValueError: no such mask") == 2  # where it happened, and in the table at the end
    assert table.stat().st_mtime_ns == table_time


def gone(number: int):
    """Whether process ``number`` has ended, at once or within seconds."""
    for _ in range(100):
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return True
        stat = Path(f"/proc/{number}/stat")
        if stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True  # ended; only its parent has not asked yet
        time.sleep(0.05)
    return False


def test_list(write, folder, output, capsys):
    write("01_data", title="The data", regenerates=["casgan/fig-1", "softgan/fig-1"], seconds={"smoke": 65})
    write("02_masks")
    assert main(["--list", "--profile", "smoke", "--data", "embedded"], folder) == 0
    said = capsys.readouterr().out
    assert "Notebooks of smoke-embedded" in said
    assert any(line.split() == ["01_data", "about", "1:05", "The", "data"] for line in said.splitlines())
    assert "regenerates casgan/fig-1, softgan/fig-1" in said
    assert "time not known" in said
    assert not output.exists()


def test_list_has_time_and_memory_of_earlier_runs(write, folder, output, capsys, monkeypatch):
    write("01_data", title="The data", seconds={"cpu": 65})
    write("02_masks", title="Masks", seconds={"cpu": 10})
    config = Config.from_parameters("cpu", "embedded")
    state.add_time(config, "01_data", Cost(130, 1234))
    state.save(config, [state.Entry("01_data", "ok", 7.0)])

    def said():
        assert main(["--list", "--data", "embedded"], folder) == 0
        return " ".join(capsys.readouterr().out.split())

    assert "01_data about 2:10 1.2 GB last 0:07 The data 02_masks about 0:10 Masks together about 2:20 1.2 GB" in said()
    assert "(hardware like this)" in said()
    monkeypatch.setattr(state, "cores", lambda: 1000)
    assert "(another than this machine)" in said()


@pytest.mark.parametrize(
    ("options", "end"),
    [
        ([], "\ncpu-embedded differs\n"),
        (["--seeds", "5"], "results/cpu-embedded-5seeds\n"),  # of which nothing is committed
        (["--profile", "smoke"], "results/smoke-embedded\n"),
        (["--profile", "full"], "not compared with the committed ones: damaged\n"),
    ],
)
def test_the_comparison_ends_the_run(write, folder: Path, output: Path, monkeypatch, capsys, options, end):
    def summary(run):
        if run == "full-embedded":
            raise DataError("damaged")
        return f"{run} differs"

    write("01_data")
    monkeypatch.setattr("softmask.workbook.runner.run", lambda *_: [])
    monkeypatch.setattr("softmask.report.verify.has_committed", ["cpu-embedded", "full-embedded"].__contains__)
    monkeypatch.setattr("softmask.report.verify.compare", lambda run: run)
    monkeypatch.setattr("softmask.report.verify.summary", summary)
    assert main(["--data", "embedded", *options], folder) == 0
    assert capsys.readouterr().out.endswith(end)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--profile", "tiny"], "tiny"),
        (["--data", "fake"], "fake"),
        (["--seeds", "two"], "two"),
        (["--seeds", "0"], "at least 1"),
        (["--only", "07"], "no notebook '07'; there are 01_data"),
        (["--from", ""], "no notebook ''"),
        (["--colour"], "--colour"),
        (["--prof", "smoke"], "--prof"),
    ],
)
def test_wrong_options(write, folder, output, capsys, options, message):
    write("01_data")
    assert main(["--data", "embedded", *options], folder) == 2
    assert message in capsys.readouterr().err


def test_missing_notebooks_and_real_data_end_at_once(write, folder, output, capsys):
    assert main(["--data", "embedded"], folder) == 2
    assert "there are no notebooks" in capsys.readouterr().err
    write("01_data")
    assert main(["--data", "real"], folder) == 2
    stderr = capsys.readouterr().err
    assert "LIDC-IDRI-slices" in stderr
    assert os.environ["SOFTMASK_DATA"] in stderr


def test_fetch_comes_first_and_its_failure_ends_the_run(write, folder, output, monkeypatch):
    write("01_data")
    asked = []
    monkeypatch.setattr("softmask.cli.main", lambda argv: asked.append(argv) or 2)
    assert main(["--data", "embedded", "--fetch"], folder) == 2
    assert asked == [["data", "fetch"]]


def test_an_output_folder_that_cannot_be_written_is_named(write, folder, tmp_path, monkeypatch, capsys):
    write("01_data")
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("SOFTMASK_OUTPUT", str(tmp_path / "file" / "out"))
    assert main(["--data", "embedded", "--profile", "smoke"], folder) in (1, 2)
    said = capsys.readouterr().err
    assert str(tmp_path / "file") in said
    assert "Traceback" not in said


def test_recorded_reaches_the_run_and_its_kernels(write, folder, output, monkeypatch):
    write("01_data")
    monkeypatch.setenv("SOFTMASK_RECORDED", "0")
    asked = []
    monkeypatch.setattr("softmask.workbook.runner.run", lambda config, *_: asked.append(config.recorded) or [])
    assert main(["--data", "embedded", "--profile", "smoke"], folder) == 0
    assert main(["--data", "embedded", "--profile", "smoke", "--recorded"], folder) == 0
    assert asked == [False, True]
    assert os.environ["SOFTMASK_RECORDED"] == "1"


def links(text: str) -> list[tuple[str, str]]:
    return re.findall(r"\[([^]]*)\]\(([^)]*)\)", text)


def test_every_notebook_of_the_checkout_is_linked_once():
    folder = ROOT / "notebooks"
    result = [place for _, place in links(start_page(folder, CPU)) if place.endswith(".ipynb")]
    there = [*sorted(folder.glob("[0-9]*.ipynb")), folder / "explore.ipynb", *sorted(folder.glob("teaching/*.ipynb"))]
    assert result == [path.relative_to(folder).as_posix() for path in there]


def test_numbered_notebooks_of_the_checkout_say_their_goal_and_time():
    rows = [line for line in start_page(ROOT / "notebooks", CPU).splitlines() if re.match(r"\| \[\d+ · ", line)]
    assert len(rows) >= 9
    for row in rows:
        _, title, goal, time, _ = re.split(r"(?<!\\)\|", row)
        assert title.strip()
        assert len(goal) > 40, row
        assert re.fullmatch(r"\d+:\d\d", time.strip()), row


def test_rows_of_notebooks_lessons_bench_and_reports(write, folder):
    path = write("01_data", title="Data: where from", seconds={"cpu": 90, "smoke": 5})
    book = nbformat.read(path, as_version=4)
    book.cells.insert(0, nbformat.v4.new_markdown_cell(GOAL))
    nbformat.write(book, path)
    (folder / "02_masks.ipynb").write_text("{")
    text = start_page(folder, CPU)
    assert "| [1 · Data: where from](01_data.ipynb) | See what the papers \\| learn from. | 1:30 |" in text
    assert "02_masks.ipynb: is no JSON" in text
    assert not re.search("Interactive labelling|Lessons|Reports", text)
    for name in ("explore", "notes"):
        write(name)
    (folder / "teaching").mkdir()
    for lesson in ("02_matting", "01_masks"):
        write("lesson").rename(folder / "teaching" / f"{lesson}.ipynb")
    report = folder.parent / "results" / "cpu-embedded" / "report.html"
    report.parent.mkdir(parents=True)
    report.touch()
    lessons = ["teaching/01_masks.ipynb", "teaching/02_matting.ipynb"]
    assert [place for _, place in links(start_page(folder, CPU))] == [
        "01_data.ipynb", "02_masks.ipynb", "explore.ipynb", *lessons, "../results/cpu-embedded/report.html",
    ]  # fmt: skip


def test_it_is_written_beside_the_notebooks(write, folder, capsys, monkeypatch):
    write("01_data")
    assert main(["--start-page", str(folder)]) == 0
    assert (folder / START).read_text() == start_page(folder, Config.from_parameters())
    monkeypatch.setenv("SOFTMASK_PROFILE", "tiny")
    assert main(["--start-page", str(folder)]) == 2
    assert "unknown profile 'tiny'" in capsys.readouterr().err


def test_the_settings_are_ones_that_jupyterlab_has():
    """Each overridden setting is in the schema of its plugin, with a value of the type it has there."""
    import jupyterlab.commands

    schemas = Path(jupyterlab.commands.get_app_dir()) / "schemas"
    types = {"object": dict, "boolean": bool, "string": str}
    for plugin, settings in json.loads((ROOT / "tools/jupyterlab/overrides.json").read_text()).items():
        package, _, name = plugin.partition(":")
        schema = json.loads((schemas / package / f"{name}.json").read_text())
        for setting, value in settings.items():
            declared = schema["properties"][setting]
            assert isinstance(value, types[declared["type"]])
            assert value in declared.get("enum", [value])
