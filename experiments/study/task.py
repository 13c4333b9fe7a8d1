"""What a method is asked to do, what it hands back, and how it goes on after a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import Tensor

from cdvae_gan.data import AttributeDataset
from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.edits import Editor
from cdvae_gan.training import TrainConfig
from cdvae_gan.training.precision import Precision

__all__ = ["Mark", "Task", "Trained", "same_config", "write_atomically"]


@dataclass(frozen=True)
class Task:
    """Train once."""

    data: AttributeDataset
    """Only its splits ``train`` and ``validation`` are touched, and the latter not to learn"""
    folder: Path
    """Where everything goes that a later sitting needs"""
    steps: int
    base: TrainConfig
    """The size, batch, optimiser and seed that all variants share, and what the ablations change"""
    precision: Precision
    console: Console


@dataclass(frozen=True)
class Trained:
    """What came of it, ready to be measured."""

    editor: Callable[[float], Editor]
    """An editor by κ: with 0 pictures are redrawn, with 1 the photo's own detail is kept"""
    detail: float
    """The method's own κ"""
    reconstruct: Callable[[Tensor], Tensor]
    """From x ``(B, 3, H, W)`` in [−1, 1] to what the method draws of it, without its detail"""
    read: Callable[[Tensor], Tensor]
    """The method's own P(a_k = 1 | x), ``(B, K)``"""
    encode: Callable[[Tensor], Tensor] | None
    """z ``(B, d)``; None where there is no vector that should be free of attributes"""
    config: dict[str, Any]
    parameters: int
    """Of what draws an edit: encoder and decoder, or the translator's generator"""
    steps_per_second: float | None
    """In the last sitting"""


@dataclass(frozen=True)
class Mark:
    """Left in a folder when its training is over, so that no later sitting repeats it."""

    steps: int
    steps_per_second: float | None

    @classmethod
    def read(cls, folder: Path) -> Mark | None:
        """The mark, or None where training is not over."""
        path = folder / "trained.json"
        return cls(**json.loads(path.read_text())) if path.is_file() else None

    def write(self, folder: Path) -> None:
        """Leave the mark."""
        values = {"steps": self.steps, "steps_per_second": self.steps_per_second}
        write_atomically(folder / "trained.json", json.dumps(values).encode())


def same_config(folder: Path, begun: str, now: str) -> None:
    """Refuse to go on with a run that began with other numbers.

    Raises:
        InputError: They differ.
    """
    if json.loads(begun) != json.loads(now):
        raise InputError(
            f"the run in {str(folder)!r} was begun with other settings than its variant has now: "
            "choose another --out, or delete that folder"
        )


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    temporary.write_bytes(content)
    temporary.replace(path)
