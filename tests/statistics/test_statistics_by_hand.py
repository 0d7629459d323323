"""Errors of estimates against the spread of the estimates, and samples so small that all is known."""

import jax
import numpy as np
import pytest
from helpers import refused
from scipy import stats

from sde_sgd import statistics
from sde_sgd.statistics import _anderson_darling, _moments
from sde_sgd.statistics._pooled import pool


def test_the_error_of_a_variance_assumes_no_normal_law():
    """Over 1000 samples of 400: the spread is known to 2.2 %, the mean of the errors to less.

    The fourth moment of Exp(1) is 9, of a coin 1: the error is √8 s²/√n and near 0, a normal law's √2 s²/√n.
    """
    rng = np.random.default_rng(0)
    values = rng.standard_exponential((1000, 400))
    errors = np.array([_moments.variance_error(row) for row in values])
    spread = values.var(axis=1, ddof=1).std()
    assert abs(np.sqrt((errors**2).mean()) / spread - 1) < 0.12
    assert spread / (np.sqrt(2) / 20) > 1.8
    coins = np.resize([0.0, 1.0], 400)
    assert _moments.variance_error(coins) < 1e-6


def test_two_sides_of_student():
    """t = 2 with one degree of freedom is Cauchy's: p = 1 − (2/π) arctan 2."""
    t, p = _moments.student(-2.0, 1.0, 1.0)
    assert t == -2.0
    np.testing.assert_allclose(p, 1 - 2 / np.pi * np.arctan(2), rtol=1e-12)
    assert _moments.student(0.0, 0.0, 5.0) == (0.0, 1.0)
    assert _moments.student(1.0, 0.0, 5.0)[1] == 0.0


@pytest.mark.parametrize("n", [8, 30, 1000])
def test_the_correction_of_a_squared_for_finite_n_has_no_steps(n):
    """Marsaglia's three pieces meet within 1e-3/n, and add nothing to the probabilities 0 and 1."""
    cut = 0.01265 + 0.1757 / n
    for place in (cut, 0.8):
        below, above = (_anderson_darling._finite(place + side * 1e-9, n) for side in (-1, 1))
        assert abs(below - above) < 3e-3 / n, place
    assert abs(_anderson_darling._finite(1.0, n)) < 1e-3 / n
    assert abs(_anderson_darling._finite(1e-12, n)) < 1e-3 / n
    # where it is largest, in his table for n = 8 and more: a few hundredths over n
    middle = max(abs(_anderson_darling._finite(p, n)) for p in np.linspace(0.01, 0.99, 99))
    assert 0.01 / n < middle < 0.1 / n


def test_errors_of_variances_are_in_units_of_them():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 50))
    one, other = (
        statistics.equivalence(unit * x, unit * y, quantity="variance", margin=2) for unit in (1, 10)
    )
    np.testing.assert_allclose(
        [one.value, one.standard_error, one.p], [other.value, other.standard_error, other.p], rtol=1e-9
    )


def test_an_interval_says_how_much_it_covers():
    """Two tests at .05 leave .9 between two sides; of a distance there is one."""
    x, y = np.random.default_rng(0).normal(size=(2, 50))
    assert "90 % interval" in statistics.equivalence(x, y, margin=1).note
    assert "95 % interval" in statistics.equivalence(x, y, quantity="law", margin=0.5).note


def test_p_of_a_line_through_points_leaves_two_degrees_of_freedom():
    x = np.arange(6.0)
    y = x + np.array([0.1, -0.2, 0.15, 0.05, -0.1, 0.2])
    for values, freedom in ((y, 4), (np.stack([y + 0.1 * k * x for k in range(6)]), 5)):
        found = statistics.slope(x, values, expected=1.1, key=jax.random.key(0), resamples=99)
        t = (found.value - 1.1) / found.standard_error
        np.testing.assert_allclose(found.statistic, t, rtol=1e-12)
        np.testing.assert_allclose(found.p, 2 * stats.t.sf(abs(t), freedom), rtol=1e-9)


def test_draws_of_no_chain_are_refused():
    with refused(match=r"draws must have shape \(chains, draws\), got \(0, 10\)"):
        statistics.time_average(np.empty((0, 10)))


def test_the_error_of_a_gap_is_that_of_two_shares():
    """D at 0 is the difference of the shares of zeros, .5 of ten and .2 of twenty."""
    x, y = np.repeat([0.0, 1.0, 2.0], [5, 3, 2]), np.repeat([0.0, 1.0, 2.0], [4, 4, 12])
    pooled = pool(x, y)
    np.testing.assert_allclose(pooled.gap, [0.3, 0.4, 0], atol=1e-12)
    np.testing.assert_allclose(pooled.error(np.array([1.0, 0, 0])), np.sqrt(0.25 / 10 + 0.16 / 20))
    np.testing.assert_allclose(pooled.error(np.array([0, 1.0, 0])), np.sqrt(0.16 / 10 + 0.24 / 20))


def test_the_error_of_the_energy_distance_in_the_plane_is_its_spread():
    """Over 300 pairs of samples, one standard deviation apart; the spread is known to 4 %, five are .2."""
    rng, found = np.random.default_rng(0), []
    for _ in range(300):
        x, y = rng.normal(size=(2, 40, 2))
        test = statistics.energy(x, y + np.array([1.0, 0]), key=jax.random.key(0), permutations=19)
        found.append((test.value, test.standard_error))
    values, errors = np.array(found).T
    assert abs(np.sqrt((errors**2).mean()) / values.std(ddof=1) - 1) < 0.2


def test_a_comparison_is_in_units_of_the_reference():
    x, y = np.random.default_rng(0).normal(size=(2, 40)) * [[1.0], [3.0]] + [[1.0], [0.0]]
    law = statistics.compare(x, stats.norm(0, 2))
    np.testing.assert_allclose(law.effect, x.mean() / 2, rtol=1e-6)
    np.testing.assert_allclose(law.effect_error, x.std(ddof=1) / 2 / 40**0.5, rtol=1e-6)
    np.testing.assert_allclose(law.variance_ratio, x.var(ddof=1) / 4, rtol=1e-6)
    np.testing.assert_allclose(law.variance_ratio_error, _moments.variance_error(x) / 4, rtol=1e-6)
    two = statistics.compare(x, y)
    np.testing.assert_allclose(two.effect, (x.mean() - y.mean()) / y.std(ddof=1), rtol=1e-9)
    shares = [_moments.variance_error(z) / z.var(ddof=1) for z in (x, y)]
    ratio = x.var(ddof=1) / y.var(ddof=1)
    np.testing.assert_allclose(two.variance_ratio, ratio, rtol=1e-9)
    np.testing.assert_allclose(two.variance_ratio_error, ratio * np.hypot(*shares), rtol=1e-9)
