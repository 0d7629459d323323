"""Statistical tests against scipy, closed forms and other programs; their errors, prints and refusals."""

import functools
import inspect
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ALARM, bound, draws, jackknife, refused
from scipy import special, stats
from scipy.signal import lfilter
from scipy.spatial import distance

import sde_sgd as ss
import sde_sgd.statistics as st
from sde_sgd.statistics import _pooled
from sde_sgd.statistics._anderson_darling import limit_tail
from sde_sgd.theory._density import Density1D

KEY = jax.random.key(0)
GRID = np.linspace(-9, 9, 2001)
NORMAL = Density1D(GRID, -(GRID**2) / 2)
X, Y = draws(60), draws(45, seed=1, shift=0.4)


def test_distances_are_those_of_scipy():
    np.testing.assert_allclose(st.kolmogorov_smirnov(X, NORMAL).p, stats.kstest(X, "norm").pvalue, rtol=1e-4)
    np.testing.assert_allclose(st.kolmogorov_smirnov(X, Y).p, stats.ks_2samp(X, Y).pvalue)
    np.testing.assert_allclose(
        st.cramer_von_mises(X, special.ndtr).p, stats.cramervonmises(X, "norm").pvalue, rtol=1e-9
    )
    two = st.cramer_von_mises(X, Y)
    np.testing.assert_allclose(two.p, stats.cramervonmises_2samp(X, Y).pvalue)
    np.testing.assert_allclose(two.value, two.statistic, rtol=0.05)
    np.testing.assert_allclose(st.wasserstein(X, Y, key=KEY).value, stats.wasserstein_distance(X, Y))
    many = special.ndtri((np.arange(100_000) + 0.5) / 100_000)
    np.testing.assert_allclose(
        st.wasserstein(X, stats.norm(), key=KEY).value, stats.wasserstein_distance(X, many), rtol=1e-3
    )
    np.testing.assert_allclose(
        st.energy(X, Y, key=KEY, standardise=False).value, stats.energy_distance(X, Y) ** 2, rtol=1e-9
    )


def test_anderson_darling_is_that_of_scipy():
    """Two samples: scipy gives (A² − 1)/σ with the exact σ. One: the textbook sum."""
    names = inspect.signature(stats.anderson_ksamp).parameters
    options = {"variant": "right"} if "variant" in names else {"midrank": False}
    x, y = draws(60), draws(45, seed=1, shift=0.6)
    found = st.anderson_darling(x, y)
    assert 0.001 < found.p < 0.25  # elsewhere scipy's p-value is cut off
    theirs = stats.anderson_ksamp([x, y], **options)
    z = theirs.statistic * np.sqrt(2 * (np.pi**2 - 9) / 3)
    np.testing.assert_allclose(found.p, limit_tail(1 + z), rtol=1e-9)
    np.testing.assert_allclose(found.p, theirs.pvalue, rtol=0.1)
    u = np.sort(special.ndtr(X))
    odd = 2 * np.arange(1, len(u) + 1) - 1
    value = -len(u) - np.mean(odd * (np.log(u) + np.log(1 - u[::-1])))
    np.testing.assert_allclose(st.anderson_darling(X, special.ndtr).value, value, rtol=1e-9)


@pytest.mark.parametrize(("z", "p"), [(0.7744, 0.5), (1.933, 0.1), (2.492, 0.05), (3.8781, 0.01)])
def test_the_limit_of_anderson_darling(z, p):
    """Percentage points of Anderson and Darling, and of Marsaglia and Marsaglia."""
    assert limit_tail(z) == pytest.approx(p, rel=1e-3)


def test_the_far_tail_of_anderson_darling():
    """√3 P(χ²₁ > 2z): all but the first term of Σ χ²_j/(j(j+1)) at their means, right as z → ∞."""
    for z, rel in ((10.0, 0.06), (20.0, 0.02), (40.0, 0.01)):
        assert limit_tail(z) == pytest.approx(np.sqrt(3) * stats.chi2.sf(2 * z, 1), rel=rel)
    assert limit_tail(0.05) == 1.0
    assert st.anderson_darling(draws(20, shift=50.0), special.ndtr).p == 0.0


