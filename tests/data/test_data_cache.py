"""Images are decoded once, in one piece or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from drawn import numbers, picture
from filelock import FileLock

from cdvae_gan.data import cache_folder, clear_cache, open_dataset
from cdvae_gan.data.cache import cached_images
from cdvae_gan.errors import InputError


class Counting:
    """A decoder that counts its calls; image ``index`` is all ``index``."""

    def __init__(self, bad: tuple[int, ...] = ()) -> None:
        self.calls: list[int] = []
        self.bad = bad

    def __call__(self, index: int, size: int) -> np.ndarray:
        self.calls.append(index)
        if index in self.bad:
            raise InputError(f"broken {index}")
        return np.full((size, size, 3), index, dtype=np.uint8)


def files(n: int) -> tuple[str, ...]:
    return tuple(f"{i}.png" for i in range(n))


def test_every_image_is_decoded_once_and_lies_at_its_index() -> None:
    read = Counting()
    for _ in range(3):
        cached = cached_images("some", "key", files(200), read, size=16)
    assert sorted(read.calls) == list(range(200))
    assert numbers(cached.pixels) == list(range(200))
    assert isinstance(cached.pixels, np.memmap)


def test_processes_give_the_same_as_threads(cache: Path) -> None:
    one = cached_images("one", "a", files(600), Shades(), size=16, processes=False)
    two = cached_images("two", "b", files(600), Shades(), size=16, processes=True)
    assert np.array_equal(one.pixels, two.pixels)
    assert [row.index for row in two.unreadable] == [50, 450]
    assert one.unreadable == two.unreadable


class Shades:
    def __call__(self, index: int, size: int) -> np.ndarray:
        if index in (50, 450):
            raise InputError(f"broken {index}")
        return np.full((size, size, 3), index % 256, dtype=np.uint8)


@pytest.mark.parametrize(
    "other", [{"content": "new"}, {"size": 32}, {"files": files(4)}], ids=["content", "size", "n"]
)
def test_other_content_size_or_number_is_another_entry(other: dict[str, object]) -> None:
    given = {"content": "old", "size": 16, "files": files(5)}
    for o in (given, given | other):
        cached_images("x", str(o["content"]), o["files"], Counting(), size=o["size"])
    assert len(list((cache_folder() / "images").glob("*/images.npy"))) == 2


def test_the_same_pixels_are_the_same_content_whenever_and_wherever_they_were_made(
    tmp_path: Path,
) -> None:
    first = tmp_path / "photos"
    for i in range(2):
        picture(first / ["not_smiling", "smiling"][i] / f"{i}.png", i)
    moved = tmp_path / "elsewhere" / "photos"
    shutil.copytree(first, moved, copy_function=shutil.copyfile)
    before, after = (open_dataset(root, size=16) for root in (first, moved))
    assert before.fingerprint == after.fingerprint
    picture(moved / "smiling" / "1.png", 7)
    assert open_dataset(moved, size=16).fingerprint != before.fingerprint


def test_a_changed_file_is_decoded_again(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    for i in range(2):
        picture(root / ["not_smiling", "smiling"][i] / f"{i}.png", i)
    first = open_dataset(root, size=16)
    picture(root / "smiling" / "1.png", 77)
    os.utime(root / "smiling" / "1.png", (1, 1))
    second = open_dataset(root, size=16)
    assert numbers(first.images) == [0, 1]
    assert numbers(second.images) == [0, 77]
    assert first.fingerprint != second.fingerprint


class TestUnreadable:
    def test_they_are_reported_and_remembered(self) -> None:
        read = Counting(bad=(3, 70))
        for _ in range(2):
            cached = cached_images("x", "key", files(80), read, size=16)
            assert [(row.index, row.file) for row in cached.unreadable] == [
                (3, "3.png"),
                (70, "70.png"),
            ]
        assert sorted(read.calls[80:]) == [3, 70], "only they are tried again"

    def test_one_that_can_be_read_by_now_is(self) -> None:
        cached_images("x", "key", files(80), Counting(bad=(3, 70)), size=16)
        cached = cached_images("x", "key", files(80), Counting(bad=(3,)), size=16)
        assert [row.index for row in cached.unreadable] == [3]
        assert cached.pixels[70].max() == 70

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        root = tmp_path / "photos"
        for i in range(8):
            picture(root / ["not_old", "old"][i % 2] / f"{i}.png", i)
        for i in (1, 2, 5, 6):
            path = root / ["not_old", "old"][i % 2] / f"{i}.png"
            path.write_bytes(path.read_bytes()[:40])
        return root

    def test_opening_fails_with_paths_and_count_in_one_line(self, root: Path) -> None:
        with pytest.raises(InputError, match=r"4 images of photos cannot be read") as error:
            open_dataset(root, size=16)
        message = str(error.value)
        assert str(root / "not_old" / "2.png") in message
        assert "and 1 more" in message
        assert "--skip-bad" in message
        assert "\n" not in message

    def test_skip_bad_leaves_them_out_and_nothing_else(self, root: Path) -> None:
        dataset = open_dataset(root, size=16, skip_bad=True)
        assert numbers(dataset.images) == [0, 4, 3, 7]
        assert dataset.labels[:, 0].tolist() == [0, 0, 1, 1]

    def test_nothing_left_is_an_error_even_then(self, root: Path) -> None:
        for path in root.rglob("*.png"):
            path.write_bytes(b"no")
        with pytest.raises(InputError, match="8 images of photos cannot be read"):
            open_dataset(root, size=16, skip_bad=True)


class TestWhole:
    def test_an_error_while_building_leaves_nothing(self, cache: Path) -> None:
        def stop(index: int, size: int) -> np.ndarray:
            if index == 40:
                raise KeyboardInterrupt
            return np.zeros((size, size, 3), dtype=np.uint8)

        with pytest.raises(KeyboardInterrupt):
            cached_images("x", "key", files(64), stop, size=16)
        assert [p for p in (cache / "images").iterdir() if p.is_dir()] == []

    def test_a_killed_build_leaves_nothing_that_is_taken_for_data(self, cache: Path) -> None:
        script = (
            "import time, numpy as np\n"
            "from cdvae_gan.data.cache import cached_images\n"
            "def read(index, size):\n"
            "    time.sleep(0.05)\n"
            "    return np.ones((size, size, 3), dtype=np.uint8)\n"
            "cached_images('x', 'key', tuple(map(str, range(2000))), read, size=16)\n"
        )
        builder = subprocess.Popen([sys.executable, "-c", script])
        deadline = time.monotonic() + 30
        while not list(cache.glob("images/*.partial/images.npy")) and time.monotonic() < deadline:
            time.sleep(0.02)
        builder.kill()
        builder.wait()
        assert list(cache.glob("images/*.partial")), "it was killed before it began"

        again = cached_images("x", "key", files(2000), Shades(), size=16)

        assert numbers(again.pixels[:3]) == [0, 1, 2]
        assert not list(cache.glob("images/*.partial"))

    def test_leftovers_of_other_builds_go_and_builds_under_way_stay(self, cache: Path) -> None:
        left, running = (cache / "images" / f"{name}.partial" for name in ("left", "running"))
        left.mkdir(parents=True)
        running.mkdir()
        with FileLock(cache / "images" / "running.lock"):
            cached_images("x", "key", files(3), Counting(), size=16)
        assert not left.exists()
        assert running.exists()

    @pytest.mark.parametrize("name", ["images.npy", "unreadable.json"])
    def test_a_damaged_entry_is_built_again(self, cache: Path, name: str) -> None:
        read = Counting(bad=(3,))
        first = cached_images("x", "key", files(20), read, size=16)
        before = numbers(first.pixels), first.unreadable, first.content
        del first  # what is mapped must not shrink
        (path,) = cache.glob(f"images/*/{name}")
        if name == "images.npy":
            os.truncate(path, path.stat().st_size // 2)
        else:
            path.unlink()
        again = cached_images("x", "key", files(20), read, size=16)
        assert (numbers(again.pixels), again.unreadable, again.content) == before
        assert len(read.calls) == 40

    def test_two_at_once_decode_once(self) -> None:
        read = Counting()

        def build(_: int) -> np.ndarray:
            return cached_images("x", "key", files(100), read, size=16).pixels

        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(build, range(4)))
        assert len(read.calls) == 100
        assert all(numbers(pixels) == list(range(100)) for pixels in results)


class TestFolder:
    def test_the_variable_comes_before_xdg(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert cache_folder() == tmp_path / "the-cache"
        monkeypatch.delenv("CDVAE_GAN_CACHE")
        assert cache_folder() == tmp_path / "xdg" / "cdvae-gan"
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert cache_folder() == Path.home() / ".cache" / "cdvae-gan"

    def test_clearing_gives_the_room_back(self, cache: Path) -> None:
        cached_images("x", "key", files(10), Counting(), size=16)
        assert clear_cache() >= 10 * 16 * 16 * 3
        assert list(cache.rglob("*.npy")) == []
        assert clear_cache() == 0

    def test_clearing_leaves_what_is_not_ours(self, cache: Path) -> None:
        cached_images("x", "key", files(10), Counting(), size=16)
        (cache / "keep.txt").write_text("mine")
        clear_cache()
        assert (cache / "keep.txt").exists()

    def test_a_cache_that_cannot_be_written_is_said_so(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(InputError, match=r"cannot write to the cache .*CDVAE_GAN_CACHE"):
            cached_images("x", "k", files(2), Counting(), size=16, cache_dir=tmp_path / "file")

    def test_a_full_disk_is_said_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
        with pytest.raises(InputError, match=r"no room for decoded images in .*CDVAE_GAN_CACHE"):
            cached_images("x", "k", files(2), Counting(), size=16)
