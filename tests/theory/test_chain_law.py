"""Laws in one dimension: the exact chain, its O(η) law, noise that depends on x, and skewness."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import bound, refused, some_as_scripts
from scipy import integrate, stats

import sde_sgd as ss
from sde_sgd.theory._chain._markov import _recurrent, _reduced, _solved, lowest_reach

theory = ss.theory
DIFFUSION = 0.1


def growing(w):
    """σ² = 1 + 2w², of online linear regression."""
    return 1 + 2 * w * w


def hyper(rate, batch=1):
    return ss.Hyperparameters(rate, batch)


def well(rate, batch=1, diffusion=DIFFUSION, **options):
    """The double well with noise that makes D what it should be."""
    return ss.problems.DoubleWell(noise_variance=2 * diffusion * batch / rate, **options)


def distance(first, second):
    """Kolmogorov's, between two densities."""
    x = np.linspace(-3, 3, 6001)
    return np.abs(first.cdf(x) - second.cdf(x)).max()


# The exact chain


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.6])
def test_the_chain_on_a_parabola_is_a_known_normal_law(rate):
    """Variance ησ²/(Bh(2 − ηh)), h = 3; the SDE's σ²η/(2Bh) is off by up to a factor of ten."""
    law = theory.chain_law(ss.problems.Quadratic(3.0, noise_variance=2.0), hyper(rate, 4))
    variance = rate * 2 / (4 * 3 * (2 - 3 * rate))
    x = np.linspace(-5, 5, 101) * np.sqrt(variance)
    np.testing.assert_allclose(law.cdf(x), stats.norm.cdf(x / np.sqrt(variance)), atol=1e-7)
    np.testing.assert_allclose(law.variance, variance, rtol=1e-6)
    assert abs(law.mean) < 1e-9


def test_the_chain_by_iterating_its_kernel():
    """An independent grid, and 2¹⁴ steps in place of an eigenvector."""
    rate = 0.2
    x = np.linspace(-2.4, 2.4, 601)
    spread = np.sqrt(2 * DIFFUSION * rate)
    kernel = np.exp(-((x[:, None] - (x - rate * (x**3 - x))[None, :]) ** 2) / (2 * spread**2))
    kernel /= kernel.sum(axis=0)
    density = np.linalg.matrix_power(kernel, 2**14) @ np.full(601, 1 / 601)
    law = theory.chain_law(well(rate), hyper(rate))
    np.testing.assert_allclose(law.pdf(x), density / (x[1] - x[0]), atol=2e-6)


def test_more_points_change_nothing():
    rate = 0.05
    law, finer = (
        theory.chain_law(well(rate), hyper(rate), bounds=(-2.4, 2.4), points=n) for n in (None, 333)
    )
    assert distance(law, finer) < 1e-12


def test_the_error_of_a_rough_law_covers_what_finer_grids_change():
    """Of batches of two signs, up to four times as fine."""
    problem = ss.problems.DoubleWell(tilt=0.05, noise_variance=2.0, noise_law="rademacher")
    law = theory.chain_law(problem, ss.Hyperparameters(0.15, 2))
    bounds = law.grid[0], law.grid[-1]
    for size in (800, 1200, 2200):
        finer = theory.chain_law(problem, ss.Hyperparameters(0.15, 2), bounds=bounds, points=size)
        assert 1e-4 < np.abs(finer.cdf(law.grid) - law.cdf(law.grid)).max() < law.error
    assert 1e-3 < law.error < 3e-3


def test_noise_of_other_laws_has_its_own_third_moment():
    """On a parabola E x³ = −(ησ/√B)³ (κ₃/√B)/(1 − (1 − ηh)³), to the stated (h/2s)² = .1 %."""
    rate, batch, curvature = 0.05, 2, 2.0
    step = rate * 2 / np.sqrt(batch)
    for noise_law, skewness in (("exponential", 2.0), ("rademacher", 0.0)):
        problem = ss.problems.Quadratic(curvature, noise_variance=4.0, noise_law=noise_law)
        law = theory.chain_law(problem, hyper(rate, batch))
        np.testing.assert_allclose(law.variance, step**2 / (1 - 0.9**2), rtol=1e-4)
        third = float(integrate.simpson(law.grid**3 * law.pdf(law.grid), x=law.grid))
        exact = -(step**3) * skewness / np.sqrt(batch) / (1 - 0.9**3)
        np.testing.assert_allclose(third, exact, rtol=1.2e-3, atol=1e-4 * step**3)


