"""What stands behind the numbers of a page: values of every test image, how networks were trained, predictions and
images; and how it is packed into the page."""

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
"""Of an embedded figure, in pixels."""
SHOWN = 0.53
"""Share of a figure's pixels (160 per inch) on the page: the widest figure fills it."""
Place = tuple[str, str, str]
"""Paper, row and data set."""


@dataclass(frozen=True)
class Trained:
    """How a row was trained on a data set, by its finished runs.

    Attributes:
        network: file of :mod:`softmask.nets` with the network; empty where nothing is trained.
        parameters: of the network; 0 where nothing is trained.
        epochs, steps, batch: of one training run; 0 where nothing is trained.
        seeds: of the runs that succeeded; ``failed`` is the number of the others.
        seconds: of all of these runs together.
        device: ``cpu`` or the GPU's name; ``cpu`` the processor's name.
        kind: of the data, such as ``real, substitute``; ``images`` and ``patients`` that were tested on.
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
    images: int
    patients: int


@dataclass(frozen=True, eq=False)
class Pictures:
    """Test images of a data set.

    Attributes:
        ids: of each image.
        images: (N, S, S) uint8; None where they cannot or must not be shown, and ``missing`` says why.
        truths: (N, S, S) bool, the reference masks; None without images.
        credit: whose images these are.
    """

    ids: tuple[str, ...]
    images: np.ndarray | None = None
    truths: np.ndarray | None = None
    credit: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Evidence:
    """All that stands behind a run's numbers.

    Attributes:
        scores: by paper, row, data set and metric.
        trained: by place.
        masks: by place, predictions (S, S) bool by the id of their image, of the first seed that succeeded.
        pictures: by data set.
        seconds: of all training runs behind the papers' tables.
    """

    scores: Mapping[tuple[str, str, str, str], Scores] = field(default_factory=dict)
    trained: Mapping[Place, Trained] = field(default_factory=dict)
    masks: Mapping[Place, Mapping[str, np.ndarray]] = field(default_factory=dict)
    pictures: Mapping[str, Pictures] = field(default_factory=dict)
    seconds: float = 0.0

    def key(self, paper: str, row: str, dataset: str, metric: str) -> str:
        """Return the name in the page's data of a cell's values; empty where there are none.

        A cell's mean or median is over the values of the measure itself.
        """
        for name in (metric, metric.removeprefix("mean_").removeprefix("median_")):
            if (paper, row, dataset, name) in self.scores and not name.startswith("median_"):
                return "|".join((paper, row, dataset, name))
        return ""


class _Once(dict[str, int]):
    """Distinct values as JSON, each with its place in the list that they make."""

    def place(self, value: Any) -> int:
        return self.setdefault(_json(value), len(self))

    def __str__(self) -> str:
        return "[\n" + ",\n".join(self) + "\n]"


def packed(evidence: Evidence, claims: Sequence[Mapping[str, Any]], constants: Mapping[str, Any]) -> str:
    """Return the page's data as JSON that can stand in a ``script`` element, one line for each method's values.

    ``claims`` are those that ``verdicts.js`` judges; ``constants`` are further parts. What rows share is there once.
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
        places = shown.get(dataset, {})
        kept = [image for image in by_image if image in places]
        if kept and evidence.pictures[dataset].images is not None:
            columns, address = sheet(np.stack([by_image[image] for image in kept]))
            content = {"images": [places[image] for image in kept], "columns": columns, "sheet": address}
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
    return text.replace("<", "\\u003c")  # nothing ends the script element or begins a comment


def _pictures(pictures: Pictures) -> dict[str, Any]:
    content: dict[str, Any] = {"ids": pictures.ids, "credit": pictures.credit, "missing": pictures.missing}
    if pictures.images is not None and pictures.truths is not None:
        columns, images = sheet(pictures.images)
        content |= {"size": pictures.images.shape[1], "columns": columns, "sheet": images}
        content["truths"] = sheet(pictures.truths)[1]
    return content


def sheet(images: np.ndarray) -> tuple[int, str]:
    """Return images (N, S, S) side by side in one picture: the number of columns, and its ``data:`` address.

    Grey images (uint8) become WebP, which loses a little; masks (bool) become PNG, which loses nothing.
    """
    columns = math.ceil(math.sqrt(len(images)))
    whole = montage(images, fill=0, grid_shape=(math.ceil(len(images) / columns), columns))
    if images.dtype == bool:
        return columns, _address(Image.fromarray(whole), "png", optimize=True)
    return columns, _address(Image.fromarray(whole), "webp", quality=70, method=4)


def _address(image: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def embedded(png: bytes, width: int = WIDTH) -> tuple[str, int, int]:
    """Return ``png`` as a ``data:`` address of WebP, at most ``width`` pixels wide, on white, and its size on a page:
    :data:`SHOWN` of the PNG's, so that words are equally large in all figures.

    The same bytes give the same address.
    """
    with Image.open(io.BytesIO(png), formats=["PNG"]) as opened:
        image = opened.convert("RGBA")
    shown = [max(1, round(SHOWN * length)) for length in image.size]
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if image.width > width:
        image = image.resize((width, max(1, round(image.height * width / image.width))), Image.Resampling.LANCZOS)
    return _address(image, "webp", quality=80, method=4), *shown
