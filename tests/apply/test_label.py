"""``softmask label`` from files to files: kinds of images and masks, many at once, interruptions and full disks."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import SimpleITK
from PIL import Image

from softmask.apply import label as labelling
from softmask.apply.outputs import OUTLINE
from softmask.label import SoftMask, soft_mask

RECIST = [f"{letter}{end}" for end in range(4) for letter in "rc"]
PICTURES = ("mask", "overlay", "soft", "trimap")


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def many(made, tmp_path):
    """A list of ``n`` images with their RECIST ends; the images at the places of ``bad`` are cut short."""

    def write(n: int, bad=()):
        rows = []
        for i in range(n):
            path = made.save(tmp_path / "in" / f"n{i:03d}.png", made.grey(i))
            if i in bad:
                path.write_bytes(path.read_bytes()[:-30])
            rows.append([f"in/{path.name}", *made.ends()])
        return made.write_list(tmp_path / "list.csv", ["image", *RECIST], rows)

    return write


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_a_picture_and_its_mask(label, made, tmp_path, ending):
    stored, mask = made.grey(), made.disc()
    image = made.save(tmp_path / f"a.{ending}", stored)
    assert label(image, "--mask", made.save(tmp_path / f"m.{ending}", mask)) == 0
    out = tmp_path / "out"
    assert files(out) == [*(f"a-{kind}.png" for kind in PICTURES), "manifest.csv"]
    expected = soft_mask(stored.astype(np.float32) / 255, mask=mask)
    np.testing.assert_allclose(made.soft(out / "a-soft.png"), expected.alpha, atol=1 / 65535)
    np.testing.assert_array_equal(np.asarray(Image.open(out / "a-mask.png")) > 0, expected.binary)
    trimap = np.asarray(Image.open(out / "a-trimap.png"))
    np.testing.assert_array_equal(trimap, np.choose((expected.trimap * 2).astype(int), [0, 128, 255]))
    overlay = np.asarray(Image.open(out / "a-overlay.png"))
    assert max(overlay.shape) >= 512
    assert (overlay == OUTLINE).all(axis=-1).any()
    row = made.read_manifest(out)["a"]
    assert (row["label"], row["rows"], row["columns"], row["status"]) == ("mask", "40", "48", "done")
    assert float(row["soft_area_px"]) == pytest.approx(expected.alpha.sum(), abs=1e-3)
    assert int(row["mask_area_px"]) == expected.binary.sum()
    digest, of, size = row["digest"].split("-")
    assert (len(digest), len(of)) == (64, 16)
    assert int(size) == sum((out / name).stat().st_size for name in files(out) if name.endswith(".png"))


def test_readers_and_recist(label, image, made, tmp_path):
    discs = np.stack([made.disc(radius=radius) for radius in (6, 7, 8)])
    readers = [made.save(tmp_path / f"{i}.png", mask.astype(np.uint8)) for i, mask in enumerate(discs)]  # 0 and 1
    grey = made.grey().astype(np.float32) / 255
    assert label(image, "--readers", *readers, "--name", "readers") == 0
    assert label(image, "--recist", *made.ends(), "--name", "recist") == 0
    swapped = np.reshape(made.ends(), (4, 2))[:, ::-1].ravel()
    assert label(image, "--recist", *swapped, "--order", "xy", "--name", "xy") == 0
    out = tmp_path / "out"
    axes = np.reshape(made.ends(), (2, 2, 2))
    for name, prior in (("readers", {"readers": discs}), ("recist", {"recist": axes}), ("xy", {"recist": axes})):
        expected = soft_mask(grey, **prior).alpha
        np.testing.assert_allclose(made.soft(out / f"{name}-soft.png"), expected, atol=1 / 65535)
    assert list(made.read_manifest(out)) == ["xy", "recist", "readers"]  # the last call's first


@pytest.mark.parametrize("kind", ["nii.gz", "nrrd", "turned", "seg"])
def test_a_series_and_its_mask_of_any_kind(label, made, ct, tmp_path, kind):
    mask = made.volume_mask()
    if kind == "seg":
        assert label(ct, "--mask", made.write_volume(tmp_path / "m.nrrd", mask), "--name", "first") == 0
        path = tmp_path / "out" / "first-soft.dcm"
        mask = made.voxels(path)[::-1] >= 127.5
        mask = np.pad(mask, ((1, 1), (0, 0), (0, 0)))  # frames are of slices 1 to 3
    else:
        name, letters = ("m.nii.gz", "RSA") if kind == "turned" else (f"m.{kind}", "LPS")
        path = made.write_volume(tmp_path / name, mask, letters)
    assert label(ct, "--mask", path, "--format", "png", "nifti") == 0
    alpha = made.voxels(tmp_path / "out" / "case-1-soft.nii.gz")
    for z in range(5):
        grey = np.clip((made.hu()[z].astype(np.float32) + 1000) / 1400, 0, 1)
        expected = soft_mask(grey, mask=mask[z]).alpha if mask[z].any() else np.zeros(made.size)
        np.testing.assert_allclose(alpha[z], expected, atol=1e-6)
    assert made.read_manifest(tmp_path / "out")["case-1"]["slices"] == "1 2 3"


@pytest.mark.parametrize("letters", ["LPS", "RAS"])
def test_a_volume_file_keeps_its_own_axes(label, made, tmp_path, letters):
    image = made.write_volume(tmp_path / "ct.nii.gz", made.hu(), letters)
    mask = made.write_volume(tmp_path / "mask.nrrd", made.volume_mask())
    assert label(image, "--mask", mask, "--slice", 2) == 0
    pictures = [f"ct/002-{kind}.png" for kind in PICTURES]
    assert files(tmp_path / "out") == ["ct-mask.nii.gz", "ct-soft.nii.gz", *pictures, "manifest.csv"]
    scan, written = (SimpleITK.ReadImage(str(path)) for path in (image, tmp_path / "out" / "ct-soft.nii.gz"))
    for name in ("Size", "Origin", "Spacing", "Direction"):
        np.testing.assert_allclose(getattr(scan, f"Get{name}")(), getattr(written, f"Get{name}")(), atol=1e-5)
    array = SimpleITK.GetArrayFromImage(SimpleITK.DICOMOrient(written, "LPS"))
    assert np.flatnonzero(array.any(axis=(1, 2))).tolist() == [2]


def test_a_dicom_file_and_millimetres(label, made, ct, tmp_path):
    path = ct / "0003.dcm"
    mm = [
        made.origin[axis] + made.spacing[2 - axis] * value
        for row, column in np.reshape(made.ends(), (4, 2))
        for axis, value in ((0, column), (1, row))
    ]
    assert label(path, "--recist", *mm, "--order", "xy", "--units", "mm", "--name", "mm") == 0
    assert label(path, "--recist", *made.ends(), "--name", "px") == 0
    out = tmp_path / "out"
    assert {"px-soft.dcm", "px-soft.nii.gz", "px-soft.png"} <= {*files(out)}
    np.testing.assert_allclose(made.soft(out / "mm-soft.png"), made.soft(out / "px-soft.png"), atol=2e-3)
    z = SimpleITK.ReadImage(str(out / "px-soft.nii.gz")).GetOrigin()[2]
    assert z == pytest.approx(made.origin[2] + 2 * made.spacing[0])


@pytest.mark.parametrize("jobs", [1, 2])
def test_bad_files_and_lines_among_many(label, many, made, tmp_path, capsys, jobs):
    path = many(12, bad=(7,))
    with path.open("a") as file:
        file.write("in/n000.png,1\n")
    assert label("--list", path, jobs=jobs) == 1
    captured = capsys.readouterr()
    line, file = [line for line in captured.err.replace("\r", "\n").splitlines() if line.startswith("softmask: ")]
    assert f"{path}, line 9: {tmp_path / 'in' / 'n007.png'}: truncated" in file
    assert f"{path}, line 14: 2 cells where 9" in line
    assert captured.out.startswith("11 labelled, 0 done before, 2 failed")
    rows = made.read_manifest(tmp_path / "out")
    assert list(rows) == [f"{path}, line 14", *(f"n{i:03d}" for i in range(12))]
    assert "truncated" in rows["n007"]["message"]
    assert len(files(tmp_path / "out")) == 4 * 11 + 1
    many(2)
    assert label("--list", path, jobs=jobs) == 0
    rows = made.read_manifest(tmp_path / "out")
    assert [name for name, row in rows.items() if row["status"] == "failed"] == ["n007"]  # and no line of a list


def test_finished_images_are_skipped(label, many, made, tmp_path, capsys):
    path, out = many(4, bad=(2,)), tmp_path / "out"

    def printed():
        return capsys.readouterr().out.partition(";")[0]

    assert label("--list", path) == 1
    before = (out / "n001-soft.png").stat().st_mtime_ns
    printed()
    made.save(tmp_path / "in" / "n002.png", made.grey(2))
    assert label("--list", path) == 0
    assert printed() == "1 labelled, 3 done before, 0 failed"
    assert (out / "n001-soft.png").stat().st_mtime_ns == before
    (out / "n000-trimap.png").unlink()  # a file is gone
    made.save(tmp_path / "in" / "n003.png", made.grey(99))  # another image
    assert label("--list", path) == 0
    assert printed() == "2 labelled, 2 done before, 0 failed"
    assert label("--list", path, "--epsilon", "1e-5") == 0
    assert printed() == "4 labelled, 0 done before, 0 failed"


def test_older_files_of_an_item_go_and_no_others(label, made, ct, tmp_path):
    out = tmp_path / "out"
    mask = made.volume_mask()
    assert label(ct, "--mask", made.write_volume(tmp_path / "m.nrrd", mask)) == 0
    for folder in (out, out / "case-1"):
        (folder / "notes.txt").write_text("the user's")
    mask[3] = False
    assert label(ct, "--mask", made.write_volume(tmp_path / "m.nrrd", mask), "--format", "png") == 0
    kept = [f"case-1/{z:03d}-{kind}.png" for z in (1, 2) for kind in PICTURES]
    assert files(out) == [*kept, "case-1/notes.txt", "manifest.csv", "notes.txt"]


def test_a_failed_row_stays_until_its_name_succeeds(label, image, made, tmp_path, capsys):
    good, lost = image, tmp_path / "lost.png"
    assert label(lost, "--recist", *made.ends()) == 1
    assert label(good, "--recist", *made.ends(), "--name", "other") == 0
    assert "other" not in capsys.readouterr().err
    rows = made.read_manifest(tmp_path / "out")
    assert {name: row["status"] for name, row in rows.items()} == {"lost": "failed", "other": "done"}
    made.save(lost, made.grey())
    assert label(lost, "--recist", *made.ends()) == 0
    assert {row["status"] for row in made.read_manifest(tmp_path / "out").values()} == {"done"}


def test_sizes_are_said_beside_those_of_the_mark(label, ct, image, made, capsys):
    assert label(ct, "--recist", *made.ends((19, 23)), "--slice", 2, "--format", "png") == 0
    said = capsys.readouterr().out
    assert "slice 2, long x short axis " in said
    assert " mm (of the mark 11.200 x 9.800), area " in said
    assert label(image, "--recist", *made.ends()) == 0
    assert " pixels of lesion" in capsys.readouterr().out


def test_the_long_axis_is_that_in_mm(label, made, tmp_path):
    volume = made.write_volume(tmp_path / "a.nii.gz", made.hu().astype(np.int16), spacing=(2.5, 0.4, 1.6))
    row, column = 19, 23
    ends = (row - 7, column, row + 7, column, row, column - 6, row, column + 6)  # 14 pixels of 0.4 mm, 12 of 1.6 mm
    assert label(volume, "--recist", *ends, "--slice", 2, "--format", "png") == 0
    result = made.read_manifest(tmp_path / "out")["a"]
    assert (result["mark_long_mm"], result["mark_short_mm"], result["message"]) == ("19.200", "5.600", "")


def test_a_volume_that_is_stored_turned_is_remarked(label, made, tmp_path):
    for letters in ("LPS", "RAS"):
        volume = made.write_volume(tmp_path / f"{letters}.nii.gz", made.hu().astype(np.int16), letters)
        assert label(volume, "--recist", *made.ends((19, 23)), "--slice", 2, "--format", "png") == 0
    rows = made.read_manifest(tmp_path / "out")
    assert rows["LPS"]["message"] == ""
    assert "RAS.nii.gz is stored as RAS; here rows count from the patient's front" in rows["RAS"]["message"]
    assert rows["LPS"]["soft_area_px"] == rows["RAS"]["soft_area_px"]


def test_a_kill_loses_nothing_that_was_written(many, made, tmp_path, label):
    path, out = many(100), tmp_path / "out"
    code = "import sys; from softmask.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "label", "--list", str(path), "--out", str(out), "--jobs", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (out / "n003-soft.png").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    made.read_manifest(out)
    for name in files(out):
        if name.endswith("-soft.png"):
            made.soft(out / name)  # whole
    short = made.write_list(tmp_path / "short.csv", ["image", *RECIST], [["in/n000.png", *made.ends()]])
    assert label("--list", short) == 0
    assert made.read_manifest(out)["n000"]["status"] == "done"


def test_slices_of_a_killed_call_do_not_stay(label, ct, made, tmp_path, capsys):
    mask, out = made.write_volume(tmp_path / "m.nrrd", made.volume_mask()), tmp_path / "out"
    assert label(ct, "--mask", mask, "--format", "png", "nifti") == 0
    (out / "manifest.csv").unlink()  # as of a kill before it was written
    (out / "case-1" / "notes.png").write_text("the user's")
    capsys.readouterr()
    assert label(ct, "--recist", *made.ends((19, 23)), "--slice", 2, "--format", "png") == 0
    assert "replaces an earlier or interrupted result named case-1" in capsys.readouterr().err
    drawn = [f"case-1/002-{kind}.png" for kind in PICTURES]
    assert files(out) == [*drawn, "case-1/notes.png", "manifest.csv"]


def test_an_interrupt_keeps_the_manifest_and_exits_130(label, many, made, tmp_path, monkeypatch, capsys):
    path, done = many(5), []

    def interrupted(*arguments, **options):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(arguments)
        return write(*arguments, **options)

    write = labelling.pictures
    monkeypatch.setattr(labelling, "pictures", interrupted)
    assert label("--list", path) == 130
    assert "interrupted" in capsys.readouterr().err
    assert list(made.read_manifest(tmp_path / "out")) == ["n000", "n001"]
    monkeypatch.undo()
    assert label("--list", path) == 0
    assert "3 labelled, 2 done before" in capsys.readouterr().out


@pytest.mark.parametrize("space", [0, 10])
def test_a_full_disk_ends_the_work(label, many, made, tmp_path, monkeypatch, capsys, space):
    path, write, written = many(6), os.replace, []

    def full(source, target):
        if space == 0 or str(target).endswith(".png"):
            written.append(target)
            if len(written) > space:
                raise OSError(28, "No space left on device")
        return write(source, target)

    monkeypatch.setattr("os.replace", full)
    assert label("--list", path) == 2
    stderr = capsys.readouterr().err.replace("\r", "\n")
    assert stderr.count(f"{tmp_path / 'out'}: cannot be written to (No space left on device)") == 1
    assert "The same command then goes on" in stderr
    assert not [name for name in files(tmp_path / "out") if name.endswith("part")]
    assert list(made.read_manifest(tmp_path / "out") if space else ()) == ["n000", "n001"][: 2 * bool(space)]
    monkeypatch.undo()
    assert label("--list", path) == 0
    assert ("4 labelled, 2 done before" if space else "6 labelled, 0 done") in capsys.readouterr().out


@pytest.mark.parametrize("content", ["name,age\na,3\n", "", b"\xff\xfe", "name\n" + '"'])
def test_another_manifest_is_left_alone(label, many, tmp_path, capsys, content):
    manifest = tmp_path / "out" / "manifest.csv"
    manifest.parent.mkdir()
    manifest.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = manifest.read_bytes()
    assert label("--list", many(2)) == 2
    assert f"{manifest}: " in (stderr := capsys.readouterr().err)
    assert "move it away, or choose another folder with --out" in stderr
    assert manifest.read_bytes() == before
    assert files(manifest.parent) == ["manifest.csv"]


def test_results_over_each_other_or_over_inputs_are_refused(label, made, tmp_path, capsys):
    first, two = (made.save(tmp_path / name / "a.png", made.grey()) for name in ("x", "y"))
    path = made.write_list(tmp_path / "l.csv", ["image", *RECIST], [[first, *made.ends()], [two, *made.ends()]])
    assert label("--list", path) == 2
    assert "would both write" in capsys.readouterr().err
    mask = made.save(tmp_path / "out" / "a-mask.png", made.disc().astype(np.uint8))
    before = mask.read_bytes()
    assert label(first, "--mask", mask) == 2
    assert f"would write {mask}, which is to be read" in capsys.readouterr().err
    assert mask.read_bytes() == before
    assert files(tmp_path / "out") == ["a-mask.png"]


def test_masks_and_marks_that_do_not_fit_are_named(label, image, made, ct, tmp_path, capsys):
    empty = made.save(tmp_path / "empty.png", np.zeros(made.size, np.uint8))
    soft = made.save(tmp_path / "grey.png", made.grey())
    small = made.save(tmp_path / "small.png", made.disc(size=(40, 40)).astype(np.uint8))
    single = made.save(tmp_path / "single.png", made.disc().astype(np.uint8))
    long = made.write_volume(tmp_path / "long.nrrd", np.repeat(made.volume_mask(), 2, axis=0))
    recist = ["--recist", *made.ends()]
    for path, options, message in (
        (image, ["--mask", small], f"{small}: the mask is 40 x 40 pixels, but {image} is 40 x 48"),
        (image, ["--mask", empty], f"{empty} is empty"),
        (image, ["--mask", soft], f"{soft} must be binary"),
        (image, ["--mask", made.write_volume(tmp_path / "m.nrrd", made.volume_mask())], "must be PNG or TIFF"),
        (image, ["--mask", tmp_path / "none.png"], f"{tmp_path / 'none.png'}: there is no such file"),
        (ct, ["--mask", single], f"{single}: is the mask of one slice, but the scan has 5"),
        (ct, ["--mask", tmp_path], f"{tmp_path}: cannot be read (Is a directory)"),
        (ct, ["--mask", ct / "0001.dcm"], "Modality (0008,0060) = CT; RTSTRUCT or SEG was expected"),
        (ct, ["--mask", long], "resample the mask to the scan"),
        (image, ["--recist", *range(0, 400, 50)], "outside the image of 40 x 48"),
        (image, [*recist, "--order", "xy", "--units", "mm"], "says nothing of mm"),
        (ct, recist, "has 5 slices, 0 to 4; say which one"),
        (ct, [*recist, "--slice", 5], "there is no slice 5"),
        (image, [*recist, "--format", "seg"], "DICOM outputs (seg) belong to a DICOM image"),
    ):
        assert label(path, *options) == 1
        stderr = capsys.readouterr().err
        assert message in stderr
        assert len([line for line in stderr.splitlines() if line.startswith("softmask: ")]) == 1
    assert label(image, "--recist", 12, 23, 26, 23, 13, 21, 25, 25) == 0
    assert "doubtful: the axes meet at" in capsys.readouterr().err
    assert made.read_manifest(tmp_path / "out")["a"]["status"] == "done"


def test_a_picture_as_a_volume_claims_no_place_and_no_size(label, image, made, tmp_path):
    """Voxels of a picture have no mm; a reader takes 1."""
    out = tmp_path / "out"
    assert label(image, "--recist", *made.ends(), "--format", "png", "nifti", "nrrd") == 0
    assert made.read_manifest(out)["a"]["message"] == (
        f"doubtful: {image}: no mm in this file: spacing 1 stands for a pixel"
    )
    header = gzip.decompress((out / "a-soft.nii.gz").read_bytes())[:348]
    assert (header[123], *np.frombuffer(header, "<i2", 2, 252)) == (0, 0, 0)  # units; codes of qform and sform
    assert b"space" not in (out / "a-soft.nrrd").read_bytes().partition(b"\n\n")[0]
    for name in ("a-soft.nii.gz", "a-soft.nrrd"):
        volume = SimpleITK.ReadImage(str(out / name))
        assert volume.GetSpacing() == (1, 1, 1)
        np.testing.assert_allclose(SimpleITK.GetArrayFromImage(volume)[0], made.soft(out / "a-soft.png"), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "name one image, or many"),
        (["a.png", "--list", "l.csv"], "name one image, or many"),
        (["--list", "l.csv", "--mask", "m.png"], "--mask cannot be combined with --list"),
        (["a.png"], "say what to start from"),
        (["a.png", "--mask", "m.png", "--order", "xy"], "--order is an option of --recist"),
        (["a.png", "--recist", *"12345678", "--units", "mm"], "say --order xy"),
        (["--list", "l.csv", "--units", "mm"], "--units cannot be combined with --list, where it is a column"),
        (["--list", "l.csv", "--order", "xy"], "where the columns x and y (x0, y0, ...) say it"),
        (["a.png", "--mask", "m.png", "--epsilon", "0"], "--epsilon must be a number above 0"),
        (["a.png", "--mask", "m.png", "--radius", "0.5"], "--radius must be at least 1 pixel"),
        (["a.png", "--mask", "m.png", "--name", "../b"], "cannot be the name of a file"),
        (["a.png", "--mask", "m.png", "--window", "5", "1"], "a window goes from a lower"),
        (["a.png", "--report", "sr.dcm", "--slice", "1"], "--slice cannot be combined with --report"),
    ],
)
def test_options_that_do_not_fit_exit_2_and_write_nothing(label, tmp_path, capsys, options, message):
    assert label(*options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("centre", "doubted"), [((60, 66), False), ((15, 20), True)])
def test_a_mark_on_mere_noise_is_doubted(label, made, tmp_path, centre, doubted):
    image = made.save(tmp_path / "a.png", made.grey(centre=(60, 66), size=(80, 90)))
    assert label(image, "--recist", *made.ends(centre)) == 0
    doubt = (
        "doubtful: the grey levels in the mark are those around it, so that noise decides: check its place and slice"
    )
    assert (doubt in made.read_manifest(tmp_path / "out")["a"]["message"]) == doubted


@pytest.mark.parametrize(("radius", "doubted"), [(4, True), (6, False), (9, False), (12, True)])
def test_a_mask_much_longer_or_shorter_than_the_mark_is_doubted(
    label, image, made, tmp_path, monkeypatch, radius, doubted
):
    result = made.disc(radius=radius)

    def label_slice(*_, **__):
        return SoftMask(result.astype(np.float32), result.astype(np.float32)), (slice(0, 40), slice(0, 48))

    monkeypatch.setattr(labelling, "label_slice", label_slice)
    assert label(image, "--recist", *made.ends()) == 0
    message = made.read_manifest(tmp_path / "out")["a"]["message"]
    assert ("pixels, and that of the mark 14.0 pixels: check the mark" in message) == doubted
