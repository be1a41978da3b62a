"""What the report shows behind its numbers: from records, and images only where they may be shown."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from softmask.analysis import evidence
from softmask.data.sources import SOURCES
from softmask.experiments import specs
from softmask.experiments.run import publish
from softmask.experiments.store import Run

N, SIZE = 6, 64
PREDICTED = {"image0": np.full((SIZE, SIZE), 200, np.uint8), "image1": np.zeros((SIZE, SIZE), np.uint8)}


def data_of_digest(digest):
    """The data that the records were tested on."""
    images = np.linspace(0, 1, N * SIZE * SIZE, dtype=np.float32).reshape(N, 1, SIZE, SIZE)
    part = SimpleNamespace(ids=tuple(f"image{i}" for i in range(N)), images=images, masks=(images > 0.5) * 1.0)
    return SimpleNamespace(test=part, digest=digest)


@pytest.fixture
def published(config, record, monkeypatch):
    """Records of U-Net and SoftGAN on LNSM, of SoftGAN the second seed failed."""
    monkeypatch.setattr(evidence.finished, "data_of", lambda spec, config: data_of_digest("d" * 8))
    wanted = specs("softgan/table-1", config)
    for row in ("unet", "softgan"):
        for spec in wanted[row, "lnsm"]:
            measures = {name: np.linspace(0.5, 0.6, N) for name in ("dice", "sen", "ppv", "dice_consensus")}
            failed = row == "softgan" and spec is wanted[row, "lnsm"][1]
            publish(Run(spec, record(spec, measures, N, predictions=PREDICTED, failed=failed)), config)
    return config


def test_records_give_scores_trainings_masks_and_images(published):
    result = evidence.collect(published)
    scores = result.scores["softgan", "softgan", "lnsm", "dice"]
    assert scores.values.shape == (1, N)
    assert (scores.failed, scores.patients[:3]) == (1, ("p0", "p0", "p1"))
    trained = result.trained["softgan", "softgan", "lnsm"]
    assert (trained.network, trained.seeds, trained.failed, trained.kind) == ("softgan", (2020,), 1, "simulated")
    assert trained.steps >= trained.epochs > 0
    assert (trained.patients, trained.seconds) == (3, 25.0)
    assert result.masks["softgan", "unet", "lnsm"]["image0"].all()
    assert not result.masks["softgan", "unet", "lnsm"]["image1"].any()
    pictures = result.pictures["lnsm"]
    assert pictures.images.shape == pictures.truths.shape == (N, SIZE, SIZE)
    assert pictures.images[-1, -1, -1] == 255
    assert "Simulated" in pictures.credit
    # the same runs stand behind the last row of the ablation
    assert result.scores["softgan", "gan_loss", "lnsm", "dice"].values.shape == (1, N)
    assert ("softgan", "medt", "lnsm", "dice") not in result.scores


def test_lungs_on_real_slices_are_among_the_runs_unless_data_is_simulated(config):
    real = replace(config, data="real", recorded=True)
    assert ("lgan_regression", "lungs-2d") in evidence._wanted("lgan", real)
    assert ("lgan_regression", "lungs-2d") not in evidence._wanted("lgan", config)
    assert ("lgan_regression", "lungs-2d") not in evidence._wanted("softgan", real)


def test_an_empty_run_has_nothing(config):
    result = evidence.collect(config)
    assert not any((result.scores, result.trained, result.masks, result.pictures, result.seconds))


def test_other_images_than_those_tested_on_are_not_shown(published, monkeypatch):
    for data in (data_of_digest("another"), None):
        monkeypatch.setattr(evidence.finished, "data_of", lambda spec, config, data=data: data)
        pictures = evidence.collect(published).pictures["lnsm"]
        assert (pictures.images, len(pictures.ids)) == (None, N)
        assert "not those that the networks were tested on" in pictures.missing


@pytest.mark.parametrize(
    ("source", "missing", "credit"),
    [
        ("lidc", "", "CC BY 3.0 (LIDC-IDRI, TCIA)"),
        ("deeplesion", "its terms do not let a page show the images (free for research", ""),
        ("", "not on the machine", ""),
    ],
)
def test_real_images_are_shown_where_their_terms_allow_it(config, record, monkeypatch, source, missing, credit):
    monkeypatch.setattr(evidence, "locate_source", lambda *_: (SOURCES[source], "there") if source else None)
    monkeypatch.setattr(evidence.finished, "data_of", lambda spec, config: data_of_digest("d" * 8))
    spec = replace(specs("softgan/table-1", config)["unet", "lnsm"][0], source="real")
    run = SimpleNamespace(spec=spec, record=record(spec, n=N))
    pictures = evidence._pictures(run, config)
    assert pictures.credit == credit
    assert pictures.missing.startswith(missing) if source != "" else missing in pictures.missing
    assert (pictures.images is None) == bool(missing)
