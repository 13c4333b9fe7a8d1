"""Smaller forms of an exported graph.

fp16    Weights in half precision, arithmetic in float32: half the size. On processors, which have
        no arithmetic in half precision, it is neither slower nor less exact.
int8    onnxruntime's dynamic quantisation: weights in 8 bits, channel by channel, and activations
        in 8 bits with ranges found as they come: a quarter of the size.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from cdvae_gan.export.graph import missing_packages, note

if TYPE_CHECKING:
    import onnx

__all__ = ["PRECISIONS", "Precision", "in_precision"]

Precision = Literal["float32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("float32", "fp16", "int8")

_WEIGHTS = 256  # numbers: smaller arrays are biases and constants, which stay as they are
_HALF_MAX = 65504.0
_COARSE = 16  # channels: layers that end in fewer draw what is seen, and keep their precision


def in_precision(proto: onnx.ModelProto, precision: Precision) -> onnx.ModelProto:
    """A graph in another precision; the one that is given stays as it is.

    Args:
        proto: In float32.
        precision: Which.
    """
    if precision == "float32":
        return proto
    changed = _half(proto) if precision == "fp16" else _quantised(proto)
    note(changed, precision=precision)
    return changed


def _half(proto: onnx.ModelProto) -> onnx.ModelProto:
    from onnx import TensorProto, helper, numpy_helper

    result = type(proto)()
    result.CopyFrom(proto)
    graph, casts = result.graph, []
    for weights in graph.initializer:
        array = numpy_helper.to_array(weights)
        if array.dtype != np.float32 or array.size < _WEIGHTS:
            continue
        name = weights.name
        halved = array.clip(-_HALF_MAX, _HALF_MAX).astype(np.float16)
        weights.CopyFrom(numpy_helper.from_array(halved, f"{name}.half"))
        cast = helper.make_node(
            "Cast", [weights.name], [name], f"{name}.cast", to=TensorProto.FLOAT
        )
        casts.append(cast)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return result


def _quantised(proto: onnx.ModelProto) -> onnx.ModelProto:
    import onnx

    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError:
        raise missing_packages() from None
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # it advises a preparation that doubles every shared weight
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "int8.onnx")
            quantize_dynamic(
                proto,
                file,
                per_channel=True,
                weight_type=QuantType.QUInt8,  # onnxruntime convolves with no other
                nodes_to_exclude=_fine(proto),
            )
            return onnx.load(file)
    finally:
        logger.setLevel(level)


def _fine(proto: onnx.ModelProto) -> list[str]:
    """Convolutions that see the pixels or draw them: a few weights, on which all depends."""
    shapes = {weights.name: weights.dims for weights in proto.graph.initializer}
    found = []
    for node in proto.graph.node:
        if node.op_type == "Conv":
            out, into = shapes[node.input[1]][:2]
            if out <= _COARSE or into == 3:
                found.append(node.name)
    return found
