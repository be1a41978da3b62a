"""Smooth and burr by hand-made ratings, regions and features of small discs."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from softmask.analysis import radiomics
from softmask.config import Config
from softmask.errors import DataError
from softmask.label import consensus, label_sample
from softmask.measure.radiomics import FEATURES, BinCount, BinWidth

NONE = {"spiculation": (1, 1), "lobulation": (1, 2), "margin": (5, 4)}
SPICULATED = {"spiculation": (2, 3), "lobulation": (1, 1), "margin": (5, 5)}


@pytest.fixture
def rate(monkeypatch):
    """Gives nodule ``n0`` of each patient its readers' ratings; None is a nodule that nobody knows."""

    def rate(by_patient):
        def find(patient, _):
            ratings = by_patient[patient]
            if ratings is None:
                return None
            readers = [dict(zip(ratings, values, strict=True)) for values in zip(*ratings.values(), strict=True)]
            return SimpleNamespace(readers=[SimpleNamespace(ratings=reader) for reader in readers])

        monkeypatch.setattr(radiomics, "load_annotations", lambda: SimpleNamespace(find=find))

    return rate


@pytest.mark.parametrize(
    ("ratings", "kind"),
    [
        ((1.5, 1.5, 4.0), "smooth"),
        ((1.5, 1.5, 3.9), ""),
        ((1.6, 1.0, 5.0), ""),
        ((1.0, 1.6, 5.0), ""),
        ((2.5, 1.0, 5.0), "burr"),
        ((1.0, 2.5, 1.0), "burr"),
        ((2.4, 2.4, 1.0), ""),
        ((np.nan, np.nan, np.nan), ""),
    ],
)
def test_the_rule(ratings, kind):
    assert radiomics.class_of(*ratings) == kind


def test_one_line_for_each_nodule_with_the_readers_means(rate, dataset_of, discs):
    rate({"p0": NONE, "p1": SPICULATED, "p2": None})
    larger = replace(discs(0, radius=12), slice="s9")
    dataset = dataset_of([discs(0), discs(1), discs(2), larger], name="lnsm")
    dataset.index["n_readers"] = 0  # all of them are LNSM's, whatever the patient's role
    result = radiomics.rated("lnsm", dataset).set_index("patient")
    assert len(result) == 3
    assert result.loc["p0", ["row", *radiomics.RATED, "class"]].tolist() == [3, 1, 1.5, 4.5, "smooth"]
    assert result.loc[["p1", "p2"], "class"].tolist() == ["burr", ""]
    counts = radiomics.class_counts({"lnsm": result})
    assert counts["LNSM"].to_dict() == {"smooth": 1, "burr": 1, "between": 0, "not rated": 1}
    rate(dict.fromkeys(("p0", "p1", "p2")))
    with pytest.raises(DataError, match="no nodule in it was rated"):
        radiomics.rated("lnsm", dataset)


def test_masks_are_the_papers(discs):
    sample = discs()
    made = label_sample(sample, "recist")
    lesion = radiomics.lesion_of(sample, "recist")
    np.testing.assert_array_equal(lesion.binary, made.alpha >= 0.5)
    np.testing.assert_array_equal(lesion.values, sample.image)
    lesion = radiomics.lesion_of(replace(sample, hu=sample.image * 1000), "readers")
    np.testing.assert_array_equal(lesion.binary, consensus.fifty_percent(sample.masks))
    np.testing.assert_array_equal(lesion.alpha, label_sample(sample, "readers").alpha)
    np.testing.assert_array_equal(lesion.values, sample.image * 1000)
    assert lesion.dilated.sum() == lesion.regions.soft.sum() > lesion.binary.sum()


def test_readers_who_share_no_pixel_leave_no_binary_mask(discs, monkeypatch):
    monkeypatch.setattr(radiomics.consensus, "fifty_percent", lambda masks: np.zeros((64, 64), bool))
    with pytest.raises(DataError, match="lidc/p0/n0/s0: no pixel is in the binary mask"):
        radiomics.lesion_of(discs(), "readers")


@pytest.fixture(scope="module")
def lesions(discs):
    made = [radiomics.lesion_of(discs(i), "readers") for i in range(3)]
    flat = np.where(made[1].regions.binary, 0.5, made[1].values)
    first = np.zeros((64, 64), bool)
    first[32, 32] = True
    return [
        made[0],
        replace(made[1], values=flat),
        replace(made[2], binary=first),
        replace(made[2], alpha=made[2].binary.astype(np.float32)),
    ]


