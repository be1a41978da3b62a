"""Words for the images of a data set: real, real in place of those that a paper used, or simulated."""

from __future__ import annotations

from collections.abc import Mapping

SUBSTITUTE = "substitute"

IN_PLACE = "; in place of DeepLesion"
"""End of the origin of ``lnsm`` where LIDC patients stand for DeepLesion's, with RECIST axes measured on the outline of
one reader."""

WORDS: Mapping[str, str] = {"real": "real", SUBSTITUTE: "real, substitute", "embedded": "simulated"}
"""By kind of data."""


def data_kind(dataset: str, source: str, origin: str = "") -> str:
    """Return the kind of data, a key of :data:`WORDS`: ``substitute`` for real images in place of another data set.

    Args:
        dataset: name of the data set, such as ``lnsm``.
        source: ``real`` or ``embedded``; or a kind, which is returned as it is.
        origin: :attr:`softmask.data.sample.Dataset.origin`, as records keep it.
    """
    if dataset == "lungs-2d" or (dataset == "lnsm" and source == "real" and IN_PLACE in origin):
        return SUBSTITUTE
    return source


def data_words(dataset: str, source: str, origin: str = "") -> str:
    """Return ``real``, ``real, substitute`` or ``simulated``. Args as :func:`data_kind`."""
    return WORDS[data_kind(dataset, source, origin)]
