"""`compare`: its numbers against scipy, its false-alarm rate and its power."""

import jax
import numpy as np
import pytest
from helpers import Ends, refused
from scipy import stats

import sde_sgd as ss
from sde_sgd.statistics import compare

NORMAL = ss.theory.gibbs(ss.problems.Quadratic(1.0), ss.Hyperparameters(2.0))


def draws(count, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(0, scale, count)


def test_against_a_density():
    x = draws(5000)
    found = compare(x, NORMAL)
    np.testing.assert_allclose(found.ks, stats.kstest(x, "norm").statistic, atol=1e-5)
    np.testing.assert_allclose(found.ks_p, stats.kstest(x, "norm").pvalue, rtol=1e-2)
    many = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    np.testing.assert_allclose(found.w1, stats.wasserstein_distance(x, many), rtol=2e-2)
    np.testing.assert_allclose(found.effect, x.mean(), atol=1e-4)
    np.testing.assert_allclose(found.variance_ratio, x.var(ddof=1), rtol=1e-4)
    assert found.n == 5000
    assert found.n_reference is None


def test_against_a_sample():
    x, y = draws(4000, 1), draws(3000, 2) + 0.1
    found = compare(x, y)
    np.testing.assert_allclose(found.ks, stats.ks_2samp(x, y).statistic, atol=1e-12)
    np.testing.assert_allclose(found.w1, stats.wasserstein_distance(x, y), rtol=1e-9)
    assert found.n_reference == 3000
    assert abs(found.effect + 0.1) < 5.5 * found.effect_error


def test_calibration_power_and_errors():
    """400 null replicates: p-values uniform (KS level 1e-6), spreads as the stated errors say.

    The spread of 400 estimates is known to 1/√800 = 3.5 %, so 5.5 of those are allowed.
    """
    rng = np.random.default_rng(7)
    results = [compare(rng.normal(size=2000), NORMAL) for _ in range(400)]
    assert stats.kstest([r.ks_p for r in results], "uniform").pvalue > 1e-6
    for value, error in (("effect", "effect_error"), ("variance_ratio", "variance_ratio_error")):
        spread = np.std([getattr(r, value) for r in results])
        stated = np.mean([getattr(r, error) for r in results])
        assert abs(spread / stated - 1) < 5.5 / np.sqrt(800)
    mean_w1 = np.mean([r.w1 for r in results])
    error = np.std([r.w1 for r in results]) / 20
    assert abs(mean_w1 - results[0].w1_null) < 5.5 * error
    pairs = [compare(rng.normal(size=2000), rng.normal(size=1500)) for _ in range(400)]
    assert stats.kstest([r.ks_p for r in pairs], "uniform").pvalue > 1e-6


@pytest.mark.script
def test_stated_power():
    """Variance 5 % too large: found in 60 of 60 trials with n = 10⁵, in under a fifth with n = 10³.

    Were the power below 79 %, 60 of 60 would come up less than once in 10⁶.
    """
    rng = np.random.default_rng(8)
    for size, found in ((100_000, lambda hits: hits == 60), (1000, lambda hits: hits < 12)):
        hits = sum(not compare(rng.normal(0, np.sqrt(1.05), size), NORMAL).same for _ in range(60))
        assert found(hits)


def test_planted_wrong_temperature_is_caught():
    """exp(−L/T) in place of exp(−2L/T): T for T/2."""
    sample = draws(2000, 3)
    wrong = ss.theory.gibbs(ss.problems.Quadratic(1.0), ss.Hyperparameters(4.0))
    assert compare(sample, NORMAL).same
    assert compare(sample, wrong).ks_p < 1e-10


def test_results_with_diverged_chains(key):
    process = ss.SGD(ss.problems.Quadratic(1.0), ss.Hyperparameters([0.5] * 19 + [2.5], 2))
    with pytest.warns(UserWarning, match="diverged"):
        result = ss.run(process, chains=20, steps=400, key=key)
    found = compare(result, NORMAL)
    assert found.n == 19
    assert found.dropped == 1
    assert "1 diverged and left out" in str(found) and found.same


def test_where_many_chains_diverged_those_left_do_not_stand_for_all(key):
    """A share that diverged which is larger than the distance that would be noticed."""
    process = ss.SGD(ss.problems.Quadratic(1.0), ss.Hyperparameters([0.5] * 80 + [2.5] * 20, 2))
    with pytest.warns(UserWarning, match="diverged"):
        result, again = (ss.run(process, chains=100, steps=400, key=k) for k in jax.random.split(key))
    law = ss.theory.gibbs(process.problem, ss.Hyperparameters(0.5, 2))
    found = compare(result, law)
    assert found.ks_p > 0.01 and found.ks_null < 0.2 and not found.same
    assert "cannot tell: 20 of 100 chains diverged" in found.verdict
    both = compare(result, again)
    assert both.ks_null > 0.2 and both.same
    assert compare(result, result).same and "equal, chain by chain" in str(compare(result, result))
    # of each sample by its own chains, however many the other has
    many = np.random.default_rng(0).normal(0, law.variance**0.5, 50_000)
    for one, other, whose in ((result, many, "chains"), (many, result, "chains of the reference")):
        found = compare(one, other)
        assert found.ks_p > 0.01 and not found.same
        assert f"cannot tell: 20 of 100 {whose} diverged" in found.verdict


def test_observables_of_larger_parameters(key):
    problem = ss.problems.Quadratic(np.eye(2))
    result = ss.run(ss.SGD(problem, ss.Hyperparameters(0.1)), chains=500, steps=60, key=key)
    marginal = ss.theory.gibbs(problem, ss.Hyperparameters(0.1)).marginal(0)
    assert compare(result, marginal, observable=lambda theta: theta[0]).n == 500
    with refused(match="one number per chain"):
        compare(result, marginal)


def test_it_prints_itself():
    text = str(compare(draws(100), NORMAL))
    for part in ("KS distance", "Wasserstein-1", "mean shift", "variance ratio", "n = 100"):
        assert part in text
    assert "different" in str(compare(draws(1000, scale=3.0), NORMAL))


def test_the_level_is_in_every_line():
    """What would be seen at a level is what same laws exceed with these odds, by scipy."""
    x, y = draws(200), draws(300, 2)
    for level in (0.2, 0.01, 0.001):
        one, two = compare(x, NORMAL, level=level), compare(x, y, level=level)
        assert one.ks_null == pytest.approx(stats.kstwo.isf(level, 200))
        assert two.ks_null == pytest.approx(stats.kstwobign.isf(level) / np.sqrt(120))
        assert f"at level {level:g} (a distance of {two.ks_null:.2g} would be)" in two.verdict
    many = draws(2000, 3)
    assert compare(many, NORMAL).ks_null == pytest.approx(stats.kstwo.isf(0.01, 2000), rel=1e-4)
    seen = compare(x, x * 1.5, level=0.2)
    assert seen.verdict == f"different (p = {seen.ks_p:.1g}, level 0.2)"
    assert compare(draws(5000) + 9, NORMAL).verdict == "different (p < 1e-300, level 0.01)"


def test_the_level_of_tied_values_is_that_of_their_permutations():
    """400 pairs of samples of one law: beyond `ks_null` with odds of no more than the level, .05."""
    rng, beyond = np.random.default_rng(5), 0
    for _ in range(200):
        x, y = rng.binomial(10, 0.1, (2, 100)).astype(float)
        found = compare(x, y, level=0.05)
        beyond += found.ks > found.ks_null + 1e-12
        # without ties the distance would have to be larger
        assert found.ks_null < stats.kstwobign.isf(0.05) / np.sqrt(50)
    assert stats.binomtest(beyond, 200, 0.05, alternative="greater").pvalue > 1e-6


def test_against_a_law_of_scipy():
    """The law of online regression is Student's t: by scipy's own numbers."""
    law = ss.theory.online_regression_law(ss.Hyperparameters(0.1, 1))
    x = law.rvs(2000, random_state=1)
    found = compare(x, law)
    test = stats.kstest(x, law.cdf)
    np.testing.assert_allclose([found.ks, found.ks_p], [test.statistic, test.pvalue])
    np.testing.assert_allclose(found.effect, x.mean() / law.std(), rtol=1e-9)
    np.testing.assert_allclose(found.variance_ratio, x.var(ddof=1) / law.var(), rtol=1e-9)
    many = law.ppf((np.arange(200_000) + 0.5) / 200_000)
    np.testing.assert_allclose(found.w1, stats.wasserstein_distance(x, many), rtol=1e-2)
    assert found.w1_null == pytest.approx(
        np.mean([compare(law.rvs(2000, random_state=i), law).w1 for i in range(20)]), rel=0.4
    )
    assert found.same
    assert not compare(1.2 * x, law).same


def test_a_law_without_a_variance():
    """Student's t with ν = 2: distances, and no units for the mean."""
    law = stats.t(2)
    found = compare(law.rvs(500, random_state=1), law)
    assert found.same
    assert np.isnan(found.variance_ratio)
    assert 0 < found.w1 < 1
    assert "none, the law has no finite variance" in str(found)


def test_against_a_distribution_function():
    """Its moments are by quadrature."""
    x = draws(500)
    found, known = compare(x, stats.norm().cdf), compare(x, stats.norm())
    np.testing.assert_allclose(
        [found.effect, found.variance_ratio], [known.effect, known.variance_ratio], atol=1e-5
    )
    np.testing.assert_allclose(found.w1, known.w1, rtol=1e-3)


def test_constants():
    ones = np.ones(100)
    assert compare(ones, ones).verdict == "constant, equal"
    assert compare(ones, 0 * ones).verdict == "constant, different"
    assert compare(ones, 0 * ones[:50]).ks == 1
    text = str(compare(ones, ones))
    assert "nan" not in text
    assert "none, both are constant" in text
    one_sided = compare(draws(100), ones)
    assert not one_sided.same
    assert "none, the reference is constant" in str(one_sided)
    other = compare(ones, draws(100))
    assert (other.variance_ratio, np.isfinite(other.variance_ratio_error)) == (0, True)
    assert compare(ones, NORMAL).variance_ratio == 0
    for left in (1, 2):  # with a chain that diverged; and with so few values that p is not small
        found = compare(Ends(np.ones(100), 0, diverged=[3]), np.full(100, left))
        assert found.same == (left == 1) == (found.verdict == "constant, equal")
    found = compare(ones[:8], 0 * ones[:8], level=1e-5)
    assert found.ks_p > 1e-5 and not found.same
    assert type(compare(draws(100), draws(100, 1), level=np.float64(0.01)).same) is bool


def test_a_law_in_the_plane_is_refused_with_the_way_out():
    law = ss.theory.gibbs(ss.problems.Quadratic(np.eye(2)), ss.Hyperparameters(2.0))
    for test in (compare, ss.statistics.kolmogorov_smirnov, ss.statistics.equivalence):
        options = {"margin": 0.5} if test is ss.statistics.equivalence else {}
        with refused(match=r"reference must be a law on the line.*observable="):
            test(draws(20), law, **options)
    for reference in ("normal", None):
        with refused(match="reference must"):
            compare(draws(20), reference)


@pytest.mark.parametrize(
    ("sample", "options", "message"),
    [
        (draws(7), {}, "at least 8 values, got 7"),
        (np.array([*draws(20), np.nan]), {}, "1 values that are not finite"),
        (draws(20).reshape(10, 2), {}, "one number per chain"),
        (draws(20), {"level": 0.0}, r"level must be in \(0, 1\)"),
        ({"a": draws(9), "b": draws(9)}, {}, "has 2 arrays"),
    ],
)
def test_bad_input(sample, options, message):
    with refused(match=message):
        compare(sample, NORMAL, **options)


def test_bad_reference():
    with refused(match="reference must hold at least 8 values"):
        compare(draws(20), jax.numpy.zeros(3))
