"""Two published translators, AttGAN and StarGAN: their objectives, on networks of our size.

Both train a critic D with an attribute head C, and a generator G(x, b) that redraws x with
attributes b, here those of another image of the batch. With a the attributes of x:

    D    E D(G(x, b)) − E D(x) + 10 E(|∇D(x̂)| − 1)²  +  λ_C H(a, C(x))
    G    −E D(G(x, b))  +  λ_G H(b, C(G(x, b)))  +  λ_R E|x − x̃|

(WGAN-GP of Gulrajani et al. 2017, x̂ between x and G(x, b)), where H is the cross-entropy and

              x̃                  H over attributes    λ_C    λ_G    λ_R    learning rate
    AttGAN    G(x, a)            mean                 1      10     100    2e-4
    StarGAN   G(G(x, b), a)      sum                  1      1      10     1e-4

AttGAN: He et al. 2019, "AttGAN: Facial Attribute Editing by Only Changing What You Want". StarGAN:
Choi et al. 2018. Weights and how H is reduced are those of the authors' code, as are Adam's
(0.5, 0.999), five updates of D for one of G, and a learning rate that falls to 0 over the second
half. A *step* here is one update of G with the five of D before it, each on a batch of its own:
D sees five times the images that the other variants see in as many steps.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from rich.progress import Progress
from torch import Tensor, nn
from torch.optim import Adam

from cdvae_gan.data import AttributeDataset, Batch
from cdvae_gan.errors import InputError
from cdvae_gan.images import to_float
from cdvae_gan.networks.discriminator import PlainDiscriminator, Verdict
from cdvae_gan.networks.encoder import conv_widths
from cdvae_gan.training.callbacks import Collapse
from cdvae_gan.training.order import StepBatches, seed_step
from study.editing import Redrawing
from study.task import Mark, Task, Trained, same_config

__all__ = [
    "ATTGAN",
    "STARGAN",
    "AttGANGenerator",
    "Generator",
    "Recipe",
    "StarGANGenerator",
    "Translator",
    "critic_loss",
    "generator_loss",
    "gradient_penalty",
]

_CRITIC_STEPS = 5
_PENALTY = 10.0
_SAVE_EVERY = 30.0


# -- objectives ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """What tells the two objectives apart; see the module's table."""

    name: Literal["AttGAN", "StarGAN"]
    cycle: bool
    """Whether x̃ is G(G(x, b), a), or G(x, a)"""
    sum_attributes: bool
    """Whether H is a sum over attributes, or a mean"""
    attribute_d: float
    attribute_g: float
    reconstruction: float
    learning_rate: float


ATTGAN = Recipe("AttGAN", False, False, 1.0, 10.0, 100.0, 2e-4)
STARGAN = Recipe("StarGAN", True, True, 1.0, 1.0, 10.0, 1e-4)


def critic_loss(
    recipe: Recipe, real: Verdict, fake: Verdict, labels: Tensor, penalty: Tensor
) -> Tensor:
    """The loss of D and C. Scalar.

    Args:
        recipe: Whose.
        real: Of x.
        fake: Of G(x, b).
        labels: ``(B, K)`` in {0, 1}: a.
        penalty: See `gradient_penalty`.
    """
    wasserstein = fake.realness[0].mean() - real.realness[0].mean()
    attributes = _cross_entropy(recipe, real.attributes, labels)
    return wasserstein + _PENALTY * penalty + recipe.attribute_d * attributes


def generator_loss(
    recipe: Recipe, fake: Verdict, asked: Tensor, x: Tensor, again: Tensor
) -> Tensor:
    """The loss of G. Scalar.

    Args:
        recipe: Whose.
        fake: Of G(x, b).
        asked: ``(B, K)`` in {0, 1}: b.
        x: ``(B, 3, H, W)``.
        again: x̃.
    """
    attributes = _cross_entropy(recipe, fake.attributes, asked)
    return (
        -fake.realness[0].mean()
        + recipe.attribute_g * attributes
        + recipe.reconstruction * (x - again).abs().mean()
    )


def gradient_penalty(
    realness: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, share: Tensor
) -> Tensor:
    """E(|∇D(x̂)| − 1)², with x̂ = share · real + (1 − share) · fake. Scalar.

    Args:
        realness: D.
        real: ``(B, 3, H, W)``.
        fake: ``(B, 3, H, W)``.
        share: ``(B, 1, 1, 1)`` in [0, 1].
    """
    between = (share * real + (1 - share) * fake).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(realness(between).sum(), between, create_graph=True)
    slopes: Tensor = gradient.flatten(1).norm(dim=1)
    return (slopes - 1).square().mean()


def _cross_entropy(recipe: Recipe, logits: Tensor, target: Tensor) -> Tensor:
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (loss.sum(dim=1) if recipe.sum_attributes else loss.mean(dim=1)).mean()


# -- generators ------------------------------------------------------------------------------------


