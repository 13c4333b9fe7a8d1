"""Two or more editors on the same images: differences with intervals, and in words.

The images are resampled once for all, so what makes an image hard for everybody cancels out of the
differences. The first editor is what the others are compared with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cdvae_gan.data.dataset import AttributeDataset
from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.bootstrap import Estimate
from cdvae_gan.evaluation.conclusions import conclusions
from cdvae_gan.evaluation.edits import Editor
from cdvae_gan.evaluation.findings import Findings, write_results
from cdvae_gan.evaluation.judges import Judge
from cdvae_gan.evaluation.measure import Evaluation, Progress, Settings, evaluate
from cdvae_gan.evaluation.metrics import MEAN, Table, difference
from cdvae_gan.evaluation.metrics.agreement import ALL_CONVINCED
from cdvae_gan.evaluation.metrics.deception import ALL, KEPT, NET, PUT_ON, TAKE_OFF
from cdvae_gan.evaluation.metrics.labels import BALANCED
from cdvae_gan.evaluation.metrics.pixels import CHANGED, L1, SSIM
from cdvae_gan.evaluation.metrics.realism import COUNTERFACTUAL, FRECHET, KERNEL
from cdvae_gan.evaluation.metrics.truth import RELATIVE
from cdvae_gan.evaluation.pictures import PicturesPart
from cdvae_gan.evaluation.report import cell, provenance_rows
from cdvae_gan.model import CDVAEGAN
from cdvae_gan.report import Cell, Intervals, Page, Row, Section

__all__ = [
    "Comparison",
    "Figure",
    "compare",
    "comparison_page",
    "figures",
    "in_short",
    "save_comparison",
]

_DRAWN_ATTRIBUTES = 2
_NO_DIFFERENCE, _SAME = "no difference shown", "the same"
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Comparison:
    """What was measured of each, and the differences of all to the first."""

    evaluations: tuple[Findings, ...]
    differences: tuple[dict[str, Table], ...]
    """For each but the first: its tables less those of the first"""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the editors."""
        return tuple(e.name for e in self.evaluations)

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "baseline": self.names[0],
            "evaluations": {
                name: e.to_dict() for name, e in zip(self.names, self.evaluations, strict=True)
            },
            "differences": {
                name: {key: table.to_dict() for key, table in tables.items()}
                for name, tables in zip(self.names[1:], self.differences, strict=True)
            },
            "in_words": {
                name: {f.name: f.words for f in figures(self, i)}
                for i, name in enumerate(self.names[1:], 1)
            },
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Comparison:
        """Undoes `to_dict`."""
        differences = (
            {key: Table.from_dict(table) for key, table in tables.items()}
            for tables in values["differences"].values()
        )
        found = (Findings.from_dict(one) for one in values["evaluations"].values())
        return cls(tuple(found), tuple(differences))


class Figure(NamedTuple):
    """One figure of two editors."""

    name: str
    first: Estimate
    other: Estimate
    difference: Estimate
    words: str

    @property
    def kind(self) -> str:
        """Of a cell in a table."""
        return "muted" if self.words in (_NO_DIFFERENCE, _SAME) else ""


