"""An exported file does what the model does, and says what it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from cdvae_gan import CDVAEGAN, InputError, ModelConfig
from cdvae_gan.action import FLIP, LEAVE
from cdvae_gan.data.dataset import AttributeDataset, ImageRows
from cdvae_gan.evaluation.judges import Card, Judge
from cdvae_gan.export import Exported, Precision, deceptions, export_onnx
from cdvae_gan.runtime import Session
from command_line import Cli
from small_export import NAMES, small_graph, small_model

PRECISIONS: tuple[Precision, ...] = ("float32", "fp16", "int8")
Arrays = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def model() -> CDVAEGAN:
    return small_model()


@pytest.fixture
def traced_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracing takes seconds, and has been done."""
    monkeypatch.setattr("cdvae_gan.export.write.to_onnx", lambda model: small_graph())


@pytest.fixture(scope="module")
def exported(model: CDVAEGAN, tmp_path_factory: pytest.TempPathFactory) -> list[Exported]:
    folder = tmp_path_factory.mktemp("onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cdvae_gan.export.write.to_onnx", lambda model: small_graph())
        return export_onnx(model, {p: folder / f"{p}.onnx" for p in PRECISIONS})


@pytest.fixture(scope="module")
def sessions(exported: list[Exported]) -> dict[str, Session]:
    return {one.precision: Session(one.file, threads=1) for one in exported}


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def images(n: int) -> Tensor:
    generator = torch.Generator().manual_seed(n)
    return torch.randint(0, 256, (n, 3, 32, 32), generator=generator) / 127.5 - 1


def ask(x: Tensor, do: list[float], labels: list[float] | None = None, **scalars: float) -> Arrays:
    """The inputs of a file, the same intervention for all images."""
    n = len(x)
    told = [-1.0] * 4 if labels is None else labels
    return {
        "image": x.numpy(),
        "labels": np.tile(np.float32(told), (n, 1)),
        "do": np.tile(np.float32(do), (n, 1)),
        "strength": np.full(n, scalars.get("strength", 1), np.float32),
        "detail": np.full(n, scalars.get("detail", 1), np.float32),
    }


NOTHING = [LEAVE] * 4


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_a_file_answers_as_the_model_does_for_batches_of_any_size(
    model: CDVAEGAN, sessions: dict[str, Session], n: int, strength: float
) -> None:
    x, do = images(n), [FLIP, 0.3, LEAVE, 1.0]
    asked = {"Smile": "flip", "Glasses": 0.3, "Blond": 1}
    expected = model.counterfactual(x, asked, detail=0.5, strength=strength)
    found = sessions["float32"].run(**ask(x, do, detail=0.5, strength=strength))
    pairs = {
        "counterfactual": expected.images,
        "mask": expected.mask,
        "before": expected.before,
        "asked": expected.asked,
        "after": expected.after,
    }
    for name, tensor in pairs.items():
        assert np.abs(found[name] - tensor.numpy()).max() < 1e-3, name


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("nothing", [LEAVE, np.nan])
def test_doing_nothing_returns_the_image_bit_for_bit(
    sessions: dict[str, Session], precision: str, nothing: float
) -> None:
    x = images(3)
    found = sessions[precision].run(**ask(x, [nothing] * 4))
    assert np.array_equal(found["counterfactual"], x.numpy())
    assert found["mask"].max() == 0


@pytest.mark.parametrize("precision", PRECISIONS)
def test_exclusive_attributes_give_way_inside_the_file(
    sessions: dict[str, Session], precision: str
) -> None:
    dark = [0.0, 0.0, 1.0, 0.0]
    found = sessions[precision].run(**ask(images(1), [LEAVE, LEAVE, LEAVE, 1], labels=dark))
    assert found["asked"].tolist() == [[0, 0, 0, 1]]
    half = ask(images(1), [LEAVE, LEAVE, LEAVE, 1], labels=dark, strength=0.25)
    assert sessions[precision].run(**half)["asked"].tolist() == [[0, 0, 0.75, 0.25]]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_alternatives_take_the_place_inside_the_file(
    sessions: dict[str, Session], precision: str
) -> None:
    dark = [0.0, 0.0, 1.0, 0.0]
    found = sessions[precision].run(**ask(images(1), [LEAVE, LEAVE, 0, LEAVE], labels=dark))
    assert found["asked"].tolist() == [[0, 0, 0, 1]]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_goes_takes_its_companions_along_inside_the_file(
    sessions: dict[str, Session], precision: str
) -> None:
    both = [1.0, 1.0, 0.0, 1.0]
    found = sessions[precision].run(**ask(images(1), [0, LEAVE, LEAVE, LEAVE], labels=both))
    assert found["asked"].tolist() == [[0, 0, 1, 0]]


def test_every_image_of_a_batch_has_its_own_intervention(sessions: dict[str, Session]) -> None:
    together = {k: np.repeat(v, 2, axis=0) for k, v in ask(images(1), NOTHING).items()}
    together["do"][1] = [FLIP, LEAVE, LEAVE, LEAVE]
    together["strength"][1] = 0.5
    found = sessions["float32"].run(**together)
    assert np.array_equal(found["counterfactual"][0], together["image"][0])
    assert found["asked"][1, 0] == 0.5
    assert np.abs(found["counterfactual"][1] - together["image"][1]).max() > 1e-4


