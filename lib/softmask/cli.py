"""The ``softmask`` command.

Exit status: 0 done; 1 done, and what was asked about is damaged or not there; 2 could not be done; 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from softmask.apply.cli import add_grey, add_label
from softmask.config import PROFILES, Config
from softmask.config import SOURCES as DATA_SOURCES
from softmask.data.sources import NAMES, REAL_ONLY, SOURCES, found
from softmask.errors import ConfigError, SoftmaskError

if TYPE_CHECKING:
    from softmask.data.check import Status

_DATA_SETS = (*NAMES, *REAL_ONLY)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command (``sys.argv`` when ``argv`` is None) and return its exit status."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except SoftmaskError as error:
        print(f"softmask: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # not of the data (readers name those): a cache or terminal that cannot be written
        print(
            f"softmask: {error.filename or 'output'}: {error.strerror}; check the path, its rights and the space left",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("softmask: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="softmask", description="Soft-mask segmentation workbook: data, runs, models."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_data(commands)
    _add_run(commands)
    _add_segment(commands)
    _add_lungs(commands)
    _add_verify(commands)
    add_label(commands)
    return parser


def _add_data(commands) -> None:
    data = commands.add_parser("data", help="what data is there, whether it is whole, and how to get it")
    actions = data.add_subparsers(required=True, metavar="ACTION")
    root = argparse.ArgumentParser(add_help=False)
    root.add_argument("--data-root", metavar="FOLDER", help="data folder (default: SOFTMASK_DATA, else ./data)")
    text = "each data set: source, number of images, licence, where it is, what is missing"
    action = actions.add_parser("list", help=text, description=text, parents=[root])
    action.add_argument("--data", choices=DATA_SOURCES, help="which source to look at (default: auto)")
    action.set_defaults(run=_list)
    text = "read every image of real data and list what cannot be used, file by file (exit status 1 if anything)"
    action = actions.add_parser("check", help=text, description=text, parents=[root])
    action.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(_DATA_SETS)} (default: all that are there)"
    )
    action.set_defaults(run=_check)
    text = "get what is public without registration; for the rest, say where to register and where it goes"
    action = actions.add_parser("fetch", help=text, description=text, parents=[root])
    action.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(SOURCES)} (default: all)")
    action.set_defaults(run=_fetch)


def _add_run(commands) -> None:
    text = "train the runs behind the papers' tables; what has been trained already is not trained again"
    run = commands.add_parser("run", help=text, description=text)
    where = run.add_mutually_exclusive_group()
    where.add_argument(
        "--table",
        nargs="+",
        action="extend",
        metavar="T",
        help="such as softgan/table-1 (default: all that are trained)",
    )
    where.add_argument(
        "--on",
        nargs="+",
        action="extend",
        metavar="SET",
        help="the rows of --only on these data sets, such as lnsm, whether a table prints them or not",
    )
    run.add_argument(
        "--only",
        nargs="+",
        action="extend",
        metavar="ROW",
        help="only these rows of them, such as softgan (default: all)",
    )
    run.add_argument("--profile", choices=list(PROFILES), help="how much is computed (default: cpu)")
    run.add_argument("--data", choices=DATA_SOURCES, help="which source to train on (default: auto)")
    run.add_argument("--data-root", metavar="FOLDER", help="data folder (default: SOFTMASK_DATA, else ./data)")
    run.add_argument("--seeds", type=int, metavar="N", help="how many seeds (default: the profile's own)")
    run.add_argument("--jobs", type=int, metavar="N", help="runs at once (default: SOFTMASK_JOBS, else what fits)")
    run.add_argument("--dask", metavar="ADDRESS", help="train on the dask cluster of this scheduler")
    run.add_argument(
        "--export",
        metavar="FOLDER",
        help="write a model for `softmask segment` and `softmask lungs` to this folder: the one with the best "
        "validation Dice of the runs that were asked for, which are of one row on one data set",
    )
    instead = run.add_mutually_exclusive_group()
    instead.add_argument(
        "--dry-run", action="store_true", help="say what is missing and how long it takes; train nothing"
    )
    instead.add_argument(
        "--rehearse",
        action="store_true",
        help="two training steps of every kind of run, on noise, for its memory and time on this machine; nothing is "
        "kept (exit status 1 if any fails)",
    )
    run.set_defaults(run=_run)


def _add_segment(commands) -> None:
    text = "segment images with a trained model: soft mask, mask, and its outline on the image (exit status 1 if any "
    text += "image could not be done)"
    segment = commands.add_parser("segment", help=text, description=f"{text}. Not a medical device.")
    segment.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="grey PNG or TIFF, CT in DICOM (a file, or a folder of them), NIfTI or nrrd (every axial slice)",
    )
    segment.add_argument("--model", required=True, metavar="NAME", help="such as dsnet, or the folder of a model")
    segment.add_argument("--out", metavar="FOLDER", help="where the results go (default: beside each image)")
    segment.add_argument(
        "--threshold",
        type=float,
        metavar="T",
        help="probability from which a pixel is lesion, or lung (default: the model's)",
    )
    add_grey(segment)
    segment.add_argument(
        "--slice",
        dest="slices",
        nargs="+",
        type=int,
        action="extend",
        metavar="N",
        help="only these slices of a volume or series, from 0 at the feet (default: all)",
    )
    segment.set_defaults(run=_segment)


def _add_lungs(commands) -> None:
    text = (
        "find the lungs in whole CT scans: a mask in NIfTI on the scan's own voxels, and a picture of its outline on "
    )
    text += "some slices (exit status 1 if any scan could not be done)"
    lungs = commands.add_parser("lungs", help=text, description=f"{text}. Not a medical device.")
    lungs.add_argument(
        "scans",
        nargs="+",
        metavar="SCAN",
        help="a folder with one CT series in DICOM, or a NIfTI or nrrd file of Hounsfield units",
    )
    lungs.add_argument("--out", required=True, metavar="FOLDER", help="where the results go; older ones are replaced")
    lungs.add_argument(
        "--model",
        metavar="NAME",
        help="morph (threshold and morphology), a model of lungs such as lungs, or the folder of one (default: what "
        "does best on real slices, which is said)",
    )
    lungs.add_argument(
        "--largest",
        action="store_true",
        help="keep only the two largest connected parts of the scan (default: all, as the models are measured)",
    )
    lungs.set_defaults(run=_lungs)


def _add_verify(commands) -> None:
    text = "compare a run's tables, cell by cell, with those that are committed (exit status 1 if any differs)"
    more = "It computes nothing: ./run_all.sh --force does that first, and ends with this comparison."
    verify = commands.add_parser("verify", help=text, description=f"{text}. {more}")
    verify.add_argument(
        "name", nargs="?", metavar="RUN", help="such as cpu-embedded, or a folder of results (default: as run_all.sh)"
    )
    verify.add_argument(
        "--against",
        metavar="WHAT",
        help="another run, a folder of results, or a commit (default: what git has committed of the run)",
    )
    verify.add_argument("--all", action="store_true", help="list every cell, not only those that differ")
    verify.set_defaults(run=_verify)


def _known(names: Sequence[str], all_names: Iterable[str]) -> Sequence[str]:
    for name in names:
        if name not in all_names:
            raise ConfigError(f"unknown data set {name!r}; choose from {', '.join(all_names)}")
    return names or tuple(all_names)


def _run(arguments: argparse.Namespace) -> int:
    from softmask.runs import cli  # torch takes its time

    return cli.run(arguments)


def _segment(arguments: argparse.Namespace) -> int:
    from softmask.apply import segment  # torch takes its time

    return segment.run(arguments)


def _lungs(arguments: argparse.Namespace) -> int:
    from softmask.apply import lungs  # torch takes its time

    return lungs.run(arguments)


def _verify(arguments: argparse.Namespace) -> int:
    from softmask.report import verify_cli

    return verify_cli.run(arguments)


def _list(arguments: argparse.Namespace) -> int:
    from softmask.data.check import status

    config = Config.from_parameters(data=arguments.data, data_root=arguments.data_root)
    states = [status(name, config) for name in _DATA_SETS]
    rows = [("name", "source", "images", "licence", "origin")]
    rows += [(one.name, one.source, str(one.images), one.licence or "-", one.origin) for one in states]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print(f"data folder: {config.data_root}" + ("" if config.data_root.is_dir() else " (does not exist)"))
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for one in states:
        _print_remarks(one)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from softmask.data.check import check

    config = Config.from_parameters(data_root=arguments.data_root)
    names = _known(arguments.names, _DATA_SETS)
    places = found(config.data_root)
    result = 0
    for name in names:
        if not arguments.names and name == "lnsm" and name in places and places[name] == places.get("lidc"):
            print("lnsm: the same files as lidc")
            continue
        one = check(name, config)
        unused = f"{len(one.problems)} problems, {len(one.left_out)} left out"
        print(f"{name}: {one.images} images read, {unused}; {one.origin}")
        _print_remarks(one)
        # that nothing is there counts against a data set only where it was asked for
        if one.problems or (arguments.names and one.source == "none"):
            result = 1
    return result


def _print_remarks(one: Status) -> None:
    if one.where:
        print(f"{one.name}: in {one.where}")
    for problem in one.problems:
        print(f"{one.name}: left out: {problem.where}: {problem.why}")
    for text in one.missing:
        print(f"{one.name}: {text}")


def _fetch(arguments: argparse.Namespace) -> int:
    from softmask.data.fetch import fetch

    root = Config.from_parameters(data_root=arguments.data_root).data_root
    result = 0
    for name in _known(arguments.names, SOURCES):
        source = SOURCES[name]
        there = source.locate(root)
        try:
            if source.public:
                print(fetch(source, root))
            elif there is not None:
                print(f"{name}: is there already ({there}); nothing done")
            else:
                print(f"{name}: cannot be fetched by this program. {source.how_to_get(root)}")
                result = max(result, 1 if arguments.names else 0)  # asked for by name, and not got
        except SoftmaskError as error:  # the other data sets are still fetched
            print(f"softmask: {error}", file=sys.stderr)
            result = 2
        except KeyboardInterrupt:
            print(f"softmask: {name}: interrupted; what has arrived is kept, the same command goes on", file=sys.stderr)
            return 130
    return result


if __name__ == "__main__":
    sys.exit(main())
