"""Many regions: order, what is left out and why, the cache, and that no table ever holds a NaN."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from softmask.errors import DataError
from softmask.measure.radiomics import FEATURES, BinCount, BinWidth, extract, extraction
from softmask.measure.radiomics.features import feature_values

BINS = BinCount(32)


def disc(radius: float = 4, centre: tuple[int, int] = (10, 12), shape: tuple[int, int] = (24, 26)) -> np.ndarray:
    row, column = np.indices(shape)
    return np.hypot(row - centre[0], column - centre[1]) < radius


def noise(seed: int = 0, shape: tuple[int, int] = (24, 26)) -> np.ndarray:
    return np.random.default_rng(seed).random(shape)


def quietly(images, masks, **options):
    return extract(images, masks, **{"bins": BINS, "jobs": 1, "progress": False, **options})


def test_rows_are_the_features_of_each_region() -> None:
    images = [noise(0), noise(1, (40, 33)), noise(2)]
    masks = [disc(), disc(7, shape=(40, 33)), disc(2.5)]
    found = quietly(images, masks)
    assert list(found.table.columns) == list(FEATURES)
    assert list(found.table.index) == [0, 1, 2]
    assert len(found.left_out) == 0
    for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
        expected = feature_values(image[None], mask[None], {**BINS.settings, "force2D": True})
        assert found.table.loc[i].to_dict() == expected


def test_what_lies_outside_the_region_and_where_it_lies_do_not_matter() -> None:
    image, mask = noise(), disc()
    elsewhere = np.where(mask, image, np.nan)
    box = np.s_[7:15, 9:]
    found = quietly([image, elsewhere, image[box]], [mask, mask, mask[box]])
    assert mask[7].any()
    assert mask[:, 9].any()
    assert len(found.table) == 3
    assert (found.table == found.table.loc[0]).all(axis=None)


def refused() -> dict[str, tuple[np.ndarray, np.ndarray, str]]:
    image, mask = noise(), disc()
    line = np.zeros_like(mask)
    line[3, 2:20] = True
    hole = image.copy()
    hole[10, 12] = np.inf
    hole[11, 12] = np.nan
    return {
        "one pixel": (image, disc(0.5), "too small: 1 of at least 5 pixels"),
        "four pixels": (image, disc(1.1) & ~disc(0.5), "too small: 4 of at least 5"),
        "constant": (np.full_like(image, 0.4), mask, "constant: its grey levels, 0.4 to 0.4"),
        "nearly constant": (0.4 + 1e-16 * image, mask, "constant"),
        "empty": (image, np.zeros_like(mask), "empty"),
        "huge": (np.where(image < 0.5, -1e308, 1e308), mask, r"not finite, or beyond 1e\+70, in 45 of"),
        "line": (image, line, "a line of 1 x 18 pixels"),
        "holes": (hole, mask, r"not finite, or beyond 1e\+70, in 2 of the region's \d+ pixels"),
        "other size": (image[:20], mask, r"image is of size \(20, 26\) and the mask of \(24, 26\)"),
        "grey mask": (image, mask.astype(float), "must be .H, W. bool, not float64"),
        "volume": (image[None], mask[None], "must be .H, W. bool"),
        "complex": (image * 1j, mask, "must hold numbers, not complex128"),
    }


def test_what_has_no_features_is_left_out_with_the_reason(capfd) -> None:
    bad = refused()
    images = [noise(1), *(image for image, _, _ in bad.values()), noise(2)]
    masks = [disc(), *(mask for _, mask, _ in bad.values()), disc()]
    found = quietly(images, masks, names=["first", *bad, "last"])
    assert list(found.table.index) == [0, len(bad) + 1]
    assert list(found.left_out["position"]) == list(range(1, len(bad) + 1))
    assert list(found.left_out["name"]) == list(bad)
    for (_, _, why), reason in zip(bad.values(), found.left_out["reason"], strict=True):
        with pytest.raises(DataError, match=why):
            raise DataError(reason)
    assert capfd.readouterr().err == ""


def test_bins_of_a_width_want_hounsfield_units() -> None:
    images = [noise(), 1e6 * noise(), 300 * noise() - 800]
    found = quietly(images, [disc()] * 3, bins=BinWidth(25))
    assert list(found.table.index) == [2]
    assert "constant" in found.left_out["reason"][0]
    assert "use BinCount" in found.left_out["reason"][1]


def test_a_feature_that_is_not_defined_is_named() -> None:
    apart = np.zeros((24, 26), bool)
    apart[::4, ::4] = True  # no pixel has a neighbour
    found = quietly([noise()], [apart])
    assert found.left_out["reason"][0].startswith("not defined in this region of 42 pixels: glcm_Autocorrelation, ")
    assert found.table.shape == (0, 93)


def test_nothing_to_extract() -> None:
    found = quietly([], [])
    assert found.table.shape == (0, 93)
    assert list(found.left_out.columns) == ["position", "name", "reason"]


def test_as_many_masks_as_images() -> None:
    with pytest.raises(DataError, match="2 images, 1 masks, 2 names"):
        quietly([noise()] * 2, [disc()])


@given(
    hnp.arrays(float, (6, 7), elements=st.sampled_from([0.0, 0.1, 0.5, 1.0])),
    hnp.arrays(bool, (6, 7)),
    st.sampled_from([BinCount(2), BinCount(32), BinWidth(0.25)]),
)
@settings(max_examples=60)
def test_no_table_holds_a_nan(image, mask, bins) -> None:
    found = quietly([image], [mask], bins=bins)
    assert len(found.table) + len(found.left_out) == 1
    assert np.isfinite(found.table.to_numpy()).all()


def test_what_was_extracted_is_kept(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("SOFTMASK_CACHE", str(tmp_path))
    apart = disc() & (np.indices((24, 26)) % 4 == 0).all(axis=0)
    masks = [disc(), apart, disc(3)]
    first = quietly([noise()] * 3, masks)
    monkeypatch.setattr(extraction, "map_items", lambda *_, **__: pytest.fail("extracted again"))
    again = quietly([np.where(disc(6), noise(), 9)] * 3, masks, jobs=2)  # the same regions of another image
    assert again.table.equals(first.table)
    assert again.left_out.equals(first.left_out)
    assert list(again.left_out["position"]) == [1]
    for changed in ({"bins": BinCount(16)}, {"masks": [*masks[:2], disc(3.5)]}):
        with pytest.raises(pytest.fail.Exception, match="extracted again"):
            quietly([noise()] * 3, **{"masks": masks, **changed})


def test_processes_do_not_change_the_result(monkeypatch, tmp_path, capfd) -> None:
    images, masks = [noise(i) for i in range(70)], [disc(2 + i / 20) for i in range(70)]
    masks[30] = disc(0.5)
    found = []
    for jobs in (1, 2):
        monkeypatch.setenv("SOFTMASK_CACHE", str(tmp_path / str(jobs)))
        found.append(extract(images, masks, bins=BINS, jobs=jobs))
    assert found[0].table.equals(found[1].table)
    assert list(found[0].table.index) == [i for i in range(70) if i != 30]
    assert "radiomics: 100%" in capfd.readouterr().err
