"""Exported models, run by onnxruntime: numpy and Pillow are all that is needed besides, no torch.

The answers are those of the model itself, `cdvae_gan.counterfactual.explain`, with numpy's arrays
in the place of tensors.

Example:
    >>> from cdvae_gan.runtime import load
    >>> model = load("celeba64.onnx")
    >>> result = model.counterfactual("face.jpg", {"Smiling": 1, "Eyeglasses": "flip"})
    >>> result.images  # float32 (1, 3, 64, 64) in [−1, 1]
    >>> result.save("face-smiling.png")
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cdvae_gan.action import (
    Do,
    checked,
    codes,
    kappa,
    label_table,
    present,
    rules,
    sentences,
)
from cdvae_gan.config import ModelConfig
from cdvae_gan.errors import InputError
from cdvae_gan.images import ImageLike, check_batch, floats, squares
from cdvae_gan.results import Result

__all__ = ["Counterfactuals", "OnnxModel", "Session", "load"]

Floats = NDArray[np.float32]
Labels = Mapping[str, "float | Sequence[float]"] | Floats

_OURS = "cdvae_gan"
_BATCH = 64


class Counterfactuals(Result[Floats]):
    """Images, the images that would have been, and what was asked, as float32 arrays."""


class OnnxModel:
    """A model that was exported to ONNX; :func:`load` opens one.

    Args:
        session: The file.

    Raises:
        InputError: Where the file holds no whole model.
    """

    def __init__(self, session: Session) -> None:
        if session.metadata.get("part") != "counterfactual":
            raise InputError(f"{session.name!r} is part of a page, not a whole model")
        self.session = session
        self.config = ModelConfig.from_json(session.metadata["config"])

    @property
    def attributes(self) -> tuple[str, ...]:
        """The K names."""
        return self.config.attributes

    @property
    def image_size(self) -> int:
        """H = W."""
        return self.config.image_size

    def counterfactual(
        self,
        images: ImageLike | Sequence[ImageLike] | Floats,
        do: Do,
        detail: float | None = None,
        *,
        strength: float = 1.0,
        attributes: Labels | None = None,
    ) -> Counterfactuals:
        """The images that would have been, had the attributes been as ``do`` says.

        Args:
            images: A PIL image, a path, a list of them, or a float array ``(B, 3, H, W)`` in
                [−1, 1]. Pictures of other sizes are cropped to their central square and resized.
            do: Attribute name to 0, 1, a strength in between, or ``"flip"``. Empty: nothing is
                done.
            detail: κ in [0, 1]: 1 keeps every detail of the photo that the edit does not touch, 0
                is plain decoding; None for the model's own default.
            strength: How far to go from what is there to what ``do`` says, in [0, 1].
            attributes: Labels, where known: name to value (or a value an image), or an array
                ``(B, K)`` with −1 for unknown. What is not given is read off the image.

        Raises:
            InputError: For an image of another size than the model's, an unknown attribute, a value
                out of range, or a file that can't be read.
        """
        names, exclusive = self.config.attributes, self.config.exclusive
        detail = kappa(detail, self.config.detail)
        x, files = _batch(images, self.image_size)
        labels = label_table(attributes, len(x), names)
        values = checked(do, names, exclusive, strength)
        code = codes(values, names)
        answers: list[dict[str, Floats]] = []
        for start in range(0, len(x), _BATCH):
            part = x[start : start + _BATCH]
            shape = (len(part), len(names))
            known = None if labels is None else labels[start : start + _BATCH]
            answer = self.session.run(
                image=part,
                labels=np.full(shape, -1, np.float32) if known is None else known,
                do=np.broadcast_to(code, shape),
                strength=np.full(len(part), strength, np.float32),
                detail=np.full(len(part), detail, np.float32),
            )
            answers.append(answer)
        joined = {k: np.concatenate([answer[k] for answer in answers]) for k in answers[0]}
        a = present(joined["before"], code, self.config.certainty).astype(np.float32)
        return Counterfactuals(
            factual=x,
            images=joined["counterfactual"],
            attributes=names,
            before=joined["before"],
            asked=joined["asked"],
            after=joined["after"],
            mask=joined["mask"],
            do=dict(values),
            detail=detail,
            resolved=sentences(a, joined["asked"], values, names, rules(self.config)),
            names=files,
        )


def load(file: str | os.PathLike[str], *, threads: int | None = None) -> OnnxModel:
    """Open an exported model.

    Args:
        file: What ``cdvae-gan export --onnx`` wrote.
        threads: How many threads may work on one call; None for as many as there are cores.

    Raises:
        InputError: Where there is no such file, it is not one of ours, or onnxruntime is missing.
    """
    return OnnxModel(Session(file, threads))


class Session:
    """An exported file, as it is: arrays in, arrays out.

    Args:
        file: What ``cdvae-gan export`` wrote.
        threads: How many threads may work on one call; None for as many as there are cores.

    Raises:
        InputError: Where there is no such file, it is not one of ours, or onnxruntime is missing.
    """

    def __init__(self, file: str | os.PathLike[str], threads: int | None = None) -> None:
        path = Path(file)
        self.name = path.name
        if not path.is_file():
            raise InputError(f"no file {str(path)!r}: cdvae-gan export MODEL --onnx FILE makes one")
        self._session = _opened(path, threads)
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        if self.metadata.get("model_type") != _OURS:
            raise InputError(f"{str(path)!r} was not written by cdvae-gan export --onnx")
        self._outputs: list[str] = [output.name for output in self._session.get_outputs()]

    def run(self, **inputs: Floats) -> dict[str, Floats]:
        """Answer a batch; inputs and outputs are those of the file, by name, all float32."""
        whole = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        return dict(zip(self._outputs, self._session.run(None, whole), strict=True))


def _batch(
    images: ImageLike | Sequence[ImageLike] | Floats, size: int
) -> tuple[Floats, tuple[str, ...]]:
    if isinstance(images, np.ndarray) and images.dtype != np.uint8:
        x = cast(Floats, images)
        check_batch(x, size, is_float=x.dtype.kind == "f")
        return x.astype(np.float32, copy=False), ()
    array, names = squares(cast(ImageLike, images), size)
    return floats(array), names


def _opened(path: Path, threads: int | None) -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise InputError(
            "running an exported model needs onnxruntime: pip install 'cdvae-gan[runtime]'"
        ) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises many types of its own
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{str(path)!r} is not a readable ONNX file: {reason}") from None
