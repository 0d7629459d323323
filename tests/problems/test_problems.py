"""Analytic problems: every loss, noise and law keeps the contract; what does not fit is refused.

Statistical tests: the null is the contract itself (E ĝ = ∇L, Cov ĝ = C/B), keys are fixed, and
`assert_agree` allows as many standard errors as a correct program exceeds with odds 1e-6.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import (
    ALARM,
    REFUSED,
    assert_agree,
    covariance,
    facts,
    finite_differences,
    float64,
    losses_at,
    quick_jit,
    ravel_rows,
    refused,
    regression_data,
    starts_of,
)
from scipy import stats

import sde_sgd as ss
from sde_sgd import problems, random
from sde_sgd.problems import (
    AnalyticProblem,
    Diagonal,
    DoubleWell,
    Full,
    GradientNoise,
    Isotropic,
    MatchedParabolas,
    MullerBrown,
    NotKnownError,
    PositionDependent,
    Quadratic,
    Sampler,
    StyblinskiTang,
    TwoMinima,
)
from sde_sgd.random import Stream

KEY = jax.random.key(11)
HESSIAN = ((2.0, 0.5), (0.5, 1.0))
COVARIANCE = ((1.0, 0.6), (0.6, 2.0))
LAWS = ("gaussian", "rademacher", "exponential")

# Built afresh in every test, so that they take the precision that is switched on there.
NOISES: dict[str, Callable[[], GradientNoise]] = {
    "isotropic": lambda: Isotropic(0.5),
    "diagonal": lambda: Diagonal([0.3, 2.0]),
    "full": lambda: Full(COVARIANCE),
    "position": lambda: PositionDependent(lambda x: 0.2 + x**2),
    "position, one for all": lambda: PositionDependent(lambda x: 0.2 + jnp.sum(x**2)),
}
CURVED = PositionDependent(lambda x: 1.0 + 0.5 * jnp.sin(x))

PROBLEMS: dict[str, Callable[[], AnalyticProblem]] = {
    "quadratic, scalar": lambda: Quadratic(3.0, noise_variance=0.5),
    "quadratic, 1 x 1": lambda: Quadratic([[3.0]], noise=Diagonal([2.0]), noise_law="rademacher"),
    "quadratic, flat direction": lambda: Quadratic([[1.0, 1.0], [1.0, 1.0]]),
    "double well": lambda: DoubleWell(noise_law="rademacher"),
    "double well, tilted": lambda: DoubleWell(tilt=0.1, noise=CURVED, noise_law="exponential"),
    "two minima": lambda: TwoMinima(noise=Diagonal(0.7), noise_law="exponential"),
    "two minima, 3-D": lambda: TwoMinima(
        dimension=3, curvatures=(6.0, (1.0, 2.0, 3.0)), noise=Diagonal([0.5, 1.0, 2.0])
    ),
    "parabolas": lambda: MatchedParabolas(well_curvature=4.0, noise_variance=2.0),
    "Styblinski-Tang": lambda: StyblinskiTang(3, noise=Full(np.diag([1.0, 2, 3]))),
    "Müller-Brown": lambda: MullerBrown(noise=Full(COVARIANCE), noise_law="exponential"),
}
# The wells differ in their losses alone, so the noise of a few stands for all.
WELLS = ("quadratic, scalar", "double well, tilted", "two minima, 3-D", "Müller-Brown")
QUADRATICS: dict[str, Callable[[], AnalyticProblem]] = {
    f"quadratic, {noise}, {law}": lambda noise=noise, law=law: Quadratic(
        HESSIAN, noise=NOISES[noise](), noise_law=law
    )
    for noise in NOISES
    for law in LAWS
    if noise != "position, one for all" or law == "gaussian"
}


def batches(problem: AnalyticProblem, batch_size: int, chains: int, step: int = 0) -> jax.Array:
    """ζ̄ of one step for many chains."""
    words = {"gradient_noise": random.stream(KEY, Stream.GRADIENT_NOISE)}
    sampler = problem.sampler("replacement", batch_size)
    return _draw(sampler, words, jnp.asarray(step), random.chain_numbers(chains))


@eqx.filter_jit
def _draw(sampler: Sampler, words: Any, step: jax.Array, chain: jax.Array) -> jax.Array:
    return sampler.draw(None, words, step, chain)[0]


@eqx.filter_jit
def batch_gradients(problem: AnalyticProblem, theta: jax.Array, drawn: jax.Array) -> jax.Array:
    return jax.vmap(problem.batch_gradient, (None, 0))(theta, drawn)


@quick_jit
def noisy_gradients(
    problem: AnalyticProblem, theta: jax.Array, drift: Any, diffusion: Any, xi: jax.Array
) -> jax.Array:
    return jax.vmap(problem.noisy_gradient, (None, None, None, 0))(theta, drift, diffusion, xi)


# The contract


@pytest.mark.parametrize("name", PROBLEMS)
def test_gradient_is_the_slope_of_the_loss(name: str) -> None:
    with float64():
        problem = PROBLEMS[name]()
        thetas = starts_of(problem, jax.random.split(KEY, 3))[0] + 0.1
        assert thetas.dtype == jnp.float64
        for theta, slope in zip(thetas, facts(problem, thetas)[1], strict=True):
            expected = finite_differences(partial(losses_at, problem), theta)
            scale = max(1.0, float(np.abs(expected).max()))
            np.testing.assert_allclose(slope, expected, atol=1e-7 * scale)


@pytest.mark.parametrize("name", PROBLEMS)
def test_init_is_one_finite_start_for_each_key(name: str) -> None:
    problem = PROBLEMS[name]()
    starts, losses = starts_of(problem, jax.random.split(KEY, 5))
    one = jax.eval_shape(problem.init, KEY)
    assert starts.shape == (5, *one.shape)
    assert starts.dtype == one.dtype == jnp.float32
    assert losses.shape == (5,)
    assert np.isfinite(losses).all()
    assert jax.eval_shape(problem.gradient, one).shape == one.shape
    assert problem.driving_noise(one).shape == one.shape
    assert problem.dataset_size is None
    distinct = len(np.unique(np.asarray(starts).reshape(5, -1), axis=0))
    assert distinct == (1 if isinstance(problem, MatchedParabolas) else 5)


@pytest.mark.parametrize("name", [*WELLS, *QUADRATICS])
def test_batch_gradient_has_the_mean_and_covariance_it_says(name: str) -> None:
    """Null: E ĝ = ∇L with standard error √(C_ii/Bn), Cov ĝ = C/B with that of `covariance`."""
    batch_size, chains = 3, 20_000
    problem = (PROBLEMS | QUADRATICS)[name]()
    theta = problem.init(KEY) + 0.3
    drawn = batches(problem, batch_size, chains)
    rows = ravel_rows(batch_gradients(problem, theta, drawn))
    wanted = np.asarray(problem.gradient_covariance(theta), np.float64) / batch_size
    assert wanted.shape == (theta.size, theta.size)
    mean_error = np.sqrt(np.diag(wanted) / chains)
    assert_agree(rows.mean(axis=0), np.ravel(problem.gradient(theta)), mean_error)
    got, error = covariance(rows)
    assert_agree(got, wanted, error)


@pytest.mark.parametrize("name", [*WELLS, *(f"quadratic, {noise}, gaussian" for noise in NOISES)])
def test_noisy_gradient_is_drift_and_the_root_of_the_covariance(name: str) -> None:
    """Exactly: it is linear in ξ, ξ ↦ a∇L + bAξ, and AAᵀ = C."""
    problem = (PROBLEMS | QUADRATICS)[name]()
    theta = problem.init(KEY) + 0.3
    drift, diffusion = jnp.asarray(0.7), jnp.asarray(-1.9)

    xi = np.concatenate([np.zeros((1, theta.size)), np.eye(theta.size), np.full((1, theta.size), 2)])
    xi = jnp.asarray(xi.reshape(-1, *theta.shape), jnp.float32)
    rest, *columns, twice = ravel_rows(noisy_gradients(problem, theta, drift, diffusion, xi))
    np.testing.assert_allclose(rest, 0.7 * np.ravel(problem.gradient(theta)), rtol=1e-6)
    slope = (np.stack(columns) - rest).T
    expected = 1.9**2 * np.asarray(problem.gradient_covariance(theta))
    np.testing.assert_allclose(slope @ slope.T, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(twice - rest, 2 * slope.sum(axis=1), rtol=1e-4)


def test_covariances_by_hand() -> None:
    theta = jnp.asarray([0.5, -1.0])
    by_hand = {
        "isotropic": np.diag([0.5, 0.5]),
        "diagonal": np.diag([0.3, 2.0]),
        "full": np.array(COVARIANCE),
        "position": np.diag([0.45, 1.2]),
        "position, one for all": np.diag([1.45, 1.45]),
    }
    assert by_hand.keys() == NOISES.keys()
    for noise, expected in by_hand.items():
        got = Quadratic(HESSIAN, noise=NOISES[noise]()).gradient_covariance(theta)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_a_singular_covariance_pushes_along_its_range_only() -> None:
    problem = Quadratic(HESSIAN, noise=Full([[1.0, 2.0], [2.0, 4.0]]))
    noise = problem.noise.apply(jnp.zeros(2), jnp.asarray([0.3, -0.7]))
    np.testing.assert_allclose(noise[1], 2 * noise[0], rtol=1e-5)


def test_noise_variance_is_the_isotropic_covariance() -> None:
    problem = StyblinskiTang(4, noise_variance=2.5)
    np.testing.assert_allclose(problem.noise_variance(), 2.5)
    covariance = problem.gradient_covariance(jnp.zeros(4))
    np.testing.assert_allclose(covariance, 2.5 * np.eye(4))


@pytest.mark.parametrize("noise", ["diagonal", "full", "position"])
def test_other_noises_have_no_single_variance(noise: str) -> None:
    with pytest.raises(NotKnownError, match="not isotropic and constant"):
        Quadratic(HESSIAN, noise=NOISES[noise]()).noise_variance()


def test_unknown_minima_are_said_to_be_unknown() -> None:
    problem = problems.linear_regression(regression_data())
    with pytest.raises(NotKnownError, match="does not know its minima"):
        problem.minima()
    with pytest.raises(NotKnownError, match="comes from its data"):
        problem.noise_variance()
    assert issubclass(NotKnownError, ValueError)


@pytest.mark.parametrize("name", PROBLEMS)
def test_minima_are_stationary_and_curve_upwards(name: str) -> None:
    """|H⁻¹∇L| is the distance to the true minimum: 1e-6 for positions printed to six digits, and
    for two minima e^{−25} of a unit."""
    with float64():
        problem = PROBLEMS[name]()
        minima = problem.minima()
        assert minima
        losses, slopes, hessians = facts(problem, jnp.stack(minima))
        for theta, slope, hessian in zip(minima, slopes, np.asarray(hessians), strict=True):
            assert theta.dtype == jnp.float64
            assert hessian.shape == (theta.size, theta.size)
            lowest = np.linalg.eigvalsh(hessian)[0]
            if name == "quadratic, flat direction":
                assert lowest == pytest.approx(0, abs=1e-12)
            else:
                assert lowest > 0
            gap = np.linalg.pinv(hessian) @ np.ravel(slope)
            assert np.abs(gap).max() < 1e-6
        if isinstance(problem, MullerBrown):
            assert list(losses) == sorted(losses)


# Laws


@pytest.mark.parametrize("batch_size", [1, 4, 50])
def test_exponential_batches_are_skewed(batch_size: int) -> None:
    """Null: Bζ̄ + B ~ Gamma(B), so the third moment of √B ζ̄ is 2/√B, with the standard error that
    μ₆ = 15B³ + 130B² + 120B of the Gamma law gives."""
    n, b = 100_000, float(batch_size)
    problem = Quadratic(np.eye(4), noise_law="exponential")
    mean = np.asarray(batches(problem, batch_size, n // 4), np.float64).ravel()
    assert mean.min() > -1
    error = np.sqrt((15 * b**3 + 130 * b**2 + 120 * b - 4 * b**2) / n) / b**1.5
    assert_agree(np.mean((np.sqrt(b) * mean) ** 3), 2 / np.sqrt(b), error)
    assert stats.kstest(b * (mean + 1), stats.gamma(b).cdf).pvalue > ALARM


def test_rademacher_noise_takes_two_values() -> None:
    problem = DoubleWell(noise_variance=4.0, noise_law="rademacher")
    theta = jnp.asarray(0.5)
    for batch_size, values in [(1, [-2, 2]), (2, [-2, 0, 2]), (4, [-2, -1, 0, 1, 2])]:
        drawn = batches(problem, batch_size, 1000)
        noise = batch_gradients(problem, theta, drawn) - problem.gradient(theta)
        np.testing.assert_array_equal(np.unique(noise), values)


@pytest.mark.parametrize("batch_size", [1, 9])
def test_gaussian_batches_are_gaussian(batch_size: int) -> None:
    """Null: √B ζ̄ ~ N(0, 1); Kolmogorov-Smirnov at 1e-6."""
    drawn = np.asarray(batches(Quadratic(np.eye(4)), batch_size, 25_000)).ravel()
    assert stats.kstest(drawn * np.sqrt(batch_size), "norm").pvalue > ALARM


@pytest.mark.parametrize("law", LAWS)
def test_batches_differ_from_step_to_step(law: str) -> None:
    """Null: independent steps; the correlation over n numbers has standard error 1/√n."""
    problem = Quadratic(np.eye(4), noise_law=law)
    first, second = (np.asarray(batches(problem, 5, 10_000, step)).ravel() for step in (6, 7))
    assert_agree(5 * np.mean(first * second), 0, 1 / np.sqrt(first.size))


@pytest.mark.parametrize("law", LAWS)
def test_double_precision_reaches_the_batches(law: str) -> None:
    with float64():
        problem = Quadratic(HESSIAN, noise_law=law)
        drawn = batches(problem, 3, 100)
        assert drawn.dtype == jnp.float64
        assert problem.batch_gradient(jnp.ones(2), drawn[0]).dtype == jnp.float64


# Exact facts


def test_quadratic_by_hand() -> None:
    np.testing.assert_allclose(Quadratic(3.0).loss(jnp.asarray(2.0)), 6.0)
    theta = jnp.asarray([1.0, -2.0])
    np.testing.assert_allclose(Quadratic(HESSIAN).loss(theta), 2.0)
    np.testing.assert_allclose(Quadratic(HESSIAN).gradient(theta), [1.0, -1.5])
    np.testing.assert_allclose(Quadratic(HESSIAN).hessian(theta), HESSIAN)


# Refusals

BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: Quadratic(0.0), "hessian must be finite and > 0, got 0"),
    (lambda: Quadratic(-1.0), "hessian must be finite and > 0, got -1"),
    (lambda: Quadratic(np.nan), "hessian must be finite and > 0, got nan"),
    (lambda: Quadratic([1.0, 2.0]), r"hessian must be a square matrix, got shape \(2,\)"),
    (lambda: Quadratic(np.ones((2, 3))), r"hessian must be a square matrix, got shape \(2, 3\)"),
    (lambda: Quadratic(np.ones((0, 0))), r"hessian must be a square matrix, got shape \(0, 0\)"),
    (lambda: Quadratic([[1.0, 0.5], [0.0, 1.0]]), "hessian must be symmetric.* by 0.5"),
    (lambda: Quadratic([[1.0, 0], [0, -1]]), "hessian must be positive semi-definite.* is -1"),
    (lambda: Quadratic([[np.inf, 0], [0, 1]]), "hessian must be finite"),
    (lambda: Full([[1.0, 2.0], [2.0, 1.0]]), "covariance must be positive semi-definite.* is -1"),
    (lambda: Full([[1.0, 2.0], [0.0, 1.0]]), "covariance must be symmetric"),
    (lambda: Full([1.0]), "covariance must be a square matrix"),
    (lambda: Isotropic(-1.0), "noise_variance must be finite and >= 0, got -1"),
    (lambda: Isotropic([1.0, 2.0]), r"noise_variance must be one number.*\(2,\).*Diagonal"),
    (lambda: Diagonal([1.0, -1.0]), r"variances must be finite and >= 0, got -1 \(entry 1\)"),
    (lambda: Diagonal([1.0, np.nan]), "variances must be finite and >= 0, got nan"),
    (lambda: Diagonal([]), "variances must not be empty"),
    (lambda: DoubleWell(tilt=np.inf), "tilt must be finite, got inf"),
    (lambda: DoubleWell(tilt=[0.0, 0.1]), r"tilt must be one number, got an array of shape \(2,\)"),
    (lambda: DoubleWell(noise_variance=-1), "noise_variance must be finite and >= 0, got -1"),
    (lambda: DoubleWell(noise_variance="big"), "noise_variance must be a real number"),
    (lambda: DoubleWell(noise_law="cauchy"), "noise_law must be one of 'gaussian', 'rademacher'"),
    (lambda: TwoMinima(curvatures=(1.0,)), "curvatures must hold two wells"),
    (lambda: TwoMinima(curvatures=3.0), "curvatures must hold two wells, got 3.0"),
    (lambda: TwoMinima(depths=(1.0, 2.0, 3.0)), "depths must hold two wells"),
    (lambda: TwoMinima(depths=(1.0, np.nan)), "depths must be finite, got nan"),
    (lambda: TwoMinima(curvatures=(1.0, 0.0)), "curvatures must be finite and > 0, got 0"),
    (lambda: TwoMinima(curvatures=((1.0, 2.0), 1.0)), r"one entry for each of the 1 dimensions"),
    (lambda: TwoMinima(dimension=0), "dimension must be an integer >= 1, got 0"),
    (lambda: TwoMinima(half_distance=0.0), "half_distance must be finite and > 0, got 0"),
    (lambda: TwoMinima(smoothing=-1.0), "smoothing must be finite and > 0, got -1"),
    (lambda: MatchedParabolas(well_curvature=0), "well_curvature must be finite and > 0, got 0"),
    (lambda: MatchedParabolas(barrier_curvature=-1), "barrier_curvature must be finite and > 0"),
    (lambda: MatchedParabolas(barrier_height=0), "barrier_height must be finite and > 0, got 0"),
    (lambda: MatchedParabolas(barrier_height=[1, 2]), "barrier_height must be one number"),
    (lambda: StyblinskiTang(0), "dimension must be an integer >= 1, got 0"),
    (lambda: MullerBrown(scale=0.0), "scale must be finite and > 0, got 0"),
    (lambda: MullerBrown(noise_law=""), "noise_law must be one of"),
]


@pytest.mark.parametrize(("build", "message"), BAD)
def test_bad_values_are_refused(build: Callable[[], Any], message: str) -> None:
    with refused(match=message):
        build()


@pytest.mark.parametrize(
    "build",
    [
        lambda: Quadratic(1.0, noise=0.5),
        lambda: PositionDependent(2.0),
        lambda: StyblinskiTang(1.5),
    ],
)
def test_wrong_types_are_refused(build: Callable[[], Any]) -> None:
    with pytest.raises(REFUSED):
        build()


@pytest.mark.parametrize(
    "noise",
    [Diagonal([1.0, 1.0, 1.0]), Diagonal(1.0), Full(np.eye(3))],
    ids=["diagonal", "scalar", "full"],
)
def test_noise_of_another_shape_is_refused(noise: GradientNoise) -> None:
    problem = Quadratic(HESSIAN, noise=noise)
    one, theta = jnp.asarray(1.0), jnp.ones(2)
    message = r"has shape .* where the parameters have shape \(2,\)"
    with refused(match=message):
        problem.noisy_gradient(theta, one, one, theta)
    with refused(match=message):
        problem.gradient_covariance(theta)
    with refused(match=message):
        ss.run(ss.SGD(problem, ss.Hyperparameters(0.1)), chains=2, steps=1, key=KEY)


@pytest.mark.parametrize("sampling", ["subset", "shuffle", "sideways"])
def test_analytic_problems_have_no_data_to_sample(sampling: str) -> None:
    with refused(match=f"sampling must be 'replacement'.*got '{sampling}'"):
        DoubleWell().sampler(sampling, 2)
