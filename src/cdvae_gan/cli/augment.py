"""``cdvae-gan augment``: balance a data set with counterfactuals."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from cdvae_gan.cli.common import (
    Device,
    JsonOutput,
    SkipBad,
    device_for,
    examples,
    output,
    parse_names,
    print_json,
    progress_console,
)
from cdvae_gan.errors import InputError

if TYPE_CHECKING:
    from cdvae_gan.balancing import Augmented

__all__ = ["EXAMPLES", "augment"]

EXAMPLES = examples(
    "cdvae-gan augment celeba/ --target Blond_Hair --balance-over Male --judge judges/cnn "
    "--out balanced/",
    "cdvae-gan augment photos/ --target Smiling --balance-over Male,Young --edit both "
    "--model runs/faces --judge judges/cnn --originals copy --out balanced/",
    "cdvae-gan augment avatars:confound=Glasses+Hat:0.9 --target Hat --balance-over Glasses "
    "--model truth --unfiltered --out balanced/",
)


class What(str, Enum):
    """What is edited."""

    target = "target"
    group = "group"
    both = "both"


class Files(str, Enum):
    """What becomes of the source's images."""

    link = "link"
    copy = "copy"
    none = "none"


def augment(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="avatars, a folder, or hf:owner/name.")
    ],
    target: Annotated[
        str, typer.Option(metavar="NAME", help="What a classifier is to learn.", show_default=False)
    ],
    balance_over: Annotated[
        list[str],
        typer.Option(
            metavar="NAMES",
            help="What it is not to lean on; several are crossed.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="The new data set.", show_default=False)
    ],
    model: Annotated[
        str, typer.Option(help="What makes the counterfactuals; truth draws those of avatars.")
    ] = "celeba64",
    judge: Annotated[
        list[str] | None,
        typer.Option(
            "--judge",
            "--judges",
            metavar="JUDGE",
            help="Must read a counterfactual as what it claims to be: celeba-cnn …, or your own. "
            "May be given several times.",
        ),
    ] = None,
    unfiltered: Annotated[
        bool, typer.Option("--unfiltered", help="Keep all counterfactuals, without a judge.")
    ] = False,
    edit: Annotated[
        What,
        typer.Option(
            help="target: set the target of images of the same group; group: set the group of "
            "images of the same target; or both."
        ),
    ] = What.target,
    strength: Annotated[float, typer.Option(help="How far to go, up to 1.")] = 1.0,
    confidence: Annotated[
        float, typer.Option(help="The least probability that a judge must give to each claim.")
    ] = 0.0,
    originals: Annotated[
        Files, typer.Option(help="What becomes of the source's images.")
    ] = Files.link,
    seed: Annotated[int, typer.Option(help="Of the order in which images are tried.", min=0)] = 0,
    skip_bad: SkipBad = False,
    device: Device = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another augmentation there.")
    ] = False,
    as_json: JsonOutput = False,
) -> None:
    """Add counterfactuals to a training split until a target is independent of a group.

    Within each value of the target all groups get as many images as the largest has. The same
    command goes on where a broken one was; validation and test images are never edited.
    """
    from cdvae_gan.balancing import augment as run

    if judge and unfiltered:
        raise InputError("--unfiltered keeps all: leave it or --judge out")
    console = progress_console()
    with Progress(console=console, disable=console.quiet, transient=True) as bar:
        shown = bar.add_task("counterfactuals", total=None)
        found = run(
            source,
            out,
            target=target,
            balance_over=parse_names(balance_over) or (),
            model=model,
            judges=judge or (),
            unfiltered=unfiltered,
            edit=edit.value,
            strength=strength,
            confidence=confidence,
            originals=originals.value,
            seed=seed,
            skip_bad=skip_bad,
            device=device_for(device),
            overwrite=overwrite,
            progress=lambda done, total: bar.update(shown, completed=done, total=total),
        )
    if as_json:
        print_json(found.to_dict())
    else:
        _show(found)


def _show(found: Augmented) -> None:
    console = output()
    table = Table("cell")
    for name in ("had", "added", "now", "tried", "refused", "still lacking"):
        table.add_column(name, justify="right")
    for cell in found.cells:
        numbers = (cell.had, cell.added, cell.had + cell.added, cell.tried)
        refused = sum(cell.refused.values())
        table.add_row(cell.name, *(f"{v:,}" for v in (*numbers, refused, cell.short)))
    console.print(table)
    for cell in found.cells:
        for reason, count in cell.refused.items():
            console.print(f"{cell.name}: {count:,} refused by {reason}", markup=False)
    came = f" beside {found.originals:,} images of the source" if found.originals else ""
    text = f"{found.added:,} counterfactuals{came} in {found.folder}"
    console.print(text, markup=False, soft_wrap=True)
