"""Training: losses, objectives, one loop for all networks, checkpoints that survive a kill."""

from softmask.train.device import seeded
from softmask.train.loop import Outcome, Settings
from softmask.train.losses import LOSSES
from softmask.train.segmentation import predict, train

__all__ = ["LOSSES", "Outcome", "Settings", "predict", "seeded", "train"]
