"""Time of 93 features in 64 x 64 images: one region, also with pyradiomics' extractor, and 400 regions on all cores.

Run with ``pytest benchmarks/bench_radiomics.py --benchmark-enable --benchmark-only``.
"""

import numpy as np
import pytest
import SimpleITK as sitk
from radiomics.featureextractor import RadiomicsFeatureExtractor
from scipy.ndimage import gaussian_filter

from softmask.measure.radiomics import BinCount, extract, feature_values

BINS = BinCount(32)
IN_2D = {**BINS.settings, "force2D": True}


def region(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return smoothed noise, and a disc with a radius of 3 to 28 pixels."""
    rng = np.random.default_rng(seed)
    row, column = np.indices((64, 64)) - 32
    return gaussian_filter(rng.random((64, 64)), 1), np.hypot(row, column) < rng.uniform(3, 28)


@pytest.mark.benchmark(group="93 features of one region")
@pytest.mark.parametrize("method", ["softmask", "pyradiomics' extractor"])
def test_one_region(benchmark, method: str) -> None:
    image, mask = region(0)
    if method == "softmask":
        benchmark(feature_values, image[None], mask[None], IN_2D)
        return
    extractor = RadiomicsFeatureExtractor(**IN_2D)
    extractor.disableAllFeatures()
    for kind in ("firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm"):
        extractor.enableFeatureClassByName(kind)
    voxels, inside = (sitk.GetImageFromArray(array[None]) for array in (image, mask.astype(np.uint8)))
    benchmark(extractor.execute, voxels, inside)


@pytest.mark.benchmark(group="400 regions on all cores")
def test_many_regions(benchmark, monkeypatch, tmp_path) -> None:
    count = 400 if benchmark.enabled else 4
    images, masks = zip(*(region(seed) for seed in range(count)), strict=True)
    folders = iter(range(100))

    def nothing_kept() -> None:
        monkeypatch.setenv("SOFTMASK_CACHE", str(tmp_path / str(next(folders))))

    benchmark.pedantic(lambda: extract(images, masks, BINS), setup=nothing_kept, rounds=3, warmup_rounds=1)
