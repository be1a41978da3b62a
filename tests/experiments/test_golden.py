"""Whether results would change: losses and a few weights of a dozen rows after some steps, labels, simulated images.

A finished run is known by its settings, its data and :data:`softmask.experiments.spec.NUMERICS`, not by the code. So
where one of these numbers changes, NUMERICS has to be raised. Then write the numbers anew:
``python tests/experiments/test_golden.py``.

Trainings are in double precision here: in single precision processors differ in the last digit, and Adam makes a whole
step of it wherever a gradient is zero but for rounding (a bias before batch normalisation), which is 1e-3 in a weight
after six steps.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from softmask import label
from softmask.config import Config
from softmask.data import open_dataset
from softmask.data.outlines import recist_axes
from softmask.experiments.inputs import feed, read
from softmask.experiments.prepare import Part, Prepared
from softmask.experiments.rows import spec as spec_of
from softmask.experiments.spec import NUMERICS, RunSpec
from softmask.files import write_atomic
from softmask.label import soft_labels
from softmask.measure.images import measure_images
from softmask.nets.registry import build
from softmask.train.device import seeded
from softmask.train.segmentation import train
from softmask.train.super_resolution import train_super_resolution

GOLDEN = Path(__file__).with_name("golden.json")
ROWS = (
    ("unet", "lidc", "softgan"),
    ("improved_backbone", "lidc", "softgan"),
    ("soft_mask_loss", "lnsm", "softgan"),
    ("softgan", "lidc", "softgan"),
    ("casgan_soft", "lnsm", "casgan"),
    ("unet_student", "lnsm", "casgan"),
    ("cenet", "lnsm", "casgan"),
    ("sr_input", "lidc", "dsnet-v2"),
    ("dsnet", "lidc", "dsnet-v2"),
    ("dsnet_v1", "lidc", "dsnet-v1"),
    ("medt", "lidc", "dsnet-v2"),
    ("cfcnn", "lidc", "dsnet-v2"),
    ("lgan_regression", "lidc-lung", "lgan"),
    ("srgan", "lnsm", ""),
)
TOLERANCE = {"medt on lidc": 1e-3}
"""Relative, where it is not 1e-5: rounding grows a millionfold in MedT's attention, which is not scaled."""

N, SIZE = 12, 64
SAMPLES = ("lidc", "isbi2012", "promise12", "lidc-lung")


