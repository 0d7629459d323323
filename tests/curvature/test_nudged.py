"""Nudged steps, against their closed form, the exact Hessian and the optimizers within them."""

import functools

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import refused, some_as_scripts

import sde_sgd as ss
from sde_sgd.curvature import _nudged, nudged

KEY = jax.random.key(3)
HYPER = ss.Hyperparameters(0.1, 4)
NET = ss.problems.mlp(helpers.class_data(), hidden=(2,))
SIZE = 15
OPTIMIZERS = {
    "SGD": optax.sgd,
    "momentum": functools.partial(optax.sgd, momentum=0.9),
    "Adam": optax.adam,
    "clipped": lambda rate: optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(rate, momentum=0.5)),
}
CURVATURES = np.array([0.2, 3.0, 0.5, 2.0, 1.0])
SHARPEST = CURVATURES >= 2
TURN = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
MATRIX = TURN @ np.diag(CURVATURES) @ TURN.T
BOWL = ss.problems.Quadratic(MATRIX, noise_variance=0.0)
NOISY = ss.problems.Quadratic(MATRIX)


@jax.jit
def advance(process, state, begin, steps):
    return process.advance(state, start=begin, steps=steps, key=KEY)


def start(process, chains=3):
    theta = jax.vmap(process.problem.init)(jax.random.split(jax.random.key(1), chains))
    return process.init(theta, ss.random.chain_numbers(chains))


def moved(problem, optimizer, steps, chains=3, **options):
    process = ss.SGD(problem, HYPER, optimizer=optimizer, **options)
    return advance(process, start(process, chains), 0, steps)


def flat(tree):
    return np.concatenate([np.zeros(0), *(np.ravel(leaf) for leaf in jax.tree.leaves(tree))])


def one_chain(tree):
    return jax.tree.map(lambda leaf: leaf[0], tree)


def sine(found, exact):
    """Of the largest angle between the spaces of orthonormal rows."""
    outside = np.asarray(found, np.float64)
    outside = outside - outside @ exact.T @ exact
    return np.linalg.norm(outside, 2)


def exact_directions(problem, theta, k):
    vectors = np.linalg.eigh(np.asarray(hessian_of(problem, theta), np.float64))[1]
    return vectors[:, ::-1][:, :k].T


@helpers.quick_jit
def hessian_of(problem, theta):
    return problem.hessian(theta)


@pytest.mark.parametrize("name", some_as_scripts(OPTIMIZERS, ["momentum"]))
def test_factor_one_is_the_optimizer_itself(name):
    """To the last bit; newer jax fuses the norm of a clipped gradient otherwise: a few roundings."""
    roundings = 1e-6 if name == "clipped" and jax.__version_info__ >= (0, 11) else 0.0
    schedule = optax.cosine_decay_schedule(1.0, 20)
    plain = moved(NET, OPTIMIZERS[name], 12, schedule=schedule)
    same = moved(NET, nudged(OPTIMIZERS[name], NET, 3, every=5, factor=1.0), 12, schedule=schedule)
    for one, other in zip(jax.tree.leaves(plain.theta), jax.tree.leaves(same.theta), strict=True):
        np.testing.assert_allclose(one, other, rtol=roundings)
    inner = same.extra["optimizer"].inner
    for one, other in zip(jax.tree.leaves(plain.extra["optimizer"]), jax.tree.leaves(inner), strict=True):
        np.testing.assert_allclose(one, other, rtol=roundings)


@pytest.mark.parametrize("name", some_as_scripts(OPTIMIZERS, ["Adam"]))
def test_along_all_directions_the_whole_step_is_scaled(name):
    """Also: what an optimizer keeps belongs to the step before it was scaled."""

    def shorter(rate):
        return optax.chain(OPTIMIZERS[name](rate), optax.scale(0.3))

    scaled = moved(NET, shorter, 12)
    found = moved(NET, nudged(OPTIMIZERS[name], NET, SIZE, every=5, factor=0.3), 12)
    np.testing.assert_allclose(flat(found.theta), flat(scaled.theta), rtol=1e-4, atol=1e-5)
    inner = found.extra["optimizer"].inner
    np.testing.assert_allclose(flat(inner), flat(scaled.extra["optimizer"][0]), rtol=1e-3, atol=1e-5)


