"""Empirical risks: gradients, models of other libraries, and noise with exactly the data's covariance.

Statistical tests: the null is that a covariance is what it is said to be; keys are fixed, standard
errors come from the samples' own spread (`covariance`), and `assert_agree` allows as many of them
as a correct program exceeds with odds 1e-6.
"""

import functools
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import (
    ONE_EULER_STEP,
    Reordered,
    assert_agree,
    class_data,
    covariance,
    deviations,
    ensemble,
    finite_differences,
    float64,
    losses_of,
    quick_jit,
    ravel,
    ravel_rows,
    regression_data,
)

import sde_sgd as ss
from sde_sgd import problems, random
from sde_sgd.problems import EmpiricalRisk
from sde_sgd.problems._losses import cross_entropy

KEY = jax.random.key(5)
CHAINS, BATCH = 30_000, 4
LINEAR = regression_data(20, 5)
CLASSES = class_data(12, 2, 3)
TWO_CLASSES = class_data(10, 3, 2, seed=1)


def absolute_error(theta: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """A smooth |x·θ − y| of one example."""
    return jnp.sqrt(1 + (x @ theta - y) ** 2)


class FlaxStyle:
    """What a Flax module looks like from outside: `init` and `apply` over a nested dict."""

    def init(self, key: jax.Array, inputs: jax.Array) -> dict[str, Any]:
        first, second = jax.random.split(key)
        kernel = jax.random.normal(first, (inputs.shape[-1], 4))
        out = jax.random.normal(second, (4, 3))
        return {"params": {"Dense_0": {"kernel": kernel, "bias": jnp.zeros(4)}, "out": out}}

    def apply(self, variables: dict[str, Any], inputs: jax.Array) -> jax.Array:
        params = variables["params"]
        hidden = jnp.tanh(inputs @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"])
        return hidden @ params["out"]


def flax_style() -> EmpiricalRisk:
    net = FlaxStyle()
    return EmpiricalRisk(net.apply, CLASSES, init=lambda key: net.init(key, CLASSES.inputs[:1]))


MODELS: dict[str, Callable[[], EmpiricalRisk]] = {
    "linear": lambda: problems.linear_regression(LINEAR, bias=True, l2=0.3),
    "logistic": lambda: problems.logistic_regression(TWO_CLASSES),
    "softmax": lambda: problems.softmax_regression(CLASSES, l2=0.1),
    "mlp": lambda: problems.mlp(CLASSES, hidden=(3,), loss="squared_error"),
    "equinox": lambda: problems.from_equinox(
        lambda key: eqx.nn.MLP(2, 3, 4, 1, activation=jnp.tanh, key=key), CLASSES
    ),
    "loss": lambda: problems.from_loss(absolute_error, LINEAR, init=lambda key: jnp.ones(5)),
    "Flax-style": flax_style,
}


@quick_jit
def everything(problem: EmpiricalRisk, theta: Any, batch: Any) -> dict[str, Any]:
    """All that the contract is about, in one program."""
    size = problem.dataset_size
    weights = jnp.full(size, 1.0 / size)
    return {
        "losses": problem.example_losses(theta),
        "loss": problem.loss(theta),
        "gradient": ravel_in_jax(problem.gradient(theta)),
        "uniform": ravel_in_jax(problem.weighted_gradient(theta, weights)),
        "weighted": ravel_in_jax(problem.weighted_gradient(theta, jnp.arange(size, dtype=float))),
        "batch": ravel_in_jax(problem.batch_gradient(theta, batch)),
        "examples": problem.example_gradients(theta),
        "covariance": problem.gradient_covariance(theta),
        "some": problem.example_losses(theta, batch),
        "unit noises": one_pass(problem, theta, jnp.eye(size)),
        "constant noise": one_pass(problem, theta, jnp.ones((1, size))),
    }


@eqx.filter_jit
def one_pass(problem: EmpiricalRisk, theta: Any, xi: jax.Array) -> Any:
    """C^{1/2}ξ for every row of `xi`."""
    none, full = jnp.asarray(0.0), jnp.asarray(1.0)
    return jax.vmap(lambda row: problem.noisy_gradient(theta, none, full, row))(xi)


BATCH_OF_SIX = np.array([4, 1, 1, 9, 4, 4])  # repeats count as often as they occur


@functools.cache
def reference(name: str) -> tuple[EmpiricalRisk, Any, dict[str, Any]]:
    """A model, parameters away from its symmetric start, and everything there."""
    problem = MODELS[name]()
    theta = jax.jit(lambda key: jax.tree.map(lambda leaf: leaf + 0.1, problem.init(key)))(KEY)
    got = everything(problem, theta, jnp.asarray(BATCH_OF_SIX))
    return problem, theta, jax.tree.map(np.asarray, got)


def ravel_in_jax(tree: Any) -> jax.Array:
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)])


