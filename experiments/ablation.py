"""The ablation: variants and baselines, trained alike, measured against the truth.

    python experiments/ablation.py list
    python experiments/ablation.py run --variants all --seeds 0,1,2 --out RUNS
    python experiments/ablation.py table RUNS

``run`` skips what is finished and goes on with what was killed, so the same command may be given as
often as one likes, also by several processes at once. ``table`` prints Markdown of whatever is
finished, in one folder or several. On photos, with a judge in the place of the truth:

    python experiments/ablation.py run --celeba FOLDER --judge JUDGE --variants default,paper \
        --seeds 0 --out RUNS
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

from rich.console import Console

from cdvae_gan.errors import InputError
from study.data import AVATARS, Study, photos
from study.results import Store, table
from study.runs import run_all
from study.variants import VARIANTS, choose

_HEAD = """# What each part buys

Written by `python experiments/ablation.py table RUNS`, never by hand; how the runs are made, and
what is held equal, is said in `experiments/README.md`. The variants:
"""


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "list":
            print("\n".join(f"{v.name:20} {v.about}" for v in VARIANTS))
            return 0
        if options.command == "table":
            print(_table(options.out), end="")
            return 0
        return 0 if _run(options) else 1
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the variants")
    run = commands.add_parser("run", help="train and measure what is not finished")
    run.add_argument("--variants", default="all", help="names, separated by commas, or all")
    run.add_argument("--seeds", default="0", help="numbers, separated by commas")
    run.add_argument("--data", help="plain,confounded (default: both)")
    run.add_argument("--out", type=Path, required=True, help="the folder of results")
    run.add_argument("--steps", type=int, default=AVATARS.steps, help="of training, for all alike")
    run.add_argument(
        "--precision", choices=["bf16", "32"], default=AVATARS.precision, help="of our own models"
    )
    run.add_argument("--celeba", metavar="FOLDER", help="photos instead of avatars, at 64 pixels")
    run.add_argument("--judge", help="who reads the edits of photos")
    run.add_argument("--retry", action="store_true", help="repeat trainings that collapsed")
    shown = commands.add_parser("table", help="Markdown of what is finished")
    shown.add_argument("out", type=Path, nargs="+")
    return parser


def _run(options: argparse.Namespace) -> bool:
    signal.signal(signal.SIGTERM, _interrupt)
    study = _study(options)
    variants = choose(options.variants, study.base)
    data = (options.data or ",".join(study.training)).split(",")
    seeds = _numbers(options.seeds)
    for name in data:
        study.train_data(name)
    study.unseen()
    store = Store(options.out, study)
    return run_all(study, store, variants, data, seeds, Console(), retry=options.retry)


def _study(options: argparse.Namespace) -> Study:
    if options.steps < 1:
        raise InputError(f"--steps must be at least 1, not {options.steps}")
    if (options.celeba is None) != (options.judge is None):
        raise InputError(
            "--celeba and --judge go together: photos have no truth, a judge reads them"
        )
    if options.celeba is not None:
        study = photos(options.celeba, options.judge, options.steps)
    else:
        study = replace(AVATARS, steps=options.steps)
    return replace(study, precision=options.precision)


def _numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise InputError(f"--seeds are numbers separated by commas, not {text!r}")
    return [int(part) for part in parts]


def _table(folders: Sequence[Path]) -> str:
    found = "\n".join(_results(out) for out in folders)
    variants = "\n".join(f"- `{v.name}`: {v.about}" for v in VARIANTS if f"| {v.name} |" in found)
    return f"{_HEAD}\n{variants}\n\n{found}"


def _results(out: Path) -> str:
    path = out / "study.json"
    if not path.is_file():
        raise InputError(f"{str(out)!r} holds no results: give the --out of a run")
    on_photos = json.loads(path.read_text())["judge"] is not None
    reference = "default" if on_photos else AVATARS.reference
    return table(out, [v.name for v in VARIANTS], reference)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