def test_stationary_vectors():
    """By state reduction and by LU, of a chain that hardly ever changes sides; and transient states."""
    rng = np.random.default_rng(0)
    P = rng.uniform(size=(40, 40))
    P[:20, 20:] *= 1e-6
    P[20:, :20] *= 3e-6
    P /= P.sum(axis=1, keepdims=True)
    reduced = _reduced(P.copy(), lowest_reach(P))
    np.testing.assert_allclose(reduced @ P, reduced, rtol=1e-12)
    np.testing.assert_allclose(_solved(P), reduced, rtol=1e-8)
    tiny = P.copy()
    tiny[:20, 20:] *= 1e-8
    tiny[20:, :20] *= 1e-8
    assert _solved(tiny) is None
    np.testing.assert_array_equal(_recurrent(np.array([[0.5, 0.5, 0], [0, 0.5, 0.5], [0, 0.5, 0.5]])), [1, 2])
    with refused(match="2 groups of states"):
        _recurrent(np.eye(2))


# The O(η) law


@functools.cache
def laws(rate):
    problem, setting = well(rate), hyper(rate)
    exact = theory.chain_law(problem, setting)
    return exact, theory.modified_gibbs(problem, setting), theory.gibbs(problem, setting)


RATES = (0.1, 0.05, 0.025, 0.0125)


def test_the_modified_law_is_off_by_eta_squared():
    """KS to the exact chain at D = .1: fourfold for each halving of η; that of Gibbs twofold."""
    modified = np.array([distance(laws(rate)[1], laws(rate)[0]) for rate in RATES])
    plain = np.array([distance(laws(rate)[2], laws(rate)[0]) for rate in RATES])
    np.testing.assert_allclose(modified[:-1] / modified[1:], 4, rtol=0.13)
    np.testing.assert_allclose(modified[-2] / modified[-1], 4, rtol=0.03)
    np.testing.assert_allclose(plain[:-1] / plain[1:], 2, rtol=0.07)
    assert modified[0] < 0.15 * plain[0]


@pytest.mark.parametrize("fault", ["half the drift term", "no curvature term", "other sign"])
def test_planted_wrong_terms_are_first_order(fault):
    """With a coefficient wrong the distance falls twofold, not fourfold."""
    found = []
    for rate in RATES[1:3]:
        exact = laws(rate)[0]
        x = exact.grid
        slope, curvature = x**3 - x, 3 * x**2 - 1
        drift, second = {
            "half the drift term": (rate / 8, rate / 2),
            "no curvature term": (rate / 4, 0.0),
            "other sign": (-rate / 4, rate / 2),
        }[fault]
        exponents = ((x * x - 1) ** 2 / 4 - drift * slope**2) / DIFFUSION + second * curvature
        inside = np.abs(x) < 2
        found.append(distance(theory.Density1D(x[inside], -exponents[inside]), exact))
    assert found[0] / found[1] < 2.6


def test_mean_losses_of_sgd_at_fixed_ratio():
    """η/B = .1, σ = 1: ⟨L⟩ = .0287, .0296, .0312, .0348, .0477, as SGD gave; the law knows them all."""
    for rate, loss in ((0.0125, 0.0287), (0.05, 0.0296), (0.1, 0.0312), (0.2, 0.0348), (0.4, 0.0477)):
        problem = well(rate, diffusion=0.05)
        found = theory.chain_law(problem, hyper(rate)).expectation(problem.loss)
        assert abs(found - loss) < 1.5e-4


# Noise that depends on the position


