"""``softmask label``: soft masks of people's images, many in parallel, into a folder; what is done is not repeated.

``manifest.csv`` says what was done to each image; a call goes on from it.
"""

from __future__ import annotations

import argparse
import csv
import errno
import io
import math
import re
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from joblib import delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

from softmask.apply.images import Grey, Image, open_image, reading, stem_of
from softmask.apply.items import Item, Mark, doubts, read_list, read_masks, read_report
from softmask.apply.outputs import check_outputs, pictures, png, seg_bytes, write_nifti
from softmask.cache import code_digest
from softmask.data.sample import Problem
from softmask.data.volume_files import name_of
from softmask.errors import ConfigError, DataError, SoftmaskError, brief
from softmask.files import sha256_of, whole_path, write_atomic
from softmask.label import SoftMask, soft_mask
from softmask.label.common import bounding_box, checked_readers
from softmask.machine import cores
from softmask.parallel import pool

MANIFEST = "manifest.csv"
COLUMNS = (
    "name", "image", "label", "prior", "slices", "rows", "columns", "row_mm", "column_mm", "soft_area_px",
    "mask_area_px", "settings", "status", "message", "digest",
)  # fmt: skip
"""``slices``: those labelled, from 0, separated by spaces. ``soft_area_px`` is the sum of alpha over them,
``mask_area_px`` the pixels with alpha of at least 0.5. ``status`` is ``done`` or ``failed``, and ``digest`` the SHA-256
of all that the result depends on."""

LEAST = 16
"""Pixels around a lesion that are always looked at, and shown in its overlay."""

EVERY = 2.0
"""Seconds between two writings of the manifest: what a kill takes from it is done again."""

_KINDS = {"png": ("soft", "mask", "trimap", "overlay"), "nifti": ("soft.nii.gz", "mask.nii.gz"), "seg": ("soft.dcm",)}
_NOTHING_MORE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)  # the next image would fare no better
_OF_ONE_IMAGE = ("mask", "readers", "recist", "report", "order", "units", "slice", "name")
_MOST_BYTES = 1 << 28  # of a manifest

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
    writers = [(item.where, [*_paths(folder, item.name, [0], False), folder / item.name]) for item in items]
    remedy = "Give each its own name in a list's column name"
    check_outputs([*writers, ("softmask label", [folder / MANIFEST])], inputs, remedy)
    manifest = Manifest(folder, [*(problem.where for problem in problems), *(item.name for item in items)])
    states: list[str] = []
    full: list[str] = []  # why nothing more can be written, if so

    def tasks() -> Iterator[tuple]:
        for item in items:
            if full:  # running tasks come to their end: processes that are broken off complain
                return
            yield delayed(_outcome)(item, folder, settings, manifest.earlier.get(item.name))

    def note(row: Row, state: str, where: str) -> None:
        states.append(state)
        if message := row["message"]:
            message = message if message.startswith(where) else f"{where}: {message}"
            tqdm.write(f"softmask: {message}", file=sys.stderr)
        try:
            manifest.put(row)
        except OSError as error:
            full.append(str(_cannot_write(folder, error)))

    results = pool(min(jobs, max(len(items), 1)))(tasks())
    try:
        with tqdm(total=len(items), desc="label", unit="image", disable=len(items) < 2) as bar:
            for problem in problems:
                note(_failed(problem.where, problem.why), "failed", problem.where)
            for (row, state), item in zip(results, items, strict=False):  # fewer where the disk is full
                if state == "full":
                    full.append(row["message"])
                else:
                    note(row, state, item.where)
                    bar.update()
        if full:
            raise DataError(full[0])
        manifest.save()
    except OSError as error:
        raise _cannot_write(folder, error) from error
    except TerminatedWorkerError as error:
        raise DataError(f"{folder}: a process was ended from outside, memory may be short; try --jobs 1") from error
    finally:
        with warnings.catch_warnings(), suppress(OSError):  # both repeat what has been said
            warnings.simplefilter("ignore")
            results.close()
            manifest.save()
    labelled, skipped, failed = map(states.count, ("labelled", "skipped", "failed"))
    print(f"{labelled} labelled, {skipped} done before, {failed} failed; {folder / MANIFEST}")
    return 1 if failed else 0


