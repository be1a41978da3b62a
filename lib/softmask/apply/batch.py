"""Processing of many images in one call of ``softmask label`` or ``softmask segment``: reading the command line,
writing the manifest, and working on each image. The failure of one image does not end the call.

``manifest.csv`` lists the processing of each image and the sizes of its lesion; the next call skips finished images.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from joblib import delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

from softmask.apply import IN_DICOM, KINDS, REFERRED
from softmask.apply.dicom import dicom_files
from softmask.apply.images import Grey, Image, open_image, reading, remarks, stem_of
from softmask.apply.items import COLUMNS_HELP, POINTS_HELP, Item, Mark, read_list
from softmask.apply.manifest import MANIFEST, Row, failed, read_manifest, write_manifest
from softmask.apply.outputs import Result, check_outputs, file_names, is_ours, need_ours, write_volumes
from softmask.apply.reports import read_report
from softmask.data.sample import Problem
from softmask.errors import ConfigError, DataError, Remark, SoftmaskError, brief, doubt
from softmask.files import remove_parts, sha256_of, write_atomic
from softmask.parallel import pool

EVERY = 2.0
"""Seconds between two writes of the manifest. Images that a killed call did not list in it are processed again."""

_DONE = {"label": "labelled", "segment": "segmented"}
_NOTHING_MORE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)  # every further image would fail too
_OF_ONE_IMAGE = ("mask", "readers", "recist", "at", "report", "order", "units", "label", "slice", "name")

Outcome = tuple[Row, str]
"""Row of an item in the manifest, and its state: ``done``, ``skipped`` or ``failed``."""


@dataclass(frozen=True)
class Settings:
    """Settings that all images of a call share.

    Attributes:
        command: ``label`` or ``segment``.
        command_settings: settings of this command only, in words.
        formats: keys of :data:`~softmask.apply.KINDS`; None means PNG, also NIfTI if the file has positions in mm, and
            also SEG if it is DICOM.
        code: digest of the code and the model that the results depend on.
    """

    command: str
    grey: Grey
    command_settings: str
    formats: tuple[str, ...] | None
    code: str

    @property
    def text(self) -> str:
        """All settings in one line."""
        return f"{self.grey.text}; {self.command_settings}; {' '.join(self.formats or ('all formats',))}"


@dataclass(frozen=True)
class Task:
    """Item that is being processed.

    Attributes:
        folder: folder of the item's output files.
        formats: keys of :data:`~softmask.apply.KINDS`.
        row: the item's row in the manifest so far.
        previous_files: the item's files from earlier calls.
    """

    item: Item
    image: Image
    folder: Path
    formats: tuple[str, ...]
    row: Row
    previous_files: frozenset[Path]

    def picture(self, z: int) -> str:
        """Return the beginning of the PNG file names of slice ``z``: ``<name>``, or ``<name>/012`` in a volume; for a
        slice that is segmented whole, the slice's own name."""
        if self.item.planes:
            return self.image.slices[z].stem
        return f"{self.item.name}/{z:03d}" if self.image.is_volume else self.item.name


def items_of(arguments: argparse.Namespace, kinds: Sequence[str]) -> tuple[list[Item], list[Problem], list[Path]]:
    """Return the command line's items of the accepted ``kinds`` (:attr:`Item.kind`), the list lines or report groups
    that are not valid items, and the other input files (the list or the report)."""
    if (arguments.list is None) == (arguments.image is None):
        raise ConfigError("name one image, or many of them with --list")
    options = vars(arguments)
    if arguments.list is not None:
        for option in _OF_ONE_IMAGE:
            if options.get(option) is not None:
                hint = "the columns x and y (x0, y0, ...) say it" if option == "order" else "it is a column"
                raise ConfigError(f"--{option} cannot be combined with --list, where {hint}")
        path = Path(arguments.list)
        items, problems = read_list(path, POINTS_HELP if "point" in kinds else COLUMNS_HELP)
        refused_items = [item for item in items if item.kind not in kinds]
        problems += [
            Problem(item.where, f"{item.kind} is not among what is taken: {', '.join(kinds)}") for item in refused_items
        ]
        return [item for item in items if item.kind in kinds], problems, [path]
    coordinates = next((options[name] for name in ("recist", "at") if options.get(name) is not None), None)
    for option in ("order", "units"):
        if options[option] is not None and coordinates is None:
            raise ConfigError(f"--{option} is an option of --recist; leave it out")
    image = Path(arguments.image)
    name, label = arguments.name or stem_of(image), options.get("label") or ""
    if arguments.report is not None:
        if arguments.slice is not None:
            raise ConfigError("--slice cannot be combined with --report, which names the slices itself")
        path = Path(arguments.report)
        marks, problems = read_report(path)
        items = [Item(str(image), f"{name}-{n}", image, mark=mark, label=label) for n, mark in enumerate(marks, 1)]
        return items, problems, [path]
    mask, readers = options.get("mask"), options.get("readers")
    masks = tuple(map(Path, readers if mask is None else [mask])) if readers or mask is not None else ()
    mark = None
    if coordinates is not None:
        points = tuple(zip(coordinates[::2], coordinates[1::2], strict=True))
        mark = Mark(points, arguments.order or "rc", arguments.units or "px")
    return [Item(str(image), name, image, masks, mark, arguments.slice, label)], [], []


