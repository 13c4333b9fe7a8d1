"""``cdvae-gan counterfactual``: pictures that would have been, for any number of images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import track
from rich.table import Table

from cdvae_gan.cli.common import (
    Device,
    ModelSource,
    Overwrite,
    SkipBad,
    claim,
    counted,
    examples,
    fresh_folder,
    identities,
    intervention_text,
    open_model,
    output,
    output_names,
    print_json,
    progress_console,
    reading,
    refuse,
    write_picture,
)
from cdvae_gan.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cdvae_gan.config import ModelConfig
    from cdvae_gan.counterfactual import Counterfactuals
    from cdvae_gan.model import CDVAEGAN

    Pixels = NDArray[np.uint8]

__all__ = ["EXAMPLES", "counterfactual"]

EXAMPLES = examples(
    "cdvae-gan counterfactual runs/faces face.jpg --do Smiling=1 --do Eyeglasses=flip --out out/",
    "cdvae-gan counterfactual runs/faces photos/ --do Smiling=1 --strength 0.5 --out out/",
    "cdvae-gan counterfactual runs/faces 'a/*.png' --do Male=1 --do Young=0 --each --grid g.png",
    "cdvae-gan counterfactual runs/faces face.jpg --every --grid every.png",
)

_BATCH = 64
_READERS = 4  # a reader may hold a photo of 240 MB
_LISTED = 10
_NOTED = 6


def counterfactual(
    model: ModelSource,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUTS", show_default=False, help="Image files, folders and glob patterns."
        ),
    ],
    do: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="What to set: 0, 1, between, or flip. Several together are one intervention.",
        ),
    ] = None,
    each: Annotated[
        bool, typer.Option("--each", help="Every --do is an intervention of its own.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--every", help="Flip every attribute, each on its own.")
    ] = False,
    strength: Annotated[
        float, typer.Option(help="How far to go from what is there to what is asked, 0 to 1.")
    ] = 1.0,
    detail: Annotated[
        float | None,
        typer.Option(
            help="1 keeps all of the photo's detail that an edit leaves alone, 0 is plain "
            "decoding. Default: the model's own."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for one PNG an input and intervention.")
    ] = None,
    grid: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="One labelled figure: rows images, columns edits."),
    ] = None,
    rows: Annotated[int, typer.Option(help="Images that the figure shows at most.", min=1)] = 16,
    skip_bad: SkipBad = False,
    overwrite: Overwrite = False,
    device: Device = "auto",
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print one line of JSON an image and intervention, and nothing else."
        ),
    ] = False,
) -> None:
    """Draw the images that would have been, had the attributes been others.

    No labels are needed: the model reads what is there. Images are cropped to their middle square
    and resized; where a photo shows more than an aligned face, "cdvae-gan edit" finds the face.
    """
    if out is None and grid is None and not as_json:
        raise InputError("say where to write: --out FOLDER, --grid FILE.png or both")
    for option, value in (("--strength", strength), ("--detail", detail)):
        if value is not None and not 0 <= value <= 1:
            raise InputError(f"{option} must lie in [0, 1], not {value}")
    from cdvae_gan.images import find_images

    paths = find_images(inputs)
    network = open_model(model, device)
    interventions = _interventions(network, do or [], each, every)
    names = _output_names(paths, interventions)
    if out is not None:
        if out.exists() and not out.is_dir():
            raise InputError(f"{out} is a file: --out is a folder")
        files = [out / name for row in names for name in row]
        refuse(files, identities(paths), overwrite=overwrite)
    if grid is not None:
        claim(grid, paths, overwrite=overwrite)
        if out is not None and grid.resolve() in {(out / n).resolve() for r in names for n in r}:
            raise InputError(f"--grid {grid} is also the name of a picture in --out")
    job = _Job(network, interventions, strength, detail)
    report = _Report(as_json, len(paths), interventions)
    figure = _Figure(job, rows if grid is not None else 0)
    with nullcontext() if out is None else fresh_folder(out):
        for images, skipped in _batches(paths, network.image_size, skip_bad):
            report.skip(skipped)
            for one in job.run(images, paths, names, out):
                report.add(one)
                figure.add(one)
    report.end(out)
    if grid is not None:
        figure.save(grid, report)


@dataclass(frozen=True)
class _Intervention:
    do: dict[str, float | str]

    @property
    def label(self) -> str:
        return intervention_text(self.do)

    @property
    def suffix(self) -> str:
        return "".join(f"-{part}" for part in self.label.replace("=", "-").split(", "))


@dataclass(frozen=True)
class _One:
    """One image under one intervention."""

    index: int
    column: int
    path: Path
    intervention: _Intervention
    factual: Pixels
    picture: Pixels
    before: Mapping[str, float]
    asked: Mapping[str, float]
    after: Mapping[str, float]
    resolved: list[str]
    written: Path | None
    strength: float
    detail: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "input": str(self.path),
            "output": None if self.written is None else str(self.written),
            "do": dict(self.intervention.do),
            "strength": self.strength,
            "detail": self.detail,
            "before": _rounded(self.before),
            "asked": _rounded(self.asked),
            "after": _rounded(self.after),
            "resolved": self.resolved,
        }

    def changes(self) -> list[str]:
        """``Smiling .02 → .98`` for each attribute of the intervention."""
        return [
            f"{n} {reading(self.before[n])} → {reading(self.after[n])}"
            for n in self.intervention.do
        ]


@dataclass(frozen=True)
class _Job:
    """A model and what to do with every batch of images."""

    model: CDVAEGAN
    interventions: list[_Intervention]
    strength: float
    detail: float | None

    def run(
        self,
        images: list[tuple[int, Pixels]],
        paths: list[Path],
        names: list[list[str]],
        out: Path | None,
    ) -> Iterator[_One]:
        """Draw and write a batch, intervention by intervention."""
        if not images:
            return
        import numpy as np
        import torch
        from PIL import Image

        from cdvae_gan.images import to_float, to_uint8

        stacked = np.stack([pixels for _, pixels in images])
        x = to_float(torch.from_numpy(stacked).permute(0, 3, 1, 2))
        for column, intervention in enumerate(self.interventions):
            result = self.model.counterfactual(
                x, intervention.do, self.detail, strength=self.strength
            )
            drawn = to_uint8(result.images).permute(0, 2, 3, 1).contiguous().numpy()
            told = _consequences(result, self.model.config)
            for i, (index, pixels) in enumerate(images):
                written = None
                if out is not None:
                    written = write_picture(Image.fromarray(drawn[i]), out / names[index][column])
                yield _One(
                    index,
                    column,
                    paths[index],
                    intervention,
                    pixels,
                    drawn[i],
                    *_readings(result, i),
                    told[i],
                    written,
                    self.strength,
                    result.detail,
                )


def _interventions(
    model: CDVAEGAN, texts: Sequence[str], each: bool, every: bool
) -> list[_Intervention]:
    from cdvae_gan.counterfactual import parse_do

    groups = [[text] for text in texts] if each else [list(texts)] if texts else []
    found = [_Intervention(parse_do(group, model.attributes)) for group in groups]
    if every:
        found += [_Intervention({name: "flip"}) for name in model.attributes]
    if not found:
        raise InputError(
            f"nothing to do: add --do NAME=1, =0 or =flip, or --every; "
            f"attributes are {', '.join(model.attributes)}"
        )
    labels = [one.label for one in found]
    for label in labels:
        if labels.count(label) > 1:
            raise InputError(f"the intervention {label} was given twice")
    return found


def _output_names(paths: list[Path], interventions: list[_Intervention]) -> list[list[str]]:
    """A file name for every image and intervention."""
    several = len(interventions) > 1
    return output_names(paths, [f"{i.suffix if several else ''}.png" for i in interventions])


def _batches(
    paths: list[Path], size: int, skip_bad: bool
) -> Iterator[tuple[list[tuple[int, Pixels]], list[str]]]:
    """Images that can be read, with their indices, and why the others cannot."""

    def load(path: Path) -> Pixels | InputError:
        from cdvae_gan.images import read_image, square

        try:
            return square(read_image(path), size)
        except InputError as error:
            return error

    starts = range(0, len(paths), _BATCH)
    console = progress_console()
    shown = track(starts, "drawing", console=console, disable=console.quiet or len(starts) == 1)
    with ThreadPoolExecutor(_READERS) as pool:
        for start in shown:
            loaded = list(pool.map(load, paths[start : start + _BATCH]))
            errors = [one for one in loaded if isinstance(one, InputError)]
            if errors and not skip_bad:
                raise InputError(f"{errors[0]}; --skip-bad leaves out what cannot be read")
            images = [
                (start + i, one) for i, one in enumerate(loaded) if not isinstance(one, InputError)
            ]
            yield images, [str(error) for error in errors]


def _readings(
    result: Counterfactuals, i: int
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    rows = (result.before[i], result.asked[i], result.after[i])
    before, asked, after = (dict(zip(result.attributes, row.tolist(), strict=True)) for row in rows)
    return before, asked, after


def _consequences(result: Counterfactuals, config: ModelConfig) -> list[list[str]]:
    """What else changed in each image, in words."""
    from cdvae_gan.action import checked, codes, consequences, present, rules

    values = checked(result.do, config.attributes)
    before, asked = result.before.numpy(), result.asked.numpy()
    a = present(before, codes(values, config.attributes), config.certainty)
    found = consequences(a, asked, values, config.attributes, rules(config))
    return [[told for told, rows in found if rows[i]] for i in range(len(a))]


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


@dataclass
class _Report:
    """What is printed: JSON line by line, or a table of the first images and a summary."""

    as_json: bool
    total: int
    interventions: list[_Intervention]
    skipped: int = 0
    pictures: int = 0
    wanted: int = 0
    read: int = 0
    resolved: Counter[str] = field(default_factory=Counter)
    listed: list[_One] = field(default_factory=list)

    def add(self, one: _One) -> None:
        self.pictures += 1
        for name, value in one.asked.items():
            if (value > 0.5) != (one.before[name] > 0.5):
                self.wanted += 1
                self.read += (one.after[name] > 0.5) == (value > 0.5)
        self.resolved.update(one.resolved)
        if self.as_json:
            print_json(one.to_dict())
        elif one.index < _LISTED:
            self.listed.append(one)

    def skip(self, reasons: list[str]) -> None:
        self.skipped += len(reasons)
        for reason in reasons:
            typer.echo(f"cdvae-gan: left out: {reason}", err=True)

    def end(self, out: Path | None) -> None:
        if not self.pictures:
            raise InputError(f"none of the {self.total} images can be read")
        if self.as_json:
            return
        console = output()
        table = Table("image", "do", "the model reads")
        if out is not None:
            table.add_column("written to", overflow="fold")
        for one in sorted(self.listed, key=lambda o: (o.index, o.column)):
            cells = [one.path.name, one.intervention.label, "\n".join(one.changes())]
            table.add_row(*cells, *([str(one.written)] if out is not None else []))
        console.print(table)
        if self.total > _LISTED:
            console.print(f"and {self.total - _LISTED:,} more images; --json tells of each")
        for sentence, n in self.resolved.items():
            console.print(f"{sentence} in {n:,} of {counted(self.pictures, 'picture')}")
        if self.wanted:
            share = f"{self.read / self.wanted:.0%} of {self.wanted:,}"
            console.print(f"changes that the model itself reads as asked: {share}")
        skipped = f"; {counted(self.skipped, 'image')} left out" if self.skipped else ""
        if out is not None:
            console.print(f"{counted(self.pictures, 'picture')} in {out}{skipped}", soft_wrap=True)


class _Figure:
    """The figure of ``--grid``, of the first images alone, whatever their number."""

    def __init__(self, job: _Job, rows: int) -> None:
        self.job = job
        self.rows = rows
        self.cells: dict[int, dict[int, _One]] = {}

    def add(self, one: _One) -> None:
        if one.index in self.cells or len(self.cells) < self.rows:
            self.cells.setdefault(one.index, {})[one.column] = one

    def save(self, path: Path, report: _Report) -> None:
        from cdvae_gan.figures import grid

        columns = range(len(self.job.interventions))
        rows = [[row[c] for c in columns] for row in self.cells.values()]
        shown = report.total - report.skipped
        partial = f" ({len(rows)} of {shown:,} images)" if len(rows) < shown else ""
        strength = "" if self.job.strength == 1 else f", strength {self.job.strength:g}"
        picture = grid(
            [[row[0].factual, *(one.picture for one in row)] for row in rows],
            columns=["factual", *(f"do({i.label})" for i in self.job.interventions)],
            rows_labels=[row[0].path.name for row in rows],
            notes=[[self._note(row[0]), *map(_cell_note, row)] for row in rows],
            title=f"Counterfactuals, with what the model reads{strength}{partial}",
        )
        write_picture(picture, path)
        if not report.as_json:
            say = f"figure: {path}"
            if partial:
                say += f", of the first {len(rows)} of {shown:,} images (--rows for more)"
            output().print(say, soft_wrap=True)

    def _note(self, one: _One) -> str:
        """What the model reads of the photo: what is edited, or if that is much, what is there."""
        names = list(dict.fromkeys(n for i in self.job.interventions for n in i.do))
        if len(names) > _NOTED:
            names = [n for n in names if one.before[n] > 0.5]
        return "\n".join(f"{n} {reading(one.before[n])}" for n in names)


def _cell_note(one: _One) -> str:
    """What the model reads of a counterfactual; short, as cells are narrow."""
    names = list(one.intervention.do)
    if len(names) == 1:
        return f"{reading(one.before[names[0]])} → {reading(one.after[names[0]])}"
    return "\n".join(f"{name} {reading(one.after[name])}" for name in names)
