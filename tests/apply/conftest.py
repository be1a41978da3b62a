"""Small images of a bright disc with masks, RECIST ends and files of either; finished runs that nobody trained, with
made-up weights: DSNet on a super-resolution network, LGAN."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK
import torch
from PIL import Image

from softmask import cli
from softmask.apply.exporting import export
from softmask.experiments import inputs, prepare, store
from softmask.experiments.kinds import measured
from softmask.experiments.prepare import Part, Prepared
from softmask.experiments.spec import RunSpec
from softmask.experiments.store import Provenance, Record, Run
from softmask.nets.registry import build
from softmask.train.loop import Settings
from softmask.train.segmentation import predict

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


def save(path: Path, picture: np.ndarray):
    """A mask (bool) becomes 0 and 255."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = picture * np.uint8(255) if picture.dtype == bool else picture
    Image.fromarray(picture).save(path)
    return path


def hu() -> np.ndarray:
    """(5, H, W) int16: air, with the disc in slices 1 to 3."""
    volume = np.stack([grey(z, CENTRES.get(z, (200, 200))) for z in range(5)]).astype(np.int16)
    return volume * 5 - 1000


def volume_mask() -> np.ndarray:
    """(5, H, W) bool: the disc in slices 1 to 3."""
    return np.stack([disc(CENTRES[z]) if z in CENTRES else np.zeros(SIZE, bool) for z in range(5)])


def write_volume(path: Path, values: np.ndarray, letters: str = "LPS", spacing=SPACING):
    image = SimpleITK.GetImageFromArray(values.astype(np.uint8) if values.dtype == bool else values)
    image.SetSpacing(spacing[::-1])
    image.SetOrigin(ORIGIN)
    path.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(SimpleITK.DICOMOrient(image, letters), str(path))
    return path


def voxels(path: Path) -> np.ndarray:
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))