@pytest.mark.parametrize(
    ("test", "samples"),
    [
        (st.kolmogorov_smirnov, 1),
        (st.kolmogorov_smirnov, 2),
        (st.anderson_darling, 1),
        (st.anderson_darling, 2),
        pytest.param(st.cramer_von_mises, 1, marks=pytest.mark.script),
        (st.cramer_von_mises, 2),
        (functools.partial(st.wasserstein, key=KEY, draws=19), 1),
        (functools.partial(st.wasserstein, key=KEY, draws=19), 2),
        (functools.partial(st.energy, key=KEY, permutations=19), 2),
    ],
    ids=["ks 1", "ks 2", "ad 1", "ad 2", "cvm 1", "cvm 2", "w1 1", "w1 2", "energy"],
)
def test_stated_errors_are_the_spread_where_laws_differ(test, samples):
    """A mean off by .6: the spread of 300 values is known to 1/√600 = 4 %."""
    rng = np.random.default_rng(4)
    other = [NORMAL if samples == 1 else rng.normal(size=250) for _ in range(300)]
    found = [test(rng.normal(0.6, 1, 400), reference) for reference in other]
    stated = np.mean([one.standard_error for one in found])
    assert abs(np.std([one.value for one in found]) / stated - 1) < bound() / np.sqrt(600)


def test_energy_distance_by_brute_force():
    x, y = draws(20, 3), draws(15, 3, seed=1)

    def between(a, b):
        return distance.cdist(a, b).mean()

    found = st.energy(x, y, key=KEY, standardise=False)
    np.testing.assert_allclose(found.value, 2 * between(x, y) - between(x, x) - between(y, y), rtol=1e-9)
    # on a line by both ways: a coordinate that is constant changes no distance
    flat = [np.stack([z, np.zeros_like(z)], axis=1) for z in (X, Y)]
    plane, line = st.energy(*flat, key=KEY), st.energy(X, Y, key=KEY)
    np.testing.assert_allclose([plane.value, plane.standard_error], [line.value, line.standard_error])
    assert abs(plane.p - line.p) < bound() * np.sqrt(2 * 0.25 / 499)


def test_energy_sees_what_no_marginal_shows():
    """Correlation .96 between coordinates that are each N(0, 1)."""
    x, y = draws(300, 2), draws(300, 2, seed=1)
    y[:, 1] = 0.96 * y[:, 0] + 0.28 * y[:, 1]
    assert st.energy(x, y, key=KEY).p == 1 / 500
    assert st.kolmogorov_smirnov(x[:, 1], y[:, 1]).p > ALARM


def test_cells_change_no_verdict_of_large_samples(monkeypatch):
    """Above 4000 values the null is drawn for counts in cells: the same p up to the error of the draws."""
    x, y = draws(2600), draws(2500, seed=1)
    tests = functools.partial(st.wasserstein, draws=999), functools.partial(st.energy, permutations=999)
    in_cells = [test(x, y, key=KEY).p for test in tests]
    assert st.wasserstein(x, y + 0.2, key=KEY).p == 1 / 500
    assert st.energy(x, 1.2 * y, key=KEY).p == 1 / 500
    monkeypatch.setattr(_pooled, "_SINGLES", 10_000)
    singly = [test(x, y, key=jax.random.key(1)).p for test in tests]
    error = np.sqrt(2 * 0.25 / 999) + 0.01  # the statistic itself is a little coarser in cells
    assert np.all(np.abs(np.subtract(in_cells, singly)) < bound(2) * error)


def test_error_of_a_slope_is_that_of_the_jackknife():
    """Of seeds, of single points, and of an exponent; p with seeds − 1 or points − 2 degrees of freedom."""
    x = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 20.0])
    seeds, points = 2 * x + draws(7, 6), 2 * x + draws(6)
    cases = (
        (
            st.slope(x, seeds, key=KEY, expected=1.9),
            lambda y: np.polyfit(x, y.mean(axis=0), 1)[0],
            (seeds,),
            6,
        ),
        (
            st.slope(x, np.exp(draws(7, 6)), key=KEY, expected=0.1, logarithmic=True),
            lambda y: np.polyfit(np.log(x), np.log(y.mean(axis=0)), 1)[0],
            (np.exp(draws(7, 6)),),
            6,
        ),
        (st.slope(x, points, key=KEY, expected=1.9), lambda x, y: np.polyfit(x, y, 1)[0], (x, points), 4),
    )
    for found, estimate, columns, freedom in cases:
        np.testing.assert_allclose(found.value, estimate(*columns))
        np.testing.assert_allclose(found.standard_error, jackknife(estimate, *columns))
        np.testing.assert_allclose(found.p, 2 * stats.t.sf(abs(found.statistic), freedom))
    np.testing.assert_allclose(cases[0][0].statistic, (cases[0][0].value - 1.9) / cases[0][0].standard_error)


