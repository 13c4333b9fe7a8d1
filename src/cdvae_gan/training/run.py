"""A training run: a folder that holds all that it takes to go on with it or to use its model.

RUN/config.json        how it is trained          RUN/model/    the model now (running average)
RUN/data.json          on what                    RUN/best/     the best by validation score
RUN/environment.json   with what                  RUN/checkpoints/last.ckpt   to go on from
RUN/logs/              metrics as CSV and for TensorBoard
RUN/validation.jsonl   figures on photos not trained on
RUN/pictures/          counterfactuals of eight of them, over time
"""

from __future__ import annotations

import json
import logging
import platform
import signal
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console
from torch.utils.data import DataLoader

from cdvae_gan.data import AttributeDataset
from cdvae_gan.errors import InputError
from cdvae_gan.model import CDVAEGAN, ModelConfig, load
from cdvae_gan.networks.identity import IdentityNetwork
from cdvae_gan.training.callbacks import (
    Checkpoints,
    FiniteLoss,
    ProgressBar,
    StopSignals,
    TimeLimit,
    Validation,
)
from cdvae_gan.training.config import TrainConfig
from cdvae_gan.training.erasure import erase
from cdvae_gan.training.identity import (
    check_people,
    identity_weights,
    learn_identity,
    share_within_people,
)
from cdvae_gan.training.interventions import sample_weights, weighted_prevalence
from cdvae_gan.training.loggers import DEFAULT_LOGGERS, check_loggers, make_loggers
from cdvae_gan.training.module import TrainingModule
from cdvae_gan.training.order import StepBatches
from cdvae_gan.training.precision import Precision, choose_precision
from cdvae_gan.training.prior import match_prior
from cdvae_gan.training.start import learned_weights, take_over

__all__ = ["Limits", "steps_done", "train"]

_VALIDATION_IMAGES = 256
_MATCHED = Path("checkpoints", "prior-matched-at")


@dataclass(frozen=True)
class Limits:
    """When to stop: at whichever comes first."""

    steps: int | None = None
    epochs: float | None = None
    """Passes over as many images as the training split has"""
    seconds: float | None = None

    def last_step(self, images: int, images_per_step: int) -> int | None:
        """The step to stop after, or None where only time limits the run."""
        asked = [self.steps]
        if self.epochs is not None:
            asked.append(max(1, round(self.epochs * images / images_per_step)))
        given = [s for s in asked if s is not None]
        return min(given) if given else None