def work_through(
    settings: Settings,
    items: Sequence[Item],
    work: Callable[[Task], Row],
    *,
    folder: Path | None,
    jobs: int = 1,
    problems: Sequence[Problem] = (),
    inputs: Iterable[Path] = (),
    say: Callable[[Item, Row], str] | None = None,
) -> int:
    """Process the items and return the exit status: 1 if an item failed or there are problems, otherwise 0.

    Args:
        work: writes the files of an item and returns its row.
        jobs: number of processes that work on the items; 1: this process.
        folder: folder of the results and the manifest; None writes the results beside each image, without a manifest.
        problems: list lines or report groups that are not valid items.
        inputs: input files other than those of the items.
        say: returns the text to print for an item that was done.

    Raises:
        ConfigError: if a result would overwrite another result or an input.
        DataError: if the folder cannot be written to.
    """
    read_paths = [*inputs, *(path for item in items for path in (item.image, *item.masks))]
    # the folder of a volume's PNG files must not be an input's folder
    read_paths += [Path(os.path.realpath(path)).parent for path in read_paths]
    writers = [(item.where, _all_paths(item, folder)) for item in items]
    manifest = None if folder is None else folder / MANIFEST
    if manifest is not None:
        writers.append((f"softmask {settings.command}", [manifest]))
    check_outputs(writers, read_paths, "Give each its own name in a list's column name, or its own --out")
    old_rows = read_manifest(manifest)
    done_rows = {name: row for name, row in old_rows.items() if row["status"] == "done"}
    names = [*(problem.where for problem in problems), *(item.name for item in items)]
    other_rows = {name: row for name, row in old_rows.items() if name not in names and row["image"]}  # no old problems
    rows: dict[str, Row | None] = dict.fromkeys([*names, *done_rows, *other_rows]) | done_rows | other_rows
    states: Counter[str] = Counter()
    item_outcomes = (outcome for outcome in ())

    def save() -> None:
        write_manifest(manifest, rows.values())

    try:
        if folder is not None:
            remove_parts(folder)
        save()
        saved_at = time.monotonic()
        tasks = (delayed(work_on)(item, settings, folder, done_rows.get(item.name), work) for item in items)
        item_outcomes = pool(min(jobs, max(len(items), 1)))(tasks)
        problem_outcomes = ((failed(problem.where, problem.why), "failed") for problem in problems)
        bar = tqdm([*problems, *items], desc=settings.command, unit="image", disable=len(items) < 2)
        for item, (row, state) in zip(bar, chain(problem_outcomes, item_outcomes), strict=True):
            states[state] += 1
            rows[row["name"]] = row
            if message := row["message"]:
                message = message if message.startswith(item.where) else f"{item.where}: {message}"
                tqdm.write(f"softmask: {message}", file=sys.stderr)
            if say is not None and state == "done":
                tqdm.write(say(item, row))  # keeps the progress bar intact
            if time.monotonic() - saved_at > EVERY:
                save()
                saved_at = time.monotonic()
        save()
    except OSError as error:  # while writing: errors of reading are DataErrors here
        why = f"cannot be written to ({error.strerror}); check its rights and the space left, or choose another folder "
        why += "with --out"
        if manifest is not None:
            why += f". The same command then goes on from what {MANIFEST} lists as done"
        raise DataError(f"{folder or error.filename or 'the results'}: {why}") from error
    except TerminatedWorkerError as error:
        raise DataError(f"{folder}: a process was ended from outside, memory may be short; try --jobs 1") from error
    finally:
        with warnings.catch_warnings(), suppress(OSError, DataError):  # errors here would repeat the one above
            warnings.simplefilter("ignore")
            item_outcomes.close()
            save()
    if manifest is not None:
        counts = (
            f"{states['done']} {_DONE[settings.command]}, {states['skipped']} done before, {states['failed']} failed"
        )
        print(f"{counts}; {manifest}")
    return 1 if states["failed"] else 0