def test_equivalence_is_two_one_sided_tests():
    found = st.equivalence(X, Y, margin=0.9)
    sides = [
        stats.ttest_ind(X + 0.9, Y, equal_var=False, alternative="greater").pvalue,
        stats.ttest_ind(X - 0.9, Y, equal_var=False, alternative="less").pvalue,
    ]
    np.testing.assert_allclose(found.p, max(sides))
    for margin in (0.2, 0.5, 0.9, 2.0):
        found = st.equivalence(X, Y, margin=margin)
        assert found.equivalent == (-margin < found.low < found.high < margin)
    one = st.equivalence(X, 0.1, margin=0.4)
    np.testing.assert_allclose(one.value, X.mean() - 0.1)
    sides = [
        stats.ttest_1samp(X + 0.4, 0.1, alternative="greater").pvalue,
        stats.ttest_1samp(X - 0.4, 0.1, alternative="less").pvalue,
    ]
    np.testing.assert_allclose(one.p, max(sides))
    np.testing.assert_allclose(st.equivalence(X, NORMAL, margin=0.4).value, X.mean(), atol=1e-6)


def test_equivalence_of_variances_and_laws():
    x, y = draws(5000), 1.3 * draws(5000, seed=1)
    ratio = st.equivalence(x, y, margin=2.2, quantity="variance")
    np.testing.assert_allclose(ratio.value, x.var(ddof=1) / y.var(ddof=1))
    assert ratio.equivalent
    assert not st.equivalence(x, y, margin=1.5, quantity="variance").equivalent
    assert st.equivalence(x, NORMAL, margin=1.2, quantity="variance").equivalent
    assert st.equivalence(x, NORMAL, margin=0.08, quantity="law").equivalent
    assert not st.equivalence(y, NORMAL, margin=0.03, quantity="law").equivalent
    same = np.ones(20)
    assert st.equivalence(same, same, margin=0.1).equivalent
    assert not st.equivalence(same, same + 1, margin=0.1).equivalent


def test_curves_find_where_they_differ():
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(8, 30)).cumsum(axis=1), rng.normal(size=(9, 30)).cumsum(axis=1)
    one[:, 0] = two[:, 0] = 2.3
    found = st.curve_test(one, two, key=KEY)
    t = stats.ttest_ind(one[:, 1:], two[:, 1:], equal_var=False).statistic
    np.testing.assert_allclose(found.t[1:], t)
    assert found.t[0] == 0
    np.testing.assert_allclose(found.statistic, np.abs(t).max())
    np.testing.assert_allclose(found.value, (one.mean(axis=0) - two.mean(axis=0))[found.at])
    shifted = two.copy()
    shifted[:, 17] += 40
    caught = st.curve_test(one, shifted, key=KEY)
    assert (caught.at, caught.groups, caught.p) == (17, (0, 1), 1 / 1000)
    third = st.curve_test(two, two + rng.normal(size=two.shape), one + 30, key=KEY)
    assert 2 in third.groups
    assert third.p == 1 / 1000


def test_permutations_of_curves_are_all_of_them():
    """4 against 4 seeds: p by 9999 random permutations is that over all 70, within its error."""
    one, two = draws(4, 5), draws(4, 5, seed=1, shift=0.8)
    rows = np.concatenate([one, two])
    largest = []
    for chosen in itertools.combinations(range(8), 4):
        rest = [row for row in range(8) if row not in chosen]
        t = stats.ttest_ind(rows[list(chosen)], rows[rest], equal_var=False).statistic
        largest.append(np.abs(t).max())
    exact = np.mean(np.array(largest) >= largest[0] * (1 - 1e-9))
    found = st.curve_test(one, two, key=KEY, permutations=9999)
    assert abs(found.p - exact) < bound() * np.sqrt(exact * (1 - exact) / 9999) + 1e-4


