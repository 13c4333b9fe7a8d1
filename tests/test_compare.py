"""Two editors on the same images: paired differences, and what is said of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cdvae_gan import CDVAEGAN, InputError, ModelConfig
from cdvae_gan.evaluation.bootstrap import Estimate, GroupedSums, ratio
from cdvae_gan.evaluation.comparison import (
    _gap_cell,
    compare,
    comparison_page,
    figures,
    save_comparison,
)
from cdvae_gan.evaluation.folders import FolderEditor, save_counterfactuals
from cdvae_gan.evaluation.measure import FAST
from cdvae_gan.evaluation.metrics import MEAN, Deception, Realism, difference, over_judges
from cdvae_gan.images import to_uint8
from test_evaluate import EYE, NAMES, QUICK, halves, one_way, perfect

DATA = halves()


def lucky(x: Tensor, attribute: str | None, target: Tensor | None, strength: float = 1) -> Tensor:
    """Right or wrong as the noise of the picture has it: as good as a coin."""
    if target is None:
        return x
    heads = to_uint8(x)[:, 0, 0, 0] % 2 == 0
    return torch.where(heads[:, None, None, None], perfect(x, attribute, target), x)


def unlucky(x: Tensor, attribute: str | None, target: Tensor | None, strength: float = 1) -> Tensor:
    if target is None:
        return x
    heads = to_uint8(x)[:, 0, 0, 1] % 2 == 0
    return torch.where(heads[:, None, None, None], perfect(x, attribute, target), x)


# Differences


def deception(hits: np.ndarray, n: int = 200) -> Deception:  # type: ignore[type-arg]
    metric = Deception(["Hat"])
    y = np.zeros(n, dtype=int)
    metric.update("Hat", y, y.astype(bool), hits, np.arange(n))
    return metric


def test_the_difference_is_that_of_the_values_and_is_paired() -> None:
    generator = np.random.default_rng(0)
    hard = generator.random(200)
    one, other = hard < 0.5, hard < 0.55
    gap = difference(deception(other).summed(), deception(one).summed(), resamples=400)[
        "Hat", "all"
    ]
    assert gap.value == pytest.approx(other.mean() - one.mean())
    single = ratio(other, share=True)
    # The same images are hard for both, so the difference is far surer than either.
    assert gap.high - gap.low < 0.6 * (single.high - single.low)
    assert gap.low <= gap.value <= gap.high


def test_the_interval_of_a_difference_covers_0_as_often_as_it_says_where_there_is_none() -> None:
    generator = np.random.default_rng(0)
    hits = 0
    for trial in range(120):
        one, other = generator.random((2, 80)) < 0.4
        gap = difference(
            deception(other, 80).summed(), deception(one, 80).summed(), resamples=200, seed=trial
        )["Hat", "all"]
        hits += gap.low <= 0 <= gap.high
    assert 0.88 <= hits / 120 <= 1


def test_images_that_one_of_them_lacks_are_no_obstacle() -> None:
    whole = deception(np.arange(200) < 100)
    part = Deception(["Hat"])
    part.update("Hat", np.zeros(50), np.zeros(50), np.arange(50) < 50, np.arange(50))
    gap = difference(part.summed(), whole.summed(), resamples=50)["Hat", "all"]
    assert gap.value == pytest.approx(0.5)
    assert gap.n == 50


def test_only_like_is_compared_with_like() -> None:
    with pytest.raises(InputError, match="same rows and columns"):
        difference(deception(np.ones(200)).summed(), Deception(["Beard"]).summed())


def test_the_mean_over_judges_weighs_each_alike_and_leaves_out_the_untrusted() -> None:
    y = np.zeros(100, dtype=int)
    metrics = []
    for share, trusted in ((1.0, True), (0.5, True), (0.0, False)):
        metric = Deception(["Hat", "Beard"], [trusted, False])
        for name in ("Hat", "Beard"):
            metric.update(name, y, y.astype(bool), np.arange(100) < 100 * share, np.arange(100))
        metrics.append(metric.summed())
    table = over_judges(metrics).table(resamples=50)
    assert table["Hat", "all"].value == pytest.approx(0.75)
    assert table["Beard", "all"].value == pytest.approx(0.5)  # nobody is trusted: all are heard
    assert table.untrusted == ("Beard",)
    assert table[MEAN, "all"].value == pytest.approx(0.75)


def test_realism_is_compared_on_the_same_resamples() -> None:
    generator = np.random.default_rng(0)
    real, drawn = generator.normal(size=(400, 6)), generator.normal(size=(200, 6))
    metrics = []
    for shift in (0.0, 0.3):
        metric = Realism("some")
        metric.update(real, real=True)
        metric.update(drawn + shift, real=False)
        metrics.append(metric)
    gap = metrics[1].difference(metrics[0], resamples=40)["counterfactual", "Fréchet"]
    assert 0 < gap.low < gap.value < gap.high
    none = metrics[0].difference(metrics[0], resamples=40)["counterfactual", "Fréchet"]
    assert none.low == none.value == none.high == 0
    fewer = Realism("some")
    fewer.update(real, real=True)
    fewer.update(drawn[:100], real=False)
    with pytest.raises(InputError, match="same images"):
        fewer.difference(metrics[0], resamples=40)


def test_groups_keep_their_names() -> None:
    sums = GroupedSums(1)
    sums.add([7, 3, 7], [[1.0], [2.0], [3.0]])
    assert dict(zip(sums.names.tolist(), sums.sums()[:, 0].tolist(), strict=True)) == {7: 4, 3: 2}


# In words


def test_a_difference_is_said_in_words() -> None:
    found = compare(
        [("perfect", perfect, None), ("one way", one_way, None), ("again", perfect, None)],
        DATA,
        [EYE],
        settings=replace(QUICK, without=frozenset({"realism", "identity", "agreement"})),
    )
    said = {f.name: f.words for f in figures(found, 1)}
    assert said["deception, taken off"] == "perfect is better"
    assert said["deception, put on"] == "the same"
    assert said["true error"] == "perfect is better"
    assert said["pixels changed"] == "one way has less"
    assert {f.words for f in figures(found, 2)} == {"the same"}
    gap = next(f for f in figures(found, 1) if f.name == "deception, taken off")
    assert gap.difference.value == -1


def test_where_nothing_is_shown_it_says_so() -> None:
    found = compare(
        [("heads", lucky, None), ("tails", unlucky, None)],
        DATA,
        [EYE],
        settings=replace(QUICK, resamples=200, without=FAST),
    )
    first = figures(found, 1)[0]
    assert first.name == "deception"
    assert first.difference.low < 0 < first.difference.high
    assert first.words == "no difference shown"
    assert "no difference shown" in comparison_page(found).html()


def test_a_difference_stands_out_only_where_it_is_known_to_be_one() -> None:
    nan = float("nan")
    apart, doubtful, unknown = (
        _gap_cell(Estimate(0.3, *interval, n=9))
        for interval in ((0.1, 0.5), (-0.1, 0.7), (nan, nan))
    )
    assert apart.kind != "muted"
    assert doubtful.kind == unknown.kind == "muted"


def test_a_folder_of_the_same_edits_makes_no_difference(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = CDVAEGAN(ModelConfig(NAMES, 32, z_dim=4, width=4)).eval()
    from cdvae_gan.evaluation.edits import ModelEditor

    save_counterfactuals(ModelEditor(model), DATA, tmp_path / "pictures")
    folder = FolderEditor(tmp_path / "pictures", DATA)
    found = compare(
        [("model", model, None), ("pictures", folder, None)], DATA, [EYE], settings=QUICK
    )
    assert {f.words for f in figures(found, 1)} == {"the same"}
    page = save_comparison(found, tmp_path / "report", "cdvae-gan compare …")
    results = json.loads((page.parent / "results.json").read_text("utf-8"))
    assert results["baseline"] == "model"
    assert results["in_words"]["pictures"]["deception"] == "the same"
    assert any(
        "not every one of them could be measured" in s for s in results["cannot_be_concluded"]
    )


def test_one_detail_against_another() -> None:
    torch.manual_seed(0)
    model = CDVAEGAN(ModelConfig(NAMES, 32, z_dim=4, width=4)).eval()
    found = compare(
        [("κ = 1", model, 1.0), ("κ = 0", model, 0.0)],
        DATA,
        [EYE],
        settings=replace(QUICK, without=FAST | {"labels", "truth"}),
    )
    said = {f.name: f.words for f in figures(found, 1)}
    assert said["do(nothing), L1"] == "κ = 1 is better"
    assert said["reconstruction, L1"] == "the same"


def test_a_comparison_takes_two_with_names_of_their_own() -> None:
    for editors in ([("a", perfect, None)], [("a", perfect, None), ("a", one_way, None)]):
        with pytest.raises(InputError, match="at least two editors"):
            compare(editors, DATA, [EYE])
