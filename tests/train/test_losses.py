"""Losses against hand-computed values, other implementations, and numerical gradients."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from softmask.errors import ConfigError
from softmask.measure.soft import soft_dice
from softmask.train.losses import (
    LOSSES,
    Batch,
    Loss,
    adaptive_wing_loss,
    dice_loss,
    dice_semimetric_loss,
    soft_l1_loss,
    soft_mse_loss,
    split,
    weighted,
)


def logits_and_target(dtype=torch.float32, shape=(3, 1, 5, 6)):
    source = torch.Generator().manual_seed(1)
    return torch.randn(shape, generator=source, dtype=dtype), torch.rand(shape, generator=source, dtype=dtype)


def logit(p):
    return math.log(p / (1 - p))


def test_dice_by_hand():
    """Two images of two pixels: p = (0.8, 0.4), y = (1, 0), and p = (0.5, 0.5), y = (1, 1)."""
    logits = torch.tensor([[logit(0.8), logit(0.4)], [0, 0]]).view(2, 1, 1, 2)
    target = torch.tensor([[1.0, 0], [1, 1]]).view(2, 1, 1, 2)
    plain = ((1 - 1.6 / 2.2) + (1 - 2 / 3)) / 2
    squared = ((1 - 1.6 / (0.64 + 0.16 + 1)) + (1 - 2 / 2.5)) / 2
    assert dice_loss(logits, target).item() == pytest.approx(plain, abs=1e-6)
    assert dice_loss(logits, target, squared=True).item() == pytest.approx(squared, abs=1e-6)


def test_soft_l1_and_mse_by_hand():
    logits = torch.tensor([[0.0, math.atanh(0.5), math.atanh(-0.5)]]).view(1, 1, 1, 3)
    alpha = torch.tensor([[1.0, 0.75, 0.0]]).view(1, 1, 1, 3)  # -> 1, 0.5, -1
    assert soft_l1_loss(logits, alpha).item() == pytest.approx((1 + 0 + 0.5) / 3, abs=1e-6)
    assert soft_mse_loss(logits, alpha).item() == pytest.approx((1 + 0 + 0.25) / 3, abs=1e-6)


def test_cross_entropies_by_hand():
    """p = (0.8, 0.5), of masks (1, 0) and soft labels (0.9, 0.25): a student's two targets."""
    logits = torch.tensor([[logit(0.8), 0.0]]).view(1, 1, 1, 2)
    masks, alpha = torch.tensor([1.0, 0]).view(1, 1, 1, 2), torch.tensor([0.9, 0.25]).view(1, 1, 1, 2)
    terms = weighted([logits], Batch(alpha, masks, alpha), [("soft_cross_entropy", 0.7), ("hard_cross_entropy", 0.3)])
    soft = -(0.9 * math.log(0.8) + 0.1 * math.log(0.2) + math.log(0.5)) / 2
    hard = -(math.log(0.8) + math.log(0.5)) / 2
    assert terms["soft_cross_entropy"].item() == pytest.approx(0.7 * soft, abs=1e-6)
    assert terms["hard_cross_entropy"].item() == pytest.approx(0.3 * hard, abs=1e-6)


@pytest.mark.parametrize("squared", [False, True])
def test_dice_agrees_with_monai(squared):
    from monai.losses import DiceLoss

    logits, target = logits_and_target()
    reference = DiceLoss(sigmoid=True, squared_pred=squared, smooth_nr=0, smooth_dr=1e-6)
    torch.testing.assert_close(dice_loss(logits, target, squared), reference(logits, target))


def test_dice_semimetric_agrees_with_segmentation_models():
    """Whose soft Dice score is that of the authors' code (JDTLoss), and with the soft Dice that is measured."""
    from segmentation_models_pytorch.losses._functional import soft_dice_score

    logits, alpha = logits_and_target()
    losses = 1 - soft_dice_score(logits.sigmoid(), alpha, dims=(1, 2, 3))
    torch.testing.assert_close(dice_semimetric_loss(logits, alpha), losses.mean())
    assert dice_semimetric_loss(logits, alpha).item() == pytest.approx(1 - soft_dice(logits.sigmoid(), alpha).mean())


def test_dice_semimetric_is_the_dice_loss_of_binary_labels():
    logits, alpha = logits_and_target()
    masks = (alpha > 0.5).float()
    torch.testing.assert_close(dice_semimetric_loss(logits, masks), dice_loss(logits, masks))


@given(st.lists(st.floats(0.05, 0.95), min_size=4, max_size=4), st.integers(0, 3), st.floats(-0.04, 0.04))
def test_dice_semimetric_is_0_for_the_soft_label_alone(alpha, pixel, change):
    alpha = torch.tensor(alpha, dtype=torch.float64).view(1, 1, 2, 2)
    assert dice_semimetric_loss(alpha.logit(), alpha).item() == pytest.approx(0, abs=1e-9)
    other = alpha.clone()
    other.view(-1)[pixel] += change
    expected = abs(change) / (alpha.sum() + other.sum()).item()
    assert dice_semimetric_loss(other.logit(), alpha).item() == pytest.approx(expected, abs=1e-6)
    if not (alpha > 0.99).all():  # the loss of the product is lower for another prediction
        assert dice_loss(alpha.logit(), alpha).item() > 0.01


