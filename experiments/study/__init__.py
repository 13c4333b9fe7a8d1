"""The ablation study that ``experiments/ablation.py`` runs."""
