"""``softmask label``: soft masks of people's images, many in parallel, into a folder; what is done is not repeated."""

from __future__ import annotations

import errno
import math
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from softmask.apply.images import Grey, SourceImage, open_image, reading
from softmask.apply.items import Item, doubts
from softmask.apply.manifest import COLUMNS, MANIFEST, Manifest, Row, cannot_write
from softmask.apply.outputs import (
    FORMATS,
    PICTURES,
    check_outputs,
    choose_formats,
    label_paths,
    label_pictures,
    seg_bytes,
    write_nifti,
)
from softmask.apply.priors import read_masks, slice_of_mark
from softmask.cache import code_digest
from softmask.data.sample import Problem
from softmask.errors import ConfigError, DataError, SoftmaskError, brief
from softmask.files import sha256_of, write_atomic
from softmask.label import SoftMask, soft_mask
from softmask.label.common import bounding_box, checked_readers
from softmask.machine import cores
from softmask.parallel import pool

LEAST = 16
"""Pixels around a lesion that are always looked at, and shown in its overlay."""

_NOTHING_MORE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)  # the next image would fare no better


@dataclass(frozen=True)
class Settings:
    """Settings of all images of a call.

    Attributes:
        grey: how values become grey levels in [0, 1].
        epsilon, radius: as in :func:`softmask.label.soft_mask`.
        formats: those of :data:`~softmask.apply.outputs.FORMATS` to write; None for all that the image's file allows:
            ``nifti`` where its voxels have positions in mm, ``seg`` where it is DICOM.

    Raises:
        ConfigError: an epsilon that is not above 0, a radius below 1, an unknown format.
    """

    grey: Grey = field(default_factory=Grey)
    epsilon: float = 1e-7
    radius: float | None = None
    formats: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.epsilon < math.inf:
            raise ConfigError(f"--epsilon must be a number above 0, not {self.epsilon!r}")
        if self.radius is not None and not 1 <= self.radius < math.inf:
            raise ConfigError(f"--radius must be at least 1 pixel, not {self.radius!r}")
        unknown = set(self.formats or ()) - set(FORMATS)
        if unknown or self.formats == ():
            raise ConfigError(f"unknown format {sorted(unknown)}; choose from {', '.join(FORMATS)}")

    @property
    def text(self) -> str:
        """All of them in a line."""
        grey = "stretch" if self.grey.stretch else "lung window"
        if self.grey.window is not None:
            grey = f"window {self.grey.window[0]:g} {self.grey.window[1]:g}"
        radius = "auto" if self.radius is None else f"{self.radius:g}"
        return f"{grey}; epsilon {self.epsilon:g}; radius {radius}; {' '.join(self.formats or ('all formats',))}"


@dataclass(frozen=True)
class Outcome:
    """A row of the manifest, whether it is an earlier call's, and why nothing more can be written, if so."""

    row: Row
    skipped: bool = False
    full: str = ""


def label_items(
    items: Sequence[Item],
    folder: Path,
    settings: Settings | None = None,
    *,
    problems: Iterable[Problem] = (),
    inputs: Iterable[Path] = (),
    jobs: int | None = None,
    say: Callable[[str], object] = lambda text: None,
) -> list[Outcome]:
    """Label every item that can be labelled, write its files (:mod:`softmask.apply.outputs`) and ``manifest.csv``.

    An item is skipped where the manifest has it as done with the same image, prior, settings and code (SHA-256 over
    all of them) and its files are there. Results of the same names are replaced; other files are left alone.

    Args:
        folder: made where it is missing.
        problems: of items that could not be made: they go to the manifest as failed.
        inputs: more files that must not be overwritten, such as a list.
        jobs: processes; default one a core.
        say: is called with a line for each item that failed, or is doubtful.

    Returns:
        outcomes in the order of the problems, then of the items.

    Raises:
        ConfigError: two items would write the same files, or over what is read.
        DataError: the folder cannot be written to, at first or any more; or has another ``manifest.csv``.
    """
    from joblib import delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError
    from tqdm import tqdm

    settings, problems = settings or Settings(), list(problems)
    _check_items(items, folder, inputs)
    manifest = Manifest(folder, [*(problem.where for problem in problems), *(item.name for item in items)])
    outcomes: list[Outcome] = []
    full: list[str] = []

    def tasks() -> Iterator[tuple]:
        for item in items:
            if full:  # running tasks come to their end: processes that are broken off complain
                return
            yield delayed(_outcome)(item, folder, settings, manifest.earlier.get(item.name))

    def note(outcome: Outcome, where: str) -> None:
        outcomes.append(outcome)
        if message := outcome.row["message"]:
            say(message if message.startswith(where) else f"{where}: {message}")
        try:
            manifest.put(outcome.row)
        except OSError as error:
            full.append(str(cannot_write(folder, error)))

    results: Iterator[Outcome] = pool(min(jobs or cores(), max(len(items), 1)))(tasks())
    try:
        with tqdm(total=len(items), desc="label", unit="image", disable=len(items) < 2) as bar:
            for problem in problems:
                note(Outcome(_failed(problem.where, problem.why)), problem.where)
            for outcome, item in zip(results, items, strict=False):  # fewer where the disk is full
                if outcome.full:
                    full.append(outcome.full)
                else:
                    note(outcome, item.where)
                    bar.update()
        if full:
            raise DataError(full[0])
        manifest.save()
    except OSError as error:
        raise cannot_write(folder, error) from error
    except TerminatedWorkerError as error:
        raise DataError(f"{folder}: a process was ended from outside, memory may be short; try --jobs 1") from error
    finally:
        with warnings.catch_warnings(), suppress(OSError):  # both repeat what has been said
            warnings.simplefilter("ignore")
            results.close()
            manifest.save()
    return outcomes


