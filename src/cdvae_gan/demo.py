"""The main job in minutes: train on drawn avatars, compare counterfactuals with the true ones.

Photos of people have no true counterfactual to compare with; avatars have, since they are drawn.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from cdvae_gan.counterfactual import abduct
from cdvae_gan.data import AttributeDataset, open_dataset
from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.truth import CounterfactualError, counterfactual_error
from cdvae_gan.figures import contact_sheet, grid
from cdvae_gan.images import to_float, to_uint8
from cdvae_gan.model import CDVAEGAN
from cdvae_gan.objective import Weights
from cdvae_gan.training import Limits, TrainConfig, train
from cdvae_gan.traversal import attribute_traversal

__all__ = ["Demo", "comparison", "comparisons", "demo_config", "run"]

_MEASURED = 200
_ROWS = 6
_SAMPLES = 24
_IN_A_FIGURE = 4

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Demo:
    """What came out."""

    error: CounterfactualError
    pictures: list[Path]
    model: Path

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "counterfactual_error": self.error.to_dict(),
            "pictures": [str(p) for p in self.pictures],
            "model": str(self.model),
        }


def demo_config(seed: int = 0) -> TrainConfig:
    """What two processor cores train in minutes on drawn pictures.

    A drawing has no texture for a pretrained discriminator to judge, and z can hold all that it
    shows: so the discriminator is plain, there is no spatial latent, the likelihood is sharp, and a
    gate confines the edits.
    """
    return replace(
        TrainConfig.from_preset("default", seed=seed, batch_size=32),
        width=32,
        u_channels=0,
        fine_channels=24,
        scale=0.02,
        discriminator="plain",
        r1=0.1,
        mirror=False,
        emphasis=1.0,
        ema=0.998,
        learning_rate=2e-3,
        learning_rate_d=8e-4,
        weights=Weights(
            features=0.0,
            z_rate=0.2,
            disentanglement=1.0,
            adversarial=0.15,
            branch=0.15,
            attribute_d=2.0,
            attribute_e=0.0,
            consistency=0.0,
            edit=1.5,
            mask=0.0,
            gate=0.25,
        ),
    )


def run(
    out: str | Path,
    *,
    seconds: float = 240.0,
    source: str = "avatars",
    size: int = 32,
    seed: int = 0,
    console: Console | None = None,
) -> Demo:
    """Train, draw and measure.

    Args:
        out: Folder for the run and the pictures; an earlier demo in it is replaced.
        seconds: How long to train.
        source: Which avatars; see :mod:`cdvae_gan.data.avatars`.
        size: Side of the images.
        seed: Of the training.
        console: Where progress is shown; None for nowhere.

    Raises:
        InputError: For a source without true counterfactuals, or a folder that cannot be used.
    """
    out, console = Path(out), console or Console(quiet=True)
    if seconds <= 0:
        raise InputError("a training takes more than no time: --minutes must be positive")
    folder = _usable(out)
    data = open_dataset(source, size=size, progress=console.is_terminal)
    if data.truth is None:
        raise InputError(f"the demo needs true counterfactuals, which avatars have: not {source!r}")
    if folder.exists():
        console.print(f"starting anew: the earlier run in {folder} is replaced", soft_wrap=True)
        shutil.rmtree(folder)
    unseen = data.split("validation")
    unseen = unseen.take(np.arange(min(_MEASURED, len(unseen))))
    console.print(
        f"training for {seconds / 60:.1f} minutes on {len(data.split('train')):,} avatars of "
        f"{size} pixels with {len(data.attributes)} attributes"
    )
    config = demo_config(seed)
    model = train(
        data, folder, Limits(seconds=seconds), config, console=console, validate_every=10**9
    )
    pictures = _draw(model, unseen, out)
    error = _measure(model, unseen, console)
    return Demo(error, pictures, folder / "model")


def _usable(out: Path) -> Path:
    """The run's folder, which may hold the run of an earlier demo."""
    folder = out / "run"
    if folder.exists() and not _is_of_avatars(folder):
        raise InputError(f"{folder} is no run of a demo: choose another --out")
    return folder


