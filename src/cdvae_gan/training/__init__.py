"""Training: the Lightning module, its data order, its callbacks, and ``train``."""

from __future__ import annotations

from cdvae_gan.training.config import TrainConfig
from cdvae_gan.training.run import Limits, steps_done, train

__all__ = ["Limits", "TrainConfig", "steps_done", "train"]
