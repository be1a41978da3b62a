"""What of a library's error reaches people."""

import io

from hypothesis import given
from hypothesis import strategies as st

from softmask.errors import brief, unknown


def test_memory_addresses_line_ends_and_places_in_the_source_go():
    assert brief(ValueError(f"cannot identify image file {io.BytesIO()!r}")) == "cannot identify image file _io.BytesIO"
    assert brief(RuntimeError("in file.hxx:77:\nITK ERROR: Image(0x561bae29f460): broken")) == "Image: broken"


@given(st.text())
def test_always_one_short_line(text):
    said = brief(ValueError(text))
    assert len(said) <= 200
    assert len(said.splitlines()) <= 1


def test_an_unknown_name_comes_with_the_nearest_and_all_known_ones():
    assert str(unknown("row", "softmask", ["unet", "soft_mask"])) == (
        "unknown row 'softmask' (did you mean soft_mask?); choose one of unet, soft_mask"
    )
    assert str(unknown("row", "gan", ["unet"])) == "unknown row 'gan'; choose one of unet"
