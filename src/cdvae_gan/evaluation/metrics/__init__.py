"""Metrics of counterfactual images: fed batch by batch, answered with intervals.

Every metric has ``update``, ``compute`` and ``reset``; ``compute`` returns a `Table` of estimates,
each a value, its 95 % bootstrap interval and the number of images behind it.
"""

from cdvae_gan.evaluation.metrics.agreement import Agreement
from cdvae_gan.evaluation.metrics.base import MEAN, Summed, Table, difference, over_judges
from cdvae_gan.evaluation.metrics.deception import Deception, Preservation, StrengthCurve
from cdvae_gan.evaluation.metrics.identity import Identity
from cdvae_gan.evaluation.metrics.labels import LabelQuality
from cdvae_gan.evaluation.metrics.pixels import (
    Composition,
    Minimality,
    Reconstruction,
    Reversibility,
)
from cdvae_gan.evaluation.metrics.probes import Probe
from cdvae_gan.evaluation.metrics.realism import Realism
from cdvae_gan.evaluation.metrics.robustness import Robustness
from cdvae_gan.evaluation.metrics.truth import TrueError

__all__ = [
    "MEAN",
    "Agreement",
    "Composition",
    "Deception",
    "Identity",
    "LabelQuality",
    "Minimality",
    "Preservation",
    "Probe",
    "Realism",
    "Reconstruction",
    "Reversibility",
    "Robustness",
    "StrengthCurve",
    "Summed",
    "Table",
    "TrueError",
    "difference",
    "over_judges",
]
