"""Evidence behind the numbers of a run, collected from its records for the report. Nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

import numpy as np

from softmask import papers
from softmask.analysis import cascade, claims, finished, lungs, training
from softmask.analysis.finished import Fitted, SpecsByKey
from softmask.config import Config
from softmask.data.sample import data_words
from softmask.data.sources import locate_source
from softmask.data.splits import dataset_name
from softmask.errors import DataError
from softmask.experiments.rehearsal import steps
from softmask.experiments.rows import TABLES, rows_of, specs
from softmask.experiments.store import Run
from softmask.measure.differences import Scores
from softmask.nets.registry import NETWORKS
from softmask.report import verdicts
from softmask.report.evidence import Evidence, Pictures, RowKey, Trained
from softmask.report.result import Key

BESIDE_DOCTORS: Mapping[str, str] = {"casgan": "casgan", "dsnet-v1": "dsnet_v1", "dsnet-v2": "dsnet"}
"""Row that is compared with four doctors, by paper."""

SIMULATED = "Simulated by this package"
OUTLINES = f"{SIMULATED} from the outlines of LIDC-IDRI's readers (CC BY 3.0, TCIA)"


def collect(config: Config) -> Evidence:
    """Return the evidence behind the printed tables and the claims, as far as the run has records."""
    recorded = replace(config, recorded=True)
    fitted = finished.fit_tables({paper: _wanted(paper, recorded) for paper in papers.NAMES}, recorded)
    scores: dict[tuple[str, str, str, str], Scores] = {}
    trained: dict[RowKey, Trained] = {}
    masks: dict[RowKey, dict[str, np.ndarray]] = {}
    pictures: dict[str, Pictures] = {}
    for paper, rows in fitted.items():
        scores |= {(paper, *key): value for key, value in _scores(paper, rows, config).items()}
        for (row, dataset), runs in rows.items():
            if runs[0].spec.upscales:
                continue
            trained[paper, row, dataset] = _trained(runs)
            for run in finished.succeeded(runs)[:1]:
                threshold, predictions = 255 * run.record.threshold, run.record.predictions
                masks[paper, row, dataset] = {name: image >= threshold for name, image in predictions.items()}
                if dataset not in pictures:
                    pictures[dataset] = _pictures(run, config)
    all_runs = {run.spec: run for rows in fitted.values() for run in finished.distinct(rows)}
    seconds = sum(run.record.provenance.seconds for run in all_runs.values())
    return Evidence(scores, trained, masks, pictures, seconds)


def _wanted(paper: str, config: Config) -> SpecsByKey:
    """Return the runs of a paper's tables, of its network compared with four doctors, and of lungs on real slices."""
    tables = [name for name in TABLES if name.startswith(f"{paper}/")]
    wanted_runs = {key: runs for name in tables for key, runs in specs(name, config).items()}
    if paper in BESIDE_DOCTORS:
        wanted_runs |= rows_of([BESIDE_DOCTORS[paper]], "lidc-500", config, paper)
    return wanted_runs | lungs.real_rows(config) if paper == "lgan" else wanted_runs


def _scores(paper: str, fitted: Fitted, config: Config) -> dict[Key, Scores]:
    """Return the scores by every measure in a claim or a table of the paper."""
    stored_scores: dict[Key, Scores] = {}
    with suppress(DataError):  # the page names the file
        stored_scores = verdicts.read_values(config.results / "claims" / f"{paper}.json")
    if paper == "lgan":
        return lungs.scores(fitted) | stored_scores
    printed_metrics = [cell.metric for table in papers.load(paper).tables.values() for cell in table.cells]
    scores = training.scores(fitted, dict.fromkeys([*claims.metrics(paper), *printed_metrics]))
    if paper in BESIDE_DOCTORS:
        scores |= cascade.doctors(fitted, BESIDE_DOCTORS[paper])
    return scores | stored_scores


def _trained(runs: list[Run]) -> Trained:
    record, spec = runs[0].record, runs[0].spec
    good_runs = finished.succeeded(runs)
    return Trained(
        network=NETWORKS[spec.network].import_path.partition(":")[0] if spec.learns else "",
        parameters=record.n_parameters if spec.learns else 0,
        epochs=spec.settings.epochs if spec.learns else 0,
        steps=steps(spec) if spec.learns else 0,
        batch=spec.settings.batch_size if spec.learns else 0,
        seeds=tuple(run.spec.seed for run in good_runs),
        failed=len(runs) - len(good_runs),
        seconds=sum(run.record.provenance.seconds for run in runs),
        device=record.provenance.device,
        cpu=record.provenance.cpu,
        kind=data_words(spec.dataset, spec.source, record.provenance.origin),
        patients=len(set(record.groups)),
    )


def _pictures(run: Run, config: Config) -> Pictures:
    """Return a run's test images if they are available, unchanged and free to be shown, else the reason why not."""
    spec, ids = run.spec, run.record.ids
    credit = SIMULATED if dataset_name(spec.dataset) in ("isbi2012", "promise12") else OUTLINES
    if spec.source == "real":
        location = locate_source(dataset_name(spec.dataset), config.data_root, "real")
        if location is None:
            return Pictures(ids, missing="the real images are not on the machine that made this page")
        credit = location[0].licence
        if not credit.startswith("CC BY"):
            return Pictures(ids, missing=f"its terms do not let a page show the images ({credit})")
    test_parts = []
    for fold in finished.folds_of(run):
        data = finished.data_of(fold.spec, config)
        if data is None or data.digest != fold.record.provenance.data:
            return Pictures(ids, missing="the images at hand are not those that the networks were tested on")
        test_parts.append(data.test)
    images = np.concatenate([np.rint(255 * test.images[:, 0]).astype(np.uint8) for test in test_parts])
    return Pictures(ids, images, np.concatenate([test.masks[:, 0] > 0 for test in test_parts]), credit)
