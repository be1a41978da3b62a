"""Augmentation: one of the eight orientations of a square, and a shift of a few pixels, for a whole batch at once."""

from __future__ import annotations

import torch

from softmask.train.losses import Batch

SHIFT = 1 / 16
"""Largest shift up, down, left and right, as a share of the image's side."""


PERCENT, UPRIGHT_SHIFT = (70, 110), 1 / 8
"""How large an upright image is shown, at least and at most, and how far it is shifted at most: on a scanner's table a
body lies higher or lower by more than a crop around a lesion misses its middle."""


def draw(n: int, size: int, generator: torch.Generator, upright: bool = False) -> torch.Tensor:
    """Moves of ``n`` images of ``size`` x ``size`` pixels, (n, 5) int64: transposed, flipped up-down, left-right (0 or
    1); rows, columns to shift.

    With ``upright``, up stays up, for whole bodies lie on their backs, and a sixth column says how large they are
    shown, in percent: how much of the image a body takes is the scanner operator's choice.
    """
    flips = torch.randint(0, 2, (n, 3), generator=generator)
    most = int(size * (UPRIGHT_SHIFT if upright else SHIFT))
    shifts = torch.randint(-most, most + 1, (n, 2), generator=generator)
    if not upright:
        return torch.cat([flips, shifts], dim=1)
    flips[:, :2] = 0
    percent = torch.randint(PERCENT[0], PERCENT[1] + 1, (n, 1), generator=generator)
    return torch.cat([flips, shifts, percent], dim=1)


def augment(batch: Batch, moves: torch.Tensor) -> Batch:
    """``batch`` (of square images) with each image, mask and soft label moved alike, as :func:`draw` said.

    A transposition and two flips make all flips and quarter turns. What a shift brings in from outside repeats the
    image's edge, and is no lesion: 0 in mask and soft label. Images may be a whole number of times larger than masks
    and soft labels; shifts count pixels of the latter.

    Args:
        moves: (B, 5) or (B, 6), rows of what :func:`draw` returned, on the batch's device.
    """
    size = batch.masks.shape[-1]
    factor = batch.images.shape[-1] // size
    source, inside = _source(moves, size, 1)
    images = _source(moves, size, factor)[0] if factor > 1 else source
    return Batch(
        _gather(batch.images, images), _gather(batch.masks, source) * inside, _gather(batch.soft, source) * inside
    )


def _source(moves: torch.Tensor, size: int, factor: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where each pixel of a moved image of S = ``factor`` x ``size`` pixels a side comes from, (B, 1, S*S), and whether
    that lies inside, (B, 1, S, S)."""
    b, size = len(moves), factor * size
    transposed, upside, mirrored, down, right, *percent = moves.view(b, -1, 1, 1).unbind(1)  # each (B, 1, 1)
    row, column = torch.meshgrid(*2 * [torch.arange(size, device=moves.device)], indexing="ij")  # (S, S)
    rows = torch.where(transposed == 1, column, row)  # (B, S, S)
    columns = torch.where(transposed == 1, row, column)
    rows = torch.where(upside == 1, size - 1 - rows, rows) + factor * down
    columns = torch.where(mirrored == 1, size - 1 - columns, columns) + factor * right
    for shown in percent:
        rows, columns = (_resized(place, size, shown) for place in (rows, columns))
    inside = ((rows >= 0) & (rows < size) & (columns >= 0) & (columns < size)).unsqueeze(1)
    return (rows.clamp(0, size - 1) * size + columns.clamp(0, size - 1)).view(b, 1, -1), inside


def _resized(places: torch.Tensor, size: int, percent: torch.Tensor) -> torch.Tensor:
    """``places`` (B, S, S) along an axis of ``size`` pixels, farther from its middle the smaller the image is shown."""
    middle = (size - 1) / 2
    return ((places - middle) * (100 / percent) + middle).round().long()


def _gather(x: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """(B, C, S, S): the pixels of ``x`` at ``source`` (B, 1, S*S)."""
    return x.flatten(2).gather(2, source.expand(-1, x.shape[1], -1)).view_as(x)
