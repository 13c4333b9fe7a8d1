"""Counterfactuals as a step of a scikit-learn pipeline.

would_say = make_pipeline(CounterfactualTransformer("celeba64", do={"Smiling": 1}), classifier)
would_say.predict(X)      what the classifier would say, had everybody been smiling
"""

from __future__ import annotations

from os import PathLike, fspath
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from cdvae_gan.action import Do, checked
from cdvae_gan.errors import InputError
from cdvae_gan.images import floats, pixels
from cdvae_gan.model import CDVAEGAN, load

__all__ = ["CounterfactualTransformer"]


class CounterfactualTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Sets attributes of images and leaves the rest as it is.

    Images are uint8, or float in ``value_range``: ``(n, H, W, 3)``, or one row an image,
    ``(n, H·W·3)``, as scikit-learn's classifiers want them. What comes out has the same shape,
    type and range.

    Args:
        model: A model, its path or its name; loaded by ``fit``, which learns nothing.
        do: Attribute name to 0, 1, a strength in between, or ``"flip"``; None for nothing.
        strength: How far to go, in [0, 1].
        detail: κ in [0, 1]; None for the model's own.
        value_range: Of float images: black and white.
        device: Where the model runs.
    """

    def __init__(
        self,
        model: str | PathLike[str] | CDVAEGAN = "celeba64",
        do: Do | None = None,
        *,
        strength: float = 1.0,
        detail: float | None = None,
        value_range: tuple[float, float] = (-1.0, 1.0),
        device: str = "cpu",
    ) -> None:
        self.model = model
        self.do = do
        self.strength = strength
        self.detail = detail
        self.value_range = value_range
        self.device = device

    def fit(self, X: Any = None, y: Any = None) -> CounterfactualTransformer:
        """Load the model, and check that the images fit it, where there are any.

        Raises:
            InputError: There is no such model, the intervention is not one of its attributes, or
                images have another size than it takes.
        """
        self.model_ = self.model if isinstance(self.model, CDVAEGAN) else load(fspath(self.model))
        self.model_.to(self.device)
        checked(self.do or {}, self.model_.attributes, self.model_.config.exclusive, self.strength)
        if X is not None:
            self._batch(np.asarray(X)[:1])
        return self

    def transform(self, X: Any) -> npt.NDArray[Any]:
        """The images that would have been.

        Raises:
            InputError: As `fit`, or for values outside of the range.
        """
        check_is_fitted(self, "model_")
        given = np.asarray(X)
        found = self.model_.counterfactual(
            self._batch(given), self.do or {}, self.detail, strength=self.strength
        )
        if given.dtype == np.uint8:
            return pixels(found.images).reshape(given.shape)
        low, high = self.value_range
        drawn = found.images.permute(0, 2, 3, 1).numpy().astype(given.dtype)
        return np.asarray((drawn + 1) / 2 * (high - low) + low, given.dtype).reshape(given.shape)

    def _batch(self, X: npt.NDArray[Any]) -> torch.Tensor:
        """``(n, 3, H, W)`` in [−1, 1]."""
        side = self.model_.image_size
        if X.ndim < 2 or X.shape[1:] not in ((side, side, 3), (side * side * 3,)):
            raise InputError(
                f"images of shape (n, {side}, {side}, 3) or (n, {side * side * 3}) are expected, "
                f"not {X.shape}"
            )
        images = X.reshape(-1, side, side, 3)
        if images.dtype == np.uint8:
            return torch.from_numpy(floats(images))
        if not np.issubdtype(images.dtype, np.floating):
            raise InputError(f"images are uint8 or float, not {images.dtype}")
        low, high = self.value_range
        if not low < high:
            raise InputError(f"value_range goes from black to white, not from {low} to {high}")
        if not ((images >= low) & (images <= high)).all():  # nan is refused as well
            raise InputError(f"values of float images must lie in [{low:g}, {high:g}]: value_range")
        scaled = ((images - low) / (high - low) * 2 - 1).clip(-1, 1)
        return torch.from_numpy(scaled.astype(np.float32)).permute(0, 3, 1, 2)
