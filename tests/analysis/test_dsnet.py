"""What notebook 6 shows of DSNet, from tiny networks and made-up runs."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from softmask.analysis import cascade, training
from softmask.analysis.finished import Fitted
from softmask.config import Config
from softmask.experiments import Run
from softmask.experiments.prepare import Part, Prepared
from softmask.experiments.rows import spec
from softmask.nets import build
from softmask.nets.cascade import transferred
from softmask.nets.dsnet import drtm, edrfm, sdrfm
from softmask.nets.softgan import CBAMBlock
from softmask.report import panels

SIZE, N = 64, 5


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTMASK_OUTPUT", str(tmp_path))
    monkeypatch.setenv("SOFTMASK_CACHE", str(tmp_path / "cache"))
    return Config.from_parameters("smoke", "embedded")


@pytest.fixture
def images():
    return np.random.default_rng(0).random((N, 1, SIZE, SIZE), np.float32)


def finished(spec, names=(), folder="somewhere"):
    """A run with an untrained network; ``folder`` None makes it a recorded one."""
    torch.manual_seed(len(spec.network))
    needs = [finished(need) for need in spec.needs] if folder else ()
    network = build(spec.network, spec.width, *(() if spec.upscales else (spec.inputs, spec.reduction))).eval()
    record = SimpleNamespace(shown=lambda: dict.fromkeys(names), failed=False)
    own = {"spec": spec, "folder": folder, "key": f"key of {spec.name}", "needs": needs, "record": record}
    return SimpleNamespace(**own, network=lambda: network)


@pytest.fixture
def data(monkeypatch, images):
    part = Part(
        tuple(f"i{i}" for i in range(N)), tuple(f"p{i}" for i in range(N)), images, images > 0.5, {"soft_mask": images}
    )
    result = Prepared("lnsm", "embedded", "noise", "d", part, part, part)
    monkeypatch.setattr(cascade, "data_of", lambda run, config: result)
    monkeypatch.setattr(cascade, "example_of", lambda run, config: result)
    return result


@pytest.mark.parametrize(("folder", "note"), [("somewhere", "by the trained"), (None, "has learnt nothing")])
def test_an_example_is_what_the_network_trains_on(config, data, folder, note):
    run = finished(spec("dsnet", "lnsm", config), folder=folder)
    fed = cascade.example(run.spec, {("dsnet", "lnsm"): [run]}, config)
    assert note in fed.note
    assert fed.batch.images.shape == (4, 6, 2 * SIZE, 2 * SIZE)
    assert fed.batch.masks.shape == fed.batch.soft.shape == (4, 1, SIZE, SIZE)
    assert fed.channels.shape == (6, 2 * SIZE, 2 * SIZE)


def test_attention_behind_a_generator_is_that_of_the_segmentor(config, images):
    run = finished(spec("dsnet_full_features", "lnsm", config))
    result = cascade.attention(run, images)
    with torch.inference_mode():
        seen = transferred(run.needs[0].network(), torch.tensor(images))
        backbone = run.network().backbone
        block, x = backbone.first, run.network().reduce(run.network().module(seen))
        expected = block.spatial_attention.weights(block.channel_attention(block.convs(x)))[:, 0]
    np.testing.assert_allclose(result, expected.numpy(), atol=1e-5)


def test_looks_of_two_runs_and_of_none(config, data):
    names = [data.test.ids[i] for i in (0, 3)]
    neither, dsnet_run = (
        finished(spec(row, "lnsm", config, paper="dsnet-v2"), names) for row in ("neither", "dtm_csf")
    )
    fitted, rows = {("neither", "lnsm"): [neither], ("dtm_csf", "lnsm"): [dsnet_run]}, ("neither", "dtm_csf")
    [first, second] = cascade.looks(fitted, rows, "lnsm", config)
    np.testing.assert_array_equal(second.image, data.test.images[3, 0])
    assert first.super_resolved.shape == (2 * SIZE, 2 * SIZE)
    assert first.without.shape == first.having.shape == (SIZE, SIZE)
    assert not np.allclose(first.without, first.having)
    fig = panels.attention([first, second], "DRTM")
    shown = [image for ax in fig.axes for image in ax.get_images() if image.get_cmap().name == "cividis"]
    assert len({image.get_clim() for image in shown}) == 1
    fig.canvas.draw()
    recorded = {("neither", "lnsm"): [finished(neither.spec, names, folder=None)]}
    assert cascade.looks(fitted | recorded, rows, "lnsm", config) == []
    assert cascade.looks(recorded, rows, "lnsm", config) == cascade.looks({}, rows, "lnsm", config) == []
    assert panels.attention([], "DRTM") is None


def test_other_forms_have_their_validation_dice(record):
    wanted = training.other_rows(Config.from_parameters("night", "embedded"))
    place = ("dsnet_averaged", "lnsm")
    runs = []
    for one, best in zip(wanted[place], (0.7, 0.8, 0.9), strict=True):
        measures = dict.fromkeys(("dice", "sen", "ppv"), (0.5, 0.6))
        curves = {"validation_dice": (0.1, best, 0.2)}
        runs.append(Run(one, record(one, measures, 2, curves=curves)))
    cells = training.other_forms(Fitted({place: runs}, wanted))
    [cell] = [cell for cell in cells if cell.metric == "validation_dice"]
    assert (cell.ours_mean, cell.n_seeds) == (pytest.approx(0.8), 3)
    assert cell.ours_std == pytest.approx(0.1)
    assert training.other_forms(Fitted({}, wanted)) == []


@pytest.mark.parametrize("inputs", [6, 8])
def test_a_block_in_steps_gives_what_the_block_gives(inputs):
    block, x = CBAMBlock(inputs, 8).eval(), torch.randn(2, inputs, 12, 10)
    torch.testing.assert_close(cascade.drawn_cbam(block)(x), block(x))


@pytest.mark.parametrize("module", [drtm, sdrfm])
def test_a_transfer_in_steps_gives_what_the_transfer_gives(module):
    transfer, x = module(6), torch.randn(2, 8, 12, 10)
    torch.testing.assert_close(cascade.drawn_transfer(transfer)(x[:, :1], x[:, 1:2], x[:, 2:]), transfer(x))


def test_figures_can_be_drawn():
    for fig in (cascade.cbam(), cascade.transfer(drtm), cascade.transfer(edrfm), cascade.overview("dsnet", "DRTM", [])):
        fig.canvas.draw()