def by_mode(factor, rest, momentum, rates):
    """θ in the eigenbasis after heavy-ball steps whose buffer keeps v."""
    scale = np.where(SHARPEST, factor, rest)
    process = ss.SGD(BOWL, HYPER)
    place = np.asarray(start(process, 1).theta[0], np.float64) @ TURN
    buffer = np.zeros(5)
    for rate in rates:
        buffer = momentum * buffer + CURVATURES * place
        place = place - rate * scale * buffer
    return place


@pytest.mark.parametrize("momentum", [0.0, 0.8])
@pytest.mark.parametrize(("factor", "rest"), [(0.01, 1.0), (0.0, 1.0), (1.5, 1.0), (1.0, 0.0)])
def test_each_mode_of_a_quadratic_contracts_at_its_own_rate(factor, rest, momentum):
    """(1 − γηλ)ⁿ along the two sharpest directions and (1 − ηλ)ⁿ else, η by a schedule."""
    schedule = optax.exponential_decay(1.0, 10, 0.5)
    steps = 25
    base = functools.partial(optax.sgd, momentum=momentum) if momentum else optax.sgd
    state = moved(
        BOWL,
        nudged(base, BOWL, 2, every=4, factor=factor, rest=rest),
        steps,
        chains=1,
        schedule=schedule,
    )
    expected = by_mode(factor, rest, momentum, [0.1 * float(schedule(step)) for step in range(steps)])
    np.testing.assert_allclose(np.asarray(state.theta[0]) @ TURN, expected, rtol=1e-4, atol=1e-6)
    assert sine(state.extra["optimizer"].directions[0], TURN[:, SHARPEST].T) < 1e-5


def nested(seed):
    """Parameters in a tree of several depths, with a loss that is no quadratic."""
    draw = jax.random.normal(jax.random.key(seed), (7,))
    return {"a": draw[0], "b": [draw[1:3], (draw[3:7].reshape(2, 2),)]}


def wavy(theta, x, y):
    total = sum(jnp.sum(jnp.sin(x[0] * leaf) + leaf**2) for leaf in jax.tree.leaves(theta))
    return total * (1 + 0.1 * y) + jnp.sum(theta["b"][0]) ** 4 + theta["a"] * theta["b"][1][0][0, 1]


WAVY = ss.problems.from_loss(
    wavy, ss.data.Dataset(np.linspace(0.2, 1.2, 8)[:, None], np.ones(8)), init=lambda key: nested(0)
)


@pytest.mark.script
def test_it_is_an_optax_transformation_of_any_pytree():
    """v' = v − EEᵀv + γEEᵀv with E of the Hessian where it was last refreshed."""
    base = optax.chain(optax.scale_by_adam(), optax.scale(-0.2))
    steps = nudged(lambda rate: optax.chain(base, optax.scale(rate)), WAVY, 3, every=2, factor=0.25)(0.5)
    theta, reference = nested(4), optax.chain(base, optax.scale(0.5))
    state, kept = steps.init(theta), reference.init(theta)
    update = jax.jit(jax.numpy_dtype_promotion("standard")(steps.update))  # Adam counts in integers
    for number in range(5):
        slope = jax.grad(WAVY.loss)(theta)
        if number % 2 == 0:
            exact = exact_directions(WAVY, theta, 3)
        found, state = update(slope, state, theta)
        with jax.numpy_dtype_promotion("standard"):
            v, kept = reference.update(slope, kept, theta)
        v = flat(v)
        assert sine(state.directions, exact) < 1e-4
        np.testing.assert_allclose(flat(found), v - 0.75 * exact.T @ (exact @ v), rtol=1e-3, atol=1e-5)
        theta = optax.apply_updates(theta, found)
    assert int(state.number) == 5


