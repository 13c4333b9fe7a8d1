"""How a model is trained, as plain data: two presets, and every number by its name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from itertools import accumulate
from typing import Literal

from cdvae_gan.errors import InputError
from cdvae_gan.objective import GanLoss, Weights
from cdvae_gan.training.settings import with_settings

__all__ = ["DiscriminatorKind", "Mixture", "Preset", "TrainConfig"]

Preset = Literal["default", "paper"]
DiscriminatorKind = Literal["projected", "plain"]


@dataclass(frozen=True)
class Mixture:
    """What the drawn images that D judges consist of, as shares of a batch.

    The rest of it are counterfactuals with the photo's detail, as a user sees them.

    Raises:
        InputError: For shares below 0, or that add up to more than 1.
    """

    plain: float = 0.125
    """G(z, u, a′): without the photo's detail, so that the drawing itself must be right"""
    reconstruction: float = 0.125
    """G(z, u, a)"""
    prior: float = 0.125
    """G(z, 0, a), z from the prior"""

    def __post_init__(self) -> None:
        shares = (self.plain, self.reconstruction, self.prior)
        if not (min(shares) >= 0 and sum(shares) <= 1):
            raise InputError("shares of the mixture lie in [0, 1] and add up to no more than 1")

    def counts(self, batch: int) -> tuple[int, int, int, int]:
        """How many counterfactuals, and of each; all add up to ``batch``."""
        # Ends are rounded and not sizes, which could add up to more than there is.
        shares = accumulate((self.prior, self.reconstruction, self.plain))
        prior, reconstruction, plain = (round(min(end, 1) * batch) for end in shares)
        return batch - plain, plain - reconstruction, reconstruction - prior, prior