def write_list(path: Path, header: Sequence[str], rows: Sequence[Sequence]):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def read_manifest(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def soft(path: Path) -> np.ndarray:
    """(H, W) float64 in [0, 1] of a PNG of 16 bit."""
    return np.asarray(Image.open(path)).astype(float) / 65535


@pytest.fixture(scope="session")
def made() -> SimpleNamespace:
    """The constants and functions above, for the tests."""
    functions = (disc, grey, ends, save, hu, volume_mask, write_volume, voxels, write_list, read_manifest, soft)
    by_name = {function.__name__: function for function in functions}
    return SimpleNamespace(size=SIZE, spacing=SPACING, origin=ORIGIN, centres=CENTRES, **by_name)


@pytest.fixture(scope="session")
def ct(series, tmp_path_factory):
    """A CT series of five slices, in DICOM."""
    return series(tmp_path_factory.mktemp("ct") / "case-1", hu())


@pytest.fixture
def image(tmp_path) -> Path:
    """A picture of the disc."""
    return save(tmp_path / "a.png", grey())


@pytest.fixture
def drawn(tmp_path) -> Path:
    """The picture's mask."""
    return save(tmp_path / "m.png", disc())


@pytest.fixture
def label(tmp_path) -> Callable[..., int]:
    """``softmask label ... --out <tmp_path>/out`` in this process."""

    def run(*arguments, jobs: int = 1):
        return cli.main(["label", *map(str, arguments), "--out", str(tmp_path / "out"), "--jobs", str(jobs)])

    return run


COMMON = {
    "dataset": "lidc",
    "source": "real",
    "profile": "cpu",
    "seed": 2020,
    "size": 16,
    "n_train": 8,
    "settings": Settings(epochs=1, batch_size=4, learning_rate=1e-2),
}
SR = RunSpec(network="srgan", width=2, label="high_resolution", losses=(("content", 1.0),), **COMMON)
SPEC = RunSpec(
    network="dsnet",
    width=2,
    label="soft_mask",
    losses=(("dice_squared", 0.5), ("soft_l1", 100.0)),
    channels=("bilinear", "super_resolved", "detail"),
    scale=2,
    reduction=2,
    sr=SR,
    **COMMON,
)
LUNGS = RunSpec(
    network="lgan_generator",
    width=2,
    label="binary",
    losses=(("hard_cross_entropy", 1.0), ("wasserstein_regression", 1.0)),
    **COMMON | {"dataset": "lidc-lung", "source": "embedded", "size": 32},
)
PROVENANCE = Provenance(
    data="da" * 32, numerics=1, origin="blobs", weights=None, seconds=1.5, device="cpu", cpu="a cpu", packages={},
    commit="c0ffee", dirty=False,
)  # fmt: skip


def network_of(spec: RunSpec) -> torch.nn.Module:
    """With weights whose answers are neither all lesion nor none."""
    torch.manual_seed(1)
    network = build(spec.network, spec.width, spec.inputs, spec.reduction) if not spec.upscales else build("srgan", 2)
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if name.endswith("head.weight"):
                tensor.mul_(20)
    return network.eval()


def blobs(n: int) -> Part:
    random = np.random.default_rng(0)
    rows, columns = np.indices((16, 16))
    alpha = np.clip(4.5 - np.hypot(rows - 8, columns - random.uniform(6, 10, (n, 1, 1, 1))), 0, 1).astype(np.float32)
    images = np.clip(0.2 + 0.6 * alpha + random.normal(0, 0.05, alpha.shape), 0, 1).astype(np.float32)
    ids = tuple(f"p{i}" for i in range(n))
    soft = dict.fromkeys(prepare.SOFT_LABELS, alpha)
    return Part(ids, ids[:1] * 2 + ids[2:], images, (alpha >= 0.5).astype(np.float32), soft)


@pytest.fixture(scope="session")
def data() -> Prepared:
    part = blobs(6)
    return Prepared("lidc", "real", "blobs", "da" * 32, part, part, part)


def finished(spec: RunSpec, folder: Path, data: Prepared, needs=()) -> Run:
    network = network_of(spec)
    provenance = replace(PROVENANCE, weights=store.save_weights(folder, network), needs=tuple(n.key for n in needs))
    result = {"measures": {}, "calibration": None, "predictions": {}}
    if not spec.upscales:
        answers = predict(network, inputs.channels(spec, data.test.images, needs))
        result = measured(data.test, *inputs.read(spec, answers), 0.5)
    ids, groups = data.test.ids, data.test.groups
    record = Record(spec, ids, groups, curves={}, best_epoch=1, n_parameters=9, provenance=provenance, **result)
    store.finish(folder, record)
    return Run(spec, record, folder, needs)


@pytest.fixture(scope="session")
def run(tmp_path_factory, data) -> Run:
    place = tmp_path_factory.mktemp("store")
    return finished(SPEC, place / "dsnet", data, (finished(SR, place / "sr", data),))


@pytest.fixture(scope="session")
def shipped(tmp_path_factory, run, data):
    """A model's folder; tests that change it copy it."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    export(run, folder, data)
    return folder


@pytest.fixture(scope="session")
def simple(tmp_path_factory, data) -> SimpleNamespace:
    """A run without super-resolution."""
    spec = replace(SPEC, network="improved_backbone", channels=("image",), scale=1, reduction=1, sr=None)
    return SimpleNamespace(spec=spec, run=finished(spec, tmp_path_factory.mktemp("simple"), data))


@pytest.fixture(scope="session")
def chests() -> Prepared:
    """Four slices of two patients; the last one lies above the lungs, and one holds a nodule."""
    row, column = np.mgrid[-64:64, -64:64] / 64
    lungs = ((np.abs(column) - 0.35) / 0.2) ** 2 + (row / 0.5) ** 2 < 1
    stored = np.stack([lungs, lungs, lungs, np.zeros_like(lungs)])[:, None]
    nodules = np.zeros_like(stored)
    nodules[0, 0, 62:65, 85:88] = True
    image = np.where(stored, 0.1, np.where(np.hypot(row, column) < 0.9, 0.7, 0)).astype(np.float32)
    small = image.reshape(4, 1, 32, 4, 32, 4).mean(axis=(3, 5))
    masks = (stored.reshape(4, 1, 32, 4, 32, 4).mean(axis=(3, 5)) >= 0.5).astype(np.float32)
    references = {"native": stored, "nodules": nodules, "native_image": np.rint(255 * image).astype(np.uint8)}
    part = Part(("a/0", "a/1", "b/0", "b/1"), ("a", "a", "b", "b"), small, masks, {}, references)
    return Prepared("lidc-lung", "embedded", "drawn chests", "da" * 32, part, part, part)


@pytest.fixture(scope="session")
def lung_run(tmp_path_factory, chests) -> Run:
    return finished(LUNGS, tmp_path_factory.mktemp("lungs"), chests)


@pytest.fixture(scope="session")
def lgan(tmp_path_factory, lung_run, chests):
    """The folder of a model of lungs."""
    folder = tmp_path_factory.mktemp("models") / "lgan"
    export(lung_run, folder, chests)
    return folder
