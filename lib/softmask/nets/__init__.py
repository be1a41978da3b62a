"""Networks, one per file, looked up by name in the registry."""

from softmask.nets.base import SegmentationNet
from softmask.nets.registry import NETWORKS, SR_NETWORKS, Entry, build, entry, n_parameters

__all__ = ["NETWORKS", "SR_NETWORKS", "Entry", "SegmentationNet", "build", "entry", "n_parameters"]
