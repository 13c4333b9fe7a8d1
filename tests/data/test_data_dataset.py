"""What every data set can do, whatever it came from."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import numbers, picture
from torch.utils.data import DataLoader

from cdvae_gan.data import AttributeDataset, open_dataset
from cdvae_gan.errors import InputError
from cdvae_gan.images import to_float

N = 30


@pytest.fixture
def dataset(tmp_path: Path) -> AttributeDataset:
    root = tmp_path / "photos"
    for i in range(N):
        picture(root / f"{i:02d}.png", i)
    rows = [
        f"{i:02d}.png,{i % 2},{['', 'no', 'yes'][i % 3]},1,{['train', 'test'][i // 25]}"
        for i in range(N)
    ]
    (root / "metadata.csv").write_text("\n".join(["file_name,Odd,Third,Always,split", *rows]))
    return open_dataset(root, size=16)


class TestViews:
    def test_a_split_has_its_own_images_and_labels(self, dataset: AttributeDataset) -> None:
        test = dataset.split("test")
        assert len(test) == 5
        assert numbers(test.images) == [25, 26, 27, 28, 29]
        assert test.labels[:, 0].tolist() == [1, 0, 1, 0, 1]
        assert set(test.splits) == {"test"}

    def test_splits_share_the_pixels(self, dataset: AttributeDataset) -> None:
        assert np.shares_memory(dataset.split("train").images.pixels, dataset.images.pixels)

    def test_it_is_what_torchs_data_loaders_take(self, dataset: AttributeDataset) -> None:
        images, labels = next(iter(DataLoader(dataset, batch_size=N)))
        assert images.shape == (N, 3, 16, 16)
        assert images.abs().max() <= 1
        assert torch.equal(images, to_float(dataset.batch(range(N)).images))
        assert torch.equal(labels, torch.from_numpy(dataset.labels))
        with pytest.raises(IndexError):
            dataset[N]

    def test_it_is_printed_in_a_line(self, dataset: AttributeDataset) -> None:
        assert repr(dataset) == "<photos: 30 images of 16 pixels; Odd, Third, Always>"

    def test_an_unknown_split_says_which_there_are(self, dataset: AttributeDataset) -> None:
        with pytest.raises(InputError, match="no split in photos 'tset': did you mean 'test'"):
            dataset.split("tset")

    def test_take_keeps_the_order_asked_for(self, dataset: AttributeDataset) -> None:
        taken = dataset.take([7, 3, 3]).take([2, 0])
        assert numbers(taken.images) == [3, 7]
        assert taken.files == ("03.png", "07.png")

    def test_select_chooses_and_orders_attributes(self, dataset: AttributeDataset) -> None:
        selected = dataset.select(["Third", "Odd"])
        assert selected.attributes == ("Third", "Odd")
        assert np.array_equal(selected.labels, dataset.labels[:, [1, 0]])
        assert numbers(selected.images) == numbers(dataset.images)

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (["Od"], "did you mean 'Odd'"),
            (["Odd", "Odd"], "given twice"),
            ([], "no attributes chosen"),
        ],
    )
    def test_select_refuses(
        self, dataset: AttributeDataset, names: list[str], message: str
    ) -> None:
        with pytest.raises(InputError, match=message):
            dataset.select(names)


class TestBatches:
    def test_images_and_labels_belong_together(self, dataset: AttributeDataset) -> None:
        images, labels = dataset.split("test").batch([4, 0])
        assert images[:, 0, 0, 0].tolist() == [29, 25]
        assert images[:, 1, 0, 0].tolist() == [58, 50]
        assert labels.tolist() == [[1, 1, 1], [1, 0, 1]]

    def test_types_and_memory(self, dataset: AttributeDataset) -> None:
        images, labels = dataset.batch(np.arange(6))
        assert images.shape == (6, 3, 16, 16)
        assert images.dtype == torch.uint8
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert labels.dtype == torch.int8

    def test_a_batch_can_be_written_to_and_the_data_set_cannot(
        self, dataset: AttributeDataset
    ) -> None:
        dataset.batch([0]).images.zero_()
        assert dataset.images[0].max() == 200
        with pytest.raises(ValueError, match="read-only"):
            dataset.images[0][:] = 0


class TestLabels:
    def test_unknown_labels_are_minus_one(self, dataset: AttributeDataset) -> None:
        assert dataset.labels[:4, 1].tolist() == [-1, 0, 1, -1]

    def test_prevalence_is_among_known_labels(self, dataset: AttributeDataset) -> None:
        assert dataset.prevalence().tolist() == [0.5, 0.5, 1.0]

    def test_prevalence_of_what_is_never_known_is_nan(self, dataset: AttributeDataset) -> None:
        assert np.isnan(dataset.take([0, 3]).prevalence()[1])


class TestFingerprint:
    def test_it_is_equal_for_equal_data(self, dataset: AttributeDataset) -> None:
        assert dataset.take(range(N)).fingerprint == dataset.fingerprint

    def test_it_tells_images_labels_order_and_splits_apart(self, dataset: AttributeDataset) -> None:
        others = [
            dataset,
            dataset.take(range(N - 1)),
            dataset.take(range(N)[::-1]),
            dataset.select(["Odd", "Third"]),
            dataset.select(["Third", "Odd", "Always"]),
        ]
        assert len({other.fingerprint for other in others}) == len(others)


def test_pickling_passes_the_cache_on_and_not_the_pixels(dataset: AttributeDataset) -> None:
    part = dataset.split("test")
    data = pickle.dumps(part)
    assert len(data) < 5_000 < dataset.images.pixels.nbytes
    copy = pickle.loads(data)
    assert np.array_equal(copy.images, part.images)
    assert copy.fingerprint == part.fingerprint


def test_data_that_is_not_drawn_has_no_truth(dataset: AttributeDataset) -> None:
    assert dataset.truth is None


@pytest.mark.parametrize("size", [0, 15, 513])
def test_sizes_out_of_range_are_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(InputError, match="expected 16 to 512"):
        open_dataset("avatars:n=1", size=size)


@pytest.mark.parametrize(
    ("source", "message"),
    [("gone/for/good", "no data set 'gone/for/good'"), (__file__, "is a file: expected a folder")],
)
def test_sources_that_do_not_exist(source: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_dataset(source)
