"""Under its null every test has uniform p-values; and the power its docstring states.

Each test is run on 2000 null replicates. Two things are asked of the p-values: Kolmogorov-Smirnov against
the uniform law, and how many are ≤ .05 against the binomial law, each with a false alarm of 10⁻⁶ (so that
this file, with some 50 such comparisons, raises one in 5·10⁻⁵ of all sets of keys). That sees a distribution
function of p off by .06, and a 5 % level that is truly below 2.6 % or above 7.4 %. Monte Carlo p-values are
multiples of 1/(R + 1); less a uniform part of one such step they are uniform exactly.
"""

import re
from unittest import mock

import jax
import measure_power
import numpy as np
import pytest
from helpers import ALARM
from scipy import special, stats
from scipy.signal import lfilter

import sde_sgd.statistics as st
from sde_sgd.statistics import _pooled
from sde_sgd.theory._density import Density1D

REPLICATES = 2000
DRAWS = 39
GRID = np.linspace(-9, 9, 201)
NORMAL = Density1D(GRID, -(GRID**2) / 2)
# N(.5, 1) differs from N(0, 1) by this Kolmogorov-Smirnov distance
DISTANCE = float(2 * special.ndtr(0.25) - 1)


@pytest.fixture(scope="module")
def keys():
    return list(jax.random.split(jax.random.key(11), REPLICATES))


def autoregressive(rng, *shape):
    noise = rng.normal(size=shape) * np.sqrt(0.75)
    noise[:, 0] /= np.sqrt(0.75)
    return lfilter([1.0], [1.0, -0.5], noise, axis=1)


def temperature(rng, _key):
    theta = rng.normal(size=500)
    return st.temperature_test(theta, theta, 2.0)


def temperature_of_a_network(rng, _key):
    theta = {"w": rng.normal(size=(100, 2, 2)) + 3, "b": rng.normal(size=(100, 1)) - 1}
    centre = {"w": np.full((2, 2), 3.0), "b": -np.ones(1)}
    gradient = {name: theta[name] - centre[name] for name in theta}
    return st.temperature_test(theta, gradient, 2.0, centre=centre)


def temperature_from_curvature(rng, _key):
    """exp(−2L/T) with L = Σ x⁴/4 and T = 2: x⁴/4 has the gamma law of shape ¼."""
    x = (4 * rng.gamma(0.25, 1.0, (500, 3))) ** 0.25 * rng.choice([-1.0, 1.0], (500, 3))
    return st.temperature_test(x, x**3, 2.0, laplacian=(3 * x**2).sum(axis=1))


def temperature_with_any_covariance(rng, _key):
    """⟨θ²⟩ = 1 is kept by SGD on θ²/2 where ⟨T⟩ = 2 − η, whatever T(θ) is from chain to chain."""
    theta = rng.normal(size=500)
    rate, spread = 0.4, np.exp(rng.normal(size=500))
    temperature = 2 * (1 - rate / 2) * spread / np.exp(0.5)
    return st.temperature_test(theta, theta, temperature, learning_rate=rate)


def wasserstein_in_cells(rng, key):
    """As for more than 4000 values: null counts are hypergeometric."""
    with mock.patch.multiple(_pooled, _SINGLES=20, _CELLS=16):
        return st.wasserstein(rng.normal(size=80), rng.normal(size=50), key=key, draws=19)


def growing(rng, seeds, points=10):
    return rng.normal(size=(seeds, points)).cumsum(axis=1)


def exponent(rng, key):
    y = np.exp(0.3 * rng.normal(size=(12, 4)))
    return st.slope(
        np.arange(1.0, 5.0), y, key=key, expected=0.0, logarithmic=True, resamples=99, method="percentile"
    )


def line(rng, key):
    """Seeds whose points depend on each other, about a line of slope 2."""
    x = np.array([0.0, 1.0, 2.0, 5.0])
    y = 2 * x + growing(rng, 7, 4)
    return st.slope(x, y, key=key, expected=2.0, resamples=99, method="percentile")


def line_of_single_points(rng, key):
    x = np.linspace(-1, 1, 60)
    return st.slope(x, 2 * x + rng.normal(size=60), key=key, expected=2.0, resamples=99, method="percentile")


def laws_with_one_largest_gap(rng, _key):
    """F(x) = 1.4 x up to ½, and F(x) = .4 + .6 x beyond: sup|F − x| = .2, with a kink, so at one x."""
    u = rng.random(10_000)
    sample = np.where(u < 0.7, u / 1.4, (u - 0.4) / 0.6)
    return st.equivalence(sample, stats.uniform, margin=0.2, quantity="law")


