"""The turns of the segmentor and of its adversary: which way each goes, clipped weights, and the step without one."""

from __future__ import annotations

import pytest
import torch

from softmask.nets import build
from softmask.nets.critics import CRITICS
from softmask.train import Settings, train
from softmask.train.device import seeded
from softmask.train.losses import LOSSES, Batch, weighted
from softmask.train.objectives import CLIP, FASTEST, Segmentation, beside

CPU = torch.device("cpu")
PIXELS = (("hard_cross_entropy", 1.0),)
SETTINGS = Settings(epochs=4, batch_size=4, learning_rate=1e-3, discriminator_width=4)
GANS = ("gan", "gan_least_squares")
WASSERSTEIN = tuple(f"wasserstein_{critic}" for critic in CRITICS)


def loop_of(tiny, *losses: tuple[str, float], rate: float = 1e-3) -> Segmentation:
    with seeded(3):
        network = tiny(dropout=0.0)
    return Segmentation(network, losses, CPU, rate, width=4, seed=3)


@pytest.fixture(params=GANS)
def gan(request, tiny) -> Segmentation:
    return loop_of(tiny, ("soft_l1", 1.0), (request.param, 2.0), rate=1e-2)


@pytest.fixture(params=WASSERSTEIN)
def loop(request, tiny) -> Segmentation:
    return loop_of(tiny, *PIXELS, (request.param, 1.0))


@pytest.fixture
def batch(data) -> Batch:
    return Batch(*map(torch.tensor, (data.train.images, data.train.masks, data.train.soft["soft_mask"])))


def outputs_of(loop: Segmentation, batch: Batch) -> list[torch.Tensor]:
    return list(loop.outputs(batch.images))


def logits_of(loop: Segmentation, batch: Batch) -> torch.Tensor:
    return outputs_of(loop, batch)[0].detach()


def generator_step(loop: Segmentation, batch: Batch, followed: list[str]) -> dict[str, torch.Tensor]:
    """The segmentor's turn alone. Returns its losses."""
    outputs = outputs_of(loop, batch)
    terms = weighted(outputs, batch, loop.pixel)
    loop.optimisers["network"].zero_grad()
    loop.adversary.backward(batch, loop.adversary.mask(outputs[0]), outputs, terms, followed)
    loop.optimisers["network"].step()
    return terms


def state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.named_parameters()}


def same(module: torch.nn.Module, before: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, before[name]) for name, value in module.named_parameters())


@torch.no_grad()
def judged(loop: Segmentation, batch: Batch, logits: torch.Tensor) -> list[torch.Tensor]:
    """The discriminator's logits of real masks, and of the segmentor's."""
    return [loop.adversary.module(batch.images, masks) for masks in (2 * batch.soft - 1, torch.tanh(logits))]


@torch.no_grad()
def gap(loop: Segmentation, batch: Batch, logits: torch.Tensor) -> float:
    """What the adversary says of real minus fake masks; the regression critic's signed distance the other way round."""
    if loop.adversary.NAME == "critic":
        return -loop.adversary.module(batch.images, batch.masks, torch.sigmoid(logits)).mean().item()
    real, fake = judged(loop, batch, logits)
    return (real.mean() - fake.mean()).item()


@pytest.mark.parametrize(
    "losses", [(("soft_l1", 1.0), (name, 2.0)) for name in GANS] + [(*PIXELS, (name, 1.0)) for name in WASSERSTEIN]
)
def test_the_adversary_s_turn_widens_the_gap_between_real_and_fake_and_the_segmentor_s_narrows_it(losses, tiny, batch):
    loop = loop_of(tiny, *losses, rate=1e-2 if losses[1][0] in GANS else 1e-3)
    logits, network = logits_of(loop, batch), state(loop.modules["network"])
    before = gap(loop, batch, logits)
    for _ in range(30):  # the first few may spend themselves on a bias that real and fake share
        loop.adversary.update(batch, loop.adversary.mask(logits))
    assert gap(loop, batch, logits) > before
    assert same(loop.modules["network"], network)
    adversary, before = state(loop.adversary.module), gap(loop, batch, logits_of(loop, batch))
    name = loop.adversary.name
    steps = [generator_step(loop, batch, [name])[name].item() for _ in range(4)]  # the loss of pixels is another matter
    assert steps[-1] < steps[0]
    assert gap(loop, batch, logits_of(loop, batch)) < before
    assert same(loop.adversary.module, adversary)
    assert all(parameter.requires_grad for parameter in loop.adversary.module.parameters())


