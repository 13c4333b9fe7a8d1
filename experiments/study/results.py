"""Results on disk, and the table.

OUT/study.json                          what all runs have in common
OUT/results.jsonl                       one line for each run that is over
OUT/DATA/VARIANT/seed-N/sums.npz        its figures image by image
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.bootstrap import RESAMPLES, Estimate, resampled
from study.data import Study
from study.measure import Sums, ratios
from study.task import write_atomically

__all__ = ["Line", "Run", "Store", "over_seeds", "read_lines", "run_of", "table"]

Line = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One variant on one training set with one seed."""

    variant: str
    data: str
    seed: int

    def __str__(self) -> str:
        return f"{self.variant}, {self.data}, seed {self.seed}"


class Store:
    """A results folder.

    Args:
        out: The folder, made where missing.
        study: What its runs have in common.

    Raises:
        InputError: It holds results of another study.
    """

    def __init__(self, out: Path, study: Study) -> None:
        self.out = out
        described, path = study.described(), out / "study.json"
        if path.is_file():
            begun = json.loads(path.read_text())
            for key, value in described.items():
                if begun.get(key) != value:
                    raise InputError(
                        f"the results in {str(out)!r} are of {key} {begun.get(key)!r}, not "
                        f"{value!r}: choose another --out"
                    )
            return
        try:
            out.mkdir(parents=True, exist_ok=True)
            write_atomically(path, (json.dumps(described, indent=2) + "\n").encode())
        except OSError as error:
            raise InputError(f"cannot write to {str(out)!r}: {error.strerror}") from None

    def folder(self, run: Run) -> Path:
        """Where a run keeps what it needs to go on."""
        return _folder(self.out, run)

    def lock(self, run: Run) -> FileLock:
        """Held by the process that is at a run."""
        return FileLock(self.out / f".{run.data}-{run.variant}-{run.seed}.lock", timeout=0)

    def lines(self) -> list[Line]:
        """One for each run that is over."""
        return read_lines(self.out)

    def line(self, run: Run) -> Line | None:
        """That of one run."""
        return next((line for line in self.lines() if run_of(line) == run), None)

    def add(self, line: Line) -> None:
        """Add the line of a run; other processes may do the same."""
        self._replace(run_of(line), [line])

    def drop(self, run: Run) -> None:
        """Take the line of a run away."""
        self._replace(run, [])

    def _replace(self, run: Run, lines: list[Line]) -> None:
        with FileLock(self.out / ".results.lock"):
            others = [old for old in self.lines() if run_of(old) != run]
            text = "".join(json.dumps(each) + "\n" for each in [*others, *lines])
            write_atomically(self.out / "results.jsonl", text.encode())

    def save_sums(self, run: Run, sums: dict[str, Sums]) -> None:
        """Keep the figures of a run image by image."""
        stream = io.BytesIO()
        np.savez_compressed(stream, **sums)  # type: ignore[arg-type]
        write_atomically(self.folder(run) / "sums.npz", stream.getvalue())


def read_lines(out: Path) -> list[Line]:
    """The lines of a results folder."""
    path = out / "results.jsonl"
    if not path.is_file():
        return []
    return [json.loads(text) for text in path.read_text().splitlines()]


def _folder(out: Path, run: Run) -> Path:
    return out / run.data / run.variant / f"seed-{run.seed}"


def run_of(line: Line) -> Run:
    """Whose line it is."""
    return Run(line["variant"], line["data"], line["seed"])


# -- over images and seeds -------------------------------------------------------------------------


