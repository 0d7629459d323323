"""Tied values: which well, an accuracy, a count of errors. Levels, exact p-values, and laws with atoms."""

import time

import jax
import numpy as np
import pytest
from helpers import ALARM, bound, refused
from scipy import stats

import sde_sgd.statistics as st
from sde_sgd.statistics import _law, _pooled
from sde_sgd.statistics._hypothesis_test import sequential_p

KEY = jax.random.key(0)
DISTANCES = st.kolmogorov_smirnov, st.cramer_von_mises, st.anderson_darling
# each draws n values, and is the law that they follow
LAWS = {
    "two wells, 50:50": stats.bernoulli(0.5),
    "two wells, 3:97": stats.bernoulli(0.03),
    "errors in 10": stats.binom(10, 0.1),
    "right of 517": stats.binom(517, 0.95),
}


def draw(rng, law, n):
    return law.rvs(n, random_state=rng).astype(float)


def keyed(test, **options):
    return lambda x, y: test(x, y, key=jax.random.key(int(1000 * abs(x.sum()))), **options)


TESTS = {
    **{test.__name__: test for test in DISTANCES},
    "wasserstein": keyed(st.wasserstein, draws=39),
    "energy": keyed(st.energy, permutations=39),
}


def assert_level(p, level=0.05):
    """No more p-values at or below the level than the level: beyond that by chance once in 10⁶ times."""
    hits = int((np.asarray(p) <= level).sum())
    assert stats.binomtest(hits, len(p), level, alternative="greater").pvalue > ALARM, f"{hits} of {len(p)}"


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", TESTS)
def test_two_tied_samples_of_one_law(name, law):
    """300 pairs, 100 and 80 values: a level that is truly .13 or more is seen."""
    rng = np.random.default_rng(4)
    pairs = [(draw(rng, LAWS[law], 100), draw(rng, LAWS[law], 80)) for _ in range(300)]
    found = [TESTS[name](x, y) for x, y in pairs]
    assert all(test.value == test.statistic for test in found)
    assert_level([test.p for test in found])


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", [name for name in TESTS if name != "energy"])
def test_one_sample_of_a_law_with_atoms(name, law):
    """200 samples of 60 values."""
    rng = np.random.default_rng(5)
    found = [TESTS[name](draw(rng, LAWS[law], 60), LAWS[law]) for _ in range(200)]
    assert all(test.value == test.statistic for test in found)
    assert_level([test.p for test in found])


def rng_of(seed):
    return np.random.default_rng(seed)


def indicator(rng, chains, length):
    """In which of two wells, chains that change over with probability .3."""
    flips = rng.random((chains, length)) < 0.3
    flips[:, 0] = rng.random(chains) < 0.5
    return (flips.cumsum(axis=1) % 2).astype(float)


FAIR, RARER = stats.bernoulli(0.5), stats.bernoulli(0.3)
TENTHS, HALVES = stats.binom(10, 0.1), stats.binom(20, 0.5)
OTHERS = {
    "equivalence of means": lambda rng, key: st.equivalence(
        draw(rng, FAIR, 60), draw(rng, RARER, 50), margin=0.2
    ),
    "equivalence of variances": lambda rng, key: st.equivalence(
        2 * draw(rng, TENTHS, 500),
        draw(rng, TENTHS, 500),
        margin=4.0,
        quantity="variance",
    ),
    "equivalence of laws": lambda rng, key: st.equivalence(
        draw(rng, FAIR, 200), draw(rng, RARER, 200), margin=0.2, quantity="law"
    ),
    "curves": lambda rng, key: st.curve_test(
        draw(rng, TENTHS, (6, 4)),
        draw(rng, TENTHS, (5, 4)),
        key=key,
        permutations=39,
    ),
    "time average": lambda rng, key: st.time_average(indicator(rng, 4, 200), expected=0.5),
    "slope": lambda rng, key: st.slope(
        np.arange(4.0),
        draw(rng, HALVES, (20, 4)),
        key=key,
        expected=0.0,
        resamples=99,
        method="percentile",
    ),
    "temperature": lambda rng, key: _temperature(draw(rng, HALVES, 100) - 10),
}


def _temperature(theta):
    return st.temperature_test(theta, theta, 10.0)


