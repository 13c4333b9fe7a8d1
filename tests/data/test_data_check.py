"""The report on a data set counts right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from drawn import picture

from cdvae_gan.data import CheckReport, check, sheet
from cdvae_gan.errors import InputError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Eight images: B is not A, C is rarely known, D is always 1; one file is broken."""
    root = tmp_path / "photos"
    rows = ["file_name,A,B,C,D"]
    for i in range(8):
        place = "train" if i < 6 else "val"
        picture(root / place / f"{i}.png", i)
        rows.append(f"{place}/{i}.png,{i % 2},{1 - i % 2},{['1', '0', '', ''][i % 4]},1")
    picture(root / "train" / "0.png", 5)  # as 5.png, in the same split
    picture(root / "val" / "7.png", 2)  # as 2.png, in another split
    (root / "train" / "3.png").write_bytes(b"no image")
    (root / "metadata.csv").write_text("\n".join(rows))
    return root


@pytest.fixture
def report(root: Path) -> CheckReport:
    return check(root, size=16)


def test_images_and_splits(report: CheckReport) -> None:
    assert report.name == "photos"
    assert report.n == 7
    assert report.splits == {"train": 5, "validation": 2}


def test_counts_of_each_attribute(report: CheckReport) -> None:
    a, _, c, d = report.attributes
    assert (a.name, a.positive, a.negative, a.unknown) == ("A", 3, 4, 0)
    assert a.prevalence == pytest.approx(3 / 7)
    assert (c.positive, c.negative, c.unknown) == (2, 2, 3)
    assert c.prevalence == 0.5
    assert d.prevalence == 1.0


def test_correlations_are_strongest_first_on_known_labels(report: CheckReport) -> None:
    found = {(pair.first, pair.second): (pair.phi, pair.n) for pair in report.correlations}
    assert found[("A", "B")] == (pytest.approx(-1), 7)
    assert found[("A", "C")] == (pytest.approx(-1), 4)
    assert not any("D" in pair for pair in found)  # what never varies correlates with nothing
    sizes = [abs(pair.phi) for pair in report.correlations]
    assert sizes == sorted(sizes, reverse=True)


def test_phi_of_a_known_table(tmp_path: Path) -> None:
    root = tmp_path / "table"
    rows = ["file_name,A,B"]
    pairs = [(1, 1)] * 4 + [(1, 0)] * 1 + [(0, 1)] * 2 + [(0, 0)] * 3
    for i, (a, b) in enumerate(pairs):
        picture(root / f"{i}.png", i)
        rows.append(f"{i}.png,{a},{b}")
    (root / "metadata.csv").write_text("\n".join(rows))
    (pair,) = check(root, size=16).correlations
    assert pair.phi == pytest.approx((4 * 3 - 1 * 2) / (5 * 5 * 6 * 4) ** 0.5)


def test_unreadable_files_have_path_and_reason(root: Path, report: CheckReport) -> None:
    (bad,) = report.unreadable
    assert bad.file == "train/3.png"
    assert str(root / "train" / "3.png") in bad.reason


def test_duplicates(report: CheckReport) -> None:
    assert set(report.duplicates) == {("train/0.png", "train/5.png"), ("train/2.png", "val/7.png")}
    assert report.across_splits == 1


def test_json(report: CheckReport) -> None:
    data = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert data["n"] == 7
    assert data["attributes"][2] == {
        "name": "C",
        "positive": 2,
        "negative": 2,
        "unknown": 3,
        "prevalence": 0.5,
    }
    assert data["unreadable"][0]["file"] == "train/3.png"
    assert data["duplicates_across_splits"] == 1


def test_chosen_attributes(root: Path) -> None:
    report = check(root, size=16, attributes=["C"])
    assert [row.name for row in report.attributes] == ["C"]
    assert report.correlations == ()


def test_nothing_readable(root: Path) -> None:
    for path in root.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"not one image of photos can be read: .*train/0\.png"):
        check(root, size=16)


def test_the_contact_sheet_grows_with_the_images(report: CheckReport) -> None:
    one, all_seven = sheet(report.dataset, n=1), sheet(report.dataset, columns=4)
    assert all_seven.width > one.width
    assert all_seven.height > one.height
