"""The underdamped SDE: its stationary law, its transient beside SGD with momentum, its weak error."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_agree, bound, covariance, refused, regression_data
from scipy.linalg import expm

import sde_sgd as ss
from sde_sgd.validity import weak_error

HYPER = ss.Hyperparameters(0.1, 2, momentum=0.9)


@jax.jit
def advance(process, state, steps, key):
    return process.advance(state, start=0, steps=steps, key=key)


def settled(process, chains, dimension=()):
    """θ and p = −√η v of every chain after 200 steps: the variances are within e⁻²⁰ of their limits."""
    state = process.init(jnp.zeros((chains, *dimension)), ss.random.chain_numbers(chains))
    state = advance(process, state, 200, jax.random.key(1))
    p = -np.sqrt(np.asarray(process.hyper.learning_rate)) * np.asarray(state.extra["velocity"])
    return np.stack([np.asarray(state.theta), p], axis=1)


@pytest.mark.script
def test_stationary_covariance_on_a_quadratic():
    """C = diag(σ₁², σ₂²), H = diag(1, 3): Cov(θ_i, p_i) = diag(T_i/2h_i, T_i/2), T_i = ησ_i²/((1 − m)B).

    SGD itself has 1/(1 − ηh/(2(1+m))) times the first, 8.6 % more at h = 3; 40,000 chains have a
    standard error of .7 %.
    """
    noise = ss.problems.Diagonal([0.5, 2.0])
    problem = ss.problems.Quadratic([[1.0, 0.0], [0.0, 3.0]], noise=noise)
    pairs = settled(ss.UnderdampedLangevin(problem, HYPER), 40_000, (2,))
    for axis, (variance, curvature) in enumerate(((0.5, 1.0), (2.0, 3.0))):
        found, error = covariance(pairs[:, :, axis])
        half = 0.1 * variance / (2 * 0.1 * 2)
        assert_agree(found, np.diag([half / curvature, half]), error, count=8)
        # planted: T for T/2
        assert abs(found[0, 0] - 2 * half / curvature) > 50 * error[0, 0]
    sgd = half / 3 / (1 - 0.1 * 3 / (2 * 1.9))
    assert abs(found[0, 0] - sgd) > bound() * error[0, 0]


@pytest.mark.script
def test_align_with_substeps_has_the_same_law():
    """Of second order: one step of length √η = .32 adds 1.7 % to Var θ, four a sixteenth of it, unseen."""
    problem = ss.problems.Quadratic(1.0, noise_variance=0.8)
    process = ss.UnderdampedLangevin(problem, HYPER, solver=diffrax.ALIGN(), substeps=4)
    found, error = covariance(settled(process, 20_000))
    assert_agree(found, np.diag([0.2, 0.2]), error, count=4)


@pytest.mark.script
def test_stationary_covariance_with_the_noise_of_real_minibatches():
    """The position Verlet step, whose θ has an error O(δ²): here ηh/n² (1 + …)/8 < 2·10⁻³ of the variance."""
    tilted = ss.problems.TiltedNoiseData(
        ss.problems.Quadratic(1.0), dataset_size=8, noise_variance=0.8, key=jax.random.key(2)
    )
    process = ss.UnderdampedLangevin(tilted, HYPER, substeps=4)
    assert process.solver is None
    found, error = covariance(settled(process, 20_000))
    assert_agree(found, np.diag([0.2, 0.2]), error + 2e-3 * 0.2, count=4)


@pytest.mark.script
@pytest.mark.parametrize(("on_data", "order"), [(False, 3), (True, 2)], ids=["QUICSORT", "position Verlet"])
def test_the_transient_is_that_of_the_damped_oscillator(on_data, order):
    """Without noise: dθ = −ηv dk, dv = (θ − (1 − m)v) dk from θ = 1, v = 0, by its matrix exponential.

    At fixed friction (1 − m)/√η = ½ heavy-ball SGD is O(√η) from it and the overdamped SDE is far. The
    solvers' own error falls with their order in the step √η.
    """
    problem = ss.problems.Quadratic(1.0, noise_variance=0.0)
    if on_data:
        problem = ss.problems.TiltedNoiseData(
            problem, dataset_size=2, noise_variance=0.0, key=jax.random.key(2)
        )
    gaps, own = [], []
    for rate in (0.04, 0.01, 0.0025):
        friction = 0.5 * rate**0.5
        hyper = ss.Hyperparameters(rate, 1, 1 - friction)
        exact_step = expm(np.asarray([[0.0, -rate], [1.0, -friction]]))
        exact, paths = np.asarray([1.0, 0.0]), []
        processes = [
            ss.UnderdampedLangevin(problem, hyper, substeps=1),
            ss.SGD(problem, hyper),
            ss.Langevin(problem, hyper, substeps=4),
        ]
        states = [process.init(jnp.ones((1,)), ss.random.chain_numbers(1)) for process in processes]
        steps = round(1 / rate**0.5)
        for _ in range(6):
            exact = np.linalg.matrix_power(exact_step, steps) @ exact
            states = [
                advance(process, state, steps, jax.random.key(0))
                for process, state in zip(processes, states, strict=True)
            ]
            paths.append([exact[0], *(float(state.theta[0]) for state in states)])
        truth, ours, sgd, overdamped = np.asarray(paths).T
        own.append(np.abs(ours - truth).max())
        gaps.append(np.abs(ours - sgd).max())
        assert np.abs(overdamped - sgd).max() > 4 * gaps[-1]
    assert 1.7 < gaps[0] / gaps[1] < 2.6
    assert 1.8 < gaps[1] / gaps[2] < 2.2
    assert own[0] < 2.5e-3
    assert 0.75 * 2**order < own[0] / own[1] < 1.25 * 2**order


@pytest.mark.script
def test_weak_error_falls_with_the_square_root_of_the_rate():
    """Common noise, fixed friction ½, oscillator time 2: E θ² of SGD against the SDE's."""

    def square(x):
        return x * x

    values = []
    for rate in (0.04, 0.01):
        hyper = ss.Hyperparameters(rate, 1, 1 - 0.5 * rate**0.5)
        error = weak_error(
            ss.problems.Quadratic(1.0, noise_variance=0.5 / rate**0.5), hyper, time=4.0,
            process=ss.UnderdampedLangevin, observables=square, chains=40_000, initial=jnp.ones(()),
            key=jax.random.key(3),
        )  # fmt: skip
        values.append((error.value[0], error.standard_error[0]))
    (coarse, one), (fine, other) = values
    spread = abs(coarse / fine) * np.hypot(one / coarse, other / fine)
    assert abs(coarse / fine - 2) < 0.5 + bound() * spread
    assert spread < 0.1


