"""`Langevin` as it comes integrates the SDE, with the stationary law that the SDE has.

Statistical bounds are z standard errors at fixed keys with a false-alarm rate of 10⁻⁶ a test
(`helpers.bound`); a margin that is meant (1 %, .01) is added to them.
"""

from functools import partial

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ONE_EULER_STEP, assert_agree, bound, class_data, float64, refused, regression_data
from scipy import linalg

import sde_sgd as ss
from sde_sgd.processes import LeimkuhlerMatthews

WELL = ss.problems.DoubleWell(noise_variance=0.5)
HOT = ss.Hyperparameters(0.4, 1)  # T = .2
CHAINS = 100_000
NORMAL = ss.problems.Isotropic(1.0)
BENT = ss.problems.PositionDependent(jnp.ones_like)  # a constant that the problem does not know to be one
HESSIAN = np.array([[0.5, 0.15], [0.15, 0.2]])
CROSSED = np.array([[1.0, -0.6], [-0.6, 2.0]])  # does not commute with it


def settled(process, key, chains=CHAINS, steps=150):
    """Samples of the stationary law on a quadratic, started from 0."""
    problem = process.problem
    start = jnp.zeros_like(problem.minima()[0])
    return np.asarray(ss.run(process, chains=chains, steps=steps, key=key, initial=start).theta, np.float64)


# What is chosen

DATA = ss.problems.linear_regression(regression_data(24))
CHOICES = {
    "σ²I": (WELL, {}, LeimkuhlerMatthews, 1),
    "data with σ²I": (
        ss.problems.TiltedNoiseData(WELL, dataset_size=8, key=jax.random.key(0)), {}, LeimkuhlerMatthews, 1,
    ),
    "constant": (ss.problems.Quadratic(HESSIAN, noise=ss.problems.Full(CROSSED)), {}, diffrax.Heun, 4),
    "of θ": (ss.problems.Quadratic(1.0, noise=BENT), {}, diffrax.Euler, 32),
    "of data": (DATA, {}, diffrax.Euler, 32),
    "reshaped": (WELL, {"noise": "isotropic"}, diffrax.Euler, 32),
    "two-point": (WELL, {"increments": "two_point"}, diffrax.Euler, 32),
    "none": (DATA, {"noise": "none"}, diffrax.Heun, 4),
    "Euler": (WELL, {"solver": diffrax.Euler()}, diffrax.Euler, 32),
    "ShARK": (WELL, {"solver": diffrax.ShARK()}, diffrax.ShARK, 4),
}  # fmt: skip


@pytest.mark.parametrize("name", CHOICES)
def test_the_solver_and_its_substeps_follow_from_the_noise(name):
    problem, options, solver, substeps = CHOICES[name]
    process = ss.Langevin(problem, HOT, **options)
    assert type(process.solver) is solver
    assert process.substeps == substeps
    assert ss.Langevin(problem, HOT, **options, substeps=3).substeps == 3
    assert not process.is_gaussian_sgd


# The stationary law


@pytest.mark.script
@pytest.mark.parametrize("name", ["σ²I", "constant", "of θ"])
def test_the_default_has_the_stationary_variance_of_the_sde_within_a_hundredth(name, key):
    """At ηh = ½, the largest step promised: HΣ + ΣH = (η/B) C. One step of Euler's method is 1/3 off."""
    problem = {
        "σ²I": ss.problems.Quadratic(HESSIAN, noise=NORMAL),
        "constant": ss.problems.Quadratic(HESSIAN, noise=ss.problems.Full(CROSSED)),
        "of θ": ss.problems.Quadratic(1.0, noise=BENT),
    }[name]
    hessian = np.atleast_2d(HESSIAN if name != "of θ" else 1.0)
    covariance = CROSSED if name == "constant" else np.eye(len(hessian))
    rate = 0.5 / np.linalg.eigvalsh(hessian)[-1]
    hyper = ss.Hyperparameters(rate, 1)
    exact = linalg.solve_continuous_lyapunov(hessian, rate * covariance)
    # variances along the eigenvectors of H and along the axes
    along = np.concatenate([np.linalg.eigh(hessian)[1].T, np.eye(len(hessian))])
    wanted = np.einsum("ki,ij,kj->k", along, exact, along)

    def ratios(process):
        steps = round(7 / (rate * np.linalg.eigvalsh(hessian)[0]))  # e⁻¹⁴ is left of the start
        return (settled(process, key, many, steps).reshape(many, -1) @ along.T).var(axis=0) / wanted

    many = 1_000_000
    error = bound(len(along)) * (2 / many) ** 0.5
    assert np.all(np.abs(ratios(ss.Langevin(problem, hyper)) - 1) < 0.01 + error)
    one_step = ratios(ss.Langevin(problem, hyper, **ONE_EULER_STEP))
    assert one_step.max() > 1.2