def work_on(
    item: Item, settings: Settings, folder: Path | None, earlier: Row | None, work: Callable[[Task], Row]
) -> Outcome:
    """Return the outcome of an item: the row that ``work`` returns for its task (:func:`begin`), the ``earlier`` row if
    the item was done before, or a row with the reason if it failed. Remarks on files are added to the message.

    Args:
        folder: folder of the item's output files; None writes them beside the image.
    """
    row = failed(item.name, "") | {
        "image": str(item.image),
        "label": item.kind,
        "prior": "; ".join(map(str, item.masks)) if item.mark is None else item.mark.text,
        "settings": settings.text,
    }
    why = ""
    with remarks() as texts:
        try:
            task = begin(item, settings, folder or item.image.parent, earlier, row)
            if task is None:
                return earlier, "skipped"
            row = work(task)
        except OSError as error:  # while writing: errors of reading are DataErrors here
            if error.errno in _NOTHING_MORE:
                raise
            path = error.filename or "the results"
            why = f"{item.image}: {path} cannot be written ({error.strerror}); give it another --name or --out"
        except SoftmaskError as error:
            why = str(error)
            if not why.startswith(tuple(map(str, (item.image, *item.masks)))):
                why = f"{item.image}: {why}"
        except Exception as error:  # one faulty or too large image must not end a long call
            cause = f"{type(error).__name__}: {brief(error)}"
            why = f"{item.image}: could not be done ({cause}); memory may be short: crop it, or leave it out"
    row["message"] = "; ".join(filter(None, [why, *texts]))
    return row, "failed" if why else "done"


def begin(item: Item, settings: Settings, folder: Path, earlier: Row | None, row: Row) -> Task | None:
    """Return the task of an item, with its image opened; None if it was done before.

    Args:
        earlier: the item's row from an earlier call; None if it was not done.
        row: first entries of the item's new row.
    """
    with reading(item.image):
        if item.planes and settings.formats == ("png",):  # PNG needs no positions in mm: take oblique slices too
            grid = None
            with suppress(DataError):
                grid = open_image(item.image).grid
            image = Image(item.image, item.planes, grid)
        else:
            image = open_image(item.image)
        default_formats = ("png", *(["nifti"] if image.grid else []), *(["seg"] if image.uids else []))
        formats = settings.formats or default_formats
        if not image.uids and (dicom_formats := ", ".join(format for format in formats if format in IN_DICOM)):
            why = f"DICOM outputs ({dicom_formats}) belong to a DICOM image, which this is not"
            raise DataError(f"{why}; choose --format png nifti nrrd")
        if "report" in formats and not {*formats} & {*REFERRED}:
            formats = (*formats, "seg")
        mark_parts = [] if item.mark is None else [item.mark.text + item.mark.uid]
        files = dict.fromkeys(plane.path for plane in image.slices)
        plane_names = " ".join(plane.where for plane in item.planes)
        content = f"{item.slice}{item.label}{plane_names}"
        digest = sha256_of(settings.code, settings.text, item.kind, content, *mark_parts, *item.masks, *files)
        mark_slice = "" if item.mark is None else item.mark.slice_text
        series_ids = () if image.series is None else (image.grid.series_uid, image.grid.patient)
        source_digest = sha256_of(os.path.realpath(item.image), *series_ids, content, mark_slice)
    task = Task(item, image, folder, formats, row | {"digest": f"{digest}-{source_digest[:16]}"}, frozenset())
    pictures = [plane.stem for plane in item.planes] or map(task.picture, range(len(image.slices)))
    targets = [folder / name for name in file_names(item.name, pictures, formats, settings.command)]
    options = "--out" if item.planes else "--out or --name"
    if earlier is None:  # no manifest, or a call killed before it wrote the manifest
        need_ours(targets, options)
        stems = {path.name.partition("-")[0] for path in (folder / item.name).glob("[0-9]*-*.png")}  # of a volume
        names = file_names(item.name, [f"{item.name}/{z}" for z in stems], tuple(KINDS), settings.command)
        previous_files = frozenset(path for path in {*targets, *(folder / name for name in names)} if is_ours(path))
        if previous_files:
            text = f"replaces an earlier or interrupted result named {item.name}; --out leads to another folder"
            warnings.warn(Remark(text), stacklevel=2)
        return replace(task, previous_files=previous_files)
    earlier_slices = [int(z) for z in earlier["slices"].split() if z.isdecimal() and int(z) < len(image.slices)]
    stems = [*(plane.stem for plane in item.planes), *map(task.picture, earlier_slices)]
    names = file_names(item.name, stems, earlier["formats"].split(), settings.command)
    other_source = f"-{source_digest[:16]}-" not in earlier["digest"]  # another image, series, slice or structure
    if earlier["prior"] != row["prior"] or other_source:
        source_text = f" on {earlier['image']}, slices {earlier['slices']}" if other_source else ""
        text = f"replaces the {item.name} made from {earlier['prior'] or 'the whole'}{source_text}"
        warnings.warn(Remark(f"{text}; to keep both, give one another name (--name)"), stacklevel=2)
    digest = task.row["digest"]
    if all((folder / name).is_file() for name in names) and earlier["digest"] == _covering(digest, folder, names):
        return None
    if earlier["digest"].startswith(digest) and any((folder / name).is_file() for name in names):
        warnings.warn(Remark(f"files of {item.name} were changed since, or are missing; made again"), stacklevel=2)
    listed_files = {folder / name for name in names}
    need_ours(set(targets) - listed_files, options)
    candidates = [folder / name for name in file_names(item.name, [*stems, item.name], tuple(KINDS), settings.command)]
    return replace(task, previous_files=frozenset(path for path in candidates if path in listed_files or is_ours(path)))


