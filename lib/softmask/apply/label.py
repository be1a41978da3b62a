"""``softmask label``: soft masks of users' images, many in parallel, into a folder; finished images are skipped.

``manifest.csv`` lists the processing of each image; a call goes on from it.
"""

from __future__ import annotations

import argparse
import csv
import errno
import io
import math
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from joblib import delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

from softmask.apply.images import Grey, Image, open_image, reading, remarks, stem_of
from softmask.apply.items import Item, Mark, doubts, read_list, read_masks, read_report
from softmask.apply.outputs import check_outputs, pictures, png, seg_bytes, write_nifti
from softmask.cache import code_digest
from softmask.data.sample import Problem
from softmask.errors import ConfigError, DataError, Doubt, SoftmaskError, brief
from softmask.files import read_text, sha256_of, whole_path, write_atomic
from softmask.label import SoftMask, soft_mask
from softmask.label.common import bounding_box, checked_readers
from softmask.machine import cores
from softmask.parallel import pool

MANIFEST = "manifest.csv"
COLUMNS = (
    "name", "image", "label", "prior", "slices", "rows", "columns", "row_mm", "column_mm", "soft_area_px",
    "mask_area_px", "settings", "status", "message", "digest",
)  # fmt: skip
"""``slices``: those labelled, from 0. ``soft_area_px`` is the sum of alpha over them, ``mask_area_px`` the pixels with
alpha of at least 0.5. ``status`` is ``done`` or ``failed``, ``digest`` covers all that the result depends on."""

LEAST = 16
"""Pixels around a lesion that are always looked at, and shown in its overlay."""

EVERY = 2.0
"""Seconds between two writings of the manifest: what a kill takes from it is done again."""

_KINDS = {"png": ("soft", "mask", "trimap", "overlay"), "nifti": ("soft.nii.gz", "mask.nii.gz"), "seg": ("soft.dcm",)}
_NOTHING_MORE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)  # the next image would fare no better
_OF_ONE_IMAGE = ("mask", "readers", "recist", "report", "order", "units", "slice", "label", "name")
_LARGEST_MANIFEST = 1 << 28  # bytes

Row = dict[str, str]


class Settings(NamedTuple):
    """Settings of all images of a call; ``formats`` are None for all that an image's file allows."""

    grey: Grey
    epsilon: float
    radius: float | None
    formats: tuple[str, ...] | None

    @property
    def text(self) -> str:
        """All of them in a line."""
        grey = "stretch" if self.grey.stretch else "lung window"
        if self.grey.window is not None:
            grey = f"window {self.grey.window[0]:g} {self.grey.window[1]:g}"
        radius = "auto" if self.radius is None else f"{self.radius:g}"
        return f"{grey}; epsilon {self.epsilon:g}; radius {radius}; {' '.join(self.formats or ('all formats',))}"


