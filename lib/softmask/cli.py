"""The ``softmask`` command.

Exit status: 0 done; 1 done, but an input is damaged or missing or a check failed; 2 could not be done; 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from textwrap import fill
from typing import TYPE_CHECKING

from softmask.apply import KINDS
from softmask.apply.items import COLUMNS_HELP, ORDERS, POINTS_HELP, UNITS
from softmask.config import PROFILES
from softmask.config import SOURCES as DATA_SOURCES
from softmask.data import configure
from softmask.data.sources import NAMES, REAL_ONLY, SOURCES, real_paths
from softmask.errors import SoftmaskError, unknown

if TYPE_CHECKING:
    from softmask.data import Status

_DATA_SETS = (*NAMES, *REAL_ONLY)
_ENDS = ("R0", "C0", "R1", "C1", "R2", "C2", "R3", "C3")
_SEVERAL = {"nargs": "+", "action": "extend"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command (``sys.argv`` when ``argv`` is None) and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="softmask", description="Soft-mask segmentation workbook: data, runs, models."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (_add_data, _add_run, _add_segment, _add_lungs, _add_verify, _add_label):
        add(commands)
    arguments = parser.parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # file names may contain undecodable bytes
            stream.reconfigure(errors="backslashreplace")
    try:
        return arguments.run(arguments)
    except SoftmaskError as error:
        print(f"softmask: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # not from reading data (DataError): a cache or terminal that cannot be written
        path = error.filename or "output"
        print(f"softmask: {path}: {error.strerror}; check the path, its rights and the space left", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("softmask: interrupted; the same command goes on from what is finished", file=sys.stderr)
        return 130


def _add(commands, name: str, run: str, text: str, **options) -> argparse.ArgumentParser:
    """Add the command ``name`` and return its parser; ``run`` is ``module:function``, imported only when it runs."""
    if "epilog" in options:  # examples keep their lines
        options["formatter_class"] = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(name, help=text, description=fill(f"{text}.", 100), **options)
    module, function = run.split(":")
    parser.set_defaults(run=lambda arguments: getattr(import_module(f"softmask.{module}"), function)(arguments))
    return parser


def _add_data(commands) -> None:
    data = commands.add_parser("data", help="list, check, fetch and export data sets")
    actions = data.add_subparsers(required=True, metavar="ACTION")
    root = argparse.ArgumentParser(add_help=False)
    root.add_argument("--data-root", metavar="FOLDER", help="data folder (default: SOFTMASK_DATA, else ./data)")
    text = "list each data set: source, number of images, licence, origin, what is missing"
    action = _add(actions, "list", "cli:_list", text, parents=[root])
    action.add_argument("--data", choices=DATA_SOURCES, help="source to look at (default: auto)")
    text = "read every image of real data and list unusable files (exit status 1 if there are any)"
    action = _add(actions, "check", "cli:_check", text, parents=[root])
    action.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(_DATA_SETS)} (default: those available)")
    text = "download what is public without registration; for the rest, say where to register and where it goes"
    action = _add(actions, "fetch", "cli:_fetch", text, parents=[root])
    action.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(SOURCES)} (default: all)")
    text = (
        "write every slice of LIDC with readers' masks and soft masks to a folder of PNG and CSV files, a data set to "
    )
    text += "publish and to train on; its README.md describes it (exit status 1 if a slice could not be used)"
    epilog = "The folder appears when it is whole; after an interruption, the same command goes on."
    action = _add(actions, "export", "apply.soft_lidc:run", text, parents=[root], epilog=epilog)
    action.add_argument("name", choices=["soft-lidc"], metavar="NAME", help="soft-lidc")
    action.add_argument("--out", required=True, metavar="FOLDER", help="a new or empty folder")
    text = "images: real (default), or embedded, which are simulated and have the true alpha"
    action.add_argument("--data", choices=("real", "embedded"), default="real", help=text)
    action.add_argument("--jobs", type=int, metavar="N", help="slices at once (default: one a core)")


def _add_run(commands) -> None:
    run = _add(commands, "run", "cli:_run", "train the runs behind the papers' tables; finished runs are kept")
    table_options, mode_options = run.add_mutually_exclusive_group(), run.add_mutually_exclusive_group()
    table_options.add_argument("--table", metavar="T", help="such as softgan/table-1 (default: all)", **_SEVERAL)
    text = "the rows of --only on these data sets, such as lnsm, whether a table prints them or not"
    table_options.add_argument("--on", metavar="SET", help=text, **_SEVERAL)
    run.add_argument("--only", metavar="ROW", help="only these rows, such as softgan (default: all)", **_SEVERAL)
    run.add_argument("--profile", choices=list(PROFILES), help="size of the experiments (default: cpu)")
    run.add_argument("--data", choices=DATA_SOURCES, help="source to train on (default: auto)")
    run.add_argument("--data-root", metavar="FOLDER", help="data folder (default: SOFTMASK_DATA, else ./data)")
    run.add_argument("--seeds", type=int, metavar="N", help="number of seeds (default: the profile's own)")
    run.add_argument("--jobs", type=int, metavar="N", help="runs at once (default: SOFTMASK_JOBS, else what fits)")
    run.add_argument("--dask", metavar="ADDRESS", help="train on the dask cluster of this scheduler")
    text = "write a model for `softmask segment` and `softmask lungs` to this folder: of the selected runs (one row on "
    text += "one data set), the one with the best validation Dice"
    run.add_argument("--export", metavar="FOLDER", help=text)
    text = "prepare the images, then list missing runs and their time (minutes:seconds); train nothing"
    mode_options.add_argument("--dry-run", action="store_true", help=text)
    text = "two training steps of every kind of run, on noise, for its memory and time on this machine; nothing is "
    text += "stored (exit status 1 if any fails)"
    mode_options.add_argument("--rehearse", action="store_true", help=text)


def _add_segment(commands) -> None:
    text = "segment images with a trained model, whole or around lesions: soft mask, mask, and its outline on the "
    text += "image (exit status 1 if an image failed). Not a medical device"
    epilog = """\