@pytest.mark.parametrize("ratio", [0.1, 0.3])
def test_online_regression_is_students_t(ratio):
    problem = ss.problems.Quadratic(1.0, noise=ss.problems.PositionDependent(growing))
    law = theory.ito_density(problem, hyper(ratio))
    exact = theory.online_regression_law(hyper(ratio))
    x = np.linspace(-5, 5, 1001)
    np.testing.assert_allclose(law.cdf(x), exact.cdf(x), atol=2e-8)
    np.testing.assert_allclose(exact.var(), ratio / (2 * (1 - ratio)), rtol=1e-6)
    assert exact.var() == pytest.approx(theory.online_regression_variance(hyper(ratio), law="sde"))
    assert exact.kwds["df"] == pytest.approx(1 + 1 / ratio)
    stratonovich = theory.Density1D(law.grid, np.log(law.pdf(law.grid)) + 0.5 * np.log(growing(law.grid)))
    assert distance(stratonovich, law) > 100 * np.abs(law.cdf(x) - exact.cdf(x)).max()


def test_units_of_online_regression():
    """Inputs of variance a and targets of variance s²: the same with ηa for η and s²/a for one."""
    scaled = theory.online_regression_law(hyper(0.1, 2), input_variance=3.0, noise_variance=0.5)
    plain = theory.online_regression_law(hyper(0.3, 2))
    np.testing.assert_allclose(scaled.var(), plain.var() * 0.5 / 3, rtol=1e-6)
    found = theory.online_regression_variance(hyper(0.1, 2), input_variance=3.0, noise_variance=0.5)
    np.testing.assert_allclose(found, theory.online_regression_variance(hyper(0.3, 2)) * 0.5 / 3, rtol=1e-6)


def test_sgd_has_its_own_variance_in_online_regression():
    """T/(2 − η − 2T) of the chain, not T/(2(1 − T)) of the SDE: by its law, at η = .2, B = 4."""
    problem = ss.problems.Quadratic(1.0, noise=ss.problems.PositionDependent(growing))
    law = theory.chain_law(problem, hyper(0.2, 4), bounds=(-6, 6))
    np.testing.assert_allclose(law.variance, theory.online_regression_variance(hyper(0.2, 4)), rtol=1e-6)
    assert law.variance > 1.1 * theory.online_regression_variance(hyper(0.2, 4), law="sde")


def test_constant_noise_gives_gibbs():
    problem = ss.problems.DoubleWell(tilt=0.05)
    x = np.linspace(-2, 2, 401)
    found = theory.ito_density(problem, ss.Hyperparameters(0.02, momentum=0.9)).cdf(x)
    np.testing.assert_allclose(found, theory.gibbs(problem, hyper(0.2)).cdf(x), atol=2e-6)


def test_louder_noise_on_one_side_by_nested_quadrature():
    problem = ss.problems.DoubleWell(noise=ss.problems.PositionDependent(louder_on_the_right))
    law = theory.ito_density(problem, hyper(0.4))
    weights = [integrate.quad(by_hand, *ends)[0] for ends in ((-4, 0), (0, 4))]
    np.testing.assert_allclose(law.probability(0, 4), weights[1] / sum(weights), rtol=1e-5)


def louder_on_the_right(x):
    return 1.0 + 0.5 * jnp.tanh(4 * x)


def by_hand(x):
    potential = integrate.quad(lambda y: (y**3 - y) / (1 + 0.5 * np.tanh(4 * y)), 0, x)[0]
    return np.exp(-5 * potential) / (1 + 0.5 * np.tanh(4 * x))