# The contract


@pytest.mark.parametrize("name", MODELS)
def test_gradients_agree_with_each_other(name: str) -> None:
    problem, _, got = reference(name)
    size, rows = problem.dataset_size, got["examples"]
    close = {"rtol": 1e-4, "atol": 1e-5}
    assert got["losses"].shape == (size,)
    assert rows.shape == (size, len(got["gradient"]))
    np.testing.assert_allclose(got["loss"], got["losses"].mean(), rtol=1e-5)
    np.testing.assert_allclose(got["some"], got["losses"][BATCH_OF_SIX], rtol=1e-5)
    np.testing.assert_allclose(got["uniform"], got["gradient"], **close)
    np.testing.assert_allclose(rows.mean(axis=0), got["gradient"], **close)
    np.testing.assert_allclose(got["batch"], rows[BATCH_OF_SIX].mean(axis=0), **close)
    np.testing.assert_allclose(got["weighted"], np.arange(size) @ rows, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(got["covariance"], np.cov(rows.T, bias=True), **close)


@pytest.mark.parametrize("name", ["linear", "softmax"])
def test_gradient_is_the_slope_of_the_loss(name: str) -> None:
    """In float64, over the raveled parameters."""
    single, theta, _ = reference(name)
    with float64():
        # float32 numbers of the data set are exact in float64
        problem = jax.tree.map(
            lambda leaf: leaf.astype(float) if eqx.is_inexact_array(leaf) else leaf, single
        )
        theta = jax.tree.map(lambda leaf: leaf.astype(float), theta)
        flat, unravel = jax.flatten_util.ravel_pytree(theta)

        @jax.jit
        def both(vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
            losses = jax.vmap(lambda vector: problem.loss(unravel(vector)))(vectors)
            return losses, ravel_in_jax(problem.gradient(unravel(vectors[0])))

        _, slope = both(flat[None])
        expected = finite_differences(lambda vectors: both(vectors)[0], flat)
        assert slope.dtype == jnp.float64
        np.testing.assert_allclose(slope, expected, atol=1e-8)


@pytest.mark.parametrize("name", MODELS)
def test_one_pass_noise_has_exactly_the_covariance_of_the_data(name: str) -> None:
    """ξ ↦ Aξ is linear, and with the N unit vectors as ξ its columns give AAᵀ = C, to rounding."""
    problem, theta, got = reference(name)
    assert problem.driving_noise(theta).shape == (problem.dataset_size,)
    columns = ravel_rows(got["unit noises"])
    np.testing.assert_allclose(columns.T @ columns, got["covariance"], rtol=1e-4, atol=1e-5)
    # a constant ξ moves nothing: the mean gradient is not noise
    np.testing.assert_allclose(ravel(got["constant noise"]), 0, atol=1e-5)


@pytest.mark.parametrize("name", ["linear", "mlp"])
def test_one_pass_noise_with_normal_numbers(name: str) -> None:
    """Null: mean 0, covariance C. Planted fault: noise that does not subtract ξ̄ has C + ggᵀ, which
    is more than ten standard errors away."""
    problem, theta, got = reference(name)
    words = random.at(random.stream(KEY, random.Stream.BROWNIAN), 1)
    draw = jax.jit(random.normal, static_argnums=2)
    xi = draw(words, random.chain_numbers(CHAINS), (problem.dataset_size,))
    rows = ravel_rows(one_pass(problem, theta, xi))
    exact, gradient = got["covariance"].astype(np.float64), got["gradient"]
    found, error = covariance(rows)
    assert_agree(found, exact, error)
    assert_agree(rows.mean(axis=0), np.zeros(len(exact)), np.sqrt(np.diag(exact) / CHAINS))
    assert np.abs(deviations(found, exact + np.outer(gradient, gradient), error)).max() > 10


def test_drift_and_noise_add_in_one_pass() -> None:
    problem, theta, got = reference("mlp")
    xi = np.arange(12.0, dtype=np.float32)
    noisy = quick_jit(problem.noisy_gradient)
    whole = noisy(theta, jnp.asarray(-0.3), jnp.asarray(2.0), jnp.asarray(xi))
    parts = -0.3 * got["gradient"] + 2 * xi @ ravel_rows(got["unit noises"])
    np.testing.assert_allclose(ravel(whole), parts, rtol=1e-4, atol=1e-4)


# Langevin noises


@eqx.filter_jit
def one_step(process: ss.Process, theta: Any, chain: jax.Array) -> Any:
    """Where one step takes every chain from the same θ."""
    state = process.init(ensemble(theta, chain.shape[0]), chain)
    return process.step(state, jnp.asarray(3), process.streams(KEY)).theta


@functools.cache
def langevin_kicks(name: str, **more: Any) -> np.ndarray:
    """√(B) (θ' − θ + η∇L)/η of one step from one θ: what has covariance C."""
    problem, theta, got = reference(name)
    process = ss.Langevin(problem, ss.Hyperparameters(1.0, BATCH), **ONE_EULER_STEP, **more)
    moved = ravel_rows(one_step(process, theta, random.chain_numbers(CHAINS)))
    return np.sqrt(BATCH) * (moved.astype(np.float64) - ravel(theta) + got["gradient"])


def wanted_covariance(exact: np.ndarray, noise: str) -> np.ndarray:
    if noise == "isotropic":
        return np.eye(len(exact)) * np.trace(exact) / len(exact)
    return np.diag(np.diag(exact)) if noise == "diagonal" else exact


@pytest.mark.parametrize("noise", ["problem", "isotropic", "diagonal"])
def test_langevin_noises_have_the_covariance_they_are_named_for(noise: str) -> None:
    """Null: mean 0 and covariance C, (Tr C/d)I or diag C. The other two are excluded by more than
    ten standard errors of some entry. θ has two leaves, weights and bias."""
    exact = reference("linear")[2]["covariance"].astype(np.float64)
    rows = langevin_kicks("linear", noise=noise)
    got, error = covariance(rows)
    wanted = wanted_covariance(exact, noise)
    assert_agree(got, wanted, error)
    assert_agree(rows.mean(axis=0), np.zeros(len(exact)), np.sqrt(np.diag(wanted) / CHAINS))
    for other in {"problem", "isotropic", "diagonal"} - {noise}:
        assert np.abs(deviations(got, wanted_covariance(exact, other), error)).max() > 10


def test_reshaped_noises_keep_the_size_of_the_draw() -> None:
    """Chain by chain: "isotropic" turns the problem's own draw, "diagonal" flips its signs."""
    own, turned, flipped = (
        langevin_kicks("linear", noise=noise) for noise in ("problem", "isotropic", "diagonal")
    )
    # rounding: sums over 20 examples of up to some 15 units in float32, 20 · 15 · 2⁻²⁴ = 2e-5
    np.testing.assert_allclose(np.abs(flipped), np.abs(own), atol=1e-4)
    lengths = [np.linalg.norm(rows, axis=1) for rows in (own, turned)]
    np.testing.assert_allclose(lengths[1], lengths[0], atol=1e-4)


def test_langevin_without_noise_is_gradient_descent() -> None:
    problem, theta, got = reference("mlp")
    process = ss.Langevin(problem, ss.Hyperparameters(0.1, BATCH), noise="none", **ONE_EULER_STEP)
    moved = ravel_rows(one_step(process, theta, random.chain_numbers(3)))
    expected = ravel(theta) - 0.1 * got["gradient"]
    np.testing.assert_allclose(moved, np.tile(expected, (3, 1)), atol=1e-6)


def test_langevin_subset_noise_is_reduced() -> None:
    """Null: covariance C(N − B)/(N − 1); the factor is 16/19 here, and 1 is excluded."""
    exact = reference("linear")[2]["covariance"].astype(np.float64)
    got, error = covariance(langevin_kicks("linear", sampling="subset"))
    assert_agree(got, exact * 16 / 19, error)
    assert np.abs(deviations(got, exact, error)).max() > 10


# No matrix is formed


def sizes(jaxpr: Any) -> Iterator[tuple[int, str]]:
    """Number of elements of everything that a program computes, inner programs included."""
    for equation in jaxpr.eqns:
        for variable in equation.outvars:
            shape = getattr(variable.aval, "shape", ())
            yield math.prod(shape), f"{equation.primitive.name}{shape}"
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            if hasattr(inner, "eqns"):
                yield from sizes(inner)
            elif hasattr(inner, "jaxpr"):
                yield from sizes(inner.jaxpr)


@pytest.mark.script
def test_exact_noise_never_forms_a_matrix_over_the_parameters() -> None:
    data = class_data(50, 8, 3)
    problem = problems.mlp(data, hidden=(16, 16))
    shapes = jax.eval_shape(problem.init, KEY)
    theta = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes)
    parameters = len(ravel(theta))
    assert parameters > 400
    for noise in ("problem", "isotropic", "diagonal"):
        process = ss.Langevin(problem, ss.Hyperparameters(0.1, 4), noise=noise)
        state = process.init(ensemble(theta, 1), random.chain_numbers(1))
        words = process.streams(KEY)
        step = jax.make_jaxpr(partial(process.step, words=words))(state, jnp.asarray(3))
        largest, where = max(sizes(step.jaxpr))
        # the largest things are activations, 50 examples of 16 units: N·d is 25 times as much
        assert largest <= 50 * 16, where
    # the same search finds the matrices where they are
    rows = jax.make_jaxpr(problem.example_gradients)(theta)
    assert max(sizes(rows.jaxpr))[0] >= 50 * parameters
    square = jax.make_jaxpr(problem.gradient_covariance)(theta)
    assert max(sizes(square.jaxpr))[0] >= parameters**2


# L2


def test_l2_adds_to_the_gradient_and_not_to_the_noise() -> None:
    _, theta, heavy = reference("linear")
    plain_problem = problems.linear_regression(LINEAR, bias=True)
    plain = everything(plain_problem, theta, jnp.asarray(BATCH_OF_SIX))
    flat = ravel(theta)
    np.testing.assert_allclose(heavy["loss"] - plain["loss"], 0.15 * flat @ flat, rtol=1e-4)
    np.testing.assert_allclose(heavy["gradient"] - plain["gradient"], 0.3 * flat, atol=1e-5)
    np.testing.assert_allclose(heavy["batch"] - plain["batch"], 0.3 * flat, atol=2e-5)
    np.testing.assert_allclose(heavy["covariance"], plain["covariance"], rtol=1e-5, atol=1e-5)
    # a test loss is the loss of the model alone
    make = partial(problems.softmax_regression, CLASSES, bias=False)
    ones = [{"weight": jnp.ones((2, 3))}]
    losses = [float(quick_jit(make(l2=l2).test_loss)(ones)) for l2 in (0.0, 2.0)]
    assert losses[0] == losses[1]


# Other libraries' models


def test_equinox_parameters_are_the_module() -> None:
    def make(key: jax.Array) -> eqx.nn.MLP:
        return eqx.nn.MLP(2, 3, 4, 1, key=key)

    problem = problems.from_equinox(make, CLASSES)
    module, theta = quick_jit(make)(KEY), quick_jit(problem.init)(KEY)
    assert len(ravel(theta)) == len(ravel(eqx.filter(module, eqx.is_array)))
    losses = quick_jit(lambda: cross_entropy(jax.vmap(module)(CLASSES.inputs), CLASSES.targets))()
    np.testing.assert_allclose(losses_of(problem, theta), losses, rtol=1e-5)
    assert not np.allclose(ravel(theta), ravel(quick_jit(problem.init)(jax.random.key(6))))


def test_from_loss_by_hand() -> None:
    problem = MODELS["loss"]()
    x, y = np.asarray(LINEAR.inputs), np.asarray(LINEAR.targets)
    theta = jnp.arange(5.0)
    expected = np.sqrt(1 + (x @ np.arange(5.0) - y) ** 2)
    np.testing.assert_allclose(losses_of(problem, theta), expected, rtol=1e-5)
    heavy = problems.from_loss(absolute_error, LINEAR, init=lambda key: jnp.ones(5), l2=0.2)
    np.testing.assert_allclose(losses_of(heavy, theta), expected + 0.1 * 30, rtol=1e-5)


@pytest.mark.parametrize(("name", "process"), [("equinox", ss.SGD), ("Flax-style", ss.Langevin)], ids=str)
def test_any_model_steps(name: str, process: Any) -> None:
    problem, theta, _ = reference(name)
    moved = one_step(process(problem, ss.Hyperparameters(0.05)), theta, random.chain_numbers(2))
    assert jax.tree.structure(moved) == jax.tree.structure(theta)
    rows = ravel_rows(moved)
    assert np.isfinite(rows).all()
    assert not np.array_equal(rows[0], rows[1])


def test_integer_arrays_of_an_equinox_module_are_constants() -> None:
    def make(key: jax.Array) -> Reordered:
        return Reordered(jax.random.normal(key, (2, 3)), jnp.asarray([1, 0]))

    problem = problems.from_equinox(make, CLASSES)
    theta = problem.init(KEY)
    assert [leaf.shape for leaf in jax.tree.leaves(theta)] == [(2, 3)]
    outputs = np.asarray(CLASSES.inputs)[:, ::-1] @ np.asarray(theta.weight)
    np.testing.assert_allclose(problem.predict(theta, CLASSES.inputs), outputs, rtol=1e-5, atol=1e-6)