examples:
  softmask segment scan.png ct-series/ --out results
  softmask segment ct-series/ --slice 9 --at 240 184 --out results --format png seg report
  softmask segment --list lesions.csv --model softgan --out results

Whole slices are written as PNG, and in other formats with --format. Around a lesion the model sees the crop that it was
trained on, with the lesion in its middle; the rest of the image is no lesion. With --out, manifest.csv lists the
processing and the sizes of each; the same command again skips finished images."""
    segment = _add(commands, "segment", "apply.segment:run_segment", text, epilog=epilog)
    segment.add_argument("images", nargs="*", metavar="IMAGE", help="PNG, TIFF, DICOM CT (file or folder), NIfTI, nrrd")
    _add_model(segment, "such as softgan, or the folder of a model (default: lesion)")
    segment.add_argument("--out", metavar="FOLDER", help="folder of the results (default: beside each image)")
    lesion_options = segment.add_mutually_exclusive_group()
    text = "row and column of a point in the lesion, from 0 at the first pixel's centre"
    lesion_options.add_argument("--at", nargs=2, type=float, metavar=("ROW", "COL"), help=text)
    _add_marks(lesion_options)
    lesion_options.add_argument("--list", metavar="CSV", help=f"many lesions; {POINTS_HELP}")
    _add_item(segment, "of --at and --recist")
    text = "probability from which a pixel is lesion, or lung (default: the model's)"
    segment.add_argument("--threshold", type=float, metavar="T", help=text)
    _add_grey(segment)
    text = "only these slices of a volume or series, from 0 at the feet (default: all)"
    segment.add_argument("--slice", dest="slices", type=int, metavar="N", help=text, **_SEVERAL)
    _add_formats(segment, "png; around lesions also nifti where the file has positions in mm, and seg for DICOM")


def _add_lungs(commands) -> None:
    text = "segment the lungs in whole CT scans: a mask in NIfTI on the scan's own voxels, and its outline on some "
    text += "slices (exit status 1 if a scan failed). Not a medical device"
    epilog = """\
