"""A counterfactual as one ONNX graph: abduction, action and prediction in a single call.

    image     (B, 3, S, S) in [−1, 1]      counterfactual  (B, 3, S, S) in [−1, 1]: x′
    labels    (B, K) 0, 1; −1: unknown     mask            (B, 1, S, S) in [0, 1]
    do        (B, K) in [0, 1]: set a_k;   before          (B, K): α(x), or the label
              −1 or nan: leave it;    →    asked           (B, K): a′
              2: flip it                   after           (B, K): α(x′)
    strength  (B,) in [0, 1]
    detail    (B,) in [0, 1]: κ

What an intervention entails is inside the graph (`cdvae_gan.action.Rules`), and where a′ = a and
κ = 1 the image comes back bit for bit. It is traced from the functions of
`cdvae_gan.counterfactual`, which are not written twice.
"""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cdvae_gan import __version__
from cdvae_gan.action import Rules
from cdvae_gan.counterfactual import abduct, act_by_code, predict, rules_of
from cdvae_gan.errors import InputError
from cdvae_gan.model import CDVAEGAN

if TYPE_CHECKING:
    import onnx

__all__ = ["INPUTS", "OPSET", "OUTPUTS", "CounterfactualGraph", "missing_packages", "to_onnx"]

OPSET = 18
"""Of the ONNX operators; onnxruntime knows it since 1.14, of February 2023."""

INPUTS: Mapping[str, str] = {
    "image": "(B, 3, S, S) in [-1, 1]: the images",
    "labels": "(B, K): 0 or 1 where known, -1 where the model is to read it off the image",
    "do": "(B, K): in [0, 1] to set an attribute, -1 or nan to leave it, 2 to flip it",
    "strength": "(B,) in [0, 1]: how far to go from what is there to what do says",
    "detail": "(B,) in [0, 1]: 1 keeps all detail of the photo that the edit leaves alone",
}
OUTPUTS: Mapping[str, str] = {
    "counterfactual": "(B, 3, S, S) in [-1, 1]: the images that would have been",
    "mask": "(B, 1, S, S) in [0, 1]: where the photo's own detail was given up",
    "before": "(B, K): probability of each attribute as read off the image, or its label",
    "asked": "(B, K) in [0, 1]: the attributes after the intervention",
    "after": "(B, K): probability of each attribute as read off the counterfactual",
}


class CounterfactualGraph(nn.Module):
    """What is exported: tensors in, tensors out.

    Args:
        model: The model.
    """

    yields: Tensor
    replaces: Tensor
    takes: Tensor
    brings: Tensor

    def __init__(self, model: CDVAEGAN) -> None:
        super().__init__()
        self.model = model
        for name, table in rules_of(model.config)._asdict().items():
            self.register_buffer(name, table)

    def forward(
        self, image: Tensor, labels: Tensor, do: Tensor, strength: Tensor, detail: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Inputs and outputs are those of `INPUTS` and `OUTPUTS`, in their order."""
        found = abduct(self.model, image, labels, do)
        known = Rules(self.yields, self.replaces, self.takes, self.brings)
        a = act_by_code(found.a, found.probabilities, do, known, strength[:, None])
        drawn, mask = predict(self.model, image, found, a, do, detail[:, None, None, None])
        after = self.model.encoder(drawn).a_logits.sigmoid()
        return drawn, mask, found.probabilities, a, after


def to_onnx(model: CDVAEGAN) -> onnx.ModelProto:
    """A model as an ONNX graph in float32, with its configuration in ``metadata_props``.

    Raises:
        InputError: Where the packages that export are missing.
    """
    size, k = model.image_size, len(model.attributes)
    example = {
        "image": torch.zeros(2, 3, size, size),
        "labels": torch.zeros(2, k),
        "do": torch.zeros(2, k),
        "strength": torch.ones(2),
        "detail": torch.ones(2),
    }
    graph = CounterfactualGraph(copy.deepcopy(model).cpu())
    return traced(graph, example, list(OUTPUTS), model, part="counterfactual")


def traced(
    graph: nn.Module,
    example: Mapping[str, Tensor],
    outputs: Sequence[str],
    model: CDVAEGAN,
    part: str,
) -> onnx.ModelProto:
    """A module as an ONNX graph whose first dimension, of everything, is the batch's.

    Args:
        graph: A module on the CPU.
        example: One tensor of at least two rows for each argument, in their order.
        outputs: Names of what comes out.
        model: The model that this is, or is part of.
        part: Which part of it, as the file will say.
    """
    batch = torch.export.Dim("batch")
    with _quiet():
        try:
            # In two steps: the second alone would take a batch that it cannot trace as a constant.
            program = torch.onnx.export(
                torch.export.export(
                    graph.eval(),
                    tuple(example.values()),
                    dynamic_shapes=tuple({0: batch} for _ in example),
                ),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(example),
                output_names=list(outputs),
                verbose=False,
            )
        except ImportError:
            raise missing_packages() from None
    assert program is not None
    proto: onnx.ModelProto = program.model_proto
    _strip(proto)
    config = model.config
    note(proto, model_type="cdvae_gan", part=part, version=__version__, precision="float32")
    note(proto, attributes=json.dumps(config.attributes), image_size=str(config.image_size))
    note(proto, config=config.to_json())
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
        value.doc_string = {**INPUTS, **OUTPUTS}.get(value.name, "")
    return proto


def note(proto: onnx.ModelProto, **values: str) -> None:
    """Write into ``metadata_props``, in place of what is there under the same keys."""
    kept = {p.key: p.value for p in proto.metadata_props} | values
    del proto.metadata_props[:]
    for key, value in kept.items():
        proto.metadata_props.add(key=key, value=value)


def missing_packages() -> InputError:
    """The error where what exports is not installed."""
    return InputError("exporting needs more packages: pip install 'cdvae-gan[export]'")


def _strip(proto: onnx.ModelProto) -> None:
    """Forget how it was traced: names of files and lines of code, half a megabyte of them."""
    graph = proto.graph
    del proto.metadata_props[:]
    del graph.metadata_props[:]
    del graph.value_info[:]
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Torch's exporter warns of things that its callers cannot mend."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
