"""``cdvae-gan retouch``: teach a trained model to go over its own edits."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer
from rich.console import Console

from cdvae_gan.cli.common import (
    Device,
    JsonOutput,
    ModelSource,
    NewModel,
    Overwrite,
    Setting,
    SkipBad,
    TrainedOn,
    examples,
    folder_for,
    open_model,
    output,
    parse_duration,
    print_json,
    progress_console,
    refuse_model,
)
from cdvae_gan.errors import InputError

__all__ = ["EXAMPLES", "retouch"]

EXAMPLES = examples(
    "cdvae-gan retouch runs/faces photos/ --out runs/retouched --max-time 1h",
    "cdvae-gan retouch runs/faces photos/ --out runs/retouched --max-time 2h --resume",
)

_CHECKPOINT = "retouching.ckpt"


def retouch(
    model: ModelSource,
    source: TrainedOn,
    out: NewModel,
    max_time: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop after 90m, 1h30m, 3600s …")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Stop after so many steps.", min=1)] = None,
    large: Annotated[
        bool,
        typer.Option(
            "--large",
            help="Teach a refiner instead, which goes over edits in photos of twice the model's "
            "size: those of SOURCE should have that many pixels.",
        ),
    ] = False,
    width: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Channels of a new one; fewer are faster. Default: 48, of a refiner 32.",
        ),
    ] = None,
    share: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="How much is added of what it has learned to add; --resume may take another.",
        ),
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Of all that is drawn at random.")] = 0,
    setting: Setting = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what was begun in --out.")
    ] = False,
    skip_bad: SkipBad = False,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: JsonOutput = False,
) -> None:
    """Teach a trained model a retoucher: a network that sees the photo and mends the edit.

    With --large a refiner, which does so where photos have more pixels than the model.

    What the model reads, its latents and its samples stay as they are. Ctrl-C keeps what was
    learned.
    """
    from cdvae_gan.data import open_dataset
    from cdvae_gan.training.precision import choose_precision
    from cdvae_gan.training.retouch import (
        Refining,
        Retouching,
        learn_retoucher,
    )
    from cdvae_gan.training.settings import with_settings

    seconds = None if max_time is None else parse_duration(max_time)
    if steps is None and seconds is None:
        raise InputError("say when to stop: --steps or --max-time")
    kind = Refining if large else Retouching
    config = replace(kind.usual, seed=seed)
    if width is not None:
        config = replace(config, width=width)
    config = with_settings(config, setting or ())
    checkpoint = out / _CHECKPOINT
    if resume and not checkpoint.is_file():
        raise InputError(f"nothing was begun in {str(out)!r}: start it without --resume")
    refuse_model(out, model, _CHECKPOINT, overwrite=overwrite or resume)
    found = open_model(model, device)
    shown = not progress_console().quiet
    side = kind.scale * found.image_size
    data = open_dataset(source, size=side, skip_bad=skip_bad, progress=shown)
    train = data.for_model(found.attributes).split("train")
    training = kind(found, train, config, choose_precision("auto", found.prior.device).bf16)
    folder_for(out)  # once nothing can be refused any more
    if not resume:
        checkpoint.unlink(missing_ok=True)
    console = Console(stderr=as_json, highlight=False)
    new = learn_retoucher(
        training,
        steps=steps,
        seconds=seconds,
        share=share,
        checkpoint=checkpoint,
        report=lambda step, terms: console.print(
            f"step {step}: " + ", ".join(f"{name} {value:.3f}" for name, value in terms.items())
        ),
    )
    folder = new.save(out, half=True)
    if as_json:
        print_json({"model": str(folder)})
        return
    output().print(f"model: {folder}", soft_wrap=True)
