"""How near an exported file is to the model: in its numbers, and in what a judge says of its edits.

Images where a reading lies within `_TIE` of its threshold are left out of the comparison of
numbers: rounding alone may put such an attribute on one side or the other, and with it everything
that is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from cdvae_gan.action import FLIP, LEAVE, codes, present
from cdvae_gan.data.dataset import AttributeDataset
from cdvae_gan.errors import InputError
from cdvae_gan.evaluation.bootstrap import Estimate
from cdvae_gan.evaluation.edits import Editor, ModelEditor
from cdvae_gan.evaluation.flips import flip_deception
from cdvae_gan.evaluation.judges import Judge
from cdvae_gan.evaluation.metrics.base import MEAN
from cdvae_gan.evaluation.metrics.deception import ALL
from cdvae_gan.export.graph import INPUTS, OUTPUTS, CounterfactualGraph
from cdvae_gan.model import CDVAEGAN
from cdvae_gan.runtime import Session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[np.float32]]

__all__ = ["Deceptions", "Difference", "OnnxEditor", "deceptions", "differences", "trials"]

_TIE = 1e-3
_BATCH = 16
_GREY = 127.5  # grey levels in a unit of [−1, 1]


@dataclass(frozen=True)
class Difference:
    """Between what a file answers and what the model answers, on the same inputs."""

    largest: float
    """max |difference| over all outputs: images in [−1, 1], probabilities in [0, 1]"""
    image_mean: float
    """Mean |difference| of the counterfactuals, in grey levels of 255"""
    image_largest: float
    """The largest, likewise"""
    flipped: int
    """Readings of the images, of all attributes, that come out on the other side of ½"""
    exact: bool
    """Whether images to which nothing was done came back bit for bit"""
    n: int
    """Images that were compared"""

    def to_dict(self) -> dict[str, float | int | bool]:
        return asdict(self)


def trials(model: CDVAEGAN, images: Tensor | None = None, n: int = 32, seed: int = 0) -> Arrays:
    """Inputs to compare on: noise, images that the model draws, and others where they are given.

    The interventions set, flip and leave attributes at random, at random strengths; some do
    nothing; some images come with labels.

    Args:
        model: The model.
        images: ``(B, 3, S, S)`` in [−1, 1].
        n: Images of noise, and as many that are drawn.
        seed: Of everything.
    """
    generator = torch.Generator().manual_seed(seed)
    size, k = model.image_size, len(model.attributes)
    noise = torch.rand(n, 3, size, size, generator=generator) * 2 - 1
    drawn = model.sample(n, seed=generator).images.cpu()
    x = torch.cat([noise, drawn] if images is None else [noise, drawn, images])
    b = len(x)
    chosen = torch.randint(0, 5, (b, k), generator=generator)
    between = torch.rand(b, k, generator=generator)
    values = torch.tensor([LEAVE, LEAVE, FLIP, 1.0, 0.0])[chosen]
    do = torch.where((values == 0) & (between > 0.5), between, values)
    do[::4] = LEAVE
    labels = torch.randint(0, 2, (b, k), generator=generator).float()
    labels[torch.rand(b, k, generator=generator) < 0.8] = -1
    detail = torch.rand(b, generator=generator)
    detail[::2] = 1
    tensors = (x, labels, do, torch.rand(b, generator=generator), detail)
    return {name: t.numpy() for name, t in zip(INPUTS, tensors, strict=True)}


class Answers(Protocol):
    """A `Session`, or what does the same."""

    def run(self, **inputs: NDArray[np.float32]) -> Arrays:
        """Answer a batch."""


@torch.no_grad()
def differences(model: CDVAEGAN, session: Answers, inputs: Arrays) -> Difference:
    """Compare a file with the model that it was exported from.

    Args:
        model: The model.
        session: The file.
        inputs: See `trials`.

    Raises:
        InputError: Where no image is left to compare.
    """
    graph = CounterfactualGraph(model).eval()
    device = next(model.parameters()).device
    answers: list[tuple[Arrays, Arrays]] = []
    for start in range(0, len(inputs["image"]), _BATCH):
        part = {name: array[start : start + _BATCH] for name, array in inputs.items()}
        ours = graph(*(torch.from_numpy(array).to(device) for array in part.values()))
        expected = dict(zip(OUTPUTS, (t.cpu().numpy() for t in ours), strict=True))
        answers.append((expected, session.run(**part)))
    expected, found = (
        {name: np.concatenate([pair[i][name] for pair in answers]) for name in OUTPUTS}
        for i in (0, 1)
    )
    certainty, tie = model.config.certainty, np.float32(_TIE)
    low, high = (
        present(expected["before"] + shift, inputs["do"], certainty) for shift in (-tie, tie)
    )
    sure = (low == high).all(axis=1)
    if not sure.any():
        raise InputError("nothing to compare: the model reads every attribute as undecided")
    gaps = {name: np.abs(found[name] - expected[name])[sure] for name in OUTPUTS}
    idle = (inputs["do"] == LEAVE).all(axis=1) & (inputs["detail"] == 1)
    image = gaps["counterfactual"] * _GREY
    return Difference(
        largest=float(max(gap.max() for gap in gaps.values())),
        image_mean=float(image.mean()),
        image_largest=float(image.max()),
        flipped=int(((found["before"] > 0.5) != (expected["before"] > 0.5))[sure].sum()),
        exact=bool(np.array_equal(found["counterfactual"][idle], inputs["image"][idle])),
        n=int(sure.sum()),
    )


class OnnxEditor:
    """An exported file as an editor; see `cdvae_gan.evaluation.edits`.

    Args:
        session: The file.
        attributes: The K names.
        detail: κ.
    """

    def __init__(self, session: Session, attributes: Sequence[str], detail: float) -> None:
        self.session = session
        self.attributes = attributes
        self.detail = detail

    def __call__(
        self, x: Tensor, attribute: str | None, target: Tensor | None, strength: float = 1.0
    ) -> Tensor:
        n = len(x)
        do = np.broadcast_to(codes({}, self.attributes), (n, len(self.attributes))).copy()
        if attribute is not None and target is not None:
            do[:, self.attributes.index(attribute)] = target.numpy()
        answer = self.session.run(
            image=x.contiguous().numpy(),
            labels=np.full_like(do, -1),
            do=do,
            strength=np.full(n, strength, np.float32),
            detail=np.full(n, self.detail, np.float32),
        )
        return torch.from_numpy(answer["counterfactual"])


@dataclass(frozen=True)
class Deceptions:
    """The share of flips that a judge believes: the model's, and each file's on the same images."""

    model: Estimate
    files: dict[str, Estimate]
    judge: str
    dataset: str

    def loss(self, name: str) -> float:
        """What a file loses against the model; negative where it gains."""
        return self.model.value - self.files[name].value

    def to_dict(self) -> dict[str, object]:
        return {
            "judge": self.judge,
            "source": self.dataset,
            "model": self.model.to_dict(),
            "files": {
                name: {**found.to_dict(), "loss": self.loss(name)}
                for name, found in self.files.items()
            },
        }


def deceptions(
    model: CDVAEGAN, sessions: Mapping[str, Session], judge: Judge, dataset: AttributeDataset
) -> Deceptions:
    """Ask a judge of the flips of the model and of files that were exported from it.

    Args:
        model: The model.
        sessions: The files, by any name.
        judge: Of any family.
        dataset: Images that neither has seen: the report half of the validation split.
    """

    def mean(editor: Editor) -> Estimate:
        return flip_deception(editor, judge, dataset).deception[MEAN, ALL]

    editors = {
        name: OnnxEditor(session, model.attributes, model.config.detail)
        for name, session in sessions.items()
    }
    files = {name: mean(editor) for name, editor in editors.items()}
    return Deceptions(mean(ModelEditor(model)), files, judge.name, dataset.name)
