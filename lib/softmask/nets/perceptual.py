"""Perceptual loss: the distance between two images in the features of VGG19.

Ledig et al., CVPR 2017, section 2.2.1, on torchvision's VGG19 (Simonyan and Zisserman, ICLR 2015). Their factor 1/12.75
on the features is part of the loss's weight.

The weights are ImageNet's if a file with them exists: the file that ``SOFTMASK_VGG19`` names, otherwise the file in
torch's hub; nothing is downloaded. Without a file, random weights are drawn with a fixed seed.
"""

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from softmask.errors import DataError, brief
from softmask.files import sha256_of

LAYERS: Mapping[str, int] = MappingProxyType({"vgg22": 9, "vgg54": 36})
"""Number of layers up to the ReLU after the second convolution before pooling 2, or the fourth before pooling 5."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's colours."""
HUB_FILE = "vgg19-dcbb9e9d.pth"
AGAIN = f"get torchvision's {HUB_FILE} again, or go without it: unset SOFTMASK_VGG19 and remove it from torch's hub"
SEED = 19


class Perceptual(nn.Module):
    """Mean squared difference of the features at a ``layer`` of :data:`LAYERS`; ``origin`` names the weights in use.

    Raises:
        DataError: if the file cannot be read, or its weights are not those of VGG19.
    """

    def __init__(self, layer: str) -> None:
        super().__init__()
        from torchvision.models import vgg19

        with torch.device("meta"):  # 144 million weights, most of them unused here
            self.layers = vgg19(weights=None).features[: LAYERS[layer]]
        self.layers.to_empty(device="cpu")
        path = weights_file()
        if path is None:
            source = torch.Generator().manual_seed(SEED)
            for convolution in filter(lambda layer: isinstance(layer, nn.Conv2d), self.layers):
                nn.init.kaiming_normal_(convolution.weight, generator=source)
                nn.init.zeros_(convolution.bias)
            self.origin = f"VGG19 with random weights from seed {SEED}: no file with ImageNet's was found"
        else:
            self.layers.load_state_dict(_read(path, self.layers.state_dict()))
            self.origin = f"VGG19 with the weights in {path.name}"
        self.layers.requires_grad_(False).eval()
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1))
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1))

    def digest(self) -> str:
        """Return the hex digest of the weights in use."""
        return sha256_of(*(value.cpu().numpy().tobytes() for value in self.layers.state_dict().values()))

    def features(self, image: Tensor) -> Tensor:
        """Return (B, C, H', W') of images (B, 1, H, W) in [0, 1]: 128 channels at half the size, or 512 at 1/16."""
        return self.layers((image - self.mean) / self.deviation)  # (B, 3, H, W), then the layers

    def forward(self, image: Tensor, reference: Tensor) -> Tensor:
        """Return the loss, a scalar, of images (B, 1, H, W) in [0, 1], without a gradient for ``reference``."""
        with torch.no_grad():
            reference_features = self.features(reference)
        return F.mse_loss(self.features(image), reference_features)


def weights_file() -> Path | None:
    """Return the file of VGG19's weights, if any. Raises DataError if ``SOFTMASK_VGG19`` names a missing one."""
    file = os.environ.get("SOFTMASK_VGG19")
    path = Path(file or Path(torch.hub.get_dir(), "checkpoints", HUB_FILE))
    if file and not path.is_file():
        raise DataError(f"SOFTMASK_VGG19 = {file!r} is not a file; set it to the VGG19 weights (.pth or .safetensors)")
    return path if path.is_file() else None


def _read(path: Path, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights ``wanted`` (their names and shapes) from a file with all weights of VGG19."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        is_safetensors = path.suffix == ".safetensors"
        weights = load_file(path) if is_safetensors else torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        raise DataError(f"{path}: cannot be read as weights ({brief(error)}); {AGAIN}") from error
    for name, value in wanted.items():
        tensor = weights.get(f"features.{name}") if isinstance(weights, dict) else None
        if not isinstance(tensor, Tensor) or tensor.shape != value.shape:
            state = f"of shape {tuple(tensor.shape)}" if isinstance(tensor, Tensor) else "missing"
            problem = f"features.{name} is {state}, not {tuple(value.shape)}"
            raise DataError(f"{path}: no weights of VGG19: {problem}; {AGAIN}")
    return {name: weights[f"features.{name}"].float() for name in wanted}
