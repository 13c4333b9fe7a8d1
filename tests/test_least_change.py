"""Models whose edits go the wrong way, turned."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import least_change as script
from cdvae_gan import CDVAEGAN, ModelConfig, load
from cdvae_gan.data import AttributeDataset, open_dataset
from cdvae_gan.errors import InputError
from cdvae_gan.images import to_float
from learning import Batches
from least_change import Lessons, Turn, least_change, turned

AVATARS = "avatars:n=60,validation=0.2"


def avatar_model(width: int = 4) -> CDVAEGAN:
    torch.manual_seed(0)
    names = open_dataset(AVATARS, size=32).attributes
    return CDVAEGAN(ModelConfig(names, image_size=32, z_dim=12, u_channels=0, width=width)).eval()


class Drawn(CDVAEGAN):
    """Every dimension of z is a pixel; where B is on the second one is drawn the other way round,
    and the third a little further."""

    def __init__(self) -> None:
        super().__init__(ModelConfig(("A", "B"), image_size=32, z_dim=4, width=4))

    def decode(self, z: Tensor, a: Tensor, u: Tensor | None = None) -> Tensor:
        pixels = z.clone()
        pixels[:, 1] *= 1 - 2 * a[:, 1]
        pixels[:, 2] *= 1 + a[:, 1]
        pixels[:, 0] += a[:, 0]
        return pixels[:, :, None, None]


def some_turn() -> Turn:
    first, second = torch.linalg.qr(torch.randn(2, 5, 5)).Q
    return Turn([first[:, :2], second[:, :1], first[:, :0]])


def test_a_turn_leaves_lengths_as_they_are_and_can_be_taken_back() -> None:
    torch.manual_seed(0)
    turn, z, a = some_turn(), torch.randn(20, 5), (torch.rand(20, 3) < 0.5).float()
    there = turn(z, a)
    torch.testing.assert_close(there.norm(dim=1), z.norm(dim=1))
    torch.testing.assert_close(turn.back(there, a), z)
    assert not torch.allclose(turn.back(z, a), turn(z, a))
    nothing = torch.cat([torch.zeros(20, 2), torch.ones(20, 1)], dim=1)
    assert torch.equal(turn(z, nothing), z)


def test_what_an_edit_draws_the_other_way_round_is_found_and_nothing_else() -> None:
    a, b = least_change(Drawn()).directions
    assert a.shape == (4, 0)
    torch.testing.assert_close(b.abs(), torch.tensor([[0.0], [1], [0], [0]]), atol=1e-3, rtol=0)


def test_a_turned_model_changes_less_and_needs_no_other_turn() -> None:
    model, turn = Drawn(), least_change(Drawn())
    z, off = torch.randn(200, 4), torch.zeros(200, 2)
    on = torch.tensor([0.0, 1.0]).expand(200, 2)
    x = model.decode(z, off)
    before = (model.decode(z, on) - x).square().mean()
    after = (model.decode(turn(z, on), on) - x).square().mean()
    assert after < before / 3

    class Turned(Drawn):
        def decode(self, z: Tensor, a: Tensor, u: Tensor | None = None) -> Tensor:
            return super().decode(turn(z, a), a, u)

    assert [d.shape[1] for d in least_change(Turned()).directions] == [0, 0]


def test_a_copy_learns_to_be_the_model_turned_and_the_model_stays_as_it_is() -> None:
    data = open_dataset(AVATARS, size=32).split("train")
    model = _with_statistics(avatar_model(width=16), data)
    was = {k: v.clone() for k, v in model.state_dict().items()}
    basis = torch.linalg.qr(torch.randn(12, 12)).Q
    turn = Turn([basis[:, :0]] * 5 + [basis[:, :6]] + [basis[:, :0]] * 2)
    found = turned(model, turn, Batches(data, 64, 0), 150, covers="Hat")
    assert all(torch.equal(model.state_dict()[k], v) for k, v in was.items())
    with torch.no_grad():
        for part, share in (("encoder", 0.5), ("decoder", 0.95)):
            lesson = f"of_{part}"
            before, after = (
                float(getattr(Lessons(model, turn, Batches(data, 64, 1)), lesson)(getattr(m, part)))
                for m in (model, found)
            )
            assert after < share * before, part


def _with_statistics(model: CDVAEGAN, data: AttributeDataset) -> CDVAEGAN:
    """As after a training: norms that fit, and drawings that differ."""
    images, labels = data.batch(np.arange(len(data)))
    with torch.no_grad():
        model.decoder.out.weight *= 20
        model.train()
        for _ in range(50):
            model.decode(model.encoder(to_float(images)).z_mean, labels.float())
    return model.eval()


def test_it_takes_all_labels() -> None:
    data = open_dataset(AVATARS, size=32).split("train")
    data.labels[3, 1] = -1
    with pytest.raises(InputError, match="takes all of them"):
        Batches(data, 8, 0)


def test_what_covers_is_an_attribute_of_the_model() -> None:
    data = open_dataset(AVATARS, size=32).split("train")
    with pytest.raises(InputError, match="Hat"):
        Lessons(avatar_model(), Turn([]), Batches(data, 8, 0), "Cap")


def test_where_nothing_goes_the_wrong_way_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    avatar_model().save(tmp_path / "model")
    monkeypatch.setattr(script, "least_change", lambda _: Turn([torch.zeros(12, 0)] * 8))
    out = tmp_path / "out"
    words = [str(tmp_path / "model"), "--source", AVATARS, "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["least_change.py", *words])
    script.main()
    assert "Hat: 0 of 12 directions go the wrong way" in capsys.readouterr().out
    assert not out.exists()
    one = Turn([torch.eye(12)[:, :1]] + [torch.zeros(12, 0)] * 7)
    monkeypatch.setattr(script, "least_change", lambda _: one)
    monkeypatch.setattr(sys, "argv", ["least_change.py", *words, "--steps", "2"])
    script.main()
    assert load(out).attributes == avatar_model().attributes
