"""Every process through one contract; what is special to each; and the SDE's stationary law.

Statistical bounds are 5.5 standard errors (two-sided false alarm 4e-8 each) at fixed keys, so that
the whole file raises a false alarm less than once in 10⁶ sets of keys.
"""

import functools
from typing import NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from every_process import DATA, HYPER, MOMENTUM, PROCESSES, WELL
from helpers import ONE_EULER_STEP, refused, some_as_scripts

import sde_sgd as ss

BOUND = 5.5
# its step is a large program
AT_ONCE = [name for name in PROCESSES if name != "central flow on data"]


@pytest.fixture(params=some_as_scripts(PROCESSES, AT_ONCE), ids=str)
def process(request):
    return PROCESSES[request.param]()


def start(process, chains):
    chain = ss.random.chain_numbers(chains)
    theta = jax.vmap(lambda n: process.problem.init(jax.random.fold_in(jax.random.key(1), n)))(chain)
    return process.init(theta, chain)


@jax.jit
def advance(process, state, begin, steps, key):
    return process.advance(state, start=begin, steps=steps, key=key)


def leaves(state):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def close(one, other, rows=slice(None), exact=True):
    for a, b in zip(leaves(one.theta), leaves(other.theta), strict=True):
        if exact:
            np.testing.assert_array_equal(a[rows], b[rows])
        else:
            np.testing.assert_allclose(a[rows], b[rows], rtol=2e-5, atol=2e-6)


def test_any_cut_into_chunks_gives_the_same_chains(process, key):
    whole = advance(process, start(process, 7), 0, 23, key)
    state = start(process, 7)
    for begin, steps in ((0, 1), (1, 10), (11, 5), (16, 7)):
        state = advance(process, state, begin, steps, key)
    close(whole, state)


@pytest.mark.same_bits
def test_a_chain_does_not_depend_on_how_many_there_are(process, key):
    # sums over parameters or examples may be ordered otherwise for another number of chains
    pointwise = process.problem.dataset_size is None and process.problem is WELL
    few = advance(process, start(process, 3), 0, 20, key)
    many = advance(process, start(process, 100), 0, 20, key)
    close(few, many, slice(0, 3), exact=pointwise)


def test_keys_and_chains_differ(process, key):
    state = advance(process, start(process, 6), 0, 5, key)
    other = advance(process, start(process, 6), 0, 5, jax.random.key(8))
    first = leaves(state.theta)[0]
    assert len(np.unique(first.reshape(6, -1)[:, 0])) == 6
    silent = isinstance(process, ss.CentralFlow) or getattr(process, "noise", "") == "none"
    assert np.array_equal(first, leaves(other.theta)[0]) == silent


def test_nothing_is_compiled_for_new_numbers(process, key):
    traces = []

    @jax.jit
    def counted(process, state, begin, steps, key):
        traces.append(1)
        return process.advance(state, start=begin, steps=steps, key=key)

    counted(process, start(process, 4), 0, 3, key)
    for rate, seed, begin in ((0.01, 1, 5), (0.2, 2, 10**9)):
        hyper = ss.Hyperparameters(rate, 4, momentum=float(process.hyper.momentum) * 0.5)
        changed = jax.tree.unflatten(
            jax.tree.structure(process),
            [
                new if new.shape == old.shape else old
                for old, new in zip(
                    jax.tree.leaves(process), jax.tree.leaves(with_hyper(process, hyper)), strict=True
                )
            ],
        )
        counted(changed, start(process, 4), begin, 7, jax.random.key(seed))
    assert len(traces) == 1


def with_hyper(process, hyper):
    import equinox as eqx

    return eqx.tree_at(
        lambda p: (p.hyper.learning_rate, p.hyper.momentum),
        process,
        (hyper.learning_rate, hyper.momentum),
    )


def test_a_rate_per_chain_equals_runs_of_their_own(key):
    rates = [0.01, 0.05, 0.2]
    many = ss.SGD(WELL, ss.Hyperparameters(rates, 4, momentum=[0.0, 0.5, 0.9]))
    together = advance(many, start(many, 3), 0, 30, key)
    for row, (rate, momentum) in enumerate(zip(rates, [0.0, 0.5, 0.9], strict=True)):
        alone = ss.SGD(WELL, ss.Hyperparameters([rate] * 3, 4, momentum=[momentum] * 3))
        state = advance(alone, start(alone, 3), 0, 30, key)
        np.testing.assert_allclose(state.theta[row], together.theta[row], rtol=1e-6)


