"""z with the moments of its prior, and pictures that stay as they are."""

from __future__ import annotations

import copy

import pytest
import torch

from cdvae_gan import CDVAEGAN, ModelConfig
from cdvae_gan.data import AttributeDataset, open_dataset
from cdvae_gan.images import to_float
from cdvae_gan.networks.encoder import Encoding
from cdvae_gan.training.prior import match_prior

NAMES = ("Hat", "Glasses")
CONFIG = ModelConfig(NAMES, image_size=32, z_dim=6, width=8, u_channels=2, gate_channels=2)


@pytest.fixture(scope="module")
def data() -> AttributeDataset:
    return open_dataset("avatars:n=200,seed=5", size=32).select(list(NAMES))


@pytest.fixture
def model() -> CDVAEGAN:
    """With latents that are far from the prior: shifted, correlated and unevenly spread."""
    torch.manual_seed(0)
    model = CDVAEGAN(CONFIG).eval()
    with torch.no_grad():
        model.encoder.to_z.weight[:6] *= torch.tensor([1.0, 3, 9, 1, 1, 1])[:, None]
        model.encoder.to_z.weight[1] += 2 * model.encoder.to_z.weight[0]
        model.encoder.to_z.bias[:6] += torch.arange(6.0)
        model.encoder.to_z.bias[6:] -= 2
    return model


def encoded(model: CDVAEGAN, data: AttributeDataset) -> Encoding:
    with torch.no_grad():
        found: Encoding = model.encoder(to_float(data.batch(range(len(data))).images))
    return found


def test_the_aggregate_posterior_has_mean_0_and_covariance_i(
    model: CDVAEGAN, data: AttributeDataset
) -> None:
    match_prior(model, data)
    e = encoded(model, data)
    within = e.z_log_variance.exp().mean(dim=0)
    covariance = torch.cov(e.z_mean.T, correction=0) + torch.diag(within)
    assert e.z_mean.mean(dim=0).abs().max() < 1e-4
    # Off the diagonal is what a diagonal posterior cannot say of its own correlations.
    torch.testing.assert_close(covariance.diag(), torch.ones(6), atol=0.05, rtol=0)
    assert (covariance - torch.diag(covariance.diag())).abs().max() < 0.35


def test_nothing_that_is_drawn_changes(model: CDVAEGAN, data: AttributeDataset) -> None:
    before = copy.deepcopy(model)
    match_prior(model, data)
    x = to_float(data.batch(range(8)).images)
    for do in ({"Hat": 1}, {"Glasses": "flip"}):
        for detail in (0.0, 1.0):
            was, now = (m.counterfactual(x, do, detail) for m in (before, model))
            torch.testing.assert_close(now.images, was.images, atol=1e-4, rtol=0)
            assert torch.equal(now.before, was.before)
    z = [encoded(m, data).z_mean for m in (before, model)]
    assert (z[0] - z[1]).abs().max() > 1, "though z is another"


def test_samples_are_drawn_where_photos_are(model: CDVAEGAN, data: AttributeDataset) -> None:
    """Samples' pixels have the spread of reconstructions without u, not a spread of their own."""
    e = encoded(model, data)
    a = torch.from_numpy(data.labels).float()
    drawn = model.decode(e.z_mean, a).mean(dim=0)
    off = (model.sample(400, seed=0).images.mean(dim=0) - drawn).abs().mean()
    match_prior(model, data)
    near = (model.sample(400, seed=0).images.mean(dim=0) - drawn).abs().mean()
    assert near < 0.5 * off


def test_a_second_time_changes_nothing(model: CDVAEGAN, data: AttributeDataset) -> None:
    match_prior(model, data)
    once = encoded(model, data).z_mean
    match_prior(model, data)
    assert (encoded(model, data).z_mean - once).abs().mean() < 0.15


def test_a_dimension_that_says_nothing_stays(model: CDVAEGAN, data: AttributeDataset) -> None:
    with torch.no_grad():
        model.encoder.to_z.weight[[3, 9]] = 0
        model.encoder.to_z.bias[9] = -20
    match_prior(model, data)
    e = encoded(model, data)
    assert e.z_mean[:, 3].std() < 1e-3
    assert torch.isfinite(e.z_log_variance).all()
