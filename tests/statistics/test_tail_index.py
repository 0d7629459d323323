"""The index of stable laws, of those that have one and of one that only seems to."""

import numpy as np
import pytest
from helpers import bound, refused
from scipy import stats

from sde_sgd.statistics import tail_index


@pytest.mark.parametrize("alpha", [2.0, 1.5, 1.0])
def test_stable_laws(alpha):
    draws = stats.levy_stable.rvs(alpha, 0, size=40_000, random_state=np.random.default_rng(1))
    found = tail_index(draws)
    assert (found.block, found.n) == (200, 40_000)
    assert abs(found.alpha - alpha) < bound() * found.standard_error < 0.3


def test_the_error_is_the_spread():
    """Of 400 estimates from Cauchy's law, each from 64 blocks of 16."""
    draws = np.random.default_rng(2).standard_cauchy((400, 1024))
    found = [tail_index(row, block=16) for row in draws]
    z = np.array([(one.alpha - 1) / one.standard_error for one in found])
    assert abs(z.mean()) < 0.35
    assert abs(z.std() - 1) < 0.2


def test_by_hand():
    """Blocks of 2: sums of 2x, so that 1/α = 1 exactly; what is left over does not count."""
    signs = np.repeat([1.0, -1.0], 8)
    found = tail_index([*signs * np.repeat(np.arange(1.0, 9.0), 2), 100.0], block=2)
    np.testing.assert_allclose([found.alpha, found.standard_error], [1, 0], atol=1e-12)
    assert (found.block, found.n) == (2, 16)


def test_gaussians_of_two_sizes_seem_heavy():
    rng = np.random.default_rng(3)
    draws = rng.normal(size=40_000) * np.where(rng.uniform(size=40_000) < 0.5, 1.0, 10.0)
    found = tail_index(draws)
    assert found.alpha < 2 - 5 * found.standard_error


def test_bad_input():
    with refused(match=r"values must have shape \(n,\), got \(2, 100\)"):
        tail_index(np.ones((2, 100)))
    with refused(match="values must fill 8 blocks or more, got 20 in blocks of 4"):
        tail_index(np.ones(20))
    with refused(match="values must not be 0 and must not cancel"):
        tail_index(np.resize([1.0, -1.0], 400))
    with refused(match="values must be independent, but sums of 20 of them are no larger"):
        tail_index(np.resize([1.0, -1.01], 400))
    with refused(match="block must be an integer >= 2, got 1"):
        tail_index(np.ones(100), block=1)
    with refused(match="values must be finite"):
        tail_index([np.nan] * 100)
