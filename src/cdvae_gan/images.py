"""Between image files and arrays: reading what people have, cropping, and the two number ranges.

An image file is anything Pillow can decode safely. It becomes an upright 8-bit RGB picture
(`read_image`), a square array (`square`), and a tensor either uint8 in [0, 255] or float in [-1, 1]
(`to_float`, `to_uint8`, exact inverses). `floats` and `pixels` do the same for arrays, without
torch.
"""

from __future__ import annotations

import glob
import io
import os
import threading
import warnings
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from cdvae_gan.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "ImageLike",
    "check_batch",
    "find_images",
    "floats",
    "picture_of",
    "pixels",
    "read_image",
    "square",
    "squares",
    "to_float",
    "to_pil",
    "to_uint8",
]

ImageLike = Image.Image | str | Path | npt.NDArray[np.uint8]
"""A picture, its file, or its pixels, uint8 ``(H, W, 3)`` or ``(H, W)``."""

IMAGE_SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".png",
        ".webp",
        ".gif",
        ".bmp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".avif",
        ".jp2",
    }
)
"""Names that `find_images` takes for images, in lower case."""

MAX_PIXELS = 80_000_000
"""The largest picture that `read_image` decodes unless told otherwise: 80 megapixels, 240 MB of
RGB."""

_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")
_WIDE_GREY = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_open_lock = threading.Lock()


def read_image(
    source: str | os.PathLike[str] | bytes | BinaryIO,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """An image file as an upright 8-bit RGB picture.

    EXIF orientation is applied; transparency is laid over white; 16-bit grey is scaled to
    8 bits, not clipped; of an animation the first frame is taken.

    Args:
        source: A path, the file's bytes, or an open binary file.
        name: What to call the image in errors; the path by default.
        max_pixels: Larger pictures are refused before they are decoded.

    Returns:
        A loaded picture of mode ``RGB``.

    Raises:
        InputError: The file is missing, not an image, truncated, damaged or too large.
    """
    name = name or _name(source)
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        # No warning about large pictures: they are refused two lines below, by name.
        with _open_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(stream, formats=_formats())
        with image:
            if image.width * image.height > max_pixels:
                raise Image.DecompressionBombError
            image.load()
            return _rgb(_upright(image))
    except FileNotFoundError:
        raise InputError(f"no such image: {name}") from None
    except IsADirectoryError:
        raise InputError(f"{name} is a folder, not an image") from None
    except PermissionError:
        raise InputError(f"no permission to read {name}") from None
    except UnidentifiedImageError:
        raise InputError(f"not an image that can be read (JPEG, PNG, WebP, …): {name}") from None
    except Image.DecompressionBombError:
        raise InputError(
            f"{name} has more than {max_pixels:,} pixels: make it smaller first"
        ) from None
    except Exception as error:  # decoders meet damaged files with errors of nearly every kind
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"damaged or truncated image {name}: {reason}") from error


def square(image: Image.Image, size: int) -> npt.NDArray[np.uint8]:
    """The central square of a picture, resized with the Lanczos filter.

    For an aligned CelebA photo of 178×218 this is the usual crop, the box (0, 20, 178, 198).

    Args:
        image: A picture of any mode and shape.
        size: Side of the result in pixels.

    Returns:
        A uint8 array ``(size, size, 3)`` that owns its memory.
    """
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    # Cropped first, since resizing a box would let its surroundings bleed into the edge.
    inner = image.crop((left, top, left + side, top + side)).convert("RGB")
    return np.array(inner.resize((size, size), Image.Resampling.LANCZOS), dtype=np.uint8)


def squares(
    images: ImageLike | Iterable[ImageLike], size: int
) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    """Pictures and files of any size as one array, and what to call them.

    Args:
        images: A PIL image, a path, pixels, or several of them.
        size: Side of the result in pixels; see `square`.

    Returns:
        uint8 ``(B, size, size, 3)``, and B names.

    Raises:
        InputError: Where there is none, or one can't be read.
    """
    one = isinstance(images, Image.Image | str | Path) or getattr(images, "ndim", 4) < 4
    items = [cast(ImageLike, images)] if one else list(cast(Iterable[ImageLike], images))
    if not items:
        raise InputError("no images were given")
    arrays, names = [], []
    for i, item in enumerate(items):
        is_file = isinstance(item, str | Path)
        picture = read_image(item) if isinstance(item, str | Path) else picture_of(item)
        arrays.append(square(picture, size))
        names.append(Path(str(item)).name if is_file else f"image {i}")
    return np.stack(arrays), tuple(names)


