"""``cdvae-gan evaluate``: every metric of a model, in one report."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cdvae_gan.cli.common import (
    Device,
    JsonOutput,
    Overwrite,
    SkipBad,
    examples,
    open_model,
    output,
    parse_names,
    print_json,
    progress_console,
)
from cdvae_gan.errors import InputError

if TYPE_CHECKING:
    from cdvae_gan.data import AttributeDataset
    from cdvae_gan.evaluation.edits import Editor
    from cdvae_gan.evaluation.judges import Judge
    from cdvae_gan.evaluation.measure import Evaluation
    from cdvae_gan.model import CDVAEGAN

__all__ = ["EXAMPLES", "evaluate"]

EXAMPLES = examples(
    "cdvae-gan evaluate celeba64 celeba/ --out report/",
    "cdvae-gan evaluate runs/avatars avatars --judges judges/avatars --out report/ --fast",
    "cdvae-gan evaluate theirs/ celeba/ --judges mine.onnx --out report/ --groups Male,Young",
)


class Part(str, Enum):
    """Which images."""

    report = "report"
    tune = "tune"
    train = "train"
    validation = "validation"
    test = "test"


Judges = Annotated[
    list[str] | None,
    typer.Option(
        "--judges",
        "--judge",
        metavar="JUDGE",
        show_default=False,
        help="A shipped judge such as celeba-cnn, a judge's folder, a file .onnx, .pt or .pt2, or "
        "module:function (which is run). May be given several times. Default: the shipped judges, "
        "where they know the attributes.",
    ),
]
Out = Annotated[Path, typer.Option(help="The report's folder.", show_default=False)]
Attributes = Annotated[
    list[str] | None, typer.Option(help="Which to flip, separated by commas. Default: all.")
]
Split = Annotated[
    Part,
    typer.Option(
        help="Which images: the report half of the validation split, its tune half, or a whole "
        "split. Only the report half has never been used for a choice."
    ),
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="At most so many images, drawn by seed.", metavar="N")
]
Seed = Annotated[int, typer.Option(help="Of everything that is drawn.")]
Without = Annotated[
    list[str] | None,
    typer.Option(
        help="Metrics to leave out, separated by commas: agreement, composition, identity, labels, "
        "probes, realism, reconstruction, reversibility, robustness, strength, truth."
    ),
]
Fast = Annotated[
    bool,
    typer.Option(
        "--fast",
        help="Leave out what takes long: identity, probes, realism, reversibility, robustness and "
        "strength.",
    ),
]
Confidence = Annotated[float, typer.Option(help="Of the intervals, between 0 and 1.")]
Resamples = Annotated[int, typer.Option(help="Of the bootstrap.")]
Groups = Annotated[
    list[str] | None,
    typer.Option(help="Labelled attributes, each combination of which is reported apart: A,B."),
]
Pictures = Annotated[int, typer.Option(min=0, help="Photos in the grid; 0 for no pictures.")]


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            show_default=False,
            help="A model, or a folder of counterfactuals that any program made, with manifest.csv "
            "(source, attribute, value, file).",
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
    groups: Groups = None,
    fast: Fast = False,
    without: Without = None,
    detail: Annotated[
        float | None, typer.Option(min=0, max=1, help="κ of the model. Default: its own.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Side of the images, for a folder. Default: 64.")
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
    """Measure a model: deception, preservation, identity, realism and all else, with intervals."""
    from cdvae_gan.evaluation.measure import Settings
    from cdvae_gan.evaluation.measure import evaluate as measure
    from cdvae_gan.evaluation.report import save_report
    from cdvae_gan.evaluation.stages import stages

    settings = Settings(
        without=left_out(fast, without),
        groups=tuple(parse_names(groups) or ()),
        pictures=pictures,
        worst=3 if pictures else 0,
        resamples=resamples,
        confidence=confidence,
        seed=seed,
    )
    claim_report(out, [model, source, *(judges or ())], overwrite)
    console = progress_console()
    entry = open_entry(model, device)
    chosen, real = open_images(source, [entry], size, split, limit, seed, skip_bad, console)
    editor, chosen = as_editor(entry, chosen, parse_names(attributes))
    with stages(console) as told:
        found = measure(
            editor,
            chosen,
            open_judges(judges, known_to([editor], chosen, parse_names(attributes))),
            name=entry_name(model),
            attributes=parse_names(attributes),
            real=real,
            detail=detail,
            settings=settings,
            progress=told,
        )
    page = save_report(found, out, shlex.join(["cdvae-gan", *sys.argv[1:]]))
    if as_json:
        print_json({"report": str(page), **found.to_dict()})
    else:
        _print(found, page)


def left_out(fast: bool, without: Sequence[str] | None) -> frozenset[str]:
    """Names of the metrics that are not wanted."""
    from cdvae_gan.evaluation.measure import FAST

    return frozenset(parse_names(without) or ()) | (FAST if fast else frozenset())


def claim_report(out: Path, inputs: Sequence[str], overwrite: bool) -> None:
    """Make sure that a report may be written to a folder, before anything is measured.

    Raises:
        InputError: Where it may not: it is a file, an input, or holds a report.
    """
    if out.is_file():
        raise InputError(f"{out} is a file: a report needs a folder")
    if any(Path(text).exists() and Path(text).resolve() == out.resolve() for text in inputs):
        raise InputError(f"{out} is an input and will not be written into: choose another --out")
    if (out / "results.json").exists() and not overwrite:
        raise InputError(f"{out} holds a report: --overwrite replaces it, or choose another --out")


def entry_name(text: str) -> str:
    """What a report calls a model or a folder."""
    path = Path(text)
    return path.parent.name if path.name == "manifest.csv" else path.name or text


def entry_names(texts: Sequence[str]) -> list[str]:
    """What a report calls several; by more of their paths where their names are one."""
    names = [entry_name(text) for text in texts]
    if len(set(names)) == len(names) or len(set(texts)) < len(texts):
        return names
    return list(texts)


def open_entry(text: str, device: str) -> CDVAEGAN | Path:
    """A model, or the path of a folder of counterfactuals."""
    from cdvae_gan.evaluation.folders import is_folder_of_counterfactuals

    return Path(text) if is_folder_of_counterfactuals(text) else open_model(text, device)


def open_judges(texts: Sequence[str] | None, attributes: Sequence[str]) -> list[Judge]:
    """All judges, in their order; the shipped ones where none is named.

    Raises:
        InputError: None is named, and no shipped one knows the attributes.
    """
    from cdvae_gan.evaluation.judges import load_judge, standard_judges

    found = [load_judge(t) for t in texts] if texts else standard_judges(attributes)
    if not found:
        raise InputError(
            f"the shipped judges do not know all of {', '.join(attributes)}: train your own with "
            "cdvae-gan judge train, and name them with --judges"
        )
    return found


def known_to(
    editors: Sequence[CDVAEGAN | Editor],
    dataset: AttributeDataset,
    attributes: Sequence[str] | None,
) -> list[str]:
    """The attributes that will be flipped: those asked for, else those that all can flip."""
    known = [getattr(editor, "attributes", dataset.attributes) for editor in editors]
    return [a for a in attributes or dataset.attributes if all(a in own for own in known)]


def open_images(
    source: str,
    entries: Sequence[CDVAEGAN | Path],
    size: int | None,
    split: Part,
    limit: int | None,
    seed: int,
    skip_bad: bool,
    console: Console,
) -> tuple[AttributeDataset, AttributeDataset | None]:
    """The images to evaluate, and the other ones of the source, which realism is measured against.

    Raises:
        InputError: The models take images of different sizes, or there is no such split.
    """
    from cdvae_gan.data import open_dataset
    from cdvae_gan.evaluation.splits import chosen_part

    sizes = {entry.image_size for entry in entries if not isinstance(entry, Path)}
    if len(sizes | ({size} if size else set())) > 1:
        raise InputError(
            f"the models take images of {', '.join(map(str, sorted(sizes)))} pixels: one size is "
            "needed for all" + (f", not {size}" if size else "")
        )
    side = next(iter(sizes), size or 64)
    dataset = open_dataset(source, size=side, skip_bad=skip_bad, progress=not console.quiet)
    return chosen_part(dataset, split.value, limit=limit, seed=seed)


def as_editor(
    entry: CDVAEGAN | Path,
    dataset: AttributeDataset,
    attributes: Sequence[str] | None,
) -> tuple[CDVAEGAN | Editor, AttributeDataset]:
    """The model, or the folder as an editor, with the images that it has all flips of.

    Raises:
        InputError: The folder lacks an attribute, or has no image with all flips.
    """
    from cdvae_gan.evaluation.folders import FolderEditor

    editor = editor_of(entry, dataset)
    if not isinstance(editor, FolderEditor):
        return editor, dataset
    return editor, editor.dataset_covered(dataset, attributes)


def editor_of(entry: CDVAEGAN | Path, dataset: AttributeDataset) -> CDVAEGAN | Editor:
    """The model, or the folder as an editor of those of its images that are in the data."""
    from cdvae_gan.evaluation.folders import FolderEditor

    return FolderEditor(entry, dataset) if isinstance(entry, Path) else entry


def _print(found: Evaluation, page: Path) -> None:
    from cdvae_gan.evaluation.conclusions import conclusions
    from cdvae_gan.evaluation.report import cell

    tables = found.tables
    table = Table("attribute", title="Deception over trusted judges; others kept")
    columns = [("deception", "put on"), ("deception", "take off"), ("deception", "all")]
    columns += [("preservation", "kept")]
    for _, column in columns:
        table.add_column(column, justify="right")
    for name in (*found.attributes, "mean"):
        if name == "mean":
            table.add_section()
        cells = [cell(tables[t][name, c]) for t, c in columns]
        doubt = "*" if name in tables["deception"].untrusted else ""
        table.add_row(f"{name}{doubt}", *(f"{c.text} [dim]{escape(c.detail)}[/dim]" for c in cells))
    out = output()
    out.print(table)
    if tables["deception"].untrusted:
        out.print("* no judge can be trusted with it; not in the mean")
    out.print(f"{len(conclusions(found))} things that cannot be concluded are in the report")
    out.print(f"report: {page}", soft_wrap=True)