examples:
  softmask lungs ct-series/ --out results
  softmask lungs ct-series/ scan.nii.gz --out results --model lungs
  softmask lungs scan.nrrd --out results --model morph --largest"""
    lungs = _add(commands, "lungs", "apply.segment:run_lungs", text, epilog=epilog)
    text = "a folder with one CT series in DICOM, or a NIfTI or nrrd file of Hounsfield units"
    lungs.add_argument("scans", nargs="*", metavar="SCAN", help=text)
    lungs.add_argument("--out", metavar="FOLDER", help="folder of the results; older ones are replaced")
    text = "morph (threshold and morphology), a model of lungs such as lungs, or its folder (default: the best on real "
    _add_model(lungs, f"{text}slices, which is printed)")
    lungs.add_argument("--largest", action="store_true", help="keep only the two largest components")


def _add_verify(commands) -> None:
    text = "compare a run's tables, cell by cell, with the committed ones (exit status 1 if any differs). Nothing is "
    text += "computed: ./run_all.sh --force does that first, and ends with this comparison"
    verify = _add(commands, "verify", "report.verify:run", text)
    text = "such as cpu-embedded, or a folder of results (default: as run_all.sh)"
    verify.add_argument("name", nargs="?", metavar="RUN", help=text)
    verify.add_argument("--against", metavar="RUN", help="another run, a folder or a commit (default: as committed)")
    verify.add_argument("--all", action="store_true", help="list every cell, not only those that differ")


def _add_label(commands) -> None:
    text = "make soft masks from masks, several readers' masks or RECIST marks, by closed-form matting (exit status 1 "
    text += "if an image failed). Not a medical device"
    epilog = """\
examples:
  softmask label scan.png --mask mask.png --out labels
  softmask label ct-series/ --recist 236 174 251 192 237 188 249 178 --slice 9 --out labels --format png seg report
  softmask label --list nodules.csv --out labels

