"""The model as a distribution, and as files."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.distributions import Bernoulli, Independent, Normal

import cdvae_gan
from cdvae_gan import CDVAEGAN, InputError, ModelConfig
from cdvae_gan.card import blank_card
from cdvae_gan.model import exclusive_resolved

CONFIG = ModelConfig(
    ("Smile", "Black", "Blond"),
    image_size=32,
    z_dim=8,
    width=8,
    prior=(0.5, 0.9, 0.8),
    exclusive=(("Black", "Blond"),),
)


@pytest.fixture
def model() -> CDVAEGAN:
    torch.manual_seed(0)
    return CDVAEGAN(CONFIG).eval()


def test_encode_gives_distributions_over_z_and_a(model: CDVAEGAN) -> None:
    q_z, q_a = model.encode(torch.zeros(2, 3, 32, 32))
    assert isinstance(q_z, Independent)
    assert isinstance(q_z.base_dist, Normal)
    assert isinstance(q_a.base_dist, Bernoulli)
    assert q_z.batch_shape == q_a.batch_shape == (2,)
    assert q_z.event_shape == (8,)
    assert q_a.event_shape == (3,)


def test_the_plain_form_has_neither_spatial_latent_nor_mask() -> None:
    model = CDVAEGAN(ModelConfig(("A",), 32, z_dim=4, u_channels=0, mask_channels=0, width=8))
    model.eval()
    x = torch.rand(2, 3, 32, 32)
    assert model.posterior(x).u is None
    result = model.counterfactual(x, do={"A": "flip"})
    assert result.mask.abs().max() == 0
    assert model.decode(torch.zeros(2, 4), torch.zeros(2, 1)).shape == x.shape


def test_samples_follow_their_seed_and_the_intervention(model: CDVAEGAN) -> None:
    first, again = model.sample(50, {"Smile": 1}, seed=3), model.sample(50, {"Smile": 1}, seed=3)
    assert torch.equal(first.images, again.images)
    assert first.attributes[:, 0].eq(1).all()
    assert not torch.equal(first.images, model.sample(50, {"Smile": 1}, seed=4).images)
    assert first.images.abs().max() <= 1
    assert (first.attributes[:, 1] * first.attributes[:, 2]).sum() == 0
    with pytest.raises(InputError, match="at least 1"):
        model.sample(0)


def test_of_an_exclusive_group_the_first_that_is_on_stays() -> None:
    a = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    kept = exclusive_resolved(a, CONFIG.attributes, CONFIG.exclusive)
    assert kept.tolist() == [[1, 1, 0], [0, 0, 1]]


def test_a_fixed_scale_is_not_trained_and_a_learned_one_is() -> None:
    fixed = CDVAEGAN(ModelConfig(("A",), 32, z_dim=4, width=8, scale=0.2))
    learned = CDVAEGAN(ModelConfig(("A",), 32, z_dim=4, width=8))
    assert not fixed.log_scale.requires_grad
    assert float(fixed.log_scale.detach().exp()) == pytest.approx(0.2)
    assert learned.log_scale.requires_grad


def test_saved_and_loaded_is_the_same_model(model: CDVAEGAN, tmp_path: Path) -> None:
    for norm in model.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.normal_()  # type: ignore[union-attr]
    model.save(tmp_path / "m")
    loaded = cdvae_gan.load(tmp_path / "m")
    assert loaded.config == model.config
    assert not loaded.training
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    x = torch.rand(2, 3, 32, 32)
    a, b = (m.counterfactual(x, {"Smile": "flip"}).images for m in (model, loaded))
    assert torch.allclose(a, b, atol=1e-6)


def test_a_model_that_is_replaced_takes_its_card_with_it(model: CDVAEGAN, tmp_path: Path) -> None:
    model.card = blank_card(CONFIG, "old", metrics={"deception": {"Smile": 1.0}})
    model.save(tmp_path)
    assert cdvae_gan.load(tmp_path).deception == {"Smile": 1.0}
    model.card = None
    model.save(tmp_path)
    assert cdvae_gan.load(tmp_path).deception == {}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_what_lies_in_a_folder_without_a_model_stays(model: CDVAEGAN, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    model.save(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_half_precision_halves_the_file(model: CDVAEGAN, tmp_path: Path) -> None:
    whole = model.save(tmp_path / "whole") / "model.safetensors"
    half = model.save(tmp_path / "half", half=True) / "model.safetensors"
    assert half.stat().st_size < 0.55 * whole.stat().st_size
    assert all(v.dtype == torch.float16 for v in load_file(half).values())
    assert next(cdvae_gan.load(tmp_path / "half").parameters()).dtype == torch.float32


def test_loading_refuses_what_is_no_model(model: CDVAEGAN, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model 'nothing_here'"):
        cdvae_gan.load("nothing_here")
    with pytest.raises(InputError, match="missing"):
        cdvae_gan.load(tmp_path)
    folder = model.save(tmp_path / "m")
    (folder / "model.safetensors").write_bytes(b"not a tensor")
    with pytest.raises(InputError, match="safetensors"):
        cdvae_gan.load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json"):
        cdvae_gan.load(folder)


def test_weights_of_another_shape_are_refused(model: CDVAEGAN, tmp_path: Path) -> None:
    folder = model.save(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    config["z_dim"] = 9
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="does not fit"):
        cdvae_gan.load(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"attributes": "ABC"},
        {"attributes": [1, 2, 3]},
        {"image_size": "32"},
        {"image_size": 32.0},
        {"z_dim": 8.5},
        {"width": True},
        {"prior": ["a", "b", "c"]},
        {"prior": 0.5},
        {"detail": None},
        {"exclusive": ["Smile"]},
        {"alternatives": ["Smile"]},
        {"companions": [["Smile", 0]]},
        {"companions": [[]]},
        {"reach": [[1, 1, 1]] * 3},
        {"reach": [["a", "b"]] * 3},
        {"model_type": ["cdvae_gan"]},
    ],
)
def test_a_configuration_with_wrong_types_is_refused(change: dict[str, object]) -> None:
    values = json.loads(CONFIG.to_json()) | change
    with pytest.raises(InputError):
        ModelConfig.from_json(json.dumps(values))


def test_a_configuration_takes_no_memory_before_it_is_known_to_fit(
    model: CDVAEGAN, tmp_path: Path
) -> None:
    folder = model.save(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    for width in (2**16, 2**30, 2**60):  # terabytes, and more than can be counted
        (folder / "config.json").write_text(json.dumps({**config, "width": width}))
        with pytest.raises(InputError):
            cdvae_gan.load(folder)


def test_loading_leaves_torchs_compiler_alone(model: CDVAEGAN, tmp_path: Path) -> None:
    """It takes a second, and comes along with arithmetic on shapes without memory."""
    load = "import sys, cdvae_gan; cdvae_gan.load(sys.argv[1])"
    program = f"{load}; assert 'torch._dynamo' not in sys.modules"
    subprocess.run([sys.executable, "-c", program, model.save(tmp_path / "m")], check=True)


def test_a_pickle_is_not_opened(model: CDVAEGAN, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    folder = model.save(tmp_path / "m")
    for name in ("model.safetensors", "pytorch_model.bin", "model.pt"):
        torch.save(Trap(), folder / name)
    with pytest.raises(InputError, match="safetensors"):
        cdvae_gan.load(folder)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"attributes": ()},
        {"attributes": ("A", "A")},
        {"image_size": 48},
        {"z_dim": 0},
        {"width": 7},
        {"prior": (0.5,)},
        {"prior": (0.5, 0.5, 2.0)},
        {"exclusive": (("Smile", "Beard"),)},
        {"alternatives": (("Smile", "Beard"),)},
        {"companions": (("Smile", "Beard=0"),)},
        {"companions": (("Smile", "Black"),)},
        {"companions": (("Smile", "Black=2"),)},
        {"companions": (("Smile",),)},
        {"companions": (("Smile", "Smile=1"),)},
        {"companions": (("Smile", "Black=0", "Black=1"),)},
        {"exclusive": (("Smile", "Smile"),)},
        {"reach": ((1.0, 1.0),)},
        {"reach": ((0.0, 1.0),) * 3},
        {"detail": 1.5},
        {"scale": 0.0},
        {"scale": float("inf")},
    ],
)
def test_impossible_configurations_are_refused(change: dict[str, object]) -> None:
    values = {"attributes": CONFIG.attributes, **change}
    with pytest.raises(InputError):
        ModelConfig(**values)  # type: ignore[arg-type]


def test_a_configuration_survives_json() -> None:
    assert ModelConfig.from_json(CONFIG.to_json()) == CONFIG
    whole = replace(
        CONFIG,
        alternatives=(("Black", "Blond"),),
        companions=(("Black", "Blond=0"),),
        reach=((1.0, 2.0),) * 3,
    )
    assert ModelConfig.from_json(whole.to_json()) == whole
    older = json.loads(CONFIG.to_json())
    del older["alternatives"], older["companions"], older["reach"]
    assert ModelConfig.from_json(json.dumps(older)) == CONFIG, "models of before can be read"
    with pytest.raises(InputError, match="surprise"):
        ModelConfig.from_json('{"model_type": "cdvae_gan", "attributes": ["A"], "surprise": 1}')
    with pytest.raises(InputError, match="does not describe"):
        ModelConfig.from_json('{"model_type": "bert"}')


def test_from_the_hub_only_safe_files_are_fetched(
    model: CDVAEGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    folder = model.save(tmp_path / "m")
    asked: dict[str, object] = {}

    def snapshot_download(repo_id: str, **options: object) -> str:
        asked.update(options, repo_id=repo_id)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    loaded = cdvae_gan.load("owner/name")
    assert loaded.config == CONFIG
    assert asked["allow_patterns"] == [
        "model.safetensors",
        "config.json",
        "README.md",
        "metrics.json",
    ]
