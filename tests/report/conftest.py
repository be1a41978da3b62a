"""Fixtures of the report's tests: a run of its own, and the workbook's style of figures."""

import subprocess

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from softmask.config import ROOT, Config
from softmask.report import figures
from softmask.report.panels import Example


@pytest.fixture
def config(tmp_path, monkeypatch, request):
    """The run of the ``cpu`` profile, or of the profile given by indirect parametrisation, in an empty folder."""
    monkeypatch.setenv("SOFTMASK_OUTPUT", str(tmp_path))
    return Config.from_parameters(getattr(request, "param", "cpu"), "embedded")


@pytest.fixture(scope="session")
def example():
    """A noisy disc of 64 x 64 pixels, or another ``mask``, and its enlarged images, as if super-resolved."""

    def example(seed=0, mask=None):
        rows, columns = np.indices((64, 64))
        mask = np.hypot(rows - 20, columns - 40) < 9 if mask is None else mask
        truth = np.clip(0.2 + 0.6 * mask + np.random.default_rng(seed).normal(0, 0.03, mask.shape), 0, 1)
        low = truth.reshape(16, 4, 16, 4).mean(axis=(1, 3))
        upscaled = {row: np.kron(low, np.ones((4, 4))) for row in ("bilinear", "content_only", "srgan")}
        return Example(low, upscaled, truth, mask)

    return example


@pytest.fixture
def style():
    """The workbook's style; every figure is drawn whole."""
    plt.switch_backend("agg")
    with mpl.rc_context():
        figures.style()
        yield
        for number in plt.get_fignums():
            plt.figure(number).canvas.draw()
    plt.close("all")


@pytest.fixture
def committed_results(monkeypatch):
    """Results and figures of the checkout; the test is skipped where they are not those of the commit."""
    places = ("results/*/tables", "results/*/claims", "figures")
    command = ["git", "status", "--porcelain", "--untracked-files=no", "--", *places]
    there = (ROOT / ".git").exists()
    if not there or subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout:
        pytest.skip("results or figures are not the committed ones")
    monkeypatch.delenv("SOFTMASK_OUTPUT", raising=False)
