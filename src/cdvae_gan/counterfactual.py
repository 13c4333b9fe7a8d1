"""Counterfactuals by abduction, action and prediction (Pearl), for tensors, pictures and files.

    abduction    z = μ(x), u = μ_u(x);  a = 1[α(x) > t] or the given label;  ε = x − G(z, u, a)
                 t = ½; 1 − c where do says 0, c where do says 1
    action       a′ = do(a; S = s), s in {0, 1}, a strength in between, or "flip"
    prediction   x′ = clip((1 − κ) G(z, u, a″) + κ (x + e + R(x, x + e, g, g m, a″ − a)))
                 e  = g (G(z, u, a″) − G(z, u, a) − m ε)
                 a″ = a + ρ (a′ − a), ρ_k for putting k on and another for taking it off;
                      what rules bring along goes as far as what brought it
                 m  = 1 − exp(−Σ_c |M_c(a″) − M_c(a)|), 0 for a model without a mask
                 g  = 1 − exp(−(Σ_c |N_c(a″) − N_c(a)|)²), 1 for a model without a gate;
                      0 where e is faint, less than about φ
                 R  = the retoucher's touch, 0 for a model without one and outside of g

c is ``certainty``: what an intervention asks for is taken to be there already only where the model
is sure of it. Else a moustache that is read with α = .4 could not be taken off.

ρ is ``reach``: how far to go in a for the photo to show as much of what is asked as real photos do
(`cdvae_gan.training.reach`); a model is drawn at 0 and 1 in training, and is shy of some values and
overdoes others.

κ is ``detail``; without mask, gate and R this is G(z, u, a″) + κ ε. The gate says where the photo
may change at all, the mask where its own detail must go; φ is ``faint``, what is not worth a
change. Where nothing changes, G, M and N cancel, R touches nothing, and with κ = 1 the answer is x
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cdvae_gan.action import (
    LEAVE,
    Do,
    Ruled,
    Rules,
    checked,
    codes,
    kappa,
    label_table,
    parse_do,
    present,
    rules,
    sentences,
)
from cdvae_gan.images import ImageLike, check_batch, floats, squares
from cdvae_gan.networks.decoder import Drawing
from cdvae_gan.networks.retoucher import Retoucher
from cdvae_gan.results import Result

if TYPE_CHECKING:
    from cdvae_gan.config import ModelConfig
    from cdvae_gan.model import CDVAEGAN

__all__ = [
    "Abduction",
    "Action",
    "Counterfactuals",
    "Destination",
    "Do",
    "ImageLike",
    "Labels",
    "Retouch",
    "Transport",
    "abduct",
    "abduct_for",
    "act",
    "act_by_code",
    "as_batch",
    "as_labels",
    "explain",
    "move",
    "parse_do",
    "predict",
    "reached",
    "rules_of",
    "transport",
]

Retouch = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""What to add to an edit, by photo, edit, gate and mask: a retoucher for some a″ − a"""

Labels = Mapping[str, "float | Sequence[float]"] | Tensor

_BATCH = 64
_AROUND = 5
"""Side, in pixels, of the square around a pixel by which its change is faint or not"""


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


class Destination(NamedTuple):
    """What an intervention leads to, before the photo's detail is carried over."""

    a: Tensor
    """``(B, K)``: a′"""
    drawn_with: Tensor
    """``(B, K)``: a″"""
    drawing: Drawing
    """G(z, u, a″) and M(z, u, a″)"""


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
    """What gave way to what was switched on, or came in the place of what was switched off"""


