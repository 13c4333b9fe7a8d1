"""``cdvae-gan demo`` and ``demo-train``: what shipped models do at once, and a training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from cdvae_gan.cli.common import Device, JsonOutput, examples, open_model, output, print_json

if TYPE_CHECKING:
    from cdvae_gan.demo import Demo

__all__ = ["EXAMPLES", "TRAIN_EXAMPLES", "demo", "demo_train"]

EXAMPLES = examples("cdvae-gan demo", "cdvae-gan demo --out /tmp/demo --model runs/faces")
TRAIN_EXAMPLES = examples(
    "cdvae-gan demo-train", "cdvae-gan demo-train --out /tmp/demo --minutes 20"
)

Out = Annotated[Path, typer.Option(help="Folder to write to.")]


def demo(
    out: Out = Path("demo"),
    model: Annotated[
        str, typer.Option(help="Of faces: a shipped model, a run's or a model's folder, a hub id.")
    ] = "celeba64",
    device: Device = "auto",
    as_json: JsonOutput = False,
) -> None:
    """Edit photographs with the shipped model: every attribute flipped, on a page to look at.

    The photographs are in the public domain. Beside the page stand the edited photographs at full
    resolution. A run again in the same folder replaces what the last one wrote.
    """
    from cdvae_gan.showcase import show

    result = show(out, model=open_model(model, device), console=Console(stderr=as_json))
    if as_json:
        print_json(result.to_dict())
        return
    console = output()
    for photograph in result.photographs:
        console.print(f"flips: {photograph.flips}", soft_wrap=True)
    for path in result.avatars:
        console.print(f"avatars: {path}", soft_wrap=True)
    console.print(f"open {result.page}", soft_wrap=True)


def demo_train(
    out: Out = Path("demo"),
    minutes: Annotated[
        float, typer.Option(help="How long to train. Drawing and measuring come on top.")
    ] = 4.0,
    source: Annotated[str, typer.Option(help="Which avatars.")] = "avatars",
    size: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 32,
    seed: Annotated[int, typer.Option()] = 0,
    as_json: JsonOutput = False,
) -> None:
    """Train on drawn avatars and compare counterfactuals with the true ones.

    A run again in the same folder starts anew and replaces what the last one wrote.
    """
    from cdvae_gan.demo import run

    console = Console(stderr=as_json)
    result = run(out, seconds=60 * minutes, source=source, size=size, seed=seed, console=console)
    if as_json:
        print_json(result.to_dict())
    else:
        _show(result)


def _show(result: Demo) -> None:
    console = output()
    table = Table(
        "attribute",
        title="Relative counterfactual error: 0 is the truth, 1 is doing nothing",
        caption="on validation avatars that the model never saw, without their labels",
    )
    for name in ("error", "95% interval", "avatars"):
        table.add_column(name, justify="right")
    for name, e in result.error.attributes.items():
        table.add_row(name, f"{e.value:.3f}", f"{e.low:.3f} to {e.high:.3f}", f"{e.n}")
    e = result.error.mean
    table.add_section()
    table.add_row("mean", f"{e.value:.3f}", f"{e.low:.3f} to {e.high:.3f}", f"{e.n}")
    console.print(table)
    console.print(f"do(nothing) changes the pictures by {result.error.composition:g} grey levels")
    for path in result.pictures:
        console.print(f"picture: {path}", soft_wrap=True)
    console.print(f"model: {result.model}", soft_wrap=True)
