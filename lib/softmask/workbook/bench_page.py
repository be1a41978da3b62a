"""Nodules of the bench in a browser: ``python -m softmask.workbook.bench_page`` writes them into docs/bench.html.

The rest of that page is written by hand. It needs no server: its script contains a port of
:mod:`softmask.label.matting` and of the trimap of a RECIST mark, which the tests compare with the package.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping

import numpy as np

from softmask import data as datasets
from softmask.analysis import explore
from softmask.config import Config
from softmask.data.sample import Sample
from softmask.papers import display
from softmask.report import panels
from softmask.report.headline import inserted, regenerate

PAGE = "docs/bench.html"
SIZE = 48
"""Rows and columns of an image: smaller than DSNet's crops, so that single pixels are easy to select."""

BEGIN, END = '<script type="application/json" id="nodules">\n[', "]\n</script>\n"


def nodules() -> dict[str, Sample]:
    """Return the embedded nodules of :func:`softmask.analysis.explore.nodules`, by the name that the page shows."""
    samples = explore.nodules(datasets.open_dataset("lidc", Config.from_parameters("cpu", "embedded")))
    return {display("rows", kind): sample for kind, sample in samples.items()}


def entry(name: str, sample: Sample) -> dict[str, object]:
    """Return the data of a nodule for the page.

    ``image`` and ``alpha`` have a byte for each pixel, from 0 to 255; in a byte of ``readers``, bit r is set if reader
    r + 1 of ``count`` marked the pixel (base64). ``ends``: (row, column) of long and short axis; ``spacing`` in mm.
    """
    window = panels.crop(sample, SIZE)
    votes = sum(mask[window].astype(np.uint8) << r for r, mask in enumerate(sample.masks))
    return {
        "name": name,
        "id": sample.id,
        "width": SIZE,
        "height": SIZE,
        "spacing": sample.spacing[0],
        "ends": (explore.start(sample).recist - [part.start for part in window]).reshape(4, 2).tolist(),
        "count": len(sample.masks),
        "image": _base64(np.rint(sample.image[window] * 255)),
        "alpha": _base64(np.rint(sample.alpha[window] * 255)),
        "readers": _base64(votes),
    }


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.astype(np.uint8).tobytes()).decode()


def written(entries: Iterable[Mapping[str, object]]) -> dict[str, str]:
    """Return the page, by its path, with ``entries``, one per line, in place of its entries. Raises ConfigError if the
    page has no place for them."""
    return {PAGE: inserted(PAGE, ",\n".join(map(json.dumps, entries)), BEGIN, END)}


if __name__ == "__main__":
    regenerate(lambda: written(entry(name, sample) for name, sample in nodules().items()))