# each draws a null sample and tests it; the second entry is whether p is a Monte Carlo one
TESTS = {
    "Kolmogorov-Smirnov, one sample": (
        lambda rng, key: st.kolmogorov_smirnov(rng.normal(size=50), NORMAL),
        False,
    ),
    "Kolmogorov-Smirnov, two samples": (
        lambda rng, key: st.kolmogorov_smirnov(rng.normal(size=101), rng.normal(size=64)),
        False,
    ),
    "Kolmogorov-Smirnov, two large samples": (
        lambda rng, key: st.kolmogorov_smirnov(rng.normal(size=1201), rng.normal(size=801)),
        False,
    ),
    "Anderson-Darling, one sample": (
        lambda rng, key: st.anderson_darling(rng.normal(size=10), special.ndtr),
        False,
    ),
    "Anderson-Darling, two samples": (
        lambda rng, key: st.anderson_darling(rng.normal(size=40), rng.normal(size=61)),
        False,
    ),
    "Cramér-von Mises, one sample": (
        lambda rng, key: st.cramer_von_mises(rng.normal(size=50), special.ndtr),
        False,
    ),
    "Cramér-von Mises, two samples": (
        lambda rng, key: st.cramer_von_mises(rng.normal(size=40), rng.normal(size=61)),
        False,
    ),
    "Wasserstein-1, one sample": (
        lambda rng, key: st.wasserstein(rng.normal(size=40), NORMAL, key=key, draws=DRAWS),
        True,
    ),
    "Wasserstein-1, one large sample": (
        lambda rng, key: st.wasserstein(rng.normal(size=150), NORMAL, key=key, draws=19),
        True,
    ),
    "Wasserstein-1, two samples": (
        lambda rng, key: st.wasserstein(rng.normal(size=40), rng.normal(size=30), key=key, draws=DRAWS),
        True,
    ),
    "Wasserstein-1, two samples in cells": (wasserstein_in_cells, True),
    "energy, one coordinate": (
        lambda rng, key: st.energy(rng.normal(size=40), rng.normal(size=30), key=key, permutations=DRAWS),
        True,
    ),
    "energy, three coordinates": (
        lambda rng, key: st.energy(
            rng.normal(size=(20, 3)), rng.normal(size=(15, 3)), key=key, permutations=DRAWS
        ),
        True,
    ),
    "temperature": (temperature, False),
    "temperature of a network": (temperature_of_a_network, False),
    "temperature from the curvature": (temperature_from_curvature, False),
    "temperature with any covariance": (temperature_with_any_covariance, False),
    "equivalence of means, at the margin": (
        lambda rng, key: st.equivalence(2 * rng.normal(size=30), rng.normal(size=40) + 2, margin=2.0),
        False,
    ),
    "equivalence of a mean, at the lower margin": (
        lambda rng, key: st.equivalence(rng.normal(size=30) - 2, 0.0, margin=2.0),
        False,
    ),
    "equivalence of variances, at the margin": (
        lambda rng, key: st.equivalence(
            2 * rng.normal(size=500), rng.normal(size=500), margin=4.0, quantity="variance"
        ),
        False,
    ),
    "curves of two groups": (
        lambda rng, key: st.curve_test(growing(rng, 7), growing(rng, 6), key=key, permutations=DRAWS),
        True,
    ),
    "curves of three groups": (
        lambda rng, key: st.curve_test(
            growing(rng, 4), growing(rng, 5), growing(rng, 4), key=key, permutations=DRAWS
        ),
        True,
    ),
    "time average": (
        lambda rng, key: st.time_average(autoregressive(rng, 4, 100), expected=0.0),
        False,
    ),
    "exponent": (exponent, False),
    "slope": (line, False),
    "slope through single points": (line_of_single_points, False),
    "equivalence of laws, at the margin": (laws_with_one_largest_gap, False),
}


def p_values(test, keys, seed=0, steps=None):
    """2000 of them; Monte Carlo ones less a uniform part of their step."""
    rng = np.random.default_rng(seed)
    p = np.array([test(rng, key).p for key in keys])
    return p if steps is None else p - rng.random(len(p)) / steps


def assert_uniform(p):
    uniform = stats.kstest(p, "uniform")
    assert uniform.pvalue > ALARM, f"distribution of p off by {uniform.statistic:.3f}"
    hits = int((p <= 0.05).sum())
    assert stats.binomtest(hits, len(p), 0.05).pvalue > ALARM, f"5 % level hit {hits} times in {len(p)}"


