"""A training that is killed, five times, ends as one that was not."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np


def test_killed_five_times_the_weights_and_curves_are_the_same(tmp_path):
    subprocess.run([sys.executable, Path(__file__).with_name("trainings.py"), tmp_path], check=True)
    alone, killed = (np.load(tmp_path / f"{name}.npz") for name in ("alone", "killed"))
    assert set(alone) == set(killed)
    for key in alone:
        assert alone[key].tobytes() == killed[key].tobytes()
    curves = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("alone", "killed")]
    assert curves[0] == curves[1]
    assert len(curves[0]["train_loss"]) == 12
    assert not list(tmp_path.glob("*/checkpoint.damaged"))