@pytest.mark.parametrize("momentum", [0.5, 0.1])
def test_the_velocity_of_the_verlet_step_is_that_of_its_ornstein_uhlenbeck_law(momentum):
    """Without force Var v = σ²(1 − e^{−2γk})/(2γB) after k steps of any length, γ = 1 − m: here one substep.

    Planted: the noise's spread ((1 − e^{−γδ})/γδ)^{1/2}, without its factors 2, is too hot by 26 % at m = ½.
    """
    noise = ss.problems.PositionDependent(jnp.ones_like)
    process = ss.UnderdampedLangevin(
        ss.problems.Quadratic(1e-12, noise=noise), ss.Hyperparameters(0.1, 2, momentum)
    )
    assert process.solver is None
    chains, friction = 40_000, 1 - momentum
    for steps in (1, 10):
        state = process.init(jnp.zeros((chains,)), ss.random.chain_numbers(chains))
        found = np.var(np.asarray(advance(process, state, steps, jax.random.key(5)).extra["velocity"]))
        expected = (1 - np.exp(-2 * friction * steps)) / (2 * friction * 2)
        assert_agree(found, expected, expected * np.sqrt(2 / chains), count=4)
        hot = expected * 2 * (1 - np.exp(-friction)) / (1 - np.exp(-2 * friction))
        assert abs(found - hot) > bound() * expected * np.sqrt(2 / chains)


