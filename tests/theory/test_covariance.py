"""Stationary covariances on quadratics: closed forms, the matrix equations, and simulated SGD.

Bounds are in standard errors that are derived in each test; those on simulations raise a false alarm
in one of 10⁶ sets of keys.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_agree, bound, covariance, deviations, refused
from scipy import linalg

import sde_sgd as ss

theory = ss.theory
CHAINS = 4000
MOMENTA = (0.0, 0.5, 0.9)
RATE = 0.1
# entries of covariances compared with simulations: d = 2, 5, 20 at three momenta
FAMILY = 3 * (3 + 15 + 210)


def hyper(rate=RATE, batch=4, momentum=0.0):
    return ss.Hyperparameters(rate, batch, momentum)


def matrices(dimension, top=12.0, seed=0):
    """H and C that do not commute, with ηλ_max = 1.2 at η = .1."""
    rng = np.random.default_rng([seed, dimension])
    pair = []
    for _ in range(2):
        factor = rng.normal(size=(dimension, 2 * dimension))
        pair.append(factor @ factor.T / (2 * dimension))
    H, C = pair
    H *= top / np.linalg.eigvalsh(H)[-1]
    assert dimension == 1 or np.abs(H @ C - C @ H).max() > 0.1 * np.abs(H @ C).max()
    return H, C


def by_the_full_equation(H, C, rate, batch, momentum):
    """The θ-block of X = A X Aᵀ + b (C/B) bᵀ over (θ, v), by scipy."""
    one = np.eye(len(H))
    A = np.block([[one - rate * H, -rate * momentum * one], [H, momentum * one]])
    b = np.vstack([-rate * one, one])
    return linalg.solve_discrete_lyapunov(A, b @ C @ b.T / batch)[: len(H), : len(H)]


@pytest.mark.parametrize("dimension", [1, 2, 7, 20])
@pytest.mark.parametrize("momentum", MOMENTA)
def test_discrete_covariance_solves_its_matrix_equation(dimension, momentum):
    H, C = matrices(dimension)
    sigma = theory.discrete_covariance(H, C, hyper(momentum=momentum))
    rate, m = float(np.float32(RATE)), float(np.float32(momentum))
    np.testing.assert_allclose(sigma, by_the_full_equation(H, C, rate, 4, m), rtol=1e-9, atol=1e-12)
    if momentum == 0:
        rest = H @ sigma + sigma @ H - rate * H @ sigma @ H - rate / 4 * C
        assert np.abs(rest).max() < 1e-12 * np.abs(C).max()
    sde = theory.lyapunov_covariance(H, C, hyper(momentum=momentum))
    np.testing.assert_allclose(H @ sde + sde @ H, rate / (4 * (1 - m)) * C, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("momentum", MOMENTA)
def test_heavy_ball_scalar_closed_form(momentum):
    """(ησ²/(Bh))(1 + m)/[(1 − m)(2(1 + m) − ηh)]."""
    for curvature in (0.3, 3.0, 15.0):
        found = theory.discrete_covariance([[curvature]], [[2.0]], hyper(momentum=momentum))[0, 0]
        m = momentum
        exact = RATE * 2 / (4 * curvature) * (1 + m) / ((1 - m) * (2 * (1 + m) - RATE * curvature))
        np.testing.assert_allclose(found, exact, rtol=2e-6)


def shuffled_closed_form(rate, batch, size):
    """At the end of an epoch, on L = (w − y)²/2 with population variance one."""
    count, decay = size // batch, 1 - rate
    powers = decay ** np.arange(count)
    own = (size - batch) / (size - 1) / batch
    spread = (powers**2).sum() - powers.sum() ** 2 / count
    return rate**2 * own * count / (count - 1) * spread / (1 - decay ** (2 * count))


@pytest.mark.parametrize(
    ("rate", "batch", "replacement", "subset", "shuffle"),
    [
        (0.1, 4, 0.01316, 0.01253, 0.0051),
        (0.2, 8, 0.01389, 0.01235, 0.0056),
        (0.4, 16, 0.01562, 0.0119, 0.0065),
    ],
)
def test_three_samplings_by_the_table(rate, batch, replacement, subset, shuffle):
    """N = 64, h = σ = 1. The table's shuffled numbers are averages over an epoch, to two digits."""
    found = {
        sampling: theory.discrete_covariance(
            [[1.0]], [[1.0]], hyper(rate, batch), sampling=sampling, dataset_size=64, average=True
        )[0, 0]
        for sampling in ("replacement", "subset", "shuffle")
    }
    assert found["replacement"] == pytest.approx(replacement, abs=6e-6)
    assert found["subset"] == pytest.approx(subset, abs=6e-6)
    assert found["shuffle"] == pytest.approx(shuffle, abs=1e-4)
    end = theory.discrete_covariance(
        [[1.0]], [[1.0]], hyper(rate, batch), sampling="shuffle", dataset_size=64
    )
    np.testing.assert_allclose(end[0, 0], shuffled_closed_form(rate, batch, 64), rtol=1e-6)


