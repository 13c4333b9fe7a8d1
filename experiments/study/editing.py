"""Editors of methods that redraw: an image and the attributes it should show give another image.

With G(x, a) what the method draws of x with attributes a, and â what it reads off x itself,

    x′ = clip(G(x, a′) + κ (x − G(x, â)))        a′ = do(â; a_k = v)

κ = 0 is each method as published. κ = 1 lends it the transport of this library, without a gate.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from cdvae_gan.action import LEAVE, present
from cdvae_gan.config import ModelConfig
from cdvae_gan.counterfactual import act_by_code, rules_of
from cdvae_gan.data import AttributeDataset
from cdvae_gan.evaluation.edits import setting

__all__ = ["Redrawing"]


class Redrawing:
    """An editor; see `cdvae_gan.evaluation.edits`.

    Args:
        data: Its attributes, and what an intervention on them entails.
        read: From x to P(a_k = 1 | x), ``(B, K)``.
        redraw: From x, â and a′ to G(x, a′).
        detail: κ.
    """

    def __init__(
        self,
        data: AttributeDataset,
        read: Callable[[Tensor], Tensor],
        redraw: Callable[[Tensor, Tensor, Tensor], Tensor],
        detail: float,
    ) -> None:
        self.attributes = data.attributes
        self.rules = rules_of(data)
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
        asked = act_by_code(there, read, code, self.rules, strength)
        drawn = self.redraw(x, there, asked)
        if not self.detail:
            return drawn.clamp(-1, 1)
        kept = (drawn + self.detail * (x - self.redraw(x, there, there))).clamp(-1, 1)
        if self.detail < 1:
            return kept
        # Arithmetic rounds; where nothing is asked for, the answer is x itself.
        same = (asked == there).all(dim=1)[:, None, None, None]
        return torch.where(same, x, kept)
