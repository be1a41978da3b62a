"""Matting compared on small discs: algorithms, settings, times."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from softmask.analysis import matting
from softmask.errors import LabelError
from softmask.label import trimap
from softmask.label.matting import closed_form_alpha
from softmask.measure import soft

OTHERS = [
    "pymatting_closed_form",
    "pymatting_knn",
    "pymatting_learning_based",
    "pymatting_large_kernel",
    "pymatting_random_walk",
]


@pytest.fixture(scope="module")
def sample(discs):
    return discs(0)


@pytest.fixture(scope="module")
def compared(sample):
    return {record["algorithm"]: record for record in matting.compare_algorithms(sample)}


def test_every_algorithm_and_the_mask_itself_are_compared(compared) -> None:
    assert list(compared) == ["binary_mask", "closed_form", *OTHERS]
    assert {(r["sample"], r["patient"], r["converged"]) for r in compared.values()} == {("lidc/p0/n0/s0", "p0", 1.0)}


def test_the_measures_by_hand(sample, compared) -> None:
    band, first, votes = soft.edge_band(sample.alpha), sample.readers[0], sample.readers.sum(axis=0)
    binary = compared["binary_mask"]
    assert binary["mae_band"] == pytest.approx(np.abs(first - sample.alpha.astype(float))[band].mean())
    assert binary["dice_consensus"] == pytest.approx(
        2 * (first & (votes >= 2)).sum() / (first.sum() + (votes >= 2).sum())
    )
    alpha = closed_form_alpha(sample.image, trimap.from_mask(first))
    assert compared["closed_form"]["mae_band"] == pytest.approx(np.abs(alpha - sample.alpha)[band].mean())


def test_matting_comes_nearer_than_the_mask_and_both_closed_forms_agree(compared) -> None:
    for name in ("closed_form", "pymatting_closed_form", "pymatting_learning_based"):
        assert compared[name]["mae_band"] < compared["binary_mask"]["mae_band"], name
    assert compared["closed_form"]["mae_band"] == pytest.approx(
        compared["pymatting_closed_form"]["mae_band"], abs=0.002
    )


def test_the_algorithms_keep_what_the_trimap_knows(sample) -> None:
    """This package's exactly; pymatting's only softly, its large kernels least."""
    known = trimap.from_mask(sample.readers[0])
    for name, estimate in matting.algorithms().items():
        alpha = estimate(sample.image, known)
        assert alpha.shape == known.shape, name
        assert alpha[known == 1].mean() > 0.9, name
        assert alpha[known == 0].mean() < 0.05, name
        if name == "closed_form":
            np.testing.assert_array_equal(alpha[known != 0.5], known[known != 0.5])


def test_a_solver_that_gives_up_is_recorded_and_other_errors_are_raised(sample, monkeypatch) -> None:
    def fails(message):
        def estimate(image, known):
            raise ValueError(message)

        return estimate

    monkeypatch.setattr(
        matting, "algorithms", lambda: {"closed_form": closed_form_alpha, "x": fails("CG did not converge.")}
    )
    records = matting.compare_algorithms(sample)
    assert [(record["algorithm"], record["converged"]) for record in records] == [
        ("binary_mask", 1), ("closed_form", 1), ("x", 0)
    ]  # fmt: skip
    assert "mae_band" in records[1]
    assert not {"mae_band", "dice_consensus"} & set(records[2])
    monkeypatch.setattr(matting, "algorithms", lambda: {"x": fails("not an image")})
    with pytest.raises(ValueError, match="not an image"):
        matting.compare_algorithms(sample)


def test_pymatting_still_says_that_it_did_not_converge() -> None:
    """The words that compare_algorithms looks for are pymatting's own."""
    import pymatting

    hard = np.diag([1.0, 1e9, 3.0])
    with pytest.raises(ValueError, match="did not converge"):
        pymatting.cg(hard, np.ones(3), maxiter=1, rtol=1e-12, atol=0)


def test_one_setting_varies_at_a_time_round_the_packages_own(sample) -> None:
    records = matting.compare_settings(sample)
    values = {
        s: [r["value"] for r in records if r["setting"] == s] for s in ("epsilon", "window_radius", "trimap_radius")
    }
    assert values == {
        "epsilon": ["1e-09", "1e-07", "1e-05", "0.001", "0.01"],
        "window_radius": ["1", "2"],
        "trimap_radius": ["automatic", "1", "2", "3", "5", "8"],
    }
    assert len(records) == 13
    found = {(r["setting"], r["value"]): r["mae_band"] for r in records}
    own = found["trimap_radius", "automatic"]
    assert found["epsilon", "1e-07"] == own == found["window_radius", "1"]
    for setting in ("epsilon", "window_radius"):  # a value that changed nothing would not have been passed on
        assert len({found[setting, value] for value in values[setting]}) == len(values[setting]), setting
    assert len({found["trimap_radius", value] for value in ("1", "2", "3", "5", "8")}) == 5


def test_without_the_truth_only_the_readers_are_compared_with(sample) -> None:
    real = replace(sample, alpha=None)
    assert {tuple(r) for r in matting.compare_settings(real)} == {
        ("sample", "patient", "setting", "value", "dice_consensus")
    }


def test_no_matting_without_a_reader(sample) -> None:
    axes = np.array([[[32, 23], [32, 41]], [[23, 32], [41, 32]]], float)
    alone = replace(sample, readers=sample.readers[:0], present=sample.present[:0], recist=axes)
    for study in (matting.compare_algorithms, matting.compare_settings, lambda s: matting.time_labelling([s], 64, 1)):
        with pytest.raises(LabelError, match="lidc/p0/n0/s0"):
            study(alone)


def test_times_are_medians_over_samples_of_the_best_repeat(sample, monkeypatch) -> None:
    durations = iter([9, 2, 3, 4, 5, 6, 7, 8, 1, 1, 30, 20, 40, 50, 60, 70])  # seconds; 2 samples x 4 steps x 2 repeats
    clock = [0.0]

    def now() -> float:
        now.calls += 1
        if now.calls % 2 == 0:  # the end of a step
            clock[0] += next(durations)
        return clock[0]

    now.calls = 0
    monkeypatch.setattr("softmask.analysis.matting.time.perf_counter", now)
    times = matting.time_labelling([sample, sample], size=64, repeats=2)
    expected = {
        "trimap": (2 + 1) / 2,
        "recist_trimap": (3 + 20) / 2,
        "matting": (5 + 40) / 2,
        "pymatting": (7 + 60) / 2,
    }
    band = np.count_nonzero(trimap.from_mask(sample.masks[0]) == 0.5)
    assert times.pop("unknown_pixels") == band
    assert times == {name: 1000 * s for name, s in expected.items()} | {"total": 1000 * (1.5 + 22.5)}


def test_images_are_enlarged_before_they_are_timed(sample, monkeypatch) -> None:
    sizes = []
    own = trimap.from_mask
    monkeypatch.setattr(trimap, "from_mask", lambda mask, radius=None: sizes.append(mask.shape) or own(mask, radius))
    times = matting.time_labelling([sample], size=96, repeats=1)
    assert set(sizes) == {(96, 96)}
    assert all(value > 0 for value in times.values())


def test_the_time_is_told_beside_the_printed_one():
    said = matting.measured({"trimap": 0.6, "matting": 9.3})
    assert said.endswith(": trimap 1 ms (printed 5), matting 9 ms (printed 15)")
