"""The law of a function of two parameters, against closed forms; and tests and pictures that take it."""

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import Ends, refused
from scipy import stats

import sde_sgd as ss

BOWL = ss.problems.Quadratic(np.diag([1.0, 4.0]))
HYPER = ss.Hyperparameters(0.1, 1)
VARIANCES = np.array([0.05, 0.0125])


@pytest.fixture(scope="module")
def law():
    return ss.theory.gibbs(BOWL, HYPER, points=401)


@pytest.mark.parametrize(
    ("function", "exact", "most"),
    [
        (lambda theta: theta[0] + theta[1], stats.norm(scale=VARIANCES.sum() ** 0.5), 1e-3),
        (lambda theta: -2 * theta[1], stats.norm(scale=2 * VARIANCES[1] ** 0.5), 1e-3),
        (BOWL.loss, stats.expon(scale=0.05), 3e-3),
        # a density that is infinite at 0
        (lambda theta: theta[0] ** 2, stats.chi2(1, scale=VARIANCES[0]), 4e-2),
    ],
    ids=["sum", "multiple", "loss", "square"],
)
def test_the_law_of_a_function_is_right_within_its_error(law, function, exact, most):
    found = ss.theory.pushforward(law, function)
    x = exact.ppf(np.linspace(5e-4, 1 - 5e-4, 999))
    assert np.abs(found.cdf(x) - exact.cdf(x)).max() < found.error < most
    np.testing.assert_allclose(
        [found.mean, found.variance], [exact.mean(), exact.var()], rtol=1e-3, atol=1e-9
    )
    middle = exact.ppf([0.3, 0.6])
    np.testing.assert_allclose(found.pdf(middle), exact.pdf(middle), rtol=0.03)
    np.testing.assert_allclose(found.cdf(found.ppf([0.1, 0.9])), [0.1, 0.9], atol=1e-6)


def test_the_law_of_a_coordinate_is_its_marginal(law):
    found = ss.theory.pushforward(law, lambda theta: theta[1])
    np.testing.assert_array_equal(found.cdf(law.y), law.marginal(1).cdf(law.y))


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda theta: jnp.where(theta[0] > 0, 1.0, 0.0), "stand still"),
        (lambda theta: theta, "one number for each point"),
        (lambda theta: jnp.log(theta[0]), "finite wherever"),
    ],
    ids=["step", "vector", "logarithm"],
)
def test_what_has_no_density_is_refused(law, function, words):
    with refused(match=words):
        ss.theory.pushforward(law, function)


def test_samples_are_compared_with_a_law_in_the_plane(law):
    """A false alarm has odds 1e-6; the same law a tenth wider is another one."""
    theta = np.random.default_rng(0).normal(size=(20_000, 2)) * VARIANCES**0.5

    def total(theta):
        return theta[0] + theta[1]

    same = ss.statistics.compare(Ends(theta), law, observable=total, level=1e-6)
    assert same.same
    assert abs(same.variance_ratio - 1) < 5 * same.variance_ratio_error
    assert "the observable" in str(same)
    assert not ss.statistics.compare(Ends(1.1 * theta), law, observable=total, level=1e-6).same
    # numbers are the observable's already
    assert ss.statistics.compare(theta.sum(axis=1), law, observable=total).ks == pytest.approx(
        same.ks, abs=1e-7
    )
    for test in (
        ss.statistics.kolmogorov_smirnov,
        ss.statistics.cramer_von_mises,
        ss.statistics.anderson_darling,
    ):
        assert not test(Ends(theta), law, observable=total).rejects(1e-6)
    near = ss.statistics.equivalence(Ends(theta), law, observable=total, quantity="variance", margin=1.1)
    assert near.equivalent


def test_a_law_in_the_plane_is_drawn_over_its_samples(law):
    theta = np.random.default_rng(1).normal(size=(5000, 2)) * VARIANCES**0.5
    figure = ss.plot.histograms(SGD=Ends(theta), Gibbs=law, observable=lambda theta: theta[0] - theta[1])
    (line,) = figure.axes[0].get_lines()
    x, p = (np.asarray(part) for part in line.get_data())
    np.testing.assert_allclose(p, stats.norm(scale=0.25).pdf(x), atol=0.02)
    np.testing.assert_allclose(np.trapezoid(p, x), 1.0, atol=2e-3)
    with refused(match=r"Gibbs must be a law on the line.* observable="):
        ss.plot.histograms(Gibbs=law)


def test_the_ends_of_a_run_are_marked_on_the_landscape():
    run = Ends(np.random.default_rng(2).normal(size=(30, 2)), diverged=[3])
    figure = ss.plot.landscape(BOWL, bounds=((-2, 2), (-2, 2)), samples=run)
    points = np.asarray(figure.axes[0].get_lines()[-1].get_xydata())
    np.testing.assert_allclose(points, run.samples())
    with refused(match=r"samples must be a Result or have shape \(n, 2\), got \(5, 3\)"):
        ss.plot.landscape(BOWL, bounds=((-2, 2), (-2, 2)), samples=np.zeros((5, 3)))