Written for each image: NAME-soft.png (16 bit), NAME-mask.png, NAME-trimap.png, NAME-overlay.png, of a volume
NAME/012-soft.png and so on; NAME-soft.nii.gz and NAME-mask.nii.gz; of DICOM NAME-soft.dcm, a FRACTIONAL segmentation;
and manifest.csv, the processing and the sizes of each. The same command again skips finished images."""
    label = _add(commands, "label", "apply.label:run", text, epilog=epilog)
    text = "grey PNG or TIFF, CT in DICOM (a file, or a folder with one series), NIfTI or nrrd"
    label.add_argument("image", nargs="?", metavar="IMAGE", help=text)
    label.add_argument("--list", metavar="CSV", help=f"many images instead; {COLUMNS_HELP}")
    label.add_argument("--out", required=True, metavar="FOLDER", help="folder of the results; older ones are replaced")
    priors = label.add_mutually_exclusive_group()
    text = "PNG or TIFF (with --slice for a volume), DICOM SEG or RTSTRUCT, NIfTI or nrrd"
    priors.add_argument("--mask", metavar="MASK", help=text)
    priors.add_argument("--readers", nargs="+", metavar="MASK", help="the masks of several readers, each as --mask")
    _add_marks(priors)
    _add_item(label, "of --recist")
    text = "of the mask's structures, number or name of the one that is meant"
    label.add_argument("--label", metavar="NAME", help=text)
    label.add_argument("--slice", type=int, metavar="N", help="the slice of a volume, from 0 at the feet")
    _add_formats(label, "png; nifti where the file has positions in mm; seg for DICOM")
    label.add_argument("--epsilon", type=float, default=1e-7, help="of the matting (default: 1e-7)")
    text = "half width of the unknown band (default: 0.15 of the lesion's)"
    label.add_argument("--radius", type=float, metavar="PIXELS", help=text)
    _add_grey(label)
    label.add_argument("--jobs", type=int, metavar="N", help="images at once (default: one a core)")


def _add_model(command: argparse.ArgumentParser, text: str) -> None:
    text += "; without a name, or with list: the models are listed"
    command.add_argument("--model", nargs="?", const="list", metavar="NAME", help=text)


def _add_marks(group) -> None:
    text = "rows and columns of the long axis' ends, then of the short axis', from 0 at the first pixel's centre"
    group.add_argument("--recist", nargs=8, type=float, metavar=_ENDS, help=text)
    group.add_argument("--report", metavar="SR", help="DICOM measurement report (TID 1500); two diameters are a mark")


def _add_item(command: argparse.ArgumentParser, subject: str) -> None:
    command.add_argument("--order", choices=ORDERS, help=f"{subject}: row, column (default), or x, y")
    command.add_argument("--units", choices=UNITS, help=f"{subject}: pixels (default), or mm as in DICOM")
    command.add_argument("--name", metavar="NAME", help="of the results (default: the image's)")


def _add_formats(command: argparse.ArgumentParser, default: str) -> None:
    text = "formats of the results: png; nifti; nrrd (and .seg.nrrd for 3D Slicer); of DICOM also seg (FRACTIONAL), "
    text += "seg-binary, seg-labelmap, map (parametric map of alpha), report (TID 1500: diameters, areas, volumes; "
    text += f"with a seg) and rtstruct (default: {default})"
    command.add_argument("--format", dest="formats", nargs="+", choices=tuple(KINDS), metavar="FORMAT", help=text)


def _add_grey(command: argparse.ArgumentParser) -> None:
    grey = command.add_mutually_exclusive_group()
    text = "of DICOM, NIfTI and nrrd, the values that become black and white (default: -1000 400 HU)"
    grey.add_argument("--window", nargs=2, type=float, metavar=("LOW", "HIGH"), help=text)
    grey.add_argument("--stretch", action="store_true", help="grey levels from each slice's own minimum to its maximum")


def _known(names: Sequence[str], all_names: Iterable[str]) -> Sequence[str]:
    for name in names:
        if name not in all_names:
            raise unknown("data set", name, all_names)
    return names or tuple(all_names)


def _run(arguments: argparse.Namespace) -> int:
    from softmask.apply.exporting import export  # imports torch, which is slow
    from softmask.experiments import cli

    return cli.run(arguments, export)


def _list(arguments: argparse.Namespace) -> int:
    from softmask.data import status

    config = configure(data=arguments.data, data_root=arguments.data_root)
    states = [status(name, config) for name in _DATA_SETS]
    print(f"data folder: {config.data_root}" + ("" if config.data_root.is_dir() else " (does not exist)"))
    width = max(len(state.licence) for state in states)
    print(f"{'name':<10}  {'source':<8}  {'images':>6}  {'licence':<{width}}  origin")
    for state in states:
        licence = state.licence or "-"
        print(f"{state.name:<10}  {state.source:<8}  {state.images:>6}  {licence:<{width}}  {state.origin}")
    for state in states:
        _print_remarks(state)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from softmask.data import status

    config = configure(data="real", data_root=arguments.data_root)
    paths = real_paths(config.data_root)
    result = 0
    for name in _known(arguments.names, _DATA_SETS):
        if not arguments.names and name == "lnsm" and name in paths and paths[name] == paths.get("lidc"):
            print("lnsm: the same files as lidc")
            continue
        state = status(name, config, read=True)
        unused = f"{len(state.problems)} left out"
        unused += f", {len(state.left_out)} faulty as published" if state.left_out else ""
        print(f"{name}: {state.images} images are usable, {unused}; {state.origin}")
        _print_remarks(state)
        # Missing data is an error only if the data set was named on the command line.
        if state.problems or (arguments.names and state.source == "none"):
            result = 1
    return result


def _print_remarks(state: Status) -> None:
    remarks = [f"in {state.where}"] if state.where else []
    remarks += [f"left out: {problem}" for problem in state.problems]
    for remark in (*remarks, *state.missing):
        print(f"{state.name}: {remark}")


def _fetch(arguments: argparse.Namespace) -> int:
    from softmask.data.fetch import fetch

    root = configure(data_root=arguments.data_root).data_root
    result = 0
    for name in _known(arguments.names, SOURCES):
        source = SOURCES[name]
        try:
            if source.public:
                print(fetch(source, root))
            elif path := source.locate(root):
                print(f"{name}: is there already ({path}); nothing done")
            else:
                print(f"{name}: cannot be fetched by this program. {source.how_to_get(root)}")
                result = max(result, 1 if arguments.names else 0)  # an error only if named on the command line
        except SoftmaskError as error:  # the other data sets are still fetched
            print(f"softmask: {error}", file=sys.stderr)
            result = 2
        except KeyboardInterrupt:
            print(f"softmask: {name}: interrupted; what has arrived is kept, the same command goes on", file=sys.stderr)
            return 130
    return result


if __name__ == "__main__":
    sys.exit(main())
