"""Training: losses, one loop for all networks, checkpoints that survive a kill."""

from softmask.train.device import seeded
from softmask.train.engine import Outcome, Settings, predict, train
from softmask.train.losses import LOSSES

__all__ = ["LOSSES", "Outcome", "Settings", "predict", "seeded", "train"]
