"""Counterfactual images by attribute: CDVAE-GAN (Lim & Joo 2023)."""

from cdvae_gan.counterfactual import Counterfactuals
from cdvae_gan.data import open_dataset
from cdvae_gan.errors import InputError
from cdvae_gan.model import CDVAEGAN, ModelConfig, load

__version__ = "0.1.0"

__all__ = ["CDVAEGAN", "Counterfactuals", "InputError", "ModelConfig", "load", "open_dataset"]
