"""A small model, and the same with a network that goes over its edits and is seen to."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import torch

from cdvae_gan import CDVAEGAN, ModelConfig

NAMES = ("Hat", "Smile")
CONFIG = ModelConfig(NAMES, 32, z_dim=4, u_channels=2, width=8, gate_channels=2)


@lru_cache(maxsize=1)
def plain_model() -> CDVAEGAN:
    torch.manual_seed(0)
    model = CDVAEGAN(CONFIG).eval()
    with torch.no_grad():
        model.decoder.out.weight *= 10  # a gate that opens
    return model


def brightening(*, retouch_width: int = 0, refine_width: int = 0) -> CDVAEGAN:
    """Everything that may be touched becomes brighter."""
    config = replace(CONFIG, retouch_width=retouch_width, refine_width=refine_width)
    model = CDVAEGAN(config).eval()
    model.load_state_dict(plain_model().state_dict(), strict=False)
    with torch.no_grad():
        for network in (model.retoucher, model.refiner):
            if network is not None:
                network.out.bias.fill_(0.5)
    return model
