"""What happens beside the steps: checkpoints, validation with pictures, progress, and guards."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from cdvae_gan.action import FLIP, LEAVE
from cdvae_gan.counterfactual import abduct, act_by_code, predict, rules_of
from cdvae_gan.data import AttributeDataset
from cdvae_gan.errors import InputError
from cdvae_gan.figures import grid
from cdvae_gan.images import to_float, to_uint8
from cdvae_gan.model import CDVAEGAN
from cdvae_gan.objective import known_cross_entropy
from cdvae_gan.training.module import TrainingModule

__all__ = [
    "Checkpoints",
    "Collapse",
    "FiniteLoss",
    "ProgressBar",
    "StopSignals",
    "TimeLimit",
    "Validation",
]

_COLLAPSED = 0.1


class Collapse(InputError):
    """Training went wrong for good: not a number, or all drawings alike."""


class Checkpoints(Callback):
    """Write ``last.ckpt`` every so many seconds and at the end, each time whole or not at all.

    Args:
        folder: The run's folder.
        every_seconds: The longest time that a kill may cost.
    """

    def __init__(self, folder: Path, every_seconds: float = 45.0) -> None:
        self.path = folder / "checkpoints" / "last.ckpt"
        self.every_seconds = every_seconds
        self._written = time.monotonic()

    def on_train_batch_end(self, trainer: lightning.Trainer, *args: Any) -> None:
        due = time.monotonic() - self._written > self.every_seconds
        if trainer.strategy.broadcast(due):
            self.write(trainer)

    def on_train_end(self, trainer: lightning.Trainer, *args: Any) -> None:
        self.write(trainer)

    def write(self, trainer: lightning.Trainer) -> None:
        """Write a checkpoint now."""
        temporary = self.path.with_suffix(".partial")
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            temporary.replace(self.path)
        self._written = time.monotonic()


class TimeLimit(Callback):
    """Stop after so many seconds of training, counted over all sittings of a run.

    Args:
        seconds: The limit, or None for none.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.spent = 0.0
        self._last = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"spent": self.spent}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.spent = state_dict["spent"]

    def on_train_start(self, *args: Any) -> None:
        self._last = time.monotonic()

    def on_train_batch_end(self, trainer: lightning.Trainer, *args: Any) -> None:
        now = time.monotonic()
        self.spent, self._last = self.spent + now - self._last, now
        over = self.seconds is not None and self.spent >= self.seconds
        if trainer.strategy.broadcast(over):
            trainer.should_stop = True


class StopSignals(Callback):
    """On SIGTERM or SIGINT finish the step at hand, write the checkpoint and stop."""

    def __init__(self) -> None:
        self.caught: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, *args: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # signals are for the main thread alone
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._catch)

    def on_train_batch_end(self, trainer: lightning.Trainer, *args: Any) -> None:
        if trainer.strategy.broadcast(self.caught is not None):
            trainer.should_stop = True

    def on_train_end(self, *args: Any) -> None:
        self._restore()

    def on_exception(self, *args: Any) -> None:
        self._restore()

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self.caught is not None:
            raise KeyboardInterrupt
        self.caught = number