def train(
    data: AttributeDataset,
    out: str | Path,
    limits: Limits,
    config: TrainConfig | None = None,
    *,
    resume: bool = False,
    start_from: str | Path | None = None,
    precision: Precision = "auto",
    accelerator: str = "auto",
    devices: int | str = "auto",
    validate_every: int = 250,
    loggers: Sequence[str] = DEFAULT_LOGGERS,
    console: Console | None = None,
) -> CDVAEGAN:
    """Train a model, or go on with a run.

    Args:
        data: Images with attributes; its splits ``train`` and ``validation`` are used.
        out: The run's folder.
        limits: When to stop, counted from the start of the run, not of this sitting.
        config: How to train; None for the default preset. Ignored with ``resume``: a run goes on
            as it began.
        resume: Go on with the run in ``out`` from its last checkpoint.
        start_from: A run or a model whose weights a new run starts from, as far as they fit; see
            :mod:`cdvae_gan.training.start`.
        precision: See :func:`~cdvae_gan.training.precision.choose_precision`.
        accelerator: As Lightning's.
        devices: As Lightning's: how many, or ``auto`` for all.
        validate_every: Steps between looks at validation photos.
        loggers: Where figures go, see :mod:`cdvae_gan.training.loggers`; not part of the run.
        console: Where progress is shown; None for a quiet run.

    Returns:
        The trained model, the running average of E and G.

    Raises:
        InputError: For a folder in use or without a run, other data than the run began with, a
            logger that is not installed, or a training that collapsed (its last checkpoint stays).
        KeyboardInterrupt: After SIGINT (Ctrl-C), once the checkpoint is written.
    """
    out = Path(out)
    console = console or Console(quiet=True)
    if limits == Limits():
        raise InputError("say when to stop: --steps, --epochs or --max-time")
    if resume and start_from is not None:
        raise InputError("a run that is resumed goes on from its own weights: leave out start_from")
    check_loggers(loggers)
    learned = None if start_from is None else learned_weights(start_from)
    config = _as_begun(out, data) if resume else config or TrainConfig()
    train_data, validation_data = data.split("train"), _validation(data)
    labels = torch.from_numpy(np.asarray(train_data.labels))
    weights = sample_weights(labels, config.rarity_cap)
    lightning.seed_everything(config.seed, verbose=False)
    model = CDVAEGAN(_model_config(data, config, labels))
    if config.weights.identity and not resume:
        check_people(train_data)
    if config.erase and not resume:
        _check_erasure(model, start_from)
    checkpoint = out / "checkpoints" / "last.ckpt"
    if resume and not checkpoint.is_file():
        raise InputError(f"{str(out)!r} has no checkpoint to go on from: start it without --resume")
    if not resume and not rank_zero_only.rank:  # type: ignore[attr-defined]
        _begin(out, data, config)
    start = steps_done(out) if resume else 0
    if resume and limits.steps is not None and start >= limits.steps and _finished(out, start):
        console.print(f"the run has made its {start} steps: nothing is left to do")
        return load(out)

    limit, signals = TimeLimit(limits.seconds), StopSignals()
    look = Validation(validation_data, out, validate_every)
    with _quiet():
        trainer = _trainer(out, accelerator, devices, loggers)
        choice = choose_precision(precision, trainer.strategy.root_device)
        images_per_step = config.batch_size * trainer.world_size
        last = limits.last_step(len(train_data), images_per_step)
        trainer.fit_loop.epoch_loop.max_steps = -1 if last is None else last
        bar = ProgressBar(last, limit, images_per_step, console)
        trainer.callbacks += [  # type: ignore[attr-defined]
            FiniteLoss(),
            look,
            limit,
            signals,
            bar,
            Checkpoints(out),
        ]
        module = TrainingModule(
            model, config, weighted_prevalence(labels, weights), bf16=choice.bf16
        )
        console.print(
            f"{'bf16' if choice.bf16 else 'float32'} ({choice.reason}); "
            f"{len(train_data)} images, {images_per_step} a step"
        )
        module.to(trainer.strategy.root_device)  # what is learned before the fit is learned there
        if learned is not None:
            n = take_over(module, learned, data.attributes)
            console.print(f"{n} tensors start as in {start_from}", soft_wrap=True)
            if learned.goes_over_edits:
                console.print(
                    "what goes over its edits stays behind: cdvae-gan retouch teaches anew"
                )
            if config.erase:
                erase(module.average.encoder, train_data, config.seed)
                module.model.encoder.load_state_dict(module.average.encoder.state_dict())
        if module.identity is not None and not resume:
            _weigh_by_people(module, train_data, console)
            if learned is None or not identity_weights(learned):
                _learn_people(module, module.identity, train_data, console)
        if trainer.is_global_zero:
            _describe_environment(out, choice.bf16, trainer)
        stream = StepBatches(
            train_data, weights, config.batch_size, config.seed, start, trainer.global_rank
        )
        trainer.fit(
            module,
            DataLoader(stream, batch_size=None),
            ckpt_path=str(checkpoint) if resume else None,
        )
        if trainer.is_global_zero and not _finished(out, trainer.global_step):
            if trainer.global_step == start:  # it was killed after its last step
                look.look(trainer, module)
            _match_priors(out, train_data, trainer.global_step)
        trainer.strategy.barrier()
    if signals.caught is not None:
        said = f"stopped by a signal at step {trainer.global_step}; --resume goes on"
        if signals.caught == signal.SIGINT:
            raise KeyboardInterrupt(said)
        console.print(said)
    return load(out)


def _weigh_by_people(module: TrainingModule, data: AttributeDataset, console: Console) -> None:
    """How much an edit's distance from the person counts, for each attribute."""
    module.within_people.copy_(share_within_people(data))
    shares = zip(data.attributes, module.within_people.tolist(), strict=True)
    said = ", ".join(f"{name} {share:.2f}" for name, share in shares)
    console.print(f"share that people change in: {said}", soft_wrap=True)


def _learn_people(
    module: TrainingModule, network: IdentityNetwork, data: AttributeDataset, console: Console
) -> None:
    """Teach the network that tells people apart; from then on it stays as it is."""
    config = module.config
    with console.status("telling people apart") as status:
        learn_identity(
            network.requires_grad_(True).train(),
            data,
            config.identity_steps,
            config.seed,
            mirror=config.mirror,
            bf16=module.bf16,
            report=lambda step, found: status.update(
                f"telling people apart: step {step}, {found:.2f} found in a batch"
            ),
        )
    network.requires_grad_(False).eval()


def _match_priors(out: Path, data: AttributeDataset, step: int) -> None:
    """Samples from the prior are what G knows how to draw; the checkpoint goes on as it was."""
    for folder in (out / "model", out / "best"):
        if folder.is_dir():
            model = CDVAEGAN.from_pretrained(folder)
            match_prior(model, data)
            model.card = None
            model.save(folder)
    (out / _MATCHED).write_text(str(step))


def _finished(out: Path, step: int) -> bool:
    """Whether the model of a run that ends at this step is there, with its prior matched."""
    matched, model = out / _MATCHED, out / "model" / "model.safetensors"
    return model.is_file() and matched.is_file() and matched.read_text() == str(step)


