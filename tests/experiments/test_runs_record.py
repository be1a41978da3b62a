import base64
import json
import lzma
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softmask.errors import DataError
from softmask.experiments.store import MOST_PIXELS, Provenance, Record, WeightsFile, significant
from softmask.measure.soft import Calibration

NUMBERS = st.floats(width=64)  # NaN and infinities, too


def make(spec, values, image=None) -> Record:
    ids = tuple(f"lidc/p{i}/n0/s{i}" for i in range(len(values)))
    numbers = np.array(values, float)
    return Record(
        spec=spec,
        ids=ids,
        groups=tuple(f"p{i}" for i in range(len(values))),
        measures={"dice": numbers, "hd95": values[::-1]},
        curves={"train_loss": [1.0, 1 / 3]},
        best_epoch=2,
        n_parameters=123,
        calibration=Calibration(np.array([3, 0]), np.array([0.25, np.nan]), np.array([1 / 3, np.nan]), 1 / 3),
        predictions={} if image is None else {ids[0]: image},
        provenance=Provenance(
            data="d", numerics=1, origin="blobs", weights=WeightsFile(5, "ab"), seconds=1.5, device="cpu", cpu="a cpu",
            packages={"torch": "2", "monai": None}, commit=None, dirty=None,
        ),
    )  # fmt: skip


@settings(max_examples=25)  # packing images takes most of the time
@given(st.lists(NUMBERS, min_size=1, max_size=5), st.binary(min_size=256, max_size=256))
def test_json_round_trip(tiny, tmp_path_factory, values, pixels):
    record = make(tiny(), values, np.frombuffer(pixels, np.uint8).reshape(16, 16))
    text, path = record.to_json(), tmp_path_factory.getbasetemp() / "record.json"
    path.write_text(text)
    again = Record.read(path)
    assert again.to_json() == text
    assert again.spec == record.spec
    np.testing.assert_equal(again.measures, record.measures)
    np.testing.assert_equal(vars(again.calibration), vars(record.calibration))
    np.testing.assert_array_equal(again.predictions[again.ids[0]], record.predictions[record.ids[0]])
    assert json.loads(text, parse_constant=pytest.fail)["measures"].keys() == {"dice", "hd95"}  # no NaN as JSON


@given(NUMBERS)
def test_numbers_are_rounded_once_and_for_all(value):
    rounded = significant(value)
    assert significant(rounded) == rounded or math.isnan(value)
    if math.isfinite(rounded):  # the largest floats round to infinity
        assert math.isclose(rounded, value, rel_tol=5.1e-5, abs_tol=1e-320)


def packed(n: int) -> str:
    return base64.b64encode(lzma.compress(n * b"1")).decode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("predictions"), "predictions: is missing"),
        (lambda c: c["measures"].update(dice=[0.5]), "dice: 1 values for 2 test images"),
        (lambda c: c["measures"].update(dice=[0.5, "much"]), r"measures: dice\[1\]: 'much' is no float"),
        (lambda c: c["measures"].update(dice=None), "measures: dice: 'None' is no tuple"),
        (lambda c: c["groups"].pop(), "groups: 1 values"),
        (lambda c: c["spec"].update(network="gone"), "spec: unknown network 'gone'"),
        (lambda c: c["predictions"].update(pixels="!"), "predictions: pixels: no packed images"),
        (lambda c: c["predictions"].update(pixels=3), "predictions: pixels: no packed images"),
        (
            lambda c: c["predictions"].update(ids=["a"], pixels=packed(255)),
            "predictions: pixels: are not 1 images",
        ),
        (
            lambda c: c["predictions"].update(ids=["a"], pixels=packed(10**7)),
            "predictions: pixels: are not 1 im",
        ),
        (lambda c: c["predictions"].update(ids=["a", "a"]), "predictions: ids: no list of distinct"),
        (lambda c: c["predictions"].update(ids=[3]), "predictions: ids: no list of distinct"),
        (
            lambda c: c["predictions"].update(ids=list(map(str, range(MOST_PIXELS // 16**2 + 1)))),
            "predictions: ids: .* too many",
        ),
    ],
)
def test_reading_is_strict_and_names_file_and_field(tiny, tmp_path, change, message):
    content = json.loads(make(tiny(), [0.5, 0.6]).to_json())
    change(content)
    path = tmp_path / "r.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=f"^{path}: {message}.*; delete it, and its run is trained again"):
        Record.read(path)
