"""Evidence behind the numbers of a page (values of every test image, training, predictions and images), and its JSON in
the page."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image
from skimage.util import montage

from softmask.measure.differences import Scores

WIDTH = 1280
"""Maximum width of an embedded figure, in pixels."""
SHOWN = 0.53
"""Size of a figure on the page relative to its PNG (160 pixels per inch): the widest figure fills the page."""
RowKey = tuple[str, str, str]
"""Paper, row and data set."""


@dataclass(frozen=True)
class Trained:
    """Training of a row on a data set, from its finished runs.

    Attributes:
        network: module of :mod:`softmask.nets` with the network; empty where nothing is trained.
        parameters: number of parameters of the network; 0 where nothing is trained.
        epochs, steps, batch: number of epochs and steps, and batch size, of one run; 0 where nothing is trained.
        seeds: seeds of the runs that succeeded; ``failed`` is the number of failed runs.
        seconds: training time of all these runs together.
        device: ``cpu`` or the GPU's name; ``cpu`` is the processor's name.
        kind: kind of the data, such as ``real, substitute``.
        patients: number of patients tested.
    """

    network: str
    parameters: int
    epochs: int
    steps: int
    batch: int
    seeds: tuple[int, ...]
    failed: int
    seconds: float
    device: str
    cpu: str
    kind: str
    patients: int


@dataclass(frozen=True, eq=False)
class Pictures:
    """Test images of a data set.

    Attributes:
        ids: name of each image.
        images: (N, S, S) uint8; None where they cannot or must not be shown; ``missing`` then gives the reason.
        truths: (N, S, S) bool, the reference masks; None without images.
        credit: source or licence of the images.
    """

    ids: tuple[str, ...]
    images: np.ndarray | None = None
    truths: np.ndarray | None = None
    credit: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Evidence:
    """Evidence behind the numbers of a run.

    Attributes:
        scores: values of the test images, by paper, row, data set and metric.
        trained: training by place.
        masks: predictions (S, S) bool of the first seed that succeeded, by place and by the image's id.
        pictures: test images by data set.
        seconds: total time of the training runs behind the papers' tables.
    """

    scores: Mapping[tuple[str, str, str, str], Scores] = field(default_factory=dict)
    trained: Mapping[RowKey, Trained] = field(default_factory=dict)
    masks: Mapping[RowKey, Mapping[str, np.ndarray]] = field(default_factory=dict)
    pictures: Mapping[str, Pictures] = field(default_factory=dict)
    seconds: float = 0.0

    def key(self, paper: str, row: str, dataset: str, metric: str) -> str:
        """Return the key of a cell's values in the page's data; empty where there are none.

        A mean or median (``mean_dice3d``) has the key of the measure itself (``dice3d``).
        """
        for name in (metric, metric.removeprefix("mean_").removeprefix("median_")):
            if (paper, row, dataset, name) in self.scores and not name.startswith("median_"):
                return "|".join((paper, row, dataset, name))
        return ""


class _Once(dict[str, int]):
    """Distinct values as JSON, each with its index in the resulting list."""

    def place(self, value: Any) -> int:
        return self.setdefault(_json(value), len(self))

    def __str__(self) -> str:
        return "[\n" + ",\n".join(self) + "\n]"


def packed(evidence: Evidence, claims: Sequence[Mapping[str, Any]], constants: Mapping[str, Any]) -> str:
    """Return the page's data as JSON that is safe in a ``script`` element, one line for each method's values.

    ``claims`` are the claims that ``verdicts.js`` judges; ``constants`` are further parts. Values that rows share are
    stored once.
    """
    sets, methods, curves, masks = (_Once() for _ in range(4))
    keys: dict[str, int] = {}
    for (paper, row, dataset, metric), scores in evidence.scores.items():
        trained = evidence.trained.get((paper, row, dataset))
        method = {
            "set": sets.place({"images": scores.ids, "patients": scores.patients}),
            "values": [[float(value) if math.isfinite(value) else None for value in seed] for seed in scores.values],
            "curves": curves.place([list(curve) for curve in scores.curves]),
            "seeds": trained.seeds if trained and not scores.fixed else (),
            "begun": scores.begun,
            "failed": scores.failed,
            "restarts": scores.restarts,
            "fixed": scores.fixed,
        }
        keys["|".join((paper, row, dataset, metric))] = methods.place(method)
    pictures = [f"{_json(name)}: {_json(_pictures(shown))}" for name, shown in evidence.pictures.items()]
    shown = {name: {image: i for i, image in enumerate(shown.ids)} for name, shown in evidence.pictures.items()}
    predicted = {}
    for (paper, row, dataset), by_image in evidence.masks.items():
        indices = shown.get(dataset, {})
        image_ids = [image for image in by_image if image in indices]
        if image_ids and evidence.pictures[dataset].images is not None:
            columns, address = sheet(np.stack([by_image[image] for image in image_ids]))
            content = {"images": [indices[image] for image in image_ids], "columns": columns, "sheet": address}
            predicted[f"{paper}|{row}|{dataset}"] = masks.place(content)
    parts = {
        **{name: _json(value) for name, value in constants.items()},
        "claims": "[\n" + ",\n".join(map(_json, claims)) + "\n]",
        "methods": _json(keys),
        "masks": _json(predicted),
        "sets": str(sets),
        "scores": str(methods),
        "curves": str(curves),
        "predicted": str(masks),
        "pictures": "{\n" + ",\n".join(pictures) + "\n}",
    }
    return "{\n" + ",\n".join(f'"{name}": {text}' for name, text in parts.items()) + "\n}"


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")  # no "</script>" or "<!--" in the data


def _pictures(pictures: Pictures) -> dict[str, Any]:
    content: dict[str, Any] = {"ids": pictures.ids, "credit": pictures.credit, "missing": pictures.missing}
    if pictures.images is not None and pictures.truths is not None:
        columns, images = sheet(pictures.images)
        content |= {"size": pictures.images.shape[1], "columns": columns, "sheet": images}
        content["truths"] = sheet(pictures.truths)[1]
    return content


def sheet(images: np.ndarray) -> tuple[int, str]:
    """Return images (N, S, S) as a grid in one picture: the number of columns, and the picture's ``data:`` address.

    Grey images (uint8) become lossy WebP; masks (bool) become lossless PNG.
    """
    columns = math.ceil(math.sqrt(len(images)))
    grid = montage(images, fill=0, grid_shape=(math.ceil(len(images) / columns), columns))
    if images.dtype == bool:
        return columns, _address(Image.fromarray(grid), "png", optimize=True)
    return columns, _address(Image.fromarray(grid), "webp", quality=70, method=4)


def _address(image: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def embedded(png: bytes, width: int = WIDTH) -> tuple[str, int, int]:
    """Return ``png`` as the ``data:`` address of a WebP on white, at most ``width`` pixels wide, and its width and
    height on a page: :data:`SHOWN` times the PNG's, so that text has the same size in all figures. The same bytes give
    the same address."""
    with Image.open(io.BytesIO(png), formats=["PNG"]) as opened:
        image = opened.convert("RGBA")
    page_size = [max(1, round(SHOWN * length)) for length in image.size]
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if image.width > width:
        image = image.resize((width, max(1, round(image.height * width / image.width))), Image.Resampling.LANCZOS)
    return _address(image, "webp", quality=80, method=4), *page_size