@pytest.mark.script
@pytest.mark.parametrize("directions", ["sharpest", "random"])
def test_pieces_and_other_chains_change_no_bit(directions):
    process = ss.SGD(NOISY, HYPER, optimizer=nudged(optax.sgd, NOISY, 3, every=4, directions=directions))
    whole = advance(process, start(process), 0, 14)
    state = start(process)
    for begin, steps in ((0, 1), (1, 6), (7, 1), (8, 6)):
        state = advance(process, state, begin, steps)
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(one, other)
    fewer = advance(process, jax.tree.map(lambda leaf: leaf[1:], start(process)), 0, 14)
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(fewer), strict=True):
        np.testing.assert_array_equal(one[1:], other)


def test_random_directions_are_orthonormal_and_every_chain_draws_its_own():
    process = ss.SGD(NOISY, HYPER, optimizer=nudged(optax.sgd, NOISY, 4, every=3, directions="random"))
    seen = []
    state = start(process, 2)
    for step in range(7):
        state = advance(process, state, step, 1)
        seen.append(np.asarray(state.extra["optimizer"].directions))
    for drawn in seen:
        for basis in drawn:
            np.testing.assert_allclose(basis @ basis.T, np.eye(4), atol=1e-6)
    np.testing.assert_array_equal(seen[3], seen[5])
    others = [seen[0][0], seen[0][1], seen[3][0], seen[3][1], seen[6][0]]
    overlaps = [np.abs(one @ two.T).max() for place, one in enumerate(others) for two in others[:place]]
    assert max(overlaps) < 0.999


def test_all_directions_may_be_drawn_at_random():
    state = moved(NET, nudged(optax.sgd, NET, SIZE, every=1, directions="random"), 1, chains=1)
    basis = np.asarray(state.extra["optimizer"].directions[0])
    np.testing.assert_allclose(basis @ basis.T, np.eye(SIZE), atol=1e-5)


def test_the_only_parameter_is_the_sharpest_direction():
    """The sum of an eigenvector and a random one may be nothing there."""
    problem = ss.problems.Quadratic(2.0, noise_variance=0.0)
    process = ss.SGD(problem, HYPER, optimizer=nudged(optax.sgd, problem, 1, every=1, factor=0.5))
    found = advance(process, process.init(jnp.ones((16,)), ss.random.chain_numbers(16)), 0, 6)
    np.testing.assert_allclose(found.theta, (1 - 0.5 * 0.1 * 2) ** 6, rtol=1e-5)


def primitives(optimizer):
    """What one step of three chains does outside of the branches of a condition."""
    made = optimizer(0.1)
    theta = jax.vmap(NET.init)(jax.random.split(KEY, 3))
    state = jax.vmap(made.init)(theta)
    return {
        equation.primitive.name
        for equation in jax.make_jaxpr(jax.vmap(made.update))(theta, state, theta).eqns
    }


def test_steps_between_refreshes_make_no_hessian_products():
    """A condition on a number of each chain would be done away with by `vmap`, and both branches made."""
    found = primitives(nudged(optax.sgd, NET, every=10))
    assert "cond" in found
    assert not found & {"while", "scan"}


@pytest.mark.script
def test_chains_that_are_refreshed_together_have_the_directions_of_each(monkeypatch):
    """An accelerator does so, here three at once and two that are left; it is no other search."""

    def walked():
        return moved(NET, nudged(optax.sgd, NET, 2, every=4, factor=0.1), 9, chains=5)

    alone = walked()
    monkeypatch.setattr(_nudged, "one_by_one", lambda one, *ensemble: _nudged.together(one, 3, *ensemble))
    both = walked()
    np.testing.assert_allclose(flat(both.theta), flat(alone.theta), rtol=1e-4, atol=1e-5)
    rows = [np.asarray(state.extra["optimizer"].directions, np.float64) for state in (both, alone)]
    for found, exact in zip(*rows, strict=True):
        assert sine(found, exact) < 1e-3


