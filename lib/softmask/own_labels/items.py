"""One image and what it is labelled from, and which files that makes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from softmask.errors import ConfigError
from softmask.own_labels.marks import Mark

PICTURES = ("soft", "mask", "trimap", "overlay")
"""Kinds of PNG files that are written for a slice."""

VOLUMES = ("soft.nii.gz", "mask.nii.gz", "soft.dcm")
MANIFEST = "manifest.csv"
_NAME = re.compile(r"[^\s./\\:*?\"<>|\x00-\x1f][^/\\:*?\"<>|\x00-\x1f]{0,150}")


@dataclass(frozen=True)
class Item:
    """An image, and exactly one of mask, readers and mark.

    Attributes:
        name: of what is made from it, a file's name without ending.
        image: a PNG, TIFF or DICOM file, a NIfTI or nrrd volume, or a folder with one CT series.
        mask: PNG, TIFF, DICOM SEG, NIfTI or nrrd; for a volume also a folder of PNG or TIFF files, one a slice.
        readers: several of these.
        mark: RECIST axes.
        slice: the slice that is meant, from 0 at the feet; None for all that a mask marks, or the only one.
        where: what messages begin with.
    """

    name: str
    image: Path
    mask: Path | None = None
    readers: tuple[Path, ...] = ()
    mark: Mark | None = None
    slice: int | None = None
    where: str = ""

    def __post_init__(self) -> None:
        if not self.where:
            object.__setattr__(self, "where", str(self.image))
        given = [self.mask is not None, bool(self.readers), self.mark is not None]
        if sum(given) != 1:
            raise ConfigError(f"{self.where}: give exactly one of a mask, readers' masks and a RECIST mark")
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"{self.where}: {self.name[:200]!r} cannot be the name of a file; give another (--name, column name)"
            )

    @property
    def kind(self) -> str:
        """``mask``, ``readers`` or ``recist``."""
        return "mask" if self.mask is not None else "readers" if self.readers else "recist"

    @property
    def masks(self) -> tuple[Path, ...]:
        """The files or folders that hold masks."""
        return self.readers if self.mask is None else (self.mask,)

    @property
    def prior(self) -> str:
        """The masks' paths or the mark's ends, as the manifest has them."""
        return "; ".join(map(str, self.masks)) if self.mark is None else self.mark.text


def picture_paths(folder: Path, name: str, slices: Sequence[int], of_volume: bool) -> list[dict[str, Path]]:
    """Where the PNG files of an item go, by kind, for each of its slices: ``<name>-soft.png``, or for a volume
    ``<name>/012-soft.png``."""
    if not of_volume:
        return [{kind: folder / f"{name}-{kind}.png" for kind in PICTURES}]
    return [{kind: folder / name / f"{z:03d}-{kind}.png" for kind in PICTURES} for z in slices]


def volume_path(folder: Path, name: str, kind: str) -> Path:
    """Where a volume of :data:`VOLUMES` goes."""
    return folder / f"{name}-{kind}"


def check_items(items: Sequence[Item], folder: Path, more_inputs: Iterable[Path] = ()) -> None:
    """Raises ConfigError where two items would write the same files, or one would overwrite what is read."""
    seen: dict[str, Item] = {}
    for item in items:
        other = seen.setdefault(item.name.casefold(), item)  # some file systems do not tell cases apart
        if other is not item:
            raise ConfigError(
                f"{other.where} and {item.where} would both write {folder / item.name}-soft.png; nothing was written. "
                "Give each its own name in a list's column name"
            )
    inputs: dict[Path, Path] = {}
    for path in [path for item in items for path in (item.image, *item.masks)] + list(more_inputs):
        inputs.setdefault(path.resolve(), path)
    folders = {path.parent for path in inputs} | set(inputs)
    place = folder.resolve()
    for item in items:
        flat = picture_paths(place, item.name, (), False)[0].values()
        written = {*flat, *(volume_path(place, item.name, kind) for kind in VOLUMES), place / MANIFEST}
        met = written & inputs.keys()
        if met or place / item.name in folders:
            path = inputs[met.pop()] if met else place / item.name
            raise ConfigError(
                f"{item.where} would write {path}, which is to be read; nothing was written. Choose another folder "
                "with --out"
            )