def test_the_discriminator_sees_masks_between_minus_one_and_one(gan, batch):
    on_real, on_fake = judged(gan, batch, logits_of(gan, batch))
    seen = []
    gan.modules["discriminator"].register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    values = gan.step(batch, ["soft_l1", gan.adversary.name])
    # its numbers are those before its move
    boundary = {"gan": 0.0, "gan_least_squares": 0.5}[gan.adversary.name]
    torch.testing.assert_close(values["discriminator_loss"], gan.adversary.loss.discriminator(on_real, on_fake))
    assert values["discriminator_accuracy_real"] == (on_real > boundary).float().mean()
    assert values["discriminator_accuracy_fake"] == (on_fake < boundary).float().mean()
    (image, real), (_, fake), (_, again) = seen
    assert torch.equal(image, batch.images)
    assert torch.equal(real, 2 * batch.soft - 1)
    assert torch.equal(fake, again)
    assert fake.min() >= -1
    assert fake.max() <= 1
    assert again.requires_grad
    assert not fake.requires_grad


def test_the_discriminator_sees_the_first_channel_alone_at_the_size_of_the_masks(batch):
    images = torch.cat([batch.images, 1 - batch.images], dim=1)
    large = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(beside(batch.soft, images), batch.images)
    torch.testing.assert_close(beside(batch.soft, large), batch.images)


def test_the_generators_gradient_is_that_of_the_sum_of_its_losses(loop, batch):
    """And it reaches every weight of it through the critic."""
    loop.adversary.weight = 2.0
    network, critic = loop.modules["network"], loop.modules["critic"]
    for followed in ([loop.adversary.name], ["hard_cross_entropy", loop.adversary.name]):
        loop.optimisers["network"].step = lambda: None
        generator_step(loop, batch, followed)
        result = [parameter.grad.clone() for parameter in network.parameters()]
        outputs = outputs_of(loop, batch)
        total = -2.0 * critic.score(batch.images, torch.sigmoid(outputs[0]), batch.masks).mean()
        if len(followed) > 1:
            cross_entropy = LOSSES["hard_cross_entropy"].function
            total = total + torch.stack([cross_entropy(logits, batch.masks) for logits in outputs]).mean()
        expected = torch.autograd.grad(total, list(network.parameters()))
        torch.testing.assert_close(result, list(expected), atol=1e-8, rtol=1e-4)
        assert all(gradient.abs().sum() > 0 for gradient in result)


def test_every_parameter_of_the_critic_is_clipped_from_the_start_and_after_each_step(loop, batch):
    critic = loop.modules["critic"]
    names = {name.rpartition(".")[2] for name, _ in critic.named_parameters()}
    assert names == {"weight", "bias"}
    assert any(isinstance(layer, torch.nn.BatchNorm2d) for layer in critic.modules())
    for _ in range(3):
        assert all(parameter.abs().max() <= CLIP for parameter in critic.parameters())
        with torch.no_grad():
            for parameter in critic.parameters():
                parameter.mul_(100)
        loop.step(batch, ["hard_cross_entropy", loop.adversary.name])
    assert all(parameter.abs().max() <= CLIP for parameter in critic.parameters())
    assert max(parameter.abs().max().item() for parameter in critic.parameters()) == pytest.approx(CLIP)


def test_the_critic_is_never_faster_than_its_weights_allow(tiny, batch):
    loop = loop_of(tiny, *PIXELS, ("wasserstein_basic", 1.0))
    for rate, expected in ((1e-2, FASTEST), (1e-5, 1e-5)):
        for optimiser in loop.optimisers.values():
            optimiser.param_groups[0]["lr"] = rate
        before = state(loop.modules["critic"])
        loop.step(batch, ["hard_cross_entropy", loop.adversary.name])
        assert loop.optimisers["critic"].param_groups[0]["lr"] == expected
        assert loop.optimisers["network"].param_groups[0]["lr"] == rate
        moved = max((value - before[name]).abs().max() for name, value in state(loop.modules["critic"]).items())
        assert moved <= 1.5 * expected


