"""Fixtures of the report's tests: a run of its own, and the workbook's style of figures."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from softmask.config import Config
from softmask.report import figures


@pytest.fixture
def config(tmp_path, monkeypatch, request):
    """The run of the ``cpu`` profile, or of the profile given by indirect parametrisation, in an empty folder."""
    monkeypatch.setenv("SOFTMASK_OUTPUT", str(tmp_path))
    return Config.from_parameters(getattr(request, "param", "cpu"), "embedded")


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