@pytest.mark.parametrize("sampling", ["shuffle", "shuffle_all"])
@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_shuffled_epochs_by_brute_force(momentum, sampling):
    """The noise of a whole epoch as one long vector with its covariance written out; N = 23, B = 5, and a
    last batch of the 3 that are left or none."""
    H, C = matrices(3)
    rate, m, batch, size = float(np.float32(0.1)), float(np.float32(momentum)), 5, 23
    one, sizes = np.eye(3), np.array([5, 5, 5, 5, 3][: 4 if sampling == "shuffle" else 5])
    count = len(sizes)
    A = np.block([[one - rate * H, -rate * m * one], [H, m * one]])
    b = np.vstack([-rate * one, one])
    own, cross = (size - sizes) / (sizes * (size - 1)), -1 / (size - 1)
    between = np.kron(np.full((count, count), cross) + np.diag(own - cross), C)

    def added(steps):
        columns = [np.linalg.matrix_power(A, steps - 1 - j) @ b for j in range(steps)]
        kicks = np.hstack(columns)
        return kicks @ between[: 3 * steps, : 3 * steps] @ kicks.T

    end = linalg.solve_discrete_lyapunov(np.linalg.matrix_power(A, count), added(count))
    within = [
        np.linalg.matrix_power(A, j) @ end @ np.linalg.matrix_power(A, j).T + added(j)
        for j in range(1, count + 1)
    ]
    options = {"sampling": sampling, "dataset_size": size}
    setting = hyper(batch=batch, momentum=momentum)
    np.testing.assert_allclose(theory.discrete_covariance(H, C, setting, **options), end[:3, :3], rtol=1e-9)
    mean = np.mean(within, axis=0)[:3, :3]
    found = theory.discrete_covariance(H, C, setting, average=True, **options)
    np.testing.assert_allclose(found, mean, rtol=1e-9)


def test_the_sde_is_the_limit_of_small_steps():
    H, C = matrices(4)
    errors = []
    for rate, batch in ((0.01, 1), (0.005, 1)):
        exact = theory.discrete_covariance(H, C, hyper(rate, batch))
        errors.append(np.abs(theory.lyapunov_covariance(H, C, hyper(rate, batch)) / exact - 1).max())
    assert 1.9 < errors[0] / errors[1] < 2.1


# Against simulated SGD


@functools.cache
def simulated(dimension):
    """Ends of 3 × CHAINS chains, CHAINS for each momentum, in one run."""
    H, C = matrices(dimension)
    problem = ss.problems.Quadratic(H, noise=ss.problems.Full(C))
    setting = ss.Hyperparameters(RATE, 4, np.repeat(MOMENTA, CHAINS))
    # e^-2·rate·λ_min·steps of the start at zero is left
    slowest = RATE * np.linalg.eigvalsh(H)[0]
    steps = int(np.ceil(10 / slowest))
    result = ss.run(
        ss.SGD(problem, setting),
        chains=3 * CHAINS,
        steps=steps,
        key=jax.random.key(dimension),
        initial=jnp.zeros(dimension),
    )
    return np.asarray(result.theta, np.float64).reshape(3, CHAINS, dimension)


def mean_square(rows, sigma):
    """θᵀΣ⁻¹θ/d over the rows in standard errors from 1, its value if Σ is right, by its own spread."""
    square = np.einsum("ni,ni->n", rows, np.linalg.solve(sigma, rows.T).T) / len(sigma)
    return (square.mean() - 1) / (square.std(ddof=1) / np.sqrt(len(rows)))


