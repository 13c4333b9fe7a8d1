"""The variants: what each of them changes, and in what.

*Base* is what the ablations take a part from: the settings of the demo for avatars, the default
preset for photos. Everything that is not the point of a variant is the base's: size of the
networks, batch, optimiser, running average, seed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from cdvae_gan.demo import demo_config
from cdvae_gan.errors import InputError, unknown_name
from cdvae_gan.objective import Weights
from cdvae_gan.training import TrainConfig
from cdvae_gan.training.config import Mixture
from study.models import Erased, LatentDirections, Model
from study.translators import ATTGAN, STARGAN, Translator

__all__ = ["VARIANTS", "Variant", "choose", "photo_base"]


@dataclass(frozen=True)
class Variant:
    """One row of the table."""

    name: str
    about: str
    method: Model | Erased | LatentDirections | Translator


def photo_base(seed: int = 0) -> TrainConfig:
    """The base for photos."""
    return TrainConfig.from_preset("default", seed=seed)


def choose(names: str, base: TrainConfig) -> list[Variant]:
    """The variants of a list such as ``demo,paper,attgan``, or ``all`` that differ on this base.

    Raises:
        InputError: For a name that does not exist, or a variant that takes away what the base does
            not have.
    """
    found = list(VARIANTS) if names == "all" else [_named(n.strip()) for n in names.split(",")]
    idle = [v for v in found if _changes_nothing(v, base)]
    if idle and names != "all":
        raise InputError(f"{idle[0].name} takes away a part that the base here does not have")
    return [v for v in found if v not in idle]


def _named(name: str) -> Variant:
    for variant in VARIANTS:
        if variant.name == name:
            return variant
    raise unknown_name("variant", name, (v.name for v in VARIANTS))


def _changes_nothing(variant: Variant, base: TrainConfig) -> bool:
    """Whether an ablation is the base itself; a preset may be, and stands for it."""
    method = variant.method
    if not isinstance(method, Model) or variant.name in ("demo", "default"):
        return False
    return method.labelled == 1 and method.change(base) == base


def _fitted(preset: TrainConfig, base: TrainConfig) -> TrainConfig:
    """A preset at the base's size and speed; terms, latents, critics and their rate stay."""
    return replace(
        preset,
        z_dim=base.z_dim,
        width=base.width,
        fine_channels=base.fine_channels,
        mirror=base.mirror,
        batch_size=base.batch_size,
        learning_rate=base.learning_rate,
        learning_rate_adversary=base.learning_rate_adversary,
        ema=base.ema,
        seed=base.seed,
    )


def _weighing(base: TrainConfig, **weights: float) -> TrainConfig:
    return replace(base, weights=replace(base.weights, **weights))


_OFF = dict.fromkeys(
    (
        "features",
        "disentanglement",
        "adversarial",
        "branch",
        "attribute_d",
        "attribute_e",
        "consistency",
        "edit",
        "mask",
        "gate",
    ),
    0.0,
)
_NO_EDITS = Mixture(plain=0.0, reconstruction=0.5, prior=0.5)
_PLAIN: dict[str, Any] = {
    "u_channels": 0,
    "mask_channels": 0,
    "gate_channels": 0,
    "detail": 0.0,
    "mixture": _NO_EDITS,
    "partial_strength": 0.0,
    "u_dropout": 0.0,
}
"""The textbook forms: one latent vector, no edit seen in training, plain decoding."""


def _conditional_vae(base: TrainConfig) -> TrainConfig:
    weights = replace(base.weights, **_OFF)
    return replace(base, discriminator="plain", r1=0.0, weights=weights, **_PLAIN)


def _conditional_vae_gan(base: TrainConfig) -> TrainConfig:
    """Bao et al. 2017: drawings must pass for real, be read as asked, and have x's features."""
    own = base.weights
    weights = replace(
        own,
        **{
            **_OFF,
            "features": Weights().features,
            "adversarial": own.adversarial,
            "attribute_d": own.attribute_d,
        },
    )
    return replace(base, weights=weights, **_PLAIN)


def _no_counterfactual(base: TrainConfig) -> TrainConfig:
    """Mask and gate go too: they exist on an edit alone, and would stay closed."""
    return replace(
        _weighing(base, edit=0.0, mask=0.0, gate=0.0, consistency=0.0),
        mask_channels=0,
        gate_channels=0,
        mixture=_NO_EDITS,
        partial_strength=0.0,
    )


VARIANTS = (
    Variant(
        "demo",
        "the demo's settings: the base on avatars",
        Model(lambda b: _fitted(demo_config(), b)),
    ),
    Variant(
        "default",
        "the default preset: the base on photos",
        Model(lambda b: _fitted(TrainConfig.from_preset("default"), b)),
    ),
    Variant(
        "paper",
        "the paper's plain form",
        Model(lambda b: _fitted(TrainConfig.from_preset("paper"), b)),
    ),
    Variant(
        "vae",
        "a VAE that knows no attributes, logistic directions in z",
        LatentDirections(_conditional_vae),
    ),
    Variant("cvae", "a conditional VAE", Model(_conditional_vae)),
    Variant(
        "cvae-gan",
        "a conditional VAE with adversarial, classification and feature terms (Bao et al. 2017)",
        Model(_conditional_vae_gan),
    ),
    Variant(
        "attgan", "AttGAN's objective (He et al. 2019), published learning rate", Translator(ATTGAN)
    ),
    Variant(
        "attgan-fast", "AttGAN's objective, five times that learning rate", Translator(ATTGAN, 5.0)
    ),
    Variant(
        "stargan",
        "StarGAN's objective (Choi et al. 2018), published learning rate",
        Translator(STARGAN),
    ),
    Variant(
        "stargan-fast",
        "StarGAN's objective, five times that learning rate",
        Translator(STARGAN, 5.0),
    ),
    Variant(
        "no-disentanglement",
        "base without the adversary on z",
        Model(lambda b: _weighing(b, disentanglement=0.0)),
    ),
    Variant(
        "erased",
        "base whose z is erased after half of the steps, E as it is for the other half",
        Erased(lambda b: b),
    ),
    Variant(
        "no-adversarial",
        "base without adversarial terms: nothing needs to look real",
        Model(lambda b: _weighing(b, adversarial=0.0, branch=0.0)),
    ),
    Variant(
        "no-counterfactual",
        "base whose critics never see an edit, only reconstructions and samples",
        Model(_no_counterfactual),
    ),
    Variant(
        "no-branches",
        "base without D's branch for each attribute value",
        Model(lambda b: _weighing(b, branch=0.0)),
    ),
    Variant("no-gate", "base without the gate", Model(lambda b: replace(b, gate_channels=0))),
    Variant("no-mask", "base without the mask", Model(lambda b: replace(b, mask_channels=0))),
    Variant(
        "detail-1",
        "base without gate and mask: all of the photo's detail is kept, detail = 1",
        Model(lambda b: replace(b, gate_channels=0, mask_channels=0, detail=1.0)),
    ),
    Variant(
        "detail-0",
        "base trained and used with plain decoding, detail = 0",
        Model(lambda b: replace(b, gate_channels=0, mask_channels=0, detail=0.0)),
    ),
    Variant(
        "labels-10",
        "base with the labels of 10 % of the training images",
        Model(lambda b: b, labelled=0.1),
    ),
    Variant(
        "labels-1",
        "base with the labels of 1 % of the training images",
        Model(lambda b: b, labelled=0.01),
    ),
)
