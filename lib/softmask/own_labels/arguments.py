"""The arguments of ``softmask label``."""

from __future__ import annotations

import argparse

from softmask.own_labels.settings import FORMATS, ORDERS, UNITS

COLUMNS_HELP = (
    "columns: image; mask, or readers (paths separated by ;), or the ends of the RECIST axes as r0 c0 r1 c1 (long) r2 "
    "c2 r3 c3 (short) or x0 y0 ... y3, in pixels from 0, or in mm where units is mm; slice, of a volume; name, of what "
    "is written. Paths are relative to the list"
)
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


def add(commands) -> argparse.ArgumentParser:
    """Add ``label`` to the commands; its parser."""
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
        choices=FORMATS,
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
    return label


def add_grey(command: argparse.ArgumentParser) -> None:
    """The options of how stored values become grey levels: ``--window`` or ``--stretch``."""
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
    from softmask.own_labels import cli  # image libraries take their time

    return cli.run(arguments)