def compare(
    editors: Sequence[tuple[str, CDVAEGAN | Editor, float | None]],
    dataset: AttributeDataset,
    judges: Sequence[Judge],
    *,
    attributes: Sequence[str] | None = None,
    real: AttributeDataset | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Evaluate editors on the same images and attributes.

    Args:
        editors: At least two: what the report calls each, the editor, and κ of a model.
        dataset: Images of which all of them have all flips; see `FolderEditor.dataset_covered`.
        judges: See `evaluate`.
        attributes: What to flip; by default all that every one of them has.
        real: See `evaluate`.
        settings: See `evaluate`.
        progress: See `evaluate`.

    Raises:
        InputError: There are fewer than two, two have one name, or they have no attribute in
            common.
    """
    names = [name for name, _, _ in editors]
    if len(editors) < 2 or len(set(names)) < len(names):
        raise InputError("a comparison needs at least two editors, each with a name of its own")
    common = tuple(attributes or _common([e for _, e, _ in editors], dataset))
    told = progress or (lambda what, done, total: None)
    found = [
        evaluate(
            editor,
            dataset,
            judges,
            name=name,
            attributes=common,
            real=real,
            detail=detail,
            settings=settings,
            progress=_named(told, name),
        )
        for name, editor, detail in editors
    ]
    return Comparison(tuple(found), tuple(_differences(found[0], other) for other in found[1:]))


def figures(found: Comparison, other: int) -> list[Figure]:
    """The figures that sum up the comparison of the first with number ``other``, counted from 0."""
    first, second = found.evaluations[0], found.evaluations[other]
    gaps, names = found.differences[other - 1], (found.names[0], found.names[other])
    result = []
    for shown, table, row, column, better in _headline(first):
        if table not in gaps or row not in gaps[table].rows:
            continue
        gap = gaps[table][row, column]
        if math.isfinite(gap.value):
            one, two = (e.tables[table][row, column] for e in (first, second))
            result.append(Figure(shown, one, two, gap, _words(gap, better, names)))
    return result


def comparison_page(found: Comparison, command: str = "") -> Page:
    """The report of one comparison."""
    first, names = found.evaluations[0], found.names
    about, settings, data = first.about, first.settings, first.about["data"]
    page = Page(
        f"{', '.join(names[:-1])} and {names[-1]} compared",
        f"The same {data['images']:,} images from {data['name']}, the same judges, "
        f"{len(first.attributes)} attributes, seed {settings['seed']}. Differences are paired; "
        f" brackets are {settings['confidence']:.0%} intervals.",
        f"cdvae-gan {about['versions'].get('cdvae-gan', '')} · data {data['fingerprint']} · seed "
        f"{settings['seed']}",
    )
    for i, name in enumerate(names[1:], 1):
        in_short(page.section(f"{name} against {names[0]}"), found, i)
    page.section("What cannot be concluded").items(_doubts(found))
    for i, name in enumerate(names[1:], 1):
        _by_attribute(page.section(f"Attribute by attribute: {name}"), found, i)
    drawn = [one.pictures for one in found.evaluations if isinstance(one, Evaluation)]
    if drawn and drawn[0].rows:
        _pictures(page.section("Pictures"), found, drawn)
    _made(page.section("How this was made"), found, command)
    return page


def save_comparison(found: Comparison, folder: str | Path, command: str = "") -> Path:
    """Write ``results.json``, ``report.md`` with its figures, and ``report.html``.

    Returns:
        The path of the page.

    Raises:
        InputError: The folder cannot be written to.
    """
    html, _ = comparison_page(found, command).save(folder)
    results = {**found.to_dict(), "cannot_be_concluded": _doubts(found), "command": command}
    write_results(folder, results)
    return html


def _common(editors: Sequence[CDVAEGAN | Editor], dataset: AttributeDataset) -> list[str]:
    own = [set(getattr(editor, "attributes", dataset.attributes)) for editor in editors]
    found = [a for a in dataset.attributes if all(a in names for names in own)]
    if not found:
        raise InputError(f"the editors and {dataset.name} have no attribute in common")
    return found


def _differences(first: Evaluation, other: Evaluation) -> dict[str, Table]:
    settings = first.settings
    how: dict[str, Any] = {k: settings[k] for k in ("seed", "confidence")}
    found = {
        name: difference(other.summed[name], summed, resamples=settings["resamples"], **how)
        for name, summed in first.summed.items()
        if name in other.summed and not name.startswith("factual")
    }
    for name, realism in first.realism.items():
        if name in other.realism:
            resamples = max(10, settings["resamples"] // 10)
            gap = other.realism[name].difference(realism, resamples=resamples, **how)
            found[f"realism/{name}"] = gap
    return found


_COLUMNS = (
    ("put on", "deception", PUT_ON),
    ("taken off", "deception", TAKE_OFF),
    ("both", "deception", ALL),
    ("others kept", "preservation", KEPT),
    ("kept, net", "preservation", NET),
    ("pixels changed", "minimality", CHANGED),
    ("true error", "truth", RELATIVE),
)
"""Of the table of attributes: what is shown, table, column; where it was measured."""


def _headline(found: Findings) -> list[tuple[str, str, str, str, int]]:
    """What is shown, table, row, column, and 1 where more is better, −1 where less is, else 0."""
    return [
        ("deception", "deception", MEAN, ALL, 1),
        ("deception, put on", "deception", MEAN, PUT_ON, 1),
        ("deception, taken off", "deception", MEAN, TAKE_OFF, 1),
        ("all judges convinced", "agreement", MEAN, ALL_CONVINCED, 1),
        ("other attributes kept", "preservation", MEAN, KEPT, 1),
        ("… net of dependence", "preservation", MEAN, NET, 1),
        ("true error", "truth", MEAN, RELATIVE, -1),
        ("pixels changed", "minimality", MEAN, CHANGED, 0),
        ("size of the edit, L1", "minimality", MEAN, L1, 0),
        ("do(nothing), L1", "composition", "1", L1, -1),
        ("do(nothing) 10 times, L1", "composition", "10", L1, -1),
        ("flipped back, L1", "reversibility", MEAN, L1, -1),
        *(
            (f"identity kept, {n} features", f"identity/{n}", MEAN, KEPT, 1)
            for n in found.networks("identity")
        ),
        *(
            (f"{column} distance, {n} features", f"realism/{n}", COUNTERFACTUAL, column, -1)
            for n in found.networks("realism")
            for column in (FRECHET, KERNEL)
        ),
        ("reconstruction, L1", "reconstruction", "image", L1, -1),
        ("reconstruction, SSIM", "reconstruction", "image", SSIM, 1),
        ("q(a|x), balanced accuracy", "labels", MEAN, BALANCED, 1),
        ("linear probe of z", "probe/linear", MEAN, BALANCED, -1),
        ("boosted probe of z", "probe/boosted", MEAN, BALANCED, -1),
    ]


def _apart(gap: Estimate) -> bool:
    """Whether its interval is known, and without 0."""
    return gap.low > 0 or gap.high < 0


def _words(gap: Estimate, better: int, names: tuple[str, str]) -> str:
    first, other = names
    # Sums of the same numbers may differ in their last bit, by the order in which they are added.
    if max(abs(gap.low), abs(gap.high)) < _ROUNDING:
        return _SAME
    if not _apart(gap):
        return _NO_DIFFERENCE
    if not better:
        return f"{other} has more" if gap.value > 0 else f"{other} has less"
    return f"{other} is better" if gap.value * better > 0 else f"{first} is better"


def in_short(part: Section, found: Comparison, other: int) -> None:
    """The figures that sum up a comparison with number ``other``, as a table."""
    rows: list[Row] = [
        [f.name, cell(f.first), cell(f.other), cell(f.difference), Cell(f.words, "", f.kind)]
        for f in figures(found, other)
    ]
    part.table(
        ["", found.names[0], found.names[other], "difference", "in words"],
        rows,
        caption=f"Differences are {found.names[other]} less {found.names[0]}. “{_NO_DIFFERENCE}”: "
        "the interval holds 0; there may be one that these images are too few to show.",
    )


def _by_attribute(part: Section, found: Comparison, other: int) -> None:
    gaps, names = found.differences[other - 1], found.evaluations[0].attributes
    deception, kept = gaps["deception"], gaps["preservation"]
    columns = [(name, gaps[table], c) for name, table, c in _COLUMNS if table in gaps]
    part.table(
        ["attribute", *(n for n, _, _ in columns)],
        [[a, *(_gap_cell(t[a, c]) for _, t, c in columns)] for a in (*names, MEAN)],
        strong=[MEAN],
        muted=deception.untrusted,
        caption=f"{found.names[other]} less {found.names[0]}; grey or italic where no difference "
        "is shown.",
    )
    for title, table, column in (("Deception", deception, ALL), ("Others kept", kept, KEPT)):
        estimates = [(a, table[a, column]) for a in (*names, MEAN)]
        rows = [(a, e.value, e.low, e.high) for a, e in estimates if e.n]
        if rows:
            label = f"{found.names[other]} less {found.names[0]}"
            part.plot(Intervals(rows, label, reference=0.0), title=title)


def _gap_cell(e: Estimate) -> Cell:
    shown = cell(e)
    return shown if _apart(e) else shown._replace(kind="muted")


def _doubts(found: Comparison) -> list[str]:
    cells = sum(
        bool(row[column].n)
        for tables in found.differences
        for _, name, column in _COLUMNS
        if name in tables
        for _, row in tables[name]
    )
    confidence = found.evaluations[0].settings["confidence"]
    doubts = [
        f"**Any single attribute's difference by itself.** The attribute tables hold {cells} "
        f"differences; of as many where there is none, about {cells * (1 - confidence):.0f} would "
        "have an interval without 0 by chance. Look at the means first.",
        "**Which method is better in general.** One trained model of each was compared; training "
        "again with other seeds moves figures by more than these intervals tell.",
    ]
    everywhere = [name for e in found.evaluations for name in e.tables]
    some = {n for n in everywhere if everywhere.count(n) < len(found.evaluations)}
    single = sorted({name.split("/")[0] for name in some})
    if single:
        doubts.append(
            f"**{', '.join(single)}**: not every one of them could be measured so, so there is no "
            "difference to show."
        )
    said = set(doubts)
    for name, one in zip(found.names, found.evaluations, strict=True):
        new = [s for s in conclusions(one) if s not in said]
        said.update(new)
        doubts += [s if _for_all(found, s) else f"{s} ({name})" for s in new]
    return doubts


def _for_all(found: Comparison, sentence: str) -> bool:
    return all(sentence in conclusions(one) for one in found.evaluations)


def _pictures(part: Section, found: Comparison, drawn: Sequence[PicturesPart]) -> None:
    first, names = drawn[0], found.evaluations[0].attributes
    seed = found.evaluations[0].settings["seed"]
    generator = np.random.default_rng(seed)
    rows: list[list[npt.NDArray[np.uint8] | None]] = []
    labels, notes = [], []
    for row in first.rows:
        n = min(_DRAWN_ATTRIBUTES, len(names))
        for k in sorted(generator.choice(len(names), n, replace=False).tolist()):
            cells = [one.drawn.get((row, k)) for one in drawn]
            truth = [first.truths[row, k]] if first.truths else []
            rows.append([first.drawn_photos[row], *(c and c[0] for c in cells), *truth])
            notes.append(["", *(c[1] if c else "" for c in cells), *("" for _ in truth)])
            labels.append(f"{Path(first.data.files[row]).name}, {names[k]}")
    part.images(
        rows,
        columns=["photo", *found.names, *(["the truth"] if first.truths else [])],
        rows_labels=labels,
        notes=notes,
        caption=f"Photos and attributes drawn by seed {seed}, not picked: put on or off, and how "
        "many of the trusted judges see it.",
    )


def _made(part: Section, found: Comparison, command: str) -> None:
    if command:
        part.text(f"Made by `{command}`.")
    rows: list[list[str]] = []
    for one in found.evaluations:
        rows += [row for row in provenance_rows(one) if row not in rows]
    part.table(["", ""], rows, left=True)


def _named(told: Progress, name: str) -> Callable[[str, int, int], None]:
    return lambda what, done, total: told(f"{name}: {what}", done, total)
