"""What notebook 4 shows besides its tables, from made-up records."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from softmask import papers
from softmask.analysis import cascade, claims, finished
from softmask.experiments import Run
from softmask.experiments.prepare import Part, Prepared
from softmask.experiments.rows import rows_of, spec
from softmask.measure import verdicts
from softmask.measure.images import DOCTORS
from softmask.nets import build

N, SIZE = 12, 64
IDS = tuple(f"image{i}" for i in range(N))


@pytest.fixture
def run_of(record):
    def run_of(spec, threshold=0.5, **measures):
        kept = (255 * np.random.default_rng(spec.seed).uniform(size=(SIZE, SIZE))).astype(np.uint8)
        changes = {"ids": IDS, "groups": IDS, "curves": {"validation_dice": [0.5]}, "best_epoch": 1}
        return Run(spec, record(spec, measures, predictions={IDS[0]: kept}, threshold=threshold, **changes))

    return run_of


@pytest.fixture
def data(monkeypatch):
    """Discs in place of any data; without it where ``data.clear()`` was called."""
    rows, columns = np.indices((SIZE, SIZE))
    mask = (np.hypot(rows - 31, columns - 31) < 9).astype(np.float32)
    images = np.stack([0.2 + 0.6 * mask] * N)[:, None].astype(np.float32)
    masks = np.stack([mask] * N)[:, None]
    part = Part(IDS, IDS, images, masks, {"soft_mask": 0.9 * masks})
    result = [Prepared("lnsm", "embedded", "discs", "d", part, part, part)]
    monkeypatch.setattr(finished, "data_of", lambda run, config: result[0] if result else None)
    monkeypatch.setattr(cascade, "data_of", lambda run, config: result[0] if result else None)
    return result


def test_a_recorded_example_is_interpolated_and_says_so(config, data):
    fed = cascade.example(spec("casgan_soft", "lnsm", config), {}, config)
    assert fed.channels.shape == (2, 128, 128)
    np.testing.assert_allclose(fed.channels[0], fed.channels[1], atol=1e-3)  # both interpolated, one in half precision
    assert [array.shape for array in fed.batch] == [(4, 2, 128, 128), (4, 1, 128, 128), (4, 1, 128, 128)]
    assert fed.note.startswith("recorded: interpolated")


def test_the_cascade_as_one_module_gives_what_its_parts_give():
    generator, segmentor = build("srgan", 4).eval(), build("softgan_2020", 4, 2).eval()
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        for scale, size in ((4, 256), (2, 128)):
            assert cascade.Cascade(generator, segmentor, scale)(image).shape == (1, 1, size, size)
        enlarged = torch.nn.functional.interpolate(image, scale_factor=4, mode="bilinear", align_corners=False)
        expected = segmentor(torch.cat([enlarged, generator(image)], dim=1))
        torch.testing.assert_close(cascade.Cascade(generator, segmentor, 4)(image), expected)


def test_the_network_is_compared_with_each_doctor_on_the_same_nodules(config, run_of):
    values = np.linspace(0.5, 0.9, N)
    measures = {"dice": values} | {f"truth_{doctor}": values - 0.1 * i for i, doctor in enumerate(DOCTORS, 1)}
    runs = [run_of(item, **measures) for item in rows_of(["casgan"], "lidc-500", config)["casgan", "lidc-500"]]
    scores = cascade.doctors({("casgan", "lidc-500"): runs})
    doctor = scores["doctor2", "lidc-500", "dice_consensus50"]
    assert (doctor.values.shape, doctor.fixed) == ((1, N), True)
    judged = claims.judge(claims.find("casgan", "every doctor"), scores)
    assert judged.verdict == verdicts.HOLDS
    assert [round(pair.outcome.difference.mean, 1) for pair in judged.pairs] == [10, 20, 30, 40]
    assert cascade.doctors({}) == {}


def test_claims_of_what_is_not_run_say_so(config):
    for claim in papers.load("casgan").claims:
        assert claims.judge(claim, {}).verdict == (verdicts.NOT_RUN if claim.judged else verdicts.REPORTED)


def test_figures_with_and_without_data(config, data, run_of):
    run = run_of(replace(spec("casgan_soft", "isbi2012", config), source="embedded"))
    rows = cascade.pictured(run, config)
    assert [panel.image is not None for panel in rows[0]] == [True] * 5
    fitted = {("casgan_soft", "isbi2012"): [run]}
    cascade.side_by_side(fitted, "casgan_soft", config).canvas.draw()
    cascade.prior_diagram(spec("cenet_plusplus", "isbi2012", config)).canvas.draw()
    data.clear()
    bare = cascade.pictured(run, config)
    assert [panel.image is not None for panel in bare[0]] == [False, False, False, True, False]
    cascade.side_by_side(fitted, "casgan_soft", config).canvas.draw()
    assert cascade.side_by_side(fitted, "casgan", config) is None
