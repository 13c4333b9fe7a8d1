"""``cdvae-gan judge``: train a judge, and look one over."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cdvae_gan.cli.common import (
    Device,
    JsonOutput,
    SkipBad,
    device_for,
    examples,
    fresh_folder,
    output,
    parse_names,
    print_json,
    progress_console,
)
from cdvae_gan.errors import InputError

if TYPE_CHECKING:
    from cdvae_gan.evaluation.judges import Card

__all__ = ["app"]

app = typer.Typer(help="Classifiers from outside, which judge counterfactuals.")

_TRAIN = examples(
    "cdvae-gan judge train celeba/ --attributes Smiling,Eyeglasses --out judges/cnn",
    "cdvae-gan judge train celeba/ --family boosting --out judges/boosting",
)
_SHOW = examples(
    "cdvae-gan judge show celeba-cnn", "cdvae-gan judge show mine.onnx celeba/ --attributes Smiling"
)


class Family(str, Enum):
    """What kind of classifier."""

    cnn = "cnn"
    residual = "residual"
    boosting = "boosting"
    svm = "svm"
    trunk = "trunk"


Attributes = Annotated[
    list[str] | None, typer.Option(help="Names, separated by commas. Default: all.")
]


@app.command(epilog=_TRAIN)
def train(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="avatars, a folder, or hf:owner/name.")
    ],
    out: Annotated[Path, typer.Option(help="The judge's folder.", show_default=False)],
    attributes: Attributes = None,
    family: Annotated[
        Family,
        typer.Option(
            help="cnn, residual: networks; boosting, svm: on gradients and colours; trunk: on an "
            "ImageNet network that the model's discriminator uses too, reported apart."
        ),
    ] = Family.cnn,
    size: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 64,
    epochs: Annotated[
        float | None, typer.Option(help="Passes over the images, for networks. Default: 6.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    skip_bad: SkipBad = False,
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a judge there.")] = False,
    as_json: JsonOutput = False,
) -> None:
    """Train a judge; calibrate it on one half of the validation split, grade it on the other."""
    from cdvae_gan.data import open_dataset
    from cdvae_gan.evaluation.judges import JudgeTraining, train_judge

    if epochs is not None and not epochs > 0:
        raise InputError(f"--epochs must be more than 0, not {epochs:g}")
    if (out / "card.json").exists() and not overwrite:
        raise InputError(f"{out} holds a judge: --overwrite replaces it, or choose another")
    errors = progress_console()
    dataset = open_dataset(
        source,
        size=size,
        attributes=parse_names(attributes),
        skip_bad=skip_bad,
        progress=not errors.quiet,
    )
    with fresh_folder(out), errors.status("training") as status:
        judge = train_judge(
            dataset,
            out,
            family=family.value,
            name=out.name,
            seed=seed,
            training=JudgeTraining(epochs=epochs, device=device_for(device)),
            report=lambda line: status.update(line),
        )
    _print(judge.card, as_json)


@app.command(name="list")
def list_(as_json: JsonOutput = False) -> None:
    """List the judges that come with the package."""
    from cdvae_gan.evaluation.judges import load_judge, shipped_judges

    cards = [load_judge(name).card for name in shipped_judges()]
    if as_json:
        print_json({card.name: {"family": card.family, "data": card.data} for card in cards})
        return
    table = Table("judge", "family", "trained on", "attributes")
    for card in cards:
        table.add_row(card.name, card.family, card.data, str(len(card.attributes)))
    output().print(table)


@app.command(epilog=_SHOW)
def show(
    judge: Annotated[
        str,
        typer.Argument(
            metavar="JUDGE",
            help="celeba-cnn …, a folder, a file .onnx, .pt or .pt2, or module:function (which is "
            "run).",
        ),
    ],
    source: Annotated[
        str | None, typer.Argument(metavar="[SOURCE]", help="Images to grade it on.")
    ] = None,
    attributes: Attributes = None,
    size: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 64,
    as_json: JsonOutput = False,
) -> None:
    """Show a judge's card; with images, grade it on the report half of their validation split."""
    from dataclasses import replace

    from cdvae_gan.data import open_dataset
    from cdvae_gan.evaluation.judges import grade, load_judge
    from cdvae_gan.evaluation.splits import halves

    found = load_judge(judge, attributes=parse_names(attributes))
    card = found.card
    if source is not None:
        dataset = open_dataset(source, size=size, progress=not progress_console().quiet)
        quality = grade(found, halves(dataset.select(found.attributes)).report)
        card = replace(card, quality=quality, data=dataset.name)
    _print(card, as_json)


def _print(card: Card, as_json: bool) -> None:
    import json

    if as_json:
        print_json(json.loads(card.to_json()))
        return
    table = Table("attribute", "balanced accuracy", "95 % interval", "n", "of them 1", "trusted")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, q, trusted in zip(card.attributes, card.quality, card.trusted, strict=False):
        known = q.balanced_accuracy is not None
        table.add_row(
            name,
            f"{q.balanced_accuracy:.3f}" if known else "-",
            f"{q.low:.3f} to {q.high:.3f}" if known else "-",
            f"{q.n:,}",
            f"{q.positives:,}",
            "yes" if trusted else "no",
        )
    out = output()
    out.print(f"{card.name}: {card.family}, trained on {card.data or 'data that it does not name'}")
    if card.quality:
        out.print(table)
    else:
        out.print(f"attributes: {', '.join(card.attributes)}; not graded: give images to grade it")
    if card.notes:
        out.print(card.notes, soft_wrap=True)
