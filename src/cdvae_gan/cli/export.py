"""``cdvae-gan export``: a trained model for elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cdvae_gan.cli.common import (
    JsonOutput,
    ModelSource,
    Overwrite,
    examples,
    folder_for,
    open_model,
    output,
    print_json,
    progress_console,
    refuse,
)
from cdvae_gan.errors import InputError

if TYPE_CHECKING:
    import torch

    from cdvae_gan.data import AttributeDataset
    from cdvae_gan.evaluation.judges import Judge
    from cdvae_gan.export import Deceptions, Exported, Precision
    from cdvae_gan.export.web import Align
    from cdvae_gan.model import CDVAEGAN

__all__ = ["EXAMPLES", "export"]

EXAMPLES = examples(
    "cdvae-gan export celeba64 --onnx celeba64.onnx",
    "cdvae-gan export celeba64 --onnx small.onnx --precision int8",
    "cdvae-gan export runs/faces --onnx onnx/ --judge judges/cnn --source celeba/",
    "cdvae-gan export celeba64 --web page/ && python -m http.server --directory page",
)

_COMPARED = 64  # images of the source that numbers are compared on


class Alignment(str, Enum):
    """How photos are brought into the model's frame."""

    eyes = "eyes"
    square = "square"


class Weights(str, Enum):
    """How the numbers of a file are kept."""

    float32 = "float32"
    fp16 = "fp16"
    int8 = "int8"


def export(
    model: ModelSource,
    onnx: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.onnx|FOLDER",
            show_default=False,
            help="Write the model as one ONNX file, or in all precisions into a folder.",
        ),
    ] = None,
    precision: Annotated[
        Weights,
        typer.Option(
            help="Of the file. fp16: weights in half precision, arithmetic in float32. int8: "
            "onnxruntime's dynamic quantisation. A folder gets all three."
        ),
    ] = Weights.float32,
    judge: Annotated[
        str | None,
        typer.Option(help="Ask this judge what the files lose in deception; needs --source."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(help="Images to compare on: avatars, a folder, or hf:owner/name."),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, help="Images of the source that the judge sees at most.")
    ] = 500,
    web: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            show_default=False,
            help="Write a page that runs the model in the browser: a static folder, no server.",
        ),
    ] = None,
    ort: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            show_default="fetched by npm, once",
            help="The unpacked package onnxruntime-web, for the page.",
        ),
    ] = None,
    example: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            show_default="a portrait, or drawings",
            help="A picture that comes with the page; may be given again.",
        ),
    ] = None,
    align: Annotated[
        Alignment,
        typer.Option(
            help="How the page brings photos into the model's frame: eyes for faces aligned like "
            "CelebA's, square for everything else."
        ),
    ] = Alignment.eyes,
    overwrite: Overwrite = False,
    as_json: JsonOutput = False,
) -> None:
    """Write a model as ONNX, or as a page for the browser, compared with the model it came from.

    The ONNX file holds the whole counterfactual, from the image to what is read off the result, and
    cdvae_gan.runtime runs it without torch. A file in float32 that differs from the model by more
    than 0.001 is not written.
    """
    if onnx is None and web is None:
        raise InputError("export to what? --onnx FILE.onnx, --onnx FOLDER, or --web FOLDER")
    if judge is not None and (source is None or onnx is None):
        raise InputError("--judge compares files of --onnx on images: add --source")
    told: dict[str, object] = {}
    if onnx is not None:
        told |= _export_onnx(
            model, onnx, Weights(precision).value, judge, source, limit, overwrite, as_json
        )
    if web is not None:
        told |= _export_web(
            model, web, ort, example or [], Alignment(align).value, overwrite, as_json
        )
    if as_json:
        print_json(told)


def _export_web(
    model: str,
    web: Path,
    ort: Path | None,
    pictures: Sequence[Path],
    align: Align,
    overwrite: bool,
    quiet: bool,
) -> dict[str, object]:
    if web.is_file():
        raise InputError(f"--web takes a folder, and {web} is a file")
    if web.exists() and any(web.iterdir()) and not overwrite:
        raise InputError(f"{web} is not empty: --overwrite replaces a page, or choose another")
    network = open_model(model, "cpu")

    from cdvae_gan import export as exporting

    with progress_console().status("making the page"):
        page = exporting.export_web(
            network,
            web,
            name=Path(model).name,
            ort=exporting.ort_folder(ort),
            examples=[exporting.example(file) for file in pictures]
            or exporting.default_examples(network, align),
            align=align,
            measured=network.deception,
            card=network.card.readme if network.card else None,
        )
    if not quiet:
        console = output()
        console.print(f"page: {web}, {page.bytes / 1e6:.1f} MB", soft_wrap=True)
        console.print(f"to see it: python -m http.server --directory {web}", soft_wrap=True)
    return {"page": page.to_dict()}