@pytest.mark.parametrize(
    ("correlation", "chains", "count", "theirs"),
    [
        (0.7, 4, 251, (194.9431221859796, 195.58680052712697, 322.7280590222067, 1.0144324659529953)),
        (0.95, 3, 400, (49.32723296166214, 50.0958693423221, 132.91434188069223, 1.0390988704878208)),
    ],
)
def test_effective_sample_size_and_r_hat_are_those_of_arviz(correlation, chains, count, theirs):
    """ArviZ 0.8 (arviz-stats): ess mean, bulk, tail (5 % and 95 %), rhat rank."""
    x = lfilter([1], [1, -correlation], np.random.default_rng(3).normal(size=(chains, count)), axis=1)
    found = st.time_average(x)
    np.testing.assert_allclose([found.ess, found.ess_bulk, found.ess_tail, found.r_hat], theirs, rtol=1e-9)
    np.testing.assert_allclose(st.mcse(x), x.std(ddof=1) / np.sqrt(found.ess))
    assert np.isnan(found.p)
    assert "p =" not in str(found)


def test_effective_sample_size_of_autoregression():
    """(1 − ρ)/(1 + ρ) of the draws: 1/9 at ρ = .8. Its error is 2.4 % here, √(4 w/n) with a window w = 30."""
    x = lfilter([1], [1, -0.8], draws(10, 20_000), axis=1)[:, 100:]
    np.testing.assert_allclose(st.effective_sample_size(x, kind="mean") / x.size, 1 / 9, rtol=0.13)


def test_effective_sample_size_has_a_limit():
    """Of ρ = −.9, that is worth 19 draws each: log₁₀ of all of them."""
    x = lfilter([1], [1, 0.9], draws(10, 10_000), axis=1)
    assert st.effective_sample_size(x, kind="mean") == pytest.approx(5 * x.size)
    assert "≤ MN log₁₀ MN" in st.effective_sample_size.__doc__


def test_few_independent_draws_are_said():
    for correlation, few in ((0.9, True), (0.0, False)):
        found = st.time_average(lfilter([1], [1, -correlation], draws(4, 100), axis=1))
        assert (found.ess < 100) == few
        assert ("fewer than 100 independent draws: the error is too small" in str(found)) == few


def test_chains_that_do_not_mix_are_seen():
    x = draws(4, 500)
    assert st.split_r_hat(x) < 1.01
    for fault in (x + np.array([[0], [0], [0], [1]]), x * np.array([[1], [1], [1], [3]])):
        assert st.split_r_hat(fault) > 1.05
    assert st.split_r_hat(draws(1, 500) + np.linspace(0, 2, 500)) > 1.05


def test_slopes():
    x = np.array([1.0, 2, 4, 8, 16])
    y = 3 * x**0.5 * np.exp(0.05 * draws(12, 5))
    found = st.slope(x, y, key=KEY, expected=0.5, logarithmic=True)
    line = stats.linregress(np.log(x), np.log(y.mean(axis=0)))
    np.testing.assert_allclose([found.value, found.intercept], [line.slope, line.intercept])
    assert found.low < found.value < found.high
    assert found.p > ALARM
    straight = st.slope(x, y, key=KEY, expected=0.5)
    each = np.array([stats.linregress(x, row).slope for row in y])
    np.testing.assert_allclose(straight.value, each.mean())
    np.testing.assert_allclose(straight.p, stats.ttest_1samp(each, 0.5).pvalue)
    bootstrap = stats.bootstrap((each,), np.mean, n_resamples=9999, rng=np.random.default_rng(1))
    for ours, theirs in zip((straight.low, straight.high), bootstrap.confidence_interval, strict=True):
        assert abs(ours - theirs) < 0.2 * straight.standard_error
    points = st.slope(x, 2 * x + draws(5), key=KEY, expected=0.0, method="percentile")
    assert points.n == 5
    assert points.low < points.value < points.high
    np.testing.assert_allclose(points.value, stats.linregress(x, 2 * x + draws(5)).slope)


