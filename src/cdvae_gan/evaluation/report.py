"""An evaluation, or a comparison, as a page: tables with intervals, plots, pictures, and doubts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cdvae_gan.evaluation.bootstrap import Estimate
from cdvae_gan.evaluation.conclusions import conclusions
from cdvae_gan.evaluation.embeddings import SAME_PERSON
from cdvae_gan.evaluation.findings import Findings, write_results
from cdvae_gan.evaluation.judges import TRUSTED_ABOVE
from cdvae_gan.evaluation.measure import Evaluation
from cdvae_gan.evaluation.metrics import MEAN, Table
from cdvae_gan.evaluation.metrics.deception import ALL, KEPT, NET, PUT_ON, TAKE_OFF, UNCONDITIONAL
from cdvae_gan.evaluation.metrics.identity import COSINE, RANDOM, SAME
from cdvae_gan.evaluation.metrics.labels import (
    BALANCED,
    CALIBRATION_ERROR,
    OBSERVED,
    PREDICTED,
    SENSITIVITY,
    SPECIFICITY,
)
from cdvae_gan.evaluation.metrics.pixels import CHANGED, L1, PSNR, SSIM
from cdvae_gan.evaluation.metrics.realism import COUNTERFACTUAL, ENOUGH, FRECHET, KERNEL, TIMES
from cdvae_gan.evaluation.metrics.truth import RELATIVE
from cdvae_gan.evaluation.pictures import Failure
from cdvae_gan.report import Cell, Page, Plot, Row, Section, Series

__all__ = [
    "attribute_table",
    "by_attribute",
    "by_group",
    "by_judge",
    "cell",
    "evaluation_page",
    "inside_the_model",
    "judge_table",
    "provenance_rows",
    "realism",
    "save_report",
    "show",
    "strength_and_robustness",
    "what_moves",
    "what_stays",
]

_UNKNOWN = "–"
_MOVED = 0.1
_IDENTITY_NAMES = {COSINE: "cosine", RANDOM: "other people", KEPT: KEPT, SAME: SAME}
_REALISM_NAMES = {
    "object": "EfficientNet-Lite0 on ImageNet, 320 numbers",
    "face": "dlib's face-recognition network, 128 numbers",
}


def show(value: float, digits: int = 3) -> str:
    """A number as tables have it: ``.812``, ``12.4``, ``–`` for what is not known."""
    if not math.isfinite(value):
        return _UNKNOWN
    text = f"{value:.{digits}f}" if abs(value) < 10 else f"{value:.{max(0, digits - 2)}f}"
    if float(text) == 0:
        return "0" if value == 0 else text.lstrip("-").removeprefix("0")
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def cell(e: Estimate, *, n: bool = False, digits: int = 3) -> Cell:
    """An estimate with its interval below, and with how many images stand behind it."""
    if not e.n or not math.isfinite(e.value):
        return Cell(_UNKNOWN, "", "muted")
    interval = f"[{show(e.low, digits)}, {show(e.high, digits)}]"
    return Cell(show(e.value, digits), f"{interval} n {e.n:,}" if n else interval)


def evaluation_page(found: Evaluation, command: str = "") -> Page:
    """The report of one evaluation.

    Args:
        found: What was measured.
        command: What was typed, for the last section.
    """
    about, settings = found.about, found.settings
    data, jury = about["data"], found.jury
    people = f" of {data['people']:,} people" if data["people"] else ""
    page = Page(
        f"Evaluation of {found.name}",
        f"{data['images']:,} images{people} from {data['name']}, {len(found.attributes)} "
        f"attributes, {len(jury)} independent {'judge' if len(jury) == 1 else 'judges'}, "
        f"seed {settings['seed']}. Brackets are {settings['confidence']:.0%} intervals.",
        f"cdvae-gan {about['versions'].get('cdvae-gan', '')} · model "
        f"{about['model']['digest'] or found.name} · data {data['fingerprint']} · seed "
        f"{settings['seed']}",
    )
    _glance(page.section("At a glance"), found)
    page.section("What cannot be concluded").items(conclusions(found))
    by_attribute(page.section("Attribute by attribute"), found)
    by_judge(page.section("Judge by judge"), found)
    what_moves(page.section("What else moves"), found)
    if {"strength", "robustness"} & set(found.tables):
        strength_and_robustness(page.section("Strength and robustness"), found)
    what_stays(page.section("What stays"), found)
    if found.networks("realism"):
        realism(page.section("Realism"), found)
    if {"labels", "probe/linear", "reconstruction"} & set(found.tables):
        inside_the_model(page.section("Inside the model"), found)
    if found.groups:
        by_group(page.section("By group"), found)
    if found.pictures.rows:
        _pictures(page.section("Pictures"), found)
    _provenance(page.section("How this was made"), found, command)
    return page


def save_report(found: Evaluation, folder: str | Path, command: str = "") -> Path:
    """Write ``results.json``, ``report.md`` with its figures, and ``report.html``.

    Returns:
        The path of the page.

    Raises:
        InputError: The folder cannot be written to.
    """
    html, _ = evaluation_page(found, command).save(folder)
    results = {**found.to_dict(), "cannot_be_concluded": conclusions(found), "command": command}
    write_results(folder, results)
    return html


def _glance(part: Section, found: Findings) -> None:
    tables = found.tables
    wanted = [
        ("deception", "deception", MEAN, ALL),
        ("put on", "deception", MEAN, PUT_ON),
        ("taken off", "deception", MEAN, TAKE_OFF),
        ("others kept", "preservation", MEAN, KEPT),
        ("… net of dependence", "preservation", MEAN, NET),
        ("true error (0 is best)", "truth", MEAN, RELATIVE),
        ("identity kept", "identity/face", MEAN, KEPT),
        ("same person", "identity/face", MEAN, SAME),
        ("changed pixels", "minimality", MEAN, CHANGED),
        ("do(nothing), L1", "composition", "1", L1),
        ("Fréchet × floor, object", "realism/object", TIMES, FRECHET),
        ("Fréchet × floor, face", "realism/face", TIMES, FRECHET),
    ]
    facts = []
    for name, table, row, column in wanted:
        if table in tables and row in tables[table].rows:
            shown = cell(tables[table][row, column], n=True)
            facts.append((name, shown.text, shown.detail))
    part.facts(facts)
    part.text(
        "**Deception** is the share of flips that an independent judge reads as flipped, among "
        "photos that it reads right: the mean over the judges that can be trusted with an "
        "attribute, then over attributes. **Others kept** is the share of the other attributes "
        "that the judges read as before; **net of dependence** forgives what the photos "
        "themselves say must move along (women have no beards), and no more."
    )
    for features in found.networks("realism"):
        n = tables[f"realism/{features}"][COUNTERFACTUAL, FRECHET].n
        if n < ENOUGH:
            part.warning(
                f"Realism in {features} features is measured on {n:,} counterfactuals: below "
                f"{ENOUGH:,} it says little."
            )


def by_attribute(part: Section, found: Findings) -> None:
    """The table of all attributes, and the plots that go with it."""
    attribute_table(part, found)
    tables = found.tables
    deception, kept = tables["deception"], tables["preservation"]
    shown = [a for a in found.attributes if deception[a, ALL].n]
    points = [(kept[a, KEPT], deception[a, ALL]) for a in shown]
    part.plot(
        Plot(
            [
                Series(
                    "attributes",
                    [x.value for x, _ in points],
                    [y.value for _, y in points],
                    [y.low for _, y in points],
                    [y.high for _, y in points],
                    [x.low for x, _ in points],
                    [x.high for x, _ in points],
                    labels=shown,
                    line=False,
                )
            ],
            "other attributes kept",
            "deception",
        ),
        title="Deception against preservation",
        caption="Up is more convincing, right is more careful. Bars are intervals.",
    )
    if "strength" in tables:
        _strength_plot(part, found)
    if "reliability" in tables:
        _reliability_plot(part, found)


def attribute_table(part: Section, found: Findings) -> None:
    """A row an attribute: deception, preservation, and what else was measured of its flips."""
    tables, names = found.tables, (*found.attributes, MEAN)
    deception, minimality = tables["deception"], tables["minimality"]
    kept = tables["preservation"]  # of an older report it has one column
    net = [("kept, net", kept, NET, False)] if NET in kept.columns else []
    columns: list[tuple[str, Table, str, bool]] = [
        ("put on", deception, PUT_ON, True),
        ("taken off", deception, TAKE_OFF, True),
        ("both", deception, ALL, True),
        ("all photos", deception, UNCONDITIONAL, False),
        ("others kept", tables["preservation"], KEPT, False),
        *net,
        ("L1", minimality, L1, False),
        ("pixels changed", minimality, CHANGED, False),
    ]
    if "truth" in tables:
        columns.append(("true error", tables["truth"], RELATIVE, False))
    columns += [
        (f"identity ({network})", tables[f"identity/{network}"], KEPT, False)
        for network in found.networks("identity")
    ]
    if "reversibility" in tables:
        columns.append(("back again, L1", tables["reversibility"], L1, False))
    rows: list[Row] = [[name, *(cell(t[name, c], n=n) for _, t, c, n in columns)] for name in names]
    part.table(
        ["attribute", *(name for name, *_ in columns)],
        rows,
        strong=[MEAN],
        muted=deception.untrusted,
        caption="Deception (put on, taken off, both: among photos read right; all photos: among "
        "all), the mean over the trusted judges; n is the least of theirs. Kept, net: of what "
        "depends on the attribute on the photos themselves. L1 is mean |x − x′| in "
        "[0, 2]; a pixel is changed where a channel moves by more than 10 of 255. Grey or italic: "
        f"no judge reads the attribute better than {TRUSTED_ABOVE:g}, and it is in no mean.",
    )


def by_judge(part: Section, found: Findings) -> None:
    """What each judge says, how far it can be trusted, and whether they agree."""
    judge_table(part, found)
    tables, judges = found.tables, found.judges
    columns = [judge["name"] for judge in judges]
    for title, table, column, caption in (
        ("Deception", "deception", ALL, "Both directions, among photos that the judge reads right"),
        ("Factual accuracy", "factual", BALANCED, "Balanced accuracy on the photos themselves"),
    ):
        part.heading(title)
        part.table(
            ["attribute", *columns],
            [
                [name, *(_trusted_cell(tables[f"{table}/{c}"], name, column) for c in columns)]
                for name in found.attributes
            ],
            caption=f"{caption}. Grey or italic: the judge is not trusted with this attribute.",
        )
    if "agreement" in tables:
        agreement = tables["agreement"]
        part.heading("Do the judges agree?")
        part.table(
            ["attribute", *agreement.columns],
            [[name, *(cell(e) for e in row.values())] for name, row in agreement],
            strong=[MEAN],
            muted=agreement.untrusted,
            caption="Photos, counterfactuals: share of pairs of judges with one answer about the "
            "attribute. All, none convinced: of the flips of photos that every judge reads right.",
        )


def judge_table(part: Section, found: Findings) -> None:
    """A row a judge: how well it reads the photos, and what it says of the flips."""
    tables, judges = found.tables, found.judges
    rows: list[Row] = []
    for judge in judges:
        name, trusted = judge["name"], len(judge["trusted"])
        deception = tables[f"deception/{name}"]
        rows.append(
            [
                Cell(name, judge["family"] + (" · stands apart" if judge["apart"] else "")),
                cell(tables[f"factual/{name}"][MEAN, BALANCED]),
                f"{trusted} of {trusted + len(judge['not_trusted'])}",
                *(cell(deception[MEAN, c]) for c in (PUT_ON, TAKE_OFF, ALL)),
                cell(tables[f"preservation/{name}"][MEAN, KEPT]),
            ]
        )
    part.table(
        ["judge", "reads photos", "trusted", "put on", "taken off", "both", "others kept"],
        rows,
        muted=[judge["name"] for judge in judges if judge["apart"]],
        caption="Means over the attributes that each judge can be trusted with. Reads photos: its "
        "balanced accuracy on these very photos, ½ is a coin.",
    )


def what_moves(part: Section, found: Findings) -> None:
    """Which other attributes are read otherwise after an edit."""
    table = found.tables["confusion"]
    moved = sorted(
        (
            (row[read].value, name, read)
            for name, row in table
            for read in table.columns
            if read != name and math.isfinite(row[read].value)
        ),
        reverse=True,
    )
    worst = [f"do({a}) moves {b} in {show(v, 2)}" for v, a, b in moved[:5] if v > _MOVED]
    if worst:
        part.text(f"Most of all: {'; '.join(worst)}.")
    part.table(
        ["set ↓ read →", *table.columns],
        [
            [name, *(_heat(row[read], read == name) for read in table.columns)]
            for name, row in table
        ],
        caption="How often the reading of an attribute changes when another is set, over the "
        f"trusted judges; on the diagonal, how often the edit itself is seen. Red: above "
        f"{show(_MOVED, 1)}.",
    )


def strength_and_robustness(part: Section, found: Findings) -> None:
    """Deception of edits that go part of the way, and of pictures that were handled."""
    for name, title, caption in (
        ("strength", "By strength of the edit", "Deception when the edit goes part of the way"),
        (
            "robustness",
            "After handling",
            "Deception after a Gaussian blur of one pixel, JPEG of quality 75, and a shift by one "
            "pixel, among photos that are read right when handled alike",
        ),
    ):
        if name not in found.tables:
            continue
        table = found.tables[name]
        part.heading(title)
        part.table(
            ["attribute", *table.columns],
            [[row, *(cell(e) for e in cells.values())] for row, cells in table],
            strong=[MEAN],
            muted=table.untrusted,
            caption=f"{caption}; the mean over the trusted judges.",
        )


def what_stays(part: Section, found: Findings) -> None:
    """do(nothing), flips flipped back, and identity."""
    tables = found.tables
    if "composition" in tables:
        table = tables["composition"]
        rounds = ", ".join(f"{show(row[L1].value)} after {name}" for name, row in table)
        part.text(
            f"**do(nothing)** moves a picture by a mean |x − x′| of {rounds} rounds, in [0, 2]; "
            "0 is a copy."
        )
    if "reversibility" in tables:
        e = tables["reversibility"][MEAN, L1]
        part.text(
            f"**A flip flipped back** leaves a mean |x − x″| of {show(e.value)} "
            f"[{show(e.low)}, {show(e.high)}]."
        )
    for features in found.networks("identity"):
        table = tables[f"identity/{features}"]
        part.heading(f"Identity in {features} features")
        part.table(
            ["attribute", *(_IDENTITY_NAMES[c] for c in table.columns)],
            [[row, *(cell(e) for e in cells.values())] for row, cells in table],
            strong=[MEAN],
            caption=f"{_REALISM_NAMES[features]}. Cosine of photo and counterfactual, of photos of "
            "different people, and what is kept between the two: 1 is the same picture, 0 somebody "
            "else."
            + (
                f" Same person: at a distance below {SAME_PERSON:g}, where its author draws the "
                "line."
                if SAME in table.columns
                else ""
            ),
        )
    if not ({"composition", "reversibility"} & set(tables) or found.networks("identity")):
        part.text("Nothing of this was measured: see what cannot be concluded.")


def realism(part: Section, found: Findings) -> None:
    """How far the counterfactuals are from photos, as sets."""
    rows: list[Row] = []
    for name in found.networks("realism"):
        table = found.tables[f"realism/{name}"]
        for row, cells in table:
            rows.append([f"{name}: {row}", *(cell(e, n=True) for e in cells.values())])
    part.table(
        ["features", FRECHET, KERNEL],
        rows,
        caption="Distances of counterfactuals to other real images, one of each photo, its "
        "attribute drawn by seed; lower is better. The floor is the distance between two halves of "
        "the real images, one cut down to as many as the counterfactuals count for (photos of one "
        "person are alike, and count for fewer than they are), and smaller the more there are; the "
        "excess is what is above it. For each counterfactual there are two real images that have "
        "the changed attribute as asked, as far as there are so many, and the nearest labels "
        "otherwise. "
        + " ".join(f"{n.capitalize()}: {_REALISM_NAMES[n]}." for n in found.networks("realism")),
    )


def inside_the_model(part: Section, found: Findings) -> None:
    """q(a|x), what z knows, and the reconstruction."""
    tables = found.tables
    if "labels" in tables:
        table = tables["labels"]
        columns = (BALANCED, SENSITIVITY, SPECIFICITY, CALIBRATION_ERROR)
        part.heading("What q(a|x) reads off photos")
        part.table(
            ["attribute", *columns],
            [[row, *(cell(cells[c]) for c in columns)] for row, cells in table],
            strong=[MEAN],
            caption="Balanced accuracy: ½ is a coin. Calibration error: 0 is best.",
        )
    if "probe/linear" in tables:
        linear, boosted = (tables[f"probe/{kind}"] for kind in ("linear", "boosted"))
        part.heading("What z knows of the attributes")
        part.table(
            ["attribute", "linear probe", "boosted probe"],
            [
                [name, cell(linear[name, BALANCED]), cell(boosted[name, BALANCED])]
                for name in linear.rows
            ],
            strong=[MEAN],
            caption="Balanced accuracy of classifiers that predict each attribute from z, asked "
            "about people that they have not seen: ½ is best, z then says nothing of it.",
        )
    if "reconstruction" in tables:
        row = dict(tables["reconstruction"])["image"]
        parts = (
            f"{name} {show(row[c].value)} [{show(row[c].low)}, {show(row[c].high)}]{unit}"
            for name, c, unit in (("L1", L1, ""), ("PSNR", PSNR, " dB"), ("SSIM", SSIM, ""))
        )
        part.text(f"**Reconstruction** from the latents alone: {', '.join(parts)}.")


def by_group(part: Section, found: Findings) -> None:
    """The figures of each group of people: what all deception hides, if one is served worse."""
    tables, identity = found.tables, found.networks("identity")
    rows = []
    for group in found.groups:
        name = f"group/{group}"
        if f"{name}/deception" not in tables:
            continue
        deception = tables[f"{name}/deception"]
        kept = [tables.get(f"{name}/identity/{network}") for network in identity]
        rows.append(
            [
                Cell(group, f"{found.about['groups'][group]:,} images"),
                cell(tables[f"{name}/factual"][MEAN, BALANCED]),
                *(cell(deception[MEAN, c]) for c in (PUT_ON, TAKE_OFF, ALL)),
                *(cell(t[MEAN, KEPT]) if t else Cell(_UNKNOWN) for t in kept),
            ]
        )
    part.table(
        ["group", "judges read photos", "put on", "taken off", "both"]
        + [f"identity ({network})" for network in identity],
        rows,
        caption="Means over trusted judges and attributes. Where the judges read the photos of a "
        "group worse, its deception is less sure.",
    )
    shown = [g for g in found.groups if f"group/{g}/deception" in tables]
    part.table(
        ["attribute", *shown],
        [
            [name, *(cell(tables[f"group/{g}/deception"][name, ALL], n=True) for g in shown)]
            for name in (*found.attributes, MEAN)
        ],
        strong=[MEAN],
        muted=found.tables["deception"].untrusted,
        caption="Deception in both directions, attribute by attribute.",
    )


def _pictures(part: Section, found: Evaluation) -> None:
    kept, names, data = found.pictures, found.attributes, found.pictures.data
    rows: list[list[npt.NDArray[np.uint8] | None]] = []
    labels, notes = [], []
    for row in kept.rows:
        cells = [kept.drawn.get((row, k)) for k in range(len(names))]
        rows.append([kept.drawn_photos[row], *(c[0] if c else None for c in cells)])
        notes.append(["", *(c[1] if c else "" for c in cells)])
        labels.append(Path(data.files[row]).name)
        if kept.truths:
            rows.append([None, *(kept.truths[row, k] for k in range(len(names)))])
            notes.append([""] * (len(names) + 1))
            labels.append("the truth")
    part.heading("Drawn by seed")
    part.images(
        rows,
        columns=["photo", *names],
        rows_labels=labels,
        notes=notes,
        caption=f"{len(kept.rows)} photos drawn by seed {found.settings['seed']}, not picked, with "
        "every attribute flipped: put on or off, and how many of the trusted judges see it.",
    )
    worst = [sorted(f, reverse=True) for f in kept.unbelieved]
    if any(worst):
        part.heading("The worst: flips that convince nobody")
        most = max(len(f) for f in worst)
        part.images(
            [_pairs(f, most) for f in worst if f],
            columns=["photo", "flipped"] * most,
            rows_labels=[n for n, f in zip(names, worst, strict=True) if f],
            notes=[_pair_notes(f, most) for f in worst if f],
            caption="Of each attribute the flips that the judges deny most firmly, in log odds, "
            "among photos that a trusted judge reads right.",
        )
    moved = sorted(kept.moved, reverse=True)
    if moved:
        part.heading("The worst: flips that move other attributes")
        part.images(
            [[f.photo for f in moved], [f.counterfactual for f in moved]],
            columns=[f"{f.attribute}={f.target}" for f in moved],
            rows_labels=["photo", "flipped"],
            notes=[[""] * len(moved), [", ".join(f.moved) or "single judges" for f in moved]],
            caption="Of all flips those after which the judges read the most other attributes "
            "otherwise; below each, the attributes that most trusted judges read otherwise.",
        )


def _provenance(part: Section, found: Findings, command: str) -> None:
    if command:
        part.text(f"Made by `{command}`.")
    part.table(["", ""], provenance_rows(found), left=True)


def provenance_rows(found: Findings) -> list[list[str]]:
    """What the figures rest on, for a table of two columns."""
    about, settings = found.about, found.settings
    model, data, real = about["model"], about["data"], about["real"]
    said = [model["name"], model["kind"], f"digest {model['digest'] or 'unknown'}"]
    said += [f"κ = {model['detail']:g}"] if "detail" in model else []
    rows = [
        ["model", ", ".join(said)],
        ["data", _data_text(data)],
        ["real images for realism", f"drawn by seed from {_data_text(real)}" if real else "none"],
    ]
    for judge in about["judges"]:
        doubted = ", ".join(judge["not_trusted"])
        said = [f"{judge['family']}, digest {judge['digest'] or 'unknown'}"]
        said += [f"trained on {judge['trained_on']}"] if judge["trained_on"] else []
        said += [f"not trusted: {doubted}"] if doubted else []
        rows.append([f"judge {judge['name']}", "; ".join(said)])
    drawn = "people" if data["people"] else "images"
    return [
        *rows,
        [
            "intervals",
            f"{settings['confidence']:.0%}, percentiles of {settings['resamples']:,} bootstrap "
            f"resamples of {drawn}",
        ],
        ["seed", str(settings["seed"])],
        ["versions", ", ".join(f"{n} {v}" for n, v in about["versions"].items())],
    ]


def _strength_plot(part: Section, found: Findings) -> None:
    table = found.tables["strength"]
    at = [float(c) for c in table.columns]
    muted = [
        Series(name, at, [table[name, c].value for c in table.columns], muted=True)
        for name in found.attributes
        if name not in table.untrusted
    ]
    lines = [("all judges", table)] + [
        (judge["name"], found.tables[f"strength/{judge['name']}"]) for judge in found.judges
    ]
    series = []
    for name, one in lines if len(lines) > 2 else lines[:1]:
        row = [one[MEAN, c] for c in one.columns]
        ends = ([e.low for e in row], [e.high for e in row]) if name == "all judges" else ((), ())
        series.append(Series(name, at, [e.value for e in row], *ends))
    part.plot(
        Plot([*muted, *series], "strength of the edit", "deception", (0, 1), (0, 1)),
        title="Strength curve",
        caption="Means over trusted attributes; the band is the interval. Grey: each attribute.",
    )


def _reliability_plot(part: Section, found: Findings) -> None:
    table = found.tables["reliability"]
    rows = [row for _, row in table if row[PREDICTED].n]
    observed = [row[OBSERVED] for row in rows]
    part.plot(
        Plot(
            [
                Series(
                    "q(a|x)",
                    [row[PREDICTED].value for row in rows],
                    [e.value for e in observed],
                    [e.low for e in observed],
                    [e.high for e in observed],
                )
            ],
            "probability that q(a|x) gives",
            "share of labels that are 1",
            (0, 1),
            (0, 1),
            diagonal=True,
        ),
        title="Reliability of q(a|x)",
        caption="All attributes together, in 15 bins. On the dashed line, probabilities mean what "
        "they say.",
    )


def _trusted_cell(table: Table, row: str, column: str) -> Cell:
    shown = cell(table[row, column])
    return shown._replace(kind="muted") if row in table.untrusted else shown


def _heat(e: Estimate, itself: bool) -> Cell:
    if not math.isfinite(e.value):
        return Cell(_UNKNOWN, "", "muted")
    return Cell(show(e.value, 2), "", "muted" if itself else "bad" if e.value > _MOVED else "")


def _pairs(failures: Sequence[Failure], most: int) -> list[npt.NDArray[np.uint8] | None]:
    found: list[npt.NDArray[np.uint8] | None] = []
    for f in failures:
        found += [f.photo, f.counterfactual]
    return found + [None] * (2 * (most - len(failures)))


def _pair_notes(failures: Iterable[Failure], most: int) -> list[str]:
    found: list[str] = []
    for f in failures:
        found += [Path(f.file).name, f"{'on' if f.target else 'off'}, {f.convinced}"]
    return found + [""] * (2 * most - len(found))


def _data_text(data: dict[str, object]) -> str:
    people = f" of {data['people']} people" if data["people"] else ""
    splits = ", ".join(str(s) for s in data["splits"])  # type: ignore[attr-defined]
    return (
        f"{data['images']} images{people} of {data['size']} pixels from {data['name']} ({splits}), "
        f"fingerprint {data['fingerprint']}"
    )