def _export_onnx(
    model: str,
    onnx: Path,
    precision: Precision,
    judge: str | None,
    source: str | None,
    limit: int,
    overwrite: bool,
    quiet: bool,
) -> dict[str, object]:
    files = _files(model, onnx, precision)
    refuse(files.values(), frozenset(), overwrite=overwrite)
    network = open_model(model, "cpu")
    dataset = None if source is None else _report_half(source, network)
    asked = None if judge is None or dataset is None else _judge(judge, dataset, network, limit)

    from cdvae_gan.export import export_onnx

    folder_for(next(iter(files.values())).parent)
    images = None if dataset is None else _images(dataset)
    with progress_console().status("exporting"):
        exported = export_onnx(network, files, images=images)
    found = None
    if asked is not None:
        with progress_console().status("asking the judge"):
            found = _asked(network, exported, *asked)
    if not quiet:
        _show(exported, found)
    said = None if found is None else found.to_dict()
    return {"files": [one.to_dict() for one in exported], "deception": said}


def _files(model: str, onnx: Path, precision: Precision) -> dict[Precision, Path]:
    if onnx.suffix.lower() == ".onnx" and not onnx.is_dir():
        return {precision: onnx}
    if onnx.suffix and not onnx.is_dir():
        raise InputError(f"--onnx takes a file in .onnx or a folder, not {onnx}")
    name = Path(model).name
    return {
        "float32": onnx / f"{name}.onnx",
        "fp16": onnx / f"{name}.fp16.onnx",
        "int8": onnx / f"{name}.int8.onnx",
    }


def _report_half(source: str, network: CDVAEGAN) -> AttributeDataset:
    from cdvae_gan.data import open_dataset
    from cdvae_gan.evaluation.splits import halves

    shown = not progress_console().quiet
    dataset = open_dataset(source, size=network.image_size, progress=shown)
    return halves(dataset).report


def _images(dataset: AttributeDataset) -> torch.Tensor:
    from cdvae_gan.images import to_float

    return to_float(dataset.batch(range(min(_COMPARED, len(dataset)))).images)


def _judge(
    judge: str, dataset: AttributeDataset, network: CDVAEGAN, limit: int
) -> tuple[Judge, AttributeDataset]:
    """The judge, and the images that it is asked about, with the attributes that all know."""
    from cdvae_gan.evaluation.judges import load_judge

    known = load_judge(judge)
    names = [n for n in network.attributes if n in known.attributes and n in dataset.attributes]
    if not names:
        raise InputError(f"judge {judge!r}, {dataset.name} and the model share no attribute")
    images = dataset.select(names).take(range(min(limit, len(dataset))))
    return known.select(names), images


def _asked(
    network: CDVAEGAN, exported: Sequence[Exported], judge: Judge, images: AttributeDataset
) -> Deceptions:
    from cdvae_gan.export import deceptions
    from cdvae_gan.runtime import Session

    sessions: dict[str, Session] = {one.precision: Session(one.file) for one in exported}
    return deceptions(network, sessions, judge, images)


def _show(exported: Sequence[Exported], found: Deceptions | None) -> None:
    """One row a file."""
    console = output()
    table = Table("file", "precision", "size", "largest difference", "images, in grey levels")
    if found is not None:
        table.add_column("deception")
        table.add_column("loss")
    for column in table.columns[2:]:
        column.justify = "right"
    for one in exported:
        d = one.difference
        cells = [
            str(one.file),
            one.precision,
            f"{one.bytes / 1e6:.1f} MB",
            f"{d.largest:.1e}",
            f"{d.image_mean:.3f}, at most {d.image_largest:.1f}",
        ]
        if found is not None:
            e = found.files[one.precision]
            cells += [
                f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}]",
                f"{found.loss(one.precision):+.3f}",
            ]
        table.add_row(*cells)
    console.print(table)
    opset, n = exported[0].to_dict()["opset"], exported[0].difference.n
    console.print(f"ONNX opset {opset}; compared with the model on {n} images")
    if found is not None:
        e = found.model
        console.print(
            f"the model itself: deception {e.value:.3f} [{e.low:.3f}, {e.high:.3f}], "
            f"{e.n:,} flips of {found.dataset}, judge {found.judge}"
        )
