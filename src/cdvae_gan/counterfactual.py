"""Counterfactuals by abduction, action and prediction (Pearl), for tensors, pictures and files.

    abduction    z = μ(x), u = μ_u(x);  a = 1[α(x) > ½] or the given label;  ε = x − G(z, u, a)
    action       a′ = do(a; S = s), s in {0, 1}, a strength in between, or "flip"
    prediction   x′ = clip((1 − κ) G(z, u, a′) + κ (x + g (G(z, u, a′) − G(z, u, a) − m ε)))
                 m  = 1 − exp(−Σ_c |M_c(a′) − M_c(a)|), 0 for a model without a mask
                 g  = 1 − exp(−(Σ_c |N_c(a′) − N_c(a)|)²), 1 for a model without a gate

κ is ``detail``; without mask and gate this is G(z, u, a′) + κ ε. The gate says where the photo may
change at all, the mask where its own detail must go. Where nothing changes, G, M and N cancel, and
with κ = 1 the answer is x itself.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cdvae_gan.errors import InputError, unknown_name
from cdvae_gan.images import read_image, square, to_float, to_pil, to_uint8
from cdvae_gan.networks.decoder import Drawing

if TYPE_CHECKING:
    from cdvae_gan.model import CDVAEGAN

__all__ = [
    "Abduction",
    "Action",
    "Counterfactuals",
    "Do",
    "ImageLike",
    "Labels",
    "Transport",
    "abduct",
    "act",
    "as_batch",
    "as_labels",
    "explain",
    "parse_do",
    "predict",
    "transport",
]

Do = Mapping[str, "float | bool | str"]
"""An intervention: attribute name to 0, 1, a strength in between, or ``"flip"``."""
ImageLike = Image.Image | str | Path
Labels = Mapping[str, "float | Sequence[float]"] | Tensor

_BATCH = 64


class Abduction(NamedTuple):
    """What abduction infers of a batch of images."""

    z: Tensor
    """``(B, d)``"""
    u: Tensor | None
    """``(B, c, H/4, W/4)``"""
    a: Tensor
    """``(B, K)`` in {0, 1}: the label where given, else what the model reads"""
    probabilities: Tensor
    """``(B, K)``: α(x), or the label where given"""
    drawing: Drawing
    """G(z, u, a) and M(z, u, a)"""


class Transport(NamedTuple):
    """A photo with its change."""

    image: Tensor
    """``(B, 3, H, W)``: x′ before clipping"""
    mask: Tensor
    """``(B, 1, H, W)`` in [0, 1]: m, where the photo's own detail is dropped"""
    gate: Tensor
    """``(B, 1, H, W)`` in [0, 1]: g, where the photo may change"""


class Action(NamedTuple):
    """An intervention carried out on a batch of attribute vectors."""

    a: Tensor
    """``(B, K)``: a′"""
    resolved: tuple[str, ...]
    """What was switched off because it excludes an attribute that was switched on, in words"""


def transport(x: Tensor, factual: Drawing, counterfactual: Drawing, detail: float) -> Transport:
    """Carry the detail ε = x − G(a) over to G(a′), except where the mask opens; only in the gate.

    Args:
        x: ``(B, 3, H, W)`` in [−1, 1].
        factual: The drawing with a.
        counterfactual: The drawing with a′.
        detail: κ in [0, 1].

    Returns:
        What is drawn, before clipping.
    """
    mask = _opening(factual.mask_logits, counterfactual.mask_logits)
    change = counterfactual.location - factual.location - mask * (x - factual.location)
    if counterfactual.gate_logits.shape[1]:
        gate = _sharp_opening(factual.gate_logits, counterfactual.gate_logits)
        change = gate * change
    else:
        gate = torch.ones_like(mask)
    kept = x + change
    image = kept if detail == 1 else torch.lerp(counterfactual.location, kept, detail)
    return Transport(image, mask, gate)


def _opening(factual: Tensor, counterfactual: Tensor) -> Tensor:
    """1 − exp(−Σ_c |difference of channel c|), ``(B, 1, H, W)`` in [0, 1)."""
    return 1 - torch.exp(-(counterfactual - factual).abs().sum(dim=1, keepdim=True))


def _sharp_opening(factual: Tensor, counterfactual: Tensor) -> Tensor:
    """1 − exp(−(Σ_c |difference of channel c|)²): flat at 0, so that faint differences stay out."""
    total = (counterfactual - factual).abs().sum(dim=1, keepdim=True)
    return 1 - torch.exp(-total.square())