def transport(
    x: Tensor,
    factual: Drawing,
    counterfactual: Drawing,
    detail: float | Tensor,
    faint: float = 0.0,
    retouch: Retouch | None = None,
) -> Transport:
    """Carry the detail ε = x − G(a) over to G(a′), except where the mask opens; only in the gate.

    Where what would change is faint the gate stays shut.

    Args:
        x: ``(B, 3, H, W)`` in [−1, 1].
        factual: The drawing with a.
        counterfactual: The drawing with a′.
        detail: κ in [0, 1]; a number, or one for each image, ``(B, 1, 1, 1)``.
        faint: φ, an L1 in [0, 1]; 0 to keep all changes.
        retouch: R for this a″ − a; None for none.

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
    if faint > 0:
        seen = _seen(change, faint)
        gate, change = gate * seen, change * seen
    if retouch is not None:
        change = change + retouch(x, (x + change).clamp(-1, 1), gate, gate * mask)
        change = change * _seen(change, faint) if faint > 0 else change
    kept = x + change
    # At κ = 1 this is the second argument to the bit.
    image = torch.lerp(counterfactual.location, kept, detail)
    return Transport(image, mask, gate)


def _seen(change: Tensor, faint: float) -> Tensor:
    """0 where the change around a pixel is half as large as φ, 1 where it is 1½ times as large.

    By the smoothstep between; ``(B, 1, H, W)``.
    """
    size = change.abs().mean(dim=1, keepdim=True) / 2
    around = F.avg_pool2d(size, _AROUND, 1, _AROUND // 2, count_include_pad=False)
    share = (around / faint - 0.5).clamp(0, 1)
    return share.square() * (3 - 2 * share)


def _opening(factual: Tensor, counterfactual: Tensor) -> Tensor:
    """1 − exp(−Σ_c |difference of channel c|), ``(B, 1, H, W)`` in [0, 1)."""
    return 1 - torch.exp(-(counterfactual - factual).abs().sum(dim=1, keepdim=True))


def _sharp_opening(factual: Tensor, counterfactual: Tensor) -> Tensor:
    """1 − exp(−(Σ_c |difference of channel c|)²): flat at 0, so that faint differences stay out."""
    total = (counterfactual - factual).abs().sum(dim=1, keepdim=True)
    return 1 - torch.exp(-total.square())


def abduct(
    model: CDVAEGAN, x: Tensor, labels: Tensor | None = None, code: Tensor | None = None
) -> Abduction:
    """Infer the latents of images.

    Args:
        model: The model.
        x: ``(B, 3, H, W)`` in [−1, 1].
        labels: ``(B, K)`` with 0, 1 or −1 for unknown; None where nothing is known.
        code: ``(K,)`` or ``(B, K)``, the intervention to come, see :mod:`cdvae_gan.action`; None
            for none.
    """
    e = model.encoder(x)
    probabilities = e.a_logits.sigmoid()
    if labels is not None:
        probabilities = torch.where(labels >= 0, labels.to(probabilities), probabilities)
    if code is None:
        code = torch.full_like(probabilities, LEAVE)
    a = present(probabilities, code, model.config.certainty).float()
    drawing = model.decoder(e.z_mean, a, e.u_mean)
    return Abduction(e.z_mean, e.u_mean, a, probabilities, drawing)


def abduct_for(model: CDVAEGAN, found: Abduction, code: Tensor) -> Abduction:
    """An abduction made without an intervention in mind, as this intervention needs it."""
    a = present(found.probabilities, code, model.config.certainty).float()
    if torch.equal(a, found.a):
        return found
    return found._replace(a=a, drawing=model.decoder(found.z, a, found.u))


def act(
    a: Tensor,
    do: Do,
    config: ModelConfig,
    probabilities: Tensor | None = None,
    strength: float = 1.0,
) -> Action:
    """Carry out an intervention.

    Args:
        a: ``(B, K)`` in {0, 1}.
        do: The intervention.
        config: Of the model, whose rules say what an intervention entails.
        probabilities: ``(B, K)``: α(x), by which of several alternatives one is chosen; None for
            the frequencies in the training data.
        strength: How far to go from a to what ``do`` says, in [0, 1].

    Raises:
        InputError: For an unknown name, a value out of range, or two exclusive attributes set to 1.
    """
    values = checked(do, config.attributes, config.exclusive, strength)
    if probabilities is None:
        probabilities = torch.tensor(config.prior or (0.5,) * a.shape[1]).to(a).expand_as(a)
    code = torch.from_numpy(codes(values, config.attributes)).to(a.device)
    asked = act_by_code(a, probabilities, code, rules_of(config, a.device), strength)
    before, after = a.detach().cpu().numpy(), asked.detach().cpu().numpy()
    return Action(asked, sentences(before, after, values, config.attributes, rules(config)))


def rules_of(of: Ruled, device: torch.device | None = None) -> Rules[Tensor]:
    """The rules of a model or of data as tensors."""
    return Rules(*(torch.from_numpy(table).to(device) for table in rules(of)))


def act_by_code(
    a: Tensor,
    probabilities: Tensor,
    code: Tensor,
    known: Rules[Tensor],
    strength: float | Tensor,
) -> Tensor:
    """An intervention in numbers, which may differ from image to image.

    Args:
        a: ``(B, K)`` in {0, 1}.
        probabilities: ``(B, K)``: α(x), by which of several alternatives one is chosen.
        code: ``(K,)`` or ``(B, K)``, see :mod:`cdvae_gan.action`; nan leaves an attribute, too.
        known: The rules.
        strength: How far to go, in [0, 1]; a number or ``(B, 1)``.

    Returns:
        a′, ``(B, K)`` in [0, 1].
    """
    told = (code >= 0).expand_as(a)
    target = torch.where(told, torch.where(code > 1, 1 - a, code), a)
    falling = (a - target).clamp(min=0)[:, None]
    gone, come = ((table * falling).amax(dim=2) for table in (known.takes, known.brings))
    # What is asked for stays, so nothing comes that it excludes.
    barred = (known.yields * torch.where(told, target, 0)[:, None]).amax(dim=2) > 0
    target = torch.where(told, target, torch.maximum(target, come * ~barred) * (1 - gone))
    target = torch.maximum(target, _replacing(a, target, probabilities, told, known))
    rising = torch.where(target > a, target, 0)
    less = torch.maximum(gone, (known.yields * rising[:, None]).amax(dim=2))
    moved = told | (rising > 0)
    return torch.where(moved, a + strength * (target - a), a * (1 - strength * less))


def _replacing(
    a: Tensor, target: Tensor, probabilities: Tensor, told: Tensor, known: Rules[Tensor]
) -> Tensor:
    """How far each attribute rises in the place of others that fall, ``(B, K)`` in [0, 1].

    For each that falls it is the likeliest of its alternatives on which the intervention says
    nothing and which nothing that it switches on excludes; none where one is there already.
    """
    falling, rising = (a - target).clamp(min=0), (target - a).clamp(min=0)
    excluded = (known.yields * rising[:, None]).amax(dim=2) > 0
    # (B, j, k): j may come in the place of k
    free = known.replaces * (~told & ~excluded)[:, :, None]
    chosen = (free * (1 + probabilities[:, :, None])).argmax(dim=1)
    first = torch.nn.functional.one_hot(chosen, a.shape[1]).transpose(1, 2) * free
    there = (known.replaces * target[:, :, None]).amax(dim=1)
    return (first * (falling * (there == 0))[:, None]).amax(dim=2)


def reached(a: Tensor, asked: Tensor, told: Tensor, reach: Tensor) -> Tensor:
    """What a counterfactual is drawn with, a + ρ (a′ − a), ``(B, K)``.

    What moves without having been told goes as far as what was, the farthest if that is several: a
    light moustache shall not bring a heavy beard.

    Args:
        a: ``(B, K)`` in {0, 1}.
        asked: ``(B, K)`` in [0, 1]: a′.
        told: ``(K,)`` or ``(B, K)``, true for the attributes that the intervention names.
        reach: ``(2, K)``: ρ of putting on and of taking off.
    """
    step = asked - a
    own = torch.where(step > 0, reach[0], reach[1])
    leading = torch.where(told & (step != 0), own, 0).amax(dim=1, keepdim=True)
    return a + torch.where(told, own, leading) * step


def predict(
    model: CDVAEGAN,
    x: Tensor,
    abduction: Abduction,
    a: Tensor,
    code: Tensor,
    detail: float | Tensor,
) -> tuple[Tensor, Tensor]:
    """Draw the images that would have been.

    Args:
        model: The model.
        x: ``(B, 3, H, W)`` in [−1, 1], the images that were abducted.
        abduction: Their latents.
        a: ``(B, K)``: a′.
        code: ``(K,)`` or ``(B, K)``: the intervention by which a became a′.
        detail: κ in [0, 1]; a number, or one for each image, ``(B, 1, 1, 1)``.

    Returns:
        x′ ``(B, 3, H, W)`` in [−1, 1] and the mask ``(B, 1, H, W)`` in [0, 1].
    """
    drawn_with = reached(abduction.a, a, code >= 0, model.reach)
    there = Destination(a, drawn_with, model.decoder(abduction.z, drawn_with, abduction.u))
    return move(x, abduction, there, detail, model.config.faint, model.retoucher)


def move(
    x: Tensor,
    abduction: Abduction,
    there: Destination,
    detail: float | Tensor,
    faint: float,
    retoucher: Retoucher | None,
) -> tuple[Tensor, Tensor]:
    """What `predict` does once it has the drawing of a″."""
    retouch = retoucher and partial(retoucher, step=there.drawn_with - abduction.a)
    drawn = transport(x, abduction.drawing, there.drawing, detail, faint, retouch)
    # Arithmetic may round differently at different places of a batch; x itself does not.
    same = (there.a == abduction.a).all(dim=1)[:, None, None, None] & (detail == 1)
    images = torch.where(same, x, drawn.image.clamp(-1, 1))
    return images, torch.where(same, 0, drawn.mask * drawn.gate)


class Counterfactuals(Result[Tensor]):
    """Images, the images that would have been, and what was asked, as tensors on the CPU."""


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
    detail = kappa(detail, model.config.detail)
    x, names = as_batch(images, model.image_size)
    labels = as_labels(attributes, len(x), model.attributes)
    device = next(model.parameters()).device
    config = model.config
    values = checked(do, model.attributes, config.exclusive, strength)
    code = torch.from_numpy(codes(values, model.attributes)).to(device)
    known = rules_of(config, device)
    parts = []
    for start in range(0, len(x), _BATCH):
        chunk = x[start : start + _BATCH].to(device, memory_format=torch.channels_last)
        given = None if labels is None else labels[start : start + _BATCH].to(device)
        found = abduct(model, chunk, given, code)
        asked = act_by_code(found.a, found.probabilities, code, known, strength)
        drawn, mask = predict(model, chunk, found, asked, code, detail)
        after = model.encoder(drawn).a_logits.sigmoid()
        parts.append([drawn, found.probabilities, asked, after, mask, found.a])
    joined = [torch.cat(p).cpu().contiguous() for p in zip(*parts, strict=True)]
    taken, asked_of = joined[5].numpy(), joined[2].numpy()
    return Counterfactuals(
        factual=x,
        images=joined[0],
        attributes=model.attributes,
        before=joined[1],
        asked=joined[2],
        after=joined[3],
        mask=joined[4],
        do=dict(values),
        detail=detail,
        resolved=sentences(taken, asked_of, values, model.attributes, rules(config)),
        names=names,
    )


def steps(model: CDVAEGAN, found: Counterfactuals) -> Tensor:
    """a″ − a of counterfactuals, ``(B, K)``: how far each attribute was moved."""
    device = model.prior.device
    code = torch.from_numpy(codes(found.do, model.attributes)).to(device)
    a = present(found.before.to(device), code, model.config.certainty).float()
    return reached(a, found.asked.to(device), code >= 0, model.reach) - a


def as_batch(
    images: ImageLike | Sequence[ImageLike] | Tensor, size: int
) -> tuple[Tensor, tuple[str, ...]]:
    """Images of any accepted kind as a float batch in [−1, 1], and their names if from files.

    Raises:
        InputError: For a tensor of another shape or range, or a picture that can't be read.
    """
    if isinstance(images, Tensor):
        check_batch(images, size, is_float=images.is_floating_point())
        return images.detach().float(), ()
    batch, names = squares(images, size)
    return torch.from_numpy(floats(batch)), names


def as_labels(labels: Labels | None, n: int, attributes: Sequence[str]) -> Tensor | None:
    """Labels of any accepted kind as ``(n, K)`` with −1 for unknown; None where none are given.

    Raises:
        InputError: For an unknown attribute, a wrong number of values, or a value other than 0, 1
            and −1.
    """
    plain = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else labels
    table = label_table(plain, n, attributes)
    return None if table is None else torch.from_numpy(table)