@pytest.mark.script
def test_langevin_takes_a_rate_per_chain(key):
    many = ss.Langevin(DATA, ss.Hyperparameters([0.01, 0.1], 4))
    one = ss.Langevin(DATA, ss.Hyperparameters(0.1, 4))
    together = advance(many, start(many, 2), 0, 10, key)
    alone = advance(one, start(one, 2), 0, 10, key)
    np.testing.assert_allclose(leaves(together.theta)[0][1], leaves(alone.theta)[0][1], rtol=1e-5, atol=1e-6)


QUIET = ss.problems.Quadratic(1.0, noise_variance=0.0)


class RawKey(NamedTuple):
    """A state as older optimisers have it."""

    rng_key: jax.Array


def shaken(rate, key=0):
    if getattr(key, "dtype", None) != jnp.uint32:
        return optax.noisy_sgd(rate, eta=1.0, gamma=0.0, key=key)

    def update(gradient, state, _=None):
        own, draw = jax.random.split(state.rng_key)
        return gradient + jax.random.normal(draw, gradient.shape), RawKey(own)

    return optax.chain(optax.GradientTransformation(lambda _: RawKey(key), update), optax.sgd(rate))


@pytest.mark.parametrize(
    "own",
    [
        pytest.param(0, id="seed", marks=pytest.mark.script),
        pytest.param(jax.random.key(3), id="typed"),
        pytest.param(jax.random.PRNGKey(3), id="raw", marks=pytest.mark.script),
    ],
)
def test_an_optimizer_shakes_every_chain_with_noise_of_its_own(own, key):
    """Null: θ ← (1 − η)θ − η ξ with ξ ~ N(0, 1) of each step, chain and key of the run, without correlations
    between them."""
    process = ss.SGD(QUIET, HYPER, optimizer=functools.partial(shaken, key=own))
    chains, rate = 20_000, 0.05
    begin = process.init(jnp.zeros((chains,)), ss.random.chain_numbers(chains))
    first = advance(process, begin, 0, 1, key)
    second = advance(process, first, 1, 1, key)
    other = advance(process, begin, 0, 1, jax.random.key(7))
    few = advance(process, process.init(jnp.zeros((3,)), ss.random.chain_numbers(3)), 0, 2, key)
    np.testing.assert_array_equal(few.theta, second.theta[:3])
    xi = [-first.theta / rate, -(second.theta - (1 - rate) * first.theta) / rate, -other.theta / rate]
    found = np.corrcoef(np.stack(xi))
    assert np.abs(found - np.eye(3)).max() < BOUND / np.sqrt(chains)
    for one in xi:
        assert abs(float(jnp.var(one)) - 1) < BOUND * np.sqrt(2 / chains)
        assert abs(float(jnp.mean(one))) < BOUND / np.sqrt(chains)
    # neighbours
    assert abs(float(np.corrcoef(xi[0][:-1], xi[0][1:])[0, 1])) < BOUND / np.sqrt(chains)


@pytest.mark.script
def test_an_optimizer_with_a_key_can_be_cut_into_chunks_and_saved(key, tmp_path):
    process = ss.SGD(QUIET, HYPER, optimizer=shaken)
    options = {"steps": 6, "key": key, "initial": 0.0, "devices": jax.devices()[:1]}
    whole = ss.run(process, chains=4, **options)
    cut = ss.run(process, chains=4, **options, chunk=2, checkpoint=tmp_path / "run")
    again = ss.run(process, chains=4, **options, chunk=2, checkpoint=tmp_path / "run", resume=True)
    np.testing.assert_array_equal(whole.theta, cut.theta)
    np.testing.assert_array_equal(whole.theta, again.theta)
    assert len(np.unique(whole.theta)) == 4