@pytest.mark.script
@pytest.mark.parametrize(
    ("momentum", "noise"),
    [(0.95, NORMAL), (0.3, BENT)],
    ids=["QUICSORT", "Verlet"],
)
def test_the_underdamped_default_has_the_stationary_variance_within_a_hundredth(momentum, noise, key):
    """Null: T/(2h) with T = η/(1 − m), at ηh = ½; one solver step is 6 and 4 % off there."""
    many, hyper = 400_000, ss.Hyperparameters(0.5, 1, momentum=momentum)
    problem = ss.problems.Quadratic(1.0, noise=noise)

    def ratio(process):
        return settled(process, key, many, 150).var() / (0.25 / (1 - momentum))

    error = bound() * (2 / many) ** 0.5
    assert abs(ratio(ss.UnderdampedLangevin(problem, hyper)) - 1) < 0.01 + error
    assert abs(ratio(ss.UnderdampedLangevin(problem, hyper, substeps=1)) - 1) > 0.01 + error


@pytest.mark.script
def test_the_default_knows_that_a_schedule_may_jump(key):
    """η in every other step only: η/(2h) as with the same η in all, at ηh = .025 and .5."""
    problem, on_off = ss.problems.Quadratic(0.05), lambda step: jnp.where(step % 2 == 0, 1.0, 0.0)
    for rate, steps in ((0.5, 600), (10.0, 40)):
        process = ss.Langevin(problem, ss.Hyperparameters(rate, 1), schedule=on_off)
        exact = rate / (2 * 0.05)
        error = bound(2) * (2 / CHAINS) ** 0.5
        assert abs(settled(process, key, CHAINS, steps).var() / exact - 1) < 0.01 + error


@pytest.mark.parametrize("rate", [0.1, 1.0, 1.9])
def test_one_gradient_a_step_has_the_exact_variance_of_a_quadratic_at_any_stable_step(rate, key):
    """Null: T/2 at h = 1, for every rate; Euler's is T/(2 − η)."""
    process = ss.Langevin(ss.problems.Quadratic(1.0), ss.Hyperparameters(rate, 1))
    samples = settled(process, key, steps=round(100 if rate > 1 else 20 / rate))
    assert_agree(samples.var(), rate / 2, rate / 2 * (2 / CHAINS) ** 0.5)


@pytest.mark.script
def test_the_double_well_is_gibbs_within_a_hundredth_where_one_euler_step_is_not(key):
    """At η = .4, T = .2. The law of n points has a KS distance of up to 1.95/√n at level .001."""
    gibbs = ss.theory.gibbs(WELL, HOT)
    start = gibbs.sample(CHAINS, key=jax.random.key(9))

    def distance(**options):
        process = ss.Langevin(WELL, HOT, **options)
        ends = ss.run(process, chains=CHAINS, steps=100, key=key, initial=start, progress=False)
        return ss.statistics.kolmogorov_smirnov(ends, gibbs).value

    assert distance() < 0.01
    assert distance(substeps=2) < 0.0062
    # the quartic walls are too steep for Euler's step
    with pytest.warns(UserWarning, match="More substeps help"):
        assert distance(**ONE_EULER_STEP) > 0.06


def test_a_wrong_weight_of_the_second_increment_is_caught(monkeypatch, key):
    """Planted: one increment in place of the mean of two, which is Euler's method: a third too much."""
    right = LeimkuhlerMatthews.step

    def own_alone(self, terms, t0, t1, y0, args, _, made_jump):
        return right(self, terms, t0, t1, y0, args, terms.contr(t0, t1)[1], made_jump)

    monkeypatch.setattr(LeimkuhlerMatthews, "step", own_alone)
    hyper = ss.Hyperparameters(0.5, 1, momentum=np.zeros(CHAINS))  # compiled afresh
    samples = settled(ss.Langevin(ss.problems.Quadratic(1.0), hyper), key, steps=40)
    assert abs(samples.var() / 0.25 - 1) > 0.2


# Each increment is used twice, whatever the cut


def free(substeps):
    """No force: θ moves by its noise alone."""
    return ss.Langevin(ss.problems.Quadratic(np.zeros((1, 1))), ss.Hyperparameters(1.0), substeps=substeps)


@pytest.mark.parametrize("substeps", [1, 3])
def test_neighbouring_moves_share_one_increment(substeps, key):
    """Null: moves of one substep have variance dt/2, neighbours the covariance dt/4, others none."""
    process, chains, steps = free(substeps), 20_000, 4
    chain = ss.random.chain_numbers(chains)

    @jax.jit
    def path(state):
        words = process.streams(key)

        def move(state, place):
            step, number = place // substeps, place % substeps
            kick = process.increment(state, step, number, words)
            moved = process.substep(state, step, number, words, kick)
            return moved, moved.theta - state.theta

        return jax.lax.scan(move, state, jnp.arange(steps * substeps))

    begun = process.init(jnp.zeros((chains, 1)), chain)
    end, moves = path(begun)
    moves = np.asarray(moves, np.float64)[..., 0]
    dt = 1 / substeps
    products = moves @ moves.T / chains
    wanted = dt / 2 * np.eye(len(moves)) + dt / 4 * (np.eye(len(moves), k=1) + np.eye(len(moves), k=-1))
    # Isserlis: Var(xy) = Var x Var y + Cov²
    error = np.sqrt((np.outer(np.diag(wanted), np.diag(wanted)) + wanted**2) / chains)
    assert_agree(products, wanted, error)
    whole = jax.jit(lambda state: process.advance(state, start=0, steps=steps, key=key))(begun)
    np.testing.assert_allclose(whole.theta, end.theta, atol=1e-5)


