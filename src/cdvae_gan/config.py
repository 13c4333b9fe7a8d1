"""What a model is made of, as plain numbers that can be written beside its weights."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from cdvae_gan.action import check_rules
from cdvae_gan.errors import InputError

__all__ = ["ModelConfig"]

_SIZES = (32, 64, 128, 256)
_WHOLE = (
    "image_size",
    "z_dim",
    "u_channels",
    "mask_channels",
    "gate_channels",
    "width",
    "fine_channels",
    "retouch_width",
    "refine_width",
)


@dataclass(frozen=True)
class ModelConfig:
    """What it takes to build a model.

    Raises:
        InputError: For values that no model can have.
    """

    attributes: tuple[str, ...]
    image_size: int = 64
    z_dim: int = 64
    u_channels: int = 8
    mask_channels: int = 4
    gate_channels: int = 0
    width: int = 48
    fine_channels: int = 0
    retouch_width: int = 0
    """Channels of the retoucher; 0 for none"""
    refine_width: int = 0
    """Channels of the refiner, a retoucher at twice the resolution; 0 for none"""
    prior: tuple[float, ...] = ()
    """π, the attributes' frequencies in the training data; ½ each where empty"""
    exclusive: tuple[tuple[str, ...], ...] = ()
    """Groups of attributes of which at most one is 1"""
    alternatives: tuple[tuple[str, ...], ...] = ()
    """An attribute, and those of which the likeliest takes its place when it is switched off"""
    companions: tuple[tuple[str, ...], ...] = ()
    """An attribute, and what others become when it is switched off, ``Name=0`` or ``Name=1``"""
    detail: float = 1.0
    """κ, where the caller of ``counterfactual`` does not say"""
    certainty: float = 0.9
    """c: how sure q(a|x) must be that what an intervention asks for is there already; ½ to 1"""
    reach: tuple[tuple[float, float], ...] = ()
    """ρ: for each attribute how far putting it on and taking it off go in a; 1 each where empty"""
    faint: float = 0.0
    """φ: changes fainter than this, an L1 in [0, 1], are left out of an edit; 0 to keep all"""
    scale: float | None = None
    """s of p(x|z,u,a); None to learn it"""

    def __post_init__(self) -> None:
        if not self.attributes or len(set(self.attributes)) != len(self.attributes):
            raise InputError("a model needs at least one attribute, and no name twice")
        if self.image_size not in _SIZES:
            raise InputError(f"image_size must be one of {_SIZES}, not {self.image_size}")
        channels = (
            self.u_channels,
            self.mask_channels,
            self.gate_channels,
            self.fine_channels,
            self.retouch_width,
            self.refine_width,
        )
        if min(self.z_dim, self.width) < 1 or min(channels) < 0:
            raise InputError("z_dim and width must be positive, channels not negative")
        if self.width % 2:
            raise InputError(f"width must be even, not {self.width}")
        if self.retouch_width and not self.gate_channels:
            raise InputError("a retoucher takes a gate: gate_channels must not be 0")
        if self.prior and len(self.prior) != len(self.attributes):
            raise InputError(
                f"{len(self.prior)} prior frequencies for {len(self.attributes)} attributes"
            )
        if not all(0 <= p <= 1 for p in self.prior) or not 0 <= self.detail <= 1:
            raise InputError("prior frequencies and detail must lie in [0, 1]")
        if not 0.5 <= self.certainty <= 1:
            raise InputError(f"certainty must lie in [0.5, 1], not {self.certainty}")
        if self.scale is not None and not 0 < self.scale < math.inf:
            raise InputError(f"scale must be positive, not {self.scale}")
        if self.reach and len(self.reach) != len(self.attributes):
            raise InputError(f"{len(self.reach)} reaches for {len(self.attributes)} attributes")
        if not all(0 < r < math.inf for pair in self.reach for r in pair):
            raise InputError("a reach must be positive")
        if not 0 <= self.faint < 1:
            raise InputError(f"faint must be at least 0 and less than 1, not {self.faint}")
        check_rules(self.attributes, self.exclusive, self.alternatives, self.companions)

    def to_json(self) -> str:
        """As text; :meth:`from_json` reads it back.

        What came later is written where it says something: other models are the same as ever, and
        earlier versions read them.
        """
        values = asdict(self)
        for name in ("faint", "retouch_width", "refine_width"):
            if not values[name]:
                del values[name]
        return json.dumps({"model_type": "cdvae_gan", **values}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        """Read a configuration.

        Raises:
            InputError: For text that is not the configuration of a model of this kind.
        """
        try:
            values = json.loads(text)
            if values.pop("model_type") != "cdvae_gan":
                raise KeyError
            known = {f.name for f in fields(cls)}
            unknown = set(values) - known
            if unknown:
                raise InputError(
                    f"config.json has fields that this version does not know: {unknown}"
                )
            for name in ("attributes", "prior"):
                values[name] = tuple(_listed(values[name]))
            for name in ("exclusive", "alternatives", "companions", "reach"):
                values[name] = tuple(tuple(_listed(g)) for g in _listed(values.get(name, [])))
            if any(len(pair) != 2 for pair in values["reach"]):
                raise TypeError
            _check_types(values)
            return cls(**values)
        except (json.JSONDecodeError, RecursionError, KeyError, TypeError, AttributeError):
            raise InputError("config.json does not describe a CDVAE-GAN model") from None


def _listed(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _check_types(values: dict[str, Any]) -> None:
    """JSON has types of its own: ``"64"``, ``64.0`` and ``true`` are no sizes."""
    groups = (*values["exclusive"], *values["alternatives"], *values["companions"])
    names = (*values["attributes"], *(n for group in groups for n in group))
    numbers = [
        values[n] for n in ("detail", "certainty", "faint", "scale") if values.get(n) is not None
    ]
    numbers += [r for pair in values["reach"] for r in pair]
    whole = [values[n] for n in _WHOLE if n in values]
    fit = (
        all(type(n) is str for n in names),
        all(type(n) in (int, float) for n in (*numbers, *values["prior"])),
        all(type(n) is int for n in whole),
    )
    if not all(fit):
        raise TypeError