def nodules(seed: int) -> SimpleNamespace:
    """Images, masks and soft labels of blurred discs, (N, 1, SIZE, SIZE)."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    centres, radii = random.uniform(20, SIZE - 20, (N, 2, 1, 1)), random.uniform(5, 12, (N, 1, 1))
    distance = radii - np.hypot(y - centres[:, 0], x - centres[:, 1])  # (N, SIZE, SIZE)
    alpha = np.clip(distance / 4 + 0.5, 0, 1).astype(np.float32)[:, None]
    images = np.clip(0.2 + 0.6 * alpha + random.normal(0, 0.1, alpha.shape), 0, 1).astype(np.float32)
    return SimpleNamespace(images=images, masks=(alpha >= 0.5).astype(np.float32), alpha=alpha)


@contextmanager
def double_precision() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "float", torch.Tensor.double)  # what training calls where numbers may be halves
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)


@double_precision()
def trained(spec: RunSpec, folder: Path) -> list[float]:
    """Losses of two epochs of three steps, and the sizes of the first and the last weights after them."""
    settings = replace(spec.settings, epochs=2, batch_size=4, warmup=1, ramp=2)
    with seeded(spec.seed):
        network = build(spec.network, spec.width, None if spec.upscales else spec.inputs, spec.reduction)
    parts = []
    for seed in (1, 2):
        part = nodules(seed)
        seen = np.concatenate([part.images * (1 - 0.1 * i) for i in range(spec.inputs)], axis=1)
        seen = np.kron(seen, np.ones((1, 1, spec.reduction, spec.reduction), np.float32))
        parts.append(SimpleNamespace(images=seen, masks=part.masks, soft={spec.label: part.alpha}))
    data = SimpleNamespace(train=parts[0], validation=parts[1])
    if spec.upscales:
        outcome = train_super_resolution(network, spec.losses, data, settings, spec.seed, folder, name=spec.name)
    else:
        outcome = train(network, spec.losses, spec.label, data, settings, spec.seed, folder, name=spec.name)
    weights = [parameter.detach().double().abs().mean().item() for parameter in network.parameters()]
    return [*outcome.curves["train_loss"], weights[0], weights[-1]]


def labels() -> list[float]:
    """Mean of each soft label and of GrabCut's mask, and mean square of each label with parameters that are not in
    :data:`softmask.label.SETTINGS`: the mean of SVLS does not depend on its sigma."""
    part = nodules(3)
    image, mask = part.images[0, 0], part.masks[0, 0] > 0
    rows, columns = np.nonzero(mask)
    middle = [rows.mean(), columns.mean()]
    axes = np.array(
        [
            [[rows.min(), middle[1]], [rows.max(), middle[1]]],
            [[middle[0], columns.min() + 1], [middle[0], columns.max() - 1]],
        ]
    )
    marked = label.soft_mask(image, recist=axes)
    made = [label.soft_mask(image, mask=mask).alpha, marked.alpha, marked.mask]
    made += [soft_labels.kats_dilation(mask), soft_labels.gros_interpolation(mask)]
    readers = np.stack([mask, np.roll(mask, 2, axis=0), np.roll(mask, -1, axis=1)])
    others = [label.soft_mask(image, readers=readers).alpha, soft_labels.geodesic(mask, image)]
    others += [function(mask) for function in (soft_labels.label_smoothing, soft_labels.svls)]
    others += [soft_labels.signed_distance(mask)]
    made += [item.astype(float) ** 2 for item in others]
    return [float(np.mean(item, dtype=float)) for item in made]


def marks() -> list[float]:
    """Ends of the RECIST axes of a mask, in pixels."""
    return recist_axes(nodules(3).masks[0, 0] > 0).ravel().tolist()


def enlarged() -> list[float]:
    """Means of an image and of a mask that are fed at twice their size, and of answers brought back to it."""
    spec = spec_of("infnet", "lnsm", Config.from_parameters("smoke", "embedded"))
    part = nodules(4)
    whole = Part(tuple(map(str, range(N))), (), part.images, part.masks)
    fed = feed(spec, Prepared("lnsm", "embedded", "", "", whole, whole, whole), ())
    probabilities, alphas = read(spec, fed.train.masks * 0.9)
    return [
        float(np.mean(item, dtype=float)) for item in (fed.train.images**2, fed.train.masks, probabilities**2, alphas)
    ]


def measures() -> list[float]:
    """Every measure of a prediction, mean over images."""
    truth, predicted = nodules(5), nodules(6)
    made = measure_images(
        predicted.alpha[:, 0], truth.masks[:, 0] > 0, truth.alpha[:, 0], {}, predicted.alpha[:, 0], 0.5
    )
    return [float(np.mean(made[name])) for name in sorted(made)]


def simulated(name: str) -> list[float]:
    """Mean and spread of a simulated image, and its share of foreground."""
    sample = open_dataset(name, Config.from_parameters("smoke", "embedded"))[0]
    return [float(sample.image.mean()), float(sample.image.std()), float(np.mean(sample.masks))]


OTHERS = {"labels": labels, "marks": marks, "enlarged": enlarged, "measures": measures}


def measured() -> dict[str, list[float]]:
    config = Config.from_parameters("smoke", "embedded")
    numbers = {f"simulated {name}": simulated(name) for name in SAMPLES}
    numbers |= {name: make() for name, make in OTHERS.items()}
    for row, dataset, paper in ROWS:
        with tempfile.TemporaryDirectory() as folder:
            numbers[f"{row} on {dataset}"] = trained(spec_of(row, dataset, config, paper=paper), Path(folder))
    return numbers


def golden() -> dict[str, list[float]]:
    return json.loads(GOLDEN.read_text())["numbers"]


def alike(numbers: list[float], before: list[float], name: str) -> bool:
    return np.allclose(numbers, before, rtol=TOLERANCE.get(name, 1e-5), atol=1e-6)


def same(numbers: list[float], name: str) -> None:
    __tracebackhide__ = True
    if not alike(numbers, golden()[name], name):
        pytest.fail(f"{name}: {numbers}, not {golden()[name]}: results change, so raise NUMERICS; see {__file__}")


def test_the_numbers_are_those_of_this_version():
    assert json.loads(GOLDEN.read_text())["numerics"] == NUMERICS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_training_gives_the_same_numbers(row, tmp_path):
    name, dataset, paper = row
    spec = spec_of(name, dataset, Config.from_parameters("smoke", "embedded"), paper=paper)
    same(trained(spec, tmp_path), f"{name} on {dataset}")


def test_training_gives_the_same_numbers_on_another_number_of_threads(tmp_path):
    spec = spec_of("softgan", "lidc", Config.from_parameters("smoke", "embedded"), paper="softgan")
    before = torch.get_num_threads()
    torch.set_num_threads(1 if before > 1 else 2)
    try:
        same(trained(spec, tmp_path), "softgan on lidc")
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", OTHERS)
def test_labels_inputs_and_measures_are_the_same(name):
    same(OTHERS[name](), name)


@pytest.mark.parametrize("name", SAMPLES)
def test_simulated_images_are_the_same(name):
    same(simulated(name), f"simulated {name}")


if __name__ == "__main__":
    there = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {"numerics": 0, "numbers": {}}
    fresh = measured()
    changed = [name for name, old in there["numbers"].items() if name not in fresh or not alike(fresh[name], old, name)]
    if changed and there["numerics"] >= NUMERICS:
        sys.exit(f"{', '.join(changed)}: changed; raise NUMERICS, {there['numerics']}, first")
    kept = {} if changed else there["numbers"]
    text = json.dumps({"numerics": NUMERICS, "numbers": fresh | kept}, indent=1)
    write_atomic(GOLDEN, text + "\n")
