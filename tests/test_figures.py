"""Labelled pictures: pixels where they belong, and text that is whole, apart and inside."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cdvae_gan import figures
from cdvae_gan.errors import InputError
from cdvae_gan.figures import contact_sheet, grid

Pixels = NDArray[np.uint8]

RED, GREEN, BLUE = (200, 30, 30), (30, 160, 30), (30, 30, 200)
LONG = "a_rather_long_attribute_name_of_many_parts"
UNBREAKABLE = "W" * 60


def plain(colour: tuple[int, int, int], height: int = 64, width: int = 64) -> Pixels:
    return np.full((height, width, 3), colour, np.uint8)


def box(picture: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the pixels of exactly this colour."""
    found = (np.asarray(picture) == colour).all(axis=2)
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    assert found[top:bottom, left:right].all(), "something was drawn over an image"
    return int(left), int(top), int(right), int(bottom)


def has_ink(picture: Image.Image, area: tuple[int, int, int, int]) -> bool:
    return bool((np.asarray(picture.crop(area)).min(axis=2) < 150).any())


def test_images_lie_in_a_table_in_the_order_given() -> None:
    picture = grid([[plain(RED), plain(GREEN)], [plain(BLUE), None]], columns=["a", "b"])
    red, green, blue = (box(picture, colour) for colour in (RED, GREEN, BLUE))
    assert red[1] == green[1]
    assert red[2] < green[0]
    assert red[0] == blue[0]
    assert red[3] < blue[1]


@pytest.mark.parametrize(
    ("width", "shown"), [(16, 128), (32, 128), (50, 150), (64, 128), (256, 256)]
)
def test_small_images_are_enlarged_by_the_least_whole_factor_that_fits_words(
    width: int, shown: int
) -> None:
    left, _, right, _ = box(grid([[plain(RED, width=width)]], columns=["x"]), RED)
    assert right - left == shown


def test_at_scale_1_the_pixels_are_the_image_bit_for_bit() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    frame = plain((1, 2, 3), 40, 48)
    area = box(grid([[frame]], columns=["x"], rows_labels=["row"], scale=1), (1, 2, 3))
    picture = grid([[noise]], columns=["x"], rows_labels=["row"], scale=1)
    assert np.array_equal(np.asarray(picture.crop(area)), noise)


def test_every_label_and_note_is_drawn_outside_the_images() -> None:
    picture = grid(
        [[plain(RED), plain(GREEN)]],
        columns=["", "top"],
        rows_labels=["left"],
        notes=[["below", None]],
    )
    (left, top, right, bottom), other = box(picture, RED), box(picture, GREEN)
    assert has_ink(picture, (0, top, left - 1, bottom))
    assert not has_ink(picture, (left, 0, right, top - 1))
    assert has_ink(picture, (other[0], 0, other[2], top - 1))
    assert has_ink(picture, (left, bottom + 1, right, picture.height))
    assert not has_ink(picture, (other[0], bottom + 1, other[2], picture.height))


@pytest.mark.parametrize("text", [LONG, UNBREAKABLE, "one two three " * 20, "Wavy\nHair", "x"])
def test_text_of_any_length_stays_inside_the_picture_and_off_the_images(text: str) -> None:
    picture = grid(
        [[plain(RED), plain(GREEN)], [plain(BLUE), plain((9, 9, 9))]],
        columns=[text, text],
        rows_labels=[text, text],
        notes=[[text, text], [text, text]],
        title=text,
    )
    for colour in (RED, GREEN, BLUE, (9, 9, 9)):
        box(picture, colour)  # whole, though surrounded by text
    width, height = picture.size
    for edge in ((0, 0, width, 4), (0, height - 4, width, height), (0, 0, 4, height)):
        assert not has_ink(picture, edge)
    assert not has_ink(picture, (width - 4, 0, width, height))


@pytest.mark.parametrize(
    "text", [LONG, UNBREAKABLE, "one two three", "Smiling .02 -> .98", " a  b ", ""]
)
@pytest.mark.parametrize("width", [40, 128, 300])
def test_wrapped_lines_fit_the_width_and_lose_no_character(text: str, width: int) -> None:
    lines = figures._wrap(text, width, 14)
    assert all(figures._length(line, 14) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_a_name_is_broken_between_its_parts() -> None:
    assert figures._wrap("Mouth_Slightly_Open", 80, 14) == ["Mouth_", "Slightly_", "Open"]


def test_labels_of_a_row_are_set_in_one_size_small_enough_for_the_longest_word() -> None:
    short, long = figures._fit(["x", "Eyeglasses"], figures._length("Eyeglasses", 13), 16)
    assert short.size == long.size == 13
    assert long.lines == ("Eyeglasses",)


@pytest.mark.parametrize(
    ("text", "drawn"),
    [(".02 → .98", ".02 -> .98"), ("Lächeln", "Lacheln"), ("x′ − x", "x' - x"), ("笑", "\\u7b11")],
)
def test_characters_that_the_font_lacks_are_spelled(text: str, drawn: str) -> None:
    assert figures._printable(text) == drawn


def test_contact_sheet_fills_row_by_row_and_shows_each_image_once() -> None:
    colours = [(10 * i + 5, 99, 7) for i in range(5)]
    sheet = contact_sheet([plain(c) for c in colours], [f"{i}" for i in range(5)], columns=3)
    boxes = [box(sheet, colour) for colour in colours]
    assert len({b[1] for b in boxes[:3]}) == 1
    assert [b[0] for b in boxes[:2]] == [b[0] for b in boxes[3:]]
    assert boxes[3][1] > boxes[0][3]


def test_contact_sheet_of_few_images_is_no_wider_than_they_need() -> None:
    assert contact_sheet([plain(RED)], ["a"], columns=8).width < 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": [], "columns": ["a"]}, "nothing to draw"),
        ({"rows": [[None]], "columns": ["a"]}, "nothing to draw"),
        ({"rows": [[plain(RED)]], "columns": ["a", "b"]}, "row 0 has 1 images for 2 columns"),
        ({"rows": [[plain(RED)]], "columns": ["a"], "rows_labels": []}, "1 rows but 0 row labels"),
        ({"rows": [[plain(RED)]], "columns": ["a"], "notes": [[]]}, "row 0 has 0 notes"),
        ({"rows": [[plain(RED)]], "columns": ["a"], "scale": 0}, "scale is 0"),
        ({"rows": [[plain(RED)[..., :1]]], "columns": ["a"]}, r"uint8 \(64, 64, 1\)"),
        ({"rows": [[plain(RED) / 255.0]], "columns": ["a"]}, "float64"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(
    arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        grid(**arguments)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_contact_sheet_wants_a_caption_for_each_image() -> None:
    with pytest.raises(InputError, match="1 images but 2 captions"):
        contact_sheet([plain(RED)], ["a", "b"])
    with pytest.raises(InputError, match="nothing to draw"):
        contact_sheet([], [])
