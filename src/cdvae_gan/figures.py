"""Labelled pictures: the one module that lays out images, so every figure looks the same.

A figure is a table on white: an optional title, column labels on top, row labels at the left,
images in the cells and an optional note under each image. Text never overlaps and is never cut: it
is wrapped to its column, set smaller where that saves a word from being broken, and the row grows
with it. Small images are enlarged by an integer factor, so that a cell is wide enough for words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .errors import InputError

__all__ = ["contact_sheet", "grid"]

_MARGIN = 16
_GAP = 8
_CELL = 128  # pixels: the narrowest cell in which an attribute's name can be read
_INK = (20, 20, 20)
_NOTE_INK = (80, 80, 80)
_FRAME = (214, 214, 214)

# Pillow's built-in font has ASCII and little more.
_SPELLED = str.maketrans(
    {
        "→": "->",
        "←": "<-",
        "↔": "<->",
        "−": "-",
        "–": "-",
        "—": "-",
        "′": "'",
        "‘": "'",
        "’": "'",
        "“": '"',
        "”": '"',
        "×": "x",
        "±": "+-",
        "≤": "<=",
        "≥": ">=",
        "⁄": "/",
        "α": "alpha",
        "ε": "epsilon",
        "κ": "kappa",
        "σ": "sigma",
        "ß": "ss",
    }
)

_BREAK = re.compile(r"(?<=\s)(?=\S)|(?<=\w[_/\\:,])(?=\w)|(?<=[A-Za-z][.-])(?=[A-Za-z])")


def grid(
    rows: Sequence[Sequence[NDArray[np.uint8] | None]],
    *,
    columns: Sequence[str],
    rows_labels: Sequence[str] | None = None,
    notes: Sequence[Sequence[str | None]] | None = None,
    title: str | None = None,
    scale: int | None = None,
) -> Image.Image:
    """A table of images with labelled rows and columns.

    Args:
        rows: R rows of C images, each uint8 `(H, W, 3)`, or None for a blank cell.
        columns: C labels for the top; all of them empty leaves the header out.
        rows_labels: R labels for the left, or None.
        notes: R rows of C short texts for the space below each image, or None.
        title: A line above everything, or None.
        scale: Integer factor by which the images are enlarged; by default the least that makes a
            cell 128 pixels wide.

    Returns:
        An RGB picture.

    Raises:
        InputError: If there is no image, a row, label or note is missing or extra, or an image is
            not uint8 `(H, W, 3)`.

    Example:
        >>> import numpy as np
        >>> red = np.full((64, 64, 3), (200, 30, 30), np.uint8)
        >>> grid([[red, 255 - red]], columns=["factual", "Smiling=1"], rows_labels=["a.jpg"]).mode
        'RGB'
    """
    _check(rows, columns, rows_labels, notes, scale)
    images = [image for row in rows for image in row if image is not None]
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    factor = scale or ceil(_CELL / width)
    cell_width, cell_height = factor * width, factor * height
    size = min(max(cell_width // 8, 11), 24)

    header = _fit(columns, cell_width, size)
    side = _fit(rows_labels or [""] * len(rows), cell_width * 5 // 4, size)
    below = _fit([note or "" for row in notes or [] for note in row], cell_width, size * 7 // 8)
    below = below or [_BLANK] * (len(rows) * len(columns))
    below_rows = [below[i : i + len(columns)] for i in range(0, len(below), len(columns))]

    side_width = max(text.width for text in side)
    left = _MARGIN + (side_width + _GAP if side_width else 0)
    right = left + len(columns) * (cell_width + _GAP) - _GAP
    heading = _fit([title or ""], right - _MARGIN, size * 5 // 4)[0]
    header_height = max(text.height for text in header)
    top = _MARGIN + sum(h + _GAP for h in (heading.height, header_height) if h)
    tops = [top]
    for text, notes_row in zip(side, below_rows, strict=True):
        note_height = max(note.height for note in notes_row)
        content = max(cell_height, text.height) + (note_height and note_height + _GAP // 2)
        tops.append(tops[-1] + content + _GAP)
    bottom = tops.pop() - _GAP

    picture = Image.new("RGB", (right + _MARGIN, bottom + _MARGIN), "white")
    draw = ImageDraw.Draw(picture)
    heading.draw(draw, _MARGIN, _MARGIN, "left")
    for j, text in enumerate(header):
        x = left + j * (cell_width + _GAP)
        text.draw(draw, x + cell_width // 2, top - _GAP - text.height, "center")
    for y, row, text, notes_row in zip(tops, rows, side, below_rows, strict=True):
        text.draw(draw, left - _GAP, y + max(cell_height - text.height, 0) // 2, "right")
        for j, (image, note) in enumerate(zip(row, notes_row, strict=True)):
            x = left + j * (cell_width + _GAP)
            if image is not None:
                _paste(picture, draw, image, factor, (x, y), (cell_width, cell_height))
            y_note = y + max(cell_height, text.height) + _GAP // 2
            note.draw(draw, x + cell_width // 2, y_note, "center", _NOTE_INK)
    return picture


def contact_sheet(
    images: Sequence[NDArray[np.uint8]], captions: Sequence[str], columns: int = 8
) -> Image.Image:
    """Many images at a glance, each with its caption below, filled row by row.

    Args:
        images: At least one image, each uint8 `(H, W, 3)`.
        captions: One text for each image; may be empty.
        columns: Images in a row.

    Returns:
        An RGB picture.

    Raises:
        InputError: If there is no image, captions and images differ in number, or an image is not
            uint8 `(H, W, 3)`.
    """
    if columns < 1:
        raise InputError(f"a contact sheet needs at least 1 column, not {columns}")
    if len(captions) != len(images):
        raise InputError(f"{len(images)} images but {len(captions)} captions: give one for each")
    columns = max(1, min(columns, len(images)))
    padding = -len(images) % columns
    cells = [*images, *[None] * padding]
    texts = [*captions, *[None] * padding]
    starts = range(0, len(cells), columns)
    return grid(
        [cells[i : i + columns] for i in starts],
        columns=[""] * columns,
        notes=[texts[i : i + columns] for i in starts],
    )


def _check(
    rows: Sequence[Sequence[NDArray[np.uint8] | None]],
    columns: Sequence[str],
    rows_labels: Sequence[str] | None,
    notes: Sequence[Sequence[str | None]] | None,
    scale: int | None,
) -> None:
    if scale is not None and scale < 1:
        raise InputError(f"scale is {scale}: it must be a whole number of at least 1")
    if rows_labels is not None and len(rows_labels) != len(rows):
        raise InputError(f"{len(rows)} rows but {len(rows_labels)} row labels: give one for each")
    if notes is not None and len(notes) != len(rows):
        raise InputError(f"{len(rows)} rows but {len(notes)} rows of notes: give one for each")
    for what, table in (("images", rows), ("notes", notes or [])):
        for i, row in enumerate(table):
            if len(row) != len(columns):
                raise InputError(f"row {i} has {len(row)} {what} for {len(columns)} columns")
    cells = [image for row in rows for image in row if image is not None]
    if not cells:
        raise InputError("nothing to draw: a figure needs at least one image")
    for image in cells:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise InputError(
                f"an image to draw is {image.dtype} {image.shape}: it must be uint8 (H, W, 3)"
            )


def _paste(
    picture: Image.Image,
    draw: ImageDraw.ImageDraw,
    image: NDArray[np.uint8],
    factor: int,
    corner: tuple[int, int],
    cell: tuple[int, int],
) -> None:
    """Draw one image, enlarged, in the middle of its cell, with a hairline around it."""
    enlarged = Image.fromarray(np.ascontiguousarray(image))
    if factor > 1:
        size = (factor * enlarged.width, factor * enlarged.height)
        enlarged = enlarged.resize(size, Image.Resampling.LANCZOS)
    x = corner[0] + (cell[0] - enlarged.width) // 2
    y = corner[1] + (cell[1] - enlarged.height) // 2
    # Around, not over, the pixels: a white picture stays apart from the paper, and whole.
    draw.rectangle((x - 1, y - 1, x + enlarged.width, y + enlarged.height), outline=_FRAME)
    picture.paste(enlarged, (x, y))


@dataclass(frozen=True)
class _Text:
    """Lines of text set in a size: knows the room it takes before it is drawn."""

    lines: tuple[str, ...]
    size: int

    @property
    def width(self) -> int:
        return max((_length(line, self.size) for line in self.lines), default=0)

    @property
    def line_height(self) -> int:
        ascent, descent = _font(self.size).getmetrics()
        return ascent + descent

    @property
    def height(self) -> int:
        return len(self.lines) * self.line_height

    def draw(
        self,
        draw: ImageDraw.ImageDraw,
        x: int,
        y: int,
        align: str,
        ink: tuple[int, int, int] = _INK,
    ) -> None:
        """Draw with the left end, centre or right end of each line at x and the top at y."""
        share = {"left": 0.0, "center": 0.5, "right": 1.0}[align]
        for i, line in enumerate(self.lines):
            start = x - share * _length(line, self.size)
            for word in line.split(" "):
                at = (start, y + i * self.line_height)
                draw.text(at, word, fill=ink, font=_font(self.size), anchor="la")
                start += _font(self.size).getlength(word) + _space(self.size)


_BLANK = _Text((), 1)


def _fit(texts: Sequence[str], width: int, size: int) -> list[_Text]:
    """Set texts in one common size: `size`, or as much less as leaves their words whole."""
    printable = [_printable(text) for text in texts]
    smallest = min(size, max(10, size * 3 // 4))
    pieces = [piece for text in printable for piece in _pieces(text)]
    for trial in range(size, smallest, -1):
        if all(_length(piece.rstrip(), trial) <= width for piece in pieces):
            return [_Text(tuple(_wrap(text, width, trial)), trial) for text in printable]
    return [_Text(tuple(_wrap(text, width, smallest)), smallest) for text in printable]


def _wrap(text: str, width: int, size: int) -> list[str]:
    """Lines no wider than `width`, broken between words if they fit and inside them if not."""
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for piece in _pieces(paragraph):
            if line and _length((line + piece).rstrip(), size) > width:
                lines.append(line.rstrip())
                line = ""
            line += piece
            while _length(line.rstrip(), size) > width and len(line.rstrip()) > 1:
                fits = len(line.rstrip()) - 1
                while fits > 1 and _length(line[:fits], size) > width:
                    fits -= 1
                lines.append(line[:fits])
                line = line[fits:]
        lines.append(line.rstrip())
    return lines


def _pieces(text: str) -> list[str]:
    """Parts that a line may be broken between: words, and parts of a name such as `No_` `Beard`."""
    return [piece for piece in _BREAK.split(text) if piece]


def _printable(text: str) -> str:
    """The text in characters that the font has: accents dropped, unknown ones as their code."""
    plain = unicodedata.normalize("NFKD", text).translate(_SPELLED)
    kept = "".join(c for c in plain if not unicodedata.combining(c))
    return kept.expandtabs(4).encode("ascii", "backslashreplace").decode("ascii")


def _length(text: str, size: int) -> int:
    words = text.split(" ")
    return ceil(sum(map(_font(size).getlength, words)) + (len(words) - 1) * _space(size))


def _space(size: int) -> float:
    # The font kerns its own space to nothing before a full stop: words are set apart by hand.
    return 0.33 * size


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):  # pragma: no cover
        raise RuntimeError("Pillow was built without FreeType, which labels need")
    return font
