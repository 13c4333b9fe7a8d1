"""Loading a judge, ours or anybody's: whatever maps images to attribute logits.

    a name, such as celeba-cnn           one that comes with this package
    a folder with card.json              one that this package trained
    anything else                        see `cdvae_gan.evaluation.foreign`

Its outputs are logits, above 0 for yes (or above ``thresholds``), and its ``attributes`` say what
they stand for. Classes that exclude each other are read one against the rest.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.foreign import Foreign, digest_of, open_foreign
from cdvae_gan.evaluation.judges.judge import Card, Judge
from cdvae_gan.evaluation.judges.store import load_saved, saves_judge, shipped_judges

__all__ = ["load_judge", "standard_judges"]


def load_judge(
    source: str | os.PathLike[str],
    *,
    attributes: Sequence[str] | None = None,
    device: str | torch.device = "cpu",
) -> Judge:
    """Load a judge of any kind that the module names.

    Args:
        source: The name of a shipped judge, a folder, a file, or ``module:function`` (which is
            run).
        attributes: What the K logits stand for, where the judge does not say; else the attributes
            wanted, in this order.
        device: Where networks run.

    Raises:
        InputError: There is no such judge, it cannot be read, or what its logits mean is not known.
    """
    # The bare name alone: ./celeba-cnn is a folder of the caller's.
    folder = shipped_judges().get(os.fspath(source), Path(os.fspath(source)).expanduser())
    if saves_judge(folder):
        judge = load_saved(folder, device)
        judge = replace(judge, digest=digest_of(sorted(folder.glob("*.safetensors"))))
        return judge if attributes is None else judge.select(attributes)
    if not folder.exists() and ":" not in str(source):
        raise InputError(
            f"no judge {str(source)!r}: expected a folder, a file .onnx, .pt or .pt2, "
            f"module:function, or one of {', '.join(shipped_judges())}"
        )
    return _judge_of(open_foreign(source, device=device), attributes)


def standard_judges(
    attributes: Sequence[str], *, device: str | torch.device = "cpu"
) -> list[Judge]:
    """The shipped judges that know all of some attributes, the best by their cards first.

    None for attributes of another kind.
    """
    found = [load_judge(name, device=device) for name in shipped_judges()]
    fitting = [judge for judge in found if set(attributes) <= set(judge.attributes)]
    return sorted(fitting, key=_accuracy, reverse=True)


def _accuracy(judge: Judge) -> float:
    return sum(q.balanced_accuracy or 0.5 for q in judge.card.quality)


def _judge_of(foreign: Foreign, attributes: Sequence[str] | None) -> Judge:
    said = foreign.meaning
    own = tuple(_same_name(name, attributes or ()) for name in said.classes or said.attributes)
    named = own or tuple(attributes or ())
    if not named:
        raise InputError(
            f"judge {foreign.name!r} does not say what its logits stand for: name its attributes, "
            'or write a JSON file beside it with {"attributes": […]}'
        )
    if said.task == "regression" or said.outputs == "probabilities":
        kind = said.outputs or said.task
        raise InputError(f"judge {foreign.name!r} returns {kind}: a judge returns logits")
    size, thresholds = said.image_size, said.thresholds
    card = Card(foreign.name, foreign.family, named, size, thresholds=thresholds)
    if said.classes:
        judge = Judge(
            card, lambda images: _one_against_rest(foreign.outputs(images)), foreign.digest
        )
    else:
        judge = Judge(card, foreign.outputs, foreign.digest)
    return judge.select(attributes) if own and attributes is not None else judge


def _one_against_rest(logits: Tensor) -> Tensor:
    """Log odds of each class, log p − log(1 − p), of classes that exclude each other."""
    k = logits.shape[1]
    rest = (
        logits[:, None, :]
        .expand(-1, k, -1)
        .masked_fill(torch.eye(k, dtype=torch.bool).to(logits.device), -torch.inf)
    )
    return logits - rest.logsumexp(dim=2)


def _same_name(label: str, attributes: Sequence[str]) -> str:
    """The attribute that a label means, spaces, case and underscores aside; or the label itself."""

    def plain(name: str) -> str:
        return "".join(c for c in name.lower() if c.isalnum())

    return next((a for a in attributes if plain(a) == plain(label)), label)
