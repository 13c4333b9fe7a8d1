"""``cdvae-gan traverse``: one image along attributes, or along dimensions of z."""

from __future__ import annotations

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
    open_model,
    output,
    print_json,
    reading,
    write_picture,
)
from cdvae_gan.errors import InputError, unknown_name

if TYPE_CHECKING:
    from PIL import Image

    from cdvae_gan.traversal import Traversal

__all__ = ["EXAMPLES", "traverse"]

EXAMPLES = examples(
    "cdvae-gan traverse runs/faces face.jpg --out traversal.png",
    "cdvae-gan traverse runs/faces face.jpg -a Smiling -a Young --steps 9 --out t.png",
    "cdvae-gan traverse runs/faces face.jpg --z most --out z.png",
    "cdvae-gan traverse runs/faces face.jpg --z 0,3,10-14 --out z.png",
)


def traverse(
    model: ModelSource,
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE", show_default=False, help="A picture of any size.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", show_default=False, help="The figure.")],
    attribute: Annotated[
        list[str] | None,
        typer.Option("--attribute", "-a", help="Go along this one, from 0 to 1. Default: all."),
    ] = None,
    z: Annotated[
        str | None,
        typer.Option(
            metavar="DIMS",
            help="Go along dimensions of z instead, from −3 to 3: 0,3,10-14, or most for the "
            "eight that say most about this image.",
        ),
    ] = None,
    steps: Annotated[int, typer.Option(help="Columns.", min=2)] = 7,
    detail: Annotated[
        float | None,
        typer.Option(help="How much of the photo's detail to keep. Default: the model's own."),
    ] = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
    as_json: JsonOutput = False,
) -> None:
    """Draw one image over and over: a row an attribute, from absent to present by degrees."""
    if z is not None and attribute:
        raise InputError("go along attributes or along z, not both at once")
    from cdvae_gan.counterfactual import as_batch
    from cdvae_gan.traversal import attribute_traversal, most_used, z_traversal

    claim(out, [image], overwrite=overwrite)
    network = open_model(model, device)
    x = as_batch(image, network.image_size)[0]
    for name in attribute or []:
        if name not in network.attributes:
            raise unknown_name("attribute", name, network.attributes)
    if z is None:
        found = attribute_traversal(network, x, attribute or network.attributes, steps, detail)
    else:
        dims = most_used(network, x) if z == "most" else _dimensions(z, network.config.z_dim)
        found = z_traversal(network, x, dims, steps, detail)
    write_picture(_figure(found, image.name), out)
    if as_json:
        print_json({"input": str(image), "output": str(out), **found.to_dict()})
    else:
        output().print(f"{len(found.rows)} rows of {steps} pictures: {out}", soft_wrap=True)


def _dimensions(text: str, z_dim: int) -> list[int]:
    dims: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            raise InputError(f"--z is a list such as 0,3,10-14, or most, not {text!r}")
        dims += range(int(first), int(last or first) + 1)
    wrong = [d for d in dims if d >= z_dim]
    if wrong or not dims:
        raise InputError(f"z has dimensions 0 to {z_dim - 1}, not {wrong[0] if wrong else text}")
    return list(dict.fromkeys(dims))


def _figure(found: Traversal, title: str) -> Image.Image:
    from cdvae_gan.figures import grid

    return grid(
        [[found.factual, *row] for row in found.pictures],
        columns=["factual", *found.columns],
        rows_labels=found.rows,
        notes=[[reading(p) for p in row] for row in found.read] if found.read else None,
        title=f"{title}: {found.title}",
    )
