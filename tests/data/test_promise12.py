from __future__ import annotations

import re

import numpy as np
import pytest

from softmask.data.promise12 import Promise12, normalise
from softmask.errors import DataError

RNG = np.random.default_rng(4)
SHAPE = (6, 20, 16)  # slices, rows, columns
TYPES = {"int16": "MET_SHORT", "int8": "MET_CHAR"}


def header(array, data_file, **changes):
    """The text the challenge's files have."""
    fields = {
        "ObjectType": "Image",
        "NDims": 3,
        "BinaryData": True,
        "BinaryDataByteOrderMSB": False,
        "CompressedData": False,
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "-1 -2 -3",
        "AnatomicalOrientation": "RAI",
        "ElementSpacing": "0.625 0.5 3.6",
        "DimSize": " ".join(map(str, array.shape[::-1])),
        "ElementType": TYPES[array.dtype.name],
        "ElementDataFile": data_file,
    } | changes
    order = sorted(fields, key=lambda key: key == "ElementDataFile")  # it must stand last
    return "".join(f"{key} = {fields[key]}\n" for key in order)


def write_volume(folder, stem, array, **changes):
    (folder / f"{stem}.mhd").write_text(header(array, f"{stem}.raw", **changes))
    (folder / f"{stem}.raw").write_bytes(array.tobytes())


def write_case(folder, number=0, slices=(2, 3)):
    folder.mkdir(exist_ok=True, parents=True)
    image = RNG.integers(0, 2000, SHAPE, dtype=np.int16)
    mask = np.zeros(SHAPE, np.int8)
    for z in slices:
        mask[z, 5 : 8 + z, 4:12] = 1
    write_volume(folder, f"Case{number:02d}", image)
    write_volume(folder, f"Case{number:02d}_segmentation", mask)
    return image, mask


def test_slices_with_prostate_are_samples(tmp_path):
    image, mask = write_case(tmp_path, 7)
    dataset = Promise12(tmp_path)
    assert dataset.index.to_dict("list") == {
        "patient": ["Case07"] * 2,
        "nodule": ["prostate"] * 2,
        "slice": ["002", "003"],
        "n_readers": [1, 1],
        "area": [40, 48],
    }
    sample = dataset[1]
    low, high = np.percentile(image, (1, 99))
    np.testing.assert_allclose(sample.image, np.clip((image[3] - low) / (high - low), 0, 1), atol=1e-5)
    np.testing.assert_array_equal(sample.readers, mask[3:4] == 1)
    assert sample.spacing == (0.5, 0.625)
    assert sample.id == "promise12/Case07/prostate/003"
    assert dataset.problems == []


def test_test_cases_with_a_segmentation_are_patients_of_their_own(tmp_path):
    for number in (0, 1):
        write_case(tmp_path / "training", number)
    (tmp_path / "test").mkdir()
    write_volume(tmp_path / "test", "Case00", np.ones(SHAPE, np.int16))  # without one, the training case is used
    before = Promise12(tmp_path)
    assert before.index["patient"].unique().tolist() == ["Case00", "Case01"]
    assert before.origin == "PROMISE12 training cases (promise12)"
    image, _ = write_case(tmp_path / "test", 0)
    write_case(tmp_path / "livechallenge_Test_data", 7)
    dataset = Promise12(tmp_path)
    assert dataset.index["patient"].unique().tolist() == ["Case00", "Case01", "test-Case00", "test-Case07"]
    assert before.problems == dataset.problems == []
    assert dataset.origin == "PROMISE12 training and test cases (promise12)"
    assert dataset.fingerprint != before.fingerprint
    tested = dataset[int(np.flatnonzero(dataset.index["patient"] == "test-Case00")[0])]
    np.testing.assert_array_equal(tested.image, normalise(image, "")[2])


def test_the_same_case_twice_and_a_segmentation_without_an_image_are_listed(tmp_path):
    for folder, number in (("a", 3), ("b", 3), ("a", 4), ("a", 5)):
        write_case(tmp_path / folder, number)
    (tmp_path / "a/Case05.mhd").unlink()
    dataset = Promise12(tmp_path)
    assert dataset.index["patient"].unique().tolist() == ["Case04"]
    assert [problem.why.rpartition("/")[2] for problem in dataset.problems] == [
        "its image is not there; left out",
        "Case03.mhd; keep one of them",
    ]