def abduct(model: CDVAEGAN, x: Tensor, labels: Tensor | None = None) -> Abduction:
    """Infer the latents of images.

    Args:
        model: The model.
        x: ``(B, 3, H, W)`` in [−1, 1].
        labels: ``(B, K)`` with 0, 1 or −1 for unknown; None where nothing is known.
    """
    q = model.posterior(x)
    probabilities = q.a.base_dist.probs
    if labels is not None:
        probabilities = torch.where(labels >= 0, labels.to(probabilities), probabilities)
    a = (probabilities > 0.5).float()
    u = None if q.u is None else q.u.base_dist.loc
    return Abduction(q.z.base_dist.loc, u, a, probabilities, model.decoder(q.z.base_dist.loc, a, u))


def act(
    a: Tensor,
    do: Do,
    attributes: Sequence[str],
    exclusive: Sequence[Sequence[str]] = (),
    strength: float = 1.0,
) -> Action:
    """Carry out an intervention.

    Args:
        a: ``(B, K)`` in {0, 1}.
        do: The intervention.
        attributes: The K names.
        exclusive: Groups of names of which at most one is 1: switching one on switches the others
            off, unless they are part of the intervention.
        strength: How far to go from a to what ``do`` says, in [0, 1].

    Raises:
        InputError: For an unknown name, a value out of range, or two exclusive attributes set to 1.
    """
    values = _checked(do, attributes, exclusive, strength)
    result = a.clone()
    resolved = []
    for name, value in values.items():
        k = attributes.index(name)
        target = 1 - a[:, k] if value == "flip" else torch.full_like(a[:, k], float(value))
        result[:, k] = a[:, k] + strength * (target - a[:, k])
        for other in _excluded_by(name, exclusive, attributes):
            j = attributes.index(other)
            rises = (target > a[:, k]) & (a[:, j] > 0)
            if other in values or not rises.any():
                continue
            left = a[:, j] * (1 - strength * target)
            result[:, j] = torch.where(rises, torch.minimum(result[:, j], left), result[:, j])
            resolved.append(f"{other} gives way to {name} in {int(rises.sum())} of {len(a)} images")
    return Action(result, tuple(resolved))


def predict(
    model: CDVAEGAN, x: Tensor, abduction: Abduction, a: Tensor, detail: float
) -> tuple[Tensor, Tensor]:
    """Draw the images that would have been.

    Args:
        model: The model.
        x: ``(B, 3, H, W)`` in [−1, 1], the images that were abducted.
        abduction: Their latents.
        a: ``(B, K)``: a′.
        detail: κ in [0, 1].

    Returns:
        x′ ``(B, 3, H, W)`` in [−1, 1] and the mask ``(B, 1, H, W)`` in [0, 1].
    """
    drawing = model.decoder(abduction.z, a, abduction.u)
    drawn = transport(x, abduction.drawing, drawing, detail)
    images, mask = drawn.image.clamp(-1, 1), drawn.mask * drawn.gate
    if detail == 1:
        # Arithmetic may round differently at different places of a batch; x itself does not.
        same = (a == abduction.a).all(dim=1)[:, None, None, None]
        images, mask = torch.where(same, x, images), torch.where(same, 0, mask)
    return images, mask