def _check_erasure(model: CDVAEGAN, start_from: str | Path | None) -> None:
    """What is erased stays as it is: it must have learned what it is asked for.

    Raises:
        InputError: There is no model to start from, or its encoder is another.
    """
    if start_from is None:
        raise InputError("nothing to erase: name the trained model with start_from")
    other = load(start_from)
    if other.attributes != model.attributes:
        raise InputError(
            f"the encoder stays as it is when z is erased, and {start_from} has the attributes "
            f"{', '.join(other.attributes)}, not {', '.join(model.attributes)}"
        )
    parts = ("image_size", "z_dim", "u_channels", "width")
    differs = [p for p in parts if getattr(other.config, p) != getattr(model.config, p)]
    if differs:
        raise InputError(
            f"the encoder stays as it is when z is erased, and {start_from} has another "
            f"{differs[0]}: {getattr(other.config, differs[0])}"
        )


def _described(data: AttributeDataset) -> dict[str, Any]:
    return {
        "name": data.name,
        "attributes": list(data.attributes),
        "image_size": data.image_size,
        "images": len(data),
        "fingerprint": data.fingerprint,
    }


def _as_begun(out: Path, data: AttributeDataset) -> TrainConfig:
    """How the run in ``out`` is trained; it must have been begun on this data."""
    config_path = out / "config.json"
    if not config_path.is_file():
        raise InputError(f"{str(out)!r} holds no run: start it without --resume")
    try:
        begun = json.loads((out / "data.json").read_text())
    except (OSError, ValueError):
        raise InputError(f"the run in {str(out)!r} is damaged: data.json is not readable") from None
    if begun != _described(data):
        raise InputError(f"the run in {str(out)!r} was begun on other data than {data.name}")
    return TrainConfig.from_json(config_path.read_text())


def _begin(out: Path, data: AttributeDataset, config: TrainConfig) -> None:
    """Make the folder; a run that was killed before there was anything to resume begins anew."""
    config_path = out / "config.json"
    left = (out / "checkpoints" / "last.ckpt", out / "model")
    unborn = (out / "data.json").exists() and not any(path.exists() for path in left)
    if any(path.exists() for path in (config_path, *left)) and not unborn:
        raise InputError(f"{str(out)!r} holds a run already: --resume it, or choose another folder")
    try:
        for folder in ("checkpoints", "pictures", "logs"):
            (out / folder).mkdir(parents=True, exist_ok=True)
        (out / "data.json").write_text(json.dumps(_described(data), indent=2) + "\n")
        config_path.write_text(config.to_json())
    except OSError as error:
        raise InputError(f"cannot write the run to {str(out)!r}: {error.strerror}") from None


def _validation(data: AttributeDataset) -> AttributeDataset:
    """Some validation images, spread over the split."""
    split = data.split("validation")
    n = min(len(split), _VALIDATION_IMAGES)
    return split.take(np.linspace(0, len(split) - 1, n).astype(np.int64))


def _model_config(data: AttributeDataset, config: TrainConfig, labels: torch.Tensor) -> ModelConfig:
    prior = weighted_prevalence(labels, torch.ones(len(labels)))
    return ModelConfig(
        attributes=data.attributes,
        image_size=data.image_size,
        z_dim=config.z_dim,
        u_channels=config.u_channels,
        mask_channels=config.mask_channels,
        gate_channels=config.gate_channels,
        width=config.width,
        fine_channels=config.fine_channels,
        prior=tuple(round(float(p), 5) for p in prior),
        exclusive=data.exclusive,
        alternatives=data.alternatives,
        companions=data.companions,
        detail=config.detail,
        scale=config.scale,
        reach=config.reach,
    )


def _trainer(
    out: Path, accelerator: str, devices: int | str, loggers: Sequence[str]
) -> lightning.Trainer:
    several = devices not in (1, "1")
    if devices == "auto":  # Lightning takes all GPUs there are
        several = accelerator != "cpu" and torch.cuda.device_count() > 1
    return lightning.Trainer(
        accelerator=accelerator,
        devices=devices,
        strategy="ddp_find_unused_parameters_true" if several else "auto",
        max_epochs=-1,
        logger=make_loggers(loggers, out),
        log_every_n_steps=10,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        inference_mode=False,
    )


def steps_done(run: str | Path) -> int:
    """How many steps a run has made by its last checkpoint."""
    checkpoint = Path(run) / "checkpoints" / "last.ckpt"
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        return int(state["global_step"])
    except OSError:
        raise
    except Exception:  # torch raises errors of many kinds for files that are not its own
        raise InputError(f"{str(checkpoint)!r} is damaged") from None


def _describe_environment(out: Path, bf16: bool, trainer: lightning.Trainer) -> None:
    described = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "packages": {n: version(n) for n in ("torch", "lightning", "numpy", "cdvae-gan")},
        "threads": torch.get_num_threads(),
        "bf16": bf16,
        "accelerator": type(trainer.accelerator).__name__,
        "processes": trainer.world_size,
    }
    (out / "environment.json").write_text(json.dumps(described, indent=2) + "\n")


class _quiet(warnings.catch_warnings):  # noqa: N801 - used as a function
    """Without Lightning's hints, which are about set-ups that were chosen on purpose."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", module="torch.distributed")
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
