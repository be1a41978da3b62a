"""Many images in one call, of ``softmask label`` and ``softmask segment``: what the command line names, its manifest,
and the work on each, which one failure does not end; finished images are skipped.

``manifest.csv`` lists the processing of each image, with the sizes of its lesion; a call goes on from it.
"""

from __future__ import annotations

import argparse
import errno
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
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
from softmask.errors import ConfigError, DataError, Doubt, Remark, SoftmaskError, brief
from softmask.files import remove_parts, sha256_of, write_atomic

EVERY = 2.0
"""Seconds between two writings of the manifest: what a kill takes from it is done again."""

_DONE = {"label": "labelled", "segment": "segmented"}
_NOTHING_MORE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)  # the next image would fare no better
_OF_ONE_IMAGE = ("mask", "readers", "recist", "at", "report", "order", "units", "label", "slice", "slices", "name")

Outcome = tuple[Row, str]
"""An item's row of the manifest, and ``done``, ``skipped`` or ``failed``."""

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """Settings of all images of a call.

    Attributes:
        command: ``label`` or ``segment``.
        own: the command's own settings, in words.
        formats: keys of :data:`~softmask.apply.KINDS`, or None for PNG, NIfTI where the file has positions in
            mm, and SEG for DICOM.
        code: digest of the code and the model that the results depend on.
    """

    command: str
    grey: Grey
    own: str
    formats: tuple[str, ...] | None
    code: str

    @property
    def text(self) -> str:
        """All settings in a line."""
        return f"{self.grey.text}; {self.own}; {' '.join(self.formats or ('all formats',))}"


@dataclass(frozen=True)
class Task:
    """An item on its way.

    Attributes:
        folder: of its files.
        formats: keys of :data:`~softmask.apply.KINDS`.
        row: its row of the manifest so far.
        older: its files of before.
    """

    item: Item
    image: Image
    folder: Path
    formats: tuple[str, ...]
    row: Row
    older: frozenset[Path]

    def picture(self, z: int) -> str:
        """Return how the names of the PNG files of a slice begin: ``<name>``, of a volume ``<name>/012``; of a whole
        slice the slice's own name."""
        if self.item.planes:
            return self.image.slices[z].stem
        return f"{self.item.name}/{z:03d}" if self.image.is_volume else self.item.name


def items_of(arguments: argparse.Namespace, kinds: Sequence[str]) -> tuple[list[Item], list[Problem], list[Path]]:
    """Return what the command line names: the items; lines or groups that are not items; other files read.

    Args:
        kinds: those of items (:attr:`Item.kind`) that the command takes.
    """
    if (arguments.list is None) == (arguments.image is None):
        raise ConfigError("name one image, or many of them with --list")
    options = vars(arguments)
    if arguments.list is not None:
        for option in _OF_ONE_IMAGE:
            if options.get(option) is not None:
                where = "the columns x and y (x0, y0, ...) say it" if option == "order" else "it is a column"
                name = option.replace("slices", "slice")  # of which a command may take several
                raise ConfigError(f"--{name} cannot be combined with --list, where {where}")
        path = Path(arguments.list)
        items, problems = read_list(path, POINTS_HELP if "point" in kinds else COLUMNS_HELP)
        other = [item for item in items if item.kind not in kinds]
        problems += [
            Problem(item.where, f"{item.kind} is not among what is taken: {', '.join(kinds)}") for item in other
        ]
        return [item for item in items if item.kind in kinds], problems, [path]
    ends = next((options[name] for name in ("recist", "at") if options.get(name) is not None), None)
    for option in ("order", "units"):
        if options[option] is not None and ends is None:
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
    if ends is not None:
        points = tuple(zip(ends[::2], ends[1::2], strict=True))
        mark = Mark(points, arguments.order or "rc", arguments.units or "px")
    return [Item(str(image), name, image, masks, mark, arguments.slice, label)], [], []


