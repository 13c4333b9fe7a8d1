"""The script that trained the shipped model of avatars."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import cdvae_gan
import train_avatars64


def test_it_trains_part_after_part_and_does_not_train_again_what_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "avatars:n=60,validation=0.2"
    words = ["--out", str(tmp_path), "--source", source, "--size", "32", "--share", "0.0004"]
    monkeypatch.setattr(sys, "argv", ["train_avatars64.py", *words])
    train_avatars64.main()
    last = tmp_path / f"part-{len(train_avatars64.parts())}"
    assert f"the model: {last}" in capsys.readouterr().out
    written = (last / "model" / "model.safetensors").read_bytes()
    shipped = cdvae_gan.load("avatars64").config
    trained = cdvae_gan.load(last).config
    assert (trained.width, trained.attributes) == (shipped.width, shipped.attributes)
    train_avatars64.main()
    assert (last / "model" / "model.safetensors").read_bytes() == written
