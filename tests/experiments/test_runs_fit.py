"""Asking for runs: trained where missing, each once, kept, read again, and rebuilt from records."""

import errno
import itertools
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from softmask.errors import ConfigError, DataError, TrainingError
from softmask.experiments import fit, prepare, store
from softmask.experiments.store import Record
from softmask.train.loop import Settings


@pytest.fixture
def trained(data_from, monkeypatch) -> list[str]:
    """Names of the runs that were trained in this process, in order."""
    names: list[str] = []
    data_from()
    begin = store.begin

    def counted(folder, spec):
        names.append(spec.name)
        begin(folder, spec)

    monkeypatch.setattr(store, "begin", counted)
    return names


def folder_of(spec) -> Path:
    return store.folder_of(spec.key("da" * 32))


def test_runs_come_in_the_order_asked_and_each_is_trained_once(tiny, config, trained):
    a, b = tiny(seed=1), tiny(seed=2)
    runs = fit([b, a, b], config, jobs=1)
    assert [run.spec for run in runs] == [b, a, b]
    assert sorted(trained) == sorted([a.name, b.name])
    again = fit([a, b], config, jobs=1)
    assert len(trained) == 2
    assert again[0].record.to_json() == runs[1].record.to_json()


def test_a_run_holds_what_it_should(tiny, config, trained, tmp_path):
    spec = tiny()
    [run] = fit([spec], config, jobs=1)
    record = run.record
    assert record.ids == tuple(f"c{i}" for i in range(10))
    assert {"dice", "hd95", "mae_alpha", "soft_dice"} <= set(record.measures)
    assert len(record.curves["validation_dice"]) == record.best_epoch == 1
    assert list(record.predictions) == ["c0", "c1", "c3", "c4", "c5", "c6", "c8", "c9"]  # evenly spread
    network = run.network()
    assert record.n_parameters == sum(parameter.numel() for parameter in network.parameters())
    images = torch.from_numpy(np.stack([np.zeros((1, 16, 16), np.float32)]))
    assert network(images).shape == (1, 1, 16, 16)
    assert (record.provenance.device, record.provenance.data) == ("cpu", "da" * 32)
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "lock",
        "record.json",
        "spec.json",
        "weights.safetensors",
    ]
    assert json.loads((run.folder / "spec.json").read_text()) == spec.to_json()
    text = record.to_json()
    assert str(tmp_path) not in text
    assert str(Path.home()) + "/" not in text
    assert os.uname().nodename not in text or len(os.uname().nodename) < 4
    beside = config.results / "records" / f"{spec.name}.json"
    assert beside.read_bytes() == (run.folder / "record.json").read_bytes()


def test_a_committed_record_is_written_only_when_it_changes(tiny, config, trained, monkeypatch):
    fit([tiny()], config, jobs=1)
    path = config.results / "records" / f"{tiny().name}.json"
    os.utime(path, (1, 1))
    file = path.stat().st_ino
    fit([tiny()], config, jobs=1)
    assert path.stat().st_ino == file
    assert path.stat().st_mtime > 1  # the notebook that asks for the run has this record among its results
    path.write_text("{}")
    fit([tiny()], config, jobs=1)
    assert path.read_bytes() == (folder_of(tiny()) / "record.json").read_bytes()
    assert len(trained) == 1


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def other_weights(path: Path) -> None:
    save_file({"a": torch.zeros(3)}, path)


def other_run(path: Path) -> None:
    record = Record.read(path)
    path.write_text(replace(record, spec=replace(record.spec, seed=9)).to_json())


@pytest.mark.parametrize(
    ("name", "damage", "why"),
    [
        ("record.json", cut, "no JSON"),
        ("record.json", other_run, "another run"),
        ("weights.safetensors", cut, "bytes"),
        ("weights.safetensors", other_weights, "bytes"),
        ("weights.safetensors", Path.unlink, "bytes"),
    ],
)
def test_a_damaged_run_is_set_aside_and_trained_again(tiny, config, trained, name, damage, why):
    [run] = fit([tiny()], config, jobs=1)
    damage(run.folder / name)
    with pytest.warns(UserWarning, match=f"is damaged; training sets it aside and begins again: .*{name}.*{why}"):
        [again] = fit([tiny()], config, jobs=1)
    assert len(trained) == 2
    assert again.record.measures == run.record.measures
    assert (run.folder / "record.json.damaged").exists()
    assert fit([tiny()], config, jobs=1)[0].record.measures == run.record.measures
    assert len(trained) == 2


def test_a_failed_run_lets_the_others_finish_and_is_named_with_its_cause(tiny, config, data_from, monkeypatch):
    def broken(spec):
        if spec.seed == 1:
            raise DataError("the image of p7 is gone")
        if spec.seed == 2:
            raise ZeroDivisionError("by nought")

    specs = [tiny(seed=seed) for seed in (1, 2, 3)]
    data_from(broken)
    broken_data = prepare.prepare
    data_from()
    calls = iter([prepare.prepare])  # the data of all runs is prepared once before they begin
    monkeypatch.setattr(prepare, "prepare", lambda spec, config: next(calls, broken_data)(spec, config))
    with pytest.raises(TrainingError) as failed:
        fit(specs, config, jobs=1)
    said = str(failed.value)
    assert said.startswith("2 of 3 runs failed; the others are kept:\n")
    assert f"- {specs[0].name}: the image of p7 is gone" in said
    assert f"- {specs[1].name}: ZeroDivisionError: by nought" in said
    assert "in broken" in said  # the trace
    assert store.read(folder_of(specs[2]), specs[2], specs[2].key("da" * 32))
    assert (config.results / "records" / f"{specs[2].name}.json").exists()


