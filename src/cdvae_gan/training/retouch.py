"""Teach a trained model a retoucher: E and G stay as they are, R learns what they leave wrong.

Edits are what the model makes of photos without labels, one attribute at a time, as far as it goes
when it is used. A discriminator on pixels judges what R makes of them beside photos that have what
was asked for. The loss of R:

| term        | what it is                                                            |
|-------------|-----------------------------------------------------------------------|
| branch      | the discriminator must take it for real given what was asked          |
| attribute_d | its attribute head must read what was asked off it                    |
| attribute_e | so must q(a∣x′)                                                        |
| cycle       | ‖x″ − x‖, x″ what undoing the edit makes of x′; x′ held fixed          |
| edit        | ‖x′ − x‖: an edit should be no larger than it must                    |
| touch       | what R changes of the edit                                            |
| colour      | what it changes of it in the mean of squares of pixels                |

`Refining` teaches a refiner in the same way: a retoucher that goes over edits in photos of twice
the model's resolution (`cdvae_gan.refinement`).
"""

from __future__ import annotations

import copy
import io
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Adam, AdamW

from cdvae_gan import objective
from cdvae_gan.action import LEAVE, Rules, present
from cdvae_gan.counterfactual import act_by_code, reached, rules_of, transport
from cdvae_gan.data import AttributeDataset
from cdvae_gan.errors import InputError
from cdvae_gan.files import write_whole
from cdvae_gan.images import to_float
from cdvae_gan.model import CDVAEGAN
from cdvae_gan.networks.decoder import Drawing
from cdvae_gan.networks.discriminator import ResidualDiscriminator
from cdvae_gan.networks.memory import channels_last
from cdvae_gan.networks.retoucher import Retoucher
from cdvae_gan.refinement import Pasted, paste, reduced
from cdvae_gan.training.augmentation import Augmentation, mirrored
from cdvae_gan.training.average import follow
from cdvae_gan.training.critics import loss_on_pixels
from cdvae_gan.training.interventions import (
    InterventionSampler,
    rarity,
    sample_weights,
    weighted_prevalence,
)
from cdvae_gan.training.order import seed_step
from cdvae_gan.training.replay import Recalled, Replay

__all__ = [
    "Refining",
    "RetouchConfig",
    "RetouchWeights",
    "Retouching",
    "learn_retoucher",
]

Part = Literal["retoucher", "refiner"]

_RECOLOURED = 0.2
"""Share of images: fewer than elsewhere, for R could turn a face red at no cost"""
_CYCLE_EVERY = 3
"""Steps; it costs as much as all other terms, and counts for three times as much then"""
_EMA, _EMA_WARM_UP = 0.999, 50
_LARGEST = 1.0
"""Norm of a gradient that is not cut"""
_NOW_AND_THEN = 250
"""Steps"""
_SQUARE = 8
"""Side, in pixels, of those by which colours are told"""


@dataclass(frozen=True)
class RetouchWeights:
    """The weight of every term; see the module's docstring."""

    branch: float = 1.5
    attribute_d: float = 3.0
    attribute_e: float = 2.5
    cycle: float = 4.0
    edit: float = 0.5
    touch: float = 2.0
    colour: float = 0.0


@dataclass(frozen=True)
class RetouchConfig:
    """How a retoucher is taught.

    Raises:
        InputError: For numbers that no training can have.
    """

    width: int = 48
    weights: RetouchWeights = field(default_factory=RetouchWeights)
    batch_size: int = 32
    learning_rate: float = 2e-4
    learning_rate_d: float = 4e-4
    head_start: int = 600
    """Steps at the start in which the discriminator alone learns"""
    d_steps: int = 2
    """Of the discriminator for each of R's"""
    replay: int = 2048
    """How many of the last edits the discriminator learns from"""
    emphasis: float = 4.0
    """How much more the attribute that is intervened on counts: 1 + this"""
    mirror: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.width, self.batch_size, self.d_steps) < 1 or self.replay < self.batch_size:
            raise InputError("width, batch size and d_steps must be positive, and a batch be held")
        if min(self.learning_rate, self.learning_rate_d) <= 0:
            raise InputError("learning rates must be positive")


class _Edits(NamedTuple):
    """A batch, edited by E and G alone."""

    x: Tensor
    a: Tensor
    asked: Tensor
    told: Tensor
    """``(B, K)``, true for the attribute that was intervened on"""
    attribute: Tensor
    """``(B,)``"""
    value: Tensor
    """``(B,)``: what it was asked to be"""
    step: Tensor
    """``(B, K)``: a″ − a"""
    factual: Drawing
    drawn: Drawing
    plain: Tensor
    """x′ before it is gone over"""
    pasted: Pasted | None = None
    """In a larger photo"""


