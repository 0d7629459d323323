"""Empirical risks: losses by hand, gradients, and noise with exactly the data's covariance.

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
    REFUSED,
    assert_agree,
    bare,
    bound,
    class_data,
    covariance,
    deviations,
    ensemble,
    facts,
    finite_differences,
    float64,
    quick_jit,
    ravel,
    ravel_rows,
    refused,
    regression_data,
)
from scipy import special

import sde_sgd as ss
from sde_sgd import problems, random
from sde_sgd.data import Dataset
from sde_sgd.data._label_noise import with_label_noise
from sde_sgd.problems import EmpiricalRisk
from sde_sgd.problems._losses import cross_entropy, squared_error

KEY = jax.random.key(5)
CHAINS, BATCH = 30_000, 4
LINEAR = regression_data(20, 5)
CLASSES = class_data(12, 2, 3)
TWO_CLASSES = class_data(10, 3, 2, seed=1)
EMPTY = Dataset(np.ones((6, 0)), np.zeros(6), name="nothing")


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


# Losses by hand


@quick_jit
def losses_of(problem: EmpiricalRisk, theta: Any) -> jax.Array:
    return problem.example_losses(theta)


@quick_jit
def accuracies(problem: EmpiricalRisk, theta: Any) -> tuple[jax.Array, jax.Array]:
    """On the training and on the test set."""
    return problem.training_accuracy(theta), problem.accuracy(theta)


def test_linear_regression_by_hand() -> None:
    x, y = np.asarray(LINEAR.inputs), np.asarray(LINEAR.targets)
    problem = problems.linear_regression(LINEAR, l2=0.3)
    w = np.arange(5.0, dtype=np.float32)
    theta = [{"weight": jnp.asarray(w[:, None])}]
    assert jax.eval_shape(problem.init, KEY)[0]["weight"].shape == (5, 1)
    losses = 0.5 * (x @ w - y) ** 2 + 0.15 * w @ w
    np.testing.assert_allclose(losses_of(problem, theta), losses, rtol=1e-5)
    loss, gradient, hessian = facts(problem, ensemble(theta, 1))
    np.testing.assert_allclose(loss, [losses.mean()], rtol=1e-5)
    expected = x.T @ (x @ w - y) / len(y) + 0.3 * w
    np.testing.assert_allclose(ravel(gradient), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(hessian[0], x.T @ x / len(y) + 0.3 * np.eye(5), rtol=1e-4, atol=1e-5)


def test_logistic_regression_by_hand() -> None:
    x, y = np.asarray(TWO_CLASSES.inputs, np.float64), np.asarray(TWO_CLASSES.targets)
    problem = problems.logistic_regression(TWO_CLASSES)
    theta = [{"weight": jnp.asarray([[1.0], [-2.0], [0.5]]), "bias": jnp.asarray([0.3])}]
    p = special.expit(x @ [1.0, -2.0, 0.5] + 0.3)
    losses = -np.where(y == 1, np.log(p), np.log1p(-p))
    np.testing.assert_allclose(losses_of(problem, theta), losses, rtol=1e-5)
    by_hand = accuracy_by_hand(theta, TWO_CLASSES)
    np.testing.assert_allclose(accuracies(problem, theta)[1], by_hand)


def accuracy_by_hand(theta: Any, dataset: Dataset) -> float:
    weight, bias = np.asarray(theta[0]["weight"]), np.asarray(theta[0]["bias"])
    outputs = np.asarray(dataset.test_inputs) @ weight + bias
    guess = outputs[:, 0] > 0 if outputs.shape[1] == 1 else outputs.argmax(axis=1)
    return float(np.mean(guess == np.asarray(dataset.test_targets)))


def test_softmax_regression_by_hand() -> None:
    x, y = np.asarray(CLASSES.inputs, np.float64), np.asarray(CLASSES.targets)
    problem = problems.softmax_regression(CLASSES)
    weight = np.array([[1.0, -0.5, 0.2], [0.0, 2.0, -1.0]])
    theta = [{"weight": jnp.asarray(weight, jnp.float32), "bias": jnp.asarray([0.1, 0.0, -0.1])}]
    probability = special.softmax(x @ weight + [0.1, 0.0, -0.1], axis=1)
    losses = -np.log(probability[np.arange(12), y])
    np.testing.assert_allclose(losses_of(problem, theta), losses, rtol=1e-4)
    right = probability.argmax(axis=1) == y
    by_hand = right.mean(), accuracy_by_hand(theta, CLASSES)
    np.testing.assert_allclose(accuracies(problem, theta), by_hand)
    tests = np.asarray(CLASSES.test_inputs) @ weight + [0.1, 0.0, -0.1]
    test_losses = special.logsumexp(tests, axis=1) - tests[np.arange(12), y]
    np.testing.assert_allclose(quick_jit(problem.test_loss)(theta), test_losses.mean(), rtol=1e-5)


def test_two_logits_and_one_are_the_same_model() -> None:
    one = problems.logistic_regression(TWO_CLASSES)
    two = problems.softmax_regression(TWO_CLASSES)
    w, b = np.array([[1.0], [-2.0], [0.5]], np.float32), np.array([0.3], np.float32)
    half = [{"weight": jnp.asarray(w), "bias": jnp.asarray(b)}]
    both = [{"weight": jnp.asarray(np.hstack([0 * w, w])), "bias": jnp.asarray([0.0, 0.3])}]
    np.testing.assert_allclose(losses_of(one, half), losses_of(two, both), rtol=1e-5)
    np.testing.assert_allclose(accuracies(one, half), accuracies(two, both))


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu", "softplus"])
def test_mlp_by_hand(activation: str) -> None:
    function = {
        "tanh": np.tanh,
        "relu": lambda z: np.maximum(z, 0),
        "gelu": lambda z: 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
        "softplus": lambda z: np.log1p(np.exp(z)),
    }[activation]
    problem = problems.mlp(CLASSES, hidden=(4, 3), activation=activation, loss="squared_error")
    rng = np.random.default_rng(0)
    theta = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype),
        jax.eval_shape(problem.init, KEY),
    )
    hidden = np.asarray(CLASSES.inputs)
    for layer in theta[:-1]:
        hidden = function(hidden @ np.asarray(layer["weight"]) + np.asarray(layer["bias"]))
    outputs = hidden @ np.asarray(theta[-1]["weight"]) + np.asarray(theta[-1]["bias"])
    losses = 0.5 * ((outputs - np.eye(3)[np.asarray(CLASSES.targets)]) ** 2).sum(axis=1)
    np.testing.assert_allclose(losses_of(problem, theta), losses, rtol=1e-4)


def test_cross_entropy_is_finite_for_large_logits() -> None:
    outputs = jnp.asarray([[1e4, 0.0], [-1e4, 0.0]])
    np.testing.assert_allclose(cross_entropy(outputs, jnp.asarray([0, 0])), [0, 1e4])
    np.testing.assert_allclose(cross_entropy(outputs[:, :1], jnp.asarray([1, 1])), [0, 1e4])


def test_squared_error_of_several_outputs() -> None:
    outputs, targets = np.arange(6.0).reshape(2, 3), np.ones((2, 3))
    expected = 0.5 * ((outputs - targets) ** 2).sum(axis=1)
    np.testing.assert_allclose(squared_error(jnp.asarray(outputs), jnp.asarray(targets)), expected)


def test_initial_weights_have_variance_one_over_fan_in() -> None:
    """Null: N(0, gain²/fan_in); the variance of n weights has relative standard error √(2/n)."""
    problem = problems.mlp(class_data(6, 50, 3), hidden=(80,), gain=1.7)
    for layer in quick_jit(problem.init)(KEY):
        weight = np.asarray(layer["weight"])
        scaled = weight.var() * weight.shape[0] / 1.7**2
        assert_agree(scaled, 1, math.sqrt(2 / weight.size), count=2)
        np.testing.assert_array_equal(layer["bias"], np.zeros(weight.shape[1]))


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


# L2, labels, accuracy


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


@pytest.mark.parametrize("fraction", [0.0, 0.25, 1.0])
def test_label_noise_redraws_the_fraction_it_says(fraction: float) -> None:
    """Null: of the round(fN) labels redrawn each changes with odds 1 − 1/K; binomial bound."""
    size, classes = 4001, 5
    clean = class_data(size, 1, classes)
    noisy = with_label_noise(clean, fraction, key=KEY)
    changed = int((np.asarray(noisy.targets) != np.asarray(clean.targets)).sum())
    redrawn = round(fraction * size)
    odds = 1 - 1 / classes
    assert_agree(changed, redrawn * odds, math.sqrt(redrawn * odds * (1 - odds)))
    np.testing.assert_array_equal(noisy.inputs, clean.inputs)
    np.testing.assert_array_equal(noisy.test_targets, clean.test_targets)
    assert noisy.classes == classes
    assert np.asarray(noisy.targets).min() >= 0
    assert np.asarray(noisy.targets).max() < classes


def test_random_labels_are_uniform_whatever_the_clean_ones() -> None:
    """Null: with all labels redrawn each class has N/K of them, standard error √(N(K−1))/K."""
    size, classes = 4000, 4
    data = Dataset(np.zeros((size, 1)), np.zeros(size, int), classes=classes)
    counts = np.bincount(with_label_noise(data, 1.0, key=KEY).targets, minlength=classes)
    assert_agree(counts, np.full(4, size / 4), math.sqrt(size * 3) / 4)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, np.nan])
def test_label_noise_outside_the_unit_interval_is_refused(fraction: float) -> None:
    with refused(match="fraction must be"):
        with_label_noise(CLASSES, fraction, key=KEY)


def test_label_noise_needs_labels() -> None:
    with refused(match="real targets, not class labels"):
        with_label_noise(LINEAR, 0.5, key=KEY)


def test_a_model_that_fits_is_counted_right() -> None:
    data = Dataset(np.eye(3), [0, 1, 2], np.eye(3)[[0, 1, 1]], [0, 1, 2], classes=3)
    problem = problems.softmax_regression(data, bias=False)
    theta = [{"weight": jnp.eye(3)}]
    np.testing.assert_allclose(accuracies(problem, theta), [1, 2 / 3])


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


# Refusals


def predict_with(*shape: int) -> Callable[..., Any]:
    return lambda theta, x: x @ theta.reshape(2, *shape)


def risk(theta: Any, predict: Any = None, data: Any = CLASSES, **more: Any) -> Any:
    return EmpiricalRisk(predict or predict_with(3), data, init=lambda key: theta, **more)


BAD: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: risk(jnp.ones((2, 3), int)),
        "init must return floating-point parameters, got int32",
    ),
    (
        lambda: risk({"w": jnp.ones(6), "steps": jnp.asarray(0)}, lambda th, x: x @ th["w"]),
        "init must return floating-point parameters, got float32, int32",
    ),
    (lambda: risk(jnp.ones(6), loss="hinge"), "loss must be one of .*, got 'hinge'"),
    (lambda: risk(jnp.ones(6), l2=-1.0), "l2 must be finite and >= 0, got -1"),
    (lambda: risk(jnp.ones(6), l2=np.nan), "l2 must be finite and >= 0, got nan"),
    (lambda: risk(jnp.ones(4), predict_with(2)), "one output for each of the 3 classes.* got 2"),
    (lambda: risk(jnp.ones(2), predict_with(1)), "one output for each of the 3 classes.* got 1"),
    (lambda: risk(jnp.ones(2), predict_with()), r"one row of outputs per example.*got \(12,\)"),
    (
        lambda: risk(jnp.ones(4), predict_with(2), loss="squared_error"),
        "one output for each of the 3 classes.* got 2",
    ),
    (
        lambda: risk(jnp.ones(4), predict_with(2), regression_data(12, 2), loss="squared_error"),
        r"predict must return one number per target: outputs have shape \(12, 2\)",
    ),
    (lambda: problems.mlp(CLASSES, activation="sin"), "activation must be one of .*, got 'sin'"),
    (lambda: problems.mlp(CLASSES, hidden=(3, 0)), "hidden must be an integer >= 1, got 0"),
    (lambda: problems.mlp(EMPTY), r"'nothing' must have inputs with at least one number .*\(6, 0\)"),
    (lambda: problems.linear_regression(EMPTY), r"'nothing' must have inputs .* got shape \(6, 0\)"),
    (
        lambda: problems.linear_regression(Dataset(np.ones((6, 2)), np.ones((6, 0)))),
        r"must have targets with at least one number for each example, got shape \(6, 0\)",
    ),
    (lambda: problems.mlp(CLASSES, gain=0.0), "gain must be finite and > 0, got 0"),
    (lambda: problems.linear_regression(CLASSES), "has class labels; linear_regression needs real"),
    (lambda: problems.logistic_regression(CLASSES), "needs 2 classes, dataset 'data' has 3"),
    (lambda: problems.logistic_regression(LINEAR), "needs 2 classes, dataset 'data' has None"),
    (lambda: problems.softmax_regression(LINEAR), "needs classes, dataset 'data' has real targets"),
    (lambda: problems.linear_regression(LINEAR).test_loss(jnp.ones(5)), "has no test examples"),
    (lambda: problems.linear_regression(LINEAR).accuracy(jnp.ones(5)), "has no test examples"),
]


@pytest.mark.parametrize(("build", "message"), BAD)
def test_bad_values_are_refused(build: Callable[[], Any], message: str) -> None:
    with refused(match=message):
        build()


@pytest.mark.parametrize(
    "build",
    [
        lambda: EmpiricalRisk(None, CLASSES, init=lambda key: jnp.ones(6)),
        lambda: EmpiricalRisk(predict_with(3), CLASSES, init=jnp.ones(6)),
        lambda: EmpiricalRisk(predict_with(3), CLASSES.inputs, init=lambda key: jnp.ones(6)),
        lambda: problems.mlp(LINEAR),  # a cross-entropy of real targets
        lambda: risk(jnp.ones(6), loss=lambda outputs, targets: jnp.sum(outputs)),
        lambda: risk(jnp.ones(6), loss=lambda outputs, targets: outputs),
    ],
)
def test_what_does_not_fit_is_refused(build: Callable[[], Any]) -> None:
    with pytest.raises(REFUSED):
        build()


def test_cross_entropy_of_real_targets_has_its_own_message() -> None:
    with refused(match="targets must be integer class labels"):
        bare(cross_entropy)(jnp.ones((4, 2)), jnp.ones(4))


def test_accuracy_of_real_targets_is_refused() -> None:
    problem = problems.linear_regression(LINEAR)
    with refused(match="accuracy needs integer class labels"):
        problem.training_accuracy(problem.init(KEY))


def test_integer_arrays_of_an_equinox_module_are_constants() -> None:
    class Ordered(eqx.Module):
        weight: jax.Array
        order: jax.Array

        def __call__(self, x: jax.Array) -> jax.Array:
            return x[self.order] @ self.weight

    def make(key: jax.Array) -> Ordered:
        return Ordered(jax.random.normal(key, (2, 3)), jnp.asarray([1, 0]))

    problem = problems.from_equinox(make, CLASSES)
    theta = problem.init(KEY)
    assert [leaf.shape for leaf in jax.tree.leaves(theta)] == [(2, 3)]
    outputs = np.asarray(CLASSES.inputs)[:, ::-1] @ np.asarray(theta.weight)
    np.testing.assert_allclose(problem.predict(theta, CLASSES.inputs), outputs, rtol=1e-5, atol=1e-6)


def test_one_logit_and_more_outputs_than_classes_are_accepted() -> None:
    problems.logistic_regression(TWO_CLASSES)
    wide = risk(jnp.ones(8), predict_with(4))
    assert wide.example_losses(jnp.ones(8)).shape == (12,)


def test_bound_is_the_normal_quantile() -> None:
    """The shared bound: 4.89 standard errors for one number, 5.73 for a hundred."""
    assert bound() == pytest.approx(4.8916, abs=1e-4)
    assert bound(100) == pytest.approx(5.7307, abs=1e-3)
