"""Errors of estimates against the spread of the estimates, and samples so small that all is known."""

import numpy as np

from sde_sgd.statistics import _moments


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