def test_the_critic_sees_probabilities_and_the_binary_masks(tiny, batch):
    loop, seen = loop_of(tiny, *PIXELS, ("wasserstein_basic", 1.0)), []
    loop.modules["critic"].layers.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    loop.step(batch, ["hard_cross_entropy", loop.adversary.name])
    fake, real, again = seen
    assert torch.equal(real, batch.masks)
    assert not torch.equal(batch.masks, batch.soft)
    assert torch.equal(fake, again)
    assert fake.min() > 0
    assert fake.max() < 1
    assert len(fake.unique()) > 100
    assert again.requires_grad
    assert not fake.requires_grad


def test_without_the_critics_term_a_step_is_that_of_the_control(loop, tiny, batch):
    """The generator's losses aside from the critic's, its optimiser and its first weights are those of a run without
    critic: the row without it differs in nothing else."""
    with seeded(3):
        network = tiny(dropout=0.0)
    alone = Segmentation(network, PIXELS, CPU, 1e-3)
    alone.step(batch, ["hard_cross_entropy"])
    critic = state(loop.modules["critic"])
    loop.step(batch, ["hard_cross_entropy"])
    for name, value in loop.modules["network"].named_parameters():
        torch.testing.assert_close(value, network.get_parameter(name), atol=1e-7, rtol=1e-5)
    assert not same(loop.modules["critic"], critic)
    kinds = [item.optimisers["network"].param_groups[0] for item in (alone, loop)]
    for key in ("betas", "weight_decay", "eps", "lr"):
        assert kinds[0][key] == kinds[1][key]
    assert kinds[0]["betas"][0] == 0.9


def test_the_reversed_reading_turns_both_players_round(tiny, batch):
    loop = loop_of(tiny, *PIXELS, ("wasserstein_regression_reversed", 1.0))
    logits = logits_of(loop, batch)
    before = gap(loop, batch, logits)
    reported = loop.adversary.update(batch, loop.adversary.mask(logits))["critic_gap"].item()
    assert gap(loop, batch, logits) < before, "the critic has raised E[D(G(x), y)]"
    assert reported == pytest.approx(before, abs=1e-6)
    for _ in range(30):
        loop.adversary.update(batch, loop.adversary.mask(logits_of(loop, batch)))
    before = gap(loop, batch, logits_of(loop, batch))
    generator_step(loop, batch, [loop.adversary.name])
    assert gap(loop, batch, logits_of(loop, batch)) > before, "the generator has lowered it"


@pytest.mark.parametrize("reading", ["amplified", "reversed_amplified"])
def test_an_amplified_critic_has_its_share_at_the_start_and_its_weight_stays(tiny, batch, reading):
    both = ["hard_cross_entropy", f"wasserstein_regression_{reading}"]
    loop = loop_of(tiny, *PIXELS, (both[1], 1.0))
    printed = loop_of(tiny, *PIXELS, ("wasserstein_regression", 1.0))
    assert printed.step(batch, [both[0], printed.adversary.name])["adversarial_share"] < 0.2
    assert printed.modules["critic"].factor == 1
    first = loop.step(batch, both)
    assert first["adversarial_share"].item() == pytest.approx(1 / 3, abs=1e-4)
    factor = loop.modules["critic"].factor.clone()
    assert factor > 1
    for _ in range(3):
        assert loop.step(batch, both)["adversarial_share"] >= 0.2
    assert torch.equal(loop.modules["critic"].factor, factor)


def trained(folder, data, losses, settings=SETTINGS, progress=None):
    with seeded(7):
        network = build("lgan_generator", 2)
    outcome = train(network, losses, "binary", data, settings, 7, folder, name="run", progress=progress)
    return network.state_dict(), outcome


@pytest.mark.parametrize("critic", ["basic", "regression_reversed_amplified"])
def test_a_training_that_was_interrupted_ends_as_one_that_was_not(tmp_path, data, critic):
    losses = [*PIXELS, (f"wasserstein_{critic}", 1.0)]

    class Killed(Exception):
        pass

    def kill(done: int, epochs: int, curves):
        if done == 2:
            raise Killed

    expected, whole = trained(tmp_path / "whole", data, losses)
    with pytest.raises(Killed):
        trained(tmp_path / "killed", data, losses, progress=kill)
    result, resumed = trained(tmp_path / "killed", data, losses)
    assert all(torch.equal(result[name], value) for name, value in expected.items())
    assert resumed.curves == whole.curves
    assert {len(curve) for curve in whole.curves.values()} == {4}
    assert {"critic_gap", "adversarial_share", f"loss_wasserstein_{critic}", "validation_dice"} <= set(whole.curves)