@pytest.mark.parametrize("dimension", [2, 5, pytest.param(20, marks=pytest.mark.script)])
def test_simulated_sgd_has_the_exact_covariance(dimension):
    """Random H, C that do not commute, ηλ_max = 1.2, m = 0, .5, .9; 4000 chains each.

    Null: Cov θ = Σ. Each of the d(d + 1)/2 entries in Σ's own axes, within the bound for all of
    them and all tests of this file (false alarm 1e-6 in all); their total θᵀΣ⁻¹θ/d within 3
    standard errors (false alarm .0027 each of nine, at fixed keys). The SDE's Σ is excluded by more
    than 10, by the worst entry of the covariance.
    """
    H, C = matrices(dimension)
    for number, momentum in enumerate(MOMENTA):
        rows = simulated(dimension)[number]
        sigma = theory.discrete_covariance(H, C, hyper(momentum=momentum))
        found, error = covariance(rows @ np.linalg.inv(np.linalg.cholesky(sigma)).T)
        upper = np.triu_indices(dimension)
        assert_agree(found[upper], np.eye(dimension)[upper], error[upper], count=FAMILY)
        assert abs(mean_square(rows, sigma)) < 3
        sde = theory.lyapunov_covariance(H, C, hyper(momentum=momentum))
        # the axis where the two differ most, as a quadratic form
        _, axes = linalg.eigh(sigma, sde)
        gaps = []
        for axis in axes.T:
            square = (rows @ axis) ** 2
            gaps.append((square.mean() - axis @ sde @ axis) / (square.std() / np.sqrt(CHAINS)))
        assert np.abs(gaps).max() > 10


def wrong_formulas(H, C, momentum):
    rate, batch = float(np.float32(RATE)), 4
    right = by_the_full_equation(H, C, rate, batch, momentum)
    yield "factor 2", 2 * right
    yield "batch one too small", by_the_full_equation(H, C, rate, batch - 1, momentum)
    yield "batch one too large", by_the_full_equation(H, C, rate, batch + 1, momentum)
    yield "no third term", theory.lyapunov_covariance(H, C, hyper(momentum=momentum))
    yield "commuting", right * np.eye(len(H))


@pytest.mark.parametrize("number", range(len(MOMENTA)))
def test_planted_wrong_covariances_are_caught(number):
    """The same whitened test as above, for d = 5, must fail for each."""
    H, C = matrices(5)
    rows = simulated(5)[number]
    for fault, sigma in wrong_formulas(H, C, MOMENTA[number]):
        found, error = covariance(rows @ np.linalg.inv(np.linalg.cholesky(sigma)).T)
        z = deviations(found, np.eye(5), error)
        assert np.abs(z).max() > bound(FAMILY), fault


def test_planted_missing_shuffle_is_caught():
    """Neither white law is near the shuffled one, in theory: see test_sampling for simulated epochs."""
    found = [
        theory.discrete_covariance([[1.0]], [[1.0]], hyper(), sampling=sampling, dataset_size=64)[0, 0]
        for sampling in ("subset", "shuffle")
    ]
    assert found[1] < 0.25 * found[0]


# Single directions


def test_variances_along_eigenvectors_need_no_matrix():
    """Exact although H and C do not commute, for all three samplings."""
    H, C = matrices(6)
    values, vectors = np.linalg.eigh(H)
    strengths = np.einsum("ia,ij,ja->a", vectors, C, vectors)
    for options in (
        {"law": "sde"},
        {"law": "sgd"},
        {"law": "sgd", "sampling": "subset", "dataset_size": 40},
        {"law": "sgd", "sampling": "shuffle", "dataset_size": 40, "average": True},
    ):
        law = options.pop("law")
        full = {"sde": theory.lyapunov_covariance, "sgd": theory.discrete_covariance}[law]
        sigma = full(H, C, hyper(momentum=0.5), **options)
        found = theory.directional_variance(values, strengths, hyper(momentum=0.5), law=law, **options)
        np.testing.assert_allclose(found, np.diag(vectors.T @ sigma @ vectors), rtol=1e-9)
    assert theory.directional_variance([2.0], [1.0], hyper()).shape == (1,)


@pytest.mark.parametrize("law", ["sgd", "sde"])
def test_krylov_variance_converges_and_knows_its_error(law):
    H, C = matrices(60)
    direction = np.random.default_rng(1).normal(size=60)
    full = {"sde": theory.lyapunov_covariance, "sgd": theory.discrete_covariance}[law]
    exact = direction @ full(H, C, hyper()) @ direction
    for order in (8, 16, 32):
        found = theory.krylov_variance(H, lambda v: C @ v, direction, hyper(), order=order, law=law)
        assert found.order == order
        assert abs(found.variance - exact) < 2 * found.error + 1e-12 * exact
    assert abs(found.variance / exact - 1) < 1e-4
    closed = theory.krylov_variance(H, C, np.linalg.eigh(H)[1][:, 3], hyper(), law=law)
    assert (closed.order, closed.error) == (1, 0.0)


