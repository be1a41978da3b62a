"""DeepLesion: CT lesions with RECIST diameters, from which the papers' LNSM set was drawn.

K. Yan, X. Wang, L. Lu, R. M. Summers, "DeepLesion: automated mining of large-scale lesion annotations and universal
lesion detection with deep learning", Journal of Medical Imaging 5(3), 2018. Its README gives the formats: 16-bit PNG
holding HU + 32768; ``Measurement_coordinates`` are x, y of the two ends of the long axis, then of the short one;
coarse types 1 bone, 2 abdomen, 3 mediastinum, 4 liver, 5 lung, 6 kidney, 7 soft tissue, 8 pelvis, and -1 (unknown) for
every lesion of the training split.
"""

from __future__ import annotations

import csv
import io
import re
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from softmask.data.image_files import read_grey, window_hu
from softmask.data.sample import Dataset, Sample
from softmask.errors import DataError
from softmask.files import read_text, sha256_of

HU_OFFSET = 32768
LUNG = 5
CROP = 128
# fmt: off
COLUMNS = (
    "File_name", "Key_slice_index", "Measurement_coordinates", "Coarse_lesion_type", "Possibly_noisy", "Spacing_mm_px_",
)
# fmt: on
_CHECKSUM_BYTES = 32  # last bytes of a PNG: zlib's Adler-32 of all pixels, the last IDAT's CRC, and IEND
_REMEDY = "get DeepLesion's DL_info.csv again"


