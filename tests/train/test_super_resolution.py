"""Super-resolution: what is trained towards what, in which order, and how it goes on after an interruption."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from softmask.errors import ConfigError, TrainingError
from softmask.nets.perceptual import Perceptual
from softmask.nets.srgan import Generator
from softmask.train import Settings, seeded
from softmask.train import super_resolution as sr

CONTENT = (("content", 1.0),)
SRGAN = (*CONTENT, ("adversarial", 0.01), ("total_variation", 0.1))
SETTINGS = Settings(epochs=3, batch_size=4, learning_rate=5e-3, warmup=1, discriminator_width=2)


@pytest.fixture
def data(data):
    """Eight discs of 32 x 32 pixels to learn from, six to validate on."""
    discs = [np.kron(part.images, np.ones((2, 2), np.float32)) for part in (data.train, data.validation)]
    return SimpleNamespace(train=SimpleNamespace(images=discs[0][:8]), validation=SimpleNamespace(images=discs[1]))


@pytest.fixture
def run(data, tmp_path):
    """Train a narrow generator with the arguments given instead of the usual ones."""

    def run(losses=SRGAN, settings=SETTINGS, seed=1, folder="run", data=data, network=None, **others):
        if network is None:
            with seeded(seed):
                network = Generator(2)
        outcome = sr.train_super_resolution(
            network, losses, data, settings, seed, tmp_path / folder, name="a-run", **others
        )
        return network, outcome

    return run


def weights(network):
    return {name: value.numpy().tobytes() for name, value in network.state_dict().items()}


def objective(losses):
    with seeded(3):
        network = Generator(2)
    return sr.SuperResolution(network, losses, torch.device("cpu"), width=2, seed=3, steps=1)


def test_low_resolution_is_the_mean_of_four_by_four_pixels():
    high = torch.rand(2, 1, 8, 12)
    low = sr.degrade(high)
    assert low.shape == (2, 1, 2, 3)
    assert low[1, 0, 1, 2] == pytest.approx(high[1, 0, 4:8, 8:12].mean().item())


@pytest.mark.parametrize("flips", [(t, u, m) for t in (0, 1) for u in (0, 1) for m in (0, 1)])
def test_a_patch_is_a_cut_in_one_of_eight_orientations(flips):
    image = torch.arange(100.0 * 100).view(1, 100, 100)
    expected = image[0, 7 : 7 + sr.PATCH, 30 : 30 + sr.PATCH].numpy()
    transposed, upside, mirrored = flips
    expected = expected.T if transposed else expected
    expected = np.flipud(expected) if upside else expected
    expected = np.fliplr(expected) if mirrored else expected
    np.testing.assert_array_equal(sr.patch(image, *flips, 7, 30)[0].numpy(), expected)


def test_losses_by_hand():
    fake, high = torch.rand(2, 3, 1, 32, 32)
    losses = [(name, 2.0) for name in sr.SR_LOSSES if name != "vgg54"]  # deep, and the same but for its layer
    loop = objective(losses)
    discriminator = loop.modules["discriminator"]
    result = {name: distance(fake, high).item() for name, distance in loop.distances.items()}
    steps = [
        np.square(np.diff(fake[:, 0].numpy(), axis=axis)).sum() / (3 * 31 * 32) for axis in (1, 2)
    ]  # of 31 pairs in each of 32 columns, and rows
    assert result["content"] == pytest.approx(((fake - high) ** 2).mean().item())
    assert result["total_variation"] == pytest.approx(sum(steps), rel=1e-5)
    assert result["vgg22"] == pytest.approx(Perceptual("vgg22")(fake, high).item())
    assert result["adversarial"] == pytest.approx(-torch.sigmoid(discriminator(fake)).log().mean().item(), rel=1e-5)


def test_a_step_with_the_content_alone_moves_the_generator_only():
    loop = objective(SRGAN)
    network, discriminator = loop.modules.values()
    before = weights(network), weights(discriminator)
    high = torch.rand(2, 1, 32, 32)
    assert set(loop.step(high, ["content"])) == {"loss_content"}
    assert weights(network) != before[0]
    assert weights(discriminator) == before[1]
    values = loop.step(high, [name for name, _ in SRGAN])
    assert set(values) == {f"loss_{name}" for name, _ in SRGAN} | {
        f"discriminator_{text}" for text in ("loss", "accuracy_real", "accuracy_fake")
    }
    assert weights(discriminator) != before[1]


def test_curves(run, data):
    network, outcome = run()
    curves = outcome.curves
    after = {"loss_adversarial", "loss_total_variation", "discriminator_loss"}
    after |= {"discriminator_accuracy_real", "discriminator_accuracy_fake"}
    every = {"train_loss", "loss_content", "validation_psnr", "learning_rate"}
    assert {name: len(curve) for name, curve in curves.items()} == dict.fromkeys(every, 3) | dict.fromkeys(after, 2)
    assert curves["train_loss"][0] == curves["loss_content"][0]
    shares = np.sum([curves[f"loss_{name}"][-2:] for name, _ in SRGAN], axis=0)
    np.testing.assert_allclose(curves["train_loss"][1:], shares)
    np.testing.assert_allclose(curves["learning_rate"], [5e-3 * (1 - epoch / 3) ** 0.9 for epoch in range(3)])
    assert outcome.best_epoch == 3  # the last one's weights
    images = data.validation.images
    errors = np.square(sr.upscale(network, sr.degrade(torch.tensor(images)).numpy()) - images).mean((1, 2, 3))
    assert curves["validation_psnr"][-1] == pytest.approx(-10 * np.log10(errors).mean(), rel=1e-5)


def test_content_training_beats_interpolation(run, data):
    _, outcome = run(CONTENT, replace(SETTINGS, epochs=12, batch_size=2, learning_rate=1e-2))
    images = torch.tensor(data.validation.images)
    interpolated = F.interpolate(sr.degrade(images), scale_factor=4, mode="bilinear")
    psnr = -10 * (interpolated - images).square().mean((1, 2, 3)).log10().mean()
    assert outcome.curves["validation_psnr"][-1] > psnr + 0.1


def test_an_interrupted_training_goes_on_to_the_same_result(run):
    epoch, (network, outcome) = 2, run()

    def interrupt(done, epochs, _):
        assert epochs == 3
        if done == epoch:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(folder="interrupted", progress=interrupt)
    seen = []
    again, outcome_again = run(folder="interrupted", progress=lambda done, *_: seen.append(done))
    assert seen == list(range(epoch, 4))
    assert weights(again) == weights(network)
    assert outcome_again.curves == outcome.curves


@pytest.mark.parametrize(
    ("part", "says"), [("train", r"batch \d of 2: .* training images \[2\]"), ("validation", "validation: NaN")]
)
def test_an_image_with_nan_is_named_with_run_and_epoch(run, data, part, says):
    getattr(data, part).images[2, 0, 3, 3] = np.nan
    with pytest.raises(TrainingError, match=f"a-run: epoch 1, {says} .*there is no checkpoint yet"):
        run()


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ((*CONTENT, ("dice", 1.0)), "unknown loss 'dice'; choose one of adversarial, content"),
        ((("content", 0.0),), "weight of loss 'content' must be positive"),
        ((("adversarial", 1.0),), "must name content"),
        (CONTENT * 2, "each loss once"),
    ],
)
def test_losses_that_do_not_go_together_are_refused(run, losses, message):
    with pytest.raises(ConfigError, match=message):
        run(losses)


@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize(
    ("shape", "message"),
    [((0, 1, 32, 32), "$"), ((2, 1, 30, 30), " are 2 x 1 x 30 x 30"), ((2, 3, 32, 32), " are 2 x 3 x 32")],
)
def test_images_that_do_not_fit_are_refused(run, data, part, shape, message):
    setattr(data, part, SimpleNamespace(images=np.zeros(shape, np.float32)))
    with pytest.raises(ConfigError, match=f"{part}.* images{message}"):
        run()


def test_upscaled_images_stay_in_range_and_the_generator_as_it_was():
    generator = Generator(2).train()
    generator.last.bias.data.fill_(0.9)
    images = np.random.default_rng(1).random((5, 1, 8, 12), dtype=np.float32)
    result = sr.upscale(generator, images, batch_size=2)
    assert result.shape == (5, 1, 32, 48)
    assert result.dtype == np.float32
    assert result.min() >= 0
    assert result.max() <= 1
    assert generator.training
    np.testing.assert_allclose(result[3:4], sr.upscale(generator, images[3:4]), atol=1e-6)
    for parameter in generator.last.parameters():
        parameter.data.zero_()
    black = np.zeros((1, 1, 8, 8), np.float32)
    assert sr.validation_psnr(generator, black, 1) == pytest.approx(100)  # met exactly, and finite