def test_a_full_disk_is_told_and_leaves_the_store_as_it_was(tiny, config, trained, monkeypatch):
    [kept] = fit([tiny(seed=1)], config, jobs=1)

    def full(path, content):
        if Path(path).name == "weights.safetensors":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write(path, content)

    write = store.write_atomic
    with monkeypatch.context() as patch:
        patch.setattr(store, "write_atomic", full)
        with pytest.raises(TrainingError, match=r"(?s)2020: .*weights\.safetensors: No space left .*free some space"):
            fit([tiny(seed=1), tiny()], config, jobs=1)
    folder = folder_of(tiny())
    assert not (folder / "record.json").exists()
    assert (folder / "checkpoint.pt").exists()
    assert fit([tiny(seed=1)], config)[0].record.to_json() == kept.record.to_json()
    fit([tiny()], config, jobs=1)  # goes on from the checkpoint
    assert not (folder / "checkpoint.pt").exists()


@pytest.mark.parametrize("step", [-86_400, 86_400])
def test_a_clock_that_jumps_changes_nothing(tiny, config, trained, monkeypatch, step):
    [before] = fit([tiny(seed=1)], config, jobs=1)
    folder_of(tiny(seed=1)).rename(config.results / "elsewhere")
    jumps = itertools.count(time.time(), step)
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: next(jumps))
        [after] = fit([tiny(seed=1)], config, jobs=1)
        assert fit([tiny(seed=1)], config, jobs=1)[0].record.to_json() == after.record.to_json()
    assert trained == [before.spec.name] * 2
    assert after.record.curves == before.record.curves
    assert 0 <= after.record.provenance.seconds < 60


def test_two_different_runs_of_one_name_are_refused(tiny, config, trained):
    with pytest.raises(ConfigError, match=f"{tiny().name.replace('+', '.')}: two runs of that name"):
        fit([tiny(), tiny(width=3)], config)


@pytest.mark.parametrize("jobs", ["0", "1.5"])
def test_a_wrong_number_of_jobs_is_refused(tiny, config, trained, monkeypatch, jobs):
    monkeypatch.setenv("SOFTMASK_JOBS", jobs)
    with pytest.raises(ConfigError, match="SOFTMASK_JOBS must be"):
        fit([tiny()], config)
    with pytest.raises(ConfigError, match="jobs must be at least 1"):
        fit([tiny()], config, jobs=0)


class TestRecorded:
    def test_records_give_the_same_numbers_and_nothing_is_trained(self, tiny, config, trained, monkeypatch, tmp_path):
        specs = [tiny(seed=1), tiny(seed=2)]
        runs = fit(specs, config, jobs=1)
        del trained[:]
        monkeypatch.setenv("SOFTMASK_RUNS", str(tmp_path / "none"))
        recorded = fit(specs, replace(config, recorded=True))
        assert [run.record.to_json() for run in recorded] == [run.record.to_json() for run in runs]
        assert not trained
        with pytest.raises(ConfigError, match="holds no weights; run without SOFTMASK_RECORDED"):
            recorded[0].network()

    def test_missing_ones_are_left_out_and_named_once(self, tiny, config, trained, capsys):
        fit([tiny(seed=1), tiny(seed=2)], config, jobs=1)
        other = tiny(seed=2, settings=Settings(1, 4, 2e-2))  # the record is of other settings
        capsys.readouterr()
        wanted = [tiny(seed=3), tiny(seed=1), other, tiny(seed=3), tiny(seed=1)]
        runs = fit(wanted, replace(config, recorded=True))
        assert [run.spec for run in runs] == [tiny(seed=1), tiny(seed=1)]
        said = capsys.readouterr().err
        names = f"{tiny(seed=3).name}, {other.name}"
        assert said == f"2 of 3 runs are not finished; without a record: {names}\n"

    def test_records_of_different_data_are_refused(self, tiny, config, trained):
        fit([tiny(seed=1), tiny(seed=2), tiny(seed=3, n_train=4)], config, jobs=1)
        self.of_other_data(config, tiny(seed=3, n_train=4))  # other images on purpose
        everything = [tiny(seed=1), tiny(seed=2), tiny(seed=3, n_train=4)]
        assert len(fit(everything, replace(config, recorded=True))) == 3
        self.of_other_data(config, tiny(seed=2))
        with pytest.raises(DataError, match=r"2 and .*-1 were trained and tested on different data \(eee.* and dada"):
            fit(everything, replace(config, recorded=True))

    @staticmethod
    def of_other_data(config, spec):
        path = config.results / "records" / f"{spec.name}.json"
        record = Record.read(path)
        path.write_text(replace(record, provenance=replace(record.provenance, data="e" * 64)).to_json())

    def test_a_damaged_one_is_named_and_counts_as_not_finished(self, tiny, config, trained):
        fit([tiny()], config, jobs=1)
        cut(config.results / "records" / f"{tiny().name}.json")
        with pytest.warns(UserWarning, match=r"2020\.json: is no JSON"):
            assert fit([tiny()], replace(config, recorded=True)) == []


def test_a_run_whose_record_is_not_in_this_store_is_named(tiny, config, trained, monkeypatch):
    monkeypatch.setattr(store, "finish", lambda *_: None)
    with pytest.raises(DataError, match="has no record; have the workers another store"):
        fit([tiny()], config, jobs=1)


def test_weights_with_changed_values_are_refused_when_they_are_loaded(tiny, config, trained):
    [run] = fit([tiny()], config, jobs=1)
    path = run.folder / "weights.safetensors"
    weights = load_file(path)
    save_file({name: tensor + 1 for name, tensor in weights.items()}, path)
    with pytest.raises(DataError, match=r"weights\.safetensors: is damaged; delete"):
        run.network()
