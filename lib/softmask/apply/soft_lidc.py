"""``softmask data export soft-lidc``: export of the data set that :mod:`softmask.data.soft_lidc` reads.

The data set is written slice by slice to a hidden folder beside the target folder, and renamed to the target when it is
complete. A slice counts as done if its record exists and its files have the checksums of the record, so an export can
continue after a kill. The same data and code give the same bytes: no date or local path is written.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from joblib.externals.loky.process_executor import TerminatedWorkerError

from softmask import __version__, label
from softmask.apply import render
from softmask.apply.outputs import png
from softmask.cache import code_digest
from softmask.data import configure, open_dataset
from softmask.data.sample import Dataset, Sample
from softmask.data.selection import with_recist
from softmask.data.soft_lidc import AXES, COLUMNS, FOLDERS, NAME, PRIORS, READERS, SUMS, TABLE, TRUE, split_of
from softmask.errors import ConfigError, DataError, LabelError
from softmask.files import read_text, sha256_of, whole_path
from softmask.label.consensus import fifty_percent
from softmask.measure.segmentation import dice
from softmask.parallel import map_samples

CROISSANT, LEFT_OUT = "croissant.json", "left-out.csv"
TEXTS = {"README.md": "soft_lidc.md.j2", "LICENSE.md": "soft_lidc_licence.md.j2", CROISSANT: "soft_lidc.json.j2"}
"""Files that describe the data set, and their templates."""

DISK_PER_SLICE = 80_000
"""Disk space in bytes that the small files of a slice need, including its record."""


def run(arguments: argparse.Namespace) -> int:
    """Export the data set; return exit status 1 if a slice could not be read or labelled, otherwise 0."""
    folder = whole_path(arguments.out, "--out")
    if arguments.jobs is not None and arguments.jobs < 1:
        raise ConfigError(f"--jobs must be at least 1, not {arguments.jobs}")
    config = configure(data=arguments.data, data_root=arguments.data_root)
    dataset = open_dataset("lidc", config)
    print(export(dataset, folder, arguments.jobs))
    print(f"to train on it, have it in {config.data_root / NAME}: softmask run --on {NAME} --only unet")
    for problem in dataset.problems:
        print(f"left out: {problem}")
    return 1 if dataset.problems else 0


def export(dataset: Dataset, folder: Path, jobs: int | None = None) -> str:
    """Write the slices of ``dataset`` (LIDC, real or embedded) with their soft masks to ``folder``; return a message
    about the result. Slices that cannot be used are added to ``dataset.problems``.

    Raises:
        ConfigError: for a folder that contains anything but this export.
        DataError: if another export uses the folder, it cannot be written, space is short, or no slice has a soft mask.
    """
    key = sha256_of(dataset.fingerprint, dataset.source, code_digest("data", "label", "apply"))
    staging = folder.with_name(f".{folder.name}.exporting")
    if folder.is_dir() and (names := sorted(os.listdir(folder))):
        croissant_file = folder / CROISSANT
        if croissant_file.is_file() and key in read_text(croissant_file):
            shutil.rmtree(staging, ignore_errors=True)  # left by a kill just after the move
            return f"{folder}: this export is there already, finished; nothing done"
        content = f"an export of other data, or by another version of {NAME}" if croissant_file.is_file() else names[0]
        raise ConfigError(
            f"{folder}: holds {content}; nothing was written. Remove it, or choose another folder with --out"
        )
    try:
        staging.mkdir(parents=True, exist_ok=True)
        with FileLock(staging / "lock", timeout=0):
            result = _export(dataset, staging, key, jobs)
            os.sync()  # data on disk before the rename
            os.rename(staging / "tree", folder)  # replaces an empty folder
            shutil.rmtree(staging)
    except Timeout as error:
        raise DataError(f"{folder}: another export to it is running (it holds {staging / 'lock'})") from error
    except (OSError, TerminatedWorkerError) as error:
        why = getattr(error, "strerror", None) or "a process was ended from outside, memory may be short"
        raise DataError(
            f"{folder}: cannot be written ({why}); check its rights and the space left, or choose another folder with "
            f"--out. What is done is kept in {staging}, and the same command goes on"
        ) from error
    return f"{folder}: {result}"


def write_slice(staging: Path, sample: Sample) -> list[dict]:
    """Write the files of one slice below ``staging``, then its record: ``row`` of the table, ``sha256`` of each file,
    and ``gaps``, reasons for missing soft masks. Return [record]. Raises LabelError if all are missing."""
    levels = np.rint(255 * sample.image).astype(np.uint8)
    # Label the image as stored, so that the same soft masks can be made from the files.
    sample = with_recist(replace(sample, image=levels.astype(np.float32) / np.float32(255)))
    consensus = fifty_percent(sample.masks)
    images = {"image": levels, "consensus": consensus}
    images |= {f"reader-{k}": mask for k, mask in zip(READERS, sample.readers, strict=True)}
    alphas, gaps = {} if sample.alpha is None else {"true": sample.alpha}, {}
    for prior in PRIORS:
        try:
            labelled = label.label_sample(sample, prior)
        except LabelError as error:
            gaps[prior] = str(error).removeprefix(f"{sample.id}: ")
            continue
        images[f"trimap-{prior}"] = np.rint(255 * labelled.trimap).astype(np.uint8)
        alphas[prior] = labelled.alpha
    if len(gaps) == len(PRIORS):
        raise LabelError(f"{sample.id}: {'; '.join(gaps.values())}")
    soft_masks = {prior: np.rint(65535 * alpha.astype(float)).astype(np.uint16) for prior, alpha in alphas.items()}
    images |= {f"soft-{prior}": alpha for prior, alpha in soft_masks.items()}
    agreement = [dice(*pair) for pair in combinations(sample.masks, 2)]
    row = {
        "name": file_name(sample.patient, sample.nodule, sample.slice),
        **{column: getattr(sample, column) for column in ("patient", "nodule", "slice")},
        "split": split_of(sample.patient),
        "source": "real" if sample.source == "real" else "simulated",
        **dict(zip(("rows", "columns"), levels.shape, strict=True)),
        **dict(zip(("row_mm", "column_mm"), sample.spacing or (None, None), strict=True)),
        "n_readers": int(sample.present.sum()),
        **{f"reader_{k}": int(is_present) for k, is_present in zip(READERS, sample.present, strict=True)},
        **dict(zip(AXES, sample.recist.ravel().tolist(), strict=True)),
        "dice_readers": round(float(np.mean(agreement)), 4) if agreement else None,
        "area_consensus": int(consensus.sum()),
        **{f"area_{prior}": round(float(alpha.sum() / 65535), 3) for prior, alpha in soft_masks.items()},
    }
    digests = {}
    for kind, image in images.items():
        content = png(image.astype(np.uint8) * np.uint8(255) if image.dtype == bool else image)
        digests[f"{kind}/{row['name']}.png"] = hashlib.sha256(content).hexdigest()
        (staging / "tree" / kind / f"{row['name']}.png").write_bytes(content)
    record = {"row": row, "sha256": digests, "gaps": gaps}
    _record(staging, row["name"]).write_text(json.dumps(record))
    return [record]


def _record(staging: Path, name: str) -> Path:
    return staging / "records" / f"{name}.json"


def _done(staging: Path, name: str) -> dict | None:
    """Return the record of a slice if it exists and its checksums match the files, otherwise None."""
    try:
        record = json.loads(_record(staging, name).read_bytes())
        contents = {file: (staging / "tree" / file).read_bytes() for file in record["sha256"]}
    except (OSError, ValueError):  # missing or incomplete
        return None
    digests = {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}
    return record if digests == record["sha256"] else None


def file_name(patient: str, nodule: str, slice_name: str) -> str:
    """Return the name of a slice's files, without ``.png``."""
    return f"{patient}_{nodule}_{slice_name}"