def run(arguments: argparse.Namespace) -> int:
    """Label every image that can be labelled; return the exit status: 1 where one could not, else 0.

    Raises:
        ConfigError: options that cannot be combined, or results that overwrite one another or an input.
        DataError: a list or report that cannot be read, a folder that cannot be written to.
    """
    grey = Grey(arguments.window and tuple(arguments.window), arguments.stretch)
    settings = Settings(grey, arguments.epsilon, arguments.radius, arguments.formats and tuple(arguments.formats))
    jobs = cores() if arguments.jobs is None else arguments.jobs
    if not 0 < settings.epsilon < math.inf:
        raise ConfigError(f"--epsilon must be a number above 0, not {settings.epsilon!r}")
    if settings.radius is not None and not 1 <= settings.radius < math.inf:
        raise ConfigError(f"--radius must be at least 1 pixel, not {settings.radius!r}")
    if jobs < 1:
        raise ConfigError(f"--jobs must be at least 1, not {jobs}")
    folder = whole_path(arguments.out, "--out")
    items, problems, inputs = _items(arguments)
    inputs += [path for item in items for path in (item.image, *item.masks)]
    inputs += [path.resolve().parent for path in inputs]  # a volume's pictures lie in a folder of their own
    outputs = [(item.where, [*_paths(folder, item.name, [0], False), folder / item.name]) for item in items]
    remedy = "Give each its own name in a list's column name"
    check_outputs([*outputs, ("softmask label", [folder / MANIFEST])], inputs, remedy)
    done = _read_manifest(folder / MANIFEST)
    names = [*(problem.where for problem in problems), *(item.name for item in items)]
    rows: dict[str, Row | None] = dict.fromkeys([*names, *done]) | done
    states: Counter[str] = Counter()
    results: Iterator[tuple[Row, str]] = iter(())
    try:
        _write_manifest(folder / MANIFEST, rows.values())
        saved = time.monotonic()
        tasks = (delayed(_outcome)(item, folder, settings, done.get(item.name)) for item in items)
        results = pool(min(jobs, max(len(items), 1)))(tasks)
        unusable = ((_failed(problem.where, problem.why), "failed") for problem in problems)
        places = [*(problem.where for problem in problems), *(item.where for item in items)]
        bar = tqdm(places, desc="label", unit="image", disable=len(items) < 2)
        for where, (row, state) in zip(bar, chain(unusable, results), strict=True):
            states[state] += 1
            rows[row["name"]] = row
            if message := row["message"]:
                message = message if message.startswith(where) else f"{where}: {message}"
                tqdm.write(f"softmask: {message}", file=sys.stderr)
            if time.monotonic() - saved > EVERY:
                _write_manifest(folder / MANIFEST, rows.values())
                saved = time.monotonic()
    except OSError as error:  # of writing: those of reading are DataErrors by now
        raise DataError(
            f"{folder}: cannot be written to ({error.strerror}); check its rights and the space left, or choose "
            "another folder with --out. The same command then goes on from what manifest.csv lists as done"
        ) from error
    except TerminatedWorkerError as error:
        raise DataError(f"{folder}: a process was ended from outside, memory may be short; try --jobs 1") from error
    finally:
        with warnings.catch_warnings(), suppress(OSError):  # both repeat the error above
            warnings.simplefilter("ignore")
            getattr(results, "close", bool)()
            _write_manifest(folder / MANIFEST, rows.values())
    print(
        f"{states['labelled']} labelled, {states['skipped']} done before, {states['failed']} failed; "
        f"{folder / MANIFEST}"
    )
    return 1 if states["failed"] else 0


def _items(arguments: argparse.Namespace) -> tuple[list[Item], list[Problem], list[Path]]:
    """Return the items, the lines or groups that are none, and files that are read besides."""
    if (arguments.list is None) == (arguments.image is None):
        raise ConfigError("name one image, or many of them with --list")
    if arguments.list is not None:
        for option in _OF_ONE_IMAGE:
            if getattr(arguments, option) is not None:
                raise ConfigError(f"--{option} cannot be combined with --list, where it is a column")
        path = Path(arguments.list)
        return *read_list(path), [path]
    for option in ("order", "units"):
        if getattr(arguments, option) is not None and arguments.recist is None:
            raise ConfigError(f"--{option} is an option of --recist; leave it out")
    image = Path(arguments.image)
    name = arguments.name or stem_of(image)
    if arguments.report is not None:
        if arguments.slice is not None:
            raise ConfigError("--slice cannot be combined with --report, which names the slices itself")
        path = Path(arguments.report)
        marks, problems = read_report(path)
        items = [Item(str(image), f"{name}-{n}", image, mark=mark) for n, mark in enumerate(marks, 1)]
        return items, problems, [path]
    masks = arguments.readers if arguments.mask is None else [arguments.mask]
    mark = None
    if arguments.recist is not None:
        ends = tuple(zip(arguments.recist[::2], arguments.recist[1::2], strict=True))
        mark = Mark(ends, arguments.order or "rc", arguments.units or "px")
    return (
        [Item(str(image), name, image, tuple(map(Path, masks or ())), mark, arguments.slice, arguments.label or "")],
        [],
        [],
    )


def _read_manifest(path: Path) -> dict[str, Row]:
    """Return the rows with status ``done`` by name. Raises DataError for another file of that name."""
    if not path.exists():
        return {}
    remedy = "move it away, or choose another folder with --out"
    try:
        reader = csv.DictReader(io.StringIO(read_text(path, remedy, _LARGEST_MANIFEST), newline=""), strict=True)
        rows = list(reader)
        if tuple(reader.fieldnames or ()) != COLUMNS or any(None in row or None in row.values() for row in rows):
            raise ValueError("its columns are others")
    except (ValueError, csv.Error) as error:
        raise DataError(f"{path}: is damaged, or no manifest of softmask label ({error}); {remedy}") from error
    return {row["name"]: row for row in rows if row["status"] == "done"}


