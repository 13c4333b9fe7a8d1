"""Where a training's figures go besides the run's own files: Lightning's loggers, by their names.

csv, tensorboard    RUN/logs/metrics.csv, and events for TensorBoard; what a run wrote before it
                    was resumed is kept beside it, metrics-1.csv …
wandb               Weights & Biases, files in RUN/logs/; set up by its own variables, WANDB_MODE …
mlflow              the server in MLFLOW_TRACKING_URI, else RUN/logs/mlflow
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from lightning.pytorch.loggers import (
    CSVLogger,
    Logger,
    MLFlowLogger,
    TensorBoardLogger,
    WandbLogger,
)
from lightning.pytorch.utilities import rank_zero_only

from cdvae_gan.errors import InputError, unknown_name

__all__ = ["DEFAULT_LOGGERS", "LOGGERS", "check_loggers", "make_loggers"]

DEFAULT_LOGGERS = ("csv", "tensorboard")

_PROJECT = "cdvae-gan"
_ID = "wandb_id.txt"


def _csv(run: Path) -> Logger:
    written = run / "logs" / "metrics.csv"
    first = not rank_zero_only.rank  # type: ignore[attr-defined]
    if written.is_file() and first:  # Lightning would delete it
        number = 1 + len(list(written.parent.glob("metrics-*.csv")))
        written.rename(written.with_name(f"metrics-{number}.csv"))
    return CSVLogger(run / "logs", name="", version="")


def _tensorboard(run: Path) -> Logger:
    return TensorBoardLogger(run / "logs", name="", version="")


def _wandb(run: Path) -> Logger:
    return WandbLogger(
        name=run.resolve().name,
        save_dir=run / "logs",
        project=_PROJECT,
        id=_wandb_id(run / "logs"),
        resume="allow",
    )


def _mlflow(run: Path) -> Logger:
    folder = str(run.resolve() / "logs" / "mlflow")
    return MLFlowLogger(_PROJECT, run_name=run.resolve().name, save_dir=folder)


_MAKERS: dict[str, Callable[[Path], Logger]] = {
    "csv": _csv,
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
}
LOGGERS = tuple(_MAKERS)
"""The names; each but ``csv`` is also that of the package it needs."""


def check_loggers(names: Sequence[str]) -> None:
    """Make sure that loggers can be made, before a run begins.

    Raises:
        InputError: For an unknown name, or one whose package is not installed.
    """
    for name in names:
        if name not in LOGGERS:
            raise unknown_name("logger", name, LOGGERS)
        if name != "csv" and not _installed(name):
            raise InputError(f"logger {name!r} needs a package of that name: pip install {name}")


def make_loggers(names: Sequence[str], run: Path) -> list[Logger]:
    """Loggers that write into a run's folder, or to a server that knows the run by its name.

    Args:
        names: Of `LOGGERS`; a name that comes twice counts once.
        run: The run's folder.

    Raises:
        InputError: As `check_loggers`.
    """
    check_loggers(names)
    return [_MAKERS[name](run) for name in dict.fromkeys(names)]


def _installed(package: str) -> bool:
    """A folder of that name, as Weights & Biases leaves behind, is no package: it has no origin."""
    spec = find_spec(package)
    return spec is not None and spec.origin is not None


def _wandb_id(folder: Path) -> str:
    """Kept with the run, so that it goes on as one there when it is resumed here."""
    path = folder / _ID
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(uuid.uuid4().hex[:12])
    return path.read_text().strip()