def over_seeds(
    seeds: Sequence[Sums],
    minus: Sequence[Sums] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """The mean of a figure over seeds, with an interval over images and seeds.

    Seeds and images are drawn apart, the same images for all seeds (Owen 2007, the pigeonhole
    bootstrap). Of few seeds it draws intervals that are somewhat too narrow; of one seed they are
    over images alone.

    Args:
        seeds: For each seed ``(G, R, 2)``, the same images in the same order.
        minus: The same of another method: the figure is then the difference to it, pair by pair.
        resamples: How many.
        seed: Of the resampling.
    """
    stack = np.stack([np.stack(s, axis=1) for s in ((seeds,) if minus is None else (seeds, minus))])
    stack = np.moveaxis(stack, 0, 1)  # (G, 1 or 2, S, R, 2)
    generator = np.random.default_rng(seed)

    def each_seed(totals: Sums) -> Sums:
        values = ratios(totals)
        return values[:, 0] if minus is None else values[:, 0] - values[:, 1]

    def statistic(totals: Sums) -> Sums:
        values = each_seed(totals)
        drawn = generator.integers(0, values.shape[1], values.shape)
        result: Sums = np.take_along_axis(values, drawn, axis=1).mean(1)
        return result

    value = float(each_seed(stack.sum(0, keepdims=True)).mean())
    low, high = np.quantile(
        resampled(stack, statistic, resamples=resamples, seed=seed), [0.025, 0.975]
    )
    return Estimate(value, float(low), float(high), len(stack))


# -- the table -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cell:
    """What stands behind one variant on one training set."""

    lines: list[Line]
    sums: list[dict[str, Sums]]
    """Of the lines that are `done`"""

    @property
    def done(self) -> list[Line]:
        """The lines of trainings that did not collapse."""
        return [line for line in self.lines if "failed" not in line]

    def of(self, figure: str, row: int | None = None) -> list[Sums] | None:
        if not self.sums or any(figure not in s for s in self.sums):
            return None
        return [s[figure] if row is None else s[figure][:, row : row + 1] for s in self.sums]


def table(out: Path, variants: Iterable[str], reference: str) -> str:
    """Markdown of whatever is finished.

    Args:
        out: The results folder.
        variants: Their names, in the order of the rows.
        reference: The variant that the others are compared with.

    Raises:
        InputError: Nothing is finished there.
    """
    lines = read_lines(out)
    if not lines:
        raise InputError(f"{str(out)!r} holds no results yet: no run is over")
    names = [v for v in variants if any(line["variant"] == v for line in lines)]
    study = json.loads((out / "study.json").read_text())
    parts = [_heading(study, lines)]
    for data in dict.fromkeys(line["data"] for line in lines):
        cells = {v: _cell(out, lines, v, data) for v in names}
        cells = {v: cell for v, cell in cells.items() if cell.lines}
        done = {v: cell for v, cell in cells.items() if cell.sums}
        parts.append(f"### Trained on {data}, {study['steps']:,} steps")
        if any("judged" in line for cell in done.values() for line in cell.lines):
            parts.append(_judged(done))
        elif done:
            parts += [_errors(done, reference), _verdicts(done, reference)]
            parts += [_by_attribute(done), _dragged(done)]
        if done:
            parts.append(_latents(done))
        parts.append(_failures(cells))
    return "\n\n".join(filter(None, parts)) + "\n"


def _heading(study: dict[str, Any], lines: list[Line]) -> str:
    commits = sorted({line["commit"] for line in lines})
    mixed = " **Runs of different commits stand side by side.**" if len(commits) > 1 else ""
    return (
        f"{len(lines)} runs of {study['steps']:,} steps at {study['size']}×{study['size']}, "
        f"{study['precision']}, commit {', '.join(commits)}. Figures are means over seeds; "
        "brackets hold 95 % intervals, bootstrap over images and seeds, over images alone where "
        "there is one seed. With three seeds or fewer they are somewhat too narrow." + mixed
    )


def _cell(out: Path, lines: list[Line], variant: str, data: str) -> _Cell:
    mine = [line for line in lines if (line["variant"], line["data"]) == (variant, data)]
    mine.sort(key=lambda line: line["seed"])
    cell = _Cell(mine, [])
    for line in cell.done:
        with np.load(_folder(out, run_of(line)) / "sums.npz") as stored:
            cell.sums.append({name: stored[name] for name in stored.files})
    return cell


def _errors(cells: dict[str, _Cell], reference: str) -> str:
    rows = []
    for name, cell in cells.items():
        rows.append(
            [
                name,
                str(len(cell.sums)),
                f"{cell.done[0]['detail']:g}",
                _figure(cell, "error"),
                _against(cell, cells.get(reference), name == reference),
                _figure(cell, "error_detail_0"),
                _figure(cell, "error_detail_1"),
                _figure(cell, "composition", 1),
            ]
        )
    return _markdown(
        [
            "variant",
            "seeds",
            "κ",
            "counterfactual error",
            f"difference from {reference}",
            "error, κ = 0",
            "error, κ = 1",
            "do(nothing), grey levels",
        ],
        rows,
    )


def _verdicts(cells: dict[str, _Cell], reference: str) -> str:
    """A sentence for each part that was taken away."""
    said = []
    for name, cell in cells.items():
        part = name.removeprefix("no-")
        if part == name:
            continue
        found = _difference(cell, cells.get(reference))
        if found is None:
            continue
        if found.low <= 0 <= found.high:
            what = ": no difference shown in the error"
        else:
            moves = "lowers" if found.value > 0 else "raises"
            what = f" {moves} the error by {abs(found.value):.3f}"
        said.append(f"- **{part}**{what} (difference {_signed(found)}).")
    return "\n".join(said)


def _signed(found: Estimate) -> str:
    return f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def _against(cell: _Cell, reference: _Cell | None, itself: bool) -> str:
    found = None if itself else _difference(cell, reference)
    return "–" if found is None else _signed(found)


def _difference(cell: _Cell, reference: _Cell | None) -> Estimate | None:
    """The paired difference in error over the seeds that both have."""
    if reference is None:
        return None
    mine, theirs = (
        {line["seed"]: sums for line, sums in zip(c.done, c.sums, strict=True)}
        for c in (cell, reference)
    )
    both = sorted(set(mine) & set(theirs))
    if not both:
        return None
    return over_seeds([mine[s]["error"] for s in both], [theirs[s]["error"] for s in both])


def _by_attribute(cells: dict[str, _Cell]) -> str:
    names = next(iter(cells.values())).done[0]["attributes"]
    rows = [
        [name, *(_figure(cell, "error", row=k) for k in range(len(names)))]
        for name, cell in cells.items()
    ]
    return "Counterfactual error of each attribute:\n\n" + _markdown(["variant", *names], rows)


def _dragged(cells: dict[str, _Cell]) -> str:
    shown = {v: c for v, c in cells.items() if c.of("drag") is not None}
    if not shown:
        return ""
    cause, effect = next(iter(shown.values())).done[0]["drag_of"]
    rows = [[v, _figure(c, "drag"), _figure(c, "region")] for v, c in shown.items()]
    return f"Does do({cause}) move the {effect}?\n\n" + _markdown(
        ["variant", f"{effect} moved along (0 … 1)", f"error where the {effect} would be"], rows
    )


def _judged(cells: dict[str, _Cell]) -> str:
    rows = []
    for name, cell in cells.items():
        for line in cell.done:
            said = line["judged"]
            deception = said["deception"]["mean"]
            rows.append(
                [
                    name,
                    str(line["seed"]),
                    *(_read(deception[c]) for c in ("all", "put on", "take off")),
                    _read(said["preservation"]["mean"]["kept"]),
                ]
            )
    head = ["variant", "seed", "deception", "put on", "taken off", "others kept"]
    return "Intervals here are over identities, run by run.\n\n" + _markdown(head, rows)


def _latents(cells: dict[str, _Cell]) -> str:
    rows = [
        [
            name,
            _figure(cell, "reconstruction", 4),
            _figure(cell, "read"),
            _figure(cell, "probe_linear"),
            _figure(cell, "probe_boosted"),
            f"{cell.done[0]['parameters']:,}",
            _pace(cell.lines),
        ]
        for name, cell in cells.items()
    ]
    head = [
        "variant",
        "reconstruction L1",
        "a read from x",
        "a from z, linear",
        "a from z, boosted",
        "parameters",
        "steps/s",
    ]
    return "Balanced accuracy of reading attributes, ½ is chance:\n\n" + _markdown(head, rows)


def _failures(cells: dict[str, _Cell]) -> str:
    return "\n".join(
        f"- {run_of(line)}: {line['failed']}"
        for cell in cells.values()
        for line in cell.lines
        if "failed" in line
    )


def _figure(cell: _Cell, name: str, digits: int = 3, row: int | None = None) -> str:
    sums = cell.of(name, row)
    if sums is None:
        return "–"
    e = over_seeds(sums)
    return f"{e.value:.{digits}f} [{e.low:.{digits}f}, {e.high:.{digits}f}]"


def _read(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return "–"
    return "{value:.3f} [{low:.3f}, {high:.3f}]".format(**found)


def _pace(lines: list[Line]) -> str:
    known = [line["steps_per_second"] for line in lines if line.get("steps_per_second")]
    return f"{np.mean(known):.3g}" if known else "–"


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
