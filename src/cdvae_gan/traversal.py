"""Traversals: one image drawn along an attribute, or along a dimension of z.

Along attribute k:   do(a_k = s), s from 0 to 1.
Along dimension j:   z_j from −3 to 3, the rest of z, u and a as abducted; the photo's detail is
                     carried over as for a counterfactual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cdvae_gan.action import kappa
from cdvae_gan.counterfactual import abduct, transport
from cdvae_gan.images import to_uint8
from cdvae_gan.model import CDVAEGAN

__all__ = ["Traversal", "attribute_traversal", "most_used", "z_traversal"]

Z_RANGE = (-3.0, 3.0)


@dataclass(frozen=True)
class Traversal:
    """Pictures of one image: a row an attribute or dimension, a column a value."""

    title: str
    factual: NDArray[np.uint8]
    """``(H, W, 3)``"""
    rows: list[str]
    values: list[float]
    pictures: list[list[NDArray[np.uint8]]]
    """Each ``(H, W, 3)``"""
    read: list[list[float]]
    """What the model reads of the row's attribute off the factual and each picture; empty for z"""

    @property
    def columns(self) -> list[str]:
        """The values as labels."""
        return [f"{v:.2g}" for v in self.values]

    def to_dict(self) -> dict[str, Any]:
        """All but the pixels, as plain data."""
        values = [round(v, 4) for v in self.values]
        if not self.read:
            return {"rows": self.rows, "values": values}
        rows = [
            {
                "attribute": name,
                "before": round(read[0], 4),
                "read": [round(p, 4) for p in read[1:]],
            }
            for name, read in zip(self.rows, self.read, strict=True)
        ]
        return {"rows": rows, "values": values}


def attribute_traversal(
    model: CDVAEGAN,
    x: Tensor,
    attributes: Sequence[str],
    steps: int,
    detail: float | None = None,
) -> Traversal:
    """do(a_k = s) for s from 0 to 1, for each of some attributes.

    Args:
        model: The model.
        x: ``(1, 3, H, W)`` in [−1, 1].
        attributes: Which.
        steps: How many values of s.
        detail: κ; None for the model's own.
    """
    values = torch.linspace(0, 1, steps).tolist()
    pictures, read = [], []
    for name in attributes:
        k = model.attributes.index(name)
        results = [model.counterfactual(x, {name: value}, detail) for value in values]
        pictures.append([_pixels(r.images) for r in results])
        read.append([float(results[0].before[0, k]), *(float(r.after[0, k]) for r in results)])
    title = "do(attribute = 0 to 1), with what the model reads"
    return Traversal(title, _pixels(x), list(attributes), values, pictures, read)


@torch.no_grad()
def z_traversal(
    model: CDVAEGAN, x: Tensor, dimensions: Sequence[int], steps: int, detail: float | None = None
) -> Traversal:
    """z_j from −3 to 3, for each of some dimensions.

    Args:
        model: The model.
        x: ``(1, 3, H, W)`` in [−1, 1].
        dimensions: Which.
        steps: How many values.
        detail: κ; None for the model's own.

    Raises:
        InputError: κ lies outside of [0, 1].
    """
    detail = kappa(detail, model.config.detail)
    values = torch.linspace(*Z_RANGE, steps)
    x = x.to(model.prior.device)
    found = abduct(model, x)
    pictures = []
    for j in dimensions:
        z = found.z.repeat(steps, 1)
        z[:, j] = values.to(z)
        u = None if found.u is None else found.u.expand(steps, -1, -1, -1)
        drawing = model.decoder(z, found.a.expand(steps, -1), u)
        images = transport(x, found.drawing, drawing, detail, model.config.faint).image
        pictures.append([_pixels(image[None]) for image in images])
    rows = [f"z{j} ({float(found.z[0, j]):+.2f})" for j in dimensions]
    title = "dimensions of z from -3 to 3, in brackets what they are"
    return Traversal(title, _pixels(x), rows, values.tolist(), pictures, [])


@torch.no_grad()
def most_used(model: CDVAEGAN, x: Tensor, n: int = 8) -> list[int]:
    """The dimensions in which q(z|x) of one image is farthest from the prior, by KL divergence."""
    q = model.posterior(x.to(model.prior.device)).z.base_dist
    kl = 0.5 * (q.loc.square() + q.scale.square() - 1) - q.scale.log()
    order: list[int] = kl[0].argsort(descending=True)[:n].tolist()
    return order


def _pixels(image: Tensor) -> NDArray[np.uint8]:
    return np.ascontiguousarray(to_uint8(image)[0].permute(1, 2, 0).cpu().numpy())
