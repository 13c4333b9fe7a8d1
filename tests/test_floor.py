"""The script that checks the floor of realism on real photos."""

from __future__ import annotations

import numpy as np

from floor import distances


def test_photos_of_few_people_are_as_far_as_as_many_as_they_count_for() -> None:
    generator = np.random.default_rng(0)
    who = np.arange(600).repeat(5)
    person = generator.normal(size=(600, 64))[who]
    f = (0.7**0.5) * person + (0.3**0.5) * generator.normal(size=(3000, 64))
    few, independent, worth, number = distances(f, who, 150, 750, 8, generator).mean(0)
    assert independent < 0.6 * few
    assert 0.75 * few < worth < 1.05 * few
    assert 150 < number < 600


def test_photos_of_whom_nobody_has_two_count_for_as_many_as_there_are() -> None:
    generator = np.random.default_rng(0)
    f = generator.normal(size=(900, 64))
    few, independent, worth, number = distances(f, np.arange(900), 300, 300, 4, generator).T
    np.testing.assert_allclose(number, 300, rtol=1e-6)
    np.testing.assert_array_equal(independent, worth)
    assert abs(few.mean() / independent.mean() - 1) < 0.1
