"""Where a training's figures go, and what is said where a logger is not installed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cdvae_gan import InputError
from cdvae_gan.data import open_dataset
from cdvae_gan.training import Limits, TrainConfig, loggers, train
from cdvae_gan.training.loggers import check_loggers, make_loggers
from command_line import Cli


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What Lightning's loggers of packages that need a server are called with."""
    calls: list[dict[str, Any]] = []
    for name in ("WandbLogger", "MLFlowLogger"):
        monkeypatch.setattr(loggers, name, lambda *a, _n=name, **k: calls.append({"is": _n, **k}))
    monkeypatch.setattr(loggers, "find_spec", lambda name: SimpleNamespace(origin="here"))
    return calls


@pytest.mark.parametrize(
    ("names", "files"),
    [(("csv",), {"metrics.csv"}), (("tensorboard",), {"events"}), ((), set())],
    ids=["csv", "tensorboard", "none"],
)
def test_figures_go_where_they_are_asked_to_and_nowhere_else(
    names: tuple[str, ...], files: set[str], tmp_path: Path
) -> None:
    data = open_dataset("avatars:n=40,validation=0.2", size=32, cache_dir=tmp_path / "cache")
    config = replace(TrainConfig.from_preset("paper", batch_size=8), width=4, z_dim=4)
    run = tmp_path / "run"
    train(data, run, Limits(steps=1), config, precision="32", loggers=names)
    left = {p.name for p in (run / "logs").iterdir()} - {"hparams.yaml"}
    assert {"events" if n.startswith("events") else n for n in left} == files
    assert (run / "validation.jsonl").is_file()  # the run's own record is always there


def test_a_run_stays_one_run_at_weights_and_biases(
    made: list[dict[str, Any]], tmp_path: Path
) -> None:
    for run in ("a", "a", "b"):
        make_loggers(["wandb"], tmp_path / run)
    first, again, other = made
    assert first == again
    assert first["name"] == "a"
    assert first["resume"] == "allow"
    assert first["id"] != other["id"]


def test_mlflow_writes_into_the_run_where_there_is_no_server(
    made: list[dict[str, Any]], tmp_path: Path
) -> None:
    make_loggers(["mlflow", "mlflow"], tmp_path / "a")
    assert made == [
        {"is": "MLFlowLogger", "run_name": "a", "save_dir": str(tmp_path / "a" / "logs" / "mlflow")}
    ]


def test_unknown_and_missing_loggers_are_named(not_installed: None) -> None:
    with pytest.raises(InputError, match="did you mean 'wandb'"):
        check_loggers(["wandd"])
    with pytest.raises(InputError, match="pip install mlflow"):
        check_loggers(["csv", "mlflow"])


def test_a_folder_called_wandb_is_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mlflow").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    if getattr(loggers.find_spec("mlflow"), "origin", None) is not None:
        pytest.skip("mlflow is installed here")
    with pytest.raises(InputError, match="pip install mlflow"):
        check_loggers(["mlflow"])


def test_the_command_says_so_before_it_begins(
    not_installed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    said = Cli(capsys).refused(
        "train", "avatars", "--out", run, "--steps", 1, "--logger", "csv,wandb"
    )
    assert "pip install wandb" in said
    assert not run.exists()
