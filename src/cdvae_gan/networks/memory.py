"""Memory layout: convolutions on a processor are fastest with channels last."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

__all__ = ["channels_last"]

_Module = TypeVar("_Module", bound=nn.Module)


def channels_last(module: _Module) -> _Module:
    """The module itself, its weights laid out channels last."""
    # torch's types know this call only together with a device.
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
