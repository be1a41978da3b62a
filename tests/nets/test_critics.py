"""The five critics of LGAN: what each one sees, and that it can be moved by it."""

import pytest
import torch

from softmask.experiments.rows import METHODS
from softmask.nets.critics import CRITICS, STD
from softmask.train.losses import LOSSES, WassersteinLoss

every_critic = pytest.mark.parametrize("name", CRITICS)


def batch(side: int = 64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images, true masks and fake ones, each (4, 1, side, side)."""
    images = torch.rand(4, 1, side, side)
    return images, (images > 0.5).float(), torch.rand(4, 1, side, side)


def test_each_has_a_loss_and_a_row_of_the_tables() -> None:
    assert {loss.critic for loss in LOSSES.values() if isinstance(loss, WassersteinLoss)} == set(CRITICS)
    assert {f"lgan_{name}" for name in CRITICS} <= set(METHODS)


@every_critic
@pytest.mark.parametrize("shape", [(64, 64), (112, 112), (33, 50)])
def test_gives_one_number_for_each_image(name, shape) -> None:
    images, truth, fake = (x[..., : shape[0], : shape[1]] for x in batch(max(shape)))
    critic = CRITICS[name](4)
    assert critic.score(images, fake, truth).shape == critic(images, truth, fake).shape == (4,)
    assert critic(images, truth, fake).isfinite().all()


@every_critic
def test_the_distance_is_of_fake_minus_real(name) -> None:
    images, truth, fake = batch()
    critic = CRITICS[name](4).eval()
    expected = critic.score(images, fake, truth)
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
def test_what_else_than_the_mask_each_one_sees(name, image, truth) -> None:
    critic = CRITICS[name](4).eval()
    (images, masks, fake), (others, more, _) = batch(), batch()
    score = critic.score(images, fake, masks)
    assert torch.equal(critic.score(others, fake, masks), score) != image
    assert torch.equal(critic.score(images, fake, more), score) != truth


def test_first_weights_are_dcgans() -> None:
    weights = torch.cat([layer.weight.flatten() for layer in CRITICS["basic"](32).layers.modules()
                         if isinstance(layer, torch.nn.Conv2d)])  # fmt: skip
    assert weights.std().item() == pytest.approx(STD, rel=0.02)
    assert abs(weights.mean().item()) < 1e-3