def test_what_an_export_differs_is_measured(exported: list[Exported]) -> None:
    by = {one.precision: one.difference for one in exported}
    assert by["float32"].largest <= 1e-3
    assert by["float32"].flipped == 0
    assert by["float32"].image_mean < by["int8"].image_mean, "8 bits cannot be as exact"
    assert all(d.exact and d.n > 32 for d in by.values())


def test_other_precisions_are_smaller(exported: list[Exported]) -> None:
    sizes = {one.precision: one.bytes for one in exported}
    assert max(sizes["int8"], sizes["fp16"]) < sizes["float32"]


def test_a_file_says_what_it_is_and_nothing_of_where_it_was_made(
    exported: list[Exported], model: CDVAEGAN
) -> None:
    for one in exported:
        proto = onnx.load(one.file)
        told = {p.key: p.value for p in proto.metadata_props}
        assert json.loads(told["attributes"]) == list(NAMES)
        assert told["image_size"] == "32"
        assert told["precision"] == one.precision
        assert ModelConfig.from_json(told["config"]) == model.config
        assert proto.opset_import[0].version == one.to_dict()["opset"]
        assert [d.dim_param for d in proto.graph.input[0].type.tensor_type.shape.dim[:1]] == [
            "batch"
        ]
        assert proto.graph.input[2].doc_string
        assert b".py" not in one.file.read_bytes()


def test_the_papers_plain_form_is_exported_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = ModelConfig(NAMES[:2], image_size=32, z_dim=4, width=4, u_channels=0, mask_channels=0)
    (one,) = export_onnx(CDVAEGAN(config).eval(), {"float32": tmp_path / "plain.onnx"})
    assert one.difference.largest <= 1e-3


@pytest.mark.usefixtures("traced_before")
def test_a_file_that_does_something_else_is_not_written(
    model: CDVAEGAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(graph: onnx.ModelProto, precision: str) -> onnx.ModelProto:
        proto = onnx.ModelProto()
        proto.CopyFrom(graph)
        for weights in proto.graph.initializer:
            if weights.name.endswith("to_z.bias"):
                weights.raw_data = (np.frombuffer(weights.raw_data, np.float32) + 1).tobytes()
        return proto

    monkeypatch.setattr("cdvae_gan.export.write.in_precision", other)
    with pytest.raises(RuntimeError, match="differs from the model by"):
        export_onnx(model, {"float32": tmp_path / "model.onnx"})
    assert not list(tmp_path.iterdir())


def test_a_judge_says_what_a_file_loses(model: CDVAEGAN, sessions: dict[str, Session]) -> None:
    rng = np.random.default_rng(0)
    dataset = AttributeDataset(
        "noise",
        NAMES[:2],
        ImageRows(rng.integers(0, 256, (12, 32, 32, 3), np.uint8), np.arange(12)),
        rng.integers(0, 2, (12, 2)).astype(np.int8),
        np.full(12, "validation"),
        tuple(f"{i}.png" for i in range(12)),
    )
    judge = Judge(Card("eye", "test", NAMES[:2]), lambda x: x.float().mean((2, 3))[:, :2] - 127.5)
    model = CDVAEGAN(model.config).eval()  # another model: its edits are not those of the file
    found = deceptions(model, {"a file": sessions["float32"]}, judge, dataset)
    assert found.files["a file"].n == found.model.n > 0
    assert found.loss("a file") == found.model.value - found.files["a file"].value


@pytest.mark.usefixtures("traced_before")
def test_the_command_writes_a_file(cli: Cli, model: CDVAEGAN, tmp_path: Path) -> None:
    folder, file = model.save(tmp_path / "faces"), tmp_path / "made" / "faces.onnx"
    result = cli("export", folder, "--onnx", file, "--precision", "fp16", "--json")
    assert result.code == 0, result
    (told,) = result.objects[0]["files"]
    assert told["file"] == str(file)
    assert told["precision"] == "fp16"
    assert told["bytes"] == file.stat().st_size
    assert Session(file).metadata["precision"] == "fp16"
    assert "--overwrite" in cli.refused("export", folder, "--onnx", file)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--onnx"),
        (["--onnx", "model.pt"], "model.pt"),
        (["--onnx", "model.onnx", "--judge", "judges/cnn"], "--source"),
        (["--onnx", "model.onnx", "--precision", "int4"], "int4"),
    ],
)
def test_the_command_refuses_what_it_cannot_do(cli: Cli, words: list[str], message: str) -> None:
    assert message in cli.refused("export", "celeba64", *words)


def test_other_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.onnx"
    with pytest.raises(InputError, match="no file"):
        Session(file)
    file.write_bytes(b"no model")
    with pytest.raises(InputError, match="not a readable ONNX file"):
        Session(file)
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([node], "g", [x], [y])
    opset = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), file)
    with pytest.raises(InputError, match="was not written by cdvae-gan"):
        Session(file)
