"""Default grids are fine enough, say how far they may be off, and refuse what they do not resolve."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import refused, some_as_scripts
from scipy import integrate, special, stats

import sde_sgd as ss
from sde_sgd.theory._chain._law import _distance
from sde_sgd.theory._line import Line
from sde_sgd.theory._potential import potential
from sde_sgd.theory._setting import one_setting

theory = ss.theory


def hyper(rate, batch=1):
    return ss.Hyperparameters(rate, batch)


# Densities


@pytest.mark.parametrize("points", [17, 33, 65, 66])
def test_a_density_knows_its_error(points):
    """A normal law on few points: the stated error is above the true one at every point."""
    grid = np.linspace(-6, 6, points)
    law = theory.Density1D(grid, -(grid**2) / 2)
    true = np.abs(law.cdf(grid) - stats.norm.cdf(grid)).max()
    assert true <= law.error < max(200 * true, 1e-9)
    assert theory.Density1D(grid, -(grid**2) / 2, error=0.25).error == 0.25
    plane = theory.Density2D(grid, grid, -(grid**2 + grid[:, None] ** 2) / 2)
    assert true <= plane.error < 2 * law.error


def test_narrow_wells_get_finer_grids():
    """T from 1e-2 to 1e-7 between the same two wells; 20 001 points are too few for the last one."""
    problem = ss.problems.DoubleWell()
    assert len(theory.gibbs(problem, hyper(1e-2)).grid) == 20_001
    law = theory.gibbs(problem, hyper(1e-7))
    assert len(law.grid) > 20_001
    assert law.error < 1e-6
    np.testing.assert_allclose(law.probability(0.0, 1 + np.sqrt(2.5e-8)), 0.5 * stats.norm.cdf(1), atol=1e-4)
    law = theory.modified_gibbs(problem, hyper(1e-7))
    assert law.error < 1e-6
    # narrow along a diagonal, so that no box around it is
    hessian = np.array([[1000.0, 999.0], [999.0, 1000.0]])
    plane = theory.gibbs(ss.problems.Quadratic(hessian), hyper(0.2))
    assert len(plane.x) > 801
    np.testing.assert_allclose(plane.marginal(0).variance, 0.1 * np.linalg.inv(hessian)[0, 0], rtol=1e-6)


@pytest.mark.script
def test_laws_narrower_than_any_default_grid_are_refused():
    narrow = hyper(2e-11)
    for function in (theory.gibbs, theory.modified_gibbs):
        with refused(match="points must be more than 640001"):
            function(ss.problems.DoubleWell(), narrow)
    with refused(match="wells too narrow"):
        theory.ito_density(ss.problems.DoubleWell(), narrow)
    with refused(match="points must be more than 101 for Gibbs"):
        theory.gibbs(ss.problems.DoubleWell(), hyper(2e-4), points=101)
    with refused(match="points must be more than 101 for Itô"):
        theory.ito_density(ss.problems.DoubleWell(), hyper(2e-4), points=101)
    with refused(match="points must be more than 3201"):
        theory.gibbs(ss.problems.TwoMinima(dimension=2), hyper(1e-7))


class Raised(ss.problems.AnalyticProblem):
    """A parabola 10⁴ above zero, with its minimum at 1000: nothing of its shape is left in float32."""

    noise: ss.problems.GradientNoise
    noise_law: str = eqx.field(static=True)

    def __init__(self):
        self.noise, self.noise_law = ss.problems.Isotropic(1.0), "gaussian"

    def init(self, key):
        return jnp.asarray(1000.0, float)

    def loss(self, x):
        return 1e4 + (x - 1000.0) ** 2 / 2

    def minima(self):
        return (jnp.asarray(1000.0, float),)


def test_gibbs_is_in_double_precision():
    law = theory.gibbs(Raised(), hyper(2e-4))
    z = np.linspace(-4, 4, 33)
    np.testing.assert_allclose(law.cdf(1000 + 0.01 * z), stats.norm.cdf(z), atol=1e-7)
    assert potential(Raised(), np.array([[1000.001]]))[0] - 1e4 == pytest.approx(5e-7, rel=1e-4)


# Regions of the plane


@pytest.fixture(scope="module")
def normal():
    """Two independent standard normal coordinates, 20 cells for each standard deviation or so."""
    return theory.gibbs(ss.problems.Quadratic(np.eye(2)), hyper(2.0))


SEEN = 1.0 + 0.04 * np.linspace(0, 1, 5)


@pytest.mark.parametrize(
    ("inside", "right"),
    [
        *[(lambda p, c=c: p[0] < c, stats.norm.cdf(c)) for c in SEEN],
        *[(lambda p, c=c: p[1] >= c, stats.norm.sf(c)) for c in SEEN[:2]],
        (lambda p: 0.6 * p[0] + 0.8 * p[1] < 0.3, stats.norm.cdf(0.3)),
        (lambda p: p[0] ** 2 + p[1] ** 2 < 1.3, 1 - np.exp(-0.65)),
        (lambda p: p[0] ** 2 + p[1] ** 2 > 1.3, np.exp(-0.65)),
        (lambda p: (p[0] < 0.21) & (p[1] > 0.13), stats.norm.cdf(0.21) * stats.norm.sf(0.13)),
        (lambda p: jnp.abs(p[0] - p[1]) < 0.1, 2 * stats.norm.cdf(0.1 / np.sqrt(2)) - 1),
        (lambda p: True, 1.0),
        (lambda p: False, 0.0),
    ],
)
def test_probabilities_of_regions(normal, inside, right):
    """Half planes at any angle, a disc and what is outside of it, a quarter, a band: to 1e-6."""
    np.testing.assert_allclose(normal.probability(inside), right, atol=1e-6)


def test_an_edge_that_passes_between_points(normal):
    """Tongues that reach into cells whose corners are all outside: x < c + a cos 2πy/h, to order a².

    One to each cell: without its neighbours a cell would miss them, 5e-4 in all.
    """
    h = normal.x[1] - normal.x[0]
    point, row = normal.x[len(normal.x) // 2 + 20], normal.y[0] + h / 2
    c, a = point - 0.05 * h, 0.3 * h
    found = normal.probability(lambda p: p[0] < c + a * jnp.cos(2 * jnp.pi * (p[1] - row) / h))
    exact = stats.norm.cdf(c) - c * stats.norm.pdf(c) * a**2 / 4
    np.testing.assert_allclose(found, exact, atol=5e-6)


@pytest.mark.script
def test_half_planes_are_marginals():
    """Where the density has two wells too, and where it does not vanish at the edge of the grid."""
    law = theory.gibbs(ss.problems.TwoMinima(dimension=2), hyper(0.2))
    for axis in (0, 1):
        for cut in (-0.31, 0.0, 0.123):
            got = law.probability(lambda p, axis=axis, cut=cut: p[axis] < cut)
            np.testing.assert_allclose(got, law.marginal(axis).cdf(cut), atol=1e-6)
    grid = np.linspace(0, 1, 41)
    slope = theory.Density2D(grid, grid, 2 * grid[:, None] + 0 * grid)
    exact = np.expm1(2 * 0.512) / np.expm1(2.0)
    np.testing.assert_allclose(slope.probability(lambda p: p[0] < 0.512), exact, atol=1e-6)
    with refused(match="yes or no for one point"):
        law.probability(lambda p: p < 0)


@pytest.mark.script
def test_expectations_of_indicators_are_probabilities(normal):
    """Wherever the edges fall between the points, as a share of a well is asked for."""
    line = theory.gibbs(ss.problems.DoubleWell(tilt=0.03), hyper(0.2), points=401)
    for cut in np.linspace(0.3, 0.32, 5):
        found = line.expectation(lambda x, cut=cut: (x < cut).astype(float))
        np.testing.assert_allclose(found, line.cdf(cut), atol=1e-6)
        found = line.expectation(lambda x, cut=cut: jnp.abs(x) > cut)
        np.testing.assert_allclose(found, 1 - line.probability(-cut, cut), atol=1e-6)
        found = normal.expectation(lambda p, cut=cut: (p[0] < cut).astype(float))
        np.testing.assert_allclose(found, stats.norm.cdf(cut), atol=1e-6)
    assert line.expectation(lambda x: 1.0 + 0 * x) == pytest.approx(1, abs=1e-12)


def test_draws_fill_cells_in_both_directions(normal):
    """On four cells: the place within a cell is uniform in each direction and not the same in both."""
    ticks = np.array([0.0, 1.0, 2.0])
    flat = theory.Density2D(ticks, ticks, np.zeros((3, 3)))
    place = np.asarray(flat.sample(20_000, key=jax.random.key(4)), np.float64) % 1
    for axis in (0, 1):
        assert stats.kstest(place[:, axis], "uniform").pvalue > 1e-6
    # independent uniforms have a correlation of standard error 1/√n
    assert abs(np.corrcoef(place.T)[0, 1]) < 5 / np.sqrt(20_000)
    draws = np.asarray(normal.sample(20_000, key=jax.random.key(5)), np.float64)
    assert abs(np.corrcoef(draws.T)[0, 1]) < 5 / np.sqrt(20_000)


def test_the_odds_of_two_wells_do_not_jump_with_the_split():
    """The split lies between two points of the grid; by adaptive quadrature to 1e-6."""
    problem = ss.problems.DoubleWell(noise_variance=20.0, noise_law="exponential")
    setting, D = hyper(0.1), 1.0
    strength = 2 * 0.1**2 * 20**1.5 / (6 * D**3)

    def shape(x):
        return x**7 / 7 - 2 * x**5 / 5 + x**3 / 3 - D * (x**3 - x)

    def mean(low, high):
        parts = [
            integrate.quad(
                lambda x, f=f: f(x) * np.exp(-((x * x - 1) ** 2) / 4 / D), low, high, epsabs=1e-12
            )[0]
            for f in (shape, lambda x: 1.0)
        ]
        return parts[0] / parts[1]

    for split in (0.3, 0.30005, 0.3001):
        exact = strength * (mean(split, 6) - mean(-6, split))
        np.testing.assert_allclose(theory.skew_log_odds(problem, setting, split=split), exact, rtol=1e-6)


# The chain


def ridge(rate):
    """Two wells with a sharp ridge, where 1 − ηL'' reaches 14 at η = .05."""
    return ss.problems.TwoMinima(
        curvatures=(16.0, 1.0),
        depths=(0.0, 0.15),
        half_distance=0.5,
        smoothing=0.02,
        noise_variance=2 * 0.06 / rate,
    )


def by_nystrom(rate, cut, size):
    """P(x < cut) on an independent grid, with L' written out and a linear system in place of a vector."""
    x, width = np.linspace(-2.2, 3.2, size, retstep=True)
    centres, depths, curvatures = np.array([-0.5, 0.5]), np.array([0.0, 0.15]), np.array([16.0, 1.0])
    wells = depths + 0.5 * curvatures * (x[:, None] - centres) ** 2
    slope = (special.softmax(-wells / 0.02, axis=1) * curvatures * (x[:, None] - centres)).sum(axis=1)
    spread = np.sqrt(2 * 0.06 * rate)
    kernel = stats.norm.pdf(x[:, None], x - rate * slope, spread) * width
    system = np.eye(size) - kernel
    system[-1] = 1.0
    law = np.linalg.solve(system, np.eye(size)[-1])
    # P(x < cut) by one more step, so that the cut may fall anywhere
    return law @ stats.norm.cdf((cut - x + rate * slope) / spread)


