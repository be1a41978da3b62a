"""Files with changed bytes, cut anywhere: read as something, or the project's own error; nothing else."""

from __future__ import annotations

import signal
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from softmask.errors import SoftmaskError

# fmt: off
FORMATS = (
    "png", "tiff", "nifti", "nifti-gz", "nrrd", "own-nifti", "dicom-ct", "dicom-seg", "rtstruct", "lidc-xml", "zip",
    "sqlite", "deeplesion-csv", "mhd", "isbi-tiff", "lungs-image", "lungs-mask", "flags-csv", "record-json",
    "table-csv", "claims-json", "state-json", "notebook",
)  # a model's two files are told by their digest and by their fields: any change is one of the kinds of bad input
# fmt: on
HEADER = 512  # where the sizes stand, in most formats


def _too_long(*_: object) -> None:
    raise TimeoutError("still reading after 30 s")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_is_read_or_named(name: str, formats, tmp_path_factory, data):
    path = formats[name].write(tmp_path_factory.mktemp("in"))
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        last = len(whole) - 1 if data.draw(st.booleans()) else min(HEADER, len(whole) - 1)
        whole[data.draw(st.integers(0, last))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.sampled_from([len(whole), len(whole) // 2, len(whole) - 3]))])
    before = signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(30)
    try:
        with suppress(SoftmaskError):
            formats[name].read(path)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
