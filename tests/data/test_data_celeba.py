"""CelebA's official layout, on a folder with drawn images; the real one where it is at hand."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cdvae_gan.data import AttributeDataset, open_dataset
from cdvae_gan.data.dataset import split_by_name
from cdvae_gan.errors import InputError

NAMES = ["Bald", "Bangs", "Black_Hair", "Blond_Hair", "Male", "Mustache", "No_Beard", "Smiling"]
N = 12
LABELS = np.random.default_rng(0).integers(0, 2, (N, len(NAMES)))
FILES = [f"{i + 1:06d}.jpg" for i in range(N)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "celeba"
    images = folder / "img_align_celeba"
    images.mkdir(parents=True)
    for i, file in enumerate(FILES):
        Image.new("RGB", (178, 218), (20 * i, 255 - 20 * i, 90)).save(images / file, quality=95)
    rows = [
        f"{f} " + " ".join(f"{2 * v - 1:2d}" for v in row)
        for f, row in zip(FILES, LABELS, strict=True)
    ]
    write(folder, "list_attr_celeba.txt", [str(N), " ".join(NAMES) + " ", *rows])
    write(folder, "list_eval_partition.txt", [f"{f} {i // 8}" for i, f in enumerate(FILES)])
    write(folder, "identity_CelebA.txt", [f"{f} {100 + i % 3}" for i, f in enumerate(FILES)])
    return folder


def write(folder: Path, name: str, lines: list[str]) -> None:
    (folder / name).write_text("\n".join(lines) + "\n")


def zipped(root: Path, inside: str = "img_align_celeba/") -> Path:
    images = root / "img_align_celeba"
    with zipfile.ZipFile(root / "img_align_celeba.zip", "w") as archive:
        for file in sorted(images.iterdir()):
            archive.write(file, inside + file.name)
            file.unlink()
    images.rmdir()
    return root


def same(one: AttributeDataset, other: AttributeDataset) -> bool:
    return np.array_equal(one.images, other.images) and np.array_equal(one.labels, other.labels)


class TestLayout:
    def test_labels_splits_and_identities_are_read(self, root: Path) -> None:
        dataset = open_dataset(root, size=32)
        assert dataset.attributes == tuple(NAMES)
        assert dataset.files == tuple(FILES)
        assert np.array_equal(dataset.labels, LABELS)
        assert dataset.splits.tolist() == ["train"] * 8 + ["validation"] * 4
        assert dataset.identities is not None
        assert dataset.identities.tolist() == [100, 101, 102] * 4

    @pytest.mark.parametrize("size", [32, 64, 256])
    def test_images_are_cropped_and_resized(self, root: Path, size: int) -> None:
        dataset = open_dataset(root, size=size)
        assert dataset.images.shape == (N, size, size, 3)
        assert dataset.image_size == size
        assert abs(int(dataset.images[5][0, 0, 0]) - 100) < 4

    @pytest.mark.parametrize("inside", ["img_align_celeba/", "", "CelebA/Img/img_align_celeba/"])
    def test_a_zip_is_as_good_as_the_folder(self, root: Path, inside: str) -> None:
        from_folder = open_dataset(root, size=32)
        assert same(open_dataset(zipped(root, inside), size=32), from_folder)

    def test_a_nested_folder(self, root: Path) -> None:
        flat = open_dataset(root, size=32)
        (root / "img_align_celeba").rename(root / "inner")
        (root / "img_align_celeba").mkdir()
        (root / "inner").rename(root / "img_align_celeba" / "img_align_celeba")
        assert same(open_dataset(root, size=32), flat)

    def test_without_a_partition_images_are_split_by_name(self, root: Path) -> None:
        (root / "list_eval_partition.txt").unlink()
        (root / "identity_CelebA.txt").unlink()
        first, again = open_dataset(root, size=32), open_dataset(root, size=32)
        assert first.identities is None
        assert set(first.splits) <= {"train", "validation"}
        assert np.array_equal(first.splits, again.splits)

    def test_without_a_partition_nobody_is_in_two_splits(self, root: Path) -> None:
        (root / "list_eval_partition.txt").unlink()
        by_name = split_by_name(FILES)
        assert set(by_name) == {"train", "validation"}
        held_out, other = FILES[by_name.tolist().index("validation")], FILES[0]
        write(
            root,
            "identity_CelebA.txt",
            [f"{f} {7 if f in (held_out, other) else 100 + i}" for i, f in enumerate(FILES)],
        )
        dataset = open_dataset(root, size=32)
        assert dataset.identities is not None
        for person in set(dataset.identities.tolist()):
            assert len(set(dataset.splits[dataset.identities == person])) == 1


class TestExclusiveGroups:
    def test_the_groups_of_the_chosen_attributes(self, root: Path) -> None:
        dataset = open_dataset(
            root, size=32, attributes=["Smiling", "No_Beard", "Mustache", "Bald", "Bangs"]
        )
        assert dataset.exclusive == (("Bald", "Bangs"), ("No_Beard", "Mustache"))

    def test_hair_colours_exclude_each_other(self, root: Path) -> None:
        dataset = open_dataset(root, size=32, attributes=["Blond_Hair", "Black_Hair", "Smiling"])
        assert dataset.exclusive == (("Black_Hair", "Blond_Hair"),)

    def test_hair_that_loses_its_colour_gets_another(self, root: Path) -> None:
        dataset = open_dataset(root, size=32, attributes=["Blond_Hair", "Bald", "Black_Hair"])
        assert dataset.alternatives == (
            ("Black_Hair", "Blond_Hair"),
            ("Blond_Hair", "Black_Hair"),
            ("Bald", "Black_Hair", "Blond_Hair"),
        )

    def test_what_goes_takes_along_what_it_has_caused(self, root: Path) -> None:
        dataset = open_dataset(root, size=32, attributes=["Smiling", "Male", "Mustache", "Bald"])
        assert dataset.companions == (("Male", "Mustache=0"),)


class TestDamage:
    @pytest.mark.parametrize(
        ("file", "change", "message"),
        [
            (
                "list_attr_celeba.txt",
                lambda t: t.replace("12\n", "13\n", 1),
                "promises 13 images but 12",
            ),
            ("list_attr_celeba.txt", lambda t: t.replace(" -1", " -2", 1), "line 3.* -1 nor 1"),
            ("list_attr_celeba.txt", lambda t: t.replace(" -1", " x", 1), "neither -1 nor 1"),
            (
                "list_attr_celeba.txt",
                lambda t: t.replace(" -1", "", 1),
                "line 3: expected .* 8 values",
            ),
            ("list_attr_celeba.txt", lambda t: t.partition("\n")[2], "expected a count"),
            (
                "list_eval_partition.txt",
                lambda t: t.replace("000003.jpg 0\n", ""),
                "does not list 000003",
            ),
            ("list_eval_partition.txt", lambda t: t.replace(" 1", " 7"), "neither 0 .train"),
            (
                "identity_CelebA.txt",
                lambda t: t.replace(" 100", " Ann"),
                "a file name and a number",
            ),
        ],
    )
    def test_a_damaged_list_is_named(self, root: Path, file: str, change, message: str) -> None:
        path = root / file
        path.write_text(change(path.read_text()))
        with pytest.raises(InputError, match=message) as error:
            open_dataset(root, size=32)
        assert file in str(error.value)

    def test_no_images(self, root: Path) -> None:
        zipped(root).joinpath("img_align_celeba.zip").unlink()
        with pytest.raises(
            InputError, match=r"put img_align_celeba/ or img_align_celeba.zip there"
        ):
            open_dataset(root, size=32)

    def test_half_a_zip(self, root: Path) -> None:
        path = zipped(root) / "img_align_celeba.zip"
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(InputError, match="not a whole zip"):
            open_dataset(root, size=32)

    def test_bytes_flipped_in_a_zip_name_the_member(self, root: Path) -> None:
        path = zipped(root) / "img_align_celeba.zip"
        data = bytearray(path.read_bytes())
        data[300:340] = bytes(40)
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"img_align_celeba.zip/img_align_celeba/000001\.jpg"):
            open_dataset(root, size=32)


def celeba_folder() -> Path:
    beside = Path(__file__).parents[3] / "shared" / "celeba"
    return Path(os.environ.get("CDVAE_GAN_CELEBA", beside))


@pytest.mark.celeba
@pytest.mark.skipif(
    not (celeba_folder() / "list_attr_celeba.txt").is_file(),
    reason="no CelebA: name its folder in CDVAE_GAN_CELEBA",
)
class TestRealCelebA:
    @pytest.fixture
    def some(self, tmp_path: Path) -> Path:
        """The first 60 images of each split, linked, since decoding all of them takes a while."""
        real, root = celeba_folder(), tmp_path / "some"
        root.mkdir()
        (root / "img_align_celeba").symlink_to(real / "img_align_celeba")
        partition = [line.split() for line in (real / "list_eval_partition.txt").open()]
        chosen = [f for s in "01" for f in [name for name, split in partition if split == s][:60]]
        for name, head in (
            ("list_attr_celeba", 2),
            ("list_eval_partition", 0),
            ("identity_CelebA", 0),
        ):
            lines = (real / f"{name}.txt").read_text().splitlines()
            kept = [line for line in lines[head:] if line.split()[0] in set(chosen)]
            write(root, f"{name}.txt", [str(len(kept)), lines[1]][:head] + kept)
        return root

    def test_it_opens(self, some: Path) -> None:
        dataset = open_dataset(some, size=64, attributes=["Smiling", "Eyeglasses", "Male"])
        images, labels = dataset.split("validation").batch(range(60))
        assert images.shape == (60, 3, 64, 64)
        assert images.float().std() > 30
        assert set(labels.unique().tolist()) == {0, 1}
        assert torch.unique(images.flatten(1), dim=0).shape[0] == 60