def work_through(
    command: str,
    items: Sequence[Item],
    outcomes: Callable[[Mapping[str, Row]], Iterator[Outcome]],
    *,
    folder: Path | None,
    problems: Sequence[Problem] = (),
    inputs: Iterable[Path] = (),
    say: Callable[[Item, Row], str] | None = None,
) -> int:
    """Do the items; return the exit status: 1 where one of them failed, or there are problems, else 0.

    Args:
        command: ``label`` or ``segment``.
        outcomes: returns those of the items, in order, from the rows of the items that are done already, by name.
        folder: of the results and the manifest; None for results beside each image, and no manifest.
        problems: lines or groups that are no items.
        inputs: files read besides those of the items.
        say: what is printed of an item that was done.

    Raises:
        ConfigError: results that overwrite one another or an input.
        DataError: a folder that cannot be written to.
    """
    read = [*inputs, *(path for item in items for path in (item.image, *item.masks))]
    read += [path.resolve().parent for path in read]  # a volume's pictures lie in a folder of their own
    writers = [(item.where, _all_paths(item, folder)) for item in items]
    manifest = None if folder is None else folder / MANIFEST
    if manifest is not None:
        writers.append((f"softmask {command}", [manifest]))
    check_outputs(writers, read, "Give each its own name in a list's column name, or its own --out")
    before = read_manifest(manifest)
    done = {name: row for name, row in before.items() if row["status"] == "done"}
    names = [*(problem.where for problem in problems), *(item.name for item in items)]
    others = {name: row for name, row in before.items() if name not in names and row["image"]}  # and lines of no list
    rows: dict[str, Row | None] = dict.fromkeys([*names, *done, *others]) | done | others
    states: Counter[str] = Counter()
    results: Iterator[Outcome] = iter(())

    def save() -> None:
        write_manifest(manifest, rows.values())

    try:
        if folder is not None:
            remove_parts(folder)
        save()
        saved = time.monotonic()
        results = outcomes(done)
        unusable = ((failed(problem.where, problem.why), "failed") for problem in problems)
        bar = tqdm([*problems, *items], desc=command, unit="image", disable=len(items) < 2)
        for item, (row, state) in zip(bar, chain(unusable, results), strict=True):
            states[state] += 1
            rows[row["name"]] = row
            if message := row["message"]:
                message = message if message.startswith(item.where) else f"{item.where}: {message}"
                tqdm.write(f"softmask: {message}", file=sys.stderr)
            if say is not None and state == "done":
                tqdm.write(say(item, row))  # which leaves the progress bar whole
            if time.monotonic() - saved > EVERY:
                save()
                saved = time.monotonic()
        save()
    except OSError as error:  # of writing: those of reading are DataErrors by now
        why = f"cannot be written to ({error.strerror}); check its rights and the space left, or choose another folder "
        why += "with --out"
        if manifest is not None:
            why += f". The same command then goes on from what {MANIFEST} lists as done"
        raise DataError(f"{folder or error.filename or 'the results'}: {why}") from error
    except TerminatedWorkerError as error:
        raise DataError(f"{folder}: a process was ended from outside, memory may be short; try --jobs 1") from error
    finally:
        with warnings.catch_warnings(), suppress(OSError, DataError):  # all repeat the error above
            warnings.simplefilter("ignore")
            getattr(results, "close", bool)()
            save()
    if manifest is not None:
        counts = f"{states['done']} {_DONE[command]}, {states['skipped']} done before, {states['failed']} failed"
        print(f"{counts}; {manifest}")
    return 1 if states["failed"] else 0


def attempt(item: Item, settings: Settings, work: Callable[[Row], T]) -> T | Outcome:
    """Return what ``work`` makes of the beginning of the item's row; where it fails, the outcome that says why.
    Remarks on files are added to the message of the row."""
    row = failed(item.name, "") | {
        "image": str(item.image),
        "label": item.kind,
        "prior": "; ".join(map(str, item.masks)) if item.mark is None else item.mark.text,
        "settings": settings.text,
    }
    why = ""
    with remarks() as texts:
        try:
            made = work(row)
        except OSError as error:  # of writing: those of reading are DataErrors by now
            if error.errno in _NOTHING_MORE:
                raise
            place = error.filename or "the results"
            why = f"{item.image}: {place} cannot be written ({error.strerror}); give it another --name or --out"
        except SoftmaskError as error:
            why = str(error)
            if not why.startswith(tuple(map(str, (item.image, *item.masks)))):
                why = f"{item.image}: {why}"
        except Exception as error:  # one image, or a lack of memory for it, must not end the work on a thousand
            cause = f"{type(error).__name__}: {brief(error)}"
            why = f"{item.image}: could not be done ({cause}); memory may be short: crop it, or leave it out"
    if why:
        made = row | {"message": why}, "failed"
    row, state = (made.task.row, "begun") if hasattr(made, "task") else made
    if state != "skipped":
        row["message"] = "; ".join(filter(None, [row["message"], *texts]))
    return made


