"""``cdvae-gan compare``: models, or folders of counterfactuals, on the same images."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cdvae_gan.cli.common import (
    Device,
    JsonOutput,
    Overwrite,
    SkipBad,
    examples,
    output,
    parse_names,
    print_json,
    progress_console,
)
from cdvae_gan.cli.evaluate import (
    Attributes,
    Confidence,
    Fast,
    Judges,
    Limit,
    Out,
    Part,
    Pictures,
    Resamples,
    Seed,
    Split,
    Without,
    as_editor,
    claim_report,
    editor_of,
    entry_names,
    known_to,
    left_out,
    open_entry,
    open_images,
    open_judges,
)
from cdvae_gan.errors import InputError

if TYPE_CHECKING:
    from cdvae_gan.evaluation.comparison import Comparison

__all__ = ["EXAMPLES", "compare"]

EXAMPLES = examples(
    "cdvae-gan compare celeba64 celeba64:detail=0 celeba/ --out plain/",
    "cdvae-gan compare runs/new theirs/ celeba/ --judges mine.onnx --out report/",
)

_DETAIL = ":detail="


def compare(
    entries: Annotated[
        list[str],
        typer.Argument(
            metavar="A B ...",
            show_default=False,
            help="Models, or folders of counterfactuals with manifest.csv (source, attribute, "
            "value, file). The first is what the others are compared with. MODEL:detail=0 is the "
            "model at that κ.",
        ),
    ],
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="avatars, a folder, or hf:owner/name.")
    ],
    out: Out,
    judges: Judges = None,
    attributes: Attributes = None,
    split: Split = Part.report,
    limit: Limit = None,
    fast: Fast = False,
    without: Without = None,
    size: Annotated[
        int | None, typer.Option(help="Side of the images, for folders alone. Default: 64.")
    ] = None,
    seed: Seed = 0,
    confidence: Confidence = 0.95,
    resamples: Resamples = 1000,
    pictures: Pictures = 6,
    skip_bad: SkipBad = False,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: JsonOutput = False,
) -> None:
    """Compare models on the same images: paired differences with intervals, and in words."""
    from cdvae_gan.evaluation.comparison import compare as measure
    from cdvae_gan.evaluation.comparison import save_comparison
    from cdvae_gan.evaluation.measure import Settings
    from cdvae_gan.evaluation.stages import stages

    settings = Settings(
        without=left_out(fast, without),
        pictures=pictures,
        worst=0,
        resamples=resamples,
        confidence=confidence,
        seed=seed,
    )
    asked = [_parsed(text) for text in entries]
    names = [
        name + (f" κ={d:g}" if d is not None else "")
        for name, (_, d) in zip(entry_names([t for t, _ in asked]), asked, strict=True)
    ]
    claim_report(out, [source, *(judges or ()), *(text for text, _ in asked)], overwrite)
    console = progress_console()
    opened = [open_entry(text, device) for text, _ in asked]
    chosen, real = open_images(source, opened, size, split, limit, seed, skip_bad, console)
    wanted = parse_names(attributes)
    if wanted is None and any(isinstance(entry, Path) for entry in opened):
        # Not images of which a folder has all flips, but all of those that will be compared.
        wanted = known_to([editor_of(entry, chosen) for entry in opened], chosen, None) or None
    for entry in opened:  # the images that every one of them has all flips of
        _, chosen = as_editor(entry, chosen, wanted)
    editors = [
        (name, as_editor(entry, chosen, wanted)[0], detail)
        for name, entry, (_, detail) in zip(names, opened, asked, strict=True)
    ]
    with stages(console) as told:
        found = measure(
            editors,
            chosen,
            open_judges(judges, known_to([e for _, e, _ in editors], chosen, wanted)),
            attributes=wanted,
            real=real,
            settings=settings,
            progress=told,
        )
    page = save_comparison(found, out, shlex.join(["cdvae-gan", *sys.argv[1:]]))
    if as_json:
        print_json({"report": str(page), **found.to_dict()})
    else:
        _print(found, page)


def _parsed(text: str) -> tuple[str, float | None]:
    """``celeba64:detail=0`` as the model's name and its κ."""
    name, given, value = text.partition(_DETAIL)
    if not given:
        return text, None
    try:
        detail = float(value)
    except ValueError:
        detail = -1.0
    if not 0 <= detail <= 1:
        raise InputError(f"{text!r}: detail is a number in [0, 1], not {value!r}")
    return name, detail


def _print(found: Comparison, page: Path) -> None:
    from cdvae_gan.evaluation.comparison import figures
    from cdvae_gan.evaluation.report import show

    out = output()
    for i, name in enumerate(found.names[1:], 1):
        table = Table("", found.names[0], name, "difference", "in words")
        for f in figures(found, i):
            gap = f.difference
            table.add_row(
                f.name,
                show(f.first.value),
                show(f.other.value),
                f"{show(gap.value)} [dim]{show(gap.low)} to {show(gap.high)}[/dim]",
                f.words,
            )
        out.print(table)
    out.print(f"report: {page}", soft_wrap=True)
