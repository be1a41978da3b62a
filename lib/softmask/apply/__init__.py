"""People's own files: soft masks from masks or marks (``softmask label``), and shipped networks that segment images
(``softmask segment``) and find lungs in scans (``softmask lungs``).

A model is a folder, of the package (``shipped``) or anywhere else::

    weights.safetensors  all networks it needs, float16: ``network.*``, and with super-resolution ``sr.*``
    model.json           its description (:class:`~softmask.apply.models.Description`)
    README.md            the same for people: a model card

Nothing in it is executed. :func:`export` writes one from a finished run, :func:`load` reads it.
"""

from __future__ import annotations

from typing import Any

__all__ = ["export", "load"]


def __getattr__(name: str) -> Any:
    if name == "load":  # imported on demand: torch takes its time, and `softmask label` needs none of it
        from softmask.apply.models import load

        return load
    if name == "export":
        from softmask.apply.exporting import export

        return export
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
