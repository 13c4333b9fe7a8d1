"""The queue: whatever is not finished, one run after another, however often it is killed."""

from __future__ import annotations

import shutil
import subprocess
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from filelock import Timeout
from rich.console import Console

from cdvae_gan.errors import InputError
from cdvae_gan.training.callbacks import Collapse
from study.data import Study
from study.measure import measure, summary
from study.results import Line, Run, Store
from study.task import Task
from study.variants import Variant

__all__ = ["run_all", "run_one", "time_left"]


def run_all(
    study: Study,
    store: Store,
    variants: Sequence[Variant],
    data: Sequence[str],
    seeds: Sequence[int],
    console: Console,
    *,
    retry: bool = False,
) -> bool:
    """Work off the queue: all variants with one seed before the next seed.

    Args:
        study: What all runs have in common.
        store: Where results go.
        variants: Which.
        data: Names of training sets.
        seeds: Of the trainings.
        console: Where progress is shown.
        retry: Whether to repeat trainings that collapsed.

    Returns:
        Whether every run is over.
    """
    _commit()
    queue = [(v, Run(v.name, d, s)) for s in seeds for d in data for v in variants]
    if retry:
        for _, run in queue:
            _forget_failure(store, run)
    for place, (variant, run) in enumerate(queue, 1):
        if store.line(run) is not None:
            continue
        rest = [r for _, r in queue[place - 1 :] if store.line(r) is None]
        console.print(f"[{place}/{len(queue)}] {run}; {time_left(rest, store)}", markup=False)
        try:
            with store.lock(run):
                # Another process may have been faster.
                line = store.line(run) or run_one(study, store, variant, run, console)
        except Timeout:
            console.print("  another process is at it", markup=False)
        except InputError as error:
            console.print(f"  left out: {error}", markup=False)
        except Exception:  # a queue of many hours goes on with the others
            console.print(traceback.format_exc(), markup=False)
        else:
            console.print(f"  {_told(line)}", markup=False)
    return all(store.line(run) is not None for _, run in queue)


def run_one(study: Study, store: Store, variant: Variant, run: Run, console: Console) -> Line:
    """Train, measure, and write the run's line."""
    folder = store.folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    task = Task(
        data=study.train_data(run.data),
        folder=folder,
        steps=study.steps,
        base=replace(study.base, seed=run.seed),
        precision=study.precision,
        console=console if console.is_terminal else Console(quiet=True),
    )
    line: Line = {"variant": run.variant, "data": run.data, "seed": run.seed}
    try:
        trained = variant.method.train(task)
    except Collapse as error:
        line |= {"failed": str(error), **_circumstances(study)}
        store.add(line)
        return line
    began = time.monotonic()
    test = study.unseen()
    found = measure(trained, test, study.drag)
    store.save_sums(run, found.sums)
    line |= {
        "detail": trained.detail,
        "figures": {name: summary(sums).to_dict() for name, sums in found.sums.items()},
        "attributes": list(test.edited.attributes),
        "parameters": trained.parameters,
        "steps_per_second": trained.steps_per_second,
        "measuring_seconds": time.monotonic() - began,
        "config": trained.config,
        **_circumstances(study),
    }
    if "error" in found.sums:
        line["error_by_attribute"] = {
            name: summary(found.sums["error"][:, k : k + 1]).to_dict()
            for k, name in enumerate(test.edited.attributes)
        }
        line["drag_of"] = study.drag
    if found.judged:
        line["judged"] = found.judged
    store.add(line)
    _tidy(folder)
    return line


def time_left(rest: Sequence[Run], store: Store) -> str:
    """An estimate from the runs that are over, in words."""
    spent: dict[str, list[float]] = {}
    for line in store.lines():
        if line.get("steps_per_second"):
            seconds = line["steps"] / line["steps_per_second"] + line["measuring_seconds"]
            spent.setdefault(line["variant"], []).append(seconds)
    if not spent:
        return f"{len(rest)} to go, time left known after the first"
    mean = {variant: sum(s) / len(s) for variant, s in spent.items()}
    other = sum(mean.values()) / len(mean)
    minutes = round(sum(mean.get(run.variant, other) for run in rest) / 60)
    return f"{len(rest)} to go, about {minutes // 60} h {minutes % 60:02d} min"


def _forget_failure(store: Store, run: Run) -> None:
    line = store.line(run)
    if line is not None and "failed" in line:
        store.drop(run)
        shutil.rmtree(store.folder(run), ignore_errors=True)


def _told(line: Line) -> str:
    if "failed" in line:
        return f"failed: {line['failed']}"
    shown = line["figures"].get("error")
    if shown is not None:
        return "counterfactual error {value:.3f} [{low:.3f}, {high:.3f}]".format(**shown)
    return "deception {value:.3f}".format(**line["judged"]["deception"]["mean"]["all"])


def _circumstances(study: Study) -> dict[str, Any]:
    return {
        "steps": study.steps,
        "size": study.size,
        "precision": study.precision,
        "commit": _commit(),
        "packages": {name: version(name) for name in ("cdvae-gan", "torch", "numpy")},
        "threads": torch.get_num_threads(),
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


@cache
def _commit() -> str:
    """The commit of this file's repository, with ``+`` where tracked files differ from it.

    Asked once, when a queue begins: what is committed later is not what it runs.
    """

    def git(*words: str) -> str:
        where = Path(__file__).parent
        return subprocess.run(
            ["git", *words], cwd=where, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short=10", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _tidy(folder: Path) -> None:
    """Drop what only a training that goes on would need; the model stays."""
    for name in ("checkpoints", "best", "logs"):
        shutil.rmtree(folder / "run" / name, ignore_errors=True)