@pytest.mark.parametrize("name", OTHERS)
def test_other_tests_keep_their_level_with_tied_values(name):
    rng, keys = np.random.default_rng(6), jax.random.split(KEY, 200)
    assert_level([OTHERS[name](rng, key).p for key in keys])


def exact(heads, tails, n, m):
    """P(|gap| at least as large) when `heads` of n + m coins are dealt out to the n."""
    dealt = stats.hypergeom(n + m, heads + tails, n)
    inside = np.arange(max(0, heads + tails - m), min(n, heads + tails) + 1)
    gap = np.abs(inside / n - (heads + tails - inside) / m)
    return float(dealt.pmf(inside)[gap >= abs(heads / n - tails / m) - 1e-12].sum())


@pytest.mark.parametrize(("heads", "tails"), [(55, 40), (50, 30), (3, 9), (60, 33)])
@pytest.mark.parametrize("test", DISTANCES)
def test_p_of_coins_is_exact(test, heads, tails):
    """On two values all three grow with the gap alone, whose law is hypergeometric.

    p is known to 10 %, from 100 draws that are as far out, or to √(p/9999).
    """
    x, y = np.repeat([1.0, 0.0], [heads, 100 - heads]), np.repeat([1.0, 0.0], [tails, 80 - tails])
    p = exact(heads, tails, 100, 80)
    assert abs(test(x, y).p - p) < bound(12) * max(0.1 * p, np.sqrt(p * (1 - p) / 9999))


def test_power_with_ties():
    """Three events in a hundred against nine, 300 values each: what the exact test finds, these find."""
    rng = np.random.default_rng(7)
    counts = [(rng.binomial(300, 0.03), rng.binomial(300, 0.09)) for _ in range(100)]
    for test in DISTANCES:
        hits = 0
        for a, b in counts:
            x, y = np.repeat([1.0, 0.0], [a, 300 - a]), np.repeat([1.0, 0.0], [b, 300 - b])
            hits += test(x, y).p <= 0.05
        exactly = sum(exact(a, b, 300, 300) <= 0.05 for a, b in counts)
        assert exactly > 60
        assert abs(hits - exactly) <= 5


@pytest.mark.parametrize("law", LAWS)
def test_many_tied_values_cost_little_and_are_told_apart(law):
    """10⁵ values each: a fortieth of a second when nothing was measured with other work going on."""
    rng = np.random.default_rng(8)
    x, y = (draw(rng, LAWS[law], 100_000) for _ in range(2))
    other = np.where(rng.random(100_000) < 0.02, x.max(), y)
    begun = time.perf_counter()
    for test in DISTANCES:
        assert test(x, y).p > ALARM
        assert test(x, other).p <= 1e-4
    assert time.perf_counter() - begun < 20


def test_p_of_one_law_with_atoms_is_exact():
    """Heads of a coin: |gap| has the binomial law."""
    inside = np.arange(101)
    for heads in (60, 57, 44):
        x = np.repeat([1.0, 0.0], [heads, 100 - heads])
        far = np.abs(inside - 50) >= abs(heads - 50)
        p = float(stats.binom(100, 0.5).pmf(inside)[far].sum())
        for test in DISTANCES:
            found = test(x, stats.bernoulli(0.5)).p
            assert abs(found - p) < bound(9) * max(0.1 * p, np.sqrt(p * (1 - p) / 9999))


def test_distances_to_a_law_with_atoms():
    """By the sums of Choulakian, Lockhart and Stephens; W₁ by scipy."""
    law = stats.binom(6, 0.4)
    x = draw(np.random.default_rng(9), stats.binom(6, 0.5), 50)
    k = np.arange(7)
    gap = np.array([(x <= value).mean() for value in k]) - law.cdf(k)
    p, rising = law.pmf(k)[:-1], law.cdf(k)[:-1]
    np.testing.assert_allclose(st.kolmogorov_smirnov(x, law).value, np.abs(gap).max())
    np.testing.assert_allclose(st.cramer_von_mises(x, law).value, 50 * np.sum(law.pmf(k) * gap**2))
    np.testing.assert_allclose(
        st.anderson_darling(x, law).value, 50 * np.sum(p * gap[:-1] ** 2 / (rising * (1 - rising)))
    )
    np.testing.assert_allclose(
        st.wasserstein(x, law, key=KEY).value, stats.wasserstein_distance(x, k, v_weights=law.pmf(k))
    )
    np.testing.assert_allclose(st.equivalence(x, law, margin=9.0).value, x.mean() - 2.4)
    found = st.compare(x, law)
    np.testing.assert_allclose(
        [found.effect, found.variance_ratio], [(x.mean() - 2.4) / 1.2, x.var(ddof=1) / 1.44]
    )
    np.testing.assert_allclose(found.w1, st.wasserstein(x, law, key=KEY).value)


