"""Hugging Face data sets from disk; the hub's names are parsed and its errors said in one line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from drawn import numbers, picture

from cdvae_gan.data import open_dataset
from cdvae_gan.errors import InputError

datasets = pytest.importorskip("datasets", reason="needs the extra hf")
datasets.disable_progress_bars()


def made(tmp_path: Path, start: int = 0, n: int = 4, **columns: list[Any]) -> Any:
    """A data set with a column ``photo`` of pictures ``start`` … and others."""
    paths = [tmp_path / "files" / f"{start + i}.png" for i in range(n)]
    for i, path in enumerate(paths):
        picture(path, start + i)
    made = datasets.Dataset.from_dict({"photo": [str(p) for p in paths], **columns})
    return made.cast_column("photo", datasets.Image())


def saved(data: Any, tmp_path: Path) -> Path:
    data.save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


def test_bool_and_number_columns(tmp_path: Path) -> None:
    data = made(tmp_path, Old=[True, False, None, True], Odd=[0, 1, 0, 1], Hat=[-1, 1, 1, None])
    dataset = open_dataset(saved(data, tmp_path), size=16)
    assert numbers(dataset.images) == [0, 1, 2, 3]
    assert dataset.attributes == ("Old", "Odd", "Hat")
    assert dataset.labels.tolist() == [[1, 0, 0], [0, 1, 1], [-1, 0, 1], [1, 1, -1]]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["no", "yes"], [0, 1, -1, 1]),
        (["yes", "no"], [1, 0, -1, 0]),
        (["not_smiling", "smiling"], [0, 1, -1, 1]),
        (["smiling", "not_smiling"], [1, 0, -1, 0]),
        (["cat", "dog"], [0, 1, -1, 1]),
    ],
)
def test_class_labels_of_two_names(tmp_path: Path, names: list[str], labels: list[int]) -> None:
    data = made(tmp_path, label=[0, 1, -1, 1])
    data = data.cast_column("label", datasets.ClassLabel(names=names))
    assert open_dataset(saved(data, tmp_path), size=16).labels[:, 0].tolist() == labels


class TestClassLabelsOfMoreNames:
    """An attribute each, of which one always holds, as class folders are."""

    def hair(self, tmp_path: Path, **columns: list[Any]) -> Path:
        data = made(tmp_path, hair=[0, 1, 2, None], **columns)
        names = ["black", "blond", "brown"]
        return saved(data.cast_column("hair", datasets.ClassLabel(names=names)), tmp_path)

    def test_are_the_attributes_where_no_column_is_binary(self, tmp_path: Path) -> None:
        dataset = open_dataset(self.hair(tmp_path), size=16)
        assert dataset.attributes == ("black", "blond", "brown")
        assert dataset.labels.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, -1, -1]]
        assert dataset.exclusive == (("black", "blond", "brown"),)
        assert dataset.alternatives[0] == ("black", "blond", "brown")

    def test_are_left_out_where_there_are_others(self, tmp_path: Path) -> None:
        assert open_dataset(self.hair(tmp_path, Old=[0, 1, 1, 0]), size=16).attributes == ("Old",)

    def test_are_taken_by_name(self, tmp_path: Path) -> None:
        root = self.hair(tmp_path, Old=[0, 1, 1, 0])
        dataset = open_dataset(root, size=16, attributes=["blond", "Old"])
        assert dataset.labels.tolist() == [[0, 0], [1, 1], [0, 1], [-1, 0]]
        assert dataset.exclusive == ()

    def test_of_which_some_are_left_out_do_not_take_turns(self, tmp_path: Path) -> None:
        dataset = open_dataset(self.hair(tmp_path), size=16, attributes=["blond", "black"])
        assert dataset.exclusive == (("blond", "black"),)
        assert dataset.alternatives == ()

    def test_are_not_columns_of_the_same_name(self, tmp_path: Path) -> None:
        root = self.hair(tmp_path, black=[0, 1, 1, 0], blond=[1, 1, 0, 0])
        dataset = open_dataset(root, size=16)
        assert dataset.labels.tolist() == [[0, 1], [1, 1], [1, 0], [0, 0]]
        assert dataset.exclusive == dataset.alternatives == ()

    def test_may_be_called_as_their_column(self, tmp_path: Path) -> None:
        data = made(tmp_path, label=[0, 1, 2, 0], cat=list("abcd"))
        data = data.cast_column("label", datasets.ClassLabel(names=["label", "cat", "dog"]))
        root = saved(data, tmp_path)
        assert open_dataset(root, size=16).attributes == ("label", "cat", "dog")
        dataset = open_dataset(root, size=16, attributes=["label"])
        assert dataset.labels[:, 0].tolist() == [1, 0, 0, 1]

    def test_of_the_same_name_are_told_apart_by_the_user(self, tmp_path: Path) -> None:
        data = made(tmp_path, hair=[0, 1, 2, 0], brows=[0, 1, 2, 0])
        for column in ("hair", "brows"):
            names = ["black", "blond", f"other {column}"]
            data = data.cast_column(column, datasets.ClassLabel(names=names))
        with pytest.raises(InputError, match="'black' is a class of columns hair, brows of saved"):
            open_dataset(saved(data, tmp_path), size=16)

    def test_too_many_are_not_taken_unasked(self, tmp_path: Path) -> None:
        data = made(tmp_path, kind=[0, 1, 2, 64])
        names = [f"kind {i}" for i in range(65)]
        root = saved(data.cast_column("kind", datasets.ClassLabel(names=names)), tmp_path)
        with pytest.raises(InputError, match="saved has 65 classes: name those"):
            open_dataset(root, size=16)
        assert open_dataset(root, size=16, attributes=["kind 64"]).labels[3, 0] == 1


def test_splits_of_a_dict(tmp_path: Path) -> None:
    data = datasets.DatasetDict(
        train=made(tmp_path, 0, 3, Old=[0, 1, 1]), valid=made(tmp_path, 3, 2, Old=[1, 0])
    )
    dataset = open_dataset(saved(data, tmp_path), size=16)
    assert numbers(dataset.split("train").images) == [0, 1, 2]
    assert numbers(dataset.split("validation").images) == [3, 4]
    assert dataset.split("validation").labels[:, 0].tolist() == [1, 0]


def test_a_split_without_a_label_has_it_unknown(tmp_path: Path) -> None:
    data = datasets.DatasetDict(
        train=made(tmp_path, 0, 3, Old=[0, 1, 1], Hat=[1, 0, 1]),
        test=made(tmp_path, 3, 2, Hat=[0, 1]),
    )
    dataset = open_dataset(saved(data, tmp_path), size=16)
    assert numbers(dataset.split("test").images) == [3, 4]
    assert dataset.attributes == ("Old", "Hat")
    assert dataset.split("test").labels.tolist() == [[-1, 0], [-1, 1]]


def test_columns_are_named_by_the_user(tmp_path: Path) -> None:
    data = made(tmp_path, Old=[0, 1, 1, 0], Odd=[1, 0, 1, 0], other=[None] * 4)
    data = data.cast_column("other", datasets.Image())
    path = saved(data, tmp_path)
    dataset = open_dataset(path, size=16, attributes=["Odd"], image_column="photo")
    assert dataset.attributes == ("Odd",)
    with pytest.raises(InputError, match="expected one column of images, found photo, other"):
        open_dataset(path, size=16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attributes": ["Olt"]}, "no attribute 'Olt': did you mean 'Old'"),
        (
            {"attributes": ["hair"]},
            r"'hair' of saved has 3 classes, name those \(black, blond, brown\)",
        ),
        ({"attributes": ["blonde"]}, "no attribute 'blonde': did you mean 'blond'"),
        ({"attributes": ["text"]}, "'text' of saved is not binary"),
        ({"attributes": ["tags"]}, "'tags' of saved is of type List|Sequence"),
        ({"image_column": "phto"}, "no column 'phto': did you mean 'photo'"),
        ({"image_column": "Old"}, "'Old' of saved holds no images; photo does"),
    ],
)
def test_columns_that_do_not_fit(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    data = made(tmp_path, Old=[0, 1, 1, 0], hair=[0, 1, 2, 0], text=list("abcd"), tags=[[1]] * 4)
    data = data.cast_column("hair", datasets.ClassLabel(names=["black", "blond", "brown"]))
    with pytest.raises(InputError, match=message):
        open_dataset(saved(data, tmp_path), size=16, **options)


def test_images_are_read_by_our_rules(tmp_path: Path) -> None:
    path = saved(made(tmp_path, Old=[0, 1, 1, 0]), tmp_path)
    (tmp_path / "files" / "2.png").write_bytes(b"no image")
    # save_to_disk has put the bytes into its own files, so this changes nothing …
    assert len(open_dataset(path, size=16)) == 4
    # … but bytes that are damaged in there are named by split and row.
    broken = datasets.Dataset.from_dict(
        {"photo": [{"bytes": b"no image", "path": None}, None], "Old": [0, 1]},
        features=datasets.Features(photo=datasets.Image(), Old=datasets.Value("int8")),
    )
    broken.save_to_disk(tmp_path / "broken")
    with pytest.raises(
        InputError, match=r"2 images of broken .*broken/000000; no such image: broken/000001"
    ):
        open_dataset(tmp_path / "broken", size=16)


def test_without_the_library_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"pip install 'cdvae-gan\[hf\]'"):
        open_dataset("hf:owner/name")


class TestHub:
    @pytest.mark.parametrize(
        ("source", "asked"),
        [
            ("hf:owner/faces", ("owner/faces", None)),
            ("hf:owner/faces:small", ("owner/faces", "small")),
        ],
    )
    def test_names(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        source: str,
        asked: tuple[object, ...],
    ) -> None:
        asked_for = []

        def load(*name: object) -> Any:
            asked_for.append(name)
            return datasets.DatasetDict(train=made(tmp_path, n=30, Old=[0, 1] * 15))

        monkeypatch.setattr(datasets, "load_dataset", load)
        dataset = open_dataset(source, size=16)
        assert asked_for == [asked]
        assert dataset.name == "faces"
        assert set(dataset.splits) == {"train", "validation"}

    def test_failure_is_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise ConnectionError("Couldn't reach\n the hub")

        monkeypatch.setattr(datasets, "load_dataset", fail)
        with pytest.raises(InputError, match="cannot load hf:owner/name: Couldn't reach the hub"):
            open_dataset("hf:owner/name")

    def test_no_name(self) -> None:
        with pytest.raises(InputError, match="expected hf:owner/name"):
            open_dataset("hf:")
