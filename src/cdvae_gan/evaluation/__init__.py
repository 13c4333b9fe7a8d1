"""Evidence: judges from outside, metrics with intervals, and exact ground truth.

``splits`` divides the validation split, ``judges`` trains and loads classifiers, ``edits`` and
``folders`` say what is evaluated, ``metrics`` has one object for each figure, ``bootstrap`` their
intervals; ``measure`` does all of it in one pass, ``comparison`` for several on the same images,
and ``report`` makes the page.
"""

from cdvae_gan.evaluation.comparison import Comparison, compare, save_comparison
from cdvae_gan.evaluation.findings import Findings
from cdvae_gan.evaluation.folders import FolderEditor, save_counterfactuals
from cdvae_gan.evaluation.measure import Evaluation, Settings, evaluate
from cdvae_gan.evaluation.report import save_report
from cdvae_gan.evaluation.splits import chosen_part, halves

__all__ = [
    "Comparison",
    "Evaluation",
    "Findings",
    "FolderEditor",
    "Settings",
    "chosen_part",
    "compare",
    "evaluate",
    "halves",
    "save_comparison",
    "save_counterfactuals",
    "save_report",
]