@pytest.mark.parametrize("substeps", [1, 4])
def test_levy_areas_have_their_variances(substeps, monkeypatch):
    """Space-time area H: δ/12, space-time-time area K: δ/720, independent of each other and of W: δ."""
    process = ss.UnderdampedLangevin(ss.problems.Quadratic(1.0), HYPER, substeps=substeps)
    chains = 50_000
    state = process.init(jnp.zeros((chains,)), ss.random.chain_numbers(chains))
    words = process.streams(jax.random.key(6))

    def drawn(pair):
        def move(_self, _theta, _velocity, _rate, _friction, noises):
            return noises[pair[0]], noises[pair[1]]

        monkeypatch.setattr(ss.UnderdampedLangevin, "_solve", move)
        step, number = jnp.asarray(3, jnp.int32), substeps - 1
        made = process.substep(state, step, number, words, process.increment(state, step, number, words))
        return made.theta, made.extra["velocity"]

    (w, h), (_, k) = drawn((0, 1)), drawn((0, 2))
    found, error = covariance(np.stack([w, h, k], axis=1))
    assert_agree(found, np.diag([1, 1 / 12, 1 / 720]) / substeps, error, count=18)


@pytest.mark.parametrize(
    "solver",
    [
        None,
        *(
            pytest.param(one(), marks=pytest.mark.script)
            for one in (diffrax.ALIGN, diffrax.ShOULD, diffrax.QUICSORT)
        ),
    ],
)
def test_a_rate_of_zero_leaves_theta_and_lets_the_velocity_go_on(solver):
    """As η → 0 the velocity keeps its law, e^{−γ}v − (1 − e^{−γ})∇L/γ + noise, and θ stays where it is."""
    problem = ss.problems.Quadratic(1.0, noise_variance=0.0)
    if solver is None:
        noise = ss.problems.PositionDependent(jnp.zeros_like)
        problem = ss.problems.Quadratic(1.0, noise=noise)
    for factor in (0.0, 1e-30):
        process = ss.UnderdampedLangevin(
            problem, ss.Hyperparameters(0.1, 2, 0.5), solver=solver, schedule=lambda _, f=factor: f
        )
        state = process.init(jnp.ones((1,)), ss.random.chain_numbers(1))
        state = advance(process, state, 4, jax.random.key(0))
        assert state.theta[0] == 1
        np.testing.assert_allclose(state.extra["velocity"][0], (1 - np.exp(-2)) / 0.5, rtol=1e-4)


def test_velocity_stays_where_the_rate_falls():
    """A schedule multiplies η; v goes on as in SGD, not p = −√η v, which would end elsewhere."""
    process = ss.UnderdampedLangevin(
        ss.problems.Quadratic(1.0, noise_variance=0.0),
        ss.Hyperparameters(0.05, 1, 0.9),
        schedule=lambda k: jnp.where(k < 5, 1.0, 0.1),
    )
    state = process.init(jnp.ones((1,)), ss.random.chain_numbers(1))
    state = advance(process, state, 12, jax.random.key(0))

    def ends(jump):
        before, after = (
            expm(n * np.asarray([[0.0, -eta], [1.0, -0.1]])) for n, eta in ((5, 0.05), (7, 0.005))
        )
        return after @ np.diag([1.0, jump]) @ before @ [1.0, 0.0]

    found = np.asarray([state.theta[0], state.extra["velocity"][0]])
    np.testing.assert_allclose(found, ends(1.0), atol=3e-4)
    assert np.abs(found - ends(10**0.5)).max() > 0.1


def test_bad_input():
    well = ss.problems.DoubleWell()
    data = ss.problems.linear_regression(regression_data())
    with refused(match=r"momentum must be above 0 for UnderdampedLangevin, got 0"):
        ss.UnderdampedLangevin(well, ss.Hyperparameters(0.1))
    with refused(match=r"solver must be diffrax.ALIGN\(\).*got Heun"):
        ss.UnderdampedLangevin(well, HYPER, solver=diffrax.Heun())
    with refused(match="solver ALIGN needs noise that does not depend on theta"):
        ss.UnderdampedLangevin(data, HYPER, solver=diffrax.ALIGN())
    with refused(match="no matching SDE"):
        ss.UnderdampedLangevin(data, HYPER, sampling="shuffle")
    with refused(match="substeps must be an integer >= 1, got 0"):
        ss.UnderdampedLangevin(well, HYPER, substeps=0)
