"""An image that is to be labelled, opened: its slices, where they lie, and the files that it is in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from softmask.data.ct import Grid, Series, grid_of_file, grid_of_series, one_series
from softmask.data.dicom import is_dicom, read_header
from softmask.data.volume_files import is_volume_file
from softmask.errors import DataError
from softmask.own_images import Grey, OwnImage, ct_slice, find


@dataclass(frozen=True)
class Source:
    """The slices of an image, from the feet up, none of them read yet.

    Attributes:
        path: of the image.
        slices: one, or those of a volume.
        grid: where its voxels lie; None for PNG and TIFF, which do not say.
        series: of DICOM, else None.
    """

    path: Path
    slices: tuple[OwnImage, ...]
    grid: Grid | None = None
    series: Series | None = None

    @property
    def is_volume(self) -> bool:
        """Whether it is a series or volume, and not a file of one slice."""
        return self.path.is_dir() or is_volume_file(self.path)

    @cached_property
    def shape(self) -> tuple[int, int]:
        """(H, W) of every slice. Raises DataError where there is no grid to say so and the image cannot be read."""
        return self.slices[0].read().shape if self.grid is None else self.grid.shape[1:]

    @property
    def files(self) -> tuple[Path, ...]:
        """The files behind it, by position."""
        return (self.path,) if self.series is None else tuple(ct.path for ct in self.series.slices)

    def place_of(self, uid: str) -> int:
        """Number of the slice with this SOPInstanceUID. Raises DataError where there is none."""
        uids = [ct.uid for ct in self.series.slices] if self.series else []
        if uid not in uids:
            raise DataError(f"the mark was drawn on SOPInstanceUID {uid}, which is not in {self.path}; get that series")
        return uids.index(uid)


def open_image(path: Path, grey: Grey) -> Source:
    """The image at ``path``.

    Raises:
        DataError: as :func:`softmask.own_images.find` and :func:`softmask.data.ct.read_grid`, naming the file.
    """
    if path.is_dir():
        series = one_series(path)
        return Source(
            path, tuple(ct_slice(ct.path, grey) for ct in series.slices), grid_of_series(path, series), series
        )
    slices = tuple(find(path, grey))
    if is_volume_file(path):
        return Source(path, slices, grid_of_file(path))
    header = read_header(path) if is_dicom(path) else None
    if header is None:  # PNG, TIFF, or DICOM of another kind, of which reading it tells
        return Source(path, slices)
    series = Series(header.series_uid, header.patient, (header,))
    return Source(path, slices, grid_of_series(path, series), series)
