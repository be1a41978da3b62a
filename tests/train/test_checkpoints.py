"""Checkpoints: whole or not there, never executed, and only used for the training they are of."""

import errno
import io
import logging
import os

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from softmask.errors import TrainingError
from softmask.train.checkpoints import Checkpoint, load, save

FINGERPRINT = {"name": "run", "seed": "1"}


def some(epochs=2):
    weights = {"w": torch.arange(4.0).view(2, 2)}
    curves = {"train_loss": [2.0, 1.0][:epochs], "validation_dice": [0.1, 0.5][:epochs]}
    return Checkpoint(curves, 3.5, weights, {"module network": weights, "optimiser network": {"state": {0: weights}}})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.pt"


def test_comes_back_as_it_was(path):
    save(path, some(), FINGERPRINT)
    loaded = load(path, FINGERPRINT)
    assert loaded.epochs == 2
    torch.testing.assert_close(vars(loaded), vars(some()), rtol=0, atol=0)
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.pt"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_any_changed_byte_or_lost_end_is_noticed(path, data):
    save(path, some(), FINGERPRINT)
    content = bytearray(path.read_bytes())
    where = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[where] ^= data.draw(st.integers(1, 255))
    else:
        del content[where:]
    path.write_bytes(content)
    loaded = load(path, FINGERPRINT)
    # A byte of padding or of a date may change without harm: then all is as it was.
    if loaded.epochs:
        torch.testing.assert_close(vars(loaded), vars(some()), rtol=0, atol=0)
    else:
        assert path.with_suffix(".damaged").read_bytes() == content
        assert not path.exists()


def saved(**content) -> bytes:
    torch.save(content, buffer := io.BytesIO())
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", ""),
        (b"not a checkpoint", ""),
        (saved(format=1), "not of format 2"),
        (saved(format=2, fingerprint=FINGERPRINT, curves={}, seconds=1.0), "missing or unexpected checkpoint fields"),
    ],
)
def test_a_damaged_one_is_set_aside_with_a_warning(path, content, why, caplog):
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert load(path, FINGERPRINT).epochs == 0
    assert str(path) in caplog.text
    assert f"is damaged ({why}" in caplog.text
    assert "kept as checkpoint.damaged" in caplog.text
    assert (path.parent / "checkpoint.damaged").read_bytes() == content


def test_one_of_another_training_is_set_aside_and_said_why(path, caplog):
    save(path, some(), FINGERPRINT)
    assert load(path, {"name": "run", "seed": "2"}).epochs == 0
    assert "is of a training run with other seed; it is kept as checkpoint.other" in caplog.text
    assert not path.exists()
    assert (path.parent / "checkpoint.other").exists()


def test_a_full_disk_is_said_and_the_earlier_one_stays(path, monkeypatch):
    save(path, some(1), FINGERPRINT)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(TrainingError, match=r"checkpoint\.pt: the checkpoint of epoch 2 .*No space left on device"):
        save(path, some(2), FINGERPRINT)
    assert load(path, FINGERPRINT).epochs == 1
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.pt"]
