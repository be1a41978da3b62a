"""Files with changed bytes, cut anywhere: read as something, or the project's own error; nothing else."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from softmask.errors import SoftmaskError

HEADER = 512  # where the sizes stand, in most formats


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_is_read_or_named(format, limit, tmp_path_factory, data):
    path = format.write(tmp_path_factory.mktemp("in"))
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        last = len(whole) - 1 if data.draw(st.booleans()) else min(HEADER, len(whole) - 1)
        whole[data.draw(st.integers(0, last))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.sampled_from([len(whole), len(whole) // 2, len(whole) - 3]))])
    with limit(), suppress(SoftmaskError):
        format.read(path)
