"""Records of runs made by hand."""

from collections.abc import Callable

import matplotlib.pyplot as plt
import pytest

from softmask.config import Config
from softmask.experiments import Record
from softmask.experiments.store import Provenance, WeightsFile

PROVENANCE = Provenance(
    data="d" * 8, numerics=1, origin="made by a test", weights=WeightsFile(9, "w"), seconds=12.5, device="cpu",
    cpu="a cpu", packages={}, commit="abc", dirty=False,
)  # fmt: skip


def make_record(spec, measures=None, n=6, **fields) -> Record:
    """A record of ``n`` images, two of each patient, with ``measures`` and other ``fields``."""
    made = {
        "ids": tuple(f"image{i}" for i in range(n)),
        "groups": tuple(f"p{i // 2}" for i in range(n)),
        "measures": {name: tuple(values) for name, values in (measures or {}).items()},
        "curves": {"validation_dice": [0.1, 0.3, 0.2], "train_loss": [3.0, 2.0, 1.0]},
        "best_epoch": 2,
        "n_parameters": 100,
        "calibration": None,
        "predictions": {},
        "provenance": PROVENANCE,
    }
    return Record(spec, **made | fields)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def record() -> Callable[..., Record]:
    return make_record


@pytest.fixture
def config(tmp_path, monkeypatch) -> Config:
    monkeypatch.setenv("SOFTMASK_OUTPUT", str(tmp_path))
    return Config.from_parameters("cpu", "embedded", seeds=2)