@pytest.mark.script
@pytest.mark.parametrize(("seed", "rate"), [(0, 0.1), (1, 0.4)])
def test_the_directions_are_those_of_the_exact_hessian_at_every_refresh(seed, rate):
    """To an angle of 0.01, on a network for digits, with a refresh every epoch."""
    net = ss.problems.mlp(ss.data.digits(), hidden=(8,))
    epoch = net.dataset_size // 16
    process = ss.SGD(
        net, ss.Hyperparameters(rate, 16), optimizer=nudged(optax.sgd, net, every=epoch), sampling="shuffle"
    )
    theta = jax.vmap(net.init)(jax.random.split(jax.random.key(seed), 1))
    state = process.init(theta, ss.random.chain_numbers(1))
    angles = []
    for number in range(8):
        exact = exact_directions(net, one_chain(state.theta), 5)
        state = advance(process, state, number * epoch, 1)
        angles.append(sine(np.asarray(state.extra["optimizer"].directions[0]), exact))
        state = advance(process, state, number * epoch + 1, epoch - 1)
    assert max(angles) < 1e-2, angles


@pytest.mark.script
def test_directions_of_a_subset_of_the_examples():
    chosen = np.array([0, 3, 4, 8])
    state = moved(NET, nudged(optax.sgd, NET, 2, every=10, subset=chosen), 3, chains=1)
    begin = one_chain(start(ss.SGD(NET, HYPER), 1).theta)
    data = NET.inputs[chosen], NET.targets[chosen]
    part = ss.problems.mlp(ss.data.Dataset(*data, classes=3), hidden=(2,))
    exact = exact_directions(part, begin, 2)
    assert sine(np.asarray(state.extra["optimizer"].directions[0]), exact) < 1e-4


def kink(theta, x, y):
    """With an infinite second derivative at 0, and a finite first one."""
    del y
    return jnp.sum(jnp.abs(theta) ** 1.5) * x[0]


@pytest.mark.script
def test_a_hessian_that_is_not_finite_marks_the_chain():
    data = ss.data.Dataset(np.ones((4, 1)), np.ones(4))
    problem = ss.problems.from_loss(kink, data, init=lambda key: jnp.ones(2))
    process = ss.SGD(problem, HYPER, optimizer=nudged(optax.sgd, problem, 1, every=2))
    starts = jnp.array([[1.0, 1.0], [0.0, 1.0]])
    with pytest.warns(UserWarning, match="1 of 2 chains diverged"):
        result = ss.run(process, chains=2, steps=4, key=KEY, initial=starts)
    np.testing.assert_array_equal(result.diverged_at >= 0, [False, True])
    plain = ss.run(ss.SGD(problem, HYPER), chains=2, steps=4, key=KEY, initial=starts)
    assert plain.diverged == 0


def test_what_is_wrong_is_refused():
    with refused(match="k must be <= 15, the number of parameters, got 16"):
        nudged(optax.sgd, NET, 16, every=1)
    with refused(match="k must be an integer >= 1, got 0"):
        nudged(optax.sgd, NET, 0, every=1)
    with refused(match="every must be an integer >= 1, got 0. 1 refreshes at every step"):
        nudged(optax.sgd, NET, every=0)
    with refused(match="factor must be finite and >= 0, got -0.5"):
        nudged(optax.sgd, NET, every=1, factor=-0.5)
    with refused(match="rest must be finite and >= 0, got -1"):
        nudged(optax.sgd, NET, every=1, rest=-1)
    with refused(match="factor and rest must not both be 0"):
        nudged(optax.sgd, NET, every=1, factor=0, rest=0)
    with refused(match="products must be >= k = 5 and <= 15"):
        nudged(optax.sgd, NET, every=1, products=4)
    with refused(match="directions must be one of 'sharpest', 'random', got 'flattest'"):
        nudged(optax.sgd, NET, every=1, directions="flattest")
    with refused(match=r"pass optax.sgd, not optax.sgd\(0.1\)"):
        nudged(optax.sgd(0.1), NET, every=1)
    with refused(match="problem must be a sde_sgd problem such as .* got 'net'"):
        nudged(optax.sgd, "net", every=1)
    with refused(match="params must be given"):
        made = nudged(optax.sgd, NET, every=1)(0.1)
        made.update(NET.init(KEY), made.init(NET.init(KEY)))


def test_the_hessian_of_another_network_is_refused():
    other = ss.problems.mlp(helpers.class_data(), hidden=(3,))
    with refused(match="params must be the parameters of one chain, of shapes"):
        ss.SGD(NET, HYPER, optimizer=nudged(optax.sgd, other, every=1))