def test_features_of_every_set_and_what_has_none(lesions):
    result, missing = radiomics.features_of(lesions, BinCount())
    assert tuple(sorted(result)) == tuple(sorted(radiomics.FEATURE_SETS))
    assert {name: table.shape[1] for name, table in result.items()} == {
        **dict.fromkeys(("binary_roi", "soft_roi", "dilated_roi", "band_roi"), len(FEATURES)),
        "all_rois": 3 * len(FEATURES),
        **dict.fromkeys(radiomics.FIRST_ORDER, 18),
        "area": 1,
    }
    assert set(missing) == {1, 2}  # the constant one, the one of one pixel
    assert "constant" in missing[1]
    assert "too small" in missing[2]
    assert result["band_roi"].notna().all(axis=1).tolist()[0]
    assert result["band_roi"].isna().all(axis=1).tolist()[3]  # alpha is 0 or 1: there is no band
    for name in ("binary_roi", "soft_roi", "first_order_weighted"):
        assert result[name].loc[3].notna().all()
    pd.testing.assert_series_equal(
        result["first_order_weighted"].loc[3], result["first_order_binary"].loc[3], check_exact=False
    )
    assert result["area"]["area"].tolist() == [lesion.binary.sum() for lesion in lesions]


@pytest.fixture
def nodules(rate, dataset_of, discs):
    """Ten smooth discs, eight burr ones, one that cannot be read and one that cannot be labelled."""
    rate({f"p{i}": SPICULATED if i < 10 else NONE for i in range(20)})
    samples = [replace(discs(i), dataset="lnsm") for i in range(20)]
    samples[0] = DataError("damaged")
    samples[1] = replace(samples[1], image=np.full((64, 64), 0.5, np.float32))
    dataset = dataset_of(samples, name="lnsm", areas=range(20))
    dataset.index["n_readers"] = 0
    return radiomics.nodules_of("lnsm", dataset)


def test_nodules_with_class_and_features(nodules):
    assert len(nodules) == 18
    assert nodules.burr.sum() == 8
    assert {problem.where for problem in nodules.left_out} == {"lnsm/p0/n0/s0", "lnsm/p1/n0/s1"}
    assert all((int(name[1:]) < 10) == burr for name, burr in zip(nodules.patients, nodules.burr, strict=True))
    assert nodules.features["binary_roi"].notna().all(axis=None)
    assert nodules.pixels.columns.tolist() == ["binary", "soft", "band"]
    assert "18 nodules of 18 patients, 8 of them burr" in radiomics.described(nodules)


def test_balanced_takes_the_first_of_each_class(nodules):
    result = nodules.balanced(12)
    assert (len(result), result.burr.sum()) == (12, 6)
    kept = [name for name in nodules.ids if name in result.ids]
    assert list(result.ids) == kept
    smooth = [name for name, burr in zip(nodules.ids, nodules.burr, strict=True) if not burr]
    assert set(smooth[:6]) <= set(result.ids)
    assert len(nodules.balanced(200)) == 16  # eight burr ones are all there are
    shown = radiomics.overview({"lnsm": result})
    assert shown["nodules"].tolist() == [6, 6]
    assert (shown["soft, pixels"] >= shown["binary, pixels"]).all()


def test_bins_are_of_25_hu_where_the_image_is_in_hu(dataset_of, discs):
    dataset = dataset_of([discs(), discs(hu=np.zeros((64, 64), np.float32))])
    assert radiomics.bins_of(dataset, 0) == BinCount(32)
    assert radiomics.bins_of(dataset, 1) == BinWidth(25)


def test_deeplesion_has_no_ratings_and_makes_way(dataset_of, discs, monkeypatch):
    marked, rated = dataset_of([discs()], name="lnsm"), dataset_of([discs()])
    sets = {"lnsm": marked, "lidc": rated}
    monkeypatch.setattr(radiomics.datasets, "open_dataset", lambda name, _: sets[name])
    config = Config.from_parameters("smoke", "embedded")
    assert radiomics.open_sets(config) == {"lnsm": marked, "lidc": rated}
    marked.index["n_readers"] = 0
    assert radiomics.open_sets(config) == {"lnsm": rated, "lidc": rated}
