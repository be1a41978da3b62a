"""What a network sees, how its answer is read, and runs that build on runs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from softmask.errors import ConfigError, TrainingError
from softmask.experiments import fit, inputs, plan, prepare, store
from softmask.experiments.kinds import THRESHOLDS, best_threshold
from softmask.experiments.prepare import Prepared
from softmask.experiments.spec import RunSpec, from_plain
from softmask.experiments.store import Record
from softmask.nets import build
from softmask.train.loop import Settings

CASGAN = (("soft_mse", 1.0), ("soft_l1", 100.0))


class Answer(nn.Module):
    """Stands for a trained network: gives what ``function`` makes of its input."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.function(x)


class Done:
    """A finished run of ``spec`` with a made-up network."""

    def __init__(self, spec, function, needs=()):
        self.spec, self.function, self.needs = spec, function, needs
        self.key, self.weights = f"key of {spec.name}", f"weights of {spec.name}"

    def network(self):
        return Answer(self.function)


@pytest.fixture
def sr(tiny):
    return tiny(network="srgan", width=2, label="high_resolution", losses=(("content", 1.0),))


@pytest.fixture
def cascade(tiny, sr):
    """``cascade(...)``: a spec on super-resolved images."""
    return lambda **changes: tiny(
        **{
            "network": "softgan_2020",
            "losses": CASGAN,
            "channels": ("bilinear", "super_resolved"),
            "scale": 4,
            "sr": sr,
        }
        | changes
    )


