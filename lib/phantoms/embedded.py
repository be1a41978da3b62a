"""What all simulated data sets share: random generators by name, the digest of the code, and the making of samples."""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
from numpy.random import Generator

from softmask.cache import code_digest, digest_of_code
from softmask.data.sample import Dataset, Sample
from softmask.files import sha256_of


def generator(*names: object) -> Generator:
    """Return a generator seeded by the SHA-256 of ``names`` (as text): same names, same draws, on every machine.

    It is named by what it draws for, so that a sample never depends on which others were read before.
    """
    digest = hashlib.sha256("\x1f".join(map(str, names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


@cache
def simulation_digest() -> str:
    """Return the hex digest of all code that decides a simulated image, taken once per process."""
    return sha256_of(code_digest("data"), digest_of_code(Path(__file__).parent))


class Embedded(Dataset):
    """A simulated data set."""

    source = "embedded"

    def __init__(self, name: str, *content: str) -> None:
        """Take the data set's name; its fingerprint is of ``content``, the name and :func:`simulation_digest`."""
        super().__init__()
        self.name = name
        self.fingerprint = sha256_of(*content, name, simulation_digest())

    def sample(self, i: int, image: np.ndarray, readers: np.ndarray, **fields) -> Sample:
        """Return row ``i`` of the index as a sample; all ``readers`` (R, H, W) are present unless ``fields`` differ."""
        row = self.index.iloc[i]
        fields.setdefault("present", np.ones(len(readers), bool))
        names = row.patient, row.nodule, row.slice
        return Sample(self.name, self.source, *names, image=image, readers=readers, **fields)