class Generator(nn.Module):
    """G(x, a): what both have in common."""

    def encode(self, x: Tensor) -> list[Tensor]:
        """What depends on x alone."""
        raise NotImplementedError

    def decode(self, codes: list[Tensor], a: Tensor) -> Tensor:
        """The image ``(B, 3, H, W)`` in [−1, 1]; a ``(B, K)`` in [0, 1]."""
        raise NotImplementedError

    def forward(self, x: Tensor, a: Tensor) -> Tensor:
        """Redraw images ``(B, 3, H, W)`` in [−1, 1]."""
        return self.decode(self.encode(x), a)


class AttGANGenerator(Generator):
    """An encoder to 4×4 and a decoder with one skip connection; attributes enter at 4×4 as ±1.

    Args:
        image_size: H = W.
        n_attributes: K.
        width: Channels after the first convolution, for images smaller than 64.
    """

    def __init__(self, image_size: int, n_attributes: int, width: int) -> None:
        super().__init__()
        # Deeper networks are that much narrower, for the size of the other variants.
        widths = conv_widths(image_size, width if image_size < 64 else 5 * width // 6)
        self.encoder = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(i, o, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(o),
                nn.LeakyReLU(0.2),
            )
            for i, o in pairwise([3, *widths])
        )
        out = widths[:0:-1]  # from the deepest; the last layer is apart
        entering = [widths[-1] + n_attributes, *out]
        entering[1] += widths[-2]
        self.decoder = nn.ModuleList(
            nn.Sequential(
                nn.ConvTranspose2d(i, o, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(o),
                nn.ReLU(),
            )
            for i, o in zip(entering[:-1], out, strict=True)
        )
        self.out = nn.ConvTranspose2d(entering[-1], 3, 4, stride=2, padding=1)

    def encode(self, x: Tensor) -> list[Tensor]:
        codes = []
        for layer in self.encoder:
            x = layer(x)
            codes.append(x)
        return codes

    def decode(self, codes: list[Tensor], a: Tensor) -> Tensor:
        h = torch.cat([codes[-1], _tiled(2 * a - 1, codes[-1])], dim=1)
        for i, layer in enumerate(self.decoder):
            h = layer(h)
            if i == 0:
                h = torch.cat([h, codes[-2]], dim=1)
        return torch.tanh(self.out(h))


class StarGANGenerator(Generator):
    """Two halvings, residual blocks at a quarter of the resolution, two doublings.

    Attributes enter beside the pixels, as 0 and 1.

    Args:
        image_size: H = W.
        n_attributes: K.
        width: Channels at full resolution.
    """

    def __init__(self, image_size: int, n_attributes: int, width: int) -> None:
        super().__init__()
        # Six when published, for 128 pixels; as many as give the size of the other variants.
        blocks = 2 if image_size < 64 else 6
        layers: list[nn.Module] = [
            nn.Conv2d(3 + n_attributes, width, 7, padding=3, bias=False),
            *_normed(width),
        ]
        for channels in (width, 2 * width):
            layers += [
                nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1, bias=False),
                *_normed(2 * channels),
            ]
        layers += [_Residual(4 * width) for _ in range(blocks)]
        for channels in (4 * width, 2 * width):
            layers += [
                nn.ConvTranspose2d(channels, channels // 2, 4, stride=2, padding=1, bias=False),
                *_normed(channels // 2),
            ]
        layers += [nn.Conv2d(width, 3, 7, padding=3, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def encode(self, x: Tensor) -> list[Tensor]:
        return [x]

    def decode(self, codes: list[Tensor], a: Tensor) -> Tensor:
        image: Tensor = self.layers(torch.cat([codes[0], _tiled(a, codes[0])], dim=1))
        return image


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            *_normed(channels),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm2d(channels, affine=True),
        )

    def forward(self, h: Tensor) -> Tensor:
        change: Tensor = self.layers(h)
        return h + change


def _normed(channels: int) -> list[nn.Module]:
    return [nn.InstanceNorm2d(channels, affine=True), nn.ReLU()]


def _tiled(a: Tensor, like: Tensor) -> Tensor:
    """``(B, K)`` as maps ``(B, K, h, w)``."""
    return a[:, :, None, None].expand(-1, -1, *like.shape[2:])


# -- training --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Translator:
    """A translator as a variant."""

    recipe: Recipe
    faster: float = 1.0
    """Factor on the published learning rate"""

    def train(self, task: Task) -> Trained:
        """Train, or go on."""
        if (task.data.split("train").labels < 0).any():
            raise InputError(f"{self.recipe.name} needs every label of {task.data.name}")
        state = _State(self, task)
        mark = Mark.read(task.folder)
        if mark is None:
            start, began = state.step, time.monotonic()
            _train(state, task)
            taken = state.step - start
            mark = Mark(state.step, taken / (time.monotonic() - began) if taken else None)
            mark.write(task.folder)
        generator, critic = state.generator.cpu().eval(), state.critic.cpu().eval()

        def read(x: Tensor) -> Tensor:
            verdict: Verdict = critic(x)
            return verdict.attributes.sigmoid()

        def redraw(x: Tensor, there: Tensor, asked: Tensor) -> Tensor:
            drawn: Tensor = generator(x, asked)
            return drawn

        data = task.data
        return Trained(
            editor=lambda detail: Redrawing(data, read, redraw, detail),
            detail=0.0,
            reconstruct=lambda x: generator(x, (read(x) > 0.5).float()),
            read=read,
            encode=None,
            config=state.config,
            parameters=sum(p.numel() for p in generator.parameters()),
            steps_per_second=mark.steps_per_second,
        )


class _State:
    """Networks, optimisers and the step at which they are: all that a checkpoint holds."""

    def __init__(self, method: Translator, task: Task) -> None:
        self.recipe = method.recipe
        base, k, size = task.base, len(task.data.attributes), task.data.image_size
        self.rate = self.recipe.learning_rate * method.faster
        self.config: dict[str, Any] = {
            "recipe": asdict(self.recipe),
            "learning_rate": self.rate,
            "width": base.width,
            "batch_size": base.batch_size,
            "seed": base.seed,
            "steps": task.steps,
        }
        torch.manual_seed(base.seed)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        kind = {"AttGAN": AttGANGenerator, "StarGAN": StarGANGenerator}[self.recipe.name]
        self.generator: Generator = kind(size, k, base.width).to(self.device)
        self.critic = PlainDiscriminator(size, k, base.width).to(self.device)
        self.of_generator, self.of_critic = (
            Adam(m.parameters(), self.rate, betas=(0.5, 0.999))
            for m in (self.generator, self.critic)
        )
        self.step = 0
        self.path = task.folder / "translator.pt"
        self._parts: dict[str, nn.Module | Adam] = {
            "generator": self.generator,
            "critic": self.critic,
            "of_generator": self.of_generator,
            "of_critic": self.of_critic,
        }
        if self.path.is_file():
            self._load(self.path)

    def _load(self, path: Path) -> None:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        same_config(path.parent, stored["config"], json.dumps(self.config))
        for name, part in self._parts.items():
            part.load_state_dict(stored[name])
        self.step = int(stored["step"])

    def save(self) -> None:
        """Write a checkpoint, whole or not at all."""
        temporary = self.path.with_suffix(".partial")
        parts = {name: part.state_dict() for name, part in self._parts.items()}
        torch.save({"step": self.step, "config": json.dumps(self.config), **parts}, temporary)
        temporary.replace(self.path)


def _train(state: _State, task: Task) -> None:
    base = task.base
    task.folder.mkdir(parents=True, exist_ok=True)
    batches = _batches(task.data.split("train"), base.batch_size, base.seed, state.step)
    saved = time.monotonic()
    with Progress(console=task.console, transient=True) as bar:
        shown = bar.add_task(state.recipe.name, total=task.steps, completed=state.step)
        while state.step < task.steps:
            torch.manual_seed(seed_step(base.seed, state.step, 0, 1))
            _set_rate(state, task.steps)
            for _ in range(_CRITIC_STEPS):
                x, a = (part.to(state.device) for part in next(batches))
                _critic_step(state, x, a)
            _generator_step(state, x, a)
            state.step += 1
            bar.update(shown, completed=state.step)
            if time.monotonic() - saved > _SAVE_EVERY:
                state.save()
                saved = time.monotonic()
    state.save()


def _batches(
    data: AttributeDataset, batch_size: int, seed: int, step: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images in [−1, 1] and their labels, every image as often as any other."""
    start = step * _CRITIC_STEPS
    stream: Iterator[Batch] = iter(
        StepBatches(data, torch.ones(len(data)), batch_size, seed, start)
    )
    for images, labels in stream:
        yield to_float(images).contiguous(), labels.float()


def _set_rate(state: _State, steps: int) -> None:
    """The published schedule: constant, then falling to 0 over the second half."""
    rate = state.rate * min(1.0, 2 * (steps - state.step) / steps)
    for optimizer in (state.of_generator, state.of_critic):
        for group in optimizer.param_groups:
            group["lr"] = rate


def _critic_step(state: _State, x: Tensor, a: Tensor) -> None:
    critic = state.critic
    with torch.no_grad():
        fake = state.generator(x, _of_others(a))
    share = torch.rand(len(x), 1, 1, 1, device=x.device)
    penalty = gradient_penalty(lambda i: critic(i).realness[0], x, fake, share)
    loss = critic_loss(state.recipe, critic(x), critic(fake), a, penalty)
    _descend(state.of_critic, loss, state.step)


def _generator_step(state: _State, x: Tensor, a: Tensor) -> None:
    generator, asked = state.generator, _of_others(a)
    codes = generator.encode(x)
    fake = generator.decode(codes, asked)
    again = generator(fake, a) if state.recipe.cycle else generator.decode(codes, a)
    loss = generator_loss(state.recipe, state.critic(fake), asked, x, again)
    _descend(state.of_generator, loss, state.step)


def _of_others(a: Tensor) -> Tensor:
    return a[torch.randperm(len(a), device=a.device)]


def _descend(optimizer: Adam, loss: Tensor, step: int) -> None:
    if not math.isfinite(value := loss.item()):
        raise Collapse(f"the loss became {value} at step {step + 1}")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
