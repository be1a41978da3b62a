import numpy as np
import pytest

from softmask.report import nodule_panels

FOUND = {
    "any_doctor": {"a": np.array([0.2, 0.4, 0.6, np.nan])},
    "dsnet": {"a": np.array([0.1, 0.3, 0.5, 0.9]), "b": np.array([0.5, 0.5, 0.7, 0.8])},
}


def test_distributions_rise_to_one_and_leave_out_what_is_undefined():
    fig = nodule_panels.distributions(FOUND, {"a": "with A", "b": "with B"})
    first, second = fig.axes
    assert [ax.get_title() for ax in fig.axes] == ["with A", "with B"]
    assert [line.get_ydata().max() for line in first.lines] == [1, 1]
    assert first.lines[0].get_xdata().max() == 0.6
    assert len(second.lines) == 1
    assert [text.get_text() for text in fig.legends[0].texts] == ["mean over the doctors", "DSNet"]
    styles = {(line.get_color(), line.get_linestyle()) for line in first.lines}
    assert len(styles) == 2


def test_groups_show_the_median_and_the_middle_half():
    found = {name: by["a"] for name, by in FOUND.items()}
    members = {"all": np.ones(4, bool), "solid": np.array([1, 1, 0, 0], bool), "calcific": np.zeros(4, bool)}
    fig = nodule_panels.by_group(found, members, "Dice")
    [ax] = fig.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["all nodules (4)", "solid (2)"]
    medians = [container.lines[0].get_xdata().tolist() for container in ax.containers]
    assert medians == [pytest.approx([0.4, 0.3]), pytest.approx([0.4, 0.2])]