@dataclass(frozen=True)
class Counterfactuals:
    """Images, the images that would have been, and what was asked.

    Iterating gives the counterfactuals as PIL images; a notebook shows both side by side.
    """

    factual: Tensor
    """``(B, 3, H, W)`` in [−1, 1], at the model's resolution"""
    images: Tensor
    """``(B, 3, H, W)`` in [−1, 1]: x′"""
    attributes: tuple[str, ...]
    """The K names"""
    before: Tensor
    """``(B, K)``: what the model reads off x, as probabilities, or the labels that were given"""
    asked: Tensor
    """``(B, K)``: a′"""
    after: Tensor
    """``(B, K)``: what the model reads off x′, as probabilities"""
    mask: Tensor
    """``(B, 1, H, W)`` in [0, 1]: where the photo's own detail was given up"""
    do: dict[str, float | bool | str]
    detail: float
    resolved: tuple[str, ...] = ()
    """Exclusive attributes that were switched off, in words"""
    names: tuple[str, ...] = field(default=())
    """File names, where the images came from files"""

    def __len__(self) -> int:
        return len(self.images)

    def pil(self) -> list[Image.Image]:
        """The counterfactuals as PIL images at the model's resolution."""
        return [to_pil(i) for i in to_uint8(self.images)]

    def figure(self) -> Image.Image:
        """Factual and counterfactual, a row an image, with what the model reads of what changed."""
        from cdvae_gan.figures import grid

        asked = ", ".join(f"{k}={v}" for k, v in self.do.items()) or "nothing"
        rows, notes = [], []
        for i in range(len(self)):
            pair = to_uint8(torch.stack([self.factual[i], self.images[i]]))
            rows.append([np.asarray(p.permute(1, 2, 0)) for p in pair])
            notes.append([self._reading(self.before[i]), self._reading(self.after[i])])
        labels = [self.names[i] if self.names else f"image {i}" for i in range(len(self))]
        return grid(rows, columns=["factual", f"do({asked})"], rows_labels=labels, notes=notes)

    def to_dict(self) -> dict[str, object]:
        """All but the pixels, as plain data."""
        return {
            "do": dict(self.do),
            "detail": self.detail,
            "resolved": list(self.resolved),
            "images": [
                {
                    "name": self.names[i] if self.names else f"image {i}",
                    "attributes": {
                        name: {
                            "before": round(float(self.before[i, k]), 4),
                            "asked": round(float(self.asked[i, k]), 4),
                            "after": round(float(self.after[i, k]), 4),
                        }
                        for k, name in enumerate(self.attributes)
                    },
                }
                for i in range(len(self))
            ],
        }

    def save(self, path: str | Path) -> Path:
        """Write the figure to ``path`` (PNG or JPEG) and what was asked and read to ``path``.json.

        Raises:
            InputError: Where the folder does not exist or the format is not known.
        """
        path = Path(path)
        if not path.parent.is_dir():
            raise InputError(f"no folder {str(path.parent)!r} to write {path.name!r} into")
        try:
            self.figure().save(path)
        except ValueError:
            raise InputError(
                f"cannot write pictures as {path.suffix!r}: use .png or .jpg"
            ) from None
        path.with_suffix(".json").write_text(json.dumps(self.to_dict(), indent=2) + "\n")
        return path

    def _reading(self, probabilities: Tensor) -> str:
        shown = [n for n in self.attributes if n in self.do]
        return "  ".join(f"{n} {float(probabilities[self.attributes.index(n)]):.2f}" for n in shown)

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.figure().save(stream, "PNG")
        return stream.getvalue()


@torch.no_grad()
def explain(
    model: CDVAEGAN,
    images: ImageLike | Sequence[ImageLike] | Tensor,
    do: Do,
    *,
    detail: float | None = None,
    strength: float = 1.0,
    attributes: Labels | None = None,
) -> Counterfactuals:
    """The images that would have been, had the attributes been as ``do`` says.

    Args:
        model: The model; its own method ``counterfactual`` calls this.
        images: A PIL image, a path, a list of them, or a float tensor ``(B, 3, H, W)`` in [−1, 1].
            Pictures of other sizes are cropped to their central square and resized.
        do: Attribute name to 0, 1, a strength in between, or ``"flip"``. Empty: nothing is done.
        detail: κ in [0, 1]: 1 keeps every detail of the photo that the edit does not touch, 0 is
            plain decoding; None for the model's own default.
        strength: How far to go from what is there to what ``do`` says, in [0, 1].
        attributes: Labels, where known: name to value (or a value an image), or a tensor
            ``(B, K)`` with −1 for unknown. What is not given is read off the image.

    Raises:
        InputError: For an image of another size than the model's, an unknown attribute, a value out
            of range, or a file that can't be read.
    """
    detail = model.config.detail if detail is None else detail
    if not 0 <= detail <= 1:
        raise InputError(f"detail must lie in [0, 1], not {detail}")
    x, names = as_batch(images, model.image_size)
    labels = as_labels(attributes, len(x), model.attributes)
    device = next(model.parameters()).device
    parts = []
    resolved: list[str] = []
    for start in range(0, len(x), _BATCH):
        chunk = x[start : start + _BATCH].to(device, memory_format=torch.channels_last)
        known = None if labels is None else labels[start : start + _BATCH].to(device)
        found = abduct(model, chunk, known)
        action = act(found.a, do, model.attributes, model.config.exclusive, strength)
        drawn, mask = predict(model, chunk, found, action.a, detail)
        after = model.posterior(drawn).a.base_dist.probs
        resolved += [r for r in action.resolved if r not in resolved]
        parts.append([drawn, found.probabilities, action.a, after, mask])
    joined = [torch.cat([p[i] for p in parts]).cpu().contiguous() for i in range(5)]
    return Counterfactuals(
        factual=x,
        images=joined[0],
        attributes=model.attributes,
        before=joined[1],
        asked=joined[2],
        after=joined[3],
        mask=joined[4],
        do=dict(do),
        detail=detail,
        resolved=tuple(resolved),
        names=names,
    )