def _check_items(items: Sequence[Item], folder: Path, more_inputs: Iterable[Path]) -> None:
    """Raise ConfigError as :func:`label_items`."""
    inputs = [path for item in items for path in (item.image, *item.masks)] + list(more_inputs)
    inputs += [path.resolve().parent for path in inputs]  # a volume's pictures lie in a folder of their own
    writers = [
        (item.where, [*label_paths(folder, item.name, [0], False, FORMATS).values(), folder / item.name])
        for item in items
    ]
    remedy = "Give each its own name in a list's column name"
    check_outputs([*writers, ("softmask label", [folder / MANIFEST])], inputs, remedy, fold_case=True)


def _outcome(item: Item, folder: Path, settings: Settings, earlier: Row | None) -> Outcome:
    row = _failed(item.name, "") | {
        "image": str(item.image),
        "label": item.kind,
        "prior": "; ".join(map(str, item.masks)) if item.mark is None else item.mark.text,
        "settings": settings.text,
    }
    try:
        with reading(item.image):
            image = open_image(item.image, settings.grey)
            formats = choose_formats(image, settings.formats)
            digest = _digest(item, image, settings)
        if earlier is not None and earlier["digest"] == digest:
            slices = [int(z) for z in re.findall(r"\d{1,8}", earlier["slices"])]
            paths = label_paths(folder, item.name, slices, image.is_volume, formats)
            if slices and all(path.is_file() for path in paths.values()):
                return Outcome(earlier, skipped=True)
        result = _label(item, image, folder, settings, formats, replaces=earlier is not None)
        return Outcome(row | result | {"digest": digest, "status": "done"})
    except OSError as error:  # of writing: those of reading are DataErrors by now
        why = str(cannot_write(folder, error))
        return Outcome(row | {"message": why}, full=why if error.errno in _NOTHING_MORE else "")
    except SoftmaskError as error:
        why = str(error)
        if not why.startswith(tuple(map(str, (item.image, *item.masks)))):
            why = f"{item.image}: {why}"
        return Outcome(row | {"message": why})
    except Exception as error:  # one image, or a lack of memory for it, must not end the work on a thousand
        why = f"{item.image}: could not be labelled ({type(error).__name__}: {brief(error)}); crop it, or leave it out"
        return Outcome(row | {"message": why})


def _failed(name: str, why: str) -> Row:
    return dict.fromkeys(COLUMNS, "") | {"name": name, "status": "failed", "message": why}


def _digest(item: Item, image: SourceImage, settings: Settings) -> str:
    parts: list[str | Path] = [code_digest("data", "label", "apply"), settings.text, item.kind, f"{item.slice}"]
    parts += [item.mark.text + item.mark.uid] if item.mark is not None else []
    for path in item.masks:
        parts += sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    return sha256_of(*parts, *image.files)


def _label(
    item: Item, image: SourceImage, folder: Path, settings: Settings, formats: tuple[str, ...], replaces: bool
) -> Row:
    """Write the files of an item and return its columns of the manifest. Raises OSError where it cannot write."""
    message = ""
    if item.mark is not None:
        axes = item.mark.axes(image.shape, image.grid)
        priors = {slice_of_mark(item, image): {"axes": axes}}
        message = doubts(axes)
    else:
        priors = {z: {"readers": masks} for z, masks in read_masks(item, image).items()}
    paths = label_paths(folder, item.name, list(priors), image.is_volume, formats)
    alphas: dict[int, np.ndarray] = {}
    for z, prior in priors.items():
        grey = image.slices[z].read()
        mask, part = label_slice(grey, **prior, epsilon=settings.epsilon, radius=settings.radius)
        alphas[z] = mask.alpha
        if "png" in formats:
            for kind, content in label_pictures(grey, mask, part).items():
                write_atomic(paths[z, kind], content)
    if "nifti" in formats:
        write_nifti(paths, folder, image, alphas)
    if "seg" in formats:
        write_atomic(paths["soft.dcm"], seg_bytes(image, alphas, item.name, item.kind, settings.epsilon))
    if replaces:
        _remove_older(folder, item.name, set(paths.values()))
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
    older = set(label_paths(folder, name, [0], False, FORMATS).values())
    inner = folder / name
    if inner.is_dir():
        pattern = re.compile(rf"\d{{3,}}-({'|'.join(PICTURES)})\.png")
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

    The part is so large that nothing changes. Beyond the lesion's bounding box it has at least the longer side of the
    box (for a RECIST mark twice the long axis) on each side, or ends with the image: all that the labelling looks at
    lies nearer (bands of 0.15 radii, windows of three pixels, GrabCut's crop of 0.6 long axes), and the mask fills less
    than half of the part where it fills less than half of the image, which :func:`softmask.label.trimap.radius_of`
    asks. It begins at even rows and columns, so that ends at half a pixel round as they do in the whole image.

    Args:
        image: (H, W) in [0, 1].
        readers: (R, H, W) bool: one is a mask; of several, those that are empty are readers who were not there.
        axes: (2, 2, 2), valid (:func:`softmask.label.recist.validate`).
        epsilon, radius: as in :func:`softmask.label.soft_mask`.

    Raises:
        LabelError: as :func:`softmask.label.soft_mask`.
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