def _write_manifest(path: Path, rows: Iterable[Row | None]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row for row in rows if row is not None)
    write_atomic(path, text.getvalue())


def _failed(name: str, why: str) -> Row:
    return dict.fromkeys(COLUMNS, "") | {"name": name, "status": "failed", "message": why}


def _outcome(item: Item, folder: Path, settings: Settings, earlier: Row | None) -> tuple[Row, str]:
    """Return an item's row of the manifest, and ``labelled``, ``skipped`` or ``failed``."""
    with remarks() as texts:
        row, state = _processed(item, folder, settings, earlier)
    return (row | {"message": "; ".join(texts)} if state == "labelled" else row), state


def _processed(item: Item, folder: Path, settings: Settings, earlier: Row | None) -> tuple[Row, str]:
    row = _failed(item.name, "") | {
        "image": str(item.image),
        "label": item.kind,
        "prior": "; ".join(map(str, item.masks)) if item.mark is None else item.mark.text,
        "settings": settings.text,
    }
    try:
        with reading(item.image):
            image = open_image(item.image)
            formats = settings.formats or ("png", *(["nifti"] if image.grid else []), *(["seg"] if image.uids else []))
            if "seg" in formats and not image.uids:
                raise DataError("a DICOM SEG belongs to a DICOM image, which this is not; choose --format png nifti")
            mark = [] if item.mark is None else [item.mark.text + item.mark.uid]
            code = code_digest("data", "label", "apply")
            files = dict.fromkeys(plane.path for plane in image.slices)
            digest = sha256_of(code, settings.text, item.kind, f"{item.slice}{item.label}", *mark, *item.masks, *files)
        before = [int(z) for z in earlier["slices"].split() if z.isdecimal()] if earlier else []
        paths = _paths(folder, item.name, before, image.is_volume, formats)
        if earlier is not None and earlier["digest"] == digest and all(path.is_file() for path in paths):
            return earlier, "skipped"
        alphas = _label(item, image, folder, settings, formats)
        written = _paths(folder, item.name, list(alphas), image.is_volume, formats)
        older = {path for is_volume in (True, False) for path in _paths(folder, item.name, before, is_volume)}
        for path in older - {*written}:
            path.unlink(missing_ok=True)  # of slices or formats that this labelling did not replace
        with suppress(OSError):
            (folder / item.name).rmdir()  # where nothing is left in it
    except OSError as error:  # of writing: those of reading are DataErrors by now
        if error.errno in _NOTHING_MORE:
            raise
        why = f"{item.image}: {error.filename or folder} cannot be written ({error.strerror}); give it another --name"
        return row | {"message": why}, "failed"
    except SoftmaskError as error:
        why = str(error)
        if not why.startswith(tuple(map(str, (item.image, *item.masks)))):
            why = f"{item.image}: {why}"
        return row | {"message": why}, "failed"
    except Exception as error:  # one image, or a lack of memory for it, must not end the work on a thousand
        why = f"{item.image}: could not be labelled ({type(error).__name__}: {brief(error)}); crop it, or leave it out"
        return row | {"message": why}, "failed"
    spacing = ("", "") if image.grid is None else tuple(f"{value:g}" for value in image.grid.spacing_mm[1:])
    row |= {
        "slices": " ".join(map(str, alphas)),
        **dict(zip(("rows", "columns"), map(str, image.shape), strict=True)),
        **dict(zip(("row_mm", "column_mm"), spacing, strict=True)),
        "soft_area_px": f"{sum(float(alpha.sum(dtype=np.float64)) for alpha in alphas.values()):.3f}",
        "mask_area_px": str(sum(int(np.count_nonzero(alpha >= 0.5)) for alpha in alphas.values())),
        "digest": digest,
        "status": "done",
    }
    return row, "labelled"


