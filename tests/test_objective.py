"""Each term against a reference or a case with a known answer."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
import torch
from torch.distributions import Bernoulli, Laplace, Normal, kl_divergence

from cdvae_gan import objective
from cdvae_gan.objective import Weights


def test_reconstruction_is_the_mean_negative_log_likelihood() -> None:
    x, location, log_scale = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4), torch.tensor(-1.3)
    expected = -Laplace(location, log_scale.exp()).log_prob(x).mean()
    assert torch.allclose(objective.reconstruction(x, location, log_scale), expected)


def test_the_best_scale_is_the_mean_error() -> None:
    x, location = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    log_scale = (x - location).abs().mean().log().requires_grad_()
    objective.reconstruction(x, location, log_scale).backward()
    assert log_scale.grad is not None
    assert abs(float(log_scale.grad)) < 1e-6


@pytest.mark.parametrize("shape", [(5, 7), (5, 2, 4, 4)])
def test_gaussian_rate_is_the_kl_to_the_prior(shape: tuple[int, ...]) -> None:
    mean, log_variance = torch.randn(shape), torch.randn(shape)
    q = Normal(mean, (log_variance / 2).exp())
    kl = kl_divergence(q, Normal(torch.zeros(shape), torch.ones(shape))).flatten(1).sum(1).mean()
    assert torch.allclose(objective.gaussian_rate(mean, log_variance, 10), kl / 10)


def test_a_rate_is_cross_entropy_where_labelled_and_kl_where_not() -> None:
    logits, prior = torch.randn(4, 3), torch.tensor([0.2, 0.5, 0.9])
    labels = torch.tensor([[1, 0, -1], [-1, -1, -1], [0, 1, 1], [1, -1, 0]])
    q = Bernoulli(logits=logits)
    kl = kl_divergence(q, Bernoulli(prior.expand(4, 3)))
    cross_entropy = -q.log_prob(labels.clamp(min=0).float())
    expected = torch.where(labels >= 0, cross_entropy, kl).mean()
    assert torch.allclose(objective.a_rate(logits, labels, prior), expected)


def test_a_rate_stays_finite_for_certain_logits() -> None:
    logits = torch.tensor([[60.0, -60.0]])
    prior = torch.tensor([0.02, 0.98])
    assert torch.isfinite(objective.a_rate(logits, torch.tensor([[-1, -1]]), prior))


def test_disentanglement_is_zero_exactly_where_the_adversary_says_the_prior() -> None:
    prior = torch.tensor([0.2, 0.7])
    blind = torch.logit(prior).expand(5, 2)
    assert abs(float(objective.disentanglement(blind, prior))) < 1e-6
    assert objective.disentanglement(blind + 1, prior) > 0.05
    assert objective.disentanglement(blind - 1, prior) > 0.05


def test_unknown_labels_do_not_count() -> None:
    logits = torch.randn(3, 2)
    labels = torch.tensor([[1, -1], [0, -1], [-1, -1]])
    expected = -Bernoulli(logits=logits[:2, 0]).log_prob(torch.tensor([1.0, 0.0])).mean()
    assert torch.allclose(objective.known_cross_entropy(logits, labels), expected)
    assert objective.known_cross_entropy(logits, torch.full((3, 2), -1)) == 0


def test_attributes_intervened_on_count_twice() -> None:
    logits, target = torch.zeros(1, 2), torch.ones(1, 2)
    changed = torch.tensor([[True, False]])
    expected = math.log(2) * 3 / 2
    assert float(
        objective.attribute_effect(logits, target, changed, torch.full((2,), 0.5))
    ) == pytest.approx(expected)
    emphasised = objective.attribute_effect(
        logits, target, changed, torch.full((2,), 0.5), emphasis=4.0
    )
    assert float(emphasised) == pytest.approx(math.log(2) * 6 / 2)


def test_a_critic_must_see_evidence_against_a_rare_attribute_not_only_that_it_is_rare() -> None:
    prior = torch.tensor([0.04])
    taken_off, changed = torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool)
    undecided = objective.attribute_effect(prior.logit()[None], taken_off, changed, prior)
    assert float(undecided) == pytest.approx(2 * math.log(2)), "the prior alone is no evidence"
    against = objective.attribute_effect(prior.logit()[None] - 3, taken_off, changed, prior)
    assert float(against) < 0.1
    put_on = torch.ones(1, 1)
    hardly = objective.attribute_effect(torch.zeros(1, 1), put_on, changed, prior)
    assert float(hardly) == pytest.approx(2 * math.log(2)), "evidence alone does not do here"


def test_branch_logits_picks_each_samples_own_channel() -> None:
    k = 3
    realness = [torch.arange(2 * (1 + 2 * k)).float().view(2, -1, 1, 1)]
    picked = objective.branch_logits(realness, torch.tensor([0, 2]), torch.tensor([1, 0]))[0]
    assert picked.flatten().tolist() == [1 + 0 + 1, 7 + 1 + 4 + 0]


@pytest.mark.parametrize("loss", ["hinge", "logistic"])
def test_each_player_wants_what_the_other_does_not(loss: objective.GanLoss) -> None:
    real, fake = [torch.full((4, 3), 0.3)], [torch.full((4, 3), -0.2)]
    base = objective.discriminator_loss(real, fake, loss)
    assert objective.discriminator_loss([real[0] + 0.1], fake, loss) < base
    assert objective.discriminator_loss(real, [fake[0] + 0.1], loss) > base
    better = objective.generator_loss([fake[0] + 0.1], loss)
    assert better < objective.generator_loss(fake, loss)


def test_hinge_stops_at_its_margin() -> None:
    assert objective.discriminator_loss([torch.ones(2, 1)], [-torch.ones(2, 1)], "hinge") == 0


def test_a_real_sample_of_weight_zero_is_ignored() -> None:
    real = [torch.tensor([[0.5], [-9.0]])]
    fake = [torch.tensor([[0.0], [0.0]])]
    weighted = objective.discriminator_loss(real, fake, "hinge", torch.tensor([1.0, 0.0]))
    assert float(weighted) == pytest.approx(0.5 / 2 + 1)


def test_r1_is_half_the_squared_gradient_of_a_linear_critic() -> None:
    w = torch.randn(12)
    x = torch.randn(5, 12, requires_grad=True)
    penalty = objective.r1_penalty([(x @ w)[:, None]], x)
    assert torch.allclose(penalty, 0.5 * w.square().sum())


def test_features_distance_is_relative_to_their_size() -> None:
    real = [torch.ones(2, 3, 2, 2), 10 * torch.ones(2, 3, 1, 1)]
    assert objective.feature_distance(real, real) == 0
    assert float(objective.feature_distance(real, [r * 1.5 for r in real])) == pytest.approx(0.5)


def test_the_total_weighs_each_term_by_the_field_of_its_name() -> None:
    weights = Weights()
    terms = {f.name: torch.tensor(1.0) for f in fields(weights)}
    expected = sum(getattr(weights, f.name) for f in fields(weights))
    assert float(weights.total(terms)) == pytest.approx(expected)
    with pytest.raises(KeyError):
        weights.total({"no_such_term": torch.tensor(1.0)})