@pytest.mark.parametrize("rate", [0.05, 0.0125])
def test_the_chain_on_a_sharp_ridge(rate):
    """The kernel varies on the scale s/|1 − ηL''| of where a step starts from, 14 times less than s."""
    cut = -0.2576934
    law = theory.chain_law(ridge(rate), hyper(rate))
    exact = by_nystrom(rate, cut, 1500)
    np.testing.assert_allclose(law.probability(-np.inf, cut), exact, rtol=1e-6)
    assert law.error < 1e-7
    few = theory.chain_law(ridge(0.0125), hyper(0.0125), points=760) if rate == 0.0125 else None
    if few:
        assert abs(few.probability(-np.inf, cut) - exact) <= few.error + 1e-8


def test_a_chain_that_is_not_resolved_is_refused():
    with refused(match=r"points must be more than 150 on .* smaller learning rate"):
        theory.chain_law(ridge(0.05), hyper(0.05), points=150)
    # signs that take a third of the distance: a law on Cantor's set, which no grid is fine enough for
    with refused(match="points must be more than 3001"):
        theory.chain_law(ss.problems.Quadratic(1.0, noise_law="rademacher"), hyper(0.7))


def test_the_error_of_the_chain_bounds_that_of_any_probability():
    """On a parabola, whose law is normal, with fewer points than needed for 1e-8."""
    rate, x = 0.5, np.linspace(-4, 4, 41)
    spread = np.sqrt(rate / (2 - rate))
    law = theory.chain_law(ss.problems.Quadratic(1.0), hyper(rate), bounds=(-5, 5), points=30)
    true = np.abs(law.cdf(x) - stats.norm.cdf(x / spread)).max()
    assert true <= law.error < 1e-5