class DeepLesion(Dataset):
    """Lung lesions (coarse type 5, not possibly noisy), cropped to 128 x 128 around the RECIST mark.

    The crop is centred on the mean of the four axis ends, and moved inwards at the image border. Samples have ``hu``,
    ``image`` (the lung window of ``hu``), ``recist`` in pixels of the crop; ``readers`` is empty, (0, 128, 128).
    ``nodule`` is ``<study>_<series>_<slice>-<k>``, the k-th lesion of its slice. ``index`` also has ``area`` (of the
    RECIST ellipse) and ``long_axis`` in pixels, ``file``, and ``row_spacing``, ``column_spacing`` in mm.

    ``folder`` holds ``Images_png/<patient>_<study>_<series>/<slice>.png`` and ``DL_info.csv``. A row that cannot be
    used, or whose image is missing, is listed in ``problems``.
    """

    def __init__(self, folder: str | Path, name: str = "deeplesion") -> None:
        super().__init__(name, folder)
        table_path, images = self.path / "DL_info.csv", self.path / "Images_png"
        lesions, bad_lines, counts = parse_table(table_path)
        for where, why in bad_lines:
            self.add_problem(where, f"{why}; left out")
        has_image = lesions["file"].map(lambda file: (images / file).is_file()).astype(bool)
        for path in (images / file for file in lesions["file"][~has_image].unique()):
            where = path if path.parent.is_dir() else path.parent  # a missing folder is listed once
            self.add_problem(where, "named in DL_info.csv and not there; left out")
        self.index = lesions[has_image].reset_index(drop=True)
        self.origin = (
            f"DeepLesion, {len(self.index)} lung lesions with RECIST axes "
            f"({counts['unknown']} of unknown type and {counts['noisy']} possibly noisy ones left out)"
        )
        if self.index.empty:
            message = f"of its {counts['rows']} lesions none is a usable lung lesion with its image in {images}"
            raise self.none_usable(message, table_path)
        self._axes = np.stack(self.index.pop("axes").to_list())

    def read(self, i: int) -> Sample:
        row, axes = self.index.iloc[i], self._axes[i]
        path = self.path / "Images_png" / row.file
        stored = read_grey(path)
        if stored.dtype != np.uint16 or min(stored.shape) < CROP:
            raise DataError(
                f"{path}: {stored.dtype} of size {stored.shape}; 16-bit PNG (HU + {HU_OFFSET}) of at least {CROP} x "
                f"{CROP} pixels is expected"
            )
        corner = np.rint(axes.mean(axis=(0, 1))).astype(int) - CROP // 2
        corner = np.clip(corner, 0, np.array(stored.shape) - CROP)
        recist = axes - corner
        if (recist < -0.5).any() or (recist > CROP - 0.5).any():  # the border pixels' outer edges
            raise DataError(
                f"{path}: the RECIST mark (row, column {axes.reshape(-1, 2).tolist()}) does not fit into a crop of "
                f"{CROP} x {CROP} pixels of the image of {stored.shape[0]} x {stored.shape[1]}"
            )
        top, left = corner
        hu = stored[top : top + CROP, left : left + CROP].astype(np.float32) - HU_OFFSET
        return self.sample(
            i,
            image=window_hu(hu),
            readers=np.zeros((0, CROP, CROP), bool),
            present=np.zeros(0, bool),
            spacing=(float(row.row_spacing), float(row.column_spacing)),
            recist=recist,
            hu=hu,
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the index, the axes, and the file size and pixel checksum (the last bytes) of each image."""
        parts: list[str | bytes] = [self.index.to_csv(index=False), self._axes.tobytes()]
        for file in sorted(set(self.index["file"])):
            path = self.path / "Images_png" / file
            try:
                with path.open("rb") as stream:
                    size = stream.seek(0, io.SEEK_END)
                    stream.seek(max(0, size - _CHECKSUM_BYTES))
                    parts += [file, str(size), stream.read()]
            except OSError as error:
                raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        return sha256_of(*parts)


def parse_table(path: Path) -> tuple[pd.DataFrame, list[tuple[str, str]], dict[str, int]]:
    """Read the usable lung lesions of a DeepLesion table (``DL_info.csv``, or one split of it).

    Returns:
        ``(lesions, bad_lines, counts)``: a row per lesion, sorted by file and position in the table; ``(line, why)``
        for each line that cannot be used; and the numbers of ``rows``, lesions of ``unknown`` type and ``noisy`` lung
        lesions.

    Raises:
        DataError: when the table is missing, is not a CSV file, or has a missing column.
    """
    counts = {"rows": 0, "unknown": 0, "noisy": 0}
    rows, bad_lines = [], []
    last_numbers: dict[str, int] = {}
    table = csv.DictReader(io.StringIO(read_text(path, _REMEDY), newline=""), strict=True)
    try:
        missing_columns = [column for column in COLUMNS if column not in (table.fieldnames or ())]
        if missing_columns:
            raise DataError(f"{path}: lacks the columns {', '.join(missing_columns)}; {_REMEDY}")
        for entry in table:
            counts["rows"] += 1
            try:
                if None in entry or None in entry.values():
                    raise ValueError("has more or fewer fields than the heading")
                number = last_numbers[entry["File_name"]] = last_numbers.get(entry["File_name"], -1) + 1
                kind, noisy = entry["Coarse_lesion_type"].strip(), entry["Possibly_noisy"].strip()
                if not (re.fullmatch("-?[0-9]{1,9}", kind) and noisy in ("0", "1")):
                    raise ValueError(f"Coarse_lesion_type {kind!r} or Possibly_noisy {noisy!r} is not a type or a flag")
                counts["unknown"] += int(kind) == -1
                counts["noisy"] += int(kind) == LUNG and noisy == "1"
                if int(kind) == LUNG and noisy == "0":
                    rows.append(_lesion(entry, number))
            except ValueError as error:
                bad_lines.append((f"{path.name}, line {table.line_num} ({entry['File_name']})", str(error)))
    except csv.Error as error:
        raise DataError(f"{path}: cannot be read as a table ({error}); {_REMEDY}") from error
    columns = ["patient", "nodule", "slice", "n_readers", "area", "long_axis"]
    lesions = pd.DataFrame(rows, columns=[*columns, "file", "row_spacing", "column_spacing", "axes"])
    return lesions.sort_values(["file", "nodule"], kind="stable", ignore_index=True), bad_lines, counts


def _lesion(entry: dict[str, str], place: int) -> tuple:
    """Return one row of the index from one row of the table. Raises ValueError for an unusable field."""
    match = re.fullmatch(r"([0-9]+)_([0-9]+)_([0-9]+)_([0-9]+)\.png", entry["File_name"])
    if match is None:
        raise ValueError(f"file name {entry['File_name']!r} is not <patient>_<study>_<series>_<slice>.png")
    patient, study, series, key_slice = match.groups()
    axes = _numbers(entry, "Measurement_coordinates", 8).reshape(2, 2, 2)[:, :, ::-1]  # x, y -> row, column
    lengths = np.hypot(*np.moveaxis(axes[:, 1] - axes[:, 0], -1, 0))
    spacing = _numbers(entry, "Spacing_mm_px_", 3)
    if not (lengths > 0).all() or not (spacing > 0).all():
        raise ValueError(
            f"RECIST axes ({lengths.tolist()} pixels) and spacing ({spacing.tolist()} mm) must be positive"
        )
    file = f"{patient}_{study}_{series}/{key_slice}.png"
    area, long_axis = float(np.pi / 4 * lengths.prod()), float(lengths.max())
    axes = np.ascontiguousarray(axes[np.argsort(-lengths, kind="stable")])
    nodule = f"{study}_{series}_{key_slice}-{place}"
    return patient, nodule, key_slice, 0, area, long_axis, file, spacing[1], spacing[0], axes


def _numbers(entry: dict[str, str], column: str, count: int) -> np.ndarray:
    try:
        values = np.array([float(part) for part in entry[column].split(",")])
    except ValueError:
        values = np.zeros(0)
    if values.size != count or not np.isfinite(values).all():
        raise ValueError(f"{column} {entry[column]!r} are not {count} finite numbers")
    return values