HEADERS = {
    "many digits": {"DimSize": "9" * 5000 + " 1 1"},
    "zero": {"DimSize": "16 0 6"},
    "negative": {"DimSize": "16 -20 6"},
    "2D": {"NDims": "2", "DimSize": "16 20"},
    "absolute": {"ElementDataFile": "/etc/passwd"},
    "windows": {"ElementDataFile": r"..\secret.raw"},
    "local": {"ElementDataFile": "LOCAL"},
    "list": {"ElementDataFile": "LIST"},
    "pattern": {"ElementDataFile": "slice%03d.raw"},
    "header size": {"HeaderSize": "-1"},
    "colour": {"ElementNumberOfChannels": "3"},
    "type": {"ElementType": "MET_NOISE"},
    "twice": {"DimSize ": "99999 99999 99999"},
    "colon": {"DimSize: 99999 99999 99999\nx": "1"},
}


def spoil(folder, kind):
    """Damage Case01 and return what the message must say."""
    image, mask = folder / "Case01", folder / "Case01_segmentation"
    if kind in HEADERS:
        image.with_suffix(".mhd").write_text(header(np.zeros(SHAPE, np.int16), "Case01.raw", **HEADERS[kind]))
        if kind in ("twice", "colon"):
            return r"Case01\.mhd: is no MetaImage header, or gives a field twice"
        key, value = next(iter(HEADERS[kind].items()))
        return rf"Case01\.mhd: .*{key} = {re.escape(str(value)[:40])}.* is refused"
    if kind == "no segmentation":
        mask.with_suffix(".mhd").unlink()
        return "Case01_segmentation.mhd is missing from the same folder"
    if kind == "no raw":
        image.with_suffix(".raw").unlink()
        return r"Case01\.raw: there is no such file"
    if kind == "empty segmentation":
        write_volume(folder, mask.name, np.zeros(SHAPE, np.int8))
        return "the segmentation is empty"
    write_volume(folder, mask.name, np.ones((6, 20, 15), np.int8))
    return r"a mask of size \(6, 20, 15\) on an image of size \(6, 20, 16\)"


@pytest.mark.parametrize("kind", ["no segmentation", "no raw", "empty segmentation", "other size", *HEADERS])
def test_a_bad_case_is_left_out_and_listed_and_the_others_are_used(tmp_path, kind):
    folder = tmp_path / "promise12"
    write_case(folder, 0)
    write_case(folder, 1)
    (tmp_path / "secret.raw").write_bytes(bytes(10**4))
    message = spoil(folder, kind)
    dataset = Promise12(folder)
    assert dataset.index["patient"].unique().tolist() == ["Case00"]
    assert [problem.where for problem in dataset.problems] == ["promise12/Case01"]
    assert re.search(message, dataset.problems[0].why)


def test_a_file_that_became_damaged_after_opening_is_listed(tmp_path):
    write_case(tmp_path, 0)
    write_case(tmp_path, 1)
    dataset = Promise12(tmp_path)
    (tmp_path / "Case00.mhd").write_text("no header any more")
    assert [sample.patient for sample in dataset.samples()] == ["Case01"] * 2
    assert len(dataset.problems) == 2


def test_volumes_of_which_nothing_can_be_used(tmp_path):
    with pytest.raises(DataError, match=r"Case00\.mhd: the image is constant \(5 "):
        normalise(np.full(SHAPE, 5), "Case00.mhd")
    with pytest.raises(DataError, match="NaN"):
        normalise(np.full(SHAPE, np.nan), "Case00.mhd")
    write_case(tmp_path, 0, slices=())
    with pytest.raises(DataError, match=r"no usable case; .*the segmentation is empty"):
        Promise12(tmp_path)


def test_fingerprint_follows_content_not_place_and_notices_one_voxel(tmp_path):
    write_case(tmp_path / "a", 0)
    before = Promise12(tmp_path / "a").fingerprint
    (tmp_path / "a").rename(tmp_path / "b")
    assert Promise12(tmp_path / "b").fingerprint == before
    raw = tmp_path / "b/Case00.raw"
    voxels = bytearray(raw.read_bytes())
    voxels[100] ^= 1
    raw.write_bytes(voxels)
    assert Promise12(tmp_path / "b").fingerprint != before
