"""The embedded lung data sets, through the interface that every data set has."""

import numpy as np
import pytest

from phantoms.chest import draw_slice
from phantoms.lungs import PATIENTS, EmbeddedLungs
from softmask.data.image_files import window_hu


@pytest.fixture(scope="module", params=["lidc-lung", "qin-lung"])
def lungs(request):
    return EmbeddedLungs(request.param)


def rows_of(data, patient):
    return data.index.index[data.index["patient"] == patient].to_numpy()


def test_index(lungs):
    index = lungs.index
    assert index["patient"].nunique() == PATIENTS[lungs.name]
    assert not index.duplicated(["patient", "slice"]).any()
    assert set(index["nodule"]) == {"lungs"}
    assert (index["n_readers"] == 1).all()
    for _, scan in index.groupby("patient", sort=False):
        assert 110 <= len(scan) <= 320
        assert (np.diff(scan["z_mm"]) > 0).all()
        assert scan["slice"].iloc[0] == "slice-0000"
        assert scan["slice"].is_monotonic_increasing
        assert 0.4 < scan["holds_lung"].mean() < 0.98
        assert not scan["holds_lung"].iloc[-1]


def test_patients_are_in_one_set_only():
    first, second = EmbeddedLungs("lidc-lung"), EmbeddedLungs("qin-lung")
    assert not set(first.index["patient"]) & set(second.index["patient"])
    assert first.fingerprint != second.fingerprint
    assert EmbeddedLungs("qin-lung").fingerprint == second.fingerprint
    assert EmbeddedLungs("qin-lung").index.equals(second.index)


def test_sample(lungs):
    row = int(lungs.index.index[lungs.index["holds_lung"]][40])
    sample = lungs[row]
    again = EmbeddedLungs(lungs.name)[row]
    np.testing.assert_array_equal(sample.hu, again.hu)
    np.testing.assert_array_equal(sample.readers, again.readers)
    np.testing.assert_array_equal(sample.image, window_hu(sample.hu))
    assert sample.id == f"{lungs.name}/{lungs.index['patient'][row]}/lungs/{lungs.index['slice'][row]}"
    assert sample.hu.shape == (512, 512)
    assert sample.readers.shape == (1, 512, 512)
    assert sample.blank
    assert sample.source == "embedded"
    assert lungs.reference == "simulated"
    assert sample.spacing[0] == lungs.chest(sample.patient).nodules[0].spacing_mm


def test_holds_lung_says_where_the_mask_is(lungs):
    for patient in lungs.index["patient"].unique()[:: 60 if lungs.name == "lidc-lung" else 16]:
        rows = rows_of(lungs, patient)
        holds = lungs.index["holds_lung"].to_numpy()[rows]
        level = lungs.chest(patient).build.level(lungs.index["z_mm"].to_numpy()[rows])
        assert lungs[int(rows[holds][len(rows[holds]) // 2])].readers.mean() > 0.04
        assert lungs[int(rows[holds][5])].readers.any()
        assert lungs[int(rows[holds][-2])].readers.any()
        for row in rows[(level < -0.005) | (level > 1.005)][::9]:
            sample = lungs[int(row)]
            assert not lungs.index["holds_lung"][row]
            assert not sample.readers.any()
            assert sample.present.all()


def test_nodules_lie_in_the_lung_and_show(lungs):
    shares, contrast = [], []
    step = PATIENTS[lungs.name] // 8
    for patient in lungs.index["patient"].unique()[::step]:
        rows = rows_of(lungs, patient)
        z = lungs.index["z_mm"].to_numpy()[rows]
        nodule = max(lungs.chest(patient).nodules, key=lambda n: len(n.slices()))
        slices = nodule.slices()
        sample = lungs[int(rows[np.abs(z - slices[len(slices) // 2]).argmin()])]
        assert sample.nodules.any()
        window = nodule.window(512)
        readers, present = nodule.masks(slices[len(slices) // 2], (0, 0, 512, 512))
        assert window[2] == 512
        consensus = 2 * readers.sum(axis=0) >= present.sum()
        assert (sample.nodules & consensus).sum() == consensus.sum()
        assert not (sample.nodules & ~sample.readers[0]).any()
        # the reference holds nodules by definition; what counts is that the shape was fitted to them
        image = draw_slice(lungs.chest(patient), slices[len(slices) // 2])
        shares.append((image.nodules & image.anatomy).sum() / image.nodules.sum())
        contrast.append(np.median(sample.hu[sample.nodules]))
    assert np.mean(shares) >= 0.9
    assert np.median(contrast) > -500