def complete(task: Task, result: Result, pictures: Mapping[Path, bytes]) -> Row:
    """Write all files of an item, among them the PNG files ``pictures``, and return its row. Nothing is written
    before the item is finished, so that a failed one leaves its earlier result as it was.

    Raises:
        DataError: if none of the formats can be written.
    """
    item, image, folder = task.item, task.image, task.folder
    dicom_formats = [format for format in task.formats if format in IN_DICOM]
    contents, doubts = dicom_files(result, dicom_formats) if dicom_formats else ({}, [])
    formats = [format for format in task.formats if format not in dicom_formats or format in contents]
    if not formats:
        raise DataError("; ".join(doubts))
    dicom_contents = {folder / f"{item.name}-{KINDS[format][0]}": content for format, content in contents.items()}
    for path, content in {**pictures, **dicom_contents}.items():
        write_atomic(path, content)
    write_volumes(folder, result, task.formats)
    new_names = file_names(item.name, map(task.picture, result.alphas), formats, result.command)
    stale_files = sorted(path for path in task.previous_files - {folder / name for name in new_names} if path.exists())
    for path in stale_files:  # slices or formats that the new result does not have
        path.unlink(missing_ok=True)
    if stale_files:
        names = ", ".join(path.relative_to(folder).as_posix() for path in stale_files[:5])
        more = f" and {len(stale_files) - 5} more" if len(stale_files) > 5 else ""
        text = f"removed {names}{more} of the result before, which was not asked for again"
        warnings.warn(Remark(f"{text}; name all that is wanted in --format"), stacklevel=2)
    with suppress(OSError):
        (folder / item.name).rmdir()  # if it is empty
    spacing = ("", "") if image.grid is None else tuple(f"{value:g}" for value in image.grid.spacing_mm[1:])
    sizes = {}
    if size := result.size:
        size_names = ["area_mm2", "soft_area_mm2"]
        size_names += ["long_mm", "short_mm"] if size.axes is not None else []
        size_names += ["volume_mm3", "soft_volume_mm3"] if result.has_volume else []
        sizes = {"measured_slice": str(size.slice)} | {name: f"{getattr(size, name):.3f}" for name in size_names}
    if mark_axes := result.mark_axes_mm:
        sizes |= dict(zip(("mark_long_mm", "mark_short_mm"), (f"{mm:.3f}" for mm in mark_axes[1]), strict=True))
    for text in doubts:
        doubt(text)
    return task.row | sizes | {
        "slices": " ".join(f"{image.slices[z].z or z}" for z in result.alphas),
        **dict(zip(("rows", "columns"), map(str, next(iter(result.alphas.values())).shape), strict=True)),
        **dict(zip(("row_mm", "column_mm"), spacing, strict=True)),
        "soft_area_px": f"{sum(float(alpha.sum(dtype=np.float64)) for alpha in result.alphas.values()):.3f}",
        "mask_area_px": str(sum(int(np.count_nonzero(mask)) for mask in result.masks.values())),
        "formats": " ".join(formats),
        "status": "done",
        "digest": _covering(task.row["digest"], folder, new_names),
    }  # fmt: skip


def _covering(digest: str, folder: Path, names: Iterable[str]) -> str:
    """Return the item's digest with the total size of its files in bytes: a truncated result is made again."""
    return f"{digest}-{sum((folder / name).stat().st_size for name in {*names})}"


def _all_paths(item: Item, folder: Path | None) -> list[Path]:
    """Return all paths that an item might write to, including the folder of a volume's PNG files."""
    parent = folder or item.image.parent
    names = file_names(item.name, [plane.stem for plane in item.planes] or [item.name], tuple(KINDS), "label")
    return [parent / name for name in (names if item.planes else [*names, item.name])]
