"""``cdvae-gan train``: train a model, or go on with a run."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from cdvae_gan.cli.common import (
    JsonOutput,
    Setting,
    SkipBad,
    examples,
    output,
    parse_duration,
    parse_names,
    print_json,
)
from cdvae_gan.errors import InputError

if TYPE_CHECKING:
    from cdvae_gan.data import AttributeDataset
    from cdvae_gan.training import TrainConfig

__all__ = ["EXAMPLES", "train"]

EXAMPLES = examples(
    "cdvae-gan train avatars --out runs/avatars --max-time 20m",
    "cdvae-gan train celeba/ --attributes Smiling,Eyeglasses --out runs/celeba --max-time 1h30m",
    "cdvae-gan train celeba/ --out runs/celeba --max-time 3h --resume",
    "cdvae-gan train photos/ --start-from celeba64 --out runs/mine --max-time 30m",
    "cdvae-gan train photos/ --out runs/mine --max-time 30m --logger tensorboard,wandb",
    "cdvae-gan train photos/ --preset paper --size 128 --epochs 50 --out runs/plain",
)

_SIZES = (32, 64, 128, 256)


class PresetName(str, Enum):
    """How to train."""

    default = "default"
    paper = "paper"


class PrecisionName(str, Enum):
    """In which arithmetic."""

    auto = "auto"
    bf16 = "bf16"
    full = "32"


class AcceleratorName(str, Enum):
    """On what."""

    auto = "auto"
    cpu = "cpu"
    gpu = "gpu"
    mps = "mps"


def train(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            show_default=False,
            help="Images with attributes: avatars, a folder, or hf:owner/name.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The run's folder.", show_default=False)],
    attributes: Annotated[
        list[str] | None, typer.Option(help="Names, separated by commas. Default: all.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Side of the images: 32, 64, 128 or 256. Default: 64.")
    ] = None,
    preset: Annotated[
        PresetName | None,
        typer.Option(
            help="The best that was measured on photos, or the paper's. Default: default."
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Stop after so many steps.", min=1)] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Stop after so many passes over the images.", min=0)
    ] = None,
    max_time: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop after 90m, 1h30m, 3600s …")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images a step and device. Default: 64.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Default: 0.")] = None,
    setting: Setting = None,
    precision: Annotated[
        PrecisionName, typer.Option(help="auto takes bf16 where a quick probe finds it faster.")
    ] = PrecisionName.auto,
    devices: Annotated[str, typer.Option(help="How many; auto is all of them.")] = "auto",
    accelerator: Annotated[AcceleratorName, typer.Option()] = AcceleratorName.auto,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, as it began.")
    ] = False,
    start_from: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Start from the weights of a model or run, as far as they fit: celeba64 …",
        ),
    ] = None,
    erase: Annotated[
        bool,
        typer.Option(
            "--erase",
            help="Take all that a linear map could tell of the attributes out of z of "
            "--start-from, keep its encoder so, and train the decoder on.",
        ),
    ] = False,
    at_reach: Annotated[
        bool,
        typer.Option(
            "--at-reach",
            help="Draw interventions as far as edits of --start-from go, which was calibrated, so "
            "that what is learned from is what a user will see.",
        ),
    ] = False,
    validate_every: Annotated[
        int, typer.Option(help="Steps between looks at validation images.", min=1)
    ] = 250,
    logger: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="csv, tensorboard, wandb or mlflow, separated by commas. Default: the first two.",
        ),
    ] = None,
    image_column: Annotated[
        str | None, typer.Option(help="Of Hugging Face data, the column with the images.")
    ] = None,
    skip_bad: SkipBad = False,
    as_json: JsonOutput = False,
) -> None:
    """Train a model. It stops at whichever limit comes first; Ctrl-C keeps what was learned."""
    seconds = None if max_time is None else parse_duration(max_time)
    if (steps, epochs, seconds) == (None, None, None):
        raise InputError("say when to stop: --steps, --epochs or --max-time")
    names = parse_names(attributes)
    if resume:
        fixed: dict[str, Any] = {
            "--preset": preset,
            "--batch-size": batch_size,
            "--seed": seed,
            "--start-from": start_from,
            "--erase": erase or None,
            "--at-reach": at_reach or None,
            "--set": setting,
        }
        names, size = _as_begun(out, names, size, fixed)
    if size is not None and size not in _SIZES:
        raise InputError(f"--size is one of {', '.join(map(str, _SIZES))}, not {size}")
    if erase and start_from is None:
        raise InputError("--erase needs --start-from: the trained model whose z is erased")
    if at_reach and start_from is None:
        raise InputError("--at-reach needs --start-from: the calibrated model whose reach it is")
    count = _devices(devices)

    from cdvae_gan.data import open_dataset
    from cdvae_gan.training import TrainConfig
    from cdvae_gan.training.loggers import DEFAULT_LOGGERS, check_loggers

    # What is wrong with these is said before images are decoded.
    loggers = DEFAULT_LOGGERS if logger is None else parse_names(logger) or ()
    check_loggers(loggers)
    config = TrainConfig.from_preset(
        "paper" if preset is PresetName.paper else "default",
        seed=0 if seed is None else seed,
        batch_size=64 if batch_size is None else batch_size,
    ).changed([*(setting or ()), *(["erase=true"] if erase else [])])
    reach = _reach(str(start_from)) if at_reach else {}
    main_process = os.environ.get("LOCAL_RANK", "0") == "0"
    console = Console(stderr=as_json, quiet=not main_process)
    data = open_dataset(
        source,
        size=64 if size is None else size,
        attributes=names,
        image_column=image_column,
        skip_bad=skip_bad,
        progress=console.is_terminal and main_process,
    )
    _check_both_values(data)
    if at_reach:
        config = replace(config, reach=tuple(reach.get(n, (1.0, 1.0)) for n in data.attributes))
    _train(
        data,
        out,
        config,
        limits={"steps": steps, "epochs": epochs, "seconds": seconds},
        resume=resume,
        start_from=start_from,
        precision=precision.value,
        accelerator=accelerator.value,
        devices=count,
        validate_every=validate_every,
        loggers=loggers,
        console=console,
    )
    if main_process:
        _report(out, as_json)


def _check_both_values(data: AttributeDataset) -> None:
    """Nothing can be learned of an attribute that all photos have, or none."""
    labels = data.split("train").labels
    for name, column in zip(data.attributes, labels.T, strict=True):
        for value, lacks in ((1, "has it"), (0, "is known to lack it")):
            if not (column == value).any():
                raise InputError(
                    f"{name} cannot be learned: no image for training {lacks}. cdvae-gan data "
                    "check counts; --attributes leaves attributes out"
                )


def _train(
    data: AttributeDataset,
    out: Path,
    config: TrainConfig,
    *,
    limits: dict[str, Any],
    **options: Any,
) -> None:
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    from cdvae_gan.training import Limits
    from cdvae_gan.training import train as run

    try:
        run(data, out, Limits(**limits), config, **options)
    except MisconfigurationException as error:
        raise InputError(f"cannot train on this accelerator: {error}") from error
    except SystemExit as ended:  # how Lightning passes on a Ctrl-C that comes before the first step
        if isinstance(ended.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise


def _reach(start_from: str) -> dict[str, tuple[float, float]]:
    """That of the model that a run starts from, by attribute."""
    from cdvae_gan import load

    known = load(start_from).config
    if not known.reach:
        raise InputError(f"{start_from} has no reach: cdvae-gan calibrate measures one")
    return dict(zip(known.attributes, known.reach, strict=True))


def _as_begun(
    out: Path, names: list[str] | None, size: int | None, fixed: dict[str, Any]
) -> tuple[list[str], int]:
    """Attributes and size of the run in ``out``; what it began with cannot be changed."""
    for option, value in fixed.items():
        if value is not None:
            raise InputError(f"{option} cannot be changed: --resume goes on as the run began")
    try:
        begun = json.loads((out / "data.json").read_text())
        attributes, begun_size = [str(n) for n in begun["attributes"]], int(begun["image_size"])
    except FileNotFoundError:
        raise InputError(f"{str(out)!r} holds no run: start it without --resume") from None
    except (json.JSONDecodeError, KeyError, TypeError, ValueError):
        raise InputError(f"{str(out / 'data.json')!r} is damaged: the run cannot go on") from None
    if names is not None and names != attributes:
        raise InputError(f"the run in {str(out)!r} was begun with {','.join(attributes)}")
    if size is not None and size != begun_size:
        raise InputError(f"the run in {str(out)!r} was begun at size {begun_size}, not {size}")
    return attributes, begun_size


def _devices(text: str) -> int | str:
    if text == "auto":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"--devices is a number of at least 1 or auto, not {text!r}")
    return int(text)


def _report(out: Path, as_json: bool) -> None:
    figures = out / "validation.jsonl"
    lines = figures.read_text().splitlines() if figures.is_file() else []
    last = json.loads(lines[-1]) if lines else {}
    if as_json:
        print_json({"run": str(out), "model": str(out / "model"), "validation": last})
        return
    shown = {
        "flips read as asked": "val/flips_read",
        "other attributes kept": "val/others_kept",
        "reconstruction L1": "val/reconstruction_l1",
    }
    found = [f"{text} {last[key]:.3f}" for text, key in shown.items() if key in last]
    console = output()
    if found:
        console.print(f"step {last['step']}: {', '.join(found)} (by D, on validation images)")
    console.print(f"model: {out / 'model'}", soft_wrap=True)
    console.print(f"pictures: {out / 'pictures'}", soft_wrap=True)