def _items(arguments: argparse.Namespace) -> tuple[list[Item], list[Problem], list[Path]]:
    """Return the items, problems of those that cannot be made, and files that are read besides."""
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
    name = arguments.name or (name_of(image) if image.is_dir() else stem_of(image))
    if arguments.report is not None:
        if arguments.slice is not None:
            raise ConfigError("--slice cannot be combined with --report, which names the slices itself")
        path = Path(arguments.report)
        marks, problems = read_report(path)
        return [Item(f"{name}-{n}", image, mark=mark) for n, mark in enumerate(marks, 1)], problems, [path]
    mask, mark = None if arguments.mask is None else Path(arguments.mask), None
    if arguments.recist is not None:
        ends = tuple(zip(arguments.recist[::2], arguments.recist[1::2], strict=True))
        mark = Mark(ends, arguments.order or "rc", arguments.units or "px")
    return [Item(name, image, mask, tuple(map(Path, arguments.readers or ())), mark, arguments.slice)], [], []


class Manifest:
    """The rows of ``manifest.csv``: those of ``names`` first, then those of ``earlier`` calls with status ``done``, by
    name. Raises DataError when there is another ``manifest.csv``, or nothing can be written there."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._path = folder / MANIFEST
        self.earlier = {row["name"]: row for row in self._read() if row["status"] == "done"}
        self._rows: dict[str, Row | None] = dict.fromkeys([*names, *self.earlier]) | self.earlier
        try:
            self.save()
        except OSError as error:
            raise _cannot_write(folder, error) from error

    def put(self, row: Row) -> None:
        """Add a row; now and then the file is written."""
        self._rows[row["name"]] = row
        if time.monotonic() - self._saved > EVERY:
            self.save()

    def save(self) -> None:
        """Write the file, whole. Raises OSError."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(filter(None, self._rows.values()))
        write_atomic(self._path, text.getvalue())
        self._saved = time.monotonic()

    def _read(self) -> list[Row]:
        if not self._path.exists():
            return []
        try:
            with reading(self._path), self._path.open("rb") as file:
                text = file.read(_MOST_BYTES).decode()
            reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
            rows = list(reader)
            if tuple(reader.fieldnames or ()) != COLUMNS or any(None in row or None in row.values() for row in rows):
                raise ValueError("its columns are others")
        except (ValueError, csv.Error) as error:
            raise DataError(
                f"{self._path}: is damaged, or no manifest of softmask label ({error}); move it away, or choose "
                "another folder with --out"
            ) from error
        return rows


def _cannot_write(folder: Path, error: OSError) -> DataError:
    return DataError(
        f"{folder}: cannot be written to ({error.strerror}); check its rights and the space left, or choose another "
        "folder with --out. The same command then goes on from what manifest.csv lists as done"
    )


def _failed(name: str, why: str) -> Row:
    return dict.fromkeys(COLUMNS, "") | {"name": name, "status": "failed", "message": why}


def _outcome(item: Item, folder: Path, settings: Settings, earlier: Row | None) -> tuple[Row, str]:
    """Label an item; return its row of the manifest, and ``labelled``, ``skipped``, ``failed`` or ``full``."""
    row = _failed(item.name, "") | {
        "image": str(item.image),
        "label": item.kind,
        "prior": "; ".join(map(str, item.masks)) if item.mark is None else item.mark.text,
        "settings": settings.text,
    }
    try:
        with reading(item.image):
            image = open_image(item.image)
            formats = ("png", *(["nifti"] if image.grid else []), *(["seg"] if image.series else []))
            formats = settings.formats or formats
            if "seg" in formats and image.series is None:
                raise DataError("a DICOM SEG belongs to a DICOM image, which this is not; choose --format png nifti")
            mark = [] if item.mark is None else [item.mark.text + item.mark.uid]
            code = code_digest("data", "label", "apply")
            digest = sha256_of(code, settings.text, item.kind, f"{item.slice}", *mark, *item.masks, *image.files)
        if earlier is not None and earlier["digest"] == digest:
            slices = [int(z) for z in re.findall(r"\d{1,8}", earlier["slices"])]
            paths = _paths(folder, item.name, slices, image.is_volume, formats)
            if slices and all(path.is_file() for path in paths):
                return earlier, "skipped"
        result = _label(item, image, folder, settings, formats, replaces=earlier is not None)
        return row | result | {"digest": digest, "status": "done"}, "labelled"
    except OSError as error:  # of writing: those of reading are DataErrors by now
        row["message"] = str(_cannot_write(folder, error))
        return row, "full" if error.errno in _NOTHING_MORE else "failed"
    except SoftmaskError as error:
        why = str(error)
        if not why.startswith(tuple(map(str, (item.image, *item.masks)))):
            why = f"{item.image}: {why}"
    except Exception as error:  # one image, or a lack of memory for it, must not end the work on a thousand
        why = f"{item.image}: could not be labelled ({type(error).__name__}: {brief(error)}); crop it, or leave it out"
    return row | {"message": why}, "failed"


