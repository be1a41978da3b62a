"""``softmask label``: soft masks of one's own images, from masks, readers' masks or RECIST marks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from softmask.config import whole_path
from softmask.data.sample import Problem
from softmask.data.volume_files import name_of
from softmask.errors import ConfigError
from softmask.own_images import Grey, stem_of
from softmask.own_labels.items import MANIFEST, Item
from softmask.own_labels.lists import read_list
from softmask.own_labels.marks import Mark
from softmask.own_labels.reports import read_report
from softmask.own_labels.settings import Settings
from softmask.own_labels.work import label_items

_OF_ONE = ("mask", "readers", "recist", "report", "order", "units", "slice", "name")


def run(arguments: argparse.Namespace) -> int:
    """Label every image that can be; the exit status: 1 where one could not, else 0.

    Raises:
        ConfigError: options that do not fit one another, or results that are in each other's way; nothing is written.
        DataError: a list or report that cannot be read, or a folder that cannot be written to.
    """
    grey = Grey(arguments.window and tuple(arguments.window), arguments.stretch)
    settings = Settings(grey, arguments.epsilon, arguments.radius, arguments.formats and tuple(arguments.formats))
    if arguments.jobs is not None and arguments.jobs < 1:
        raise ConfigError(f"--jobs must be at least 1, not {arguments.jobs}")
    folder = whole_path(arguments.out, "--out")
    items, problems, inputs = _asked(arguments)
    outcomes = label_items(
        items,
        folder,
        settings,
        problems=problems,
        inputs=inputs,
        jobs=arguments.jobs,
        say=lambda text: tqdm.write(f"softmask: {text}", file=sys.stderr),
    )
    failed = sum(one.row["status"] != "done" for one in outcomes)
    skipped = sum(one.skipped for one in outcomes)
    labelled = len(outcomes) - failed - skipped
    print(f"{labelled} labelled, {skipped} done before, {failed} failed; {folder / MANIFEST}")
    return 1 if failed else 0


def _asked(arguments: argparse.Namespace) -> tuple[list[Item], list[Problem], list[Path]]:
    """Items, what could not become one, and files that are read besides."""
    if (arguments.list is None) == (arguments.image is None):
        raise ConfigError("name one image, or many of them with --list")
    if arguments.list is not None:
        for option in _OF_ONE:
            if getattr(arguments, option) is not None:
                raise ConfigError(f"--{option} goes with one image; in a list it is a column")
        path = Path(arguments.list)
        return *read_list(path), [path]
    for option in ("order", "units"):
        if getattr(arguments, option) is not None and arguments.recist is None:
            raise ConfigError(f"--{option} goes with --recist")
    image = Path(arguments.image)
    name = arguments.name or (name_of(image) if image.is_dir() else stem_of(image))
    common = {"image": image, "slice": arguments.slice}
    if arguments.report is not None:
        if arguments.slice is not None:
            raise ConfigError("--slice goes not with --report, which names the slices itself")
        path = Path(arguments.report)
        marks, problems = read_report(path)
        return [Item(f"{name}-{n}", mark=mark, **common) for n, mark in enumerate(marks, 1)], problems, [path]
    if arguments.recist is not None:
        ends = tuple(zip(arguments.recist[::2], arguments.recist[1::2], strict=True))
        mark = Mark(ends, arguments.order or "rc", arguments.units or "px")
        return [Item(name, mark=mark, **common)], [], []
    if arguments.mask is None and arguments.readers is None:
        raise ConfigError("say what to label from: --mask, --readers, --recist or --report")
    mask = None if arguments.mask is None else Path(arguments.mask)
    return [Item(name, mask=mask, readers=tuple(map(Path, arguments.readers or ())), **common)], [], []
