"""Trained networks that are shipped with the package, and what applies them to images that nobody has labelled.

A model is a folder, here or anywhere::

    weights.safetensors  all networks it needs, float16: ``network.*``, and with super-resolution ``sr.*``
    model.json           what it is (:class:`Description`)
    README.md            the same for people: a model card

Nothing in it is executed. :func:`export` writes one from a finished run, :func:`load` reads it.
"""

from softmask.models.description import Description
from softmask.models.exporting import export
from softmask.models.model import Model, Segmentation, load, measure, names

__all__ = ["Description", "Model", "Segmentation", "export", "load", "measure", "names"]