def test_the_distance_of_two_laws_is_in_total_variation():
    """One step takes a normal law shifted by δ to one shifted by (1 − η)δ: 2Φ((1 − η)δ/2s) − 1 away.

    The sum of absolute values over 401 points is good to 1e-3.
    """
    rate, shift = 0.5, 0.1
    line, setting = Line(ss.problems.Quadratic(1.0), "a test"), one_setting(hyper(rate))
    spread = np.sqrt(rate / (2 - rate))
    grids = np.linspace(-5, 5, 301), np.linspace(-5, 5, 401)
    laws = [stats.norm.pdf(grid, at, spread) for grid, at in zip(grids, (shift, 0.0), strict=True)]
    found = _distance(line, setting, (grids[0], laws[0], 0.0), (grids[1], laws[1], 0.0))
    assert found == pytest.approx(2 * stats.norm.cdf((1 - rate) * shift / 2 / spread) - 1, rel=1e-3)


@pytest.mark.parametrize("noise_law", ["rademacher", "exponential"])
def test_moments_of_other_noise_do_not_depend_on_whether_points_are_odd(noise_law):
    """Var = η²σ²/(1 − a²) on any number of points: Simpson's rule sees only even ones at twice the weight."""
    problem = ss.problems.Quadratic(2.0, noise_variance=4.0, noise_law=noise_law)
    for points in range(460, 466):
        law = theory.chain_law(problem, hyper(0.05), points=points)
        np.testing.assert_allclose(law.variance, 0.1**2 / (1 - 0.9**2), rtol=3e-4)


