"""Stationary laws against numbers from the literature, closed forms and simulation."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import refused
from scipy import integrate, stats

import sde_sgd as ss

BOUND = 5.5  # standard errors: a false alarm in 4e-8 of tries each


def hyper(ratio, **options):
    return ss.Hyperparameters(ratio, **options)


def test_double_well_numbers_and_the_factor_two():
    """η/B = .1, σ = 1: exp(−2L/T) gives .02829 and .93683; exp(−L/T) would give .05716 and .87136."""
    well = ss.problems.DoubleWell()
    right = ss.theory.gibbs(well, hyper(0.1))
    assert abs(right.expectation(well.loss) - 0.02829) < 1e-5
    assert abs(right.expectation(lambda x: x * x) - 0.93683) < 1e-5
    mistaken = ss.theory.gibbs(well, hyper(0.2))
    assert abs(mistaken.expectation(well.loss) - 0.05716) < 1e-5
    assert abs(mistaken.expectation(lambda x: x * x) - 0.87136) < 1e-5


@pytest.mark.parametrize("points", [2001, 20_001, 40_001])
def test_quadrature_has_converged(points):
    well = ss.problems.DoubleWell()
    density = ss.theory.gibbs(well, hyper(0.02), points=points)
    exact = integrate.quad(lambda x: np.exp(-((x * x - 1) ** 2) / 4 / 0.01), -3, 3, epsabs=1e-14)[0]
    second = integrate.quad(lambda x: x * x * np.exp(-((x * x - 1) ** 2) / 4 / 0.01), -3, 3, epsabs=1e-14)[0]
    np.testing.assert_allclose(density.expectation(lambda x: x * x), second / exact, rtol=2e-6)
    np.testing.assert_allclose(density.pdf(1.0), 1 / exact, rtol=2e-5)


@pytest.mark.parametrize("shape", ["line", "plane"])
def test_quadratic_is_gaussian_of_variance_half_t(shape):
    matrix = 3.0 if shape == "line" else np.diag([3.0, 0.5])
    density = ss.theory.gibbs(ss.problems.Quadratic(matrix), hyper(0.2, batch_size=2))
    for axis, curvature in ((0, 3.0), (1, 0.5)):
        if shape == "line" and axis == 1:
            continue
        one = density if shape == "line" else density.marginal(axis)
        scale = np.sqrt(0.05 / curvature)
        grid = np.linspace(-4, 4, 33) * scale
        np.testing.assert_allclose(one.cdf(grid), stats.norm.cdf(grid / scale), atol=2e-6)
        np.testing.assert_allclose(one.variance, scale**2, rtol=1e-5)
        assert abs(one.mean) < 1e-6


def test_what_rounding_leaves_of_a_mean_is_told_as_none():
    grid = np.linspace(-1.3, 1.3, 20_001)
    even, aside = (ss.theory.Density1D(grid, -((grid - at) ** 2) / 0.02) for at in (0.0, 1e-9))
    assert "mean 0," in repr(ss.theory.gibbs(ss.problems.DoubleWell(), hyper(0.05)))
    assert "mean 0," in repr(even)
    assert "mean 1e-09," in repr(aside)
    assert "1e-09" in aside._repr_html_()


def test_momentum_warms_by_one_over_one_minus_m():
    problem = ss.problems.Quadratic(1.0)
    cold = ss.theory.temperature(problem, hyper(0.1, batch_size=2))
    warm = ss.theory.temperature(problem, hyper(0.1, batch_size=2, momentum=0.9))
    np.testing.assert_allclose([cold, warm], [0.05, 0.5], rtol=1e-5)


def test_the_plane_agrees_with_products_of_lines():
    problem = ss.problems.StyblinskiTang(2)
    plane = ss.theory.gibbs(problem, hyper(40.0))
    line = ss.theory.gibbs(ss.problems.StyblinskiTang(1), hyper(40.0))
    np.testing.assert_allclose(plane.marginal(0).mean, line.mean, atol=1e-5)
    np.testing.assert_allclose(plane.marginal(1).variance, line.variance, rtol=1e-5)
    point = np.array([[-2.9, 2.7], [0.0, 0.3]])
    product = line.pdf(point[:, 0]) * line.pdf(point[:, 1])
    np.testing.assert_allclose(plane.pdf(point), product, rtol=2e-3)
    np.testing.assert_allclose(plane.probability(lambda p: p[0] > 0), 1 - line.cdf(0.0), atol=2e-3)


def test_samples_follow_their_density(key):
    """KS at level 1e-7 (5.3 standard errors), 10⁵ draws."""
    well = ss.problems.DoubleWell(tilt=0.05)
    line = ss.theory.gibbs(well, hyper(0.1))
    assert stats.ks_1samp(np.asarray(line.sample(100_000, key=key)), line.cdf).pvalue > 1e-7
    plane = ss.theory.gibbs(ss.problems.TwoMinima(dimension=2), hyper(0.1))
    points = np.asarray(plane.sample(100_000, key=key))
    assert points.shape == (100_000, 2)
    for axis in (0, 1):
        assert stats.ks_1samp(points[:, axis], plane.marginal(axis).cdf).pvalue > 1e-7


def test_laplace_becomes_exact_as_t_goes_to_zero():
    errors = []
    for ratio in (0.16, 0.08, 0.04):
        problem = ss.problems.DoubleWell(tilt=0.05)
        exact = ss.theory.gibbs(problem, hyper(ratio)).probability(0, np.inf)
        laplace = ss.theory.laplace_probabilities(problem, hyper(ratio))
        np.testing.assert_allclose(laplace.sum(), 1.0, rtol=1e-12)
        errors.append(abs(np.log(laplace[1] / laplace[0]) - np.log(exact / (1 - exact))))
    assert errors[1] < errors[0]
    assert errors[2] < 0.7 * errors[1]


def test_two_minima_odds_by_hand():
    """√(6/1) e^{−2·.1/T} : 1 for one dimension, 6 e^{−.2/T} : 1 for two."""
    for dimension, factor in ((1, np.sqrt(6.0)), (2, 6.0)):
        problem = ss.problems.TwoMinima(dimension=dimension)
        narrow, wide = ss.theory.laplace_probabilities(problem, hyper(0.1))
        np.testing.assert_allclose(wide / narrow, factor * np.exp(-2.0), rtol=1e-3)
        exact = ss.theory.gibbs(problem, hyper(0.1))
        inside = exact.expectation(lambda x, p=problem: p.well(x).astype(float))
        np.testing.assert_allclose(inside, wide, rtol=5e-3)


def test_higher_and_sharper_never_wins_higher_and_flatter_does():
    losses = [0.0, 0.1]
    for temperature in (0.01, 0.1, 1.0, 10.0):
        sharper = ss.theory.occupation(losses, [np.log(1.0), np.log(6.0)], temperature)
        assert sharper[1] < 0.5
        flatter = ss.theory.occupation(losses, [np.log(6.0), np.log(1.0)], temperature)
        assert (flatter[1] > 0.5) == (temperature / 2 > 0.1 / np.log(np.sqrt(6.0)))


def exact_chain(rate, diffusion):
    """The law of x ← x − η(x³ − x) + √(2Dη) z."""
    return ss.theory.chain_law(ss.problems.DoubleWell(noise_variance=2 * diffusion / rate), hyper(rate))


@pytest.mark.script
@pytest.mark.parametrize(("rate", "distance"), [(0.2, 0.0259), (0.05, 0.0055)])
def test_sgd_misses_gibbs_by_what_finite_eta_says(rate, distance, key):
    """10⁶ chains at D = .1: the KS distance to Gibbs is .0259 at η = .2 and .0055 at η = .05.

    At the point where the exact laws of the chain and of Gibbs differ most, the difference of cdfs
    has standard error .0005: 5.5 of them are allowed there, and .001 for the KS distance.
    """
    well = ss.problems.DoubleWell(noise_variance=0.2 / rate)
    setting = hyper(rate)
    gibbs = ss.theory.gibbs(well, setting)
    exact = exact_chain(rate, 0.1)
    x = exact.grid
    gap = exact.cdf(x) - gibbs.cdf(x)
    worst = np.abs(gap).argmax()
    assert abs(abs(gap[worst]) - distance) < 1e-4
    chains = 1_000_000
    result = ss.run(ss.SGD(well, setting), chains=chains, steps=round(30 / rate), key=key)
    sample = result.samples()
    there = x[worst]
    found = (sample <= there).mean() - gibbs.cdf(there)
    error = np.sqrt(gibbs.cdf(there) * (1 - gibbs.cdf(there)) / chains)
    assert abs(found - gap[worst]) < BOUND * error
    assert abs(ss.statistics.compare(result, gibbs).ks - distance) < 0.001
    loss = np.asarray(jax.vmap(well.loss)(result.theta), np.float64)
    assert abs(loss.mean() - exact.expectation(well.loss)) < BOUND * loss.std() / np.sqrt(chains)


@pytest.mark.script
def test_fine_langevin_is_gibbs(key):
    """Substeps 10 at η = .1, 10⁵ chains: KS finds no difference at level .01.

    By Heun's method ⟨L⟩ and ⟨x²⟩ are within 3 SE of quadrature. By Euler's, ⟨L⟩ is off by
    .0486 dt η = .0005, which is 2.2 SE: it is tested against the exact law of its own chain.
    """
    well = ss.problems.DoubleWell(noise_variance=2.0)
    setting = hyper(0.1)
    gibbs = ss.theory.gibbs(well, setting)
    euler_loss = exact_chain(0.01, 0.1).expectation(well.loss)
    assert 0.0004 < euler_loss - gibbs.expectation(well.loss) < 0.0006
    for solver, loss, bound in ((diffrax.Heun(), gibbs.expectation(well.loss), 3), (None, euler_loss, BOUND)):
        process = ss.Langevin(well, setting, substeps=10, solver=solver)
        result = ss.run(process, chains=100_000, steps=300, key=key)
        assert ss.statistics.compare(result, gibbs).same
        for observable, expected in ((well.loss, loss), (square, gibbs.expectation(square))):
            values = np.asarray(jax.vmap(observable)(result.theta), np.float64)
            assert abs(values.mean() - expected) < bound * values.std() / np.sqrt(len(values))


def square(x):
    return x * x


@pytest.mark.script
def test_real_minibatches_with_isotropic_noise_are_gibbs_too(key):
    """A Gibbs law in the plane from real batches: ⟨L⟩ = T/2 · d/2 for a quadratic, up to O(η)."""
    plain = ss.problems.Quadratic(np.diag([1.0, 2.0]))
    data = ss.problems.TiltedNoiseData(plain, dataset_size=256, noise_variance=1.0, key=jax.random.key(3))
    setting = hyper(0.05, batch_size=2)
    chains = 50_000
    result = ss.run(ss.SGD(data, setting), chains=chains, steps=300, key=key)
    covariance = np.cov(np.asarray(result.theta, np.float64).T)
    for axis, curvature in ((0, 1.0), (1, 2.0)):
        exact = 0.05 / (2 * curvature * (2 - 0.05 * curvature))
        assert abs(covariance[axis, axis] - exact) < BOUND * exact * np.sqrt(2 / chains)
    limit = ss.theory.gibbs(data, setting)
    np.testing.assert_allclose(limit.marginal(0).variance, 0.0125, rtol=1e-5)


def test_bad_input(key):
    well = ss.problems.DoubleWell()
    with pytest.raises(ss.problems.NotKnownError, match="not isotropic"):
        ss.theory.gibbs(ss.problems.DoubleWell(noise=ss.problems.PositionDependent(jnp.cos)), hyper(0.1))
    with pytest.raises(ss.problems.NotKnownError, match="comes from its data"):
        ss.theory.gibbs(ss.problems.softmax_regression(ss.data.wine()), hyper(0.1))
    with refused(match="one or two dimensions"):
        ss.theory.gibbs(ss.problems.StyblinskiTang(3), hyper(0.1))
    with refused(match="temperature must be > 0"):
        ss.theory.gibbs(ss.problems.DoubleWell(noise_variance=0.0), hyper(0.1))
    with refused(match="one for each chain"):
        ss.theory.gibbs(well, ss.Hyperparameters([0.1, 0.2]))
    with refused(match="cut off probability"):
        ss.theory.gibbs(well, hyper(0.1), bounds=(-1, 1))
    with refused(match="cut off probability"):
        ss.theory.gibbs(ss.problems.TwoMinima(dimension=2), hyper(0.1), bounds=((-0.1, 0.1), (-1, 1)))
    with refused(match="low < high"):
        ss.theory.gibbs(well, hyper(0.1), bounds=(1, -1))
    with refused(match="points must be an integer >= 101"):
        ss.theory.gibbs(well, hyper(0.1), points=3)
    with refused(match="count must be an integer >= 1"):
        ss.theory.gibbs(well, hyper(0.1)).sample(0, key=key)
    with refused(match="one number per point"):
        ss.theory.gibbs(well, hyper(0.1)).expectation(lambda x: jnp.stack([x, x]))
    with refused(match="point must lie near a minimum"):
        ss.theory.refine_minimum(well, jnp.asarray(0.0))
