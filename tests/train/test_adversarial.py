"""The two turns of adversarial training."""

import pytest
import torch

from softmask.nets.softgan import PixelDiscriminator
from softmask.train.adversarial import Adversarial, beside
from softmask.train.device import Place, seeded
from softmask.train.losses import Batch
from softmask.train.supervised import Supervised

CPU = Place(torch.device("cpu"))


@pytest.fixture(params=["gan", "gan_least_squares"])
def loop(request, tiny):
    with seeded(3):
        network, discriminator = tiny(dropout=0.0), PixelDiscriminator(4)
    return Adversarial(network, discriminator, [("soft_l1", 1.0), (request.param, 2.0)], CPU, 1e-2, steps=1)


@pytest.fixture
def batch(data):
    return Batch(*map(torch.tensor, (data.train.images, data.train.masks, data.train.soft["soft_mask"])))


def outputs_of(loop, batch):
    outputs = list(loop.outputs(batch.images))
    return outputs, torch.tanh(outputs[0])


def state(module):
    return {name: value.clone() for name, value in module.named_parameters()}


def same(module, before):
    return all(torch.equal(value, before[name]) for name, value in module.named_parameters())


def gap(loop, batch, fake):
    with torch.no_grad():
        real, fake = loop.judgements(batch.images, 2 * batch.soft - 1, fake)
    return (real.mean() - fake.mean()).item()


def test_the_discriminator_s_turn_widens_the_gap_between_real_and_fake(loop, batch):
    fake = outputs_of(loop, batch)[1].detach()
    network, before = state(loop.modules["network"]), gap(loop, batch, fake)
    for _ in range(30):  # the first few may spend themselves on a bias that real and fake share
        loop.discriminator_step(batch, fake)
    assert gap(loop, batch, fake) > before
    assert same(loop.modules["network"], network)


def test_the_segmentor_s_turn_narrows_it(loop, batch):
    """Under the GAN loss alone: the loss of pixels is another matter."""
    loop.pixel = []
    for _ in range(20):  # a discriminator that has something to say
        loop.discriminator_step(batch, outputs_of(loop, batch)[1].detach())
    discriminator = state(loop.modules["discriminator"])
    before = gap(loop, batch, outputs_of(loop, batch)[1].detach())
    first = loop.segmentor_step(batch, *outputs_of(loop, batch), [loop.gan_name])[f"loss_{loop.gan_name}"]
    for _ in range(3):
        last = loop.segmentor_step(batch, *outputs_of(loop, batch), [loop.gan_name])[f"loss_{loop.gan_name}"]
    assert last < first
    assert gap(loop, batch, outputs_of(loop, batch)[1].detach()) < before
    assert same(loop.modules["discriminator"], discriminator)
    assert all(p.requires_grad for p in loop.modules["discriminator"].parameters())


def test_the_discriminator_sees_masks_between_minus_one_and_one(loop, batch):
    seen = []
    loop.modules["discriminator"].register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    loop.step(batch, ["soft_l1", loop.gan_name])
    (image, real), (_, fake), (_, again) = seen
    assert torch.equal(image, batch.images)
    assert torch.equal(real, 2 * batch.soft - 1)
    assert torch.equal(fake, again)
    assert fake.min() >= -1
    assert fake.max() <= 1
    assert again.requires_grad
    assert not fake.requires_grad


def test_what_a_step_reports(loop, batch):
    with torch.no_grad():
        real, fake = loop.judgements(batch.images, 2 * batch.soft - 1, outputs_of(loop, batch)[1])
    loop.modules["network"].zero_grad()
    values = loop.step(batch, ["soft_l1", loop.gan_name])
    assert set(values) == {
        "loss_soft_l1",
        f"loss_{loop.gan_name}",
        "discriminator_loss",
        "discriminator_accuracy_real",
        "discriminator_accuracy_fake",
    }
    # The discriminator judges before its move, so its numbers are those of the logits above.
    torch.testing.assert_close(values["discriminator_loss"], loop.gan.discriminator(real, fake))
    boundary = {"gan": 0.0, "gan_least_squares": 0.5}[loop.gan_name]
    torch.testing.assert_close(values["discriminator_accuracy_real"], (real > boundary).float().mean())
    torch.testing.assert_close(values["discriminator_accuracy_fake"], (fake < boundary).float().mean())
    assert not any(value.requires_grad for value in values.values())


def test_only_the_losses_followed_move_the_segmentor(loop, batch):
    """A step down no part of the GAN loss is the step of a training without it, the discriminator learning aside."""
    with seeded(3):
        network = type(loop.modules["network"])(dropout=0.0)
    alone = Supervised(network, [("soft_l1", 1.0)], CPU, 1e-2, steps=1)
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
