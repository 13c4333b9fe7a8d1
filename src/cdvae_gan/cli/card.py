"""``cdvae-gan card``: put what was measured of a model beside its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cdvae_gan.cli.common import (
    JsonOutput,
    Overwrite,
    examples,
    open_model,
    output,
    print_json,
    refuse,
)
from cdvae_gan.errors import InputError

__all__ = ["EXAMPLES", "card"]

EXAMPLES = examples(
    "cdvae-gan evaluate runs/faces photos/ --judges judges/cnn --out report/",
    "cdvae-gan card runs/faces --report report/ --name me/faces --licence cc-by-4.0 "
    "--about 'Trained on photos of my own.'",
)


def card(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", show_default=False, help="A run's or a model's folder."),
    ],
    report: Annotated[
        Path,
        typer.Option(help="What cdvae-gan evaluate wrote of this model.", show_default=False),
    ],
    name: Annotated[
        str | None, typer.Option(help="Of the model, such as its hub id owner/name.")
    ] = None,
    about: Annotated[
        str, typer.Option(help="On which data it was trained, and what it must not be used for.")
    ] = "",
    licence: Annotated[
        str,
        typer.Option("--licence", "--license", help="As the hub writes it: apache-2.0, other …"),
    ] = "",
    overwrite: Overwrite = False,
    as_json: JsonOutput = False,
) -> None:
    """Write a model's card, with a report's tables, beside its weights; it travels with them."""
    from cdvae_gan.card import CARD_FILES
    from cdvae_gan.evaluation.card import model_card

    if not model.is_dir():
        raise InputError(f"{model} is no folder: a card is written beside a model's weights")
    folder = model / "model" if (model / "model").is_dir() else model
    refuse([folder / name for name in CARD_FILES], frozenset(), overwrite=overwrite)
    written = model_card(
        open_model(str(model), "cpu"), report, name=name, about=about, licence=licence
    ).write(folder)
    if as_json:
        print_json({"card": str(written)})
    else:
        output().print(f"card: {written}", soft_wrap=True)
