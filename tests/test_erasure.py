"""Linear erasure: what is left of the attributes in z, and what of z."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cdvae_gan import InputError
from cdvae_gan.training.erasure import LinearErasure

D, K = 12, 3


def leaking(n: int, seed: int = 0, strength: float = 3.0) -> tuple[Tensor, Tensor]:
    """z in which each attribute moves a direction of its own, and one of them a second; and a."""
    generator = torch.Generator().manual_seed(seed)
    a = (torch.rand(n, K, generator=generator) < torch.tensor([0.5, 0.3, 0.1])).float()
    mixing = torch.randn(D, D, generator=torch.Generator().manual_seed(9))
    directions = torch.randn(K, D, generator=torch.Generator().manual_seed(8))
    return torch.randn(n, D, generator=generator) @ mixing + strength * a @ directions + 5, a


def read(a: Tensor) -> Tensor:
    """Logits of a, now and then wrong."""
    return 8 * (a - 0.5) + 2 * torch.randn(a.shape, generator=torch.Generator().manual_seed(7))


def linear_accuracy(z: Tensor, a: Tensor) -> float:
    """Balanced accuracy of linear probes, learned from one half and asked about the other."""
    linear = pytest.importorskip("sklearn.linear_model")
    metrics = pytest.importorskip("sklearn.metrics")
    half = len(z) // 2
    found = []
    for y in a.T.numpy():
        probe = linear.LogisticRegression(class_weight="balanced").fit(z[:half], y[:half])
        found.append(metrics.balanced_accuracy_score(y[half:], probe.predict(z[half:])))
    return float(np.mean(found))


def test_no_linear_probe_finds_what_was_erased() -> None:
    z, a = leaking(20_000)
    assert linear_accuracy(z, a) > 0.8
    assert linear_accuracy(LinearErasure.of(z, a)(z), a) < 0.52


def test_the_covariance_with_every_attribute_is_gone() -> None:
    z, a = leaking(5000)
    left = LinearErasure.of(z, a)(z)
    covariance = (left - left.mean(0)).T @ (a - a.mean(0)) / len(z)
    assert covariance.abs().max() < 1e-2 * z.std()


def test_no_more_is_changed_than_one_dimension_an_attribute() -> None:
    z, a = leaking(5000)
    made = LinearErasure.of(z, a)
    assert torch.linalg.matrix_rank(made.change, tol=1e-3) == K
    again = made(made(z))
    assert torch.allclose(again, made(z), atol=1e-3)


def test_it_is_the_smallest_change_of_all_that_erase() -> None:
    z, a = leaking(5000)
    made = LinearErasure.of(z, a)
    # Orthogonal removal of the same directions erases too, and changes more.
    centred = z - z.mean(0)
    q, _ = torch.linalg.qr(centred.T @ (a - a.mean(0)))
    orthogonal = z - centred @ q @ q.T
    assert (made(z) - z).square().mean() < (orthogonal - z).square().mean()


def test_unknown_labels_are_no_evidence() -> None:
    z, a = leaking(20_000)
    half = a.clone()
    half[torch.rand(len(z)) < 0.5] = -1
    assert linear_accuracy(LinearErasure.of(z, half)(z), a) < 0.53
    nothing = LinearErasure.of(z, torch.full_like(a, -1))
    assert torch.equal(nothing(z), z)


def test_folded_into_the_layer_before_it_does_the_same() -> None:
    layer = nn.Linear(20, 2 * D)
    h, (_, a) = torch.randn(2000, 20), leaking(2000)
    with torch.no_grad():
        made = LinearErasure.of(layer(h)[:, :D], a)
        expected, rest = made(layer(h)[:, :D]), layer(h)[:, D:]
        made.fold_into(layer)
        assert torch.allclose(layer(h)[:, :D], expected, atol=1e-4)
        assert torch.equal(layer(h)[:, D:], rest)


def test_as_many_attributes_as_dimensions_are_refused() -> None:
    with pytest.raises(InputError, match="z_dim must be larger than 12"):
        LinearErasure.of(torch.randn(30, 12), torch.zeros(30, 12))


def test_with_what_is_read_of_the_attributes_there_is_less_to_change() -> None:
    z, a = leaking(20_000, strength=0.5)
    assert linear_accuracy(z, a) > 0.6
    from_z, from_both = LinearErasure.of(z, a), LinearErasure.of(z, a, read(a))
    erased = from_both(z, read(a))
    assert linear_accuracy(erased, a) < 0.52
    assert (erased - z).square().mean() < 0.5 * (from_z(z) - z).square().mean()


def test_with_what_is_read_every_dimension_stays() -> None:
    z, a = leaking(5000, strength=0.5)
    variances = torch.linalg.eigvalsh(torch.cov(LinearErasure.of(z, a, read(a))(z, read(a)).T))
    assert variances.min() > 0.4 * torch.linalg.eigvalsh(torch.cov(z.T)).min()
    left = torch.linalg.eigvalsh(torch.cov(LinearErasure.of(z, a)(z).T))
    assert (left < 1e-3 * variances.min()).sum() == K


def test_readings_that_say_nothing_change_nothing_of_the_erasure() -> None:
    z, a = leaking(20_000)
    noise = torch.randn(a.shape, generator=torch.Generator().manual_seed(6))
    plain = LinearErasure.of(z, a)(z)
    assert (LinearErasure.of(z, a, noise)(z, noise) - plain).abs().mean() < 0.05 * z.std()


def test_folded_into_the_layers_of_z_and_of_the_logits_it_does_the_same() -> None:
    to_z, to_a = nn.Linear(20, 2 * D), nn.Linear(20, K)
    _, a = leaking(2000)
    h = torch.cat([torch.randn(2000, 20 - K), a], dim=1)
    with torch.no_grad():
        z, logits, rest = to_z(h)[:, :D], to_a(h), to_z(h)[:, D:]
        made = LinearErasure.of(z, a, logits)
        made.fold_into(to_z, to_a)
        assert torch.allclose(to_z(h)[:, :D], made(z, logits), atol=1e-4)
        assert torch.equal(to_z(h)[:, D:], rest)
        assert torch.equal(to_a(h), logits)


def test_with_what_is_read_there_may_be_as_many_attributes_as_dimensions() -> None:
    generator = torch.Generator().manual_seed(0)
    a = (torch.rand(5000, K, generator=generator) < 0.5).float()
    z = torch.randn(5000, K, generator=generator) + a
    erased = LinearErasure.of(z, a, read(a))(z, read(a))
    covariance = (erased - erased.mean(0)).T @ (a - a.mean(0)) / len(a)
    assert covariance.abs().max() < 1e-3
    assert erased.std(0).min() > 0.9
