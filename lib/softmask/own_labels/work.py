"""Many items labelled, each from its files to its files, in parallel; what is done already is not done again."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from softmask.cache import code_digest
from softmask.data.sample import Problem
from softmask.errors import DataError, SoftmaskError, brief
from softmask.files import sha256_of, write_atomic
from softmask.machine import cores
from softmask.own_labels.items import VOLUMES, Item, check_items, picture_paths, volume_path
from softmask.own_labels.manifest import COLUMNS, Manifest, Row, cannot_write
from softmask.own_labels.marks import doubts
from softmask.own_labels.outputs import expected, formats_of, remove_older, write_nifti, write_pictures
from softmask.own_labels.priors import masks_of, place_of_mark
from softmask.own_labels.segmentation import seg_bytes
from softmask.own_labels.settings import Settings
from softmask.own_labels.slices import label_slice
from softmask.own_labels.sources import Source, open_image
from softmask.parallel import pool

_NOTHING_MORE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)  # the next image would fare no better


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
    """Label every item that can be, write the files (:mod:`softmask.own_labels.outputs`) and ``manifest.csv``.

    An item is skipped where the manifest has it as done with the same image, prior, settings and code (SHA-256 over
    all of them) and its files are there. Results of the same names are replaced; other files are left alone.

    Args:
        folder: made where it is not there.
        problems: items that could not even be made: they go to the manifest as failed.
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

    settings = settings or Settings()
    check_items(items, folder, inputs)
    problems = list(problems)
    manifest = Manifest(folder, [*(one.where for one in problems), *(item.name for item in items)])
    outcomes, full = [], []

    def tasks() -> Iterator[tuple]:
        for item in items:
            if full:  # what is under way comes to its end, for processes that are broken off complain
                return
            yield delayed(_outcome)(item, folder, settings, manifest.of(item.name))

    def note(outcome: Outcome, where: str) -> None:
        outcomes.append(outcome)
        _tell(outcome.row, where, say)
        try:
            manifest.put(outcome.row)
        except OSError as error:
            full.append(str(cannot_write(folder, error)))

    found: Iterator[Outcome] = pool(min(jobs or cores(), max(len(items), 1)))(tasks())
    try:
        with tqdm(total=len(items), desc="label", unit="image", disable=len(items) < 2) as bar:
            for one in problems:
                note(Outcome(_failed(one.where, one.why)), one.where)
            for outcome, item in zip(found, items, strict=False):  # fewer where the work was ended
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
        with warnings.catch_warnings(), suppress(OSError):  # both of which tell what is told already
            warnings.simplefilter("ignore")
            found.close()
            manifest.save()
    return outcomes


def _outcome(item: Item, folder: Path, settings: Settings, earlier: Row | None) -> Outcome:
    row = _failed(item.name, "") | {
        "image": str(item.image), "label": item.kind, "prior": item.prior, "settings": settings.text,
    }  # fmt: skip
    try:
        source = open_image(item.image, settings.grey)
        formats = formats_of(source, settings.formats)
        digest = _digest(item, source, settings)
        if earlier is not None and earlier["digest"] == digest and _is_there(folder, item, source, formats, earlier):
            return Outcome(earlier, skipped=True)
        found = _label(item, source, folder, settings, formats, replaces=earlier is not None)
        return Outcome(row | found | {"digest": digest, "status": "done"})
    except _CannotWriteError as error:
        why = str(cannot_write(folder, error.error))
        return Outcome(row | {"message": why}, full=why if error.error.errno in _NOTHING_MORE else "")
    except (SoftmaskError, OSError) as error:
        return Outcome(row | {"message": _why(item, error)})
    except Exception as error:  # one image, or a lack of memory for it, must not end the work on a thousand
        why = f"{item.image}: could not be labelled ({type(error).__name__}: {brief(error)}); crop it, or leave it out"
        return Outcome(row | {"message": why})


def _label(
    item: Item, source: Source, folder: Path, settings: Settings, formats: tuple[str, ...], replaces: bool
) -> Row:
    """Write the files of an item; what the manifest says of it."""
    message = ""
    if item.mark is not None:
        axes = item.mark.axes(source.shape, source.grid)
        priors = {place_of_mark(item, source): {"axes": axes}}
        message = doubts(axes)
    else:
        priors = {z: {"readers": masks} for z, masks in masks_of(item, source).items()}
    alphas: dict[int, np.ndarray] = {}
    for z, paths in zip(priors, picture_paths(folder, item.name, list(priors), source.is_volume), strict=True):
        image = source.slices[z].read()
        labelled = label_slice(image, **priors[z], epsilon=settings.epsilon, radius=settings.radius)
        alphas[z] = labelled.found.alpha
        if "png" in formats:
            with _writing():
                write_pictures(paths, image, labelled)
    if "nifti" in formats:
        with _writing():
            write_nifti(folder, item.name, source, alphas)
    if "seg" in formats:
        content = seg_bytes(item, source, alphas, settings)
        with _writing():
            write_atomic(volume_path(folder, item.name, VOLUMES[2]), content)
    if replaces:
        with _writing():
            remove_older(folder, item, expected(folder, item, list(alphas), source.is_volume, formats))
    spacing = ("", "") if source.grid is None else tuple(f"{value:g}" for value in source.grid.spacing_mm[1:])
    return {
        "slices": " ".join(map(str, alphas)),
        **dict(zip(("rows", "columns"), map(str, source.shape), strict=True)),
        **dict(zip(("row_mm", "column_mm"), spacing, strict=True)),
        "soft_area_px": f"{sum(float(alpha.sum(dtype=np.float64)) for alpha in alphas.values()):.3f}",
        "mask_area_px": str(sum(int(np.count_nonzero(alpha >= 0.5)) for alpha in alphas.values())),
        "message": message and f"doubtful: {message}",
    }


def _digest(item: Item, source: Source, settings: Settings) -> str:
    parts: list[str | Path] = [code_digest("data", "label", "own_labels"), settings.text, item.kind, f"{item.slice}"]
    parts += [item.mark.text + item.mark.uid] if item.mark is not None else []
    for path in item.masks:
        parts += sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
    return sha256_of(*parts, *source.files)


def _is_there(folder: Path, item: Item, source: Source, formats: tuple[str, ...], earlier: Row) -> bool:
    slices = earlier["slices"].split()
    if not slices or not all(one.isascii() and one.isdigit() and len(one) < 9 for one in slices):
        return False
    return all(path.is_file() for path in expected(folder, item, [*map(int, slices)], source.is_volume, formats))


def _failed(name: str, why: str) -> Row:
    return dict.fromkeys(COLUMNS, "") | {"name": name, "status": "failed", "message": why}


def _why(item: Item, error: SoftmaskError | OSError) -> str:
    """What is wrong, beginning with the file."""
    if isinstance(error, OSError):
        if isinstance(error, FileNotFoundError):
            return f"{error.filename}: there is no such file; check the name"
        return f"{error.filename or item.image}: cannot be read ({error.strerror}); check the file and its rights"
    text = str(error)
    return text if any(text.startswith(str(path)) for path in (item.image, *item.masks)) else f"{item.image}: {text}"


def _tell(row: Row, where: str, say: Callable[[str], object]) -> None:
    if row["message"]:
        begins = row["message"].startswith(where)
        say(row["message"] if begins else f"{where}: {row['message']}")


class _CannotWriteError(Exception):
    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _CannotWriteError(error) from error
