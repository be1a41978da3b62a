import json

import pytest

from softmask import cli
from softmask.experiments import rows
from softmask.experiments.schedules import Schedule
from softmask.train.loop import Settings

HERE = ["run", "--profile", "smoke", "--data", "embedded"]


@pytest.fixture
def small(config, data_from, monkeypatch):
    """Every run is one epoch on blobs."""
    data_from()
    monkeypatch.setattr(rows, "schedule", lambda *_: Schedule(Settings(1, 4, 1e-2), 8, 16, 4))
    monkeypatch.setenv("SOFTMASK_JOBS", "1")


def test_a_dry_run_lists_trains_nothing_and_then_finds_nothing_missing(small, config, capsys):
    arguments = [*HERE, "--table", "softgan/table-1", "--only", "softgan", "--seeds", "2"]
    assert cli.main([*arguments, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "lnsm-improved_backbone-soft_mask-0.5dice+100soft_l1+1gan-1x4-2021  missing, time not known" in said
    assert "2 of 2 runs are missing; 1 at a time: time not known" in said
    assert not config.results.exists()

    assert cli.main(arguments) == 0
    said = capsys.readouterr().out
    assert "Finished runs: 2;" in said
    assert "gan-1x4-2021  Dice 0." in said

    assert cli.main([*arguments, "--dry-run"]) == 0
    assert "0 of 2 runs are missing" in capsys.readouterr().out


def test_rows_that_no_table_prints_are_trained_where_they_are_asked_for(small, capsys):
    assert cli.main([*HERE, "--on", "lidc", "isbi2012", "--only", "tiramisu", "unet_hard", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "lidc-tiramisu-binary-1hard_cross_entropy-1x4-2020 " in said
    assert "4 of 4 runs are missing" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--table", "softgan/table-9"], "choose one of softgan/table-1"),
        (["--table", "softgan/table-1", "--only", "gan"], "unknown row 'gan' (did you mean softgan?); choose"),
        (["--table", "softgan/table-1", "--only", "soft_mask"], "is in none of softgan/table-1; to train it, add --on"),
        (["--table", "softgan/table-1", "--jobs", "0"], "jobs must be at least 1"),
        (["--on", "lnsm"], "--on needs --only"),
        (["--on", "lnsmm", "--only", "unet"], "unknown data set 'lnsmm' (did you mean lnsm?); choose one of lidc, "),
        (["--on", "lnsm", "--only", "u-net"], "unknown row 'u-net' (did you mean unet?); choose one of "),
        (["--seeds", "0"], "seeds must be"),
    ],
)
def test_what_cannot_be_done_exits_2_and_says_why(small, capsys, arguments, message):
    assert cli.main([*HERE, *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_failed_runs_exit_2_and_are_listed(small, capsys, monkeypatch):
    monkeypatch.setattr("softmask.experiments.store.begin", lambda *_: 1 / 0)
    assert cli.main([*HERE, "--table", "softgan/table-1", "--only", "softgan"]) == 2
    error = capsys.readouterr().err
    assert "softmask: 1 of 1 runs failed" in error
    assert "ZeroDivisionError: division by zero" in error


def test_an_interrupt_exits_130(small, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("softmask.experiments.store.begin", interrupted)
    assert cli.main([*HERE, "--table", "softgan/table-1", "--only", "softgan"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_the_model_of_the_best_validated_run_is_exported(small, config, tmp_path, capsys, monkeypatch):
    taken = []

    def export(run, folder):
        taken.append((run, folder))
        return run

    monkeypatch.setattr("softmask.apply.exporting.export", export)
    asked = [*HERE, "--seeds", "2", "--on", "lnsm", "--only"]
    assert cli.main([*asked, "unet", "--export", str(tmp_path / "mine")]) == 0
    [(run, folder)] = taken
    assert folder == str(tmp_path / "mine")
    dice = [
        max(json.loads(p.read_text())["curves"]["validation_dice"])
        for p in config.results.parent.glob("*/records/*.json")
    ]
    assert len(dice) == 2
    assert max(run.record.curves["validation_dice"]) == max(dice)
    assert cli.main([*asked, "unet", "segnet", "--export", str(tmp_path / "mine")]) == 2
    assert "--export writes one model; name one row and one data set" in capsys.readouterr().err
