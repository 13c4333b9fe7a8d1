"""Real images that counterfactuals are compared with: the labels that were asked for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cdvae_gan.evaluation.matching import matched

MAN, BALD, SMILE = range(3)
KINDS = np.array([[m, b, s] for m in (0, 1) for b in (0, 1) for s in (0, 1)], np.int8)


def labels(*rows: list[int]) -> npt.NDArray[np.int8]:
    return np.array(rows, np.int8)


def test_two_for_each_that_agree_in_every_label_if_there_are_such() -> None:
    real = np.repeat(KINDS, 5, axis=0)
    asked = labels([1, 1, 0], [0, 0, 1], [0, 0, 1])
    rows = matched(real, asked, np.array([BALD, SMILE, MAN]))
    found, counts = np.unique(real[rows], axis=0, return_counts=True)
    assert found.tolist() == [[0, 0, 1], [1, 1, 0]]
    assert counts.tolist() == [4, 2]


def test_the_changed_attribute_before_all_others() -> None:
    real = labels([0, 0, 0], [0, 0, 0], [1, 1, 1])
    rows = matched(real, labels([0, 1, 0]), np.array([BALD]))
    assert real[rows].tolist() == [[1, 1, 1]]


def test_then_as_many_of_the_others_as_can_be() -> None:
    real = labels([1, 1, 1], [0, 1, 1], [1, 1, 0], [1, 1, 0], [0, 0, 0])
    rows = matched(real, labels([0, 1, 0]), np.array([BALD]))
    assert set(rows) <= {1, 2, 3}
    assert len(rows) == 2


def test_nobody_twice_and_the_rare_are_left_to_those_who_ask_for_them() -> None:
    real = labels([1, 1, 0], [1, 1, 0], *[[1, 0, 0]] * 6, *[[0, 0, 0]] * 9)
    asked = labels([1, 1, 0], [1, 1, 0])
    rows = matched(real, asked, np.array([MAN, BALD]))
    assert len(set(rows)) == 4
    assert {0, 1} <= set(rows)


def test_what_is_not_known_agrees_with_nothing() -> None:
    real = labels([-1, 1, 0], [-1, 1, 0], [1, 1, 0], [1, 1, 0], [1, -1, 0])
    assert matched(real, labels([1, 1, 0]), np.array([BALD])).tolist() == [2, 3]
    assert not len(matched(real, labels([1, 0, 0]), np.array([BALD])))


def test_chance_decides_between_equals_by_seed() -> None:
    real = np.repeat(KINDS, 50, axis=0)
    draws = [matched(real, KINDS, np.full(8, SMILE), seed) for seed in (0, 0, 1)]
    assert draws[0].tolist() == draws[1].tolist()
    assert draws[0].tolist() != draws[2].tolist()
    assert not len(matched(real, KINDS[:0], np.zeros(0, np.int64)))
