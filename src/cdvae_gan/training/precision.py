"""Which arithmetic to train in, found by a quick probe of the machine at hand."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from cdvae_gan.networks.memory import channels_last

__all__ = ["Precision", "PrecisionChoice", "choose_precision"]

Precision = Literal["auto", "bf16", "32"]

_WORTH_IT = 1.2


@dataclass(frozen=True)
class PrecisionChoice:
    """What was chosen, and why, in words."""

    bf16: bool
    reason: str


def choose_precision(asked: Precision, device: torch.device) -> PrecisionChoice:
    """Choose bfloat16 autocast or float32.

    Args:
        asked: ``bf16`` or ``32`` to insist; ``auto`` to probe.
        device: Where training will run.
    """
    if asked != "auto":
        return PrecisionChoice(asked == "bf16", "as asked")
    if device.type == "cuda":
        supported = torch.cuda.is_bf16_supported()
        return PrecisionChoice(supported, "the GPU has it" if supported else "the GPU has no bf16")
    if device.type != "cpu":
        return PrecisionChoice(False, f"bf16 is not probed on {device.type}")
    gain = _convolution_time(bf16=False) / _convolution_time(bf16=True)
    return PrecisionChoice(
        gain > _WORTH_IT, f"bf16 convolutions are {gain:.1f} times as fast as float32 here"
    )


def _convolution_time(bf16: bool, rounds: int = 3) -> float:
    """Seconds of the fastest of some passes forward and backward through a convolution.

    Of one thread, by its own clock: on a machine that is busy, threads wait for each other, and a
    clock on the wall tells what else is running.
    """
    with torch.random.fork_rng(devices=[]):
        layer = channels_last(nn.Conv2d(64, 64, 3, padding=1))
        x = torch.randn(16, 64, 32, 32).to(memory_format=torch.channels_last).requires_grad_()
    best, threads = float("inf"), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(rounds + 1):
            start = time.thread_time()
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                y = layer(x)
            y.float().sum().backward()
            best = min(best, time.thread_time() - start)
    finally:
        torch.set_num_threads(threads)
    return best