def test_holm():
    """Adjusted p-values of .01, .04, .03, .005, as R's p.adjust gives them."""
    family = st.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert family.adjusted == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert family.rejected == ("a", "d")
    tests = st.holm({"KS": st.kolmogorov_smirnov(X, Y), "W1": st.wasserstein(X, Y, key=KEY)}, 0.1)
    assert set(tests.tests) == {"KS", "W1"}
    table = str(tests)
    assert "Holm p" in table
    assert "of 2 rejected at family-wise level 0.1" in table
    assert st.holm([0.2, 1e-9]).rejected == ("1",)


def test_they_are_functions_of_the_key():
    for test in (st.wasserstein, st.energy):
        one, again, other = (test(X, Y, key=jax.random.key(seed)) for seed in (1, 1, 2))
        assert one == again
        assert one.p != other.p
    with refused(match="key must be one typed key"):
        st.energy(X, Y, key=0)


def test_they_print_themselves():
    text = str(st.kolmogorov_smirnov(X, Y))
    assert "Kolmogorov-Smirnov distance: 0." in text
    assert "n = 60 and 45" in text
    assert "null: both samples follow one law" in text
    theta = draws(20_000) * 0.1
    text = str(st.temperature_test(theta, theta, 0.02))
    assert text.startswith("temperature by equipartition: 0.0")
    assert "± 0.00020, p = " in text
    assert "⟨(θ − θ*)·∇L⟩ = d T/2" in text
    assert "90 % interval" in str(st.equivalence(X, Y, margin=1.0))
    assert "split-R̂" in str(st.time_average(draws(2, 50), expected=0.0))
    assert "(BCa)" in str(st.slope(np.arange(5.0), draws(6, 5), key=KEY))
    assert "largest |t|" in str(st.curve_test(draws(5, 3), draws(5, 3, seed=1), key=KEY))


def test_results_of_runs(key):
    """Diverged chains are left out and counted, θ of several numbers is taken as points."""
    problem = ss.problems.Quadratic(np.eye(2))
    rates = ss.Hyperparameters([0.1] * 59 + [2.5])
    with pytest.warns(UserWarning, match="diverged"):
        result = ss.run(ss.SGD(problem, rates), chains=60, steps=400, key=key)
    points = st.energy(result, draws(50, 2), key=key)
    assert points.n == (59, 50)
    assert "1 diverged and left out" in str(points)
    first = st.kolmogorov_smirnov(result, NORMAL, observable=lambda theta: theta[0])
    assert first.n == 59
    assert "1 diverged" in str(st.equivalence(result, 0.0, margin=1.0, observable=lambda theta: theta[0]))


