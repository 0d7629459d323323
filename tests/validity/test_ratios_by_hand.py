"""How far a ratio of variances is from 1, and how well a difference is known."""

import math

import numpy as np
from scipy import stats

from sde_sgd.validity._causes import _less
from sde_sgd.validity._interval import of_log_ratio
from sde_sgd.validity._orbit import Estimate


def test_half_the_variance_is_as_far_from_it_as_twice():
    """ln 2 with an error of .1 on ten degrees of freedom, to both sides."""
    half = stats.t.ppf(0.995, 10) * 0.1
    for sign in (1, -1):
        effect, interval = of_log_ratio(sign * math.log(2), 0.1, 10)
        np.testing.assert_allclose(effect, 1, rtol=1e-12)
        np.testing.assert_allclose(interval, [2 * math.exp(-half) - 1, 2 * math.exp(half) - 1], rtol=1e-12)
    assert of_log_ratio(0.05, 0.1, 10)[1].low == 0


def test_errors_of_independent_estimates_add_in_square():
    one = Estimate(np.array([2.0]), np.array([0.3]), 9)
    other = Estimate(np.array([0.5]), np.array([0.4]), 4)
    found = _less(one, other)
    np.testing.assert_allclose([found.value[0], found.standard_error[0], found.freedom], [1.5, 0.5, 4])
    assert _less(one, None) is one
