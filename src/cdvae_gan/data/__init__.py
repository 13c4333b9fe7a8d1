"""Data sets of images with named binary attributes: CelebA, folders, Hugging Face, avatars."""

from __future__ import annotations

from cdvae_gan.data.cache import Unreadable, cache_folder, clear_cache
from cdvae_gan.data.check import CheckReport, check, sheet
from cdvae_gan.data.dataset import UNKNOWN, AttributeDataset, Batch, ImageRows
from cdvae_gan.data.open import open_dataset

__all__ = [
    "UNKNOWN",
    "AttributeDataset",
    "Batch",
    "CheckReport",
    "ImageRows",
    "Unreadable",
    "cache_folder",
    "check",
    "clear_cache",
    "open_dataset",
    "sheet",
]