def test_the_noise_of_one_clock_step_sums_to_a_unit_normal(key):
    """What SGD is given to share the noise: the Brownian part, not the smoothed one."""
    process = free(3)
    state = process.init(jnp.zeros((CHAINS, 1)), ss.random.chain_numbers(CHAINS))
    words, at = process.streams(key), jnp.asarray(5)
    total = sum(process.brownian_part(process.increment(state, at, number, words)) for number in range(3))
    assert_agree(np.asarray(total, np.float64).var(), 1.0, (2 / CHAINS) ** 0.5)


@pytest.mark.parametrize("solver", [None, LeimkuhlerMatthews()], ids=["default", "LeimkuhlerMatthews"])
def test_a_schedule_of_zero_does_not_move(solver, key):
    process = ss.Langevin(WELL, HOT, solver=solver, schedule=lambda step: jnp.where(step < 5, 0.0, 1.0))
    state = process.init(jnp.linspace(-1, 1, 7), ss.random.chain_numbers(7))
    still = process.advance(state, start=0, steps=5, key=key).theta
    np.testing.assert_array_equal(still, state.theta)
    assert np.all(np.asarray(process.advance(state, start=0, steps=6, key=key).theta) != state.theta)


def test_in_double_precision(key):
    with float64():
        process = ss.Langevin(ss.problems.DoubleWell(noise_variance=0.5), ss.Hyperparameters(0.4, 1))
        state = process.init(jnp.ones((3,)), ss.random.chain_numbers(3))
        assert process.advance(state, start=0, steps=2, key=key).theta.dtype == jnp.float64


@pytest.mark.script
def test_the_weak_error_takes_the_default():
    """From a point at rest on a quadratic, E θ² of SGD and of its SDE at t = 2 are both known; the SDE's
    scheme lacks half an increment at first, η²σ²/2 e^{−2t}, below what is resolved here."""
    hyper = ss.Hyperparameters(0.1)
    found = ss.validity.weak_error(
        ss.problems.Quadratic(1.0), hyper, time=2.0, chains=20_000, key=jax.random.key(4),
        process=partial(ss.Langevin, substeps=8), observables=lambda x: x**2, initial=jnp.ones(()),
    )  # fmt: skip
    a = (1 - 0.1) ** 20
    sgd = a**2 + 0.01 * (1 - a**2) / (1 - 0.81)
    sde = np.exp(-4.0) + 0.05 * (1 - np.exp(-4.0))
    # of the scheme itself, at dt = η/8: (ηdt)/2 of the drift twice, and half an increment
    scheme = np.exp(-4.0) * (0.1 / 8) * (2 + 0.1)
    assert_agree(found.value[0], sgd - sde, found.standard_error[0] + scheme / bound(1))


# It is called what it is


def test_one_euler_step_is_called_what_it_is():
    one, sde = ss.Langevin(WELL, HOT, **ONE_EULER_STEP), ss.Langevin(WELL, HOT)
    assert one.is_gaussian_sgd
    assert "Euler, 1 substep: SGD with Gaussian noise, not the SDE" in repr(one)
    assert "LeimkuhlerMatthews, 1 substep)" in repr(sde)
    assert "learning_rate=0.4, batch_size=1" in repr(sde)
    assert "(100,)" not in repr(sde) and "momentum=0" in repr(sde)
    assert not ss.Langevin(WELL, HOT, noise="none", substeps=1).is_gaussian_sgd
    runs = {
        "SDE": ss.run(sde, chains=50, steps=2, key=jax.random.key(0), record={"x": lambda x: x}),
        "fake": ss.run(one, chains=50, steps=2, key=jax.random.key(0), record={"x": lambda x: x}),
    }
    for figure in (ss.plot.histograms(**runs), ss.plot.curves("x", **runs)):
        labels = [text.get_text().replace("\n", " ") for text in figure.axes[0].get_legend().get_texts()]
        assert labels == ["SDE", "fake (one Euler step: SGD with Gaussian noise)"]


def test_solvers_that_do_not_fit_are_refused():
    solver = LeimkuhlerMatthews()
    network = ss.problems.mlp(class_data(), hidden=(3,))
    with refused(match="LeimkuhlerMatthews converges to the Itô solution only for noise that"):
        ss.Langevin(network, HOT, solver=solver)
    with refused(match="without noise is Euler's method, got noise='none'"):
        ss.Langevin(WELL, HOT, solver=solver, noise="none")
    with refused(match=r"increments='two_point' needs solver=diffrax.Euler\(\), got Leim"):
        ss.Langevin(WELL, HOT, solver=solver, increments="two_point")
