"""Judges as they are shipped: small, graded again, and answering as before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cdvae_gan.data import open_dataset
from cdvae_gan.evaluation.judges import JudgeTraining, load_judge, train_judge
from ship_judges import main

DATA = "avatars:n=200,seed=4,validation=0.4"


@pytest.mark.parametrize("family", ["svm", "boosting", "cnn"])
def test_a_shipped_judge_is_half_as_large_and_answers_as_before(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.setenv("CDVAE_GAN_CACHE", str(tmp_path / "cache"))
    data = open_dataset(DATA, size=64, attributes=["Hat", "Suit"])
    training = JudgeTraining(epochs=1, components=8, rounds=10, bf16=False)
    whole = train_judge(data, tmp_path / "whole", family=family, training=training)
    words = [str(tmp_path / "whole"), "--data", DATA, "--out", str(tmp_path / "out")]
    assert main([*words, "--prefix", "avatars"]) == 0
    assert f"avatars-{family}" in capsys.readouterr().out
    folder = tmp_path / "out" / f"avatars-{family}"
    small = load_judge(folder)
    assert small.name == f"avatars-{family}"
    assert small.card.thresholds == whole.card.thresholds
    assert "limit" in small.card.notes
    images = data.split("validation").batch(range(60)).images
    assert (small.read(images) != whole.read(images)).float().mean() < 0.03
    stored = load_file(folder / "judge.safetensors").values()
    assert not any(v.dtype in (torch.float64,) for v in stored)
    sizes = [p.stat().st_size for p in (folder, tmp_path / "whole") for p in p.glob("*.safe*")]
    assert sizes[0] < 0.75 * sizes[1]


def test_what_is_no_judge_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none"), "--data", DATA, "--out", str(tmp_path / "out")]) == 2
    assert "no judge" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