def test_data_in_one_dimension():
    """A regression through the origin: σ²(w) comes from the data."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=40), rng.normal(size=40)
    problem = ss.problems.linear_regression(ss.data.Dataset(x[:, None], y))
    law = theory.ito_density(problem, hyper(0.05, 4))
    h, best = (x * x).mean(), (x * y).mean() / (x * x).mean()
    slopes = x * x * best - x * y
    varying = np.var(x * x)
    # C(w) = C + 2c e + v e², L' = h e: moments of the SDE close
    mean_square = 0.05 / 4 * np.var(slopes) / (2 * h - 0.05 / 4 * varying)
    np.testing.assert_allclose(law.mean, best, atol=1e-6)
    np.testing.assert_allclose(law.variance, mean_square, rtol=1e-5)


# Skewed noise


def test_a_symmetric_well_becomes_73_to_27():
    """T = .05, D = .1, σ(Exp(1) − 1) noise: 73:27 from minimum to minimum; .7321 in the exact chain."""
    problem = ss.problems.DoubleWell(noise_variance=4.0, noise_law="exponential")
    simple = theory.skew_log_odds(problem, hyper(0.05), averaged=False)
    np.testing.assert_allclose(simple, 2 * 0.05**2 * 8 / (6 * 0.1**3) * 16 / 105, rtol=1e-5)
    assert 1 / (1 + np.exp(-simple)) == pytest.approx(0.734, abs=5e-4)


def exact_log_odds(problem, setting):
    left = float(theory.chain_law(problem, setting).cdf(0.0))
    return np.log(left / (1 - left))


def test_skewness_to_leading_order():
    """D = .15, B = 4: against the exact chain the relative error falls with T; from minimum to minimum
    it tends to 5 %, the price of D > 0."""
    averaged, simple = [], []
    for T in (0.02, 0.005):
        problem, setting = well(4 * T, 4, 0.15, noise_law="exponential"), hyper(4 * T, 4)
        exact = exact_log_odds(problem, setting)
        averaged.append(theory.skew_log_odds(problem, setting) / exact - 1)
        simple.append(theory.skew_log_odds(problem, setting, averaged=False) / exact - 1)
    assert np.all(np.diff(np.abs(averaged)) < 0)
    assert abs(averaged[-1]) < 2e-3
    assert 0.045 < simple[-1] < 0.055
    # data and other laws know their skewness
    assert theory.skew_log_odds(well(0.1), hyper(0.1)) == 0
    assert theory.skew_log_odds(well(0.1, noise_law="rademacher"), hyper(0.1)) == 0
    data = ss.problems.TiltedNoiseData(
        ss.problems.DoubleWell(), dataset_size=16, symmetric=False, key=jax.random.key(0)
    )
    given = theory.skew_log_odds(data, hyper(0.1), np.mean(np.asarray(data.tilts, np.float64) ** 3))
    assert abs(theory.skew_log_odds(data, hyper(0.1)) / given - 1) < 1e-4


CHAINS = 20_000


@functools.cache
def measured(T, noise_law):
    """ln(P_left/P_right) of 20 000 chains that start half in each well, and its standard error.

    D = .15, B = 4; six relaxation times of 14 leave e⁻⁶ of the start, .2 % of the log odds.
    """
    rate = 4 * T
    problem = well(rate, 4, 0.15, noise_law=noise_law)
    result = ss.run(
        ss.SGD(problem, hyper(rate, 4)),
        chains=CHAINS,
        steps=round(84 / rate),
        key=jax.random.key(11),
        initial=jnp.where(jnp.arange(CHAINS) % 2 == 0, -1.0, 1.0),
    )
    left = float((result.samples() < 0).mean())
    return np.log(left / (1 - left)), 1 / np.sqrt(CHAINS * left * (1 - left)), problem


@pytest.mark.parametrize("T", some_as_scripts([0.00625, 0.0125, 0.025], [0.025]))
def test_measured_skewness_is_predicted(T):
    """Within 3 standard errors (.0027 false alarms each, at a fixed key) of the leading order; of the
    exact chain too. No asymmetry, and the other sign, are excluded by more than 10."""
    found, error, problem = measured(T, "exponential")
    predicted = theory.skew_log_odds(problem, hyper(4 * T, 4))
    assert abs(found - predicted) < 3 * error
    assert abs(found - exact_log_odds(problem, hyper(4 * T, 4))) < 3 * error
    assert found > 10 * error
    for fault in (-1, 0, 2):
        assert abs(found - fault * predicted) > 10 * error


def test_normal_noise_leaves_the_wells_alike():
    """Null: ln(P_left/P_right) = 0, at the T where the skewed noise shifts it by 25 standard errors."""
    found, error, _ = measured(0.025, "gaussian")
    assert abs(found) < 3 * error < bound() * error


# Laplace in any dimension


def test_laplace_is_exact_for_a_parabola():
    H = np.array([[3.0, 1.0], [1.0, 2.0]])
    law = theory.laplace_gibbs(ss.problems.Quadratic(H), hyper(0.1))
    np.testing.assert_allclose(law.covariance, 0.05 * np.linalg.inv(H), rtol=1e-5)
    np.testing.assert_allclose(law.log_normaliser, np.log(0.1 * np.pi / np.sqrt(5.0)), rtol=1e-5)
    points = np.random.default_rng(0).normal(size=(5, 2))
    exact = stats.multivariate_normal(np.zeros(2), 0.05 * np.linalg.inv(H)).logpdf(points)
    np.testing.assert_allclose(law.log_pdf(points), exact, rtol=1e-4)


def test_laplace_tends_to_gibbs(key):
    """Two minima in the plane: moments and ln Z to O(T), and in ten dimensions."""
    errors = []
    for T in (0.08, 0.04):
        problem = ss.problems.DoubleWell(tilt=0.05)
        law, exact = theory.laplace_gibbs(problem, hyper(T)), theory.gibbs(problem, hyper(T))
        log_z = np.log(
            integrate.quad(lambda x, T=T: np.exp(-2 * ((x * x - 1) ** 2 / 4 + 0.05 * x) / T), -3, 3)[0]
        )
        errors.append([abs(law.log_normaliser - log_z), abs(law.covariance[0, 0] - exact.variance)])
    errors = np.array(errors)
    assert np.all(errors[1] < 0.7 * errors[0])
    many = theory.laplace_gibbs(ss.problems.TwoMinima(dimension=10), hyper(0.05))
    np.testing.assert_allclose(many.weights[1] / many.weights[0], 6**5 * np.exp(-4), rtol=1e-2)
    sample = np.asarray(many.sample(40_000, key=key), np.float64)
    z = (sample.mean(axis=0) - many.mean) / np.sqrt(np.diag(many.covariance) / 40_000)
    assert np.abs(z).max() < bound(10)


def test_moments_of_a_mixture_are_within_and_between_its_wells(key):
    """By hand; and of 200 000 draws, each entry within its standard error times 5.5 (1e-7 for five)."""
    covariances = np.array([[[2.0, 0.9], [0.9, 0.5]], [[0.3, -0.2], [-0.2, 1.0]]])
    means, weights = np.array([[-1.0, 0.0], [2.0, 4.0]]), np.array([0.7, 0.3])
    law = theory.GaussianMixture(weights, means, covariances, 0.0)
    np.testing.assert_allclose(law.mean, [-0.1, 1.2])
    within = 0.7 * covariances[0] + 0.3 * covariances[1]
    between = 0.21 * np.array([[9.0, 12.0], [12.0, 16.0]])
    np.testing.assert_allclose(law.covariance, within + between)
    drawn = np.asarray(law.sample(200_000, key=key), np.float64) - law.mean
    products = np.stack([*drawn.T, drawn[:, 0] ** 2, drawn[:, 0] * drawn[:, 1], drawn[:, 1] ** 2])
    right = np.array([0, 0, *law.covariance[[0, 0, 1], [0, 1, 1]]])
    z = (products.mean(axis=1) - right) / (products.std(axis=1) / np.sqrt(len(drawn)))
    assert np.abs(z).max() < 5.5


def test_skewness_with_momentum_is_that_of_the_effective_rate():
    """η = .02 with m = .9 has η' = .2 and the noise, hence the odds, of that."""
    problem = well(0.2, noise_law="exponential")
    slow = theory.skew_log_odds(problem, ss.Hyperparameters(0.02, momentum=0.9))
    np.testing.assert_allclose(slow, theory.skew_log_odds(problem, hyper(0.2)), rtol=1e-5)