def picture_of(item: Image.Image | npt.NDArray[np.uint8]) -> Image.Image:
    """A picture, or pixels, as a picture of mode ``RGB``; of a file it is what `read_image` reads.

    Raises:
        InputError: For anything else.
    """
    if isinstance(item, Image.Image):
        return _rgb(_upright(item))
    if not isinstance(item, np.ndarray):
        raise InputError(f"an image is a path, a PIL image or an array, not {type(item).__name__}")
    if item.dtype != np.uint8 or not (item.ndim == 2 or (item.ndim == 3 and item.shape[2] == 3)):
        raise InputError(
            f"pixels are uint8 (H, W, 3) or (H, W), not {item.dtype} {item.shape}: "
            "cdvae_gan.images.pixels makes them of floats in [−1, 1]"
        )
    return Image.fromarray(item).convert("RGB")


def check_batch(images: Tensor | npt.NDArray[np.float32], size: int, *, is_float: bool) -> None:
    """Raise InputError for anything but float ``(B, 3, size, size)`` in [−1, 1]."""
    shape = tuple(images.shape)
    if len(shape) != 4 or shape[1:] != (3, size, size) or not is_float:
        raise InputError(
            f"the model takes float images of shape (B, 3, {size}, {size}) in [−1, 1], "
            f"not {images.dtype} of shape {shape}"
        )
    if not len(images):
        raise InputError("no images were given")
    if not (images.max() <= 1 and images.min() >= -1):
        raise InputError("images must lie in [−1, 1]: cdvae_gan.images.to_float makes them so")


def floats(array: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """From uint8 ``(…, H, W, 3)`` to float32 ``(…, 3, H, W)`` in [−1, 1]."""
    values = array.astype(np.float32) / np.float32(127.5) - np.float32(1)
    return np.ascontiguousarray(np.moveaxis(values, -1, -3))


def pixels(images: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """From float ``(…, 3, H, W)`` in [−1, 1] to uint8 ``(…, H, W, 3)``: undoes `floats`."""
    values = (np.asarray(images, np.float32) + np.float32(1)) * np.float32(127.5)
    grey = values.round().clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(grey, -3, -1))


def to_float(images: Tensor) -> Tensor:
    """From uint8 in [0, 255] to float32 in [-1, 1], of any shape."""
    return images.float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """From float in [-1, 1] to uint8 in [0, 255], rounded and clamped: undoes `to_float`."""
    return ((images.detach().float() + 1) * 127.5).round().clamp(0, 255).byte()


def to_pil(image: Tensor) -> Image.Image:
    """A uint8 tensor ``(3, H, W)`` as a picture."""
    import torch

    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
        raise InputError(
            f"expected uint8 of shape (3, H, W), got {image.dtype} {tuple(image.shape)}"
        )
    return Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy()))


def find_images(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The image files meant by files, folders and glob patterns.

    Folders are searched with their subfolders, hidden names left out; a file that is named itself
    is taken whatever its suffix. Arguments keep their order, what each stands for is sorted, and
    nothing comes twice.

    Raises:
        InputError: A path does not exist, or a folder or pattern holds no image.
    """
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    return list(dict.fromkeys(found for path in given for found in _expand(os.fspath(path))))


def _expand(text: str) -> list[Path]:
    path = Path(text).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        found = sorted(_walk(path))
        if not found:
            raise InputError(f"no images in {text}: looked for {', '.join(sorted(IMAGE_SUFFIXES))}")
        return found
    if glob.has_magic(text):
        matches = (Path(match) for match in glob.glob(str(path), recursive=True))  # noqa: PTH207
        found = sorted(match for match in matches if match.is_file() and _is_image(match.name))
        if not found:
            raise InputError(f"no image matches {text}")
        return found
    raise InputError(f"no such file or folder: {text}")


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(root, name) for name in names if _is_image(name))


def _is_image(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    """What this Pillow decodes in-process, without Ghostscript or plug-ins."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _name(source: str | os.PathLike[str] | bytes | BinaryIO) -> str:
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    return str(getattr(source, "name", "the given image"))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF says nothing about the pixels, which have been decoded
        return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in _WIDE_GREY:
        return _narrow(image).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _narrow(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits, brought to 8: floats are in [0, 1], integers in [0, 65535]."""
    values = np.asarray(image).astype(np.float64)
    if image.mode == "F":
        top = 1.0 if values.size and values.max() <= 1 else 255.0
    else:
        top = 65535.0 if image.mode != "I" or values.max() > 255 else 255.0
    return Image.fromarray((values.clip(0, top) * (255 / top)).round().astype(np.uint8))
