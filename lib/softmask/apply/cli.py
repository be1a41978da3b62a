"""The arguments of ``softmask label``, and the items that they name."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from softmask.apply.images import Grey, stem_of
from softmask.apply.items import COLUMNS_HELP, ORDERS, UNITS, Item, Mark, read_list, read_report
from softmask.data.sample import Problem
from softmask.data.volume_files import name_of
from softmask.errors import ConfigError
from softmask.files import whole_path

_TEXT = (
    "make soft masks from masks, several readers' masks or RECIST marks, by closed-form matting (exit status 1 if any "
    "image could not be done)"
)
_MORE = (
    "Written for each image: NAME-soft.png (16 bit), NAME-mask.png, NAME-trimap.png, NAME-overlay.png, of a volume "
    "NAME/012-soft.png and so on; NAME-soft.nii.gz and NAME-mask.nii.gz; of DICOM NAME-soft.dcm, a FRACTIONAL "
    "segmentation; and manifest.csv, which says what was done to each. The same command again goes on where it was "
    "ended, and passes over what is done."
)
_OF_ONE_IMAGE = ("mask", "readers", "recist", "report", "order", "units", "slice", "name")


def add_label(commands) -> None:
    """Add ``label`` to the commands."""
    label = commands.add_parser("label", help=_TEXT, description=f"{_TEXT}. Not a medical device.", epilog=_MORE)
    label.add_argument(
        "image",
        nargs="?",
        metavar="IMAGE",
        help="grey PNG or TIFF, CT in DICOM (a file, or a folder with one series), NIfTI or nrrd",
    )
    label.add_argument("--list", metavar="CSV", help=f"many images instead; {COLUMNS_HELP}")
    label.add_argument("--out", required=True, metavar="FOLDER", help="where the results go; older ones are replaced")
    prior = label.add_mutually_exclusive_group()
    prior.add_argument(
        "--mask",
        metavar="MASK",
        help="PNG, TIFF, DICOM SEG of one segment, NIfTI or nrrd; of a volume also a folder of PNG or TIFF files whose "
        "names end with the slice's number",
    )
    prior.add_argument("--readers", nargs="+", metavar="MASK", help="the masks of several readers, each as --mask")
    prior.add_argument(
        "--recist",
        nargs=8,
        type=float,
        metavar=("R0", "C0", "R1", "C1", "R2", "C2", "R3", "C3"),
        help="rows and columns of the long axis' ends, then of the short axis', from 0 at the first pixel's centre",
    )
    prior.add_argument(
        "--report",
        metavar="SR",
        help="a DICOM measurement report (TID 1500): each group of two diameters drawn on a slice is a RECIST mark",
    )
    label.add_argument("--order", choices=ORDERS, help="of --recist: row, column (default), or x, y")
    label.add_argument(
        "--units", choices=UNITS, help="of --recist: pixels (default), or mm of the patient's axes as in DICOM"
    )
    label.add_argument("--slice", type=int, metavar="N", help="the slice of a volume, from 0 at the feet")
    label.add_argument("--name", metavar="NAME", help="of what is written (default: the image's)")
    label.add_argument(
        "--format",
        dest="formats",
        nargs="+",
        choices=("png", "nifti", "seg"),
        help="what to write (default: png; nifti where the file has a place in mm; seg for DICOM)",
    )
    label.add_argument(
        "--epsilon", type=float, default=1e-7, help="of the matting; larger smooths more (default: 1e-7)"
    )
    label.add_argument(
        "--radius", type=float, metavar="PIXELS", help="half width of the unknown band (default: 0.15 of the lesion's)"
    )
    add_grey(label)
    label.add_argument("--jobs", type=int, metavar="N", help="images at once (default: one a core)")
    label.set_defaults(run=_run)


def add_grey(command: argparse.ArgumentParser) -> None:
    """Add the options of grey levels: ``--window`` or ``--stretch``."""
    grey = command.add_mutually_exclusive_group()
    grey.add_argument(
        "--window",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="of DICOM, NIfTI and nrrd, the values that become black and white (default: -1000 400 HU)",
    )
    grey.add_argument(
        "--stretch", action="store_true", help="grey levels from each slice's own minimum to its own maximum"
    )


def _run(arguments: argparse.Namespace) -> int:
    """Label every image that can be labelled; return the exit status: 1 where one could not, else 0.

    Raises:
        ConfigError: options that cannot be combined, or results that overwrite one another or an input; nothing is
            written.
        DataError: a list or report that cannot be read, or a folder that cannot be written to.
    """
    from tqdm import tqdm

    from softmask.apply.label import MANIFEST, Settings, label_items  # image libraries take their time

    grey = Grey(arguments.window and tuple(arguments.window), arguments.stretch)
    settings = Settings(grey, arguments.epsilon, arguments.radius, arguments.formats and tuple(arguments.formats))
    if arguments.jobs is not None and arguments.jobs < 1:
        raise ConfigError(f"--jobs must be at least 1, not {arguments.jobs}")
    folder = whole_path(arguments.out, "--out")
    items, problems, inputs = _items(arguments)
    outcomes = label_items(
        items,
        folder,
        settings,
        problems=problems,
        inputs=inputs,
        jobs=arguments.jobs,
        say=lambda text: tqdm.write(f"softmask: {text}", file=sys.stderr),
    )
    failed = sum(outcome.row["status"] != "done" for outcome in outcomes)
    skipped = sum(outcome.skipped for outcome in outcomes)
    labelled = len(outcomes) - failed - skipped
    print(f"{labelled} labelled, {skipped} done before, {failed} failed; {folder / MANIFEST}")
    return 1 if failed else 0


def _items(arguments: argparse.Namespace) -> tuple[list[Item], list[Problem], list[Path]]:
    """Return the items, problems of those that cannot be made, and files that are read besides."""
    if (arguments.list is None) == (arguments.image is None):
        raise ConfigError("name one image, or many of them with --list")
    if arguments.list is not None:
        for option in _OF_ONE_IMAGE:
            if getattr(arguments, option) is not None:
                raise ConfigError(f"--{option} cannot be combined with --list, where it is a column")
        path = Path(arguments.list)
        return *read_list(path), [path]
    for option in ("order", "units"):
        if getattr(arguments, option) is not None and arguments.recist is None:
            raise ConfigError(f"--{option} is an option of --recist; leave it out")
    image = Path(arguments.image)
    name = arguments.name or (name_of(image) if image.is_dir() else stem_of(image))
    common = {"image": image, "slice": arguments.slice}
    if arguments.report is not None:
        if arguments.slice is not None:
            raise ConfigError("--slice cannot be combined with --report, which names the slices itself")
        path = Path(arguments.report)
        marks, problems = read_report(path)
        return [Item(f"{name}-{n}", mark=mark, **common) for n, mark in enumerate(marks, 1)], problems, [path]
    if arguments.recist is not None:
        ends = tuple(zip(arguments.recist[::2], arguments.recist[1::2], strict=True))
        return [Item(name, mark=Mark(ends, arguments.order or "rc", arguments.units or "px"), **common)], [], []
    if arguments.mask is not None:
        return [Item(name, mask=Path(arguments.mask), **common)], [], []
    if arguments.readers is not None:
        return [Item(name, readers=tuple(map(Path, arguments.readers)), **common)], [], []
    raise ConfigError("say what to label from: --mask, --readers, --recist or --report")
