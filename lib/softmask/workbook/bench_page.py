"""The nodules of the bench in a browser: ``python -m softmask.workbook.bench_page`` writes them into docs/bench.html.

All else in that page is written by hand. It needs no server: its script holds a port of
:mod:`softmask.label.matting` and of the trimap of a RECIST mark, which the tests compare with the package.
"""

from __future__ import annotations

import base64
import json
import sys

import numpy as np

from softmask import data as datasets
from softmask.analysis import explore
from softmask.config import ROOT, Config
from softmask.data.sample import Sample
from softmask.errors import ConfigError, SoftmaskError
from softmask.files import read_text, write_atomic
from softmask.papers import display
from softmask.report import panels

PAGE = ROOT / "docs" / "bench.html"
SIZE = 48
"""Rows and columns of an image: less of the surroundings than in DSNet's crops, so that pixels can be hit."""

BEGIN, END = '<script type="application/json" id="nodules">\n', "</script>\n"


def nodules() -> dict[str, Sample]:
    """Return the embedded nodules of :func:`softmask.analysis.explore.nodules`, by the name that the page shows."""
    samples = explore.nodules(datasets.open_dataset("lidc", Config.from_parameters("cpu", "embedded")))
    return {display("rows", kind): sample for kind, sample in samples.items()}


def entry(name: str, sample: Sample) -> dict[str, object]:
    """Return what the page holds of a nodule.

    ``image`` and ``alpha`` are a byte for each pixel, from 0 to 255; in that of ``readers``, bit r is set if reader
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


def inserted(page: str, entries: list[dict[str, object]]) -> str:
    """Return ``page`` with ``entries``, one a line, in place of those in it. Raises ConfigError where it has no room
    for them."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ConfigError(f"docs/bench.html: the nodules go between {BEGIN.strip()} and {END.strip()}; put these back")
    lines = ",\n".join(json.dumps(one) for one in entries)
    return f"{head}{begin}[\n{lines}\n]\n{end}{tail}"


if __name__ == "__main__":
    try:
        entries = [entry(name, sample) for name, sample in nodules().items()]
        print(write_atomic(PAGE, inserted(read_text(PAGE), entries)))
    except (SoftmaskError, OSError) as error:
        sys.exit(f"the bench's nodules cannot be written: {error}")
