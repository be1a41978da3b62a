"""What data is called."""

from __future__ import annotations

import pytest

from softmask.data.words import IN_PLACE, data_kind, data_words


@pytest.mark.parametrize(
    ("dataset", "source", "origin", "words"),
    [
        ("lnsm", "real", "DeepLesion, 1100 lung lesions with RECIST axes", "real"),
        ("lnsm", "real", f"LIDC-IDRI-slices.zip{IN_PLACE}", "real, substitute"),
        ("lnsm", "substitute", "", "real, substitute"),
        ("lidc", "real", "LIDC-IDRI-slices.zip", "real"),
        ("lnsm", "embedded", "simulated CT", "simulated"),
    ],
)
def test_words(dataset: str, source: str, origin: str, words: str) -> None:
    assert data_words(dataset, source, origin) == words
    assert data_words(dataset, data_kind(dataset, source, origin)) == words
