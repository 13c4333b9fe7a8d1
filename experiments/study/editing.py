"""Editors of methods that redraw: an image and the attributes it should show give another image.

With G(x, a) what the method draws of x with attributes a, and â what it reads off x itself,

    x′ = clip(G(x, a′) + κ (x − G(x, â)))        a′ = do(â; a_k = v)

κ = 0 is each method as published. κ = 1 lends it the transport of this library, without a gate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from cdvae_gan.action import LEAVE, exclusions, present
from cdvae_gan.config import ModelConfig
from cdvae_gan.counterfactual import act_by_code
from cdvae_gan.evaluation.edits import setting

__all__ = ["Redrawing"]


class Redrawing:
    """An editor; see `cdvae_gan.evaluation.edits`.

    Args:
        attributes: The K names.
        exclusive: Groups of names of which at most one is 1.
        read: From x to P(a_k = 1 | x), ``(B, K)``.
        redraw: From x, â and a′ to G(x, a′).
        detail: κ.
    """

    def __init__(
        self,
        attributes: Sequence[str],
        exclusive: Sequence[Sequence[str]],
        read: Callable[[Tensor], Tensor],
        redraw: Callable[[Tensor, Tensor, Tensor], Tensor],
        detail: float,
    ) -> None:
        self.attributes = tuple(attributes)
        self.rules = torch.from_numpy(exclusions(attributes, exclusive))
        self.read = read
        self.redraw = redraw
        self.detail = detail

    @torch.no_grad()
    def __call__(
        self, x: Tensor, attribute: str | None, target: Tensor | None, strength: float = 1.0
    ) -> Tensor:
        read = self.read(x)
        code = torch.full_like(read, LEAVE)
        if attribute is not None and target is not None:
            code = setting(attribute, target, self.attributes)
        there = present(read, code, ModelConfig.certainty).float()
        asked = act_by_code(there, code, self.rules, strength)
        drawn = self.redraw(x, there, asked)
        if not self.detail:
            return drawn.clamp(-1, 1)
        kept = (drawn + self.detail * (x - self.redraw(x, there, there))).clamp(-1, 1)
        if self.detail < 1:
            return kept
        # Arithmetic rounds; where nothing is asked for, the answer is x itself.
        same = (asked == there).all(dim=1)[:, None, None, None]
        return torch.where(same, x, kept)