def _paths(folder: Path, name: str, slices: Sequence[int], is_volume: bool, formats=tuple(_KINDS)) -> list[Path]:
    """Return the files of a labelled image: ``<name>-soft.png`` of an image, ``<name>/012-soft.png`` of a volume's
    slice, ``<name>-soft.nii.gz`` and others."""
    begins = [f"{name}/{z:03d}" if is_volume else name for z in slices if "png" in formats]
    paths = [folder / f"{begin}-{kind}.png" for begin in begins for kind in _KINDS["png"]]
    return paths + [folder / f"{name}-{kind}" for format in formats if format != "png" for kind in _KINDS[format]]


def _label(item: Item, image: Image, folder: Path, settings: Settings, formats: tuple[str, ...], replaces: bool) -> Row:
    """Write the files of an item and return its columns of the manifest. Raises OSError where it cannot write."""
    message = ""
    if item.mark is not None:
        axes = item.mark.axes(image.shape, image.grid)
        priors = {item.mark.slice_of(image, item.slice): {"axes": axes}}
        message = doubts(axes)
    else:
        priors = {z: {"readers": masks} for z, masks in read_masks(item, image).items()}
    alphas: dict[int, np.ndarray] = {}
    for z, prior in priors.items():
        grey = image.slices[z].read(settings.grey)
        mask, part = label_slice(grey, **prior, epsilon=settings.epsilon, radius=settings.radius)
        alphas[z] = mask.alpha
        if "png" in formats:
            trimap = png(np.rint(mask.trimap * 255).astype(np.uint8))  # 0, 128, 255
            for kind, content in (pictures(grey, mask.alpha, mask.binary, part) | {"trimap": trimap}).items():
                write_atomic(folder / f"{f'{item.name}/{z:03d}' if image.is_volume else item.name}-{kind}.png", content)
    if "nifti" in formats:
        write_nifti(folder, item.name, image, alphas)
    if "seg" in formats:
        write_atomic(folder / f"{item.name}-soft.dcm", seg_bytes(image, alphas, item.name, item.kind, settings.epsilon))
    if replaces:
        _remove_older(folder, item.name, set(_paths(folder, item.name, list(priors), image.is_volume, formats)))
    spacing = ("", "") if image.grid is None else tuple(f"{value:g}" for value in image.grid.spacing_mm[1:])
    return {
        "slices": " ".join(map(str, alphas)),
        **dict(zip(("rows", "columns"), map(str, image.shape), strict=True)),
        **dict(zip(("row_mm", "column_mm"), spacing, strict=True)),
        "soft_area_px": f"{sum(float(alpha.sum(dtype=np.float64)) for alpha in alphas.values()):.3f}",
        "mask_area_px": str(sum(int(np.count_nonzero(alpha >= 0.5)) for alpha in alphas.values())),
        "message": message and f"doubtful: {message}",
    }


def _remove_older(folder: Path, name: str, kept: set[Path]) -> None:
    """Remove files of an earlier labelling that this one did not replace: of other slices or formats."""
    older, inner = set(_paths(folder, name, [0], False)), folder / name
    if inner.is_dir():
        pattern = re.compile(rf"\d{{3,}}-({'|'.join(_KINDS['png'])})\.png")
        older |= {path for path in inner.iterdir() if pattern.fullmatch(path.name)}
    for path in older - kept:
        path.unlink(missing_ok=True)
    if inner.is_dir() and not any(inner.iterdir()):
        inner.rmdir()


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

    Nothing changes: beyond the lesion's box the part has the box's longer side (of a RECIST mark twice the long axis)
    on each side, and all that the labelling looks at lies nearer. It begins at even rows and columns, so that ends at
    half a pixel round as they do in the whole image.

    Args:
        image: (H, W) in [0, 1].
        readers: (R, H, W) bool: one is a mask; of several, those that are empty are readers who were not there.
        axes: (2, 2, 2), valid (:func:`softmask.label.recist.validate`).
        epsilon, radius, and LabelError: as :func:`softmask.label.soft_mask`.
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
