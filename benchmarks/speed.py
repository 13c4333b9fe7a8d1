"""How fast training and counterfactuals are here, and how near that is to the processor's peak.

    python benchmarks/speed.py [--size 64] [--attributes 14] [--width 48] [--rounds 5] [--compile]

Times whole training steps (default preset, batch 64, random images), ``counterfactual`` at batch 1
and 64, without and with a retoucher, and what a refiner adds to it in a larger photo, each in
float32 and bfloat16, in turn, and prints the best and the median of the rounds.
The share of peak is the floating-point work of the convolutions and matrix products (counted by
torch's own FlopCounterMode) over time, against a matrix product measured in the same run.
Run it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import lightning
import torch
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from cdvae_gan import CDVAEGAN, ModelConfig
from cdvae_gan.data import Batch
from cdvae_gan.networks.memory import channels_last
from cdvae_gan.refinement import reduced, refine
from cdvae_gan.training import TrainConfig
from cdvae_gan.training.module import TrainingModule


def seconds(work: Callable[[], object], rounds: int) -> list[float]:
    """The time of each round, after one that is not counted."""
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times


def gemm_peak(bf16: bool, n: int = 2048) -> float:
    """Floating-point operations a second of a large matrix product, the best of ten.

    Taken by the library of matrix products and by that of convolutions (a product is a convolution
    with a kernel of one pixel), whichever is faster: on some processors the first is far behind.
    """
    dtype = torch.bfloat16 if bf16 else torch.float32
    a, b = torch.randn(n, n).to(dtype), torch.randn(n, n).to(dtype)
    image, kernel = a.T.reshape(1, n, n // 32, 32), b.reshape(n, n, 1, 1)
    image, kernel = (t.contiguous(memory_format=torch.channels_last) for t in (image, kernel))
    return max(
        2 * n**3 / min(seconds(work, 10))
        for work in (lambda: a @ b, lambda: torch.nn.functional.conv2d(image, kernel))
    )


def operations(work: Callable[[], object]) -> int:
    """Floating-point operations of convolutions and matrix products in one call."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def _model_config(
    names: tuple[str, ...], size: int, width: int, retouch_width: int = 0
) -> ModelConfig:
    """The default preset's model, and maybe a retoucher and a refiner as wide as celeba64's."""
    config = TrainConfig()
    return ModelConfig(
        names,
        size,
        z_dim=config.z_dim,
        u_channels=config.u_channels,
        mask_channels=config.mask_channels,
        gate_channels=config.gate_channels,
        fine_channels=config.fine_channels,
        width=width,
        retouch_width=retouch_width,
        refine_width=2 * retouch_width // 3,
        scale=config.scale,
    )


def training_step(
    size: int, n_attributes: int, width: int, bf16: bool, compiled: bool = False
) -> Callable[[], object]:
    """A whole training step on random images, as a call."""
    names = tuple(f"attribute_{k}" for k in range(n_attributes))
    config = TrainConfig(width=width)
    model = CDVAEGAN(_model_config(names, size, width))
    module = TrainingModule(model, config, torch.full((n_attributes,), 0.5), bf16)
    if compiled:
        model.encoder.compile()
        model.decoder.compile()
    images = torch.randint(0, 256, (64, size, size, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    batch = Batch(images, torch.randint(0, 2, (64, n_attributes), dtype=torch.int8))
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    # One fit of no batches attaches the module to its trainer and builds the optimisers.
    trainer.fit(module, torch.utils.data.DataLoader([batch], batch_size=None))
    module.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
    parameters = sum(
        p.numel()
        for part in (module.model, module.discriminator, module.adversary)
        for p in part.parameters()
    )
    print(f"parameters trained or fixed, E + G + D + adversary: {parameters / 1e6:.2f} million")
    return lambda: module.training_step(batch, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--attributes", type=int, default=14)
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--compile",
        action="store_true",
        help="time torch.compile of encoder and decoder too (needs a C++ compiler)",
    )
    o = parser.parse_args()
    table = Table(title=f"{o.size}×{o.size}, width {o.width}, {torch.get_num_threads()} threads")
    for column in ("what", "arithmetic", "best", "median", "images/s", "share of gemm peak"):
        table.add_column(column)
    for bf16 in (False, True):
        peak = gemm_peak(bf16)
        arithmetic = "bf16" if bf16 else "float32"
        step = training_step(o.size, o.attributes, o.width, bf16)
        names = tuple(f"attribute_{k}" for k in range(o.attributes))
        models = [
            channels_last(CDVAEGAN(_model_config(names, o.size, o.width, retouch)).eval())
            for retouch in (0, o.width)
        ]

        def counterfactual(n: int, model: CDVAEGAN, bf16: bool = bf16) -> Callable[[], object]:
            x = torch.rand(n, 3, o.size, o.size) * 2 - 1

            def call() -> object:
                with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                    return model.counterfactual(x, {"attribute_0": "flip"})

            return call

        def refining(n: int, model: CDVAEGAN, bf16: bool = bf16) -> Callable[[], object]:
            photos = torch.rand(n, 3, 2 * o.size, 2 * o.size) * 2 - 1
            found = model.counterfactual(reduced(photos).clamp(-1, 1), {"attribute_0": "flip"})

            def call() -> object:
                with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                    return refine(model, photos, found)

            return call

        measured = [
            ("training step, batch 64", step, 64),
            *(
                (f"counterfactual{kind}, batch {n}", counterfactual(n, model), n)
                for n in (1, 64)
                for kind, model in zip(("", " with retoucher"), models, strict=True)
            ),
            *((f"refine, batch {n}", refining(n, models[1]), n) for n in (1, 64)),
        ]
        if o.compile:
            compiled = training_step(o.size, o.attributes, o.width, bf16, compiled=True)
            measured.insert(1, ("the same, E and G compiled", compiled, 64))
        for what, work, images in measured:
            count = operations(work)
            times = seconds(work, o.rounds)
            best, median = min(times), statistics.median(times)
            table.add_row(
                what,
                arithmetic,
                f"{1000 * best:.1f} ms",
                f"{1000 * median:.1f} ms",
                f"{images / median:.0f}",
                f"{count / median / peak:.0%} of {peak / 1e9:.0f} Gflop/s",
            )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
