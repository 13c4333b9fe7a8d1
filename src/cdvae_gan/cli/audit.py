"""``cdvae-gan audit``: does somebody's classifier answer to an attribute?"""

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
    fresh_folder,
    output,
    parse_names,
    print_json,
    progress_console,
)
from cdvae_gan.errors import InputError

if TYPE_CHECKING:
    from cdvae_gan.auditing import Audit

__all__ = ["EXAMPLES", "audit"]

EXAMPLES = examples(
    "cdvae-gan audit --classifier clf.onnx --images photos/ --intervene Smiling,Eyeglasses "
    "--judge judges/cnn --out report/",
    "cdvae-gan audit --classifier mine.py:predict --images celeba/ --groups Male --out report/",
    "cdvae-gan audit --classifier resnet/ --class cat --images photos/ --out report/",
    "cdvae-gan audit --classifier mine.py:predict --images avatars --model truth --out report/",
)


class Kind(str, Enum):
    """What kind of answer a classifier gives."""

    binary = "binary"
    multiclass = "multiclass"
    multilabel = "multilabel"
    regression = "regression"


class Numbers(str, Enum):
    """What a classifier returns."""

    logits = "logits"
    probabilities = "probabilities"


def audit(
    classifier: Annotated[
        str,
        typer.Option(
            metavar="C",
            show_default=False,
            help="module:function or file.py:function (which is run), .onnx, .pt, .pt2, or a "
            "folder of a Hugging Face model or a judge. What it takes and returns may stand in a "
            "JSON file beside it.",
        ),
    ],
    images: Annotated[
        str,
        typer.Option(
            metavar="SOURCE", show_default=False, help="A folder of images, or any data set."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="FOLDER", show_default=False, help="For report.html, .md and .json."),
    ],
    model: Annotated[
        str,
        typer.Option(help="What makes the counterfactuals; truth draws those of avatars."),
    ] = "celeba64",
    intervene: Annotated[
        list[str] | None,
        typer.Option(metavar="NAMES", help="Attributes to set. Default: all of the model."),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            metavar="NAME",
            help="A score to look at; may be given several times. Default: all.",
        ),
    ] = None,
    groups: Annotated[
        list[str] | None,
        typer.Option(metavar="NAMES", help="Attributes whose values, crossed, make groups."),
    ] = None,
    judge: Annotated[
        list[str] | None,
        typer.Option(
            "--judge",
            "--judges",
            metavar="JUDGE",
            help="Says whether the edits succeeded; may be given several times. Default: the "
            "shipped judges, where they know the attributes.",
        ),
    ] = None,
    placebo: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The unrelated attribute of the second placebo. Default: the least correlated.",
        ),
    ] = None,
    task: Annotated[
        Kind | None, typer.Option(help="What kind of answer it gives. Default: as it says.")
    ] = None,
    outputs: Annotated[
        Numbers | None, typer.Option(help="What it returns. Default: as it says, or as it looks.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Above it the answer is yes, in units of the score.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Of the data: a split, report or tune (halves of the validation split), or all. "
            "Default: validation, or all of a folder without labels."
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(metavar="N", help="Images at most, drawn by seed; 0 for all.", min=0)
    ] = 500,
    skip_bad: SkipBad = False,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.", min=0)] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a report that is there.")
    ] = False,
    device: Device = "auto",
    as_json: JsonOutput = False,
) -> None:
    """Set attributes of images to what they are not, and see whether a classifier's answer changes.

    For each: the change of the score with an interval, answers that turn, groups, a dose-response
    curve, placebos, what judges see of the edit, and what can and cannot be concluded.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: --out is a folder")
    if (out / "report.json").exists() and not overwrite:
        raise InputError(f"{out} holds a report: --overwrite replaces it, or choose another")
    if Path(images).is_dir() and out.resolve() == Path(images).resolve():
        raise InputError(f"{out} holds the images: choose another folder for the report")
    from cdvae_gan.auditing import audit as run

    console = progress_console()
    hidden = console.quiet
    with fresh_folder(out), Progress(console=console, disable=hidden, transient=True) as bar:
        shown = bar.add_task("auditing", total=None)
        found = run(
            classifier,
            images,
            model=model,
            interventions=parse_names(intervene),
            classes=classes,
            groups=parse_names(groups) or (),
            judges=judge,
            unrelated=placebo,
            task=None if task is None else task.value,
            outputs=None if outputs is None else outputs.value,
            threshold=threshold,
            split=split,
            limit=limit or None,
            seed=seed,
            skip_bad=skip_bad,
            device=device_for(device),
            progress=lambda done, total: bar.update(shown, completed=done, total=total),
        )
        found.save(out)
    if as_json:
        print_json(found.to_dict())
    else:
        _show(found, out)


def _show(found: Audit, out: Path) -> None:
    console = output()
    table = Table("intervention", "score", "verdict")
    for name in ("change", "95 % interval", "p", "turned"):
        table.add_column(name, justify="right")
    for one, e in found:
        turned = "-" if e.to_yes is None or e.to_no is None else f"{_share(e.to_yes, e.to_no)}"
        interval = f"{e.change.low:+.3g} to {e.change.high:+.3g}"
        change = f"{e.change.value:+.3g}"
        row = (one.attribute, e.score, e.verdict, change, interval, f"{e.p_corrected:.2g}", turned)
        table.add_row(*row)
    console.print(table)
    for one, e in found:
        text = f"{one.attribute}: {e.can} {e.cannot}"
        console.print(text, markup=False, soft_wrap=True)
    console.print(f"report: {out / 'report.html'}", markup=False, soft_wrap=True)


def _share(*parts: object) -> str:
    return f"{sum(getattr(p, 'value', 0.0) for p in parts):.1%}"
