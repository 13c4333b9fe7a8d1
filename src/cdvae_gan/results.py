"""Images, the images that would have been, and what was asked, as one object.

The arrays of a model's own results are tensors, those of an exported model's are numpy's.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cdvae_gan.errors import InputError
from cdvae_gan.files import write_whole
from cdvae_gan.images import pixels

__all__ = ["Result"]

Array = TypeVar("Array")


@dataclass(frozen=True, repr=False)
class Result(Generic[Array]):
    """Images, the images that would have been, and what was asked.

    Iterating gives the counterfactuals as PIL images; a notebook shows both side by side.
    """

    factual: Array
    """``(B, 3, H, W)`` in [−1, 1], at the model's resolution"""
    images: Array
    """``(B, 3, H, W)`` in [−1, 1]: x′"""
    attributes: tuple[str, ...]
    """The K names"""
    before: Array
    """``(B, K)``: what the model reads off x, as probabilities, or the labels that were given"""
    asked: Array
    """``(B, K)``: a′"""
    after: Array
    """``(B, K)``: what the model reads off x′, as probabilities"""
    mask: Array
    """``(B, 1, H, W)`` in [0, 1]: where the photo's own detail was given up"""
    do: dict[str, float | bool | str]
    detail: float
    resolved: tuple[str, ...] = ()
    """Exclusive attributes that were switched off, in words"""
    names: tuple[str, ...] = field(default=())
    """File names, where the images came from files"""

    def __len__(self) -> int:
        return len(np.asarray(self.images))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} images, do({self._asked()})>"

    def pil(self) -> list[Image.Image]:
        """The counterfactuals as PIL images at the model's resolution."""
        return [Image.fromarray(picture) for picture in pixels(np.asarray(self.images))]

    def figure(self) -> Image.Image:
        """Factual and counterfactual, a row an image, with what the model reads of what changed."""
        from cdvae_gan.figures import grid

        asked = self._asked()
        both = zip(*(pixels(np.asarray(a)) for a in (self.factual, self.images)), strict=True)
        notes = [
            [self._reading(row) for row in pair]
            for pair in zip(np.asarray(self.before), np.asarray(self.after), strict=True)
        ]
        return grid(
            [list(pair) for pair in both],
            columns=["factual", f"do({asked})"],
            rows_labels=self._labels(),
            notes=notes,
        )

    def to_dict(self) -> dict[str, object]:
        """All but the pixels, as plain data."""
        read = [np.asarray(a, np.float64).round(4) for a in (self.before, self.asked, self.after)]
        return {
            "do": dict(self.do),
            "detail": self.detail,
            "resolved": list(self.resolved),
            "images": [
                {
                    "name": label,
                    "attributes": {
                        name: {
                            when: float(table[i, k])
                            for when, table in zip(("before", "asked", "after"), read, strict=True)
                        }
                        for k, name in enumerate(self.attributes)
                    },
                }
                for i, label in enumerate(self._labels())
            ],
        }

    def save(self, path: str | Path) -> Path:
        """Write the figure (PNG or JPEG), and what was asked and read beside it as ``.json``.

        Raises:
            InputError: Where the folder does not exist or the format is not known.
        """
        path = Path(path)
        if not path.parent.is_dir():
            raise InputError(f"no folder {str(path.parent)!r} to write {path.name!r} into")
        try:
            self.figure().save(path)
        except ValueError:
            raise InputError(
                f"cannot write pictures as {path.suffix!r}: use .png or .jpg"
            ) from None
        write_whole(path.with_suffix(".json"), json.dumps(self.to_dict(), indent=2) + "\n")
        return path

    def _asked(self) -> str:
        parts = (f"{k}={v if isinstance(v, str) else f'{v:g}'}" for k, v in self.do.items())
        return ", ".join(parts) or "nothing"

    def _labels(self) -> list[str]:
        return list(self.names) or [f"image {i}" for i in range(len(self))]

    def _reading(self, probabilities: NDArray[np.float32]) -> str:
        shown = [n for n in self.attributes if n in self.do]
        return "  ".join(f"{n} {float(probabilities[self.attributes.index(n)]):.2f}" for n in shown)

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.figure().save(stream, "PNG")
        return stream.getvalue()
