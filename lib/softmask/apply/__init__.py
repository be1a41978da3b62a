"""Tools for users' files: soft masks from masks or marks (``softmask label``), segmentation of images by networks
(``softmask segment``) and of lungs in scans (``softmask lungs``), export of a data set (``softmask data export``).

A model is a folder, in the package (``shipped``) or anywhere else::

    weights.safetensors  all networks that it needs, float16: ``network.*``, and with super-resolution ``sr.*``
    model.json           its description (:class:`~softmask.apply.models.Description`)
    README.md            its description for readers: a model card

No code in the folder is executed. :func:`export` writes a model from a finished run, :func:`load` reads a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

_MODULES = {"load": "softmask.apply.models", "export": "softmask.apply.exporting"}
__all__ = ["export", "load"]

KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "png": ("soft.png", "mask.png", "trimap.png", "overlay.png"),
    "nifti": ("soft.nii.gz", "mask.nii.gz"),
    "nrrd": ("soft.nrrd", "mask.seg.nrrd"),
    "seg": ("soft.dcm",),
    "seg-binary": ("mask.dcm",),
    "seg-labelmap": ("labelmap.dcm",),
    "map": ("map.dcm",),
    "report": ("report.dcm",),
    "rtstruct": ("rtstruct.dcm",),
})  # fmt: skip
"""File name endings of each output format."""

IN_DICOM = tuple(KINDS)[3:]
SEGS = tuple(KINDS)[3:6]
REFERRED = SEGS[:2]
"""Formats in DICOM; the segmentations among them; those that a report may refer to, because all viewers know them."""


def render(template: str, **values: Any) -> str:
    """Return the text of a template in this folder, filled in with the ``values``."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    options = {"trim_blocks": True, "lstrip_blocks": True, "keep_trailing_newline": True}
    templates = Environment(undefined=StrictUndefined, loader=FileSystemLoader(Path(__file__).parent), **options)
    return templates.get_template(template).render(values)


def __getattr__(name: str) -> Any:
    if name in _MODULES:  # imported on demand: `softmask label` does not need torch
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
