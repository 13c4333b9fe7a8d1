"""Audit someone else's classifier: does its answer change when one attribute changes?

``measure`` takes the scores, ``placebo`` makes the changes that carry no attribute, ``effects`` and
``significance`` the statistics, ``conclusions`` the words, ``report`` the pages, ``explainer`` an
object with ``explain``.
"""

from cdvae_gan.auditing.explainer import CounterfactualExplainer, Explanation
from cdvae_gan.auditing.result import Audit, Effect, Intervention
from cdvae_gan.auditing.run import audit

__all__ = [
    "Audit",
    "CounterfactualExplainer",
    "Effect",
    "Explanation",
    "Intervention",
    "audit",
]
