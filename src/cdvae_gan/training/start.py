"""Starting a new run from weights that were learned before.

What fits is taken over: tensors of equal name and shape, and, where a tensor has grown along its
first axis (a decoder that draws gate channels besides), the part that was there. The rest starts as
it would have: attributes that are other than before are learned anew, and so is what was not kept.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from cdvae_gan.errors import InputError
from cdvae_gan.model import load

__all__ = ["learned_weights", "take_over"]


def learned_weights(source: str | Path) -> dict[str, Tensor]:
    """The weights in a run (of E, G, D and the adversary) or in a model (of E and G alone).

    Args:
        source: A run's folder, or whatever :func:`cdvae_gan.load` loads.

    Returns:
        Tensors, named as in :class:`~cdvae_gan.training.module.TrainingModule`.

    Raises:
        InputError: Where there is neither a run nor a model.
    """
    checkpoint = Path(source) / "checkpoints" / "last.ckpt"
    if checkpoint.is_file():
        try:
            state = torch.load(checkpoint, map_location="cpu", weights_only=True)
            found: dict[str, Tensor] = state["state_dict"]
        except Exception:  # torch raises errors of many kinds for files that are not its own
            raise InputError(f"{str(checkpoint)!r} is damaged") from None
        return found
    state = load(source).state_dict()
    return {f"{part}.{name}": v for part in ("model", "average") for name, v in state.items()}


def take_over(module: nn.Module, weights: dict[str, Tensor]) -> int:
    """Copy what fits into a module; returns how many of its tensors took something over."""
    taken = 0
    with torch.no_grad():
        for name, own in module.state_dict().items():
            given = weights.get(name)
            if given is not None and _fits(given, own):
                own[tuple(slice(n) for n in given.shape)] = given.to(own)
                taken += 1
    return taken


def _fits(given: Tensor, own: Tensor) -> bool:
    if given.shape == own.shape:
        return True
    same_rest = given.dim() == own.dim() > 0 and given.shape[1:] == own.shape[1:]
    return same_rest and len(given) < len(own)