# Fokker-Planck


@pytest.mark.parametrize("rate", some_as_scripts([1 / 8, 1 / 128, 1 / 1024], [1 / 8]))
def test_a_transient_at_small_eta_has_its_variance(rate):
    """D(1 − e^{−2t}) of x²/2, which is narrower than D/|L'| for 600 cells at the smaller two."""
    law = theory.fokker_planck(ss.problems.Quadratic(1.0), hyper(rate), initial=1.5, times=[0.5, 1.0])
    for time, density in zip(law.times, law.densities, strict=True):
        mean, variance = 1.5 * np.exp(-time), rate / 2 * (1 - np.exp(-2 * time))
        np.testing.assert_allclose(density.mean, mean, atol=0.02 * np.sqrt(variance))
        np.testing.assert_allclose(density.variance, variance, rtol=0.01)
        x = mean + np.linspace(-3, 3, 25) * np.sqrt(variance)
        true = np.abs(density.cdf(x) - stats.norm.cdf(x, mean, np.sqrt(variance))).max()
        assert true <= law.error < 5e-3


@pytest.mark.script
def test_cells_wider_than_the_fluxes_stand_are_refused():
    with refused(match="cells = 1200 are too few"):
        theory.fokker_planck(
            ss.problems.Quadratic(1.0), hyper(1 / 1024), initial=1.5, times=[1.0], cells=1200
        )
    known = theory.fokker_planck(
        ss.problems.Quadratic(1.0), hyper(0.2), initial=1.5, times=[0.0, 1.0], cells=300
    )
    assert 0 < known.error < 1e-2


def test_relaxation_of_narrow_wells_gets_more_cells():
    """1/h of a parabola far narrower than its box."""
    wide = {"bounds": (-3.0, 3.0)}
    problem, setting = ss.problems.Quadratic(400.0), hyper(0.2)
    np.testing.assert_allclose(theory.relaxation_time(problem, setting, **wide), 1 / 400, rtol=1e-3)
    with refused(match=r"too (few|wide)"):
        theory.relaxation_time(problem, setting, cells=100, **wide)


def test_grids_that_would_fill_the_memory_are_refused():
    well, hyper = ss.problems.DoubleWell(), ss.Hyperparameters(0.1, 1)
    with refused(match=r"cells must be an integer .* <= 1000000, got 1000000000"):
        ss.theory.fokker_planck(well, hyper, initial=0.5, times=[1.0], cells=10**9)
    with refused(match=r"points must be an integer .* <= 20000, got 1000000"):
        ss.theory.chain_law(well, hyper, points=10**6)
