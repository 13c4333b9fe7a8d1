"""``cdvae-gan calibrate``: how far edits go, measured against real photos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from cdvae_gan.cli.common import (
    Device,
    JsonOutput,
    ModelSource,
    NewModel,
    Overwrite,
    SkipBad,
    TrainedOn,
    examples,
    open_model,
    output,
    print_json,
    progress_console,
    refuse_model,
)

__all__ = ["EXAMPLES", "calibrate"]

EXAMPLES = examples(
    "cdvae-gan calibrate runs/faces photos/ --out runs/faces-calibrated",
    "cdvae-gan calibrate celeba64 celeba/ --price 4 --out clearer/",
    "cdvae-gan calibrate celeba64 celeba/ --people runs/faces --out alike/",
)


def calibrate(
    model: ModelSource,
    source: TrainedOn,
    out: NewModel,
    price: Annotated[
        float,
        typer.Option(
            min=0,
            help="Of change: how many of the edits must become as clear as photos for an L1 of 1. "
            "Lower for clearer edits, higher for smaller ones.",
        ),
    ] = 8.0,
    images: Annotated[
        int, typer.Option(min=8, help="Photos with each attribute, and as many without.")
    ] = 100,
    people: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="A run with weights.identity, whose network tells people apart: an edit that "
            "makes another person of somebody goes less far.",
        ),
    ] = None,
    faint: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=0.5,
            show_default="as it is",
            help="Leave changes out of edits that are fainter than this L1, 0 to 0.5; with 0.03 "
            "they stay where they are plain to see.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draw of photos.")] = 0,
    skip_bad: SkipBad = False,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: JsonOutput = False,
) -> None:
    """Let edits show what is asked for as clearly as real photos do: weaker here, stronger there.

    No training: what changes is how far an intervention goes in the attributes. And z gets the mean
    and covariance of its prior, so that samples are as good as the model can draw.
    """
    from cdvae_gan.data import open_dataset
    from cdvae_gan.training.identity import learned_identity
    from cdvae_gan.training.prior import match_prior
    from cdvae_gan.training.reach import calibrated

    refuse_model(out, model, overwrite=overwrite)
    known = None if people is None else learned_identity(people)
    found = open_model(model, device)
    shown = not progress_console().quiet
    data = open_dataset(source, size=found.image_size, skip_bad=skip_bad, progress=shown)
    train = data.for_model(found.attributes).split("train")
    with Progress(console=progress_console(), transient=True) as progress:
        task = progress.add_task("calibrating", total=len(found.attributes))
        new = calibrated(
            found,
            train,
            price=price,
            images=images,
            seed=seed,
            people=known,
            faint=faint,
            progress=lambda done, total: progress.update(task, completed=done),
        )
    match_prior(new, train, seed)
    folder = new.save(out, half=True)
    reach = {
        name: {"put on": on, "taken off": off}
        for name, (on, off) in zip(new.attributes, new.config.reach, strict=True)
    }
    if as_json:
        print_json({"model": str(folder), "reach": reach})
        return
    table = Table("attribute", "put on", "taken off", title="how far edits go; 1 as in training")
    for name, pair in reach.items():
        table.add_row(name, *(f"{r:.2f}" for r in pair.values()))
    output().print(table)
    output().print(f"model: {folder}", soft_wrap=True)
