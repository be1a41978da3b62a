"""MedT: gated axial attention in a shallow branch on the image and a deep branch on its patches.

Valanarasu, Oza, Hacihaliloglu and Patel, "Medical Transformer: Gated Axial-Attention for Medical Image Segmentation",
MICCAI 2021. Along one axis, each pixel i attends to the pixels j of its column, or of its row, with embeddings r of the
distance from i to j and gates G:

    y_i = sum over j of softmax_j(q_i k_j + G_Q q_i r^q_ij + G_K k_j r^k_ij) (G_V1 v_j + G_V2 r^v_ij)

The equation is implemented as printed; the authors' code also normalises each term after its gate, which undoes the
gate's scale. Differs from the publication: the gates are trained from the first epoch, not from the eleventh; the 16
patches are one batch, so that batch normalisation sees them together; the local branch, which has no positional terms
in the authors' code either, has a stem of 8 channels, not 64, so that there are 1.38 million parameters instead of
1.52. Positional embeddings are made for images of 64x64; pixels further apart use that of the largest distance.
"""

from math import gcd

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from softmask.nets.base import SegmentationNet, conv_bn

TRAINED = 64
"""Height and width of the images for which the positional embeddings are made."""
HEADS = 8
PATCHES = 4  # number along each side of the image


class AxialAttention(nn.Module):
    """Gated axial attention along one axis: (B, C, H, W) -> (B, C, H, W).

    Args:
        channels: number of channels of input and output.
        heads: number of attention heads; twice this number must divide ``channels``.
        axis: 2 for columns (along the height), 3 for rows (along the width).
        reach: number of pixels along the axis with positional embeddings; 0 for attention without positions.

    Attributes:
        gates: G_Q, G_K, G_V1 and G_V2 (only with positions).
    """

    def __init__(self, channels: int, heads: int, axis: int, reach: int) -> None:
        super().__init__()
        self.heads, self.axis, self.reach = heads, axis, reach
        value = channels // heads
        self.sizes = (value // 2, value // 2, value)  # channels of a head's query, key and value
        self.project = nn.Sequential(*conv_bn(channels, 2 * channels, 1, relu=False))
        self.norm = nn.BatchNorm2d(channels)
        if reach:
            self.embeddings = nn.Parameter(torch.randn(2 * value, 2 * reach - 1) * value**-0.5)
            self.gates = nn.Parameter(torch.tensor([0.1, 0.1, 1.0, 0.1]))

    def positions(self, length: int) -> tuple[Tensor, ...]:
        """Return r^q, r^k and r^v of all pairs of pixels on the axis: (c, length, length), [:, query, key]."""
        position = torch.arange(length, device=self.embeddings.device)
        offset = (position - position[:, None]).clamp(1 - self.reach, self.reach - 1)  # key - query
        return self.embeddings[:, offset + self.reach - 1].split(self.sizes)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return y of the gated equation along dimension 3, shaped as ``v``; all arguments are (B, heads, c, N, M)."""
        similarity = torch.einsum("bhcim,bhcjm->bhmij", q, k)  # (B, heads, M, N, N)
        if not self.reach:
            return torch.einsum("bhmij,bhcjm->bhcim", similarity.softmax(-1), v)
        gate_q, gate_k, gate_v, gate_position = self.gates
        r_q, r_k, r_v = self.positions(q.shape[3])
        similarity = similarity + torch.einsum("bhcim,cij->bhmij", q, gate_q * r_q)
        similarity = similarity + torch.einsum("bhcjm,cij->bhmij", k, gate_k * r_k)
        weights = similarity.softmax(-1)
        attended_values = torch.einsum("bhmij,bhcjm->bhcim", weights, gate_v * v)
        return attended_values + torch.einsum("bhmij,cij->bhcim", weights, gate_position * r_v)

    def forward(self, x: Tensor) -> Tensor:
        projected = self.project(x).unflatten(1, (self.heads, -1))  # (B, heads, 2C/heads, H, W)
        if self.axis == 3:
            projected = projected.transpose(3, 4)
        y = self.attend(*projected.split(self.sizes, dim=2)).flatten(1, 2)
        return self.norm(y.transpose(2, 3) if self.axis == 3 else y)


class AxialBlock(nn.Module):
    """Residual block: 1x1 convolution, attention along the height, along the width, 1x1 convolution.

    The attention uses half of ``channels``; a ``stride`` of 2 halves height and width after the attention.
    """

    def __init__(self, inputs: int, channels: int, heads: int, reach: int, stride: int) -> None:
        super().__init__()
        inner = channels // 2
        self.layers = nn.Sequential(
            *conv_bn(inputs, inner, 1),
            AxialAttention(inner, heads, 2, reach),
            AxialAttention(inner, heads, 3, reach),
            nn.AvgPool2d(stride) if stride > 1 else nn.Identity(),
            nn.ReLU(),
            *conv_bn(inner, channels, 1, relu=False),
        )
        self.shortcut: nn.Module = nn.Identity()
        if inputs != channels:
            self.shortcut = nn.Sequential(*conv_bn(inputs, channels, 1, stride, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.layers(x) + self.shortcut(x))


class Branch(nn.Module):
    """Encoder with ``depths`` axial blocks in its stages, and decoder of 3x3 convolutions, to which the encoder's
    features are added: (B, inputs, H, W) -> (B, 2w, H, W). With ``bottom``, the decoder starts one level lower."""

    def __init__(self, width: int, inputs: int, depths: tuple[int, ...], reach: int, bottom: bool) -> None:
        super().__init__()
        inner = 16 * width
        self.stem = nn.Sequential(*conv_bn(inputs, width, 7, 2), *conv_bn(width, inner), *conv_bn(inner, width))
        heads = gcd(HEADS, width)  # a head's query needs at least one channel, also in a narrow network
        self.stages, self.decoder = nn.ModuleList(), nn.ModuleList()
        channels_in = width
        for stage, depth in enumerate(depths):
            channels = 4 * width * 2**stage
            blocks = []
            for block in range(depth):
                stride = 2 if stage and not block else 1  # the first block halves the size after its attention
                blocks.append(AxialBlock(channels_in, channels, heads, reach, stride))
                channels_in, reach = channels, reach // stride
            self.stages.append(nn.Sequential(*blocks))
            self.decoder.insert(0, nn.Conv2d(channels, channels // 2, 3, padding=1))
        if bottom:
            self.decoder.insert(0, nn.Conv2d(channels_in, channels_in, 3, stride=2, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        x = self.stem(x)  # (B, w, H/2, W/2)
        skips = []
        for stage in self.stages:
            x = stage(x)  # (B, 4w, H/2, W/2), (B, 8w, H/4, W/4), ...
            skips.append(x)
        *convs, last_conv = self.decoder
        for conv, skip in zip(convs, reversed(skips[: len(convs)]), strict=True):
            x = skip + F.relu(F.interpolate(conv(x), skip.shape[-2:], mode="bilinear"))
        return F.relu(F.interpolate(last_conv(x), size, mode="bilinear"))


def split(image: Tensor) -> Tensor:
    """Return the patches of each image, as one batch: (B, C, H, W) -> (B * 16, C, H/4, W/4)."""
    grid = image.unflatten(3, (PATCHES, -1)).unflatten(2, (PATCHES, -1))  # (B, C, 4, H/4, 4, W/4)
    return grid.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)


def join(patches: Tensor) -> Tensor:
    """Return the images of patches, the inverse of :func:`split`: (B * 16, C, H/4, W/4) -> (B, C, H, W)."""
    grid = patches.unflatten(0, (-1, PATCHES, PATCHES))  # (B, 4, 4, C, H/4, W/4)
    return grid.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)


class MedT(SegmentationNet):
    """MedT; ``width`` channels after the first convolution of each branch."""

    STRIDE = SMALLEST = 64  # four patches along each side, each halved four times
    FULL_WIDTH = 8
    PARAMETERS = 1_515_449  # the authors' code for 64x64 images, without the layers that it never uses

    def __init__(self, width: int, inputs: int = 1) -> None:
        super().__init__(inputs)
        self.whole = Branch(width, inputs, (1, 2), reach=TRAINED // 2, bottom=False)
        self.local = Branch(width, inputs, (1, 2, 4, 1), reach=0, bottom=True)
        self.head = nn.Sequential(nn.Conv2d(2 * width, 2 * width, 3, padding=1), nn.ReLU(), nn.Conv2d(2 * width, 1, 1))

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        return (self.head(self.whole(image) + join(self.local(split(image)))),)  # of (B, 2w, H, W)


class MedTSR(SegmentationNet):
    """MedT on the super-resolved image (the dagger in DSNet's tables), reduced by r: the r x r pixels that
    super-resolution makes of one pixel become its channels, so that all are read at the cost of the plain image.

    The paper does not say how the enlarged image is used; MedT at the enlarged size costs nine times as much at r = 2.
    """

    FULL_WIDTH = MedT.FULL_WIDTH

    def __init__(self, width: int, inputs: int = 1, reduction: int = 1) -> None:
        super().__init__(inputs)
        self.STRIDE, self.SMALLEST = reduction * MedT.STRIDE, reduction * MedT.SMALLEST
        self.fold = nn.PixelUnshuffle(reduction)
        self.network = MedT(width, inputs * reduction**2)

    def outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.network.outputs(self.fold(image))  # of (B, inputs r^2, H, W)