def test_an_optimizer_whose_key_cannot_be_found_is_refused():
    def hidden(rate):
        noise = optax.stateless(lambda g, _: g + jax.random.normal(jax.random.key(0), g.shape))
        return optax.chain(noise, optax.sgd(rate))

    begin = jnp.zeros((2,)), ss.random.chain_numbers(2)
    with refused(match="state holds no key that can be told for one"):
        ss.SGD(QUIET, HYPER, optimizer=hidden).init(*begin)
    fast = functools.partial(shaken, key=jax.random.key(0, impl="rbg"))
    with refused(match="kind rbg, whose numbers depend on how many chains"):
        ss.SGD(QUIET, HYPER, optimizer=fast).init(*begin)
    ss.SGD(QUIET, HYPER, optimizer=optax.adam).init(*begin)


def test_heavy_ball_is_optax_sgd_with_momentum(key):
    ours = ss.SGD(DATA, ss.Hyperparameters(0.05, 4, momentum=0.7))
    theirs = ss.SGD(DATA, ss.Hyperparameters(0.05, 4), optimizer=functools.partial(optax.sgd, momentum=0.7))
    close(
        advance(ours, start(ours, 5), 0, 40, key),
        advance(theirs, start(theirs, 5), 0, 40, key),
        exact=False,
    )


def test_heavy_ball_by_hand(key):
    problem = ss.problems.Quadratic(2.0, noise_variance=0.0)
    process = ss.SGD(problem, ss.Hyperparameters(0.1, 1, momentum=0.5))
    state = process.init(jnp.ones((1,)), ss.random.chain_numbers(1))
    theta, velocity = 1.0, 0.0
    for _ in range(4):
        velocity = 0.5 * velocity + 2.0 * theta
        theta = theta - 0.1 * velocity
    np.testing.assert_allclose(advance(process, state, 0, 4, key).theta[0], theta, rtol=1e-6)


def test_euler_with_one_substep_is_sgd_with_gaussian_noise(key):
    """Same law, other stream: the variance of one step agrees with η²σ²/B within its error."""
    process = ss.Langevin(WELL, ss.Hyperparameters(0.1, 4, momentum=0.5), **ONE_EULER_STEP)
    state = process.init(jnp.ones((200_000,)), ss.random.chain_numbers(200_000))
    moved = np.asarray(advance(process, state, 0, 1, key).theta, np.float64)
    expected = (0.1 / 0.5) ** 2 / 4
    error = expected * np.sqrt(2 / len(moved))
    assert abs(moved.var() - expected) < BOUND * error
    assert abs(moved.mean() - 1) < BOUND * np.sqrt(expected / len(moved))


def test_substeps_share_out_one_unit_of_the_clock(key):
    """Without noise, more substeps converge to gradient flow: dx/dt = −2x, x(t) = e^{−2t}."""
    problem = ss.problems.Quadratic(2.0, noise_variance=0.0)
    errors = []
    for substeps in (1, 10, 100):
        process = ss.Langevin(problem, ss.Hyperparameters(0.1), substeps=substeps, solver=diffrax.Euler())
        state = process.init(jnp.ones((1,)), ss.random.chain_numbers(1))
        errors.append(abs(float(advance(process, state, 0, 10, key).theta[0]) - np.exp(-2.0)))
    assert errors[1] < errors[0] / 8
    assert errors[2] < errors[1] / 8


def test_noise_is_fresh_after_a_thousand_million_steps(key):
    """Float32 time has a resolution of 64 at 10⁹; the increments must not repeat themselves."""
    problem = ss.problems.Quadratic(1e-30, noise_variance=1.0)
    process = ss.Langevin(problem, ss.Hyperparameters(1.0), substeps=4, solver=diffrax.Euler())
    state = process.init(jnp.zeros((50,)), ss.random.chain_numbers(50))
    seen = [np.asarray(state.theta)]
    for step in range(20):
        state = advance(process, state, 10**9 + step, 1, key)
        seen.append(np.asarray(state.theta))
    increments = np.diff(np.stack(seen), axis=0).ravel()
    assert len(np.unique(np.round(increments, 5))) > 0.99 * len(increments)
    assert abs(increments.std() - 1) < BOUND / np.sqrt(2 * len(increments))


