"""Folders of images: tables in three formats, splits by subfolder, class folders."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from drawn import numbers, picture

from cdvae_gan.data import open_dataset
from cdvae_gan.errors import InputError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for i in range(4):
        picture(root / f"{i}.png", i)
    return root


def csv(root: Path, *lines: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")
    return root


class TestTables:
    def test_csv(self, root: Path) -> None:
        csv(root, "file_name,Smiling,Glasses", "1.png,1,0", "0.png,0,1", "3.png,1,1", "2.png,,0")
        dataset = open_dataset(root, size=16)
        assert dataset.name == "photos"
        assert dataset.attributes == ("Smiling", "Glasses")
        assert dataset.files == ("0.png", "1.png", "2.png", "3.png")
        assert numbers(dataset.images) == [0, 1, 2, 3]
        assert dataset.labels.tolist() == [[0, 1], [1, 0], [-1, 0], [1, 1]]

    def test_csv_of_a_spreadsheet(self, root: Path) -> None:
        text = '\ufefffile_name,"Wears, a hat"\r\n0.png,TRUE\r\n1.png,FALSE\r\n'
        (root / "metadata.csv").write_text(text, encoding="utf-8")
        dataset = open_dataset(root, size=16)
        assert dataset.attributes == ("Wears, a hat",)
        assert dataset.labels[:2, 0].tolist() == [1, 0]

    def test_jsonl(self, root: Path) -> None:
        rows = [
            {"file_name": "0.png", "Smiling": True, "Old": 1},
            {"file_name": "1.png", "Smiling": False, "Old": None},
            {"file_name": "2.png", "Old": 0.0},
        ]
        (root / "metadata.jsonl").write_text("\n\n".join(map(json.dumps, rows)))
        dataset = open_dataset(root, size=16)
        assert dataset.labels[:3].tolist() == [[1, 1], [0, -1], [-1, 0]]

    def test_jsonl_may_hold_any_character_in_its_strings(self, root: Path) -> None:
        rows = [{"file_name": f"{i}.png", "caption": "a\u2028b\x85c", "Old": i} for i in (0, 1)]
        text = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        (root / "metadata.jsonl").write_text(text, encoding="utf-8", newline="")
        assert open_dataset(root, size=16).labels[:2, 0].tolist() == [0, 1]

    def test_parquet(self, root: Path) -> None:
        pa = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        table = {"file_name": ["0.png", "1.png", "2.png"], "Old": [True, None, False]}
        parquet.write_table(pa.table(table), root / "metadata.parquet")
        assert open_dataset(root, size=16).labels[:3, 0].tolist() == [1, -1, 0]

    def test_parquet_without_pyarrow_names_the_extra(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        (root / "metadata.parquet").touch()
        with pytest.raises(InputError, match=r"pip install 'cdvae-gan\[hf\]'"):
            open_dataset(root, size=16)

    @pytest.mark.parametrize(
        ("no", "yes"),
        [("0", "1"), ("-1", "1"), ("false", "True"), ("No", "YES"), ("0.0", "1.0"), ("−1", " 1 ")],
    )
    def test_ways_to_write_no_and_yes(self, root: Path, no: str, yes: str) -> None:
        csv(root, "file_name,Old", f"0.png,{no}", f"1.png,{yes}", "2.png,", "3.png,nan")
        assert open_dataset(root, size=16).labels[:, 0].tolist() == [0, 1, -1, -1]

    def test_an_image_that_no_table_names_is_unknown(self, root: Path) -> None:
        csv(root, "file_name,Old", "0.png,1", "2.png,0")
        assert open_dataset(root, size=16).labels[:, 0].tolist() == [1, -1, 0, -1]

    def test_text_columns_are_no_attributes(self, root: Path) -> None:
        csv(root, "file_name,caption,Old", "0.png,a tree,1", "1.png,a dog,0")
        assert open_dataset(root, size=16).attributes == ("Old",)

    def test_only_chosen_columns_need_to_be_right(self, root: Path) -> None:
        csv(root, "file_name,Old,Odd", "0.png,1,1", "1.png,0,1", "2.png,1,maybe", "3.png,1,0")
        assert open_dataset(root, size=16, attributes=["Old"]).attributes == ("Old",)
        with pytest.raises(InputError, match=r"metadata.csv, line 4, column 'Odd': 'maybe' is"):
            open_dataset(root, size=16)

    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            (["name,Old", "0.png,1"], "no column 'file_name', only name, Old"),
            (["file_name,caption", "0.png,a dog"], "no binary attributes in .*metadata.csv"),
            (["file_name,Old", "0.png,1", "0.png,1"], r"line 3: 0.png is already in .*line 2"),
            (["file_name,Old", "0.png,1", "1.png,1,1"], "line 3: expected 2 values"),
            (["file_name,Old", "0.png"], "line 2: expected 2 values"),
            (["file_name,Old,Old", "0.png,1,0"], "two columns are called 'Old'"),
            (["file_name,Old", ",1"], "line 2: no file_name"),
            (["file_name,Old", "../../secret.png,1"], "lies outside"),
            (["file_name,Old", "0.png,1", "1.png,0", "2.png,-1"], "line 4.*both 0 and -1"),
            (["file_name,Old,split", "0.png,1,tarin"], "split 'tarin' is none of train"),
        ],
    )
    def test_damage_is_named(self, root: Path, lines: list[str], message: str) -> None:
        csv(root, *lines)
        with pytest.raises(InputError, match=message):
            open_dataset(root, size=16)

    def test_damaged_json_is_named(self, root: Path) -> None:
        (root / "metadata.jsonl").write_text('{"file_name": "0.png", "Old": 1}\n{"file_name"\n')
        with pytest.raises(InputError, match=r"metadata.jsonl, line 2: not JSON"):
            open_dataset(root, size=16)

    def test_two_tables_in_one_folder_are_refused(self, root: Path) -> None:
        csv(root, "file_name,Old", "0.png,1")
        (root / "metadata.jsonl").touch()
        with pytest.raises(InputError, match="keep one of them"):
            open_dataset(root, size=16)

    def test_a_row_without_its_file_is_an_unreadable_image(self, root: Path) -> None:
        csv(root, "file_name,Old", "0.png,1", "gone.png,0")
        with pytest.raises(InputError, match=r"1 image of photos cannot be read: .*gone\.png"):
            open_dataset(root, size=16)

    def test_an_unknown_attribute_says_which_is_meant(self, root: Path) -> None:
        csv(root, "file_name,Smiling,Old", "0.png,1,0")
        with pytest.raises(InputError, match="no attribute 'Smilng': did you mean 'Smiling'"):
            open_dataset(root, size=16, attributes=["Smilng"])

    def test_a_chosen_column_of_text_is_refused(self, root: Path) -> None:
        csv(root, "file_name,caption", "0.png,a tree")
        with pytest.raises(InputError, match="column 'caption' is not binary"):
            open_dataset(root, size=16, attributes=["caption"])


class TestSplits:
    @pytest.mark.parametrize("name", ["validation", "val", "valid", "Validation", "dev"])
    def test_subfolders_with_a_table_each(self, tmp_path: Path, name: str) -> None:
        root = tmp_path / "photos"
        for part, i in (("train", 0), ("train", 1), (name, 2), ("test", 3)):
            picture(root / part / f"{i}.png", i)
        csv(root / "train", "file_name,Old", "0.png,0", "1.png,1")
        csv(root / name, "file_name,Old", "2.png,1")
        csv(root / "test", "file_name,Old", "3.png,0")
        dataset = open_dataset(root, size=16)
        assert numbers(dataset.split("train").images) == [0, 1]
        assert numbers(dataset.split("validation").images) == [2]
        assert dataset.split("validation").labels.tolist() == [[1]]
        assert dataset.split("test").labels.tolist() == [[0]]

    def test_one_table_above_the_subfolders(self, tmp_path: Path) -> None:
        root = tmp_path / "photos"
        picture(root / "train" / "deep" / "0.png", 0)
        picture(root / "val" / "1.png", 1)
        csv(root, "file_name,Old", "train/deep/0.png,0", "val/1.png,1")
        dataset = open_dataset(root, size=16)
        assert dataset.split("train").files == ("train/deep/0.png",)
        assert dataset.split("validation").labels.tolist() == [[1]]

    def test_a_column_named_split(self, root: Path) -> None:
        csv(
            root,
            "file_name,Old,split",
            "0.png,1,train",
            "1.png,0,val",
            "2.png,0,test",
            "3.png,1,train",
        )
        dataset = open_dataset(root, size=16)
        assert dataset.splits.tolist() == ["train", "validation", "test", "train"]
        assert dataset.attributes == ("Old",)

    def many(self, root: Path, n: int) -> Path:
        for i in range(n):
            (root / ["not_odd", "odd"][i % 2]).mkdir(parents=True, exist_ok=True)
            picture(root / ["not_odd", "odd"][i % 2] / f"{i:04d}.png", i)
        return root

    def test_without_any_a_tenth_is_held_out(self, tmp_path: Path) -> None:
        dataset = open_dataset(self.many(tmp_path / "a", 120), size=16)
        assert 2 <= (dataset.splits == "validation").sum() <= 30
        assert set(dataset.splits) == {"train", "validation"}

    def test_the_held_out_files_do_not_depend_on_place_or_company(self, tmp_path: Path) -> None:
        few = open_dataset(self.many(tmp_path / "a", 60), size=16)
        more = open_dataset(self.many(tmp_path / "b", 120), size=16)
        split = dict(zip(more.files, more.splits, strict=True))
        assert [split[file] for file in few.files] == few.splits.tolist()

    def test_train_and_test_alone_get_a_validation_split_out_of_train(self, tmp_path: Path) -> None:
        self.many(tmp_path / "a" / "train", 60)
        self.many(tmp_path / "a" / "test", 10)
        dataset = open_dataset(tmp_path / "a", size=16)
        assert (dataset.splits == "test").sum() == 10
        assert all(file.startswith("train/") for file in dataset.split("validation").files)


class TestClassFolders:
    @pytest.mark.parametrize("no", ["not_smiling", "not-smiling", "Not_Smiling", "no_smiling"])
    def test_a_class_and_its_negation_are_one_attribute(self, tmp_path: Path, no: str) -> None:
        root = tmp_path / "photos"
        picture(root / no / "0.png", 0)
        picture(root / "smiling" / "1.png", 1)
        dataset = open_dataset(root, size=16)
        assert dataset.attributes == ("smiling",)
        assert dict(zip(numbers(dataset.images), dataset.labels[:, 0], strict=True)) == {0: 0, 1: 1}

    def test_several_pairs_leave_each_other_unknown(self, tmp_path: Path) -> None:
        root = tmp_path / "photos"
        for i, name in enumerate(["not_old", "not_smiling", "old", "smiling"]):
            picture(root / name / f"{i}.png", i)
        dataset = open_dataset(root, size=16)
        assert dataset.attributes == ("old", "smiling")
        assert dataset.labels.tolist() == [[0, -1], [-1, 0], [1, -1], [-1, 1]]

    def test_other_classes_exclude_each_other(self, tmp_path: Path) -> None:
        root = tmp_path / "photos"
        for i, name in enumerate(["black", "blond", "brown"]):
            picture(root / name / f"{i}.png", i)
        dataset = open_dataset(root, size=16)
        assert dataset.attributes == ("black", "blond", "brown")
        assert np.array_equal(dataset.labels, np.eye(3))
        assert dataset.exclusive == (("black", "blond", "brown"),)
        assert dataset.alternatives == (
            ("black", "blond", "brown"),
            ("blond", "black", "brown"),
            ("brown", "black", "blond"),
        )

    def test_within_splits(self, tmp_path: Path) -> None:
        root = tmp_path / "photos"
        for i, place in enumerate(["train/no_hat", "train/hat", "val/no_hat", "val/hat"]):
            picture(root / place / f"{i}.png", i)
        dataset = open_dataset(root, size=16)
        assert dataset.attributes == ("hat",)
        assert sorted(numbers(dataset.split("validation").images)) == [2, 3]

    def test_a_class_alone_says_what_is_missing(self, tmp_path: Path) -> None:
        picture(tmp_path / "photos" / "smiling" / "0.png", 0)
        with pytest.raises(InputError, match="put images without it in 'not_smiling'"):
            open_dataset(tmp_path / "photos", size=16)


def test_two_folders_of_one_name_show_their_own_images(tmp_path: Path) -> None:
    roots = [tmp_path / place / "photos" for place in ("a", "b")]
    for i, root in enumerate(roots):
        for k, name in enumerate(("not_old", "old")):
            path = root / name / "0.bmp"
            picture(path, 10 * i + k)
            os.utime(path, (1, 1))
    sizes = {path.stat().st_size for root in roots for path in root.rglob("*.bmp")}
    assert len(sizes) == 1
    shown = [numbers(open_dataset(root, size=16).images) for root in roots]
    assert shown == [[0, 1], [10, 11]]


def test_a_link_to_the_folder_above_gives_every_image_once(root: Path) -> None:
    csv(root, "file_name,Old", "0.png,0", "1.png,1")
    (root / "inner").mkdir()
    picture(root / "inner" / "4.png", 4)
    (root / "inner" / "up").symlink_to(root)
    dataset = open_dataset(root, size=16)
    assert dataset.files == ("0.png", "1.png", "2.png", "3.png", "inner/4.png")


def test_images_without_labels_say_what_is_expected(root: Path) -> None:
    with pytest.raises(InputError, match=r"no attributes: expected metadata.csv .* class folders"):
        open_dataset(root, size=16)


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError, match=r"no images in .*photos"):
        open_dataset(tmp_path / "photos", size=16)


RULES = {
    "exclusive": [["Black", "Blond"]],
    "alternatives": [["Black", "Blond"]],
    "companions": [["Smile", "Open=0"]],
}


class TestRules:
    """``rules.json`` says how the attributes of a table depend on one another."""

    def written(self, tmp_path: Path, rules: object) -> Path:
        root = tmp_path / "photos"
        picture(root / "a.png", 0)
        picture(root / "b.png", 1)
        table = "file_name,Black,Blond,Smile,Open\na.png,1,0,1,1\nb.png,0,1,0,0\n"
        (root / "metadata.csv").write_text(table)
        text = rules if isinstance(rules, str) else json.dumps(rules)
        (root / "rules.json").write_text(text)
        return root

    def test_are_the_data_sets(self, tmp_path: Path) -> None:
        dataset = open_dataset(self.written(tmp_path, RULES), size=16)
        assert dataset.exclusive == (("Black", "Blond"),)
        assert dataset.alternatives == (("Black", "Blond"),)
        assert dataset.companions == (("Smile", "Open=0"),)

    def test_of_attributes_that_are_left_out_do_not_hold(self, tmp_path: Path) -> None:
        root = self.written(tmp_path, RULES)
        dataset = open_dataset(root, size=16, attributes=["Blond", "Smile", "Open"])
        assert dataset.exclusive == dataset.alternatives == ()
        assert dataset.companions == (("Smile", "Open=0"),)

    @pytest.mark.parametrize(
        ("rules", "message"),
        [
            ("{", r"cannot read .*rules\.json"),
            ([], "expected an object of exclusive, alternatives, companions"),
            ({"excludes": []}, "expected an object of exclusive"),
            ({"exclusive": ["Black"]}, "exclusive is a list of lists of names"),
            ({"exclusive": [["Black"]]}, "rules.json: a group of exclusive names two attributes"),
            ({"exclusive": [["Black", "Black"]]}, "a group of exclusive names Black twice"),
            ({"exclusive": [["Black", "Blnd"]]}, "no attribute 'Blnd': did you mean 'Blond'"),
            ({"companions": [["Smile", "Open"]]}, "rules.json: .*Name=0 or Name=1, not 'Open'"),
            ({"companions": [["Smile", "Opn=0"]]}, "no attribute 'Opn'"),
        ],
    )
    def test_that_are_none_are_refused_in_one_line(
        self, tmp_path: Path, rules: object, message: str
    ) -> None:
        with pytest.raises(InputError, match=message) as caught:
            open_dataset(self.written(tmp_path, rules), size=16)
        assert "\n" not in str(caught.value)

    def test_lie_in_the_folder_itself(self, tmp_path: Path) -> None:
        root = self.written(tmp_path, RULES)
        (root / "train").mkdir()
        (root / "rules.json").rename(root / "train" / "rules.json")
        with pytest.raises(InputError, match="not read there: put it in"):
            open_dataset(root, size=16)

    def test_add_to_those_of_classes(self, tmp_path: Path) -> None:
        root = tmp_path / "photos"
        for i, name in enumerate(["cat", "dog", "bird"]):
            picture(root / name / f"{i}.png", i)
        (root / "rules.json").write_text(json.dumps({"companions": [["cat", "dog=1"]]}))
        dataset = open_dataset(root, size=16)
        assert dataset.exclusive == (("bird", "cat", "dog"),)
        assert dataset.companions == (("cat", "dog=1"),)
        some = open_dataset(root, size=16, attributes=["cat", "dog"])
        assert some.exclusive == (("cat", "dog"),)
        assert some.alternatives == (), "what is no cat may be a bird"
