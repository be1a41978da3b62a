"""Runs small enough to train in a second: 16 x 16 blobs in place of any data set, and folders of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from softmask.config import Config
from softmask.experiments import prepare
from softmask.experiments.prepare import Part, Prepared
from softmask.experiments.spec import RunSpec
from softmask.train.loop import Settings

DATA = "da" * 32


def tiny_spec(**changes) -> RunSpec:
    fields = {
        "dataset": "lidc",
        "source": "embedded",
        "profile": "smoke",
        "network": "improved_backbone",
        "width": 2,
        "label": "soft_mask",
        "losses": (("dice", 0.5), ("soft_l1", 100.0)),
        "seed": 2020,
        "size": 16,
        "n_train": 8,
        "settings": Settings(epochs=1, batch_size=4, learning_rate=1e-2),
    }
    return RunSpec(**fields | changes)


def blobs(name: str, n: int, seed: int) -> Part:
    """``n`` noisy discs, each of another size and place."""
    random = np.random.default_rng(seed)
    rows, columns = np.indices((16, 16))
    centres, radii = random.uniform(6, 10, (n, 2)), random.uniform(2, 5, n)
    distance = np.hypot(rows - centres[:, 0, None, None], columns - centres[:, 1, None, None])
    alpha = np.clip(radii[:, None, None] + 0.5 - distance, 0, 1).astype(np.float32)[:, None]  # (N, 1, 16, 16)
    images = np.clip(0.2 + 0.6 * alpha + random.normal(0, 0.05, alpha.shape), 0, 1).astype(np.float32)
    ids = tuple(f"{name}{i}" for i in range(n))
    masks = (alpha >= 0.5).astype(np.float32)
    return Part(ids, ids, images, masks, dict.fromkeys(prepare.SOFT_LABELS, alpha), {"alpha": alpha})


@pytest.fixture(autouse=True)
def _nothing_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test trains on the data that another one's runs have left in the process."""
    monkeypatch.setattr("softmask.experiments.run._held", {})


@pytest.fixture(scope="session")
def tiny() -> Callable[..., RunSpec]:
    """``tiny(seed=1, ...)``: a spec that trains in a second."""
    return tiny_spec


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Smoke profile; store, results and cache in the test's own folder."""
    monkeypatch.setenv("SOFTMASK_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("SOFTMASK_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setenv("SOFTMASK_CACHE", str(tmp_path / "cache"))
    return Config.from_parameters("smoke", "embedded")


@pytest.fixture
def data_from(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``data_from(before)``: blobs in place of any data; ``before(spec)`` is called, in whatever process asks.

    Functions made in a test go to other processes whole, so what they do happens there, too.
    """
    parts = {"train": blobs("a", 8, 0), "validation": blobs("b", 4, 1), "test": blobs("c", 10, 2)}

    def use(before: Callable[[RunSpec], None] = lambda spec: None) -> None:
        def made(spec: RunSpec, config: Config) -> Prepared:
            before(spec)
            return Prepared(spec.dataset, spec.source, "blobs", DATA, **parts)

        monkeypatch.setattr(prepare, "prepare", made)
        monkeypatch.setattr(prepare, "digest_of", lambda spec, config: DATA)

    return use
