"""Starting a new run from weights that were learned before.

What fits is taken over: tensors of equal name and shape. Where a decoder draws more channels than
before (gate channels besides), those that were there come first. What belongs to an attribute goes
by its name: a row of a reading, a column of what the decoder is told, two branches of D. The rest
starts as it would have: attributes that are other than before are learned anew, and so is what was
not kept.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cdvae_gan.errors import InputError
from cdvae_gan.model import load

__all__ = ["Learned", "learned_weights", "take_over"]

_READINGS = ("encoder.to_a.", "to_attributes.", "adversary.")
_BRANCHES = ("discriminator.heads.", "to_realness.")
_TOLD = ("decoder.start.weight", ".film.weight")
_DRAWN_LATELY = "replay."
"""What another run drew is none of this one's"""
_SCALE = ".log_scale"
"""s of p(x|z,u,a), which a new run may hold fixed elsewhere"""
_DRAWN = ("decoder.out.weight", "decoder.out.bias")


class Learned(NamedTuple):
    """Weights, and what they were learned for."""

    weights: dict[str, Tensor]
    """Named as in :class:`~cdvae_gan.training.module.TrainingModule`"""
    attributes: tuple[str, ...]

    @property
    def goes_over_edits(self) -> bool:
        """Whether there is a retoucher or refiner, which know the edits of this model alone."""
        return any(n.startswith(("model.retoucher.", "model.refiner.")) for n in self.weights)


def learned_weights(source: str | Path) -> Learned:
    """The weights in a run (of E, G, D and the adversary) or in a model (of E and G alone).

    Args:
        source: A run's folder, or whatever :func:`cdvae_gan.load` loads.

    Raises:
        InputError: Where there is neither a run nor a model.
    """
    checkpoint = Path(source) / "checkpoints" / "last.ckpt"
    if checkpoint.is_file():
        try:
            state = torch.load(checkpoint, map_location="cpu", weights_only=True)
            found: dict[str, Tensor] = state["state_dict"]
            described = json.loads((Path(source) / "data.json").read_text())
            return Learned(found, tuple(described["attributes"]))
        except Exception:  # torch raises errors of many kinds for files that are not its own
            raise InputError(f"{str(checkpoint)!r} is damaged") from None
    model = load(source)
    parts = ("model", "average")
    weights = {f"{part}.{name}": v for part in parts for name, v in model.state_dict().items()}
    return Learned(weights, model.attributes)


def take_over(module: nn.Module, learned: Learned, attributes: Sequence[str]) -> int:
    """Copy what fits into a module; returns how many of its tensors took something over.

    Args:
        module: Whose weights are to start so.
        learned: From where.
        attributes: The K names that it is for.
    """
    names = tuple(attributes), learned.attributes
    scale_is_learned = any(p.requires_grad for n, p in module.named_parameters() if _SCALE in n)
    taken = 0
    with torch.no_grad():
        for name, own in module.state_dict().items():
            given = learned.weights.get(name)
            if given is None or name.startswith(_DRAWN_LATELY):
                continue
            if name.endswith(_SCALE) and not scale_is_learned:
                continue
            parts = None if names[0] == names[1] else _parts(name, own, given, *names)
            taken += _copied(name, own, given) if parts is None else _copied_parts(*parts)
    return taken


def _copied(name: str, own: Tensor, given: Tensor) -> bool:
    if given.shape == own.shape:
        own.copy_(given)
        return True
    if name.endswith(_DRAWN) and given.shape[1:] == own.shape[1:] and len(given) < len(own):
        own[: len(given)] = given.to(own)
        return True
    return False


class _Parts(NamedTuple):
    """Rows of a tensor and the rows of another that they are copied from."""

    own: Tensor
    given: Tensor
    rows: list[tuple[int, int]]


def _parts(
    name: str, own: Tensor, given: Tensor, new: tuple[str, ...], old: tuple[str, ...]
) -> _Parts | None:
    """What there is to copy where parts of a tensor belong to attributes; None where none do."""
    shared = [(new.index(n), k) for k, n in enumerate(old) if n in new]
    if name.endswith(_TOLD):  # a column for each of z, then for each of a
        z = own.shape[1] - len(new)
        fits = given.shape == (len(own), z + len(old))
        rows = [(i, i) for i in range(z)] + [(z + i, z + k) for i, k in shared]
        return _Parts(own.T, given.T, rows if fits else [])
    if not own.dim() or own.shape[1:] != given.shape[1:]:
        return None
    sizes = len(own), len(given)
    if any(part in name for part in _READINGS) and sizes == (len(new), len(old)):
        return _Parts(own, given, shared)
    if any(p in name for p in _BRANCHES) and sizes == (1 + 2 * len(new), 1 + 2 * len(old)):
        both = [(1 + 2 * i + v, 1 + 2 * k + v) for i, k in shared for v in (0, 1)]
        return _Parts(own, given, [(0, 0), *both])
    return None


def _copied_parts(own: Tensor, given: Tensor, rows: list[tuple[int, int]]) -> bool:
    for to, source in rows:
        own[to] = given[source].to(own)
    return bool(rows)