class Validation(Callback):
    """Look at photos that the model never trains on: figures, a grid of pictures, the best model.

    The score is the mean of two shares that D's attribute head reads off counterfactuals of the
    running average: flipped attributes that read as asked, and others that read as before.

    Args:
        data: The images to look at; few hundred are enough.
        folder: The run's folder.
        every: Steps between looks.
    """

    def __init__(self, data: AttributeDataset, folder: Path, every: int) -> None:
        self.folder = folder
        self.every = every
        batch = data.batch(np.arange(len(data)))
        self.images, self.labels = to_float(batch.images), batch.labels
        self.best = -math.inf
        self.contrast = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "contrast": self.contrast}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.contrast = state_dict["best"], state_dict["contrast"]

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, *args: Any
    ) -> None:
        if trainer.global_step % self.every == 0:
            self.look(trainer, module)

    def on_train_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if trainer.global_step % self.every:
            self.look(trainer, module)

    @torch.no_grad()
    def look(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Validate now."""
        assert isinstance(module, TrainingModule)
        if not trainer.is_global_zero:
            return
        was_training = module.discriminator.training
        module.discriminator.eval()
        figures = self.measure(module)
        module.discriminator.train(was_training)
        contrast = figures.get("val/contrast", math.nan)
        self.contrast = max(self.contrast, contrast)
        if contrast < _COLLAPSED * self.contrast:
            raise Collapse(
                f"collapsed at step {trainer.global_step}: all drawings look alike (their contrast "
                f"fell from {self.contrast:.2f} to {contrast:.2f} of the photos')"
            )
        for logger in trainer.loggers:
            logger.log_metrics(figures, step=trainer.global_step)
        with (self.folder / "validation.jsonl").open("a") as lines:
            lines.write(json.dumps({"step": trainer.global_step, **figures}) + "\n")
        if figures["val/score"] > self.best:
            self.best = figures["val/score"]
            module.average.save(self.folder / "best")
        module.average.save(self.folder / "model")
        picture = pictures(module.average, self.images[:8].to(module.device))
        picture.save(self.folder / "pictures" / f"step_{trainer.global_step:07d}.png")

    def measure(self, module: TrainingModule) -> dict[str, float]:
        """The figures, as logged; without those that so few images or attributes do not have."""
        model, d = module.average, module.discriminator
        sums: dict[str, list[tuple[float, int]]] = {}

        def note(name: str, value: Tensor) -> None:
            sums.setdefault(f"val/{name}", []).append((float(value), len(x)))

        k, known = len(model.attributes), rules_of(model.config, module.device)
        for start in range(0, len(self.images), 64):
            x = self.images[start : start + 64].to(module.device)
            labels = self.labels[start : start + 64].to(module.device)
            found = abduct(model, x)
            location = found.drawing.location
            note("reconstruction_l1", (location - x).abs().mean() / 2)
            if len(x) > 1:
                note("contrast", location.std(dim=0).mean() / x.std(dim=0).mean())
            logits = torch.special.logit(found.probabilities, eps=1e-6)
            note("attribute_cross_entropy", known_cross_entropy(logits, labels))
            before = d(x).attributes > 0
            which = torch.arange(start, start + len(x), device=module.device) % k
            rows = torch.arange(len(x), device=module.device)
            code = torch.full_like(found.a, LEAVE)
            code[rows, which] = FLIP
            a = act_by_code(found.a, found.probabilities, code, known, 1.0)
            drawn, mask = predict(model, x, found, a, code, model.config.detail)
            after = d(drawn).attributes > 0
            note("flips_read", (after[rows, which] == (a[rows, which] > 0.5)).float().mean())
            others = a == found.a
            if others.any():
                note("others_kept", (after == before)[others].float().mean())
            note("edit_l1", (drawn - x).abs().mean() / 2)
            note("mask", mask.mean())
        figures = {
            name: sum(value * n for value, n in noted) / sum(n for _, n in noted)
            for name, noted in sums.items()
        }
        flips = figures["val/flips_read"]
        figures["val/score"] = (flips + figures.get("val/others_kept", flips)) / 2
        return figures


def pictures(model: CDVAEGAN, x: Tensor) -> Image.Image:
    """Rows of photo, reconstruction and every single flip: what a training looks like.

    Args:
        model: The model.
        x: ``(B, 3, H, W)`` in [−1, 1], where the model is.
    """
    found = abduct(model, x)
    columns = [x, found.drawing.location]
    known = rules_of(model.config, x.device)
    for flip in FLIP * torch.eye(len(model.attributes), device=x.device):
        code = torch.where(flip > 0, flip, LEAVE)
        a = act_by_code(found.a, found.probabilities, code, known, 1.0)
        columns.append(predict(model, x, found, a, code, model.config.detail)[0])
    cells = [to_uint8(c).permute(0, 2, 3, 1).cpu().numpy() for c in columns]
    return grid(
        [[column[i] for column in cells] for i in range(len(x))],
        columns=["photo", "decoded", *(f"flip {n}" for n in model.attributes)],
        scale=1,
    )


class ProgressBar(Callback):
    """Steps or minutes done, images a second, time left, and what matters of the losses.

    Args:
        total_steps: The last step, or None where only time limits the run.
        limit: The run's time limit.
        images_per_step: Over all processes.
        console: Where to draw.
    """

    def __init__(
        self,
        total_steps: int | None,
        limit: TimeLimit,
        images_per_step: int,
        console: Console,
    ) -> None:
        self.total_steps = total_steps
        self.limit = limit
        self.images_per_step = images_per_step
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[done]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[losses]}"),
            console=console,
            refresh_per_second=2,
        )
        self._times: list[float] = []

    def on_train_start(self, trainer: lightning.Trainer, *args: Any) -> None:
        if trainer.is_global_zero:
            self.progress.start()
            self._task = self.progress.add_task("train", total=1.0, done="", rate="", losses="")

    def on_train_batch_end(self, trainer: lightning.Trainer, *args: Any) -> None:
        if not trainer.is_global_zero:
            return
        self._times = [*self._times[-50:], time.monotonic()]
        step, shares = trainer.global_step, []
        if self.total_steps:
            shares.append(step / self.total_steps)
        if self.limit.seconds:
            shares.append(self.limit.spent / self.limit.seconds)
        m = trainer.callback_metrics
        losses = " ".join(
            f"{short} {float(m[name]):.3f}"
            for short, name in (("L1", "reconstruction_l1"), ("flips read", "read_as_asked"))
            if name in m
        )
        self.progress.update(
            self._task,
            completed=max(shares, default=0.0),
            done=f"step {step}" + (f"/{self.total_steps}" if self.total_steps else ""),
            rate=f"{self.rate:.0f} images/s",
            losses=losses,
        )

    def on_train_end(self, *args: Any) -> None:
        self.progress.stop()

    def on_exception(self, *args: Any) -> None:
        self.progress.stop()

    @property
    def rate(self) -> float:
        """Images a second over the last steps."""
        if len(self._times) < 2:
            return 0.0
        return (len(self._times) - 1) * self.images_per_step / (self._times[-1] - self._times[0])


class FiniteLoss(Callback):
    """Stop at once where the loss is no number."""

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, *args: Any
    ) -> None:
        loss = trainer.callback_metrics.get("loss")
        if loss is not None and not math.isfinite(float(loss)):
            raise Collapse(f"the loss became {float(loss)} at step {trainer.global_step}")
