"""A small model and its graph, traced once for all tests: that takes seconds."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import onnx
import torch

from cdvae_gan import CDVAEGAN, ModelConfig
from cdvae_gan.export.graph import to_onnx
from cdvae_gan.networks.memory import channels_last

NAMES = ("Smile", "Glasses", "Black", "Blond")


@lru_cache(maxsize=1)
def small_model() -> CDVAEGAN:
    torch.manual_seed(0)
    config = ModelConfig(
        NAMES,
        image_size=32,
        z_dim=8,
        width=8,
        gate_channels=2,
        retouch_width=4,
        exclusive=(("Black", "Blond"),),
        alternatives=(("Black", "Blond"),),
        companions=((NAMES[0], f"{NAMES[1]}=0", "Black=1"),),
        detail=0.9,
        reach=((1.5, 0.75), (2.0, 1.25), (0.75, 1.5), (1.25, 2.0)),
        faint=0.02,
    )
    model = CDVAEGAN(config).eval()
    assert model.retoucher is not None
    with torch.no_grad():  # a gate that opens, and a retoucher that is seen
        model.decoder.out.weight[-config.gate_channels :] *= 50
        model.retoucher.out.weight *= 10
    return channels_last(model)  # as a loaded one is: sums may round otherwise


@lru_cache(maxsize=1)
def small_graph() -> onnx.ModelProto:
    return to_onnx(small_model())


def small_file(folder: Path) -> Path:
    file = folder / "small.onnx"
    file.write_bytes(small_graph().SerializeToString())
    return file
