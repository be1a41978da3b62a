"""Small images of a bright disc, and what is known of it: masks, RECIST ends, files of either."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from PIL import Image

from softmask import cli

SIZE = (40, 48)
SPACING, ORIGIN = (2.5, 0.7, 0.8), (-20.5, -31.25, 100.0)  # of slices, rows, columns; x, y, z
CENTRES = {1: (18, 22), 2: (19, 23), 3: (20, 23)}
RADIUS = 7


def disc(centre=(19, 23), radius: float = RADIUS, size=SIZE) -> np.ndarray:
    """(H, W) bool."""
    row, column = np.indices(size)
    return np.hypot(row - centre[0], column - centre[1]) <= radius


def grey(seed: int = 0, centre=(19, 23), size=SIZE) -> np.ndarray:
    """(H, W) uint8: the disc in noise."""
    noise = np.random.default_rng(seed).normal(0, 6, size)
    row, column = np.indices(size)
    edge = np.clip(RADIUS + 1 - np.hypot(row - centre[0], column - centre[1]), 0, 2) / 2
    return np.clip(np.rint(60 + 120 * edge + noise), 0, 255).astype(np.uint8)


def ends(centre=(19, 23), radius: int = RADIUS) -> tuple[float, ...]:
    """r0 c0 r1 c1 of the disc's upright diameter, r2 c2 r3 c3 of the other one."""
    row, column = centre
    return row - radius, column, row + radius, column, row, column - radius, row, column + radius


def save(path: Path, picture: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


def hu() -> np.ndarray:
    """(5, H, W) int16: air, with the disc in slices 1 to 3."""
    volume = np.stack([grey(z, CENTRES.get(z, (200, 200))) for z in range(5)]).astype(np.int16)
    return volume * 5 - 1000


def volume_mask() -> np.ndarray:
    """(5, H, W) bool: the disc in slices 1 to 3."""
    return np.stack([disc(CENTRES[z]) if z in CENTRES else np.zeros(SIZE, bool) for z in range(5)])


def write_volume(path: Path, values: np.ndarray, letters: str = "LPS") -> Path:
    image = SimpleITK.GetImageFromArray(values.astype(np.uint8) if values.dtype == bool else values)
    image.SetSpacing(SPACING[::-1])
    image.SetOrigin(ORIGIN)
    path.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(SimpleITK.DICOMOrient(image, letters), str(path))
    return path


def write_list(path: Path, header: Sequence[str], rows: Sequence[Sequence]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def read_manifest(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def soft(path: Path) -> np.ndarray:
    """(H, W) float64 in [0, 1] of a PNG of 16 bit."""
    return np.asarray(Image.open(path)).astype(float) / 65535


class Made:
    """What the functions above make, for the tests."""

    size, spacing, origin, centres, radius = SIZE, SPACING, ORIGIN, CENTRES, RADIUS
    disc, grey, ends, save, hu, volume_mask = map(staticmethod, (disc, grey, ends, save, hu, volume_mask))
    write_volume, write_list, read_manifest, soft = map(staticmethod, (write_volume, write_list, read_manifest, soft))


@pytest.fixture(scope="session")
def made() -> type[Made]:
    return Made


@pytest.fixture(scope="session")
def ct(series, tmp_path_factory) -> Path:
    """A CT series of five slices, in DICOM."""
    return series(tmp_path_factory.mktemp("ct") / "case-1", hu(), SPACING, ORIGIN)


@pytest.fixture
def label(tmp_path) -> Callable[..., int]:
    """``softmask label ... --out <tmp_path>/out`` in this process."""

    def run(*arguments, jobs: int = 1) -> int:
        return cli.main(["label", *map(str, arguments), "--out", str(tmp_path / "out"), "--jobs", str(jobs)])

    return run
