"""What is the same for all images of one call: how they become grey, the matting's parameters, what is written."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from softmask.errors import ConfigError
from softmask.own_images import Grey

FORMATS = ("png", "nifti", "seg")
ORDERS, UNITS = ("rc", "xy"), ("px", "mm")  # of RECIST ends


@dataclass(frozen=True)
class Settings:
    """How to label, and what to write.

    Attributes:
        grey: how values become grey levels in [0, 1].
        epsilon, radius: as in :func:`softmask.label.soft_mask`.
        formats: of :data:`FORMATS`, which must then be possible; None for all that the image's file allows: ``nifti``
            where it places its voxels in mm, ``seg`` where it is DICOM.

    Raises:
        ConfigError: an epsilon that is not above 0, a radius below 1, a format that is not known.
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
        """All of it in a line, as the manifest has it."""
        window = "stretch" if self.grey.stretch else "lung window"
        if self.grey.window is not None:
            window = f"window {self.grey.window[0]:g} {self.grey.window[1]:g}"
        radius = "auto" if self.radius is None else f"{self.radius:g}"
        return f"{window}; epsilon {self.epsilon:g}; radius {radius}; {' '.join(self.formats or ('all formats',))}"