def repeated(x):
    return x.repeat_interleave(4, 2).repeat_interleave(4, 3)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"channels": ("image", "depth")}, "unknown channel 'depth'; choose one of image, bilinear"),
        ({"channels": ("image", "image")}, "must be distinct and non-empty"),
        ({"channels": ()}, "must be distinct and non-empty"),
        ({"channels": ("image", "bilinear"), "scale": 4}, "two sizes"),
        ({"channels": ("bilinear",), "scale": 3}, r"the scale 3 \(one of \[2, 4\]\)"),
        ({"scale": 2}, r"the scale 2 \(one of \[1\]\)"),
        ({"channels": ("bilinear",), "scale": 2, "reduction": 2}, "improved_backbone, the scale 2 and the reduction 2"),
        ({"network": "sr_input", "channels": ("bilinear",), "scale": 2, "reduction": 4}, "the reduction 4"),
        ({"channels": ("super_resolved",)}, "sr None cannot be combined"),
        ({"channels": ("image", "prior")}, "prior None cannot be combined"),
        ({"label": "teacher"}, "prior None cannot be combined"),
        ({"label": "high_resolution"}, "improved_backbone and the label high_resolution"),
        ({"network": "u-net"}, "unknown network 'u-net' .*did you mean .*choose one of .*improved_backbone"),
        ({"label": "soft"}, "kats_dilation"),
        ({"losses": (("dise", 1.0),)}, "soft_l1"),
        ({"profile": "tiny"}, "smoke"),
        ({"source": "auto"}, "embedded"),
        ({"network": "srgan", "label": "high_resolution", "losses": (("dice", 1.0),)}, "content"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(tiny, changes, says):
    with pytest.raises(ConfigError, match=says):
        tiny(**changes)


def test_runs_that_cannot_be_built_on_are_refused(tiny, sr, cascade):
    features = {"network": "dsnet", "channels": ("bilinear", "super_resolved", "detail"), "scale": 4, "sr": sr}
    gan = (*CASGAN, ("gan_least_squares", 1.0))
    assert tiny(**features, reduction=4).on_the_fly
    assert cascade(losses=gan).channels[0] == "bilinear"
    for says, make in (
        ("is not a super-resolution network", lambda: tiny(channels=("super_resolved",), sr=tiny())),
        ("cannot serve as a prior", lambda: tiny(channels=("image", "prior"), prior=sr)),
        ("the scale 4 and the reduction 2 cannot be combined", lambda: tiny(**features, reduction=2)),
        (
            "a discriminator, and super_resolved as the first channel cannot",
            lambda: cascade(losses=gan, channels=("super_resolved", "bilinear")),
        ),
    ):
        with pytest.raises(ConfigError, match=says):
            make()


def test_name_key_and_json_tell_what_a_run_builds_on(tiny, cascade):
    soft = cascade(label="softened")
    spec = tiny(network="cenet", channels=("image", "prior"), prior=soft)
    assert spec.name == ("lidc-cenet-soft_mask-image+prior-after_softgan_2020_softened-0.5dice+100soft_l1-1x4-2020")
    assert spec.needs == (soft,)
    assert from_plain(RunSpec, spec.to_json(), "spec") == spec
    assert len({spec.key("d", "c"), spec.key("d", "c", ["n"]), replace(spec, prior=cascade()).key("d", "c")}) == 3


def test_a_spec_written_before_runs_built_on_runs_is_still_read(tiny):
    content = tiny().to_json()
    for name in ("channels", "sr", "prior"):
        del content[name]
    del content["settings"]["hold"]
    assert from_plain(RunSpec, content, "spec") == tiny()


def test_channels_hold_what_their_names_say(tiny, cascade, sr, config):
    images = np.random.default_rng(0).random((3, 1, 16, 16), np.float32)
    enlarger = Done(sr, repeated)
    spec = cascade(label="softened")
    both = inputs.channels(spec, images, [enlarger])
    assert both.shape == (3, 2, 64, 64)
    np.testing.assert_allclose(both[:, 1, ::4, ::4], images[:, 0], atol=5e-4)  # kept in half precision
    np.testing.assert_allclose(
        both[:, 0].reshape(3, 16, 4, 16, 4).mean((2, 4))[:, 1:-1, 1:-1], _smooth(images[:, 0])[:, 1:-1, 1:-1], atol=1e-6
    )
    prior = Done(spec, lambda x: 8 * x[:, 1:] - 4, [enlarger])
    seen = inputs.channels(tiny(network="cenet", channels=("image", "prior"), prior=spec), images, [prior])
    np.testing.assert_array_equal(seen[:, 0], images[:, 0])
    np.testing.assert_allclose(seen[:, 1], 1 / (1 + np.exp(-2 * (8 * images[:, 0] - 4))), atol=5e-3)


def _smooth(x):
    """What interpolating to four times the size and averaging back leaves of the inner pixels."""
    kernel = np.array([0.125, 0.75, 0.125])
    for axis in (1, 2):
        x = np.apply_along_axis(np.convolve, axis, x, kernel, "same")
    return x


@pytest.mark.parametrize(("scale", "reduction", "name"), [(2, 1, "x2"), (4, 4, "x4to1")])
def test_every_form_of_the_transfer_trains_under_a_name_of_its_own(tiny, sr, config, data_from, scale, reduction, name):
    data_from()
    gan = (("dice", 0.5), ("soft_l1", 100.0), ("gan", 1.0))
    spec = tiny(
        network="dsnet", channels=("bilinear", "super_resolved", "detail"), scale=scale, reduction=reduction, sr=sr,
        losses=gan,
    )  # fmt: skip
    assert f"-bilinear+super_resolved+detail_{name}-" in spec.name
    [run] = fit([spec], config, jobs=1)
    assert len(run.record.measures["dice"]) == 10
    assert run.network().inputs == 2 + sr.width  # the weights that are kept are the segmentor's alone
    images = np.random.default_rng(0).random((3, 1, 16, 16), np.float32)
    assert inputs.soft_masks(run, images).shape == (3, 1, 16, 16)


def test_features_at_full_size_are_never_made_for_all_images(tiny, sr, config, data_from, monkeypatch):
    """What trains and is tested on them holds the images alone, and sees what it would have been given."""
    data_from()

    generator, segmentor = build("srgan", sr.width).eval(), build("dsnet", 2, 2 + sr.width, 4).eval()
    run = Done(sr, None)
    run.network = lambda: generator
    spec = tiny(network="dsnet", channels=("bilinear", "super_resolved", "detail"), scale=4, reduction=4, sr=sr)
    data: Prepared = prepare.prepare(spec, config)
    fed = inputs.feed(spec, data, [run])
    assert fed.train.images.shape == (8, 1, 16, 16)
    assert fed.train.masks.shape == (8, 1, 16, 16)
    images = data.test.images
    expected = [inputs.interpolated(images, 4), inputs.super_resolved(run, images), inputs.detail(run, images)]
    with torch.no_grad():
        result = inputs.with_channels(spec, segmentor, [run])(torch.tensor(images))
        wanted = segmentor(torch.tensor(np.concatenate(expected, axis=1, dtype=np.float32)))
        generator.last.register_forward_pre_hook(
            lambda _, read: np.testing.assert_allclose(expected[2], *read, atol=2e-3)
        )
        generator(torch.tensor(images))  # F_SR is what its last convolution reads
    torch.testing.assert_close(result, wanted, atol=2e-3, rtol=0)  # kept in half precision there
    other = tiny(network="dsnet", channels=spec.channels, scale=2, reduction=2, sr=sr)
    assert inputs.with_channels(other, segmentor, [run]) is segmentor


def test_an_answer_is_read_at_the_size_of_the_data(tiny, cascade):
    answers = np.random.default_rng(0).random((2, 1, 64, 64), np.float32)
    probabilities, alphas = inputs.read(cascade(), answers)
    odds = (answers / (1 - answers)) ** 2
    expected = (odds / (1 + odds)).reshape(2, 16, 4, 16, 4).mean((2, 4))
    np.testing.assert_allclose(alphas, expected, atol=1e-6)
    np.testing.assert_array_equal(probabilities, alphas)  # no loss looked at the mask
    probabilities, alphas = inputs.read(tiny(), answers)  # one did
    np.testing.assert_array_equal(probabilities, answers[:, 0])
    assert not np.allclose(alphas, probabilities)


def test_training_labels_are_enlarged_softened_or_a_teachers(tiny, cascade, sr, config, data_from):
    data_from()

    data: Prepared = prepare.prepare(tiny(), config)
    enlarger = Done(sr, repeated)
    fed = inputs.feed(cascade(label="softened"), data, [enlarger])
    soft = fed.train.soft["softened"]
    assert fed.train.images.shape == (8, 2, 64, 64)
    assert fed.train.masks.shape == soft.shape == (8, 1, 64, 64)
    assert set(np.unique(fed.train.masks)) == {0.0, 1.0}
    largest = np.maximum(data.train.masks, data.train.soft["soft_mask"])
    np.testing.assert_allclose(soft.mean(), largest.mean(), atol=2e-3)
    assert fed.test is data.test
    teacher = Done(tiny(), lambda x: 6 * x - 3)
    taught = inputs.feed(tiny(label="teacher", prior=tiny()), data, [teacher])
    np.testing.assert_allclose(
        taught.train.soft["teacher"], 1 / (1 + np.exp(-2 * (6 * data.train.images - 3))), atol=1e-5
    )


def test_the_threshold_is_the_best_on_the_images_given_and_the_highest_among_equals():
    masks = np.zeros((2, 8, 8), bool)
    masks[:, 2:6, 2:6] = True
    alphas = np.where(masks, 0.97, 0.9)
    assert best_threshold(alphas, masks, "run") == 0.97
    assert best_threshold(masks.astype(float), masks, "run") == THRESHOLDS[-1].round(3)
    with pytest.raises(TrainingError, match=r"run: no threshold fits: the highest value .* is 0\.040"):
        best_threshold(np.full((2, 8, 8), 0.04), masks, "run")


def test_a_chain_of_runs_trains_in_order_and_once(cascade, tiny, config, data_from):
    data_from()
    soft = cascade(label="softened", losses=(*CASGAN, ("gan_least_squares", 1.0)))
    last = cascade(label="binary", channels=("bilinear", "super_resolved", "prior"), prior=soft)
    beside = tiny(network="graph_cut_deep", width=0, losses=(), prior=soft, label="binary")
    planned = plan.plan([last, beside], config)
    assert [run.spec for run in planned] == [soft.sr, soft, last, beside]
    assert [[run.spec for run in stage] for stage in plan.stages(plan.missing(planned))] == [
        [soft.sr],
        [soft],
        [last, beside],
    ]
    runs = fit([last, beside], config, jobs=2)
    assert [run.spec for run in runs] == [last, beside]
    first = runs[0].record
    assert first.provenance.needs == tuple(need.key for need in runs[0].needs)
    assert len(first.measures["dice"]) == 10
    assert runs[0].network().inputs == 3
    assert inputs.soft_masks(runs[0], np.zeros((1, 1, 16, 16), np.float32)).shape == (1, 1, 16, 16)
    enlarged = Record.read(store.folder_of(planned[0].key) / "record.json")
    assert enlarged.calibration is None
    assert len(enlarged.measures["psnr"]) == 10
    assert Record.read(store.folder_of(planned[1].key) / "record.json").threshold in THRESHOLDS.round(3)
    assert runs[1].record.provenance.weights is None
    with pytest.raises(ConfigError, match="graph_cut_deep is not trained"):
        runs[1].network()
    assert not plan.missing(plan.plan([last, beside], config))
    assert plan.missing(plan.plan([replace(last, prior=replace(soft, seed=1))], config))[0].spec.seed == 1


def test_what_builds_on_a_failed_run_fails_with_it(sr, cascade, tiny, config, data_from, monkeypatch):
    data_from()
    diverging = replace(sr, settings=Settings(epochs=1, batch_size=4, learning_rate=1e30))
    with pytest.raises(TrainingError, match=r"(?s)2 of 3 runs failed.*it needs lidc-srgan.*which failed"):
        fit([cascade(sr=diverging), tiny()], config, jobs=1)
    assert len(list(store.root().glob("*/record.json"))) == 1
