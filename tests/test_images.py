"""Image files become upright 8-bit RGB whatever they were, or are refused by name."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cdvae_gan.errors import InputError
from cdvae_gan.images import find_images, read_image, square, squares, to_float, to_pil, to_uint8

RED, WHITE = (255, 0, 0), (255, 255, 255)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def first_pixel(data: bytes) -> tuple[int, ...]:
    image = read_image(data)
    assert image.mode == "RGB"
    return image.getpixel((0, 0))


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises a size and has no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))


class TestReading:
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_orientation_is_applied(self, orientation: int) -> None:
        upright = Image.new("RGB", (48, 32), WHITE)
        upright.paste(RED, (0, 0, 16, 16))  # red at the top left
        undo = {
            2: Image.Transpose.FLIP_LEFT_RIGHT,
            3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_90,
            7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270,
        }
        stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
        exif = Image.Exif()
        exif[0x0112] = orientation

        read = read_image(saved(stored, "PNG", exif=exif))

        assert np.array_equal(read, upright)

    def test_grey(self) -> None:
        assert first_pixel(saved(Image.new("L", (4, 4), 77), "PNG")) == (77, 77, 77)

    def test_16_bit_grey_is_scaled_and_not_clipped(self) -> None:
        ramp = np.linspace(0, 65535, 256).round().astype(np.uint16)[None]
        read = np.asarray(read_image(saved(Image.fromarray(ramp), "PNG")))
        assert np.array_equal(read[0, :, 0], np.arange(256))

    def test_16_bit_tiff(self) -> None:
        values = np.full((4, 4), 32768, dtype=np.uint16)
        assert first_pixel(saved(Image.fromarray(values), "TIFF")) == (128, 128, 128)

    def test_float_tiff_from_0_to_1(self) -> None:
        values = np.full((4, 4), 0.2, dtype=np.float32)
        assert first_pixel(saved(Image.fromarray(values), "TIFF")) == (51, 51, 51)

    def test_alpha_is_laid_over_white(self) -> None:
        half = Image.new("RGBA", (4, 4), (255, 0, 0, 128))
        red, green, blue = first_pixel(saved(half, "PNG"))
        assert (red, green, blue) == (255, green, green)
        assert abs(green - 127) <= 1

    def test_grey_with_alpha(self) -> None:
        assert first_pixel(saved(Image.new("LA", (4, 4), (0, 0)), "PNG")) == WHITE

    def test_palette(self) -> None:
        image = Image.new("RGB", (4, 4), (10, 200, 30)).quantize(4)
        assert first_pixel(saved(image, "PNG")) == (10, 200, 30)

    def test_palette_with_a_transparent_colour(self) -> None:
        image = Image.new("P", (4, 4), 0)
        image.putpalette([9, 9, 9, 255, 0, 0])
        image.putpixel((3, 3), 1)
        data = saved(image, "PNG", transparency=0)
        assert first_pixel(data) == WHITE
        assert read_image(data).getpixel((3, 3)) == RED

    def test_cmyk_jpeg(self) -> None:
        image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
        red, green, blue = first_pixel(saved(image, "JPEG", quality=100))
        assert red > 250
        assert max(green, blue) < 5

    def test_an_animation_gives_its_first_frame(self) -> None:
        frames = [Image.new("RGB", (8, 8), color) for color in (RED, (0, 0, 255))]
        data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
        assert first_pixel(data) == RED

    def test_paths_bytes_and_files_are_the_same(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        Image.effect_noise((9, 7), 50).save(path)
        with path.open("rb") as file:
            pictures = [read_image(s) for s in (path, str(path), path.read_bytes(), file)]
        assert all(np.array_equal(picture, pictures[0]) for picture in pictures)


class TestRefusing:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"no such image: .*gone\.png"):
            read_image(tmp_path / "gone.png")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="is a folder"):
            read_image(tmp_path)

    @pytest.mark.parametrize("data", [b"", b"hello, I am text", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
    def test_not_an_image(self, tmp_path: Path, data: bytes) -> None:
        path = tmp_path / "notes.jpg"
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"not an image .*notes\.jpg"):
            read_image(path)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
    def test_truncated(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / f"cut.{kind.lower()}"
        data = saved(Image.effect_noise((64, 64), 80).convert("RGB"), kind)
        path.write_bytes(data[: len(data) * 2 // 3])
        with pytest.raises(InputError, match=r"cut\."):
            read_image(path)

    @pytest.mark.parametrize("side", [10_000, 50_000])
    @pytest.mark.filterwarnings("error")
    def test_a_decompression_bomb_is_refused_before_it_is_decoded(self, side: int) -> None:
        with pytest.raises(InputError, match=r"bomb\.png has more than 80,000,000 pixels"):
            read_image(png_header(side, side), name="bomb.png")

    def test_the_limit_can_be_set(self) -> None:
        data = saved(Image.new("RGB", (20, 20)), "PNG")
        assert read_image(data, max_pixels=400).size == (20, 20)
        with pytest.raises(InputError, match="more than 399 pixels"):
            read_image(data, max_pixels=399)

    def test_messages_are_one_line(self) -> None:
        with pytest.raises(InputError) as error:
            read_image(saved(Image.new("RGB", (64, 64)), "PNG")[:60])
        assert "\n" not in str(error.value)


class TestSquare:
    def test_an_aligned_celeba_photo_gets_the_usual_crop(self) -> None:
        photo = Image.effect_noise((178, 218), 60).convert("RGB")
        assert np.array_equal(square(photo, 178), photo.crop((0, 20, 178, 198)))

    @pytest.mark.parametrize("shape", [(90, 30), (30, 90), (31, 30)])
    def test_it_is_central_and_never_stretched(self, shape: tuple[int, int]) -> None:
        image = Image.new("RGB", shape, RED)
        side = min(shape)
        left, top = (shape[0] - side) // 2, (shape[1] - side) // 2
        image.paste(WHITE, (left, top, left + side, top + side))
        assert (square(image, 16) == 255).all()

    @pytest.mark.parametrize("size", [32, 64, 128, 256])
    def test_size_and_type(self, size: int) -> None:
        pixels = square(Image.new("RGB", (100, 80)), size)
        assert pixels.shape == (size, size, 3)
        assert pixels.dtype == np.uint8


class TestRanges:
    def test_to_uint8_undoes_to_float_for_every_value(self) -> None:
        values = torch.arange(256, dtype=torch.uint8)
        assert torch.equal(to_uint8(to_float(values)), values)

    def test_the_float_range_is_minus_one_to_one(self) -> None:
        ends = to_float(torch.tensor([0, 255], dtype=torch.uint8))
        assert ends.tolist() == [-1.0, 1.0]

    def test_values_outside_are_clamped(self) -> None:
        assert to_uint8(torch.tensor([-9.0, 9.0])).tolist() == [0, 255]

    def test_to_pil_keeps_the_pixels(self) -> None:
        image = torch.randint(0, 256, (3, 5, 7), dtype=torch.uint8)
        assert np.array_equal(np.asarray(to_pil(image)), image.permute(1, 2, 0))

    def test_to_pil_refuses_another_shape(self) -> None:
        with pytest.raises(InputError, match=r"\(3, H, W\)"):
            to_pil(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))


class TestFinding:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name in ("b.png", "a.JPG", "sub/c.webp", "notes.txt", ".hidden.png", ".git/d.png"):
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.touch()
        return tmp_path

    def test_a_folder_is_searched_and_sorted(self, folder: Path) -> None:
        assert find_images(folder) == [folder / "a.JPG", folder / "b.png", folder / "sub/c.webp"]

    def test_a_pattern(self, folder: Path) -> None:
        assert find_images([str(folder / "*")]) == [folder / "a.JPG", folder / "b.png"]

    def test_arguments_keep_their_order_and_nothing_comes_twice(self, folder: Path) -> None:
        found = find_images([folder / "b.png", folder])
        assert found == [folder / "b.png", folder / "a.JPG", folder / "sub/c.webp"]

    def test_a_named_file_is_taken_whatever_its_suffix(self, folder: Path) -> None:
        assert find_images(folder / "notes.txt") == [folder / "notes.txt"]

    @pytest.mark.parametrize(
        ("name", "message"),
        [("gone.png", "no such file"), ("*.tiff", "no image matches"), ("empty", "no images in")],
    )
    def test_nothing_found_is_an_error(self, folder: Path, name: str, message: str) -> None:
        (folder / "empty").mkdir()
        with pytest.raises(InputError, match=message):
            find_images(folder / name)


@pytest.mark.parametrize("kind", ["16 bits", "transparent", "turned"])
def test_an_open_picture_is_what_its_file_is(kind: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    if kind == "16 bits":
        image = Image.fromarray(np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8))
    elif kind == "transparent":
        image = Image.new("RGBA", (8, 8), (255, 0, 0, 64))
    else:
        image = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
        exif[0x0112] = 6
    image.save(tmp_path / "one.png", exif=exif)
    with Image.open(tmp_path / "one.png") as opened:
        batch, _ = squares([tmp_path / "one.png", opened], 8)
    assert np.array_equal(batch[0], batch[1])


def test_pixels_are_pictures_too() -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    batch, names = squares([pixels, Image.fromarray(pixels)], 4)
    assert np.array_equal(batch[0], pixels)
    assert np.array_equal(batch[0], batch[1])
    assert names == ("image 0", "image 1")
    assert np.array_equal(squares(np.stack([pixels, pixels]), 4)[0], batch)
    assert np.array_equal(squares(pixels, 4)[0], batch[:1])
    with pytest.raises(InputError, match=r"uint8 \(H, W, 3\)"):
        squares([pixels.astype(float)], 4)
    with pytest.raises(InputError, match="not int"):
        squares([3], 4)  # type: ignore[list-item]
