"""Metrics of counterfactual images: fed batch by batch, answered with intervals.

Every metric has ``update``, ``compute`` and ``reset``; ``compute`` returns a `Table` of estimates,
each a value, its 95 % bootstrap interval and the number of images behind it.
"""

from cdvae_gan.evaluation.metrics.base import MEAN, Table
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

__all__ = [
    "MEAN",
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
    "StrengthCurve",
    "Table",
]