def work_on(
    item: Item, settings: Settings, folder: Path | None, earlier: Row | None, work: Callable[[Task], T]
) -> T | Outcome:
    """Return what ``work`` makes of the item, begun (:func:`begin`), or its outcome where it was done before or failed.

    Args:
        folder: of its files; None for beside the image.
    """

    def begun(row: Row) -> T | Outcome:
        task = begin(item, settings, folder or item.image.parent, earlier, row)
        return work(task) if isinstance(task, Task) else task

    return attempt(item, settings, begun)


def begin(item: Item, settings: Settings, folder: Path, earlier: Row | None, row: Row) -> Task | Outcome:
    """Return the item with its image opened, or its outcome where it was done before.

    Args:
        earlier: its row of before; None where it was not done.
        row: the beginning of its row.
    """
    with reading(item.image):
        if item.planes and settings.formats == ("png",):  # pictures alone, of any slice: on a patient's axes or not
            grid = None
            with suppress(DataError):
                grid = open_image(item.image).grid
            image = Image(item.image, item.planes, grid)
        else:
            image = open_image(item.image)
        usual = ("png", *(["nifti"] if image.grid else []), *(["seg"] if image.uids else []))
        formats = settings.formats or usual
        if not image.uids and (asked := ", ".join(format for format in formats if format in IN_DICOM)):
            why = f"DICOM outputs ({asked}) belong to a DICOM image, which this is not"
            raise DataError(f"{why}; choose --format png nifti nrrd")
        if "report" in formats and not {*formats} & {*REFERRED}:
            formats = (*formats, "seg")
        mark = [] if item.mark is None else [item.mark.text + item.mark.uid]
        files = dict.fromkeys(plane.path for plane in image.slices)
        planes = " ".join(plane.where for plane in item.planes)
        content = f"{item.slice}{item.label}{planes}"
        digest = sha256_of(settings.code, settings.text, item.kind, content, *mark, *item.masks, *files)
        named = "" if item.mark is None else item.mark.place
        series = () if image.series is None else (image.grid.series_uid, image.grid.patient)
        place = sha256_of(str(item.image.resolve()), *series, content, named)
    task = Task(item, image, folder, formats, row | {"digest": f"{digest}-{place[:16]}"}, frozenset())
    pictures = [plane.stem for plane in item.planes] or map(task.picture, range(len(image.slices)))
    targets = [folder / name for name in file_names(item.name, pictures, formats, settings.command)]
    options = "--out" if item.planes else "--out or --name"
    if earlier is None:  # beside an image there is no manifest; and a kill may have come before it was written
        need_ours(targets, options)
        drawn = {path.name.partition("-")[0] for path in (folder / item.name).glob("[0-9]*-*.png")}  # of a volume
        names = file_names(item.name, [f"{item.name}/{z}" for z in drawn], tuple(KINDS), settings.command)
        older = frozenset(path for path in {*targets, *(folder / name for name in names)} if is_ours(path))
        if older:
            text = f"replaces an earlier or interrupted result named {item.name}; --out leads to another folder"
            warnings.warn(Remark(text), stacklevel=2)
        return replace(task, older=older)
    before = [int(z) for z in earlier["slices"].split() if z.isdecimal() and int(z) < len(image.slices)]
    drawn = [*(plane.stem for plane in item.planes), *map(task.picture, before)]
    names = file_names(item.name, drawn, earlier["formats"].split(), settings.command)
    elsewhere = f"-{place[:16]}-" not in earlier["digest"]  # another image, series, slice or structure
    if earlier["prior"] != row["prior"] or elsewhere:
        on = f" on {earlier['image']}, slices {earlier['slices']}" if elsewhere else ""
        text = f"replaces the {item.name} made from {earlier['prior'] or 'the whole'}{on}"
        warnings.warn(Remark(f"{text}; to keep both, give one another name (--name)"), stacklevel=2)
    digest = task.row["digest"]
    if all((folder / name).is_file() for name in names) and earlier["digest"] == _covering(digest, folder, names):
        return earlier, "skipped"
    if earlier["digest"].startswith(digest) and any((folder / name).is_file() for name in names):
        warnings.warn(Remark(f"files of {item.name} were changed since, or are missing; made again"), stacklevel=2)
    listed = {folder / name for name in names}
    need_ours(set(targets) - listed, options)
    others = [folder / name for name in file_names(item.name, [*drawn, item.name], tuple(KINDS), settings.command)]
    return replace(task, older=frozenset(path for path in others if path in listed or is_ours(path)))


