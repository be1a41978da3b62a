"""Simulated chests: shape, tissues and masks of single slices and whole volumes, and the data sets of them."""

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from phantoms.base import generator
from phantoms.chest import PATIENTS, Chest, EmbeddedLungs, draw_slice
from phantoms.chest_canvas import Canvas
from phantoms.chest_lung import Branches, share_of
from phantoms.chest_shape import TUBES, Build, fit, lung_distance
from softmask.data.image_files import window_hu

Z_MM = np.arange(0.0, 321.0, 2.0)


@lru_cache(maxsize=8)
def chest(name, dataset="lidc-lung"):
    return Chest(dataset, name, 0.72, 2.0, Z_MM, ())


def z_at(body, t):
    return body.build.apex_mm - t * body.build.height_mm


def frame(build, x, y):
    return round(build.row + y / build.spacing_mm), round(build.column + x / build.spacing_mm)


def test_a_slice_depends_on_its_names_and_height_alone():
    body = chest("a")
    z = z_at(body, 0.4)
    first = draw_slice(body, z)
    draw_slice(body, z_at(body, 0.7))
    again = draw_slice(Chest("lidc-lung", "a", 0.72, 2.0, Z_MM, ()), z)
    np.testing.assert_array_equal(first.hu, again.hu)
    np.testing.assert_array_equal(first.lungs, again.lungs)
    for other in (chest("c"), Chest("qin-lung", "a", 0.72, 2.0, Z_MM, ())):
        assert not np.array_equal(first.hu, draw_slice(other, z).hu)


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_area_from_apex_to_base(name):
    body = chest(name)
    levels = np.array([-0.05, 0.02, 0.1, 0.25, 0.5, 0.7, 0.85, 0.95, 1.03])
    area = np.array([draw_slice(body, z_at(body, t)).lungs.sum() for t in levels]) * 0.72**2 / 100  # cm^2
    assert area[0] == area[-1] == 0
    assert (np.diff(area[1:5]) > 0).all()
    assert 170 < area[3:6].max() < 600
    assert area[7] < area[6] < area[5]
    assert area[1] < 60


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_trachea_is_air_and_not_lung(name):
    body = chest(name)
    build = body.build
    for t in (0.05, 0.15, 0.3):
        image = draw_slice(body, z_at(body, t))
        at, xs, ys, _ = TUBES["trachea"]
        x = np.interp(t, at, xs) * build.width_mm / 135 + build.shift
        y = np.interp(t, at, ys) * build.depth_mm / 97
        row, column = frame(build, x, y)
        around = np.s_[row - 2 : row + 3, column - 2 : column + 3]
        assert image.hu[around].mean() < -800
        assert not image.lungs[around].any()


def test_hu_of_tissues():
    outside, inside, solid = [], [], []
    for name in "abcdef":
        body = chest(name)
        image = draw_slice(body, z_at(body, 0.5))
        assert image.hu.dtype == np.float32
        assert image.hu.min() >= -1024
        assert image.hu.max() <= 3071
        outside.append(image.hu[:8, 200:300].mean())
        inside.append(np.median(image.hu[ndimage.binary_erosion(image.lungs, iterations=4)]))
        row, column = frame(body.build, 20 + body.build.shift, -25)  # the heart
        solid.append(image.hu[row - 5 : row + 6, column - 5 : column + 6].mean())
        assert 0.05 < image.lungs.mean() < 0.35
        assert (image.hu > 250).sum() > 300  # bone
        assert ((image.hu > -140) & (image.hu < -60)).sum() > 2000  # fat
    assert max(outside) < -970
    assert -920 < np.mean(inside) < -780
    assert 20 < np.min(solid) < np.max(solid) < 330


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    place=st.tuples(st.floats(-0.8, 0.8), st.floats(-0.7, 0.7), st.floats(0.15, 0.85)),
    radius=st.floats(1.5, 20),
)
def test_a_nodule_gets_into_the_lung(seed, place, radius):
    spacing, extent_mm = 0.7, (300.0, 260.0)
    row = 255.5 + place[1] * 90 / spacing
    column = 255.5 + place[0] * 120 / spacing
    nodule = np.array([[row, column, 300 - 260 * place[2], radius, radius]])
    build = fit(generator("fit", seed), extent_mm, spacing, nodule, np.array([False]))
    assert lung_distance(build, *build.points(*nodule[:, :3].T)) < 0


def test_a_wall_is_moved_to_a_nodule_that_touches_it():
    build = Build(generator("wall"), (300.0, 260.0), 0.7)
    nodule = np.array([[255.5, 255.5 - 0.85 * build.width_mm / 0.7, 170.0, 5.0, 5.0]])
    fitted = fit(generator("wall", 1), (300.0, 260.0), 0.7, nodule, np.array([True]))
    assert lung_distance(fitted, *fitted.points(*nodule[:, :3].T)) == pytest.approx(-5.75, abs=1.5)


@pytest.mark.parametrize(("height", "filled"), [(0.0, True), (6.0, False)])
def test_only_vessels_in_the_slice_are_seen(height, filled):
    canvas = Canvas(Chest("lidc-lung", "canvas", 0.7, 2.0, Z_MM, ()), 150.0)
    line = Branches(np.array([[-40.0, 10.0, 150 + height]]), np.array([[40.0, 10.0, 150 + height]]), np.ones(1) * 3)
    share = share_of(line, canvas)
    row, column = frame(canvas.build, 0, 10)
    assert share[row, column] == (pytest.approx(1, abs=0.01) if filled else 0)
    assert share.sum() * 0.7**2 == pytest.approx(80 * 6 + np.pi * 9 if filled else 0, rel=0.08)


@pytest.fixture(scope="module", params=["lidc-lung", "qin-lung"])
def lungs(request):
    return EmbeddedLungs(request.param)


def rows_of(data, patient):
    return data.index.index[data.index["patient"] == patient].to_numpy()


def test_index_of_lungs(lungs):
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


def test_sample_of_lungs(lungs):
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
        readers, present = nodule.masks(slices[len(slices) // 2], (0, 0, 512, 512))
        consensus = 2 * readers.sum(axis=0) >= present.sum()
        assert not (consensus & ~sample.nodules).any()
        assert not (sample.nodules & ~sample.readers[0]).any()
        # the reference holds nodules by definition; what counts is that the shape was fitted to them
        image = draw_slice(lungs.chest(patient), slices[len(slices) // 2])
        shares.append((image.nodules & image.anatomy).sum() / image.nodules.sum())
        contrast.append(np.median(sample.hu[sample.nodules]))
    assert np.mean(shares) >= 0.9
    assert np.median(contrast) > -500
