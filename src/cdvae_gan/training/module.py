"""One step of training, as a Lightning module.

A step draws, from one batch of photos: reconstructions, counterfactuals and prior samples; lets D
judge them and learn, and a second discriminator on pixels where there is one; lets the adversary
guess a from z and learn; then moves E and G.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from typing import NamedTuple

import lightning
import torch
from torch import Tensor, nn
from torch.distributions import RelaxedBernoulli
from torch.optim import Adam, AdamW

from cdvae_gan import objective
from cdvae_gan.counterfactual import reached, transport
from cdvae_gan.data import Batch
from cdvae_gan.images import to_float
from cdvae_gan.model import CDVAEGAN
from cdvae_gan.networks.decoder import Drawing
from cdvae_gan.networks.discriminator import (
    Discriminator,
    PlainDiscriminator,
    ProjectedDiscriminator,
    ResidualDiscriminator,
    Verdict,
)
from cdvae_gan.networks.encoder import Encoding, sample_gaussian
from cdvae_gan.networks.identity import IdentityNetwork
from cdvae_gan.networks.memory import channels_last
from cdvae_gan.training.augmentation import Augmentation, mirrored
from cdvae_gan.training.average import follow
from cdvae_gan.training.config import TrainConfig
from cdvae_gan.training.critics import branch_loss, loss_on_pixels
from cdvae_gan.training.interventions import InterventionSampler
from cdvae_gan.training.order import seed_step
from cdvae_gan.training.replay import Recalled, Replay

__all__ = ["TrainingModule"]

_TEMPERATURE = 0.5
_R1_EVERY = 16
_EMA_WARM_UP = 50


class _Drawn(NamedTuple):
    """What one step draws."""

    x: Tensor
    encoding: Encoding
    reconstruction: Tensor
    """G(z, u, a), ``(B, 3, H, W)``"""
    counterfactual: Tensor
    """x′, ``(B, 3, H, W)``"""
    mask: Tensor
    gate: Tensor
    fakes: Tensor
    """``(B, 3, H, W)``: the mixture that D judges; sample i was made from image i"""
    present: Tensor
    """``(B, K)`` in {0, 1}: the attributes of the photo"""
    told: Tensor
    """``(B, K)``, see `Interventions`"""
    asked: Tensor
    """``(B, K)``: the attributes that each fake should show"""
    changed: Tensor
    """``(B, K)``: where they differ from those of the photo"""
    attribute: Tensor
    """``(B,)``: the branch in which each fake is judged"""
    whole: Tensor
    """``(B,)``: whether that branch applies"""


class TrainingModule(lightning.LightningModule):
    """E, G, D and the adversary on z, with the running average of E and G that is kept.

    Args:
        model: The model to train.
        config: The numbers.
        batch_prevalence: ``(K,)``: frequencies of the attributes in the batches.
        bf16: Whether convolutions run in bfloat16.
    """

    def __init__(
        self, model: CDVAEGAN, config: TrainConfig, batch_prevalence: Tensor, bf16: bool
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.config = config
        self.bf16 = bf16
        self.model = model
        if config.erase:
            model.encoder.requires_grad_(False).eval()
        self.average = deepcopy(model).requires_grad_(False).eval()
        k = len(model.attributes)
        self.discriminator = _discriminator(config, model.image_size, k)
        self.adversary = nn.Sequential(
            nn.Linear(config.z_dim, 256), nn.LeakyReLU(0.2), nn.Linear(256, k)
        )
        self.pixel: ResidualDiscriminator | None = None
        if config.weights.pixel:
            self.pixel = ResidualDiscriminator(k)
            self.replay = Replay(config.pixel_replay, model.image_size, k)
        self.identity: IdentityNetwork | None = None
        self.within_people: Tensor
        if config.weights.identity:
            self.identity = IdentityNetwork(k).requires_grad_(False).eval()
            self.register_buffer("within_people", torch.ones(k))
        channels_last(self)
        self.trained_d = [p for p in self.discriminator.parameters() if p.requires_grad]
        self.batch_prevalence: Tensor
        self.register_buffer("batch_prevalence", batch_prevalence, persistent=False)
        index = model.attributes.index
        self.exclusive = [[index(n) for n in group] for group in model.config.exclusive]

    def train(self, mode: bool = True) -> TrainingModule:
        """As any module's, but what does not learn stays as it is."""
        super().train(mode)
        self.average.eval()
        if self.identity is not None:
            self.identity.eval()
        if self.config.erase:
            self.model.encoder.eval()
        return self

    def configure_optimizers(self) -> Sequence[Adam]:
        """Adam for E and G, for D, for the adversary on z, and for a discriminator on pixels."""
        model = [p for p in self.model.parameters() if p.requires_grad]
        c = self.config
        optimizers = [
            Adam(model, c.learning_rate, betas=(0.5, 0.99), fused=True),
            Adam(self.trained_d, c.learning_rate_d, betas=(0.0, 0.99), fused=True),
            Adam(self.adversary.parameters(), c.learning_rate_adversary, fused=True),
        ]
        if self.pixel is not None:
            on_pixels = self.pixel.parameters()
            optimizers.append(
                AdamW(
                    on_pixels,
                    c.learning_rate_pixel,
                    betas=(0.5, 0.99),
                    weight_decay=0.01,
                    fused=True,
                )
            )
        return optimizers

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One step; see the module's docstring."""
        torch.manual_seed(seed_step(self.config.seed, self.global_step, self.global_rank, 1))
        x, labels = self._prepare(batch)
        drawn = self._draw(x, labels)
        augmentation = Augmentation.draw(len(x), x.device)
        real, fake = augmentation(x), augmentation(drawn.fakes)
        fake_features = self._features(fake)
        log = self._train_discriminator(real, fake, fake_features, labels, drawn)
        if self.pixel is not None:
            log |= self._train_on_pixels(self.pixel, drawn, labels)
        log |= self._train_adversary(drawn.encoding.z_mean.detach(), labels)
        log |= self._train_model(real, fake, fake_features, labels, drawn)
        self._update_average()
        self.log_dict(log)

    # -- drawing ---------------------------------------------------------------------------------

    def _prepare(self, batch: Batch) -> tuple[Tensor, Tensor]:
        x = to_float(batch.images)
        if self.config.mirror:
            x = mirrored(x)
        return x.contiguous(memory_format=torch.channels_last), batch.labels

    def _draw(self, x: Tensor, labels: Tensor) -> _Drawn:
        n = len(x)
        with self._autocast():
            e: Encoding = self.model.encoder(x)
            z = sample_gaussian(e.z_mean, e.z_log_variance)
            u = self._sample_u(e)
            relaxed = RelaxedBernoulli(
                torch.tensor(_TEMPERATURE, device=x.device), logits=e.a_logits
            ).rsample()
            # Straight through: the decoder meets 0 and 1, as it will in use; α gets the gradient.
            sampled = (relaxed > 0.5).float() + relaxed - relaxed.detach()
            a = torch.where(labels >= 0, labels.float(), sampled)
            hard = a.detach().round()
            wanted = self._interventions()(hard)
            n_cf, n_plain, n_rec, n_prior = self.config.mixture.counts(n)
            drawn_with = reached(hard, wanted.a, wanted.told, self.model.reach)
            prior_z = torch.randn(n_prior, z.shape[1], device=x.device)
            prior_a = hard[torch.randperm(n, device=x.device)[:n_prior]]
            factual, other, prior = self._decode_together(
                [(z, a, u), (z, drawn_with, u), (prior_z, prior_a, None)]
            )
        moved = transport(x, factual, other, self.config.detail)
        # Beyond [−1, 1] by a little, so that the gradient survives where the photo is white.
        cf = moved.image.clamp(-1.2, 1.2)
        start_rec, start_prior = n_cf + n_plain, n_cf + n_plain + n_rec
        fakes = torch.cat(
            [
                cf[:n_cf],
                other.location[n_cf:start_rec],
                factual.location[start_rec:start_prior],
                prior.location,
            ]
        )
        kept = torch.cat([hard[start_rec:start_prior], prior_a])
        asked = torch.cat([wanted.a[:start_rec], kept])
        changed = torch.cat([wanted.changed[:start_rec], torch.zeros_like(kept, dtype=torch.bool)])
        attribute = torch.cat([wanted.attribute[:start_rec], self._interventions().attribute(kept)])
        whole = torch.cat([wanted.whole[:start_rec], torch.ones(len(kept), device=x.device) > 0])
        return _Drawn(
            x,
            e,
            factual.location,
            cf,
            moved.mask,
            moved.gate,
            fakes,
            hard,
            wanted.told,
            asked,
            changed,
            attribute,
            whole,
        )

    def _decode_together(
        self, parts: Sequence[tuple[Tensor, Tensor, Tensor | None]]
    ) -> list[Drawing]:
        """One pass for all, so that batch statistics are equal for G(a) and G(a′)."""
        u: Tensor | None = None
        if self.config.u_channels:
            like = next(p[2] for p in parts if p[2] is not None)
            u = torch.cat(
                [like.new_zeros(len(z), *like.shape[1:]) if s is None else s for z, _, s in parts]
            )
        drawing: Drawing = self.model.decoder(
            torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts]), u
        )
        return drawing.split([len(p[0]) for p in parts])

    def _sample_u(self, e: Encoding) -> Tensor | None:
        if e.u_mean is None or e.u_log_variance is None:
            return None
        u = sample_gaussian(e.u_mean, e.u_log_variance)
        kept = torch.rand(len(u), 1, 1, 1, device=u.device) >= self.config.u_dropout
        return u * kept

    def _interventions(self) -> InterventionSampler:
        c = self.config
        return InterventionSampler(
            self.batch_prevalence, self.exclusive, c.flip_cap, c.partial_strength
        )

    # -- learning --------------------------------------------------------------------------------

    def _features(self, fake: Tensor) -> list[Tensor] | None:
        """Features of the fakes for both players, where D's features are frozen."""
        if not isinstance(self.discriminator, ProjectedDiscriminator):
            return None
        # The backward pass of depthwise convolutions is slow in bfloat16 on a processor.
        with self._autocast(enabled=fake.device.type != "cpu"):
            return self.discriminator.features(fake.float())

    def _train_discriminator(
        self,
        real: Tensor,
        fake: Tensor,
        fake_features: list[Tensor] | None,
        labels: Tensor,
        drawn: _Drawn,
    ) -> dict[str, Tensor]:
        c, d = self.config, self.discriminator
        penalised = c.r1 > 0 and self.global_step % _R1_EVERY == 0
        real = real.detach().requires_grad_(penalised)
        if fake_features is None:
            with self._autocast(enabled=not penalised):
                on_real, on_fake = d(real), d(fake.detach())
        else:
            with torch.no_grad(), self._autocast():
                real_features = d.features(real)
            with self._autocast():
                on_real = d.judge(real_features)
                on_fake = d.judge([f.detach() for f in fake_features])
        cross_entropy = objective.known_cross_entropy(on_real.attributes, labels)
        loss = cross_entropy + objective.discriminator_loss(
            _unconditional(on_real), _unconditional(on_fake), c.gan_loss
        )
        if c.weights.branch:
            on_drawn = _branch(on_fake, drawn)
            loss = loss + branch_loss(
                on_real.realness, labels, on_drawn, self._interventions(), c.gan_loss
            )
        if penalised:
            penalty = objective.r1_penalty(_unconditional(on_real), real)
            loss = loss + c.r1 * _R1_EVERY * penalty
        self._step(1, loss)
        return {
            "d/loss": loss.detach(),
            "d/real": _mean(_unconditional(on_real)),
            "d/fake": _mean(_unconditional(on_fake)),
            "d/attributes": cross_entropy.detach(),
        }

    def _train_on_pixels(
        self, pixel: ResidualDiscriminator, drawn: _Drawn, labels: Tensor
    ) -> dict[str, Tensor]:
        """Several steps on what was drawn lately; it judges counterfactuals alone."""
        n = self.config.mixture.counts(len(labels))[0]
        self.replay.add(
            Recalled(drawn.x[:n], labels[:n], drawn.fakes[:n].detach(), *_asked_of(drawn, n))
        )
        for _ in range(self.config.pixel_steps):
            with self._autocast():
                found = loss_on_pixels(pixel, self.replay.draw(n), self._interventions())
            self._step(3, found.loss)
        return {"pixel/loss": found.loss.detach(), "pixel/attributes": found.attributes.detach()}

    def _train_adversary(self, z: Tensor, labels: Tensor) -> dict[str, Tensor]:
        loss = objective.known_cross_entropy(self.adversary(z), labels)
        self._step(2, loss)
        return {"adversary/loss": loss.detach()}

    def _train_model(
        self,
        real: Tensor,
        fake: Tensor,
        fake_features: list[Tensor] | None,
        labels: Tensor,
        drawn: _Drawn,
    ) -> dict[str, Tensor]:
        c, e, model = self.config, drawn.encoding, self.model
        pixels = drawn.x[0].numel()
        with _held(self.discriminator), _held(self.adversary):
            with self._autocast():
                if fake_features is None:
                    fake_features = self.discriminator.features(fake)
                verdict = self.discriminator.judge(fake_features)
            terms = {
                "reconstruction": objective.reconstruction(
                    drawn.x, drawn.reconstruction, model.log_scale
                ),
                "z_rate": objective.gaussian_rate(e.z_mean, e.z_log_variance, pixels),
                "a_rate": objective.a_rate(e.a_logits, labels, model.prior),
                "disentanglement": objective.disentanglement(
                    self.adversary(e.z_mean), self.batch_prevalence
                ),
                "adversarial": objective.generator_loss(_unconditional(verdict), c.gan_loss),
                "attribute_d": objective.attribute_effect(
                    verdict.attributes,
                    drawn.asked,
                    drawn.changed,
                    self.batch_prevalence,
                    c.emphasis,
                ),
                "edit": (drawn.counterfactual - drawn.x).abs().mean(),
                "mask": drawn.mask.mean(),
            }
            if c.gate_channels:
                terms["gate"] = drawn.gate.mean()
            if e.u_mean is not None and e.u_log_variance is not None:
                terms["u_rate"] = objective.gaussian_rate(e.u_mean, e.u_log_variance, pixels)
            if c.weights.branch:
                terms["branch"] = objective.generator_loss(
                    _branch(verdict, drawn), c.gan_loss, drawn.whole.float()
                )
            if self.pixel is not None:
                terms["pixel"] = self._pixel_term(self.pixel, fake, drawn)
            if self.identity is not None:
                terms["identity"] = self._identity_term(self.identity, real, fake, drawn)
            if c.weights.attribute_e or c.weights.consistency:
                again = self._encode_again(fake)
                terms["attribute_e"] = objective.attribute_effect(
                    again.a_logits, drawn.asked, drawn.changed, self.batch_prevalence, c.emphasis
                )
            if c.weights.consistency:
                made = len(fake) - c.mixture.counts(len(fake))[3]
                if made:
                    z_real = self._encode_again(real[:made].detach()).z_mean.detach()
                    terms["consistency"] = objective.consistency(z_real, again.z_mean[:made])
            if c.weights.cycle:
                terms["cycle"] = self._cycle_term(drawn)
            if c.weights.features and c.mixture.counts(len(real))[2]:
                terms["features"] = self._feature_distance(real, fake_features)
            loss = c.weights.total(terms)
            self._step(0, loss)
        hit = ((verdict.attributes > 0) == (drawn.asked > 0.5))[drawn.changed]
        return {
            **{f"terms/{name}": value.detach() for name, value in terms.items()},
            "loss": loss.detach(),
            "scale": model.log_scale.detach().exp(),
            "reconstruction_l1": (drawn.reconstruction - drawn.x).abs().mean().detach() / 2,
            "read_as_asked": hit.float().mean() if len(hit) else loss.new_ones(()),
        }

    def _pixel_term(self, pixel: ResidualDiscriminator, fake: Tensor, drawn: _Drawn) -> Tensor:
        """How far the discriminator on pixels is from taking edits for what they were asked to be.

        Not for real alone: the least suspicious edit is none, and all would shrink.
        """
        n = self.config.mixture.counts(len(fake))[0]
        pixel.eval()  # among drawn images alone its statistics would be of another mixture
        with _held(pixel), self._autocast():
            verdict = pixel(fake[:n])
        pixel.train()
        return objective.generator_loss(
            _branch(verdict, drawn), "logistic", drawn.whole[:n].float()
        )

    def _identity_term(
        self, network: IdentityNetwork, real: Tensor, fake: Tensor, drawn: _Drawn
    ) -> Tensor:
        """How far edits are from the person on the photo, by how much people change in that."""
        n = self.config.mixture.counts(len(fake))[0]
        with self._autocast():
            with torch.no_grad():
                photo = network(real[:n]).embedding
            edit = network(fake[:n]).embedding
        return objective.identity(photo, edit, self.within_people[drawn.attribute[:n]])

    def _cycle_term(self, drawn: _Drawn) -> Tensor:
        """How far a photo is from what undoing the intervention makes of its counterfactual.

        The photo is the truth here, which no other term has for what an edit draws. Nothing flows
        back into x′, so no trace of x is hidden in it.
        """
        n = self.config.mixture.counts(len(drawn.x))[0]
        x, edit = drawn.x[:n], drawn.fakes[:n].detach().clamp(-1, 1)
        asked, present = drawn.asked[:n], drawn.present[:n]
        with torch.no_grad():
            e = self._encode_again(edit)
            back = reached(asked, present, drawn.told[:n], self.model.reach)
        with self._autocast():
            factual, other = self._decode_together(
                [(e.z_mean, asked, e.u_mean), (e.z_mean, back, e.u_mean)]
            )
        return (transport(edit, factual, other, self.config.detail).image - x).abs().mean()

    def _encode_again(self, images: Tensor) -> Encoding:
        """What the encoder, held fixed, says of drawn images, or of photos beside them."""
        encoder = self.model.encoder
        was_training = encoder.training
        encoder.eval()
        with _held(encoder), self._autocast():
            encoding: Encoding = encoder(images)
        encoder.train(was_training)
        return encoding

    def _feature_distance(self, real: Tensor, fake_features: list[Tensor]) -> Tensor:
        """Learned similarity of the reconstructions in the batch with their photos."""
        n_cf, n_plain, n_rec, _ = self.config.mixture.counts(len(real))
        part = slice(n_cf + n_plain, n_cf + n_plain + n_rec)
        with torch.no_grad(), self._autocast():
            target = self.discriminator.features(real[part])
        return objective.feature_distance(
            [t.float() for t in target], [f[part].float() for f in fake_features]
        )

    def _step(self, index: int, loss: Tensor) -> None:
        """One step of optimiser ``index``; only that of E and G counts as a step of the run."""
        counted = self.optimizers()
        raw = self.optimizers(use_pl_optimizer=False)
        assert isinstance(counted, list)
        assert isinstance(raw, list)
        optimizer = counted[0] if index == 0 else raw[index]
        if index == 0:
            waits = self.global_step < self.config.head_start
            for group in raw[0].param_groups:
                group["lr"] = 0.0 if waits else self.config.learning_rate
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def _update_average(self) -> None:
        """Exponential moving average, with a warm-up so that it forgets the start."""
        step = self.global_step
        follow(self.average, self.model, min(self.config.ema, step / (step + _EMA_WARM_UP)))

    def _autocast(self, enabled: bool = True) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled and self.bf16)