def complete(task: Task, result: Result) -> Outcome:
    """Write the volumes and DICOM files of an item, whose pictures are written; return its outcome.

    Raises:
        DataError: where none of the formats can be made.
    """
    item, image, folder = task.item, task.image, task.folder
    write_volumes(folder, result, task.formats)
    asked = [format for format in task.formats if format in IN_DICOM]
    contents, doubts = dicom_files(result, asked) if asked else ({}, [])
    for format, content in contents.items():
        write_atomic(folder / f"{item.name}-{KINDS[format][0]}", content)
    formats = [format for format in task.formats if format not in asked or format in contents]
    if not formats:
        raise DataError("; ".join(doubts))
    written = file_names(item.name, map(task.picture, result.alphas), formats, result.command)
    gone = sorted(path for path in task.older - {folder / name for name in written} if path.exists())
    for path in gone:  # of slices or formats that this result did not replace
        path.unlink(missing_ok=True)
    if gone:
        names = ", ".join(path.relative_to(folder).as_posix() for path in gone[:5])
        more = f" and {len(gone) - 5} more" if len(gone) > 5 else ""
        text = f"removed {names}{more} of the result before, which was not asked for again"
        warnings.warn(Remark(f"{text}; name all that is wanted in --format"), stacklevel=2)
    with suppress(OSError):
        (folder / item.name).rmdir()  # where nothing is left in it
    spacing = ("", "") if image.grid is None else tuple(f"{value:g}" for value in image.grid.spacing_mm[1:])
    sizes = {}
    if size := result.size:
        measured = ["area_mm2", "soft_area_mm2"]
        measured += ["long_mm", "short_mm"] if size.axes is not None else []
        measured += ["volume_mm3", "soft_volume_mm3"] if result.has_volume else []
        sizes = {"measured_slice": str(size.slice)} | {name: f"{getattr(size, name):.3f}" for name in measured}
    if marked := result.marked:
        sizes |= dict(zip(("mark_long_mm", "mark_short_mm"), (f"{mm:.3f}" for mm in marked[1]), strict=True))
    for doubt in doubts:
        warnings.warn(Doubt(doubt), stacklevel=2)
    row = task.row | sizes | {
        "slices": " ".join(f"{image.slices[z].z or z}" for z in result.alphas),
        **dict(zip(("rows", "columns"), map(str, image.shape), strict=True)),
        **dict(zip(("row_mm", "column_mm"), spacing, strict=True)),
        "soft_area_px": f"{sum(float(alpha.sum(dtype=np.float64)) for alpha in result.alphas.values()):.3f}",
        "mask_area_px": str(sum(int(np.count_nonzero(mask)) for mask in result.masks.values())),
        "formats": " ".join(formats),
        "status": "done",
        "digest": _covering(task.row["digest"], folder, written),
    }  # fmt: skip
    return row, "done"


def _covering(digest: str, folder: Path, names: Iterable[str]) -> str:
    """Return the digest of what a result depends on with the bytes of its files: one that was cut is made again."""
    return f"{digest}-{sum((folder / name).stat().st_size for name in {*names})}"


def _all_paths(item: Item, folder: Path | None) -> list[Path]:
    """Return all files that an item might write, and the folder of a volume's pictures."""
    place = folder or item.image.parent
    names = file_names(item.name, [plane.stem for plane in item.planes] or [item.name], tuple(KINDS), "label")
    return [place / name for name in (names if item.planes else [*names, item.name])]