# by the bootstrap, or of large samples, which takes its time
LONG = ("exponent", "slope", "slope through single points", "equivalence of laws, at the margin")
LONG += ("equivalence of a mean, at the lower margin", "equivalence of means, at the margin")
LONG += ("equivalence of variances, at the margin", "time average")
LONG += ("temperature of a network", "temperature from the curvature", "temperature with any covariance")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.script) if name in LONG else name for name in TESTS]
)
def test_p_values_are_uniform_under_the_null(name, keys):
    test, monte_carlo = TESTS[name]
    drawn = 20 if "one large" in name or "cells" in name else DRAWS + 1
    assert_uniform(p_values(test, keys, steps=drawn if monte_carlo else None))


@pytest.mark.script
def test_equivalence_of_laws_at_the_margin_is_conservative(keys):
    """Where F − G is flat at its top, D is the largest of many gaps: the level is hit less often."""
    rng = np.random.default_rng(0)
    found = [
        st.equivalence(rng.normal(0.5, 1, 300), special.ndtr, margin=DISTANCE, quantity="law") for _ in keys
    ]
    hits = sum(test.equivalent for test in found)
    assert stats.binomtest(hits, len(found), 0.05, alternative="greater").pvalue > ALARM
    assert st.equivalence(rng.normal(size=3000), special.ndtr, margin=DISTANCE, quantity="law").equivalent


def test_holm_keeps_the_family_wise_level():
    """Ten independent nulls: one rejection or more with probability 1 − (1 − .05/10)¹⁰ = 4.9 %."""
    families = np.random.default_rng(1).random((REPLICATES, 10))
    hits = sum(bool(st.holm(p.tolist(), 0.05).rejected) for p in families)
    assert stats.binomtest(hits, REPLICATES, 1 - (1 - 0.005) ** 10).pvalue > ALARM


class Outcome:
    def __init__(self, p):
        self.p = p


PLANTED = {
    "correlated draws taken for independent ones": lambda rng: stats.ttest_1samp(
        autoregressive(rng, 4, 50).ravel(), 0
    ),
    "a law fitted to the sample": lambda rng: stats.kstest(stats.zscore(rng.normal(size=50)), "norm"),
    "every chain counted twice": lambda rng: st.anderson_darling(
        np.tile(rng.normal(size=20), 2), special.ndtr
    ),
    "one side of a test with two": lambda rng: Outcome(
        stats.ttest_1samp(rng.normal(size=20), 0, alternative="greater").pvalue / 2
    ),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_miscalibration_is_caught(fault, keys):
    with pytest.raises(AssertionError, match=r"off by|level hit"):
        assert_uniform(p_values(lambda rng, _key: _outcome(PLANTED[fault](rng)), keys))


def _outcome(found):
    return Outcome(found.p if hasattr(found, "p") else found.pvalue)


@pytest.mark.script
def test_temperature_test_has_power_99_percent_for_5_percent():
    """T 5 % too high, 2·10⁴ chains, level .05: above .99 by the lower 99 % confidence limit."""
    rng, hits, replicates = np.random.default_rng(2), 0, 4000
    for _ in range(replicates):
        theta = rng.standard_normal(20_000, dtype=np.float32) * np.float32(np.sqrt(1.05))
        hits += st.temperature_test(theta, theta, 2.0).p <= 0.05
    lower = stats.binomtest(hits, replicates, alternative="greater").proportion_ci(0.99).low
    assert lower > 0.99


def stated(test, words):
    """The power in a docstring, after `words`."""
    found = re.search(words + r"\D*?(\.\d+|1\.00)", " ".join(test.__doc__.split()))
    assert found, test.__doc__
    return float(found[1])


def test_power_of_energy_in_space_is_that_of_the_same_statistic():
    x, y = np.random.default_rng(4).normal(size=(2, 50, 3))
    with jax.enable_x64(True):
        found = float(measure_power._energy(x, y))
    assert found == pytest.approx(st.energy(x, y, key=jax.random.key(0), permutations=19).value, rel=1e-10)


@pytest.mark.parametrize(
    ("test", "words", "case", "replicates"),
    [
        (st.temperature_test, "one coordinate:", "temperature_test", 300),
        (st.kolmogorov_smirnov, "one sample:", "kolmogorov_smirnov, one sample", 300),
        (st.anderson_darling, "one sample:", "anderson_darling, one sample", 300),
        (st.curve_test, "10 points:", "curve_test, 10 and 10 seeds, 10 points", 300),
    ],
    ids=lambda value: value if isinstance(value, str) and "," in value else "",
)
def test_the_power_in_the_docstring_is_the_measured_one(test, words, case, replicates):
    """Within binomial errors: those of 1000 replicates behind the docstring, and of these."""
    power, found = stated(test, words), measure_power.power(case, replicates, seed=3)
    error = np.sqrt(max(power * (1 - power), 0.004) * (1 / 1000 + 1 / replicates)) + 0.005
    assert abs(found - power) < stats.norm.isf(ALARM / 2) * error
