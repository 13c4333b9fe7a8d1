"""Where flips fail: at the reading of what is there, or at the drawing of what is asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from cdvae_gan import CDVAEGAN, ModelConfig
from cdvae_gan.data import AttributeDataset, open_dataset
from cdvae_gan.evaluation.judges import Card, Judge
from cdvae_gan.images import to_float
from certainty import CERTAINTIES, directions

NAMES = ("Hat", "Glasses")


def credulous(data: AttributeDataset) -> Judge:
    """Reads photos as their labels say, and believes every edit of them: whatever is no photo."""
    photos, labels = data.batch(np.arange(len(data)))
    known = {p.numpy().tobytes(): y for p, y in zip(photos, labels, strict=True)}
    latest: list[Tensor] = []

    def read(images: Tensor) -> Tensor:
        rows = [known.get(image.numpy().tobytes()) for image in images]
        if all(row is not None for row in rows):
            latest[:] = [row for row in rows if row is not None]
            return torch.stack(latest).float() - 0.5
        return 0.5 - torch.stack(latest).float()

    return Judge(Card("credulous", "test", NAMES, data.image_size), read)


def test_what_is_believed_is_what_is_done_where_every_edit_convinces() -> None:
    source = open_dataset("avatars:n=60,seed=5,validation=0.5", size=32).select(list(NAMES))
    torch.manual_seed(0)
    model = CDVAEGAN(ModelConfig(NAMES, image_size=32, z_dim=8, width=8)).eval()
    found = directions(model, source, [credulous(source)], images=10)
    assert [(d.attribute, d.asked) for d in found] == [(n, a) for n in NAMES for a in (1, 0)]
    for one in found:
        assert one.believed[-1].value == 1, "at certainty 1 every flip is done"
        assert one.believed[0].value == pytest.approx(one.read_right.value)
        rates = [e.value for e in one.believed]
        assert rates == sorted(rates), "more is done the surer the model must be"
        assert one.read_right.n <= 10
    assert len(found[0].believed) == len(CERTAINTIES)


def test_a_misread_photo_is_counted_as_a_flip_that_was_not_done() -> None:
    source = open_dataset("avatars:n=60,seed=5,validation=0.5", size=32).select(list(NAMES))
    torch.manual_seed(0)
    model = CDVAEGAN(ModelConfig(NAMES, image_size=32, z_dim=8, width=8)).eval()
    hats = np.flatnonzero(source.labels[:, 0] == 1)
    alpha = model.counterfactual(to_float(source.batch(hats).images), {}).before[:, 0]
    (off,) = [
        d
        for d in directions(model, source, [credulous(source)], images=len(source))
        if (d.attribute, d.asked) == ("Hat", 0)
    ]
    assert off.read_right.value == pytest.approx(float((alpha >= 0.5).float().mean()))
