"""Judges on disk: ``card.json`` and named arrays in safetensors, which execute nothing when read.

The trees of a boosted judge are arrays too (`trees`), so reading one needs no scikit-learn and
survives its next version.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.judges.classical import boosting_scores, svm_scores
from cdvae_gan.evaluation.judges.judge import Card, Judge, Scores, State
from cdvae_gan.evaluation.judges.network import network_scores
from cdvae_gan.evaluation.judges.trunk import trunk_scores
from cdvae_gan.files import write_whole

__all__ = [
    "CARD_FILE",
    "FAMILIES",
    "judge_of",
    "load_saved",
    "save_judge",
    "saves_judge",
    "shipped_judges",
]

CARD_FILE = "card.json"
_ARRAYS_FILE = "judge.safetensors"

FAMILIES = ("cnn", "residual", "boosting", "svm", "trunk")
"""The kinds of judge that this package trains; ``trunk`` is reported apart."""


def judge_of(card: Card, state: State, device: str | torch.device = "cpu") -> Judge:
    """The judge with this card and these arrays.

    Raises:
        InputError: The arrays are not those of a judge of the card's family.
    """
    try:
        return Judge(card, _scores(card, state, device))
    except (KeyError, RuntimeError):
        raise InputError(f"judge {card.name!r}: its arrays are not those of its family") from None


def save_judge(folder: str | Path, card: Card, state: State) -> Path:
    """Write a judge into a folder, made where missing. Arrays in float16 are read as float32."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Not save_file: where the disk is full, that raises an error of its own kind.
        write_whole(folder / _ARRAYS_FILE, to_bytes(state))
        write_whole(folder / CARD_FILE, card.to_json())
    except OSError as error:
        raise InputError(f"cannot write the judge to {str(folder)!r}: {error.strerror}") from None
    return folder


def saves_judge(path: Path) -> bool:
    """Whether a path is a folder for a judge of ours, whole or not, and not somebody's model."""
    return path.is_dir() and ((path / CARD_FILE).is_file() or not (path / "config.json").is_file())


def shipped_judges() -> dict[str, Path]:
    """The judges that come with the package: name to folder."""
    root = resources.files("cdvae_gan") / "weights" / "judges"
    # Weights are read by memory map, so a package that is not in folders has none.
    if not isinstance(root, Path) or not root.is_dir():
        return {}
    return {f.name: f for f in sorted(root.iterdir()) if (f / CARD_FILE).is_file()}


def load_saved(folder: str | Path, device: str | torch.device = "cpu") -> Judge:
    """The judge in a folder that `save_judge` wrote.

    Raises:
        InputError: The folder holds none, or it is damaged.
    """
    folder = Path(folder)
    for name in (CARD_FILE, _ARRAYS_FILE):
        if not (folder / name).is_file():
            raise InputError(f"{str(folder)!r} holds no judge: {name} is missing")
    path = folder / CARD_FILE
    card = Card.from_json(path.read_text(encoding="utf-8"), str(path))
    try:
        state = load_file(folder / _ARRAYS_FILE)
        state = {n: v.float() if v.dtype == torch.float16 else v for n, v in state.items()}
    except SafetensorError:
        raise InputError(f"{str(folder / _ARRAYS_FILE)!r} is damaged") from None
    return judge_of(card, state, device)


def _scores(card: Card, state: State, device: str | torch.device) -> Scores:
    if card.family == "boosting":
        return boosting_scores(state, len(card.attributes))
    if card.family == "svm":
        return svm_scores(state)
    if card.family == "trunk":
        return trunk_scores(state)
    if card.family in FAMILIES:
        return network_scores(card.family, state, len(card.attributes), device)
    raise InputError(f"judge {card.name!r} is of an unknown family: {card.family}")