@dataclass(frozen=True)
class TrainConfig:
    """The numbers of a training.

    Raises:
        InputError: For values that no training can have.
    """

    preset: Preset = "default"
    z_dim: int = 64
    u_channels: int = 8
    mask_channels: int = 4
    gate_channels: int = 4
    width: int = 48
    fine_channels: int = 0
    scale: float | None = 0.05
    detail: float = 1.0
    discriminator: DiscriminatorKind = "projected"
    discriminator_size: int = 96
    """Side of the images that the projected discriminator's frozen network sees"""
    discriminator_channels: int = 64
    """Width of the projected discriminator; it is not kept, so what it costs is training alone"""
    learned_mixing: bool = False
    """Whether its mixing of features is learned, and not the random one that it starts with"""
    gan_loss: GanLoss = "hinge"
    r1: float = 0.0
    """Weight of the gradient penalty on real images; taken every 16 steps, 16 times as strong"""
    weights: Weights = field(default_factory=Weights)
    emphasis: float = 4.0
    """How much more an attribute that is intervened on counts in the attribute terms: 1 + this"""
    mixture: Mixture = field(default_factory=Mixture)
    mirror: bool = True
    """Whether images are mirrored at random: not where left and right differ"""
    batch_size: int = 64
    learning_rate: float = 3e-4
    learning_rate_d: float = 5e-4
    learning_rate_adversary: float = 1e-3
    learning_rate_pixel: float = 1e-3
    pixel_steps: int = 3
    """Steps of the discriminator on pixels, where `weights.pixel` asks for one, for each of G's"""
    pixel_replay: int = 2048
    """How many of the last edits, and of their photos, it learns from"""
    identity_steps: int = 3000
    """Steps in which the network that tells people apart learns, where `weights.identity` asks for
    one, before the training begins"""
    head_start: int = 0
    """Steps at the start of a run in which E and G stand still and all others learn"""
    ema: float = 0.999
    erase: bool = False
    """Whether E stays as it was in the model that the run starts from, its z without what a linear
    map could tell of a (see `cdvae_gan.training.erasure`), and G alone learns to do with that"""
    reach: tuple[tuple[float, float], ...] = ()
    """How far interventions go, as in `ModelConfig`, so that all terms see what a user will see; a
    model that was calibrated has one. Empty: to 0 and 1"""
    u_dropout: float = 0.25
    """Share of samples drawn without u, so that z stays informative"""
    partial_strength: float = 0.1
    """Share of interventions of a strength between 0 and 1"""
    rarity_cap: float = 20.0
    """An image whose rarest value has frequency p is drawn in proportion to min(1/p, cap)"""
    flip_cap: float = 30.0
    """An attribute whose present value has frequency p is flipped in proportion to min(1/p, cap)"""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch_size < 8:
            raise InputError(f"batch size must be at least 8, not {self.batch_size}")
        if min(self.learning_rate, self.learning_rate_d, self.learning_rate_adversary) <= 0:
            raise InputError("learning rates must be positive")
        if self.r1 > 0 and self.discriminator == "projected":
            raise InputError("r1 is for discriminator=plain: a projected one has no such penalty")
        if self.discriminator_size < 32 or self.discriminator_size % 32:
            raise InputError(
                f"discriminator_size is a multiple of 32, not {self.discriminator_size}"
            )
        if min(self.pixel_steps, self.pixel_replay) < 1:
            raise InputError("pixel_steps and pixel_replay must be at least 1")
        for term in ("pixel", "identity", "cycle"):
            if getattr(self.weights, term) and self.mixture.counts(self.batch_size)[0] < 1:
                raise InputError(f"weights.{term} is of counterfactuals: leave some in the mixture")
        if self.weights.pixel and self.pixel_replay < self.batch_size:
            raise InputError(
                f"pixel_replay must hold a batch of {self.batch_size}, not {self.pixel_replay}"
            )
        if self.identity_steps < 1:
            raise InputError(f"identity_steps must be at least 1, not {self.identity_steps}")
        if self.head_start < 0:
            raise InputError(f"head_start must not be negative, not {self.head_start}")
        if not 0 <= self.ema < 1:
            raise InputError(f"ema must lie in [0, 1), not {self.ema}")

    @classmethod
    def from_preset(cls, preset: Preset, seed: int = 0, batch_size: int = 64) -> TrainConfig:
        """``default``, the best that was measured on photos, or ``paper``, the plain form."""
        if preset == "default":
            return cls(seed=seed, batch_size=batch_size)
        if preset != "paper":
            raise InputError(f"no preset {preset!r}: there are default and paper")
        return cls(
            preset="paper",
            u_channels=0,
            mask_channels=0,
            gate_channels=0,
            detail=0.0,
            discriminator="plain",
            gan_loss="logistic",
            r1=1.0,
            weights=Weights.paper(),
            emphasis=1.0,
            mixture=Mixture(plain=0.5, reconstruction=0.25, prior=0.25),
            learning_rate_d=2e-4,
            u_dropout=0.0,
            partial_strength=0.0,
            seed=seed,
            batch_size=batch_size,
        )

    def changed(self, settings: Iterable[str]) -> TrainConfig:
        """The same with other values of some fields.

        Args:
            settings: Each ``name=value``; what lies in another dataclass is named with a point:
                ``weights.edit=2``.

        Raises:
            InputError: For a field that does not exist, or a value that it cannot have.
        """
        return with_settings(self, settings, held=("preset", "reach"))

    def to_json(self) -> str:
        """As text; :meth:`from_json` reads it back."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> TrainConfig:
        """Read a configuration back.

        Raises:
            InputError: For text that :meth:`to_json` of this version did not write.
        """
        try:
            values = json.loads(text)
            unknown = set(values) - {f.name for f in fields(cls)}
            if unknown:
                raise KeyError
            values["weights"] = Weights(**values["weights"])
            values["mixture"] = Mixture(**values["mixture"])
            values["reach"] = tuple(tuple(pair) for pair in values.get("reach", ()))
            return cls(**values)
        except (json.JSONDecodeError, KeyError, TypeError):
            raise InputError("the run's training configuration is not readable") from None