def test_adaptive_wing_by_hand():
    """y = 0, 1 and 0.5: powers 2.1, 1.1 and 1.6; below theta the logarithm, above it the line that touches there."""
    p, y = [0.2, 0.7, 0.5, 0.9], [0.0, 1, 0.5, 0]
    logits = torch.tensor([logit(value) for value in p], dtype=torch.float64).view(1, 1, 1, 4)
    near = [14 * math.log(1 + 0.2**2.1), 14 * math.log(1 + 0.3**1.1), 0]
    slope = 14 / (1 + 0.5**2.1) * 2.1 * 0.5**1.1
    far = slope * 0.9 - (0.5 * slope - 14 * math.log(1 + 0.5**2.1))
    target = torch.tensor(y, dtype=torch.float64).view(1, 1, 1, 4)
    assert adaptive_wing_loss(logits, target).item() == pytest.approx((sum(near) + far) / 4)


@given(st.floats(0, 0.4), st.floats(0.05, 0.5))
def test_adaptive_wing_is_continuous_with_its_slope_where_the_line_begins(y, theta):
    step = 1e-5
    p = torch.tensor([y + theta + k * step for k in (-1, 0, 1)], dtype=torch.float64)
    losses = [adaptive_wing_loss(value.logit(), torch.full_like(value, y), theta=theta).item() for value in p]
    assert losses[2] - losses[1] == pytest.approx(losses[1] - losses[0], rel=1e-3)


def test_losses_of_soft_labels_look_at_them():
    logits, alpha = logits_and_target()
    batch = Batch(torch.zeros_like(alpha), 1 - alpha.round(), alpha)
    for name in ("soft_cross_entropy", "dice_semimetric", "adaptive_wing"):
        torch.testing.assert_close(weighted([logits], batch, [(name, 1)])[name], LOSSES[name].function(logits, alpha))
        best = LOSSES[name].function(alpha.logit(), alpha)
        for other in (alpha.logit() + 0.3, alpha.logit() - 0.3, 5 * alpha.logit()):
            assert LOSSES[name].function(other, alpha) > best


def test_an_empty_label_has_no_dice_semimetric_loss_without_a_prediction():
    empty = torch.zeros(2, 1, 4, 4)
    assert dice_semimetric_loss(empty - 1000, empty).item() == 0
    assert dice_semimetric_loss(empty, empty).item() == pytest.approx(1)


def test_an_empty_mask_costs_one_and_never_nan():
    empty = torch.zeros(2, 1, 4, 4)
    for logits in (empty, empty - 1000):
        for squared in (False, True):
            assert dice_loss(logits, empty, squared).item() == pytest.approx(1)


@pytest.mark.parametrize("name", sorted(name for name in LOSSES if isinstance(LOSSES[name], Loss)))
def test_gradients(name):
    logits, target = logits_and_target(torch.float64)
    assert torch.autograd.gradcheck(lambda x: LOSSES[name].function(x, target), logits.requires_grad_())


@pytest.mark.parametrize("name", ["gan", "gan_least_squares"])
def test_gan_gradients(name):
    real, fake = (x.requires_grad_() for x in logits_and_target(torch.float64))
    assert torch.autograd.gradcheck(LOSSES[name].discriminator, (real, fake))
    assert torch.autograd.gradcheck(LOSSES[name].generator, (fake,))


@given(st.floats(-20, 20), st.floats(-20, 20))
def test_log_gan_is_cross_entropy(real, fake):
    """-log D(real) - log(1 - D(fake)), and -log D(fake)."""
    gan, real, fake = LOSSES["gan"], torch.tensor([real]).double(), torch.tensor([fake]).double()
    bce = F.binary_cross_entropy_with_logits(real, torch.ones(1).double()) + F.binary_cross_entropy_with_logits(
        fake, torch.zeros(1).double()
    )
    torch.testing.assert_close(gan.discriminator(real, fake), bce)
    formula = -torch.log(torch.sigmoid(real)) - torch.log(torch.sigmoid(-fake))
    torch.testing.assert_close(gan.discriminator(real, fake), formula[0])
    torch.testing.assert_close(gan.generator(fake), -torch.log(torch.sigmoid(fake))[0])


def test_deep_supervision_takes_the_mean_and_each_loss_its_target():
    logits, alpha = logits_and_target()
    batch = Batch(torch.zeros_like(alpha), (alpha > 0.5).float(), alpha)
    terms = weighted([logits, -logits], batch, [("dice", 0.5), ("soft_l1", 100)])
    dice = (dice_loss(logits, batch.masks) + dice_loss(-logits, batch.masks)) / 2
    soft = (soft_l1_loss(logits, alpha) + soft_l1_loss(-logits, alpha)) / 2
    torch.testing.assert_close(terms, {"dice": 0.5 * dice, "soft_l1": 100 * soft})


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ([("dise", 1)], "unknown loss 'dise' .did you mean dice.*choose one of "),
        ([("dice", 0)], "'dice' must be positive, not 0"),
        ([("dice", float("nan"))], "must be positive, not nan"),
        ([("dice", 1), ("dice", 2)], "each loss once"),
        ([("gan", 1)], "must name a loss of pixels"),
        ([("dice", 1), ("gan", 1), ("gan_least_squares", 1)], "one GAN loss at most"),
        ([], "must name a loss of pixels"),
    ],
)
def test_losses_that_make_no_training_are_refused(losses, message):
    with pytest.raises(ConfigError, match=message):
        split(losses)
