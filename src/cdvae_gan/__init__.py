"""Counterfactual images by attribute: CDVAE-GAN (Lim & Joo 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "CDVAEGAN",
    "Audit",
    "CounterfactualExplainer",
    "CounterfactualPipeline",
    "Counterfactuals",
    "EditedPhoto",
    "InputError",
    "ModelConfig",
    "audit",
    "augment",
    "edit",
    "load",
    "open_dataset",
]

if TYPE_CHECKING:
    from cdvae_gan.auditing import Audit, CounterfactualExplainer, audit
    from cdvae_gan.balancing import augment
    from cdvae_gan.counterfactual import Counterfactuals
    from cdvae_gan.data import open_dataset
    from cdvae_gan.editing import EditedPhoto, edit
    from cdvae_gan.errors import InputError
    from cdvae_gan.model import CDVAEGAN, ModelConfig, load
    from cdvae_gan.pipeline import CounterfactualPipeline
else:
    # Loaded when asked for: torch takes seconds, and `cdvae-gan --help` does without.
    _HOMES = {
        "Audit": "auditing",
        "CDVAEGAN": "model",
        "CounterfactualExplainer": "auditing",
        "CounterfactualPipeline": "pipeline",
        "Counterfactuals": "counterfactual",
        "EditedPhoto": "editing",
        "InputError": "errors",
        "ModelConfig": "model",
        "audit": "auditing",
        "augment": "balancing",
        "edit": "editing",
        "load": "model",
        "open_dataset": "data",
    }

    def __getattr__(name):
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        try:
            return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        except ModuleNotFoundError as error:
            from cdvae_gan.errors import needs_torch

            reason = needs_torch(f"{__name__}.{name}", error)
            raise ModuleNotFoundError(reason, name=error.name) from None

    def __dir__():
        return sorted({*globals(), *__all__})
