"""What notebooks 4 and 6 show besides their tables, from made-up records and tiny networks."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from softmask import papers
from softmask.analysis import cascade, claims, finished
from softmask.config import Config
from softmask.experiments import Run
from softmask.experiments.prepare import Part, Prepared
from softmask.experiments.rows import rows_of, spec
from softmask.measure import verdicts
from softmask.measure.images import DOCTORS
from softmask.nets import build
from softmask.nets.cascade import transferred
from softmask.nets.dsnet import drtm, edrfm, sdrfm
from softmask.report import diagrams, panels

N, SIZE = 12, 64
IDS = tuple(f"image{i}" for i in range(N))


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTMASK_CACHE", str(tmp_path / "cache"))
    return Config.from_parameters("smoke", "embedded", seeds=2)


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
    masks = np.stack([np.hypot(rows - 31, columns - 31) < 9] * N)[:, None].astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 0.03, masks.shape)
    images = np.clip(0.2 + 0.6 * masks + noise, 0, 1).astype(np.float32)
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
    assert fed.titles["super_resolved"].startswith("interpolated")


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


def untrained(spec, names=(), folder="somewhere"):
    """A run with an untrained network; ``folder`` None makes it a recorded one."""
    torch.manual_seed(len(spec.network))
    needs = [untrained(need) for need in spec.needs] if folder else ()
    network = build(spec.network, spec.width, *(() if spec.upscales else (spec.inputs, spec.reduction))).eval()
    record = SimpleNamespace(some_predictions=lambda: dict.fromkeys(names), failed=False)
    own = {"spec": spec, "folder": folder, "weights": f"of {spec.name}", "needs": needs, "record": record}
    return SimpleNamespace(**own, network=lambda: network)


@pytest.mark.parametrize(("folder", "note"), [("somewhere", "by the trained"), (None, "untrained network")])
def test_an_example_is_what_the_network_trains_on(config, data, folder, note):
    run = untrained(spec("dsnet", "lnsm", config), folder=folder)
    fed = cascade.example(run.spec, {("dsnet", "lnsm"): [run]}, config)
    assert note in fed.note
    assert fed.batch.images.shape == (4, 6, 2 * SIZE, 2 * SIZE)
    assert fed.batch.masks.shape == fed.batch.soft.shape == (4, 1, SIZE, SIZE)
    assert fed.channels.shape == (6, 2 * SIZE, 2 * SIZE)


def test_attention_behind_a_generator_is_that_of_the_segmentor(config, data):
    run = untrained(spec("dsnet_full_features", "lnsm", config))
    images = data[0].test.images[:5]
    result = cascade.attention(run, images)
    with torch.inference_mode():
        seen = transferred(run.needs[0].network(), torch.tensor(images))
        backbone = run.network().backbone
        block, x = backbone.first, run.network().reduce(run.network().module(seen))
        expected = block.spatial_attention.weights(block.channel_attention(block.convs(x)))[:, 0]
    np.testing.assert_allclose(result, expected.numpy(), atol=1e-5)


def test_looks_of_two_runs_and_of_none(config, data):
    names = [IDS[0], IDS[3]]
    neither, dsnet_run = (
        untrained(spec(row, "lnsm", config, paper="dsnet-v2"), names) for row in ("neither", "dtm_csf")
    )
    fitted, rows = {("neither", "lnsm"): [neither], ("dtm_csf", "lnsm"): [dsnet_run]}, ("neither", "dtm_csf")
    [first, second] = cascade.views(fitted, rows, "lnsm", config)
    np.testing.assert_array_equal(second.image, data[0].test.images[3, 0])
    assert first.super_resolved.shape == (2 * SIZE, 2 * SIZE)
    assert first.without.shape == first.having.shape == (SIZE, SIZE)
    assert not np.allclose(first.without, first.having)
    fig = panels.attention([first, second], "DRTM")
    shown = [image for ax in fig.axes for image in ax.get_images() if image.get_cmap().name == "cividis"]
    assert len({image.get_clim() for image in shown}) == 1
    fig.canvas.draw()
    recorded = {("neither", "lnsm"): [untrained(neither.spec, names, folder=None)]}
    assert cascade.views(fitted | recorded, rows, "lnsm", config) == []
    assert cascade.views(recorded, rows, "lnsm", config) == cascade.views({}, rows, "lnsm", config) == []
    assert panels.attention([], "DRTM") is None


def layers_of(module) -> set[tuple[str, int]]:
    """Names and outputs of a module's convolutions and dense layers, as diagrams name them."""
    layers = [part for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    return {(diagrams._describe(part), getattr(part, "out_channels", None) or part.out_features) for part in layers}


@pytest.mark.parametrize("module", [None, drtm, sdrfm, edrfm])
def test_diagrams_written_by_hand_have_the_modules_layers(module, monkeypatch):
    drawn, diagram = [], diagrams.diagram
    monkeypatch.setattr(diagrams, "diagram", lambda boxes, **more: drawn.extend(boxes) or diagram(boxes, **more))
    (cascade.transfer(module) if module else cascade.cbam()).canvas.draw()
    labels = {(re.split(", ReLU", box.label)[0], box.channels) for box in drawn}
    layers = {(label, channels) for label, channels in labels if label.startswith(("conv", "dense"))}
    with torch.device("meta"):
        assert layers == layers_of(module(64) if module else build("improved_backbone").down[0][-1])


def test_the_overview_can_be_drawn():
    cascade.overview("dsnet", "DRTM", []).canvas.draw()