@pytest.mark.script
@pytest.mark.parametrize(
    ("solver", "substeps"),
    [
        (diffrax.Heun(), 2),
        (diffrax.ShARK(), 2),
        (diffrax.SRA1(), 2),
        (diffrax.Midpoint(), 4),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_solvers_reach_the_gibbs_variance_sooner(solver, substeps, key):
    """Quadratic h = 1, η = .4: exact variance T/2. Euler at the same dt is off by 1/(1 − ηdt/2)."""
    problem = ss.problems.Quadratic(1.0)
    hyper = ss.Hyperparameters(0.4)
    chains = 100_000
    exact = 0.2
    error = exact * np.sqrt(2 / chains)
    process = ss.Langevin(problem, hyper, substeps=substeps, solver=solver)
    variance = float(np.var(ss.run(process, chains=chains, steps=60, key=key).samples()))
    euler = ss.Langevin(problem, hyper, substeps=substeps, solver=diffrax.Euler())
    biased = float(np.var(ss.run(euler, chains=chains, steps=60, key=key).samples()))
    assert abs(biased - exact / (1 - 0.4 / substeps / 2)) < BOUND * error
    assert abs(variance - exact) < 0.3 * abs(biased - exact) + BOUND * error


@pytest.mark.parametrize(
    ("factor", "caught"), [(1.0, False), (np.sqrt(2), True), (np.sqrt(1 / 2), True), (2.0, True)]
)
def test_planted_wrong_noise_scale_is_caught(factor, caught, key):
    """A wrong √2 in the noise, T/2 for T or B off by one shows in the stationary variance."""
    problem = ss.problems.Quadratic(1.0, noise_variance=float(factor) ** 2)
    hyper = ss.Hyperparameters(0.1, 3)
    chains = 50_000
    variance = float(np.var(ss.run(ss.SGD(problem, hyper), chains=chains, steps=150, key=key).samples()))
    exact = 0.1 / (3 * (2 - 0.1))
    assert (abs(variance - exact) > BOUND * exact * np.sqrt(2 / chains)) == caught


def test_planted_batch_off_by_one_is_caught(key):
    chains = 50_000
    hyper = ss.Hyperparameters(0.1, 4)
    result = ss.run(ss.SGD(ss.problems.Quadratic(1.0), hyper), chains=chains, steps=150, key=key)
    variance = float(np.var(result.samples()))
    for batch, right in ((4, True), (3, False), (5, False)):
        exact = 0.1 / (batch * 1.9)
        assert (abs(variance - exact) < BOUND * exact * np.sqrt(2 / chains)) == right


def test_planted_shared_noise_is_caught(key):
    """Chains that share one path would leave the ensemble's mean as noisy as one chain."""
    hyper = ss.Hyperparameters(0.1)
    process = ss.Langevin(ss.problems.Quadratic(1.0), hyper, **ONE_EULER_STEP)
    chains = 10_000
    chain = jnp.zeros((chains,), jnp.uint32)
    shared = advance(process, process.init(jnp.zeros((chains,)), chain), 0, 100, key)
    honest = advance(
        process, process.init(jnp.zeros((chains,)), ss.random.chain_numbers(chains)), 0, 100, key
    )
    exact = 0.1 / 1.9
    assert abs(float(np.mean(honest.theta))) < BOUND * np.sqrt(exact / chains)
    assert abs(float(np.mean(shared.theta))) > BOUND * np.sqrt(exact / chains)
    assert float(np.var(shared.theta)) < 1e-6


def test_the_levy_area_of_stochastic_runge_kutta_has_its_variance(key, monkeypatch):
    """H of a step of length δ: variance δ/12, independent of W. 50,000 chains: a standard error of .6 %."""
    process = ss.Langevin(WELL, HYPER, solver=diffrax.ShARK(), substeps=3)
    state = process.init(jnp.zeros((50_000,)), ss.random.chain_numbers(50_000))
    words, step = process.streams(key), jnp.asarray(4, jnp.int32)
    w = process.increment(state, step, 2, words)
    area = []

    def noted(_solver, terms, theta, _dt, _carried):
        area.append(terms.terms[1].increment.H)
        return theta

    monkeypatch.setattr(ss.processes._langevin, "step_once", noted)
    process.substep(state, step, 2, words, w)
    (h,) = area
    error = np.sqrt(2 / 50_000)
    assert abs(float(jnp.var(h)) * 36 - 1) < BOUND * error
    assert abs(float(jnp.var(w)) * 3 - 1) < BOUND * error
    assert abs(np.corrcoef(w, h)[0, 1]) < BOUND / np.sqrt(50_000)


MOVES = {
    "SGD": lambda **more: ss.SGD(WELL, HYPER, **more),
    "SGD with momentum": lambda **more: ss.SGD(WELL, MOMENTUM, **more),
    "SGD on data": lambda **more: ss.SGD(DATA, MOMENTUM, **more),
    "Adam": lambda **more: ss.SGD(DATA, HYPER, optimizer=optax.adam, **more),
    "SVAG": lambda **more: ss.SVAG(WELL, HYPER, l=2, **more),
    "white noise of SGD": lambda **more: ss.WhiteNoiseGD(WELL, MOMENTUM, **more),
    "white noise": lambda **more: ss.WhiteNoiseGD(WELL, HYPER, temperature=0.1, **more),
    "white noise with momentum": lambda **more: ss.WhiteNoiseGD(WELL, MOMENTUM, temperature=0.1, **more),
    "SGLD": lambda **more: ss.SGLD(DATA, HYPER, temperature=0.1, **more),
    "SGLD with momentum": lambda **more: ss.SGLD(WELL, MOMENTUM, temperature=0.1, **more),
    "Langevin": lambda **more: ss.Langevin(WELL, MOMENTUM, substeps=2, solver=diffrax.Euler(), **more),
    "Langevin as it comes": lambda **more: ss.Langevin(WELL, HYPER, **more),
    "Langevin on data": lambda **more: ss.Langevin(DATA, HYPER, noise="isotropic", **more),
    "Langevin by ShARK": lambda **more: ss.Langevin(WELL, HYPER, solver=diffrax.ShARK(), **more),
    "second order": lambda **more: ss.SecondOrderLangevin(WELL, HYPER, fixed="ratio", **more),
    "underdamped": lambda **more: ss.UnderdampedLangevin(WELL, MOMENTUM, **more),
    "underdamped on data": lambda **more: ss.UnderdampedLangevin(DATA, MOMENTUM, **more),
}


def warm_up(k):
    """η of 0, then of 1e-30, then of all; and 0 again."""
    return jnp.where(k < 2, 0.0, jnp.where(k < 4, 1e-30, jnp.where(k < 20, 1.0, 0.0)))


@pytest.mark.parametrize("name", MOVES)
def test_no_learning_rate_is_no_move(name, key):
    """Not a bit changes while η is 0 or next to nothing, whatever the noise, nor is a blow stored up for
    later: afterwards the chains go on, and lie where chains lie."""
    process = MOVES[name](schedule=warm_up)
    begin = start(process, 20)
    still = advance(process, begin, 0, 4, key)
    close(begin, still)
    moved = advance(process, still, 4, 16, key)
    ended = advance(process, moved, 20, 5, key)
    close(moved, ended)
    reached = leaves(moved.theta)[0]
    assert not np.array_equal(reached, leaves(begin.theta)[0])
    assert np.abs(reached).max() < 10


@pytest.mark.script
def test_fresh_subsets_have_their_own_sde(key):
    """The SDE for sampling='subset' has the noise (C/B)(N − B)/(N − 1), none at B = N."""
    hyper = ss.Hyperparameters(0.05, 24)
    full = ss.Langevin(DATA, hyper, sampling="subset", **ONE_EULER_STEP)
    flow = ss.Langevin(DATA, hyper, noise="none", **ONE_EULER_STEP)
    close(advance(full, start(full, 3), 0, 10, key), advance(flow, start(flow, 3), 0, 10, key), exact=False)
    part = ss.Langevin(DATA, ss.Hyperparameters(0.05, 12), sampling="subset")
    np.testing.assert_allclose(part.population_factor, 12 / 23, rtol=1e-6)


def test_bad_input():
    with refused(match="problem must be a sde_sgd problem"):
        ss.SGD(lambda x: x, HYPER)
    with refused(match="problem must be a sde_sgd problem, got the data alone, .* as problems.mlp"):
        ss.SGD(ss.data.wine(), HYPER)
    with refused(match="hyper must be Hyperparameters"):
        ss.SGD(WELL, 0.1)
    with refused(match="sampling must be 'replacement'"):
        ss.SGD(WELL, HYPER, sampling="shuffle")
    with refused(match=r"sampling must be one of .*, got 'all'"):
        ss.SGD(DATA, HYPER, sampling="all")
    with refused(match="batch_size must be <= 24"):
        ss.SGD(DATA, ss.Hyperparameters(0.1, 25), sampling="subset")
    ss.SGD(DATA, ss.Hyperparameters(0.1, 25))
    with refused(match=r"pass optax.adam, not optax.adam\(1e-3\)"):
        ss.SGD(DATA, HYPER, optimizer=optax.adam(1e-3))
    with refused(match="momentum is set in hyper and an optimizer is given"):
        ss.SGD(DATA, MOMENTUM, optimizer=optax.adam)
    with refused(match="no matching SDE"):
        ss.Langevin(DATA, HYPER, sampling="shuffle")
    with refused(match="substeps must be an integer >= 1, got 0"):
        ss.Langevin(WELL, HYPER, substeps=0)
    with refused(match="noise must be one of"):
        ss.Langevin(WELL, HYPER, noise="coloured")
    with refused(match="only for noise that does not depend on theta"):
        ss.Langevin(DATA, HYPER, solver=diffrax.Heun())
    with refused(match="needs noise='problem'"):
        ss.Langevin(WELL, HYPER, solver=diffrax.ShARK(), noise="isotropic")
    with refused(match=r"solver must be diffrax\.Euler"):
        ss.Langevin(WELL, HYPER, solver=diffrax.ImplicitEuler())


@pytest.mark.parametrize("name", ["SGD on a well", "Langevin on a well"])
def test_no_step_is_counted_beyond_the_clock(name, key):
    """The end of more steps would lie before their begin, and none would be done."""
    process = PROCESSES[name]()
    state = process.init(jnp.ones(2), ss.random.chain_numbers(2))
    for start, steps in ((0, 2**31), (2**31 - 3, 3), (jnp.int32(2**31 - 3), jnp.int32(5))):
        with refused(match=r"start \+ steps must be at most 2147483647, .* got start = "):
            process.advance(state, start=start, steps=steps, key=key)
    for start, steps in ((-1, 3), (0, -3)):
        with refused(match="must be an integer >= 0, got -"):
            process.advance(state, start=start, steps=steps, key=key)
    last = process.advance(state, start=2**31 - 3, steps=2, key=key)
    assert np.all(np.asarray(last.theta) != state.theta)


class Drift(ss.Diffusion):
    """A user's own SDE, dθ = −θ dt + dW, by Euler's method: with the words of a substep already found."""

    def __init__(self, problem, hyper):
        super().__init__(problem, hyper, None, substeps=2, sampling="replacement")

    def streams(self, key):
        return ss.random.streams(key, brownian=ss.random.Stream.BROWNIAN)

    def moved(self, state, step, here, brownian):
        del step, here
        rate = self.hyper.learning_rate
        theta = state.theta - rate / 2 * state.theta + jnp.sqrt(rate) * brownian
        return ss.ChainState(theta, state.chain, state.extra)


class OwnSubstep(Drift):
    """The same, which finds them itself."""

    def substep(self, state, step, number, words, brownian):
        del number, words
        return Drift.moved(self, state, step, {}, brownian)


class Unmoved(Drift):
    """One that does not say how it moves."""

    moved = ss.Diffusion.moved


@pytest.mark.script
def test_an_sde_of_ones_own_says_how_it_moves(key):
    runs = [
        ss.run(make(ss.problems.DoubleWell(), ss.Hyperparameters(0.1, 1)), chains=2000, steps=100, key=key)
        for make in (Drift, OwnSubstep)
    ]
    first, second = (np.asarray(result.theta) for result in runs)
    assert np.array_equal(first, second)
    # Euler's step a = 1 − η/2 with noise η/2: variance η/2/(1 − a²) = 1/(2 − η/2)
    assert abs(first.var() - 1 / (2 - 0.05)) < 5 * 0.51 * (2 / 2000) ** 0.5
    with refused(match="Unmoved must say how it moves: define moved, or substep", error=NotImplementedError):
        ss.run(Unmoved(ss.problems.DoubleWell(), ss.Hyperparameters(0.1, 1)), chains=2, steps=1, key=key)
