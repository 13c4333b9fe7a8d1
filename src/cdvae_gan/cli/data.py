"""``cdvae-gan data``: look a data set over, and clear the cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cdvae_gan.cli.common import (
    JsonOutput,
    Overwrite,
    claim,
    examples,
    output,
    parse_names,
    print_json,
    progress_console,
    write_picture,
)

if TYPE_CHECKING:
    from cdvae_gan.data import CheckReport

__all__ = ["app"]

app = typer.Typer(help="Look a data set over; clear the cache of decoded images.")

_SHOWN = 10

_CHECK = examples(
    "cdvae-gan data check avatars:n=500",
    "cdvae-gan data check celeba/ --attributes Smiling,Male --sheet celeba.png",
    "cdvae-gan data check photos/ --json | jq .unreadable",
)


@app.command(epilog=_CHECK)
def check(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="avatars, a folder, or hf:owner/name.")
    ],
    attributes: Annotated[
        list[str] | None, typer.Option(help="Names, separated by commas. Default: all.")
    ] = None,
    size: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 64,
    image_column: Annotated[
        str | None, typer.Option(help="Of Hugging Face data, the column with the images.")
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Where the contact sheet goes. Default: NAME-contact-sheet.png here."),
    ] = None,
    no_sheet: Annotated[bool, typer.Option("--no-sheet", help="Draw no contact sheet.")] = False,
    overwrite: Overwrite = False,
    as_json: JsonOutput = False,
) -> None:
    """Count images, splits and attributes; find damaged and duplicate images; draw some."""
    from cdvae_gan.data import check as look
    from cdvae_gan.data import sheet as contact_sheet

    if sheet is not None:
        claim(sheet, overwrite=overwrite)
    report = look(
        source,
        size=size,
        attributes=parse_names(attributes),
        image_column=image_column,
        progress=not progress_console().quiet,
    )
    path = None
    if not no_sheet:
        images = (report.dataset.file(i) for i in range(len(report.dataset)))
        given = [file for file in images if file is not None]
        ours = Path(f"{report.name}-contact-sheet.png")  # of an earlier look
        path = claim(sheet or ours, given, overwrite=overwrite or sheet is None)
        write_picture(contact_sheet(report.dataset), path)
    if as_json:
        print_json({**report.to_json(), "contact_sheet": None if path is None else str(path)})
    else:
        _show(report, path)


def _show(report: CheckReport, path: Path | None) -> None:
    out = output()
    splits = ", ".join(f"{name} {n:,}" for name, n in report.splits.items())
    out.print(f"{report.name}: {report.n:,} images of {report.image_size} pixels ({splits})")
    table = Table("attribute", *(("1", "0", "unknown", "share of 1")))
    for column in table.columns[1:]:
        column.justify = "right"
    for a in report.attributes:
        share = f"{a.prevalence:.1%}" if a.positive + a.negative else "-"
        table.add_row(a.name, f"{a.positive:,}", f"{a.negative:,}", f"{a.unknown:,}", share)
    out.print(table)
    if report.correlations:
        pairs = (f"{c.first} and {c.second} {c.phi:+.2f}" for c in report.correlations)
        out.print(f"strongest correlations: {', '.join(pairs)}")
    out.print(f"unreadable images: {len(report.unreadable)}")
    for bad in report.unreadable:
        out.print(f"  {bad.reason}", markup=False, soft_wrap=True)
    across = f", {report.across_splits} of them across splits" if report.duplicates else ""
    out.print(f"groups of equal images: {len(report.duplicates)}{across}")
    for group in report.duplicates[:_SHOWN]:
        out.print(f"  {', '.join(group)}", markup=False, soft_wrap=True)
    if len(report.duplicates) > _SHOWN:
        out.print(f"  and {len(report.duplicates) - _SHOWN} more: --json has them all")
    if path is not None:
        out.print(f"contact sheet: {path}", markup=False, soft_wrap=True)


@app.command(name="clear-cache", epilog=examples("cdvae-gan data clear-cache"))
def clear_cache(as_json: JsonOutput = False) -> None:
    """Remove all decoded images; they are decoded again when they are needed."""
    from cdvae_gan.data import cache_folder
    from cdvae_gan.data import clear_cache as clear

    freed = clear()
    if as_json:
        print_json({"cache": str(cache_folder()), "bytes": freed})
    else:
        output().print(f"{freed / 1e6:,.1f} MB freed in {cache_folder()}", soft_wrap=True)
