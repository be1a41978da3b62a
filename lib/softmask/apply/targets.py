"""Files in the place of results: those that softmask wrote may be replaced, and no others.

A kill may end a call before its manifest lists what was written, and ``softmask segment`` beside an image and
``softmask lungs`` keep none. So all results say that softmask wrote them: PNG as Software, NIfTI in its description,
nrrd in a key, DICOM as Manufacturer.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from softmask.data.dicom import dcmread
from softmask.errors import DataError

if TYPE_CHECKING:
    import SimpleITK

WRITER = "softmask"

_DESCRIPTION = slice(148, 228)  # bytes of it in a NIfTI header
_START = 1 << 16  # bytes of a file that are looked at
_NOTES = "ITK_FileNotes"  # which ITK writes as NIfTI's description


def signed(volume: SimpleITK.Image) -> SimpleITK.Image:
    """Return the volume, which then says in NIfTI and nrrd that softmask wrote it."""
    volume.SetMetaData(_NOTES, WRITER)
    return volume


def is_ours(path: Path) -> bool:
    """Return whether a file says that softmask wrote it."""
    name, writer = path.name.lower(), WRITER.encode()
    try:
        if name.endswith(".dcm"):
            return str(dcmread(path, stop_before_pixels=True, specific_tags=["Manufacturer"]).Manufacturer) == WRITER
        with path.open("rb") as file:
            if name.endswith(".nii.gz"):
                return gzip.GzipFile(fileobj=file).read(_DESCRIPTION.stop)[_DESCRIPTION].rstrip(b"\0") == writer
            start = file.read(_START)
    except (OSError, EOFError, zlib.error, DataError, AttributeError):
        return False
    return b"tEXtSoftware\0" + writer in start or b"\n%s:=%s\n" % (_NOTES.encode(), writer) in start


def need_ours(paths: Iterable[Path], options: str = "--out") -> None:
    """Raise DataError where one of the files is there and is not of softmask; ``options`` lead elsewhere."""
    if theirs := sorted(path for path in paths if path.is_file() and not is_ours(path)):
        why = f"would be overwritten, and softmask did not write it; move it away, or choose another {options}"
        raise DataError(f"{theirs[0]}: {why}")
