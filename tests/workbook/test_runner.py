import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from softmask.config import Config
from softmask.errors import ConfigError
from softmask.files import write_atomic
from softmask.workbook import runner, state
from softmask.workbook.notebook import Notebook, choose, discover
from softmask.workbook.runner import Failed
from softmask.workbook.state import Entry


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, config: Config):
    """Names of the notebooks executed. In place of a kernel: the last cell is run here, an error is a failure."""
    names: list[str] = []

    def execute(book: Notebook, parameters: Mapping, target: Path, title: str):
        names.append(book.name)
        write_atomic(target, "executed")
        try:
            exec(book.code[-1], {"config": config, "write": write_atomic, **parameters})
        except Exception as error:
            raise Failed(f"In [2]: {error!r}", ["last lines"]) from error
        return 5_000_000

    monkeypatch.setattr(runner, "execute", execute)
    return names


def run(config: Config, folder: Path, force: bool = False, **options) -> dict[str, str]:
    books = discover(folder)
    outcomes = runner.run(config, books, choose(books, **options), force)
    return {outcome.name[:2]: outcome.status for outcome in outcomes}


@pytest.fixture
def four(write):
    write("01_data", ["write(config.results / 'tables' / 'a.csv', '1')"])
    write("02_masks", ["pass"], needs=["01_data"])
    write("05_other", ["pass"])
    write("11_report", ["pass"], after="*")


ALL_OK = dict.fromkeys(("01", "02", "05", "11"), "ok")
UNCHANGED = dict.fromkeys(ALL_OK, "unchanged")


@pytest.mark.usefixtures("four")
class TestSkipping:
    def test_a_second_run_skips_everything_unless_forced(self, config, folder, ran):
        assert run(config, folder) == ALL_OK
        before = state.state_path(config).read_bytes()
        assert run(config, folder) == UNCHANGED
        assert ran == ["01_data", "02_masks", "05_other", "11_report"]
        assert state.state_path(config).read_bytes() == before
        assert run(config, folder, force=True) == ALL_OK

    def test_a_changed_cell(self, config, folder, ran, write):
        run(config, folder)
        write("01_data", ["write(config.results / 'tables' / 'a.csv', '2')"])
        assert run(config, folder) == UNCHANGED | {"01": "ok", "02": "ok", "11": "ok"}

    def test_other_parameters_or_package_and_a_lost_state(self, folder, ran, output, monkeypatch):
        config = Config.from_parameters("full", "embedded", 2)
        run(Config.from_parameters("full", "embedded", 3), folder)
        assert run(config, folder) == ALL_OK
        monkeypatch.setattr(runner, "common_digest", lambda config: "another")
        assert run(config, folder) == ALL_OK
        shutil.rmtree(config.results)
        assert run(config, folder) == ALL_OK

    @pytest.mark.parametrize("path", ["tables/t.csv", "claims/c.json", "figures/f.png", "notebooks/05_other.ipynb"])
    def test_any_lost_result_is_made_again_and_nothing_else(self, config, folder, ran, write, path):
        place = config.figures if path.startswith("figures") else config.results
        if path.startswith("notebooks"):
            write("05_other", ["0"])
        else:
            write("05_other", [f"write({str(place)!r} + '/{path}', '1')"])
        run(config, folder)
        run(config, folder, force=True)  # it is still known whose it is
        (place / path).unlink()
        assert run(config, folder) == UNCHANGED | {"05": "ok", "11": "ok"}
        assert (place / path).exists()
        assert run(config, folder) == UNCHANGED

    def test_a_file_of_two_notebooks_is_made_again_by_the_first(self, config, folder, ran, write):
        for name in ("02_masks", "05_other"):
            write(name, ["write(config.results / 'records' / 'shared.json', '1')"])
        run(config, folder)
        (config.results / "records" / "shared.json").unlink()
        assert run(config, folder) == UNCHANGED | {"02": "ok", "11": "ok"}

    def test_the_report_runs_again_after_any_change(self, config, folder, ran, write):
        for path in (config.results / "report.html", config.results / "claims" / "casgan.json"):  # as in a clone
            write_atomic(path, "committed")
        write("11_report", ["write(config.results / 'report.html', 'report')"], after="*")
        run(config, folder)
        assert run(config, folder) == UNCHANGED
        for path in ("claims/casgan.json", "tables/a.csv", "new.png"):
            (config.results / path).write_text("another commit's")
            assert run(config, folder) == UNCHANGED | {"11": "ok"}
        run(config, folder, force=True, only="05")
        assert run(config, folder) == UNCHANGED | {"11": "ok"}
        assert run(config, folder) == UNCHANGED


@pytest.fixture
def failing(write):
    write("01_data", ["1/0"])
    write("02_masks", ["pass"], needs=["01_data"])
    write("03_nets", ["pass"], needs=["02_masks"])
    write("05_other", ["pass"])
    write("11_report", ["pass"], after="*")