def _paths(folder: Path, name: str, slices: Sequence[int], is_volume: bool, formats=tuple(_KINDS)) -> list[Path]:
    """Return the files of a labelled image, such as ``<name>-soft.png``; of a volume ``<name>/012-soft.png``."""
    begins = [f"{name}/{z:03d}" if is_volume else name for z in slices if "png" in formats]
    paths = [folder / f"{begin}-{kind}.png" for begin in begins for kind in _KINDS["png"]]
    return paths + [folder / f"{name}-{kind}" for format in formats if format != "png" for kind in _KINDS[format]]


def _label(item: Item, image: Image, folder: Path, settings: Settings, formats: Sequence[str]) -> dict[int, np.ndarray]:
    """Write the files of an item; return alpha (H, W) by slice."""
    if item.mark is not None:
        z = item.mark.slice_of(image, item.slice)
        drawn_on_stored = image.series if item.mark.uid else None
        axes = item.mark.axes(image.shape, image.grid, drawn_on_stored and drawn_on_stored.slices[z].turn)
        if doubt := doubts(axes, image.grid.spacing_mm[1:] if image.grid else (1, 1)):
            warnings.warn(Doubt(doubt), stacklevel=2)
        priors = {z: {"axes": axes}}
    else:
        priors = {z: {"readers": masks} for z, masks in read_masks(item, image).items()}
    alphas: dict[int, np.ndarray] = {}
    for z, prior in priors.items():
        grey = image.slices[z].read(settings.grey)
        mask, part = label_slice(grey, **prior, epsilon=settings.epsilon, radius=settings.radius)
        alphas[z] = mask.alpha
        if "png" in formats:
            trimap = png(np.rint(mask.trimap * 255).astype(np.uint8))  # 0, 128, 255
            begin = f"{item.name}/{z:03d}" if image.is_volume else item.name
            for kind, content in (pictures(grey, mask.alpha, mask.binary, part) | {"trimap": trimap}).items():
                write_atomic(folder / f"{begin}-{kind}.png", content)
    if "nifti" in formats:
        write_nifti(folder, item.name, image, alphas)
    if "seg" in formats:
        write_atomic(folder / f"{item.name}-soft.dcm", seg_bytes(image, alphas, item.name, item.kind, settings.epsilon))
    return alphas


def label_slice(
    image: np.ndarray,
    *,
    readers: np.ndarray | None = None,
    axes: np.ndarray | None = None,
    epsilon: float = 1e-7,
    radius: float | None = None,
) -> tuple[SoftMask, tuple[slice, slice]]:
    """Return the soft mask of a slice from its mask or readers' masks, or from RECIST axes, and the part of the slice
    around the lesion that :func:`softmask.label.soft_mask` was given: a CT slice takes an eighth of the time.

    The result is that of the whole slice: beyond the lesion's box the part has the box's longer side (of a RECIST mark
    twice the long axis) on each side, and begins at even rows and columns, so that half pixels round alike.

    Args:
        image: (H, W) in [0, 1].
        readers: (R, H, W) bool: one is a mask; of several, those that are empty are absent readers.
        axes: (2, 2, 2), valid (:func:`softmask.label.recist.validate`).
        epsilon, radius: as :func:`softmask.label.soft_mask`, which raises LabelError.
    """
    if axes is not None:
        low = np.floor(axes.min(axis=(0, 1))).astype(int)
        high = np.ceil(axes.max(axis=(0, 1))).astype(int) + 1
        longer = math.ceil(2 * np.linalg.norm(axes[0, 1] - axes[0, 0]))
    else:
        present = checked_readers(readers[readers.any(axis=(1, 2))])
        box = bounding_box(present.any(axis=0), 0)
        low, high = np.array([(side.start, side.stop) for side in box]).T
        longer = int((high - low).max())
    margin = max(longer, LEAST) + math.ceil(radius or 0)
    low, high = np.maximum(low - margin, 0) // 2 * 2, np.minimum(high + margin, image.shape)
    part = slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))
    if axes is not None:
        prior = {"recist": axes - low}
    else:
        prior = {"readers": present[:, *part]} if len(readers) > 1 else {"mask": present[0][part]}
    cut = soft_mask(image[part], epsilon=epsilon, radius=radius, **prior)

    def whole(values: np.ndarray) -> np.ndarray:
        full = np.zeros(image.shape, values.dtype)
        full[part] = values
        return full

    return SoftMask(whole(cut.alpha), whole(cut.trimap), None if cut.mask is None else whole(cut.mask)), part
