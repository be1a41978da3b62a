"""The two turns of adversarial training."""

import pytest
import torch

from softmask.train import seeded
from softmask.train.losses import Batch, weighted
from softmask.train.objectives import Segmentation, beside

CPU = torch.device("cpu")


@pytest.fixture(params=["gan", "gan_least_squares"])
def loop(request, tiny):
    with seeded(3):
        network = tiny(dropout=0.0)
    return Segmentation(network, [("soft_l1", 1.0), (request.param, 2.0)], CPU, 1e-2, width=4, seed=3)


@pytest.fixture
def batch(data):
    return Batch(*map(torch.tensor, (data.train.images, data.train.masks, data.train.soft["soft_mask"])))


def outputs_of(loop, batch):
    return list(loop.outputs(batch.images))


def logits_of(loop, batch):
    return outputs_of(loop, batch)[0].detach()


def segmentor_step(loop, batch, followed):
    """The segmentor's turn alone. Returns its losses."""
    outputs = outputs_of(loop, batch)
    terms = weighted(outputs, batch, loop.pixel)
    loop.optimisers["network"].zero_grad()
    loop.adversary.backward(batch, outputs, terms, followed)
    loop.optimisers["network"].step()
    return terms


def state(module):
    return {name: value.clone() for name, value in module.named_parameters()}


def same(module, before):
    return all(torch.equal(value, before[name]) for name, value in module.named_parameters())


@torch.no_grad()
def judged(loop, batch, logits):
    """The discriminator's logits of real masks, and of the segmentor's."""
    return [loop.adversary.module(batch.images, masks) for masks in (2 * batch.soft - 1, torch.tanh(logits))]


def gap(loop, batch, logits):
    real, fake = judged(loop, batch, logits)
    return (real.mean() - fake.mean()).item()


def test_the_discriminator_s_turn_widens_the_gap_between_real_and_fake(loop, batch):
    logits = logits_of(loop, batch)
    network, before = state(loop.modules["network"]), gap(loop, batch, logits)
    for _ in range(30):  # the first few may spend themselves on a bias that real and fake share
        loop.adversary.update(batch, logits)
    assert gap(loop, batch, logits) > before
    assert same(loop.modules["network"], network)


def test_the_segmentor_s_turn_narrows_it(loop, batch):
    """Under the GAN loss alone: the loss of pixels is another matter."""
    for _ in range(20):  # a discriminator that has something to say
        loop.adversary.update(batch, logits_of(loop, batch))
    discriminator = state(loop.modules["discriminator"])
    before, name = gap(loop, batch, logits_of(loop, batch)), loop.adversary.name
    losses = [segmentor_step(loop, batch, [name])[name] for _ in range(4)]
    assert losses[-1] < losses[0]
    assert gap(loop, batch, logits_of(loop, batch)) < before
    assert same(loop.modules["discriminator"], discriminator)
    assert all(p.requires_grad for p in loop.modules["discriminator"].parameters())


def test_the_discriminator_sees_masks_between_minus_one_and_one(loop, batch):
    seen = []
    loop.modules["discriminator"].register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    loop.step(batch, ["soft_l1", loop.adversary.name])
    (image, real), (_, fake), (_, again) = seen
    assert torch.equal(image, batch.images)
    assert torch.equal(real, 2 * batch.soft - 1)
    assert torch.equal(fake, again)
    assert fake.min() >= -1
    assert fake.max() <= 1
    assert again.requires_grad
    assert not fake.requires_grad


def test_what_a_step_reports(loop, batch):
    real, fake = judged(loop, batch, logits_of(loop, batch))
    values = loop.step(batch, ["soft_l1", loop.adversary.name])
    assert set(values) == {
        "loss_soft_l1",
        f"loss_{loop.adversary.name}",
        "discriminator_loss",
        "discriminator_accuracy_real",
        "discriminator_accuracy_fake",
    }
    # The discriminator judges before its move, so its numbers are those of the logits above.
    torch.testing.assert_close(values["discriminator_loss"], loop.adversary.loss.discriminator(real, fake))
    boundary = {"gan": 0.0, "gan_least_squares": 0.5}[loop.adversary.name]
    torch.testing.assert_close(values["discriminator_accuracy_real"], (real > boundary).float().mean())
    torch.testing.assert_close(values["discriminator_accuracy_fake"], (fake < boundary).float().mean())
    assert not any(value.requires_grad for value in values.values())


def test_only_the_losses_followed_move_the_segmentor(loop, batch):
    """A step down no part of the GAN loss is the step of a training without it, the discriminator learning aside."""
    with seeded(3):
        network = type(loop.modules["network"])(dropout=0.0)
    alone = Segmentation(network, [("soft_l1", 1.0)], CPU, 1e-2)
    alone.step(batch, ["soft_l1"])
    discriminator = state(loop.modules["discriminator"])
    loop.step(batch, ["soft_l1"])
    assert same(loop.modules["network"], state(network))
    assert not same(loop.modules["discriminator"], discriminator)


def test_the_discriminator_sees_the_first_channel_alone_at_the_size_of_the_masks(batch):
    images = torch.cat([batch.images, 1 - batch.images], dim=1)
    large = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(beside(batch.soft, images), batch.images)
    torch.testing.assert_close(beside(batch.soft, large), batch.images)
