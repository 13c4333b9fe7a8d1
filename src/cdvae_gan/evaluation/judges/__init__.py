"""Judges: independent classifiers that say what they see on a counterfactual."""

from cdvae_gan.evaluation.judges.judge import TRUSTED_ABOVE, Card, Judge, Quality
from cdvae_gan.evaluation.judges.load import load_judge, standard_judges
from cdvae_gan.evaluation.judges.store import FAMILIES, save_judge, shipped_judges
from cdvae_gan.evaluation.judges.train import JudgeTraining, grade, train_judge

__all__ = [
    "FAMILIES",
    "TRUSTED_ABOVE",
    "Card",
    "Judge",
    "JudgeTraining",
    "Quality",
    "grade",
    "load_judge",
    "save_judge",
    "shipped_judges",
    "standard_judges",
    "train_judge",
]
