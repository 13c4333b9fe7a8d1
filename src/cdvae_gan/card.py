"""A model's card: what it is and what was measured of it, as the two files that travel with it.

MODEL/README.md      for people, with the YAML head that the Hugging Face hub reads
MODEL/metrics.json   for programs: how many edits deceived judges, attribute by attribute

`cdvae_gan.evaluation.card` writes one from a report.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cdvae_gan.config import ModelConfig
from cdvae_gan.errors import InputError
from cdvae_gan.files import write_whole

__all__ = ["CARD_FILES", "DIRECTIONS", "Card", "blank_card"]

DIRECTIONS = ("put on", "taken off")
"""What an edit may do to an attribute, as ``metrics.json`` calls it"""
_README, _METRICS = "README.md", "metrics.json"
CARD_FILES = (_README, _METRICS)
_DAMAGED = f"{_METRICS} does not hold measured figures"


@dataclass(frozen=True)
class Card:
    """What is said of a model."""

    readme: str
    """Markdown, with a YAML head"""
    metrics: str = ""
    """JSON; empty where nothing was measured"""

    @classmethod
    def read(cls, folder: str | Path) -> Card | None:
        """The card beside a model's weights; None where there is none."""
        files = [Path(folder) / name for name in CARD_FILES]
        if not any(file.is_file() for file in files):
            return None
        return cls(*(f.read_text("utf-8", "replace") if f.is_file() else "" for f in files))

    @property
    def deception(self) -> dict[str, float]:
        """What share of edits judges were deceived by, by attribute; empty if not measured.

        Attributes that no judge could be trusted with are not among them.

        Raises:
            InputError: The figures are damaged.
        """
        return _shares(self._figures(), "deception") if self.metrics else {}

    @property
    def deception_by_direction(self) -> dict[str, dict[str, float]]:
        """The same of edits that put an attribute on, and of those that take it off.

        Without an attribute of which no edit could be counted; empty where only both together were
        written down.

        Raises:
            InputError: The figures are damaged.
        """
        figures = self._figures() if self.metrics else {}
        return {way: _shares(figures, way) for way in DIRECTIONS if way in figures}

    def _figures(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self.metrics))
        except (ValueError, TypeError):
            raise InputError(_DAMAGED) from None

    @property
    def licence(self) -> str:
        """Of the weights, as the head says; empty where it says nothing."""
        head = self.readme.split("\n---", 1)[0].splitlines()
        said = dict(line.split(": ", 1) for line in head if ": " in line)
        return (said.get("license_name") or said.get("license", "")).strip('"')

    def write(self, folder: str | Path) -> Path:
        """Write it beside a model's weights, each file whole or not at all.

        Returns:
            The path of ``README.md``.

        Raises:
            InputError: The folder cannot be written to.
        """
        folder = Path(folder)
        try:
            for name, text in zip(CARD_FILES, (self.readme, self.metrics), strict=True):
                if text:
                    write_whole(folder / name, text)
                else:
                    (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise InputError(
                f"cannot write the card to {str(folder)!r}: {error.strerror}"
            ) from None
        return folder / _README


def _shares(figures: dict[str, Any], what: str) -> dict[str, float]:
    try:
        return {str(name): float(value) for name, value in figures[what].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(_DAMAGED) from None


def blank_card(
    config: ModelConfig,
    name: str,
    *,
    about: str = "",
    licence: str = "",
    measured: Sequence[str] = (),
    metrics: dict[str, Any] | None = None,
) -> Card:
    """A card of what is known without measuring.

    Args:
        config: The model's.
        name: Of the model: its hub id, where it has one.
        about: On which data it was trained, and what it must not be used for. Where this is empty,
            the card says that it is not known.
        licence: An identifier that the hub knows, such as ``apache-2.0``, or ``other``.
        measured: Paragraphs of Markdown; empty says that nothing was measured.
        metrics: For ``metrics.json``.
    """
    side, k = config.image_size, len(config.attributes)
    head = ["library_name: cdvae-gan", "pipeline_tag: image-to-image"]
    head += ["tags: [counterfactual, image-editing]"]
    head += [f"license: {json.dumps(licence)}"] if licence else []
    names = ", ".join(f"`{n}`" for n in config.attributes)
    parts = [
        "\n".join(["---", *head, "---", f"# {name}"]),
        f"A [CDVAE-GAN](https://doi.org/10.29220/csam.2023.30.6.589) of {side}×{side} images with "
        f"{k} {'attribute' if k == 1 else 'attributes'}: {names}.",
        "```python\nfrom cdvae_gan import load\n\n"
        f"model = load({json.dumps(name)})\n"
        f'model.counterfactual("photo.jpg", do={{{json.dumps(config.attributes[0])}: "flip"}})\n'
        "```",
        f"**Data and licence.** {about or 'Not stated by whoever published this model.'}",
        *(measured or ["**Measured.** Nothing: how well its edits work is not known."]),
    ]
    figures = json.dumps(metrics, indent=2, allow_nan=False) + "\n" if metrics else ""
    return Card("\n\n".join(parts) + "\n", figures)