# Refusals


def test_bad_input():
    plane = ss.problems.StyblinskiTang(2)
    data = ss.problems.TiltedNoiseData(ss.problems.DoubleWell(), dataset_size=16, key=jax.random.key(0))
    position = ss.problems.PositionDependent
    for function in (theory.chain_law, theory.modified_gibbs, theory.ito_density, theory.skew_log_odds):
        with refused(match=f"{function.__name__} is for problems with one parameter"):
            function(plane, hyper(0.1))
    momentum = ss.Hyperparameters(0.1, momentum=0.5)
    for function in (theory.chain_law, theory.modified_gibbs):
        with refused(match="momentum must be 0 for"):
            function(ss.problems.DoubleWell(), momentum)
    with refused(match="problem must be analytic"):
        theory.chain_law(data, hyper(0.1))
    for function in (theory.chain_law, theory.modified_gibbs, theory.ito_density):
        with refused(match="cut off probability"):
            function(ss.problems.DoubleWell(), hyper(0.05), bounds=(-1.1, 1.1))
        with refused(match="cut off probability: there is a minimum at -1"):
            function(ss.problems.DoubleWell(), hyper(0.005), bounds=(0.0, 2.0))
        with refused(match="low < high"):
            function(ss.problems.DoubleWell(), hyper(0.05), bounds=(1, -1))
    with refused(match="cut off probability: there is a minimum at"):
        theory.gibbs(ss.problems.DoubleWell(), hyper(0.005), bounds=(0.0, 2.0))
    with refused(match="cut off probability: there is a minimum at"):
        theory.gibbs(ss.problems.TwoMinima(dimension=2), hyper(0.005), bounds=((0.0, 2.0), (-1.0, 1.0)))
    with refused(match="points must be >= "):
        theory.chain_law(ss.problems.DoubleWell(), hyper(0.05), points=20)
    with refused(match="the chain escapes: use a smaller learning rate"):
        theory.chain_law(well(0.4, diffusion=0.3), hyper(0.4))
    with refused(match="is too large for the O"):
        theory.modified_gibbs(well(0.2), hyper(0.2))
    with refused(match="the noise must not vanish"):
        theory.chain_law(ss.problems.DoubleWell(noise_variance=0.0), hyper(0.1))
    with refused(match="the noise must not vanish"):
        theory.ito_density(ss.problems.DoubleWell(noise=position(jnp.square)), hyper(0.1))
    with refused(match="temperature must be > 0"):
        theory.modified_gibbs(ss.problems.DoubleWell(noise_variance=0.0), hyper(0.1))
    with refused(match="too heavy"):
        theory.ito_density(ss.problems.Quadratic(1.0, noise=position(growing)), hyper(0.9))
    with refused(match="cannot be normalised"):
        theory.ito_density(ss.problems.Quadratic(1e-12), hyper(0.9))
    with refused(match=r"two minima or more.* Quadratic with one"):
        theory.skew_log_odds(ss.problems.Quadratic(1.0), hyper(0.1))
    with refused(match="split must lie in"):
        theory.skew_log_odds(ss.problems.DoubleWell(), hyper(0.1), split=9.0)
    with pytest.raises(ss.problems.NotKnownError, match="not isotropic"):
        theory.modified_gibbs(ss.problems.DoubleWell(noise=position(jnp.cos)), hyper(0.1))
    with refused(match="the variance is infinite"):
        theory.online_regression_variance(hyper(0.7))
    with refused(match="input_variance must be finite and > 0"):
        theory.online_regression_law(hyper(0.1), input_variance=0.0)
    with refused(match="got T = 0"):
        theory.laplace_gibbs(ss.problems.DoubleWell(noise_variance=0.0), hyper(0.1))
    with refused(match="2 coordinates"):
        theory.laplace_gibbs(ss.problems.Quadratic(np.eye(2)), hyper(0.1)).pdf(np.zeros(3))
