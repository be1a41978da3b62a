"""Two processes that share every batch, as under torchrun."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    subprocess.run([sys.executable, Path(__file__).with_name("trainings.py"), "together", folder], check=True)
    return folder


def weights(folder, name):
    return dict(np.load(folder / f"{name}.npz"))


def curves(folder, name):
    return json.loads((folder / f"{name}.json").read_text())


@pytest.mark.parametrize("name", ["tiny", "softgan"])
def test_both_end_with_the_same_weights_and_a_lower_loss(folder, name):
    first, second = (weights(folder, f"{name}-two-{rank}") for rank in (0, 1))
    for key in first:
        np.testing.assert_array_equal(first[key], second[key])
    assert curves(folder, f"{name}-two-0") == curves(folder, f"{name}-two-1")
    loss = curves(folder, f"{name}-two-0")["train_loss"]
    assert loss[-1] < loss[0]


def test_two_processes_train_as_one_does(folder):
    """Without batch normalisation, whose statistics are those of each process's own images."""
    one, two = curves(folder, "tiny-one"), curves(folder, "tiny-two-0")
    for key in one:
        np.testing.assert_allclose(two[key], one[key], rtol=1e-4)
    expected, found = weights(folder, "tiny-one"), weights(folder, "tiny-two-0")
    for key in expected:
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-3, atol=1e-4)
