"""Judges as a filter: a counterfactual is kept only if every judge reads it as what it claims."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cdvae_gan.errors import InputError, unknown_name
from cdvae_gan.evaluation.judges import Judge

__all__ = ["Filter", "Verdicts"]


@dataclass(frozen=True)
class Verdicts:
    """What the judges say of a batch of counterfactuals."""

    confidence: Tensor
    """``(B,)``: the lowest probability that a judge gives to a claim; nan where none was asked"""
    refused: tuple[str | None, ...]
    """For each image who refused it and about what, ``cnn: Male``; None if it is kept"""


@dataclass(frozen=True)
class Filter:
    """Judges, and the names that images make claims about.

    Args:
        judges: Each must know the edited names; what it knows of the others it is asked too.
        names: The claimed attributes.
        confidence: The least probability that a claim needs, besides being the judge's answer.
    """

    judges: tuple[Judge, ...]
    names: tuple[str, ...]
    confidence: float = 0.0

    @classmethod
    def of(
        cls,
        judges: Iterable[Judge],
        names: Sequence[str],
        edited: Sequence[str],
        confidence: float = 0.0,
    ) -> Filter:
        """Check that the judges can be asked.

        Raises:
            InputError: A judge does not know what is edited, or reads it badly, or a confidence
                that is no probability.
        """
        if not 0 <= confidence < 1:
            raise InputError(f"confidence must lie in [0, 1), not {confidence}")
        chosen = []
        for judge in judges:
            trusted = dict(zip(judge.attributes, judge.card.trusted, strict=True))
            for name in edited:
                if name not in trusted:
                    raise unknown_name(f"attribute of judge {judge.name}", name, judge.attributes)
                if not trusted[name]:
                    raise InputError(
                        f"judge {judge.name!r} reads {name} too badly to filter by: train another"
                    )
            known = [n for n in names if trusted.get(n)]
            if known:  # it may know none where nothing is to be edited
                chosen.append(judge.select(known))
        return cls(tuple(chosen), tuple(names), confidence)

    def __call__(self, images: Tensor, claims: Tensor) -> Verdicts:
        """Ask all judges.

        Args:
            images: uint8 ``(B, 3, H, W)``.
            claims: ``(B, len(names))`` in {0, 1}.
        """
        refused: list[str | None] = [None] * len(images)
        confidence = torch.full((len(images),), torch.nan if not self.judges else 1.0)
        for judge in self.judges:
            logits = judge.logits(images)
            answers = judge.answers(logits)
            for k, name in enumerate(judge.attributes):
                claim = claims[:, self.names.index(name)] == 1
                sure = torch.where(claim, logits[:, k], -logits[:, k]).sigmoid()
                confidence = torch.minimum(confidence, sure)
                denied = (answers[:, k] != claim) | (sure < self.confidence)
                for i in torch.nonzero(denied)[:, 0].tolist():
                    refused[i] = refused[i] or f"{judge.name}: {name}"
        return Verdicts(confidence, tuple(refused))