BROKEN = np.array([*draws(40), np.nan])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: st.kolmogorov_smirnov(X[:7], Y), "sample must hold at least 8 values, got 7"),
        (lambda: st.cramer_von_mises(X, Y[:3]), "reference must hold at least 8 values, got 3"),
        (lambda: st.anderson_darling(BROKEN, Y), "1 values that are not finite"),
        (lambda: st.wasserstein(draws(9, 3), Y, key=KEY), "one number per chain"),
        (lambda: st.wasserstein(X, Y, key=KEY, draws=5), "draws must be an integer >= 19"),
        (lambda: st.wasserstein(X, lambda x: 0.5 + 0 * x, key=KEY), "must reach 0 and 1"),
        (lambda: st.kolmogorov_smirnov(X, lambda x: 2 + 0 * x), r"values in \[0, 1\]"),
        (lambda: st.energy(draws(9, 3), draws(9, 2), key=KEY), "as many coordinates, got 3 and 2"),
        (lambda: st.energy({"a": draws(9, 2), "b": draws(8, 2)}, X, key=KEY), "one leading axis of chains"),
        (lambda: st.energy(np.zeros((9, 0)), X, key=KEY), "at least one number per chain"),
        (lambda: st.temperature_test(X[:20], X[:20], 1.0), "theta must hold at least 30 values, got 20"),
        (lambda: st.temperature_test(BROKEN, BROKEN, 1.0), "not finite"),
        (lambda: st.temperature_test(X, X[:50], 1.0), "gradient must have the shapes of theta"),
        (lambda: st.temperature_test(X, X, 0.0), "temperature must be finite and > 0, got 0"),
        (
            lambda: st.temperature_test(X, X, np.ones(7)),
            r"temperature must be a number or have shape \(60,\)",
        ),
        (lambda: st.temperature_test(X, X, 1.0, centre=X), "centre must have the shapes of one chain"),
        (lambda: st.temperature_test(X, X, 1.0, learning_rate=0.1, laplacian=X), "leave centre and"),
        (lambda: st.temperature_test(X, X, 1.0, laplacian=-np.ones(60)), "laplacian must have a mean > 0"),
        (lambda: st.temperature_test(np.float64(1.0), 1.0, 1.0), "one leading axis of chains"),
        (lambda: st.equivalence(X, Y, margin=0), "margin must be finite and > 0"),
        (lambda: st.equivalence(X, Y, margin=0.9, quantity="variance"), "margin must be finite and > 1"),
        (lambda: st.equivalence(X, Y, margin=1.5, quantity="law"), "margin must be finite and > 0 and < 1"),
        (lambda: st.equivalence(X, Y, margin=1.0, quantity="median"), "quantity must be one of"),
        (lambda: st.equivalence(X, Y, margin=1.0, level=0.7), "level must be"),
        (lambda: st.equivalence(X, special.ndtr, margin=1.0), "reference must know its mean"),
        (lambda: st.equivalence(X, np.ones(9), margin=2.0, quantity="variance"), "reference must vary"),
        (lambda: st.curve_test(draws(9, 3), key=KEY), "two groups or more"),
        (lambda: st.curve_test(draws(9, 3), draws(9, 4), key=KEY), "two groups or more of shape"),
        (lambda: st.curve_test(draws(3, 4), draws(3, 4), key=KEY), "in 10 ways only"),
        (lambda: st.curve_test(draws(30, 4), draws(1, 4), key=KEY), "at least 2 seeds in each group"),
        (lambda: st.curve_test(draws(9, 3), np.full((9, 3), np.nan), key=KEY), "group 1 hold 27 values"),
        (lambda: st.time_average(X), r"shape \(chains, draws\)"),
        (lambda: st.split_r_hat(draws(4, 5)), "at least 8 draws for each chain, got 5"),
        (lambda: st.mcse(np.ones((4, 50))), "draws must vary, got 200 values equal to 1"),
        (lambda: st.effective_sample_size(BROKEN[None]), "1 values that are not finite"),
        (lambda: st.effective_sample_size(draws(4, 50), kind="sd"), "kind must be one of"),
        (lambda: st.slope(X, Y, key=KEY), r"x must have shape \(points,\)"),
        (lambda: st.slope(np.ones(5), draws(9, 5), key=KEY), "at least 2 different values"),
        (lambda: st.slope(np.arange(5), draws(4, 5), key=KEY), "at least 5 seeds to be drawn anew, got 4"),
        (lambda: st.slope(np.arange(5), np.ones((9, 5)), key=KEY), "y must differ from seed to seed"),
        (lambda: st.slope(np.arange(5), np.full((9, 5), np.nan), key=KEY), "y must be finite"),
        (lambda: st.slope(np.arange(5), draws(9, 5), key=KEY, logarithmic=True), "x must be finite and > 0"),
        (lambda: st.slope(np.arange(5), draws(9, 5), key=KEY, confidence=1.0), "confidence must be"),
        (lambda: st.holm({}), "at least one test"),
        (lambda: st.holm({"a": st.time_average(draws(2, 50))}), r"tests\['a'\] must have a p-value"),
    ],
)
def test_bad_input(call, message):
    with refused(match=message):
        call()


def test_jax_arrays_are_taken():
    x = jnp.asarray(X, dtype=jnp.float32)
    assert st.kolmogorov_smirnov(x, jnp.asarray(Y, dtype=jnp.float32)).n == (60, 45)
    assert st.temperature_test(x, x, 2.0).n == 60
    assert st.time_average(x.reshape(2, 30), expected=0.0).n == 60