def _export(dataset: Dataset, staging: Path, key: str, jobs: int | None) -> str:
    """Write the whole data set to ``staging/tree``; return its size in words."""
    if not (staging / "key").is_file() or (staging / "key").read_text() != key:
        for old_folder in ("tree", "records"):  # from other data or code
            shutil.rmtree(staging / old_folder, ignore_errors=True)
    tree = staging / "tree"
    folders = {kind: text for kind, text in FOLDERS.items() if dataset.source == "embedded" or kind != TRUE}
    for new_folder in (staging / "records", *(tree / kind for kind in folders)):
        new_folder.mkdir(parents=True, exist_ok=True)
    (staging / "key").write_text(key)

    names = [file_name(row.patient, row.nodule, row.slice) for row in dataset.index.itertuples()]
    records = {name: record for name in names if (record := _done(staging, name))}
    missing = [i for i, name in enumerate(names) if name not in records]
    need, free = DISK_PER_SLICE * len(missing) / 1e6, shutil.disk_usage(staging).free / 1e6
    if free < need:
        raise DataError(f"{staging}: {len(missing)} slices need {need:.0f} MB and {free:.0f} MB are free; make room")
    for record in map_samples(partial(write_slice, staging), dataset, missing, title=NAME, jobs=jobs):
        records[record["row"]["name"]] = record
    if not records:
        raise dataset.none_usable("no slice of it has a soft mask", dataset.name)

    merged = dict(zip(names, dataset.index["merged"].astype(int).tolist(), strict=True))
    for name, record in records.items():
        record["row"]["merged"] = merged[name]
    return _describe(tree, dataset, [records[name] for name in names if name in records], folders, key)


def _describe(tree: Path, dataset: Dataset, records: list[dict], folders: dict[str, str], key: str) -> str:
    """Write the table and all other texts beside the images; return the size of the data set in words."""
    rows, simulated = [record["row"] for record in records], TRUE in folders
    columns = {name: meaning for name, meaning in COLUMNS.items() if simulated or name != "area_true"}
    table = pd.DataFrame(rows, columns=list(columns))
    prefix = "" if simulated else f"{dataset.path.parent}{os.sep}"  # local path, removed from texts
    left_out = [(p.where.replace(prefix, ""), p.why.replace(prefix, "")) for p in dataset.left_out + dataset.problems]
    gaps = [(f"{each['row']['name']}: soft-{prior}", why) for each in records for prior, why in each["gaps"].items()]
    digests = {file: digest for record in records for file, digest in record["sha256"].items()}

    def add(name: str, text: str) -> None:
        (tree / name).write_bytes(text.encode())
        digests[name] = hashlib.sha256(text.encode()).hexdigest()

    add(TABLE, table.to_csv(index=False, lineterminator="\n"))
    add(LEFT_OUT, pd.DataFrame(left_out + gaps, columns=["where", "why"]).to_csv(index=False, lineterminator="\n"))
    parts = table.groupby("split")["patient"].agg(["size", "nunique"]).to_dict("index")
    facts = {"folders": folders, "columns": columns, "table": table, "parts": parts, "gaps": gaps, "left_out": left_out}
    facts |= {"simulated": simulated, "origin": dataset.origin, "key": key, "digests": digests}
    facts |= {"version": __version__, "settings": label.SETTINGS}
    for name, template in TEXTS.items():
        add(name, render(template, **facts))
    add(SUMS, "".join(f"{digest}  {file}\n" for file, digest in sorted(digests.items())))
    patients = table["patient"].nunique()
    return f"{len(table)} slices of {patients} patients; {len(gaps)} soft masks are missing ({LEFT_OUT})"