@pytest.mark.parametrize("test", [*DISTANCES, keyed(st.wasserstein, draws=19)])
def test_stated_errors_of_laws_with_atoms(test, monkeypatch):
    """The spread of 300 values is known to 4 %."""
    monkeypatch.setattr(_law, "DRAWS", 19)
    rng, law, other = np.random.default_rng(3), stats.binom(4, 0.5), stats.binom(4, 0.6)
    found = [test(draw(rng, other, 300), law) for _ in range(300)]
    stated = np.mean([one.standard_error for one in found])
    assert abs(np.std([one.value for one in found]) / stated - 1) < bound() / np.sqrt(600)


def test_a_value_that_the_law_does_not_have():
    x = np.append(draw(np.random.default_rng(1), stats.binom(6, 0.4), 50), 2.5)
    for name, test in TESTS.items():
        if name != "energy":
            assert test(x, stats.binom(6, 0.4)).p == 0


def test_tied_samples_of_a_continuous_law_are_found_out():
    """Rounded to a tenth of its spread no sample is normal, and 10⁵ values show it; 100 do not."""
    x = np.round(np.random.default_rng(2).normal(size=100_000), 1)
    for test in DISTANCES:
        assert test(x, stats.norm()).p < ALARM < test(x[:100], stats.norm()).p


def test_values_that_hardly_coincide_are_taken_as_untied():
    """As in float32: p as of scipy, far below what draws could tell."""
    rng = np.random.default_rng(0)
    x, y = (rng.normal(scale, 1, 5000).astype(np.float32).astype(float) for scale in (0, 0.3))
    y[:10] = x[:10]
    assert st.cramer_von_mises(x, y).p < 1e-8
    assert st.anderson_darling(x, y).p < 1e-8


def test_p_is_a_function_of_the_values():
    rng = np.random.default_rng(0)
    x, y = draw(rng, LAWS["errors in 10"], 100), draw(rng, LAWS["errors in 10"], 80)
    for test in DISTANCES:
        assert test(x, y) == test(x[::-1], y) == test(x, y)


def test_sequential_p_by_hand():
    """The third that is as far out comes with the fifth draw; of six draws two do; of three none does."""
    null = [np.array([0.0, 1.0, 0.0]), np.array([2.0, 1.0, 0.0])]
    assert sequential_p(1.0, iter(null), hits=3) == 3 / 5
    assert sequential_p(1.0, iter(null), hits=4) == 4 / 7
    assert sequential_p(2.0, iter(null), hits=3) == 2 / 7
    assert sequential_p(3.0, iter(null[:1])) == 1 / 4


def test_labels_are_dealt_out_alike_by_values_and_by_counts():
    """Both ways of dealing: the mean and variance of a hypergeometric count, from 20 000 deals."""
    for counts in (np.array([3, 1, 4]), np.array([30, 100, 40])):
        dealt = _pooled.deal(counts, 5, 20_000, rng_of(0))
        assert (dealt.sum(axis=1) == 5).all()
        law = stats.hypergeom(counts.sum(), counts[2], 5)
        assert abs(dealt[:, 2].mean() - law.mean()) < bound(4) * law.std() / np.sqrt(20_000)
        assert abs(dealt[:, 2].var() / law.var() - 1) < bound(4) * np.sqrt(2.5 / 20_000)


def test_bad_input():
    x = draw(rng_of(0), stats.binom(6, 0.4), 50)
    with refused(match="reference must say where its atoms are: it jumps by"):
        st.kolmogorov_smirnov(x, stats.binom(6, 0.4).cdf)
    with refused(match="sample must be a Result, an array of numbers"):
        st.cramer_von_mises("three", x)
