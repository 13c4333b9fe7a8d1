"""``cdvae-gan sample``: images drawn from the prior."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cdvae_gan.cli.common import (
    Device,
    JsonOutput,
    ModelSource,
    Overwrite,
    claim,
    examples,
    folder_for,
    intervention_text,
    is_picture,
    open_model,
    output,
    print_json,
    refuse,
    write_picture,
)
from cdvae_gan.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cdvae_gan.model import CDVAEGAN

__all__ = ["EXAMPLES", "sample"]

EXAMPLES = examples(
    "cdvae-gan sample runs/faces -n 24 --out samples.png",
    "cdvae-gan sample runs/faces -n 24 --do Smiling=1 --do Male=0 --seed 7 --out smiling.png",
    "cdvae-gan sample runs/faces -n 5000 --out samples/ --json > samples.jsonl",
)

_BATCH = 64
_ON_A_SHEET = 256


def sample(
    model: ModelSource,
    out: Annotated[
        Path,
        typer.Option(
            show_default=False, help="FILE.png for one contact sheet, or a folder for one PNG each."
        ),
    ],
    n: Annotated[int, typer.Option("-n", "--number", help="How many.", min=1)] = 16,
    do: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Attributes to set: 0, 1 or between."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Equal seeds, equal images.")] = 0,
    overwrite: Overwrite = False,
    device: Device = "auto",
    as_json: JsonOutput = False,
) -> None:
    """Draw images that never were, with attributes as frequent as in the training data."""
    from cdvae_gan.counterfactual import parse_do

    one_sheet = is_picture(out) and not out.is_dir()
    if one_sheet and n > _ON_A_SHEET:
        raise InputError(f"a contact sheet has room for {_ON_A_SHEET}: give --out a folder for {n}")
    network = open_model(model, device)
    values = parse_do(do or [], network.attributes)
    files = [] if one_sheet else [out / f"sample-{i:05d}.png" for i in range(n)]
    if one_sheet:
        claim(out, overwrite=overwrite)
    else:
        refuse(files, frozenset(), overwrite=overwrite)
        folder_for(out)
    images, captions = [], []
    for i, (pixels, attributes) in enumerate(_draw(network, n, values, seed)):
        if one_sheet:
            images.append(pixels)
            captions.append(", ".join(k for k, v in attributes.items() if v > 0.5))
        else:
            _write(pixels, files[i])
        if as_json:
            place = out if one_sheet else files[i]
            print_json({"index": i, "output": str(place), "attributes": attributes})
    if one_sheet:
        from cdvae_gan.figures import contact_sheet

        write_picture(contact_sheet(images, captions), out)
    if not as_json:
        condition = f" given do({intervention_text(values)})" if values else ""
        output().print(f"{n:,} samples{condition}: {out}", soft_wrap=True)


def _draw(
    model: CDVAEGAN, n: int, do: dict[str, float | str], seed: int
) -> Iterator[tuple[NDArray[np.uint8], dict[str, float]]]:
    """Pixels and attributes, one after another, in batches."""
    import torch

    from cdvae_gan.images import to_uint8

    generator = torch.Generator().manual_seed(seed)
    for start in range(0, n, _BATCH):
        drawn = model.sample(min(_BATCH, n - start), do, seed=generator)
        pixels = to_uint8(drawn.images).permute(0, 2, 3, 1).cpu().contiguous().numpy()
        for image, row in zip(pixels, drawn.attributes.tolist(), strict=True):
            yield image, dict(zip(model.attributes, (round(v, 4) for v in row), strict=True))


def _write(pixels: NDArray[np.uint8], path: Path) -> None:
    from PIL import Image

    write_picture(Image.fromarray(pixels), path)
