"""CDVAE-GAN as a probabilistic model: what is kept of a training, and what a user meets.

    p(z) = N(0, I)      p(u) = N(0, I)      p(a) = ∏ Bern(π_k)
    p(x | z, u, a) = Laplace(G(z, u, a), s)
    q(z, u, a | x) = q(z|x) q(u|x) q(a|x)   from the encoder

z is a vector and carries no attribute information; a holds the attributes, one Bernoulli latent
each; u is an optional spatial latent for what z is too small to hold. ``u_channels = 0`` and
``mask_channels = 0`` give the paper's plain form.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, Normal

from cdvae_gan import counterfactual as _counterfactual
from cdvae_gan.card import CARD_FILES, Card, blank_card
from cdvae_gan.config import ModelConfig
from cdvae_gan.counterfactual import Counterfactuals, Do, ImageLike, Labels
from cdvae_gan.errors import InputError
from cdvae_gan.files import write_whole
from cdvae_gan.networks.decoder import Decoder
from cdvae_gan.networks.encoder import Encoder
from cdvae_gan.networks.memory import channels_last
from cdvae_gan.networks.retoucher import Retoucher

__all__ = ["CDVAEGAN", "ModelConfig", "Posterior", "Samples", "load", "shipped_models"]

_WEIGHTS_FILE = "model.safetensors"
_CONFIG_FILE = "config.json"


class Posterior(NamedTuple):
    """The approximate posterior of a batch, factor by factor."""

    z: Independent[Normal]
    """Normal over ``(B, d)``"""
    a: Independent[Bernoulli]
    """Bernoulli over ``(B, K)``"""
    u: Independent[Normal] | None
    """Normal over ``(B, c, H/4, W/4)``; None without a spatial latent"""


class Samples(NamedTuple):
    """Images drawn from the prior."""

    images: Tensor
    """``(n, 3, H, W)`` in [−1, 1]"""
    attributes: Tensor
    """``(n, K)`` in [0, 1]: the a that each was drawn with"""


class CDVAEGAN(nn.Module):
    """The model: an encoder, a decoder, the scale of its likelihood.

    It may have a retoucher, which goes over edits, and a refiner, which does so in larger photos.

    Example:
        >>> model = cdvae_gan.load("celeba64")
        >>> result = model.counterfactual("photo.jpg", do={"Smiling": 1, "Eyeglasses": "flip"})
        >>> result.save("smiling.png")
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.card: Card | None = None
        k = len(config.attributes)
        self.encoder = Encoder(config.image_size, k, config.z_dim, config.u_channels, config.width)
        self.decoder = Decoder(
            config.image_size,
            k,
            config.z_dim,
            config.u_channels,
            config.mask_channels,
            config.gate_channels,
            config.width,
            config.fine_channels,
        )
        self.retoucher = Retoucher(k, config.retouch_width) if config.retouch_width else None
        self.refiner = Retoucher(k, config.refine_width) if config.refine_width else None
        log_scale = torch.tensor(math.log(0.1 if config.scale is None else config.scale))
        self.log_scale = nn.Parameter(log_scale, requires_grad=config.scale is None)
        self.prior: Tensor
        # In Python: arithmetic with shapes alone would have torch load its compiler, for a second.
        prior = [min(max(p, 0.01), 0.99) for p in config.prior or (0.5,) * k]
        self.register_buffer("prior", torch.tensor(prior), persistent=False)
        self.reach: Tensor
        self.register_buffer("reach", _reach(config), persistent=False)

    @property
    def attributes(self) -> tuple[str, ...]:
        """The K names."""
        return self.config.attributes

    @property
    def image_size(self) -> int:
        """H = W."""
        return self.config.image_size

    @property
    def deception(self) -> dict[str, float]:
        """What share of edits judges were deceived by, by attribute; empty if no card says so.

        Raises:
            InputError: The card's figures are damaged.
        """
        return {} if self.card is None else self.card.deception

    def posterior(self, x: Tensor) -> Posterior:
        """q(z|x), q(a|x) and q(u|x) of images ``(B, 3, H, W)`` in [−1, 1]."""
        e = self.encoder(x)
        u = None
        if e.u_mean is not None and e.u_log_variance is not None:
            u = Independent(Normal(e.u_mean, (e.u_log_variance / 2).exp()), 3)
        return Posterior(
            z=Independent(Normal(e.z_mean, (e.z_log_variance / 2).exp()), 1),
            a=Independent(Bernoulli(logits=e.a_logits), 1),
            u=u,
        )

    def encode(self, x: Tensor) -> tuple[Independent[Normal], Independent[Bernoulli]]:
        """q(z|x) and q(a|x) of images ``(B, 3, H, W)`` in [−1, 1]; no label is needed."""
        q = self.posterior(x)
        return q.z, q.a

    def decode(self, z: Tensor, a: Tensor, u: Tensor | None = None) -> Tensor:
        """The location G(z, u, a) of p(x|z, u, a), ``(B, 3, H, W)`` in [−1, 1].

        Args:
            z: ``(B, d)``.
            a: ``(B, K)`` in [0, 1].
            u: ``(B, c, H/4, W/4)``; None for its prior mean, zero.
        """
        location: Tensor = self.decoder(z, a, u).location
        return location

    @torch.no_grad()
    def sample(
        self, n: int, do: Do | None = None, *, seed: int | torch.Generator | None = None
    ) -> Samples:
        """Draw from the prior: z ~ N(0, I), a ~ ∏ Bern(π_k), then ``do``; u is its mean, zero.

        Args:
            n: How many.
            do: Attributes to set, as in :meth:`counterfactual`.
            seed: A seed or a generator on the CPU; None for torch's global one.
        """
        if n < 1:
            raise InputError(f"the number of samples must be at least 1, not {n}")
        generator = torch.Generator().manual_seed(seed) if isinstance(seed, int) else seed
        device = self.prior.device
        z = torch.randn(n, self.config.z_dim, generator=generator).to(device)
        a = (
            torch.rand(n, len(self.attributes), generator=generator).to(device) < self.prior
        ).float()
        a = exclusive_resolved(a, self.attributes, self.config.exclusive)
        a = _counterfactual.act(a, do or {}, self.config).a
        return Samples(self.decode(z, a), a)

    def counterfactual(
        self,
        images: ImageLike | Sequence[ImageLike] | Tensor,
        do: Do,
        detail: float | None = None,
        *,
        strength: float = 1.0,
        attributes: Labels | None = None,
    ) -> Counterfactuals:
        """The images that would have been; see :func:`cdvae_gan.counterfactual.explain`."""
        return _counterfactual.explain(
            self, images, do, detail=detail, strength=strength, attributes=attributes
        )

    def adjusted(
        self, *, reach: Sequence[tuple[float, float]] | None = None, faint: float | None = None
    ) -> CDVAEGAN:
        """A copy whose interventions go so far and leave so much out, without the card of this one.

        Args:
            reach: See `ModelConfig`; it can be measured, `cdvae_gan.training.reach`. None as it is.
            faint: See `ModelConfig`; None as it is.

        Raises:
            InputError: For values that no model can have.
        """
        found = copy.deepcopy(self)
        found.config = replace(
            self.config,
            reach=self.config.reach if reach is None else tuple(reach),
            faint=self.config.faint if faint is None else faint,
        )
        found.reach = _reach(found.config).to(self.reach)
        found.card = None
        return found

    def digest(self) -> str:
        """A hash of configuration and weights, 16 hexadecimal digits."""
        sha = hashlib.sha256(self.config.to_json().encode())
        for key, value in sorted(self.state_dict().items()):
            sha.update(key.encode())
            sha.update(value.detach().cpu().contiguous().numpy().tobytes())
        return sha.hexdigest()[:16]

    def save(self, folder: str | Path, *, half: bool = False) -> Path:
        """Write ``model.safetensors`` and ``config.json`` into a folder, made where missing.

        The card goes along, ``model.card``: the one that lay beside the weights when they were
        loaded, or one of `cdvae_gan.evaluation.card`. Whoever changes the weights sets it to None.
        A model that is replaced takes its card with it.

        Args:
            folder: Where to.
            half: Store the weights as float16, at half the size; they load as float32.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            state = {
                k: v.detach().cpu().contiguous().to(torch.float16 if half else torch.float32)
                for k, v in self.state_dict().items()
                if v.is_floating_point()
            }
            if self.card is None and (folder / _WEIGHTS_FILE).exists():
                for name in CARD_FILES:
                    (folder / name).unlink(missing_ok=True)
            # Not save_file: where the disk is full, that raises an error of its own kind.
            write_whole(folder / _WEIGHTS_FILE, to_bytes(state))
            (folder / _CONFIG_FILE).write_text(self.config.to_json())
            if self.card is not None:
                self.card.write(folder)
        except OSError as error:
            raise InputError(
                f"cannot write the model to {str(folder)!r}: {error.strerror}"
            ) from None
        return folder

    @classmethod
    def from_pretrained(cls, source: str | Path, *, revision: str | None = None) -> CDVAEGAN:
        """Load a model from a folder, or from the Hugging Face hub by its id ``owner/name``.

        Nothing that is loaded is run: weights are read from safetensors alone, the configuration is
        checked, and memory is taken only once the weights are known to fit it.

        Raises:
            InputError: Where there is no such model or its files are not those of one.
        """
        folder = Path(source)
        if not folder.is_dir():
            folder = _download(str(source), revision)
        config_path, weights_path = folder / _CONFIG_FILE, folder / _WEIGHTS_FILE
        for path in (config_path, weights_path):
            if not path.is_file():
                raise InputError(f"{str(folder)!r} holds no model: {path.name} is missing")
        model = cls._build(_text(config_path), weights_path)
        model.card = Card.read(folder)
        return model

    @classmethod
    def _build(cls, config_text: str, weights: Path) -> CDVAEGAN:
        config = ModelConfig.from_json(config_text)
        try:
            with safe_open(weights, framework="pt") as file:
                shapes = {k: tuple(file.get_slice(k).get_shape()) for k in file.keys()}  # noqa: SIM118
        except Exception:  # safetensors raises its own type, unnamed in its public interface
            raise InputError(f"{str(weights)!r} is not a readable safetensors file") from None
        try:
            with torch.device("meta"):  # shapes without memory
                like = cls(config).state_dict()
        except RuntimeError:  # beyond what torch can count
            raise InputError("config.json describes a model of an absurd size") from None
        expected = {k: tuple(v.shape) for k, v in like.items() if v.is_floating_point()}
        wrong = [k for k in {**expected, **shapes} if shapes.get(k) != expected.get(k)]
        if wrong:
            raise InputError(f"{str(weights)!r} does not fit its config.json: see {wrong[0]!r}")
        model = cls(config)
        model.load_state_dict({k: v.float() for k, v in load_file(weights).items()}, strict=False)
        return channels_last(model.eval())

    def push_to_hub(
        self,
        repo_id: str,
        *,
        card: Card | None = None,
        private: bool = False,
        token: str | None = None,
    ) -> str:
        """Upload the model with its card to the Hugging Face hub.

        Args:
            repo_id: ``owner/name``; made where it does not exist.
            card: What is said of the model, such as `cdvae_gan.evaluation.card.model_card` writes
                from a report; None for ``model.card``. Without either, the card says what the model
                is, and that nothing was measured.
            private: Whether a new repository is private.
            token: Of the hub; None for the one that was logged in with.

        Returns:
            The commit's address.
        """
        import tempfile

        from huggingface_hub import HfApi

        api = HfApi(token=token)
        api.create_repo(repo_id, private=private, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            self.save(folder)
            card = card or self.card or blank_card(self.config, repo_id)
            if not card.readme:  # figures alone lay beside the weights
                card = replace(card, readme=blank_card(self.config, repo_id).readme)
            card.write(folder)
            return str(api.upload_folder(repo_id=repo_id, folder_path=folder))


def _reach(config: ModelConfig) -> Tensor:
    """``(2, K)``: of putting on, and of taking off."""
    return torch.tensor(config.reach or ((1.0, 1.0),) * len(config.attributes)).T.contiguous()


def exclusive_resolved(
    a: Tensor, attributes: Sequence[str], exclusive: Sequence[Sequence[str]]
) -> Tensor:
    """Of every exclusive group keep the first attribute that is on; ``(B, K)`` in {0, 1}."""
    a = a.clone()
    for group in exclusive:
        taken = torch.zeros(len(a), dtype=torch.bool, device=a.device)
        for name in group:
            k = attributes.index(name)
            a[:, k] = torch.where(taken, 0, a[:, k])
            taken |= a[:, k] > 0
    return a


def shipped_models() -> list[str]:
    """The names of the models that come with the package."""
    root = resources.files("cdvae_gan") / "weights"
    if not root.is_dir():
        return []
    return sorted(f.name for f in root.iterdir() if f.is_dir() and (f / _CONFIG_FILE).is_file())


def load(source: str | Path, *, device: str | torch.device = "cpu") -> CDVAEGAN:
    """Load a trained model, ready for use.

    Args:
        source: The name of a shipped model, a folder with ``model.safetensors`` and
            ``config.json`` (or a training run's folder), or a Hugging Face hub id ``owner/name``.
        device: Where to put it.

    Raises:
        InputError: Where there is no such model.
    """
    names = shipped_models()
    folder = Path(source)
    if str(source) in names:
        with resources.as_file(resources.files("cdvae_gan") / "weights" / str(source)) as shipped:
            return CDVAEGAN.from_pretrained(shipped).to(device)
    if (folder / "model" / _CONFIG_FILE).is_file():
        folder = folder / "model"
    if not folder.is_dir() and "/" not in str(source):
        raise InputError(
            f"no model {str(source)!r}: give a folder, a hub id owner/name, or one of the shipped "
            f"models: {', '.join(names) or 'none'}"
        )
    return CDVAEGAN.from_pretrained(folder if folder.is_dir() else source).to(device)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{str(path)!r} is not text in UTF-8") from None


def _download(repo_id: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if repo_id.count("/") != 1:
        raise InputError(f"no folder {repo_id!r}, and it is not a hub id of the form owner/name")
    try:
        path: Any = snapshot_download(
            repo_id, revision=revision, allow_patterns=[_WEIGHTS_FILE, _CONFIG_FILE, *CARD_FILES]
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"no folder {repo_id!r}, and the hub gave none: {reason}") from None
    return Path(path)
