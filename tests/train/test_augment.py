"""Augmentation: image, mask and soft label move together, in all orientations."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from softmask.train.losses import Batch
from softmask.train.segmentation import PERCENT, augment, draw

SIZE = 64
LARGEST = 4  # a sixteenth of it


def batch_of(n):
    """Random images whose mask and soft label are functions of them, and 0 near the border."""
    images = torch.rand(n, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    inner = torch.zeros(SIZE, SIZE)
    inner[LARGEST:-LARGEST, LARGEST:-LARGEST] = 1
    return Batch(images, (images > 0.5) * inner, images.square() * inner)


def test_the_eight_orientations_are_the_quarter_turns_and_their_mirror_images():
    image = torch.rand(1, 1, SIZE, SIZE)
    moves = torch.tensor([[t, u, m, 0, 0] for t in (0, 1) for u in (0, 1) for m in (0, 1)])
    moved = augment(Batch(*3 * [image.expand(8, -1, -1, -1)]), moves).images
    turned = [torch.rot90(x, k, (2, 3)) for x in (image, image.flip(3)) for k in range(4)]
    for expected in turned:
        assert sum(torch.equal(item[None], expected) for item in moved) == 1


@given(st.integers(0, 2**32))
def test_image_mask_and_soft_label_move_together(seed):
    batch = batch_of(6)
    moves = draw(6, SIZE, torch.Generator().manual_seed(seed))
    moved = augment(batch, moves)
    # What stays inside is untouched, only elsewhere: the labels are still the same functions of the image.
    labelled = moved.soft > 0
    torch.testing.assert_close(moved.soft[labelled], moved.images.square()[labelled])
    assert torch.equal(moved.masks == 1, labelled & (moved.images > 0.5))
    # The labels keep away from the border by the largest shift, so none of them can have been lost.
    torch.testing.assert_close(moved.soft.sum((1, 2, 3)), batch.soft.sum((1, 2, 3)))
    assert torch.equal(moved.masks.sum((1, 2, 3)), batch.masks.sum((1, 2, 3)))


@pytest.mark.parametrize(("down", "right"), [(4, 0), (0, -3), (-2, 1)])
def test_a_shift_repeats_the_image_s_edge_and_brings_in_no_lesion(down, right):
    images = torch.rand(1, 1, SIZE, SIZE)
    moved = augment(Batch(images, torch.ones_like(images), images), torch.tensor([[0, 0, 0, down, right]]))
    rows = [min(max(r + down, 0), SIZE - 1) for r in range(SIZE)]
    columns = [min(max(c + right, 0), SIZE - 1) for c in range(SIZE)]
    assert torch.equal(moved.images, images[:, :, rows][:, :, :, columns])
    assert moved.masks.sum() == (SIZE - abs(down)) * (SIZE - abs(right))
    assert torch.equal(moved.soft, moved.images * moved.masks)


@given(st.integers(0, 2**32))
def test_larger_images_move_with_their_masks(seed):
    batch = batch_of(6)
    large = batch._replace(images=batch.images.repeat_interleave(2, 2).repeat_interleave(2, 3))
    moves = draw(6, SIZE, torch.Generator().manual_seed(seed))
    moved, expected = augment(large, moves), augment(batch, moves)
    assert torch.equal(moved.images, expected.images.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert torch.equal(moved.masks, expected.masks)
    assert torch.equal(moved.soft, expected.soft)


def test_upright_images_are_mirrored_and_shifted_alone():
    moves = draw(200, 32, torch.Generator().manual_seed(0), upright=True)
    assert not moves[:, :2].any()
    assert set(moves[:, 2].tolist()) == {0, 1}
    assert len(set(moves[:, 3].tolist())) > 2
    assert PERCENT[0] <= moves[:, 5].min() < 80
    assert 100 < moves[:, 5].max() <= PERCENT[1]


def test_an_image_is_shown_smaller_around_its_middle():
    image = torch.zeros(1, 1, 32, 32)
    image[:, :, 6:26, 6:26] = 1
    moved = augment(Batch(image, image, image), torch.tensor([[0, 0, 0, 0, 0, 50]]))
    assert moved.masks.sum() == 100
    assert moved.masks[0, 0, 11:21, 11:21].all()
    assert torch.equal(moved.images, moved.masks)
    same = augment(Batch(image, image, image), torch.tensor([[0, 0, 0, 0, 0, 100]]))
    assert torch.equal(same.masks, image)