def parse_do(texts: Iterable[str], attributes: Sequence[str]) -> dict[str, float | str]:
    """Read interventions such as ``Smiling=1``, ``Eyeglasses=flip`` or ``Blond_Hair=0.5``.

    Raises:
        InputError: For a text of another form, an unknown attribute or a value out of range.
    """
    do: dict[str, float | str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name or not value:
            raise InputError(f"{text!r} is not an intervention: write Name=1, Name=0 or Name=flip")
        if name not in attributes:
            raise unknown_name("attribute", name, attributes)
        if name in do:
            raise InputError(f"{name} is set twice: give one value for an attribute")
        do[name] = value if value == "flip" else _number(name, value)
    _checked(do, attributes, (), 1.0)
    return do


def as_batch(
    images: ImageLike | Sequence[ImageLike] | Tensor, size: int
) -> tuple[Tensor, tuple[str, ...]]:
    """Images of any accepted kind as a float batch in [−1, 1], and their names if from files.

    Raises:
        InputError: For a tensor of another shape or range, or a picture that can't be read.
    """
    if isinstance(images, Tensor):
        shape = tuple(images.shape)
        if len(shape) != 4 or shape[1:] != (3, size, size) or not images.is_floating_point():
            raise InputError(
                f"the model takes float images of shape (B, 3, {size}, {size}) in [−1, 1], "
                f"not {images.dtype} of shape {shape}"
            )
        if len(images) and not images.abs().max() <= 1:
            raise InputError("images must lie in [−1, 1]: cdvae_gan.images.to_float makes them so")
        return images, ()
    items = [images] if isinstance(images, Image.Image | str | Path) else list(images)
    if not items:
        raise InputError("no images were given")
    arrays, names = [], []
    for i, item in enumerate(items):
        is_picture = isinstance(item, Image.Image)
        picture = item.convert("RGB") if isinstance(item, Image.Image) else read_image(item)
        arrays.append(torch.from_numpy(square(picture, size).copy()))
        names.append(f"image {i}" if is_picture else Path(str(item)).name)
    batch = torch.stack(arrays).permute(0, 3, 1, 2)
    return to_float(batch), tuple(names)


def as_labels(labels: Labels | None, n: int, attributes: Sequence[str]) -> Tensor | None:
    """Labels of any accepted kind as ``(n, K)`` with −1 for unknown; None where none are given.

    Raises:
        InputError: For an unknown attribute, a wrong number of values, or a value other than 0, 1
            and −1.
    """
    if labels is None:
        return None
    if isinstance(labels, Tensor):
        if tuple(labels.shape) != (n, len(attributes)):
            raise InputError(
                f"labels must have shape ({n}, {len(attributes)}), not {tuple(labels.shape)}"
            )
        table = labels.float()
    else:
        table = torch.full((n, len(attributes)), -1.0)
        for name, value in labels.items():
            if name not in attributes:
                raise unknown_name("attribute", name, attributes)
            column = torch.as_tensor(value, dtype=torch.float32).flatten()
            if len(column) not in (1, n):
                raise InputError(f"{name} has {len(column)} labels for {n} images")
            table[:, list(attributes).index(name)] = column
    if not torch.isin(table, torch.tensor([-1.0, 0.0, 1.0])).all():
        raise InputError("labels must be 0, 1, or −1 for unknown")
    return table


def _checked(
    do: Do, attributes: Sequence[str], exclusive: Sequence[Sequence[str]], strength: float
) -> dict[str, float | str]:
    if not 0 <= strength <= 1:
        raise InputError(f"strength must lie in [0, 1], not {strength}")
    values: dict[str, float | str] = {}
    for name, value in do.items():
        if name not in attributes:
            raise unknown_name("attribute", name, attributes)
        if value == "flip":
            values[name] = "flip"
            continue
        if isinstance(value, str) or not 0 <= float(value) <= 1:
            raise InputError(f'{name} must be a number in [0, 1] or "flip", not {value!r}')
        values[name] = float(value)
    for group in exclusive:
        together = [n for n in group if values.get(n) == 1.0]
        if len(together) > 1:
            raise InputError(f"{' and '.join(together)} exclude each other: set one of them to 1")
    return values


def _excluded_by(
    name: str, exclusive: Sequence[Sequence[str]], attributes: Sequence[str]
) -> list[str]:
    found = [o for group in exclusive if name in group for o in group if o != name]
    return [o for o in dict.fromkeys(found) if o in attributes]


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InputError(f'{name} must be a number in [0, 1] or "flip", not {value!r}') from None