def _is_of_avatars(folder: Path) -> bool:
    try:
        return str(json.loads((folder / "data.json").read_text())["name"]).startswith("avatars")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _draw(model: CDVAEGAN, unseen: AttributeDataset, out: Path) -> list[Path]:
    rows = unseen.take(np.arange(min(_ROWS, len(unseen))))
    x = to_float(rows.batch(np.arange(len(rows))).images)
    figures = {
        **{
            f"counterfactuals-{i + 1}" if i else "counterfactuals": picture
            for i, picture in enumerate(comparisons(model, rows))
        },
        "reconstructions": _reconstructions(model, x),
        "samples": _samples(model),
        "traversal": _traversal(model, x[:1]),
    }
    paths = []
    for name, picture in figures.items():
        paths.append(out / f"{name}.png")
        picture.save(paths[-1])
    return paths


def comparisons(model: CDVAEGAN, data: AttributeDataset) -> list[Image.Image]:
    """All attributes of a model, four to a picture; see `comparison`."""
    return [
        comparison(model, data, model.attributes[i : i + _IN_A_FIGURE])
        for i in range(0, len(model.attributes), _IN_A_FIGURE)
    ]


def comparison(model: CDVAEGAN, data: AttributeDataset, attributes: tuple[str, ...]) -> Image.Image:
    """Photos, and for each attribute the model's counterfactual beside the true one.

    Args:
        model: The model.
        data: Images whose true counterfactuals can be drawn.
        attributes: Which to flip.
    """
    if data.truth is None:
        raise InputError(f"{data.name} has no true counterfactuals: avatars have")
    data = data.select(model.attributes)
    truth = data.truth
    assert truth is not None
    images = data.batch(np.arange(len(data))).images
    columns: list[list[Pixels]] = [_arrays(images)]
    notes: list[list[str]] = [["" for _ in range(len(data))]]
    for name in attributes:
        labels = data.labels[:, model.attributes.index(name)]
        asked = [1 - int(v) for v in labels]
        drawn = [
            model.counterfactual(to_float(images[i : i + 1]), {name: v})
            for i, v in enumerate(asked)
        ]
        columns.append([_arrays(to_uint8(d.images))[0] for d in drawn])
        columns.append([truth(i, {name: v}) for i, v in enumerate(asked)])
        notes += [[f"{name}={v}" for v in asked], ["" for _ in asked]]
    return grid(
        [list(row) for row in zip(*columns, strict=True)],
        columns=["photo", *(c for n in attributes for c in (f"{n}: model", "the truth"))],
        notes=[list(row) for row in zip(*notes, strict=True)],
        title="Counterfactuals of avatars that the model never saw, and the true ones",
    )


def _reconstructions(model: CDVAEGAN, x: Tensor) -> Image.Image:
    with torch.no_grad():
        decoded = abduct(model, x).drawing.location
    rows = [_arrays(to_uint8(x)), _arrays(to_uint8(decoded))]
    return grid(rows, columns=[""] * len(x), rows_labels=["photo", "decoded"])


def _samples(model: CDVAEGAN) -> Image.Image:
    drawn = model.sample(_SAMPLES, seed=0)
    captions = [
        ", ".join(n for n, v in zip(model.attributes, row, strict=True) if v > 0.5)
        for row in drawn.attributes
    ]
    return contact_sheet(_arrays(to_uint8(drawn.images)), captions)


def _traversal(model: CDVAEGAN, x: Tensor) -> Image.Image:
    found = attribute_traversal(model, x, model.attributes, steps=6)
    return grid(
        [[found.factual, *row] for row in found.pictures],
        columns=["photo", *found.columns],
        rows_labels=found.rows,
        title="Attributes by degrees",
    )


def _measure(model: CDVAEGAN, unseen: AttributeDataset, console: Console) -> CounterfactualError:
    with Progress(console=console, transient=True) as bar:
        total = len(unseen) * len(model.attributes)
        task = bar.add_task("comparing with the truth", total=total)
        return counterfactual_error(model, unseen, progress=lambda n: bar.advance(task, n))


def _arrays(images: Tensor) -> list[Pixels]:
    """uint8 ``(B, 3, H, W)`` as a list of ``(H, W, 3)``."""
    return list(images.permute(0, 2, 3, 1).cpu().contiguous().numpy())
