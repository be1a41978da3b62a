"""The five critics of LGAN: their inputs and their scores."""

import pytest
import torch

from softmask.experiments.rows import METHODS
from softmask.nets.critics import CRITICS, STD
from softmask.train.losses import LOSSES, WassersteinLoss

every_critic = pytest.mark.parametrize("name", CRITICS)


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images, true masks and fake ones, each (4, 1, 64, 64)."""
    images = torch.rand(4, 1, 64, 64)
    return images, (images > 0.5).float(), torch.rand(4, 1, 64, 64)


def test_each_has_a_loss_and_a_row_of_the_tables():
    assert {loss.critic for loss in LOSSES.values() if isinstance(loss, WassersteinLoss)} == set(CRITICS)
    assert {f"lgan_{name}" for name in CRITICS} <= set(METHODS)


@every_critic
@pytest.mark.parametrize("width", [64, 37])
def test_the_distance_is_of_fake_minus_real(name, width):
    images, truth, fake = (x[..., :width] for x in batch())
    critic = CRITICS[name](4).eval()
    expected = critic.score(images, fake, truth)
    assert expected.shape == (4,)
    if name != "regression":
        expected = expected - critic.score(images, truth, truth)
    torch.testing.assert_close(critic(images, truth, fake), expected)


@pytest.mark.parametrize(
    ("name", "image", "truth"),
    [
        ("basic", False, False),
        ("product", True, False),
        ("early_fusion", True, False),
        ("late_fusion", True, False),
        ("regression", False, True),
    ],
)
def test_what_else_than_the_mask_each_one_sees(name, image, truth):
    critic = CRITICS[name](4).eval()
    (images, masks, fake), (others, more, _) = batch(), batch()
    score = critic.score(images, fake, masks)
    assert torch.equal(critic.score(others, fake, masks), score) != image
    assert torch.equal(critic.score(images, fake, more), score) != truth


def test_first_weights_are_dcgans():
    weights = torch.cat([layer.weight.flatten() for layer in CRITICS["basic"](32).layers.modules()
                         if isinstance(layer, torch.nn.Conv2d)])  # fmt: skip
    assert weights.std().item() == pytest.approx(STD, rel=0.02)
    assert abs(weights.mean().item()) < 1e-3
