"""Exporting a model: written, compared with what it came from, and only then given its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from cdvae_gan.errors import InputError
from cdvae_gan.export.fidelity import Difference, differences, trials
from cdvae_gan.export.graph import OPSET, to_onnx
from cdvae_gan.export.precision import Precision, in_precision
from cdvae_gan.model import CDVAEGAN
from cdvae_gan.runtime import Session

if TYPE_CHECKING:
    import onnx

__all__ = ["TOLERANCE", "Exported", "export_onnx"]

TOLERANCE = 1e-3
"""What an export in float32 may differ from the model, of images in [−1, 1] and probabilities."""


@dataclass(frozen=True)
class Exported:
    """A file, and how near it is to the model."""

    file: Path
    precision: Precision
    difference: Difference

    @property
    def bytes(self) -> int:
        """Size of the file."""
        return self.file.stat().st_size

    def to_dict(self) -> dict[str, Any]:
        return {
            "file": str(self.file),
            "precision": self.precision,
            "opset": OPSET,
            "bytes": self.bytes,
            "difference": self.difference.to_dict(),
        }


def export_onnx(
    model: CDVAEGAN,
    files: Mapping[Precision, Path],
    *,
    images: Tensor | None = None,
    tolerance: float = TOLERANCE,
) -> list[Exported]:
    """Write a model as ONNX files, each compared with the model before it gets its name.

    Args:
        model: The model.
        files: Where each precision goes; the folders must exist.
        images: ``(B, 3, S, S)`` in [−1, 1] to compare on, besides noise and the model's own.
        tolerance: What the file in float32 may differ.

    Raises:
        InputError: Where packages are missing, or a file cannot be written.
        RuntimeError: Where a file does not do what the model does; it is then not written.
    """
    proto = to_onnx(model)
    inputs = trials(model, images)
    done = []
    for precision, file in files.items():
        with written(in_precision(proto, precision), file) as temporary:
            found = differences(model, Session(temporary), inputs)
            if precision == "float32" and not found.largest <= tolerance:
                raise RuntimeError(
                    f"the exported graph differs from the model by {found.largest:.2g}, where "
                    f"{tolerance:g} is allowed: nothing was written to {file}"
                )
            if not found.exact:
                raise RuntimeError(
                    f"the exported graph ({precision}) changes images to which nothing is done: "
                    f"nothing was written to {file}"
                )
        done.append(Exported(file, precision, found))
    return done


@contextmanager
def written(proto: onnx.ModelProto, file: Path) -> Iterator[Path]:
    """A file under another name, which gets its own when the block ends well."""
    temporary = file.with_name(f".{file.name}.partial")
    try:
        temporary.write_bytes(proto.SerializeToString())
        yield temporary
        temporary.replace(file)
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)