def test_products_are_those_of_the_matrices():
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(12, 3)), rng.normal(size=12), np.array([0.3, -0.2, 0.1])
    data = ss.problems.linear_regression(ss.data.Dataset(x, y))
    slopes = x * (x @ w - y)[:, None]
    H, C = matrices(3)
    quadratic = ss.problems.Quadratic(H, noise=ss.problems.Full(C))
    theta = [{"weight": jnp.asarray(w[:, None], jnp.float32)}]
    for problem, at, matrix, spread in (
        (data, theta, x.T @ x / 12, np.cov(slopes.T, bias=True)),
        (quadratic, jnp.zeros(3), H, C),
    ):
        of_hessian, of_covariance = theory.products(problem, at)
        np.testing.assert_allclose(of_hessian @ np.eye(3), matrix, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(of_covariance @ np.eye(3), spread, rtol=1e-4, atol=1e-5)


def test_a_problem_at_its_minimum():
    H, C = matrices(3)
    problem = ss.problems.Quadratic(H, noise=ss.problems.Full(C))
    found = theory.stationary_covariance(problem, hyper(), at=jnp.ones(3))
    np.testing.assert_allclose(found, theory.discrete_covariance(H, C, hyper()), rtol=1e-4)
    sde = theory.stationary_covariance(problem, hyper(), law="sde")
    np.testing.assert_allclose(sde, theory.lyapunov_covariance(H, C, hyper()), rtol=1e-4)
    one = theory.stationary_covariance(ss.problems.DoubleWell(), hyper())
    np.testing.assert_allclose(one, [[0.1 / (4 * 2 * (2 - 0.2))]], rtol=1e-5)


# Temperatures


def test_effective_temperatures():
    H, C = matrices(5)
    found = theory.effective_temperature(H, C, hyper())
    sigma = theory.discrete_covariance(H, C, hyper())
    values, vectors = np.linalg.eigh(H)
    np.testing.assert_allclose(
        found.temperatures, 2 * values * np.diag(vectors.T @ sigma @ vectors), rtol=1e-9
    )
    np.testing.assert_allclose(found.virial, np.trace(H @ sigma), rtol=1e-9)
    np.testing.assert_allclose(found.excess_loss, np.trace(H @ sigma) / 2, rtol=1e-9)
    resolvent = np.linalg.solve(2 * np.eye(5) - RATE * H, C)
    np.testing.assert_allclose(found.virial, RATE / 4 * np.trace(resolvent), rtol=1e-6)
    np.testing.assert_allclose(found.first_order.sum() / 2, RATE / 8 * np.trace(C), rtol=1e-6)
    sde = theory.effective_temperature(H, C, hyper(momentum=0.5), law="sde")
    np.testing.assert_allclose(sde.temperatures, sde.first_order, rtol=1e-9)
    assert found.anisotropy > 1


@pytest.mark.parametrize("sampling", ["subset", "shuffle", "shuffle_all"])
def test_without_noise_every_temperature_is_zero(sampling):
    """B = N, or C = 0: no ratio of temperatures, and no sign of 0; with noise on one axis it is infinite."""
    H, C = matrices(2)
    for noise, size in ((C, 4), (0 * C, 12)):
        found = theory.effective_temperature(H, noise, hyper(), sampling=sampling, dataset_size=size)
        assert found.temperatures.tolist() == [0.0, 0.0]
        assert not np.signbit(found.temperatures).any()
        assert np.isnan(found.anisotropy)
    one = theory.effective_temperature(np.diag([1.0, 2.0]), np.diag([1.0, 0.0]), hyper())
    assert one.anisotropy == np.inf


def test_c_equal_to_h_gives_a_quarter_of_eta_over_b_times_the_trace():
    """C = H: Σ = (η/2B) I of the SDE, and E L − L* = (η/4B) Tr H."""
    H, _ = matrices(5)
    np.testing.assert_allclose(theory.lyapunov_covariance(H, H, hyper()), RATE / 8 * np.eye(5), atol=1e-9)
    found = theory.effective_temperature(H, H, hyper(), law="sde")
    np.testing.assert_allclose(found.excess_loss, RATE / 16 * np.trace(H), rtol=1e-6)


def test_stationarity_identities():
    """Both, from the exact second moments of (θ, v); m = .5 for the one with the buffer."""
    H, C = matrices(4)
    sigma = theory.discrete_covariance(H, C, hyper())
    found = theory.virial(hyper(), square_gradient=np.trace(H @ sigma @ H), noise_trace=np.trace(C))
    np.testing.assert_allclose(found, np.trace(H @ sigma), rtol=1e-6)
    m, one = 0.5, np.eye(4)
    A = np.block([[one - RATE * H, -RATE * m * one], [H, m * one]])
    b = np.vstack([-RATE * one, one])
    whole = linalg.solve_discrete_lyapunov(A, b @ C @ b.T / 4)
    found = theory.virial_with_momentum(hyper(momentum=m), square_velocity=np.trace(whole[4:, 4:]))
    np.testing.assert_allclose(found, np.trace(H @ whole[:4, :4]), rtol=1e-6)


# Refusals


def test_bad_input():
    H, C = matrices(3)
    skew = H + np.triu(np.ones((3, 3)), 1)
    with refused(match="hessian must be symmetric"):
        theory.discrete_covariance(skew, C, hyper())
    with refused(match="gradient_covariance must be symmetric"):
        theory.lyapunov_covariance(H, skew, hyper())
    with refused(match="hessian must be positive semi-definite, its lowest eigenvalue is -1"):
        theory.discrete_covariance(np.diag([1.0, -1.0]), np.eye(2), hyper())
    with refused(match=r"hessian must be positive definite, its lowest eigenvalue is 0.*EᵀHE"):
        theory.discrete_covariance(np.diag([1.0, 0.0]), np.eye(2), hyper())
    with refused(match="gradient_covariance must be positive semi-definite"):
        theory.discrete_covariance(np.eye(2), np.diag([1.0, -1.0]), hyper())
    with refused(match=r"must be < 2 \(1 \+ momentum\) = 2, got 0.2 \* 12 = 2.4"):
        theory.discrete_covariance(H, C, hyper(0.2))
    with refused(match=r"learning rate below 0\.16"):
        theory.discrete_covariance(H, C, hyper(0.2))
    theory.discrete_covariance(H, C, hyper(0.2, momentum=0.5))
    theory.lyapunov_covariance(H, C, hyper(0.2))
    with refused(match=r"= 3, got 0.3 \* 12"):
        theory.discrete_covariance(H, C, hyper(0.3, momentum=0.5))
    with refused(match="shape of hessian"):
        theory.discrete_covariance(H, np.eye(2), hyper())
    with refused(match="give dataset_size=N"):
        theory.discrete_covariance(H, C, hyper(), sampling="shuffle")
    with refused(match="batch_size must be <= dataset_size = 3"):
        theory.discrete_covariance(H, C, hyper(), sampling="subset", dataset_size=3)
    with refused(match="no matching SDE"):
        theory.lyapunov_covariance(H, C, hyper(), sampling="shuffle", dataset_size=30)
    with refused(match="one for each chain"):
        theory.discrete_covariance(H, C, ss.Hyperparameters([0.1, 0.2]))
    with refused(match="hyper must be Hyperparameters"):
        theory.discrete_covariance(H, C, 0.1)
    with pytest.raises(ss.problems.NotKnownError, match="give at="):
        theory.stationary_covariance(ss.problems.softmax_regression(ss.data.wine()), hyper())
    with refused(match=r"must lie near a minimum, got"):
        theory.stationary_covariance(ss.problems.DoubleWell(), hyper(), at=jnp.asarray(0.0))
    with refused(match="one for each direction"):
        theory.directional_variance([1.0, 2.0], [1.0], hyper())
    with refused(match="noise_variances must be >= 0"):
        theory.directional_variance([1.0], [-1.0], hyper())
    with refused(match="direction must be a vector that is not zero"):
        theory.krylov_variance(H, C, np.zeros(3), hyper())
    with refused(match="direction has 3 entries"):
        theory.krylov_variance(np.eye(2), C, np.ones(3), hyper())
    with refused(match="order must be"):
        theory.krylov_variance(H, C, np.ones(3), hyper(), order=1)
    with refused(match="Use virial_with_momentum"):
        theory.virial(hyper(momentum=0.5), square_gradient=1.0, noise_trace=1.0)
    with refused(match="within a shuffled epoch"):
        theory.virial(hyper(), square_gradient=1.0, noise_trace=1.0, sampling="shuffle")
    with refused(match="square_velocity must be finite and >= 0"):
        theory.virial_with_momentum(hyper(), square_velocity=-1.0)