class Retouching:
    """A training of R: everything that changes, and one step.

    Args:
        model: The trained model, with a gate; it is copied. A retoucher that it has is taught on.
        data: Photos with the model's attributes.
        config: The numbers; None for the usual ones.
        bf16: Whether convolutions run in bfloat16.

    Raises:
        InputError: The model has no gate, the data lack its attributes or are of another size.
    """

    part: ClassVar[Part] = "retoucher"
    """Of the model: what is taught"""
    scale: ClassVar[int] = 1
    """Of the photos' side to the model's"""
    cycles: ClassVar[bool] = True
    """Whether there is a loss on edits that are undone"""
    usual: ClassVar[RetouchConfig] = RetouchConfig()
    """The numbers where nothing else is said"""

    def __init__(
        self,
        model: CDVAEGAN,
        data: AttributeDataset,
        config: RetouchConfig | None = None,
        bf16: bool = False,
    ) -> None:
        config = config or self.usual
        if config.weights.cycle and not self.cycles:
            raise InputError(f"a {self.part} is taught without a cycle: weights.cycle must be 0")
        self.config, self.bf16, self.of_model = config, bf16, model.digest()
        self.data = data.for_model(model.attributes)
        side = self.scale * model.image_size
        if data.image_size != side:
            raise InputError(f"photos must be of {side} pixels, not {data.image_size}")
        self.model = _with(self.part, model, config.width, config.seed)
        self.device = self.model.prior.device
        labels = torch.from_numpy(self.data.labels).long()
        self.chances = sample_weights(labels, cap=20.0)
        self.prevalence = weighted_prevalence(labels, self.chances).to(self.device)
        self.interventions = InterventionSampler(self.prevalence)
        self.rules: Rules[Tensor] = rules_of(self.model.config, self.device)
        self.taught: Retoucher = getattr(self.model, self.part)
        self.average = copy.deepcopy(self.taught).requires_grad_(False)
        self.taught.requires_grad_(True)
        k = len(self.model.attributes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.critic = channels_last(ResidualDiscriminator(k, folded=self.scale))
        self.critic.to(self.device)
        self.replay = Replay(config.replay, side, k).to(self.device)
        self.of_r = Adam(
            self.taught.parameters(), config.learning_rate, betas=(0.5, 0.99), fused=True
        )
        self.of_d = AdamW(
            self.critic.parameters(),
            config.learning_rate_d,
            betas=(0.5, 0.99),
            weight_decay=0.01,
            fused=True,
        )
        self.steps_done = 0

    def step(self) -> dict[str, float]:
        """One step of all; what it found."""
        seed = seed_step(self.config.seed, self.steps_done, 0, 2)
        torch.manual_seed(seed)
        x, labels = self._batch()
        with torch.no_grad(), self._autocast():
            edits = self._edited(x)
        shown = self._retouched(edits)
        self.replay.add(
            Recalled(edits.x, labels, shown.detach().clamp(-1, 1), edits.attribute, edits.value)
        )
        log = self._teach_critic(2 * len(x))
        if self.steps_done >= self.config.head_start:
            log |= self._teach_retoucher(edits, shown)
        self.steps_done += 1
        return {name: float(value.detach()) for name, value in log.items()}

    def finished(self, share: float = 1.0) -> CDVAEGAN:
        """The model with the running average of R, which adds a share of what it has learned to.

        Without a card.
        """
        found = copy.deepcopy(self.model)
        taught = copy.deepcopy(self.average)
        with torch.no_grad():
            for parameter in taught.out.parameters():
                parameter.mul_(share)
        setattr(found, self.part, taught)
        found.card = None
        return channels_last(found.eval())

    def state(self) -> dict[str, Any]:
        """All that it takes to go on."""
        return {
            "config": asdict(self.config),
            "model": self.of_model,
            "steps_done": self.steps_done,
            **{name: part.state_dict() for name, part in self._parts().items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`.

        Raises:
            InputError: It is of another model or configuration.
        """
        if state["model"] != self.of_model:
            raise InputError("this training was begun with another model: name that one")
        if state["config"] != asdict(self.config):
            raise InputError("this training was begun with other numbers: begin another")
        self.steps_done = int(state["steps_done"])
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        return {
            "taught": self.taught,
            "average": self.average,
            "critic": self.critic,
            "replay": self.replay,
            "of_r": self.of_r,
            "of_d": self.of_d,
        }

    # -- drawing ---------------------------------------------------------------------------------

    def _batch(self) -> tuple[Tensor, Tensor]:
        rows = torch.multinomial(self.chances, self.config.batch_size, replacement=True)
        images, labels = self.data.batch(rows.sort().values.numpy())
        x = to_float(images.to(self.device))
        x = mirrored(x) if self.config.mirror else x
        return x.contiguous(memory_format=torch.channels_last), labels.to(self.device)

    def _edited(self, x: Tensor) -> _Edits:
        """Photos, each with one attribute flipped, drawn as in use, without labels."""
        model, rows = self.model, torch.arange(len(x), device=x.device)
        e = model.encoder(x)
        read = e.a_logits.float().sigmoid()
        now = (read > 0.5).float()
        k = torch.multinomial(rarity(now, self.prevalence, self.interventions.cap), 1)[:, 0]
        value = 1 - now[rows, k]
        code = torch.full_like(read, LEAVE)
        code[rows, k] = value
        a = present(read, code, model.config.certainty).float()
        asked = act_by_code(a, read, code, self.rules, 1.0)
        far = reached(a, asked, code >= 0, model.reach)
        factual, drawn = self._both(e.z_mean, a, far, e.u_mean)
        plain = transport(x, factual, drawn, 1.0, model.config.faint).image
        return _Edits(
            x, a, asked, code >= 0, k, value.long(), far - a, factual, drawn, plain.clamp(-1, 1)
        )

    def _both(self, z: Tensor, a: Tensor, far: Tensor, u: Tensor | None) -> tuple[Drawing, Drawing]:
        drawn: Drawing = self.model.decoder(
            torch.cat([z, z]), torch.cat([a, far]), None if u is None else torch.cat([u, u])
        )
        factual, counterfactual = Drawing(*(c.float() for c in drawn)).split([len(a), len(far)])
        return factual, counterfactual

    def _touched(self, x: Tensor, factual: Drawing, drawn: Drawing, step: Tensor) -> Tensor:
        """x′ with R; a little beyond [−1, 1], so that gradients survive where a photo is white."""
        faint, retouch = self.model.config.faint, partial(self.taught, step=step)
        with self._autocast():
            image = transport(x, factual, drawn, 1.0, faint, retouch).image
        return image.clamp(-1.2, 1.2)

    def _retouched(self, edits: _Edits) -> Tensor:
        return self._touched(edits.x, edits.factual, edits.drawn, edits.step)

    # -- learning --------------------------------------------------------------------------------

    def _teach_critic(self, n: int) -> dict[str, Tensor]:
        self.critic.requires_grad_(True).train()
        for _ in range(self.config.d_steps):
            with self._autocast():
                found = loss_on_pixels(
                    self.critic,
                    self.replay.draw(n),
                    self.interventions,
                    mismatched=True,
                    recoloured=_RECOLOURED,
                )
            self.of_d.zero_grad()
            found.loss.backward()
            self.of_d.step()
        return {"critic": found.loss, "critic/attributes": found.attributes}

    def _teach_retoucher(self, edits: _Edits, shown: Tensor) -> dict[str, Tensor]:
        w, emphasis = self.config.weights, self.config.emphasis
        # Among drawn images alone its statistics would be of another mixture.
        self.critic.requires_grad_(False).eval()
        seen = Augmentation.draw(len(shown), shown.device, _RECOLOURED)(shown)
        with self._autocast():
            verdict, reading = self.critic(seen), self.model.encoder(self._as_read(seen))
        changed = edits.asked != edits.a
        judged = objective.branch_logits(verdict.realness, edits.attribute, edits.value)
        terms = {
            "branch": w.branch * objective.generator_loss(judged, "logistic"),
            "edit": w.edit * (shown - edits.x).abs().mean(),
            "touch": w.touch * (shown - edits.plain).abs().mean(),
            "colour": w.colour * F.avg_pool2d(shown - edits.plain, _SQUARE).abs().mean(),
        }
        for name, weight, logits in (
            ("attribute_d", w.attribute_d, verdict.attributes),
            ("attribute_e", w.attribute_e, reading.a_logits.float()),
        ):
            terms[name] = weight * objective.attribute_effect(
                logits, edits.asked, changed, self.prevalence, emphasis
            )
        if w.cycle and self.steps_done % _CYCLE_EVERY == 0:
            terms["cycle"] = _CYCLE_EVERY * w.cycle * self._cycle(edits, shown.detach())
        self.of_r.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.taught.parameters(), _LARGEST)
        self.of_r.step()
        taught = self.steps_done - self.config.head_start
        follow(self.average, self.taught, min(_EMA, taught / (taught + _EMA_WARM_UP)))
        return terms

    def _cycle(self, edits: _Edits, shown: Tensor) -> Tensor:
        """How far a photo is from what undoing its edit draws; nothing flows back into the edit."""
        x = shown.clamp(-1, 1).contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), self._autocast():
            e = self.model.encoder(x)
            back = reached(edits.asked, edits.a, edits.told, self.model.reach)
            factual, drawn = self._both(e.z_mean, edits.asked, back, e.u_mean)
        undone = self._touched(x, factual, drawn, back - edits.asked)
        return (undone - edits.x).abs().mean()

    def _as_read(self, images: Tensor) -> Tensor:
        """As E takes them."""
        return images

    def _autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)


class Refining(Retouching):
    """A training of the refiner: the same, in photos of twice the model's resolution.

    What the model makes of them, retouched if it has a retoucher, is put into the larger photo.

    Raises:
        InputError: See `Retouching`; or there is a weight on the cycle, which it does not have.
    """

    part = "refiner"
    scale = 2
    cycles = False
    usual = RetouchConfig(
        width=32,
        # What an edit is has been settled at the model's resolution.
        weights=RetouchWeights(cycle=0.0, edit=0.25, touch=1.0, colour=6.0),
        d_steps=1,
        replay=1536,
    )

    def _edited(self, x: Tensor) -> _Edits:
        small = self._as_read(x)
        edits, model = super()._edited(small), self.model
        retouch = model.retoucher and partial(model.retoucher, step=edits.step)
        drawn = transport(small, edits.factual, edits.drawn, 1.0, model.config.faint, retouch)
        image, mask = drawn.image.float().clamp(-1, 1), (drawn.mask * drawn.gate).float()
        pasted = paste(x, small, image, mask)
        return edits._replace(x=x, plain=pasted.image, pasted=pasted)

    def _retouched(self, edits: _Edits) -> Tensor:
        assert edits.pasted is not None
        with self._autocast():
            image = edits.pasted.gone_over(self.taught, edits.x, edits.step)
        return image.clamp(-1.2, 1.2)

    def _as_read(self, images: Tensor) -> Tensor:
        return reduced(images).clamp(-1, 1).contiguous(memory_format=torch.channels_last)


def _with(part: Part, model: CDVAEGAN, width: int, seed: int) -> CDVAEGAN:
    """A copy with that part: its own where it has one, else one that has learned nothing.

    Raises:
        InputError: The model has no gate.
    """
    if getattr(model, part) is not None:
        return copy.deepcopy(model).requires_grad_(False).eval()
    config = (
        replace(model.config, retouch_width=width)
        if part == "retoucher"
        else replace(model.config, refine_width=width)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = CDVAEGAN(config).to(model.prior.device)
    found.load_state_dict(model.state_dict(), strict=False)
    return channels_last(found.requires_grad_(False).eval())


def learn_retoucher(
    training: Retouching,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    share: float = 1.0,
    checkpoint: Path | None = None,
    report: Callable[[int, dict[str, float]], None] | None = None,
) -> CDVAEGAN:
    """Teach a retoucher, or a refiner, until a limit comes; Ctrl-C keeps what was learned.

    Args:
        training: Of one or the other.
        steps: Stop after so many in all.
        seconds: Stop after so long.
        share: In [0, 1], of what it has learned to add that is added: an edit between that of the
            model as it was and that of its retoucher may look more real than either.
        checkpoint: A file to go on from where it is there, and to write now and then.
        report: Is told the step and what was found, now and then.

    Raises:
        InputError: The checkpoint is of another training or damaged, or the share out of range.
    """
    if not 0 <= share <= 1:
        raise InputError(f"share must lie in [0, 1], not {share}")
    if checkpoint is not None and checkpoint.is_file():
        training.restore(_read(checkpoint))
    start = time.monotonic()
    try:
        while (steps is None or training.steps_done < steps) and (
            seconds is None or time.monotonic() - start < seconds
        ):
            found = training.step()
            if training.steps_done % _NOW_AND_THEN == 0:
                if report is not None:
                    report(training.steps_done, found)
                _write(training, checkpoint)
    except KeyboardInterrupt:
        pass
    _write(training, checkpoint)
    return training.finished(share)


def _read(checkpoint: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception:  # torch raises errors of many kinds for files that are not its own
        raise InputError(f"{str(checkpoint)!r} is damaged") from None
    return state


def _write(training: Retouching, checkpoint: Path | None) -> None:
    if checkpoint is None:
        return
    stream = io.BytesIO()
    torch.save(training.state(), stream)
    try:
        write_whole(checkpoint, stream.getvalue())
    except OSError as error:
        raise InputError(f"cannot write {str(checkpoint)!r}: {error.strerror}") from None