@pytest.mark.usefixtures("failing")
class TestFailing:
    def test_what_does_not_depend_on_it_still_runs(self, config, folder, ran, capsys):
        books = discover(folder)
        outcomes = runner.run(config, books, books)
        assert [(outcome.status, outcome.reason) for outcome in outcomes[:3]] == [
            ("failed", "In [2]: ZeroDivisionError('division by zero')"),
            ("not run", "01_data failed"),
            ("not run", "02_masks was not run"),
        ]
        assert [outcome.status for outcome in outcomes[3:]] == ["ok", "ok"]
        assert ran == ["01_data", "05_other", "11_report"]
        said = capsys.readouterr().out
        assert "01_data: FAILED after 0:00, In [2]: ZeroDivisionError" in said
        assert "    last lines" in said

    def test_a_failure_is_tried_again(self, config, folder, ran, write):
        run(config, folder)
        assert run(config, folder) == {"01": "failed", "02": "not run", "03": "not run", "05": "unchanged", "11": "ok"}
        write("01_data", ["pass"])
        assert run(config, folder) == {"01": "ok", "02": "ok", "03": "ok", "05": "unchanged", "11": "ok"}

    def test_a_need_counts_if_it_ever_ran(self, config, folder, ran):
        assert run(config, folder, only="02") == {"02": "ok"}
        run(config, folder, only="01")
        books = discover(folder)
        expected = [Entry("02_masks", "not run", reason="01_data failed when it last ran")]
        assert runner.run(config, books, choose(books, "02")) == expected

    def test_the_report_can_read_the_state(self, config, folder, ran, write):
        path = state.state_path(config)
        write("11_report", [f"write(config.results / 'seen', open({str(path)!r}).read())"], after="*")
        run(config, folder)
        seen = {item["name"]: item for item in json.loads((config.results / "seen").read_text())["notebooks"]}
        assert [seen[name]["status"] for name in ("01_data", "02_masks", "05_other")] == ["failed", "not run", "ok"]
        assert seen["02_masks"]["reason"] == "01_data failed"


def test_what_was_stopped_while_it_ran_runs_again(config, folder, ran, write, monkeypatch):
    write("01_data", ["pass"])
    run(config, folder)

    def stopped(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runner, "execute", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(config, folder, force=True)
    assert state.load(config)["01_data"].status == "running"
    assert run(config, folder) == {"01": "ok"}


def test_a_good_run_notes_time_and_memory(folder, ran, write, output, tmp_path, monkeypatch):
    monkeypatch.setattr(state, "ROOT", tmp_path / "nowhere")  # no times are committed
    config = Config.from_parameters("cpu", "embedded")
    write("01_data", ["pass"])
    write("02_masks", ["1/0"])
    run(config, folder)
    [known] = state.load_times(config).values()
    assert {name: cost.memory_mb for name, cost in known.items()} == {"01_data": 5}


def test_two_runs_at_once_are_refused(config):
    with runner.only_one(config), pytest.raises(ConfigError, match="already running"), runner.only_one(config):
        pass
    with runner.only_one(config):
        pass


@pytest.fixture
def checkout(tmp_path: Path):
    for name, text in (("page.py", "x = 1\n"), ("page.j2", "{{ x }}\n"), ("page.pyc", "compiled")):
        write_atomic(tmp_path / "lib" / "softmask" / name, text)
    write_atomic(tmp_path / "requirements.lock", "numpy==2.0\n")
    return tmp_path


def test_code_digest_changes_with_the_package_and_the_lock_alone(checkout):
    before = runner.code_digest(checkout)
    (checkout / "lib/softmask/page.pyc").write_text("again")
    assert runner.code_digest(checkout) == before
    seen = {before}
    for name in ("softmask/page.py", "softmask/page.j2", "softmask/more.yaml", "phantoms.py", "../requirements.lock"):
        (checkout / "lib" / name).write_text("changed\n")
        seen.add(runner.code_digest(checkout))
    assert len(seen) == 6


def test_data_digest_changes_with_names_sizes_and_times(tmp_path):
    data, image = tmp_path / "data", tmp_path / "data" / "slices" / "patient" / "1.png"
    write_atomic(image, "one")
    write_atomic(data / "flags.csv", "a\n")
    changes = (
        lambda: image.write_bytes(b"longer"),
        lambda: os.utime(image, (1, 1)),
        lambda: image.rename(image.with_name("2.png")),
        lambda: (data / "flags.csv").write_text("a\nb\n"),
    )
    seen = [runner.data_digest(data, [data / "slices"])]
    for change in changes:
        change()
        seen.append(runner.data_digest(data, [data / "slices"]))
    assert len(set(seen)) == 5
    write_atomic(data / "other" / "file", "not one of the data sets")
    assert runner.data_digest(data, [data / "slices"]) == seen[-1]
    assert runner.data_digest(tmp_path / "none", []) == runner.data_digest(tmp_path / "none", [])
    config = Config.from_parameters("smoke", "embedded", data_root=data)
    before = runner.common_digest(config)
    (data / "flags.csv").write_text("changed\n")
    assert runner.common_digest(config) == before, "embedded runs do not look at the data folder"


def test_recorded_runs_depend_on_the_records(config, monkeypatch):
    monkeypatch.setattr(runner, "code_digest", lambda: "code")
    recorded, record = replace(config, recorded=True), config.results / "records" / "a.json"
    seen = [runner.common_digest(config), runner.common_digest(recorded)]
    for text in ("{}", "[]"):
        write_atomic(record, text)
        seen.append(runner.common_digest(recorded))
    assert len(set(seen)) == 4
    assert runner.common_digest(config) == seen[0]  # records do not count where runs are trained