def _discriminator(config: TrainConfig, image_size: int, n_attributes: int) -> Discriminator:
    branches = config.weights.branch > 0
    if config.discriminator == "plain":
        return PlainDiscriminator(image_size, n_attributes, config.width, branches)
    return ProjectedDiscriminator(
        n_attributes,
        branches,
        config.discriminator_size,
        config.discriminator_channels,
        config.learned_mixing,
    )


def _unconditional(verdict: Verdict) -> list[Tensor]:
    return [r[:, 0] for r in verdict.realness]


def _branch(verdict: Verdict, drawn: _Drawn) -> list[Tensor]:
    """Of the first drawn images, as many as were judged, each in the branch of what was asked."""
    return objective.branch_logits(verdict.realness, *_asked_of(drawn, len(verdict.attributes)))


def _asked_of(drawn: _Drawn, n: int) -> tuple[Tensor, Tensor]:
    """The attribute in whose branch each of the first n drawn images is judged, and its value."""
    attribute = drawn.attribute[:n]
    rows = torch.arange(n, device=attribute.device)
    return attribute, (drawn.asked[rows, attribute] > 0.5).long()


def _mean(logits: list[Tensor]) -> Tensor:
    return torch.stack([r.detach().mean() for r in logits]).mean()


@contextmanager
def _held(module: nn.Module) -> Iterator[None]:
    """Gradients pass through the module, and not into it."""
    trained = [p for p in module.parameters() if p.requires_grad]
    for p in trained:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in trained:
            p.requires_grad_(True)
