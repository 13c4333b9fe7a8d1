"""``cdvae-gan reproduce``: every table and figure of the results, from nothing."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cdvae_gan.cli.common import JsonOutput, examples, output, print_json
from cdvae_gan.errors import InputError

__all__ = ["EXAMPLES", "reproduce"]

EXAMPLES = examples(
    "cdvae-gan reproduce --small",
    "cdvae-gan reproduce celeba/ --out runs/reproduce",
    "cdvae-gan reproduce celeba/ --shipped --out runs/reproduce --docs docs",
)


def reproduce(
    celeba: Annotated[
        str | None,
        typer.Argument(
            metavar="[CELEBA]",
            show_default=False,
            help="The folder of CelebA. Without it, drawn avatars alone.",
        ),
    ] = None,
    small: Annotated[
        bool, typer.Option("--small", help="Avatars alone, little of everything: minutes.")
    ] = False,
    shipped: Annotated[
        bool,
        typer.Option(
            "--shipped",
            help="The shipped models, avatars64 and celeba64, in place of training for 60 and 90 "
            "minutes, and the shipped judges of faces.",
        ),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(help="A trained model of faces, in place of training one for 90 minutes."),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Where the steps are kept; what is done there is not done again.")
    ] = Path("runs/reproduce"),
    docs: Annotated[
        Path | None,
        typer.Option(help="Write results.md and its figures into this folder too."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the training.")] = 0,
    as_json: JsonOutput = False,
) -> None:
    """Make every table and figure of the results from nothing: judges, model, evaluation.

    Step by step: broken off, it goes on where it was.
    """
    if small and celeba is not None:
        raise InputError("--small is avatars alone: leave out CELEBA or --small")
    if model is not None and celeba is None:
        raise InputError("--model is a model of faces: name the folder of CelebA too")
    if shipped and (small or model is not None):
        raise InputError("--shipped stands alone: --small and --model say what else to measure")
    if out.is_file():
        raise InputError(f"{out} is a file: the steps need a folder")

    from cdvae_gan.data.open import find_source
    from cdvae_gan.evaluation.judges import shipped_judges
    from cdvae_gan.reproduce import FULL, SHIPPED, SMALL, avatars, faces
    from cdvae_gan.reproduce import reproduce as run

    if celeba is not None:
        find_source(celeba)  # hours before it is needed
    suites = [
        avatars(SHIPPED, "avatars64", seed)
        if shipped
        else avatars(SMALL if small else FULL, seed=seed)
    ]
    if celeba is not None:
        judges = tuple(shipped_judges()) if shipped else ()
        suites.append(faces(celeba, "celeba64" if shipped else model, seed, judges))
    page = run(
        suites,
        out,
        command=shlex.join(["cdvae-gan", *sys.argv[1:]]),
        docs=docs,
        console=Console(stderr=True),
    )
    if as_json:
        print_json({"results": str(page), "work": str(out)})
    else:
        output().print(f"results: {page}", soft_wrap=True)
