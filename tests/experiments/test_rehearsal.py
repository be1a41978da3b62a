import signal
from dataclasses import replace

import pytest

from softmask import cli
from softmask.config import Config
from softmask.experiments import rehearsal, rows

REHEARSE = ["run", "--profile", "smoke", "--data", "embedded", "--rehearse"]


def test_a_failed_kind_is_named_the_others_go_on_and_nothing_is_written(config, tmp_path, capsys):
    network = rows.spec("unet", "lnsm", config)
    failing = rows.spec("segnet", "lnsm", config)
    failing = replace(failing, settings=replace(failing.settings, learning_rate=1e30))
    assert rehearsal.run([failing, network, rows.spec("unet", "lidc", config)]) == 1
    said = capsys.readouterr().out
    [measured] = [line for line in said.splitlines() if line.endswith(f"  {network.name}")]
    memory, step, steps, _, runs, _, _ = measured.split()
    assert (int(steps), int(runs)) == (4, 2), "one line for both data sets"
    assert float(memory) > 0.1
    assert float(step) > 0
    assert "1 of 2 kinds failed; the hours are without them" in said
    [failure] = [line for line in said.splitlines() if f"  {failing.name}: " in line]
    assert "NaN or infinite numbers" in failure
    assert "No result; nothing is kept." in said
    assert not list(tmp_path.iterdir())


def test_the_command_takes_the_filters_of_trainings_and_its_status_is_that_of_the_rehearsal(
    config, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(rehearsal, "in_own_process", lambda _, spec, __: rehearsal.Rehearsal(2e9, 900, 4500))
    assert cli.main([*REHEARSE, "--on", "lnsm", "--only", "unet", "softgan"]) == 0
    said = capsys.readouterr().out
    assert "All 2 training runs (2 kinds)" in said
    assert "0 of 2 kinds failed." in said
    assert "      2.00  900.0000        4      3.50 " in said, "(4 steps of 900 s + 2 epochs that end in 4500 s) / 3600"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("row", "dataset"), [("casgan_plusplus", "lidc"), ("lgan_regression", "lidc-lung")])
def test_rows_that_build_on_others_and_rows_of_lungs_are_rehearsed(config, tmp_path, row, dataset):
    measured = rehearsal.in_own_process(rehearsal.rehearse, rows.spec(row, dataset, config), str(tmp_path))
    assert min(measured.memory, measured.step, measured.end) > 0


def test_steps_are_those_of_the_whole_training_and_kinds_are_told_apart():
    full = Config.from_parameters("full", "embedded")
    spec = rows.spec("dsnet", "lnsm", full, paper="dsnet-v2")
    assert rehearsal.steps(spec) == 100 * 1000 // 4
    assert rehearsal.steps(spec.sr) == 40 * (4 * 1000 // 16), "four patches of each image"
    assert rehearsal.kind(rows.spec("unet", "lnsm", full)) == rehearsal.kind(rows.spec("unet", "lidc", full, 2021))
    assert rehearsal.kind(spec) != rehearsal.kind(rows.spec("dsnet_v1", "lnsm", full, paper="dsnet-v1"))


def test_a_killed_process_is_a_failure_in_words():
    assert "killed" in rehearsal.in_own_process(signal.raise_signal, signal.SIGKILL)


def test_what_does_not_go_together_is_told(config, capsys):
    assert cli.main([*REHEARSE, "--dask", "tcp://nowhere:1"]) == 2
    assert "leave out --dask" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main([*REHEARSE, "--dry-run"])
