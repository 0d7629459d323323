"""Models of a user's own: each example for itself, constants carried, refusals by name."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import Reordered, class_data, quick_jit, ravel, refused, regression_data

import sde_sgd as ss
from sde_sgd import problems
from sde_sgd.data import Dataset
from sde_sgd.problems import EmpiricalRisk

KEY = jax.random.key(5)
LINEAR = regression_data(12, 4)
CLASSES = class_data(12, 2, 3)
WHOLE = Dataset(np.asarray([[1.0], [1.0], [1.0]]), np.zeros(3, int), classes=2)  # all rows alike
SWITCHED_OFF = {"w": jnp.ones((2, 3)), "scale": jnp.zeros(3)}


def linear(theta: Any, x: jax.Array) -> jax.Array:
    return x @ theta["w"] / 3


def risk(predict: Callable[..., Any], data: Dataset = CLASSES, **options: Any) -> EmpiricalRisk:
    width = data.inputs.shape[-1]
    theta = {"w": jnp.ones((width, 3)) * jnp.arange(3.0), "scale": jnp.zeros(3)}
    return EmpiricalRisk(predict, data, init=lambda key: theta, **options)


def batch_norm(theta: Any, x: jax.Array) -> jax.Array:
    out = linear(theta, x)
    return (out - out.mean(axis=0)) / (out.std(axis=0) + 1e-3)


def neighbour(theta: Any, x: jax.Array) -> jax.Array:
    out = linear(theta, x)
    return out + 0.01 * jnp.roll(out, 1, axis=0)


def hidden(theta: Any, x: jax.Array) -> jax.Array:
    out = linear(theta, x)
    return out + theta["scale"] * (out - out.mean(axis=0))


def dropped(theta: Any, x: jax.Array) -> jax.Array:
    return linear(theta, x * jax.random.bernoulli(jax.random.key(1), 0.5, x.shape).astype(x.dtype))


DEPENDENT = {
    "batch normalisation": (batch_norm, "with the examples beside it.*running averages"),
    "a thousandth of the mean": (
        lambda theta, x: linear(theta, x) + 1e-3 * linear(theta, x).mean(axis=0),
        "with the examples beside it",
    ),
    "the example before": (neighbour, "with the examples beside it"),
    "a scale that starts at 0": (hidden, "with the examples beside it"),
    "the size of the batch": (lambda theta, x: linear(theta, x) / len(x), "with the size of its batch"),
    "the place in the batch": (
        lambda theta, x: linear(theta, x) + 0.01 * jnp.arange(float(len(x)))[:, None],
        "with the size of its batch",
    ),
    "dropout": (dropped, "draws random numbers, as dropout does.*its C.θ. is known"),
}


@pytest.mark.parametrize("name", DEPENDENT)
def test_a_prediction_that_looks_at_other_examples_is_refused(name: str) -> None:
    predict, message = DEPENDENT[name]
    with refused(match=f"predict must give each example .* alone.*{message}"):
        risk(predict)


def test_batch_statistics_that_agree_on_the_data_do_not_hide() -> None:
    """All rows are alike, so that every batch of them has the same mean."""
    with refused(match="with the examples beside it"):
        risk(lambda theta, x: linear(theta, x) - linear(theta, x).mean(axis=0), WHOLE)


LOSSES = {
    "centred": lambda outputs, targets: jnp.sum((outputs - outputs.mean(axis=0)) ** 2, axis=1),
    "divided by B": lambda outputs, targets: jnp.sum(outputs**2, axis=1) / len(targets),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_that_looks_at_other_examples_is_refused(name: str) -> None:
    with refused(match=r"loss must give each example .* alone"):
        risk(linear, loss=LOSSES[name])


INDEPENDENT = {
    "bfloat16 within": lambda theta, x: (x.astype(jnp.bfloat16) @ theta["w"].astype(jnp.bfloat16)).astype(
        jnp.float32
    ),
    "random features from a fixed key": lambda theta, x: (
        jnp.tanh(x @ jax.random.normal(jax.random.key(3), (x.shape[-1], 2))) @ theta["w"]
    ),
    "normalised within an example": lambda theta, x: linear(theta, x - x.mean(axis=1, keepdims=True)),
    "not a number anywhere": lambda theta, x: linear(theta, x) * jnp.nan,
    "infinite somewhere": lambda theta, x: linear(theta, jnp.log(jnp.maximum(x, 0))),
}


@pytest.mark.parametrize("name", INDEPENDENT)
def test_a_prediction_of_one_example_is_taken(name: str) -> None:
    assert risk(INDEPENDENT[name]).size == 12


def test_a_problem_can_be_made_inside_jit() -> None:
    assert np.isfinite(jax.jit(lambda: risk(linear).loss(SWITCHED_OFF))())


# Constants


@pytest.mark.script
def test_constant_state_is_given_to_the_prediction_and_not_trained() -> None:
    state = {"mean": np.asarray([0.5, -1.0], np.float32), "count": 3}
    problem = risk(lambda theta, state, x: linear(theta, x - state["mean"]), state=state)
    plain = risk(linear, Dataset(np.asarray(CLASSES.inputs) - state["mean"], CLASSES.targets, classes=3))
    theta = problem.init(KEY)
    assert set(theta) == {"w", "scale"}
    np.testing.assert_allclose(problem.example_losses(theta), plain.example_losses(theta), rtol=1e-5)
    done = ss.run(ss.SGD(problem, ss.Hyperparameters(0.1, 4)), chains=2, steps=3, key=KEY, progress=False)
    assert set(done.theta) == {"w", "scale"}
    assert np.isfinite(done.theta["w"]).all()
    with refused(match=r"state\['m'\] must be an array, got str"):
        risk(lambda theta, state, x: linear(theta, x), state={"m": "mean"})


def test_what_depends_on_the_batch_is_refused_with_state_too() -> None:
    with refused(match="predict must give each example"):
        risk(lambda theta, state, x: batch_norm(theta, x), state={"mean": jnp.zeros(2)})


class Normed(eqx.Module):
    """A network with batch normalisation, an integer array and a NumPy constant."""

    first: eqx.nn.Linear
    norm: eqx.nn.BatchNorm
    last: eqx.nn.Linear
    order: jax.Array
    shift: np.ndarray

    def __init__(self, key: jax.Array):
        one, two = jax.random.split(key)
        self.first = eqx.nn.Linear(2, 4, key=one)
        self.norm = eqx.nn.BatchNorm(4, "batch", mode="batch")
        self.last = eqx.nn.Linear(4, 3, key=two)
        self.order = jnp.asarray([1, 0])
        self.shift = np.asarray([0.5, 0.25], np.float32)

    def __call__(self, x: jax.Array, state: eqx.nn.State) -> Any:
        hidden, state = self.norm(self.first(x[self.order] + self.shift), state)
        return self.last(jnp.tanh(hidden)), state


@pytest.mark.parametrize("function", [False, True], ids=["module", "function"])
def test_an_equinox_module_trains_its_floats_and_keeps_its_running_averages(function: bool) -> None:
    module, state = eqx.nn.make_with_state(Normed)(KEY)
    module = eqx.nn.inference_mode(module)
    if function:
        problem = problems.from_equinox(lambda key: (module, state), CLASSES)
    else:
        problem = problems.from_equinox(module, CLASSES, state=state)
    theta = problem.init(KEY)
    assert {leaf.shape for leaf in jax.tree.leaves(theta)} == {(4, 2), (4,), (3, 4), (3,)}
    hidden = (np.asarray(CLASSES.inputs)[:, ::-1] + module.shift) @ np.asarray(module.first.weight).T
    hidden = (hidden + np.asarray(module.first.bias)) / np.sqrt(1 + 1e-5)  # running mean 0 and variance 1
    outputs = np.tanh(hidden) @ np.asarray(module.last.weight).T + np.asarray(module.last.bias)
    np.testing.assert_allclose(problem.predict(theta, CLASSES.inputs), outputs, rtol=1e-4, atol=1e-5)
    assert np.isfinite(quick_jit(problem.gradient)(theta).last.weight).all()


def test_equinox_in_training_mode_is_refused() -> None:
    module, state = eqx.nn.make_with_state(Normed)(KEY)
    with refused(match=r"BatchNorm in training mode.*eqx\.nn\.inference_mode"):
        problems.from_equinox(module, CLASSES, state=state)
    net = eqx.nn.Sequential([eqx.nn.Linear(2, 3, key=KEY), eqx.nn.Dropout(0.3)])
    with refused(match="Dropout in training mode"):
        problems.from_equinox(net, CLASSES)
    problems.from_equinox(eqx.nn.inference_mode(net), CLASSES)


def test_all_chains_start_at_an_equinox_module() -> None:
    net = eqx.nn.MLP(2, 3, 4, 1, key=KEY)
    problem = problems.from_equinox(net, CLASSES)
    expected = ravel(eqx.filter(net, eqx.is_array))
    for seed in (0, 1):
        np.testing.assert_array_equal(ravel(problem.init(jax.random.key(seed))), expected)


def test_frozen_parameters_are_constants() -> None:
    net = eqx.nn.MLP(2, 3, 4, 1, key=KEY)
    whole = problems.from_equinox(net, CLASSES)
    half = problems.from_equinox(net, CLASSES, frozen=lambda path: path.startswith("layers/0/"))
    theta = half.init(KEY)
    assert [leaf.shape for leaf in jax.tree.leaves(theta)] == [(3, 4), (3,)]
    np.testing.assert_allclose(half.loss(theta), whole.loss(whole.init(KEY)), rtol=1e-6)
    np.testing.assert_allclose(
        ravel(half.gradient(theta)), ravel(whole.gradient(whole.init(KEY)))[-15:], rtol=1e-5, atol=1e-7
    )
    with refused(match="frozen must mean one parameter at least, but none of 'layers/0/w"):
        problems.from_equinox(net, CLASSES, frozen=lambda path: "embedding" in path)
    with refused(match="frozen needs a module"):
        problems.from_equinox(lambda key: net, CLASSES, frozen=lambda path: True)


def test_constant_arrays_that_depend_on_the_key_are_refused() -> None:
    data = regression_data(12, 40)

    def make(key: jax.Array) -> Reordered:
        return Reordered(jnp.zeros(40), jax.random.permutation(key, 40))

    with refused(match=r"constant arrays \(int32\[40\]\) depend on the key"):
        problems.from_equinox(make, data, loss="squared_error")


class LinenStyle:
    """What a Linen module with running averages looks like from outside."""

    def init(self, key: jax.Array, inputs: jax.Array, train: bool = True) -> dict[str, Any]:
        kernel = jax.random.normal(key, (inputs.shape[-1], 3))
        return {"params": {"Dense_0": {"kernel": kernel, "bias": jnp.zeros(3)}}, **self.averages()}

    def averages(self) -> dict[str, Any]:
        return {"batch_stats": {"mean": jnp.asarray([0.5, 1.0])}}

    def apply(self, variables: dict[str, Any], inputs: jax.Array, train: bool = True) -> jax.Array:
        mean = inputs.mean(axis=0) if train else variables["batch_stats"]["mean"]
        layer = variables["params"]["Dense_0"]
        return (inputs - mean) @ layer["kernel"] + layer["bias"]


class Plain(LinenStyle):
    def averages(self) -> dict[str, Any]:
        return {}

    def apply(self, variables: dict[str, Any], inputs: jax.Array, train: bool = True) -> jax.Array:
        return super().apply({**variables, "batch_stats": {"mean": jnp.zeros(2)}}, inputs, train=False)


@pytest.mark.script
def test_flax_trains_params_and_keeps_the_other_collections() -> None:
    net = LinenStyle()
    variables = net.init(KEY, CLASSES.inputs)
    problem = problems.from_flax(net, CLASSES, variables=variables, arguments={"train": False})
    theta = problem.init(jax.random.key(1))
    np.testing.assert_array_equal(ravel(theta), ravel(variables["params"]))
    expected = (np.asarray(CLASSES.inputs) - [0.5, 1.0]) @ np.asarray(theta["Dense_0"]["kernel"])
    np.testing.assert_allclose(problem.predict(theta, CLASSES.inputs), expected, rtol=1e-5, atol=1e-6)
    fixed = problems.from_flax(
        net, CLASSES, variables=variables, arguments={"train": False}, frozen=lambda path: "kernel" in path
    )
    assert [leaf.shape for leaf in jax.tree.leaves(fixed.init(KEY))] == [(3,)]
    np.testing.assert_allclose(fixed.loss(fixed.init(KEY)), problem.loss(theta), rtol=1e-6)
    starts = [problems.from_flax(Plain(), CLASSES).init(jax.random.key(seed)) for seed in (0, 1)]
    assert not np.array_equal(ravel(starts[0]), ravel(starts[1]))


def test_flax_by_the_batch_or_without_its_averages_is_refused() -> None:
    net = LinenStyle()
    variables = net.init(KEY, CLASSES.inputs)
    with refused(match="predict must give each example"):
        problems.from_flax(net, CLASSES, variables=variables)
    with refused(match="variables must be given for a module with batch_stats"):
        problems.from_flax(net, CLASSES)
    with refused(match=r"variables must be a dictionary with 'params'.*got \['Dense_0'\]"):
        problems.from_flax(net, CLASSES, variables=variables["params"])
    with refused(match="got the class LinenStyle; build it first"):
        problems.from_flax(LinenStyle, CLASSES)
    with refused(match="with batch_stats beside params, which would be trained too"):
        EmpiricalRisk(net.apply, CLASSES, init=lambda key: net.init(key, CLASSES.inputs))
    with refused(match=r"module must be a Flax module, Linen or NNX, got a builtins\.int"):
        problems.from_flax(3, CLASSES)


def test_flax_itself() -> None:
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, rngs: Any):
            self.linear = nnx.Linear(2, 3, rngs=rngs)
            self.norm = nnx.BatchNorm(3, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            return self.norm(self.linear(x))

    net = Net(nnx.Rngs(0))
    with refused(match=r"Call net\.eval\(\) first"):
        problems.from_flax(net, CLASSES)
    wide = class_data(12, 5, 3)
    for frozen in (None, lambda path: "bias" in path):
        with refused(match=r"got \(5,\) and \(2,\)\. It is called with .*, each of shape \(5,\)\.$"):
            problems.from_flax(net, wide, frozen=frozen)
    net.eval()
    problem = problems.from_flax(net, CLASSES)
    np.testing.assert_allclose(
        problem.predict(problem.init(KEY), CLASSES.inputs), net(CLASSES.inputs), rtol=1e-5
    )


# What a user has at hand


def fake(module: str) -> Any:
    return type("Net", (), {"__module__": module, "__call__": lambda self, x: x})()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: problems.mlp((np.ones((6, 2)), np.ones(6))), r"got tuple of 2 .*Dataset\(X, y, X_test"),
        (lambda: problems.softmax_regression(np.ones((6, 2))), r"got ndarray of shape \(6, 2\)"),
        (lambda: problems.from_loss(lambda *a: 0.0, [1, 2], init=lambda key: 0.0), "got list of 2 entries"),
        (lambda: problems.mlp(CLASSES, hidden="wide"), "hidden must be an integer >= 1, got 'wide'"),
        (lambda: EmpiricalRisk(fake("torch.nn"), CLASSES, init=None), "cannot differentiate PyTorch"),
        (lambda: EmpiricalRisk(fake("flax.linen"), CLASSES, init=None), "use problems.from_flax"),
        (lambda: EmpiricalRisk(fake("haiku._src"), CLASSES, init=None), "haiku.without_apply_rng"),
        (lambda: problems.from_equinox(fake("torch.nn"), CLASSES), "cannot differentiate PyTorch"),
        (lambda: problems.from_equinox(3, CLASSES), "make must be a function key -> module"),
        (lambda: problems.from_equinox(lambda: None, CLASSES), "make must be a module or a function"),
        (lambda: problems.from_equinox(lambda key: 3, CLASSES), "make must return an Equinox module"),
        (lambda: EmpiricalRisk(linear, CLASSES, init=SWITCHED_OFF), "init=lambda key: parameters"),
        (
            lambda: EmpiricalRisk(eqx.nn.Linear(2, 3, key=KEY), CLASSES, init=lambda key: SWITCHED_OFF),
            r"predict\(theta, inputs\) failed.*use from_equinox\(module, dataset\)",
        ),
        (lambda: risk(lambda theta, x, key: linear(theta, x)), "needs 3: .*state=.*A key, as for dropout"),
        (lambda: risk(lambda theta, x: x @ theta["v"]), r"failed, given the shapes .*\(12, 2\): KeyError"),
        (lambda: risk(linear, loss=lambda outputs, targets: jnp.mean(outputs)), "Give no mean"),
        (
            lambda: EmpiricalRisk(linear, CLASSES, init=lambda key: {"w": jnp.ones((2, 3)), "name": "x"}),
            r"init\(key\) failed",
        ),
        (
            lambda: EmpiricalRisk(linear, CLASSES, init=lambda key: {"w": jnp.ones((2, 3), complex)}),
            "got complex64; give real and imaginary parts",
        ),
        (
            lambda: EmpiricalRisk(linear, CLASSES, init=lambda key: None),
            "must return parameters, got a pytree",
        ),
    ],
)
def test_what_is_no_model_or_data_set_is_named(build: Callable[[], Any], message: str) -> None:
    with refused(match=message):
        build()


def test_a_table_is_named_by_how_to_take_its_columns() -> None:
    frame = type("DataFrame", (), {"__module__": "pandas"})()
    with refused(match=r"got DataFrame. .*to_numpy\(\)"):
        problems.linear_regression(frame)


def test_none_in_the_parameters_stands_for_nothing() -> None:
    problem = EmpiricalRisk(linear, CLASSES, init=lambda key: {"w": jnp.ones((2, 3)), "b": None})
    done = ss.run(ss.SGD(problem, ss.Hyperparameters(0.1, 4)), chains=2, steps=2, key=KEY, progress=False)
    assert done.theta["b"] is None


def test_one_width_is_one_hidden_layer() -> None:
    assert problems.mlp(CLASSES, hidden=5).predict.sizes == (2, 5, 3)
    assert problems.mlp(CLASSES, hidden=np.asarray([5, 4])).predict.sizes == (2, 5, 4, 3)


def test_a_bare_loss_has_no_accuracy_and_says_so() -> None:
    problem = problems.from_loss(
        lambda theta, x, y: (x @ theta)[y] ** 2, CLASSES, init=lambda key: jnp.ones((2, 3))
    )
    for accuracy in (problem.accuracy, problem.training_accuracy):
        with refused(match=r"accuracy needs predictions.*EmpiricalRisk\(predict"):
            accuracy(problem.init(KEY))
    with refused(match="accuracy needs predictions"):
        ss.run(
            ss.SGD(problem, ss.Hyperparameters(0.1, 4)),
            chains=2,
            steps=2,
            key=KEY,
            record={"accuracy": problem.accuracy},
        )


def test_losses_that_cannot_be_differentiated_are_refused_by_name() -> None:
    data = regression_data()
    for loss, kind in (
        (lambda theta, x, y: jnp.asarray(x @ theta - y, jnp.complex64), "complex64"),
        (lambda theta, x, y: x @ theta > y, "bool"),
        (lambda theta, x, y: 3, "int32"),
    ):
        with refused(match=rf"example_loss\(theta, x, y\) must return real .*, got {kind}"):
            problems.from_loss(loss, data, init=lambda key: jnp.ones(3))


@pytest.mark.script
def test_linen_itself() -> None:
    """A small network and its batch averages, as a user has them."""
    from flax import linen

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x: Any, train: bool = True) -> Any:
            x = linen.BatchNorm(use_running_average=not train)(linen.Dense(4)(x))
            return linen.Dense(3)(linen.relu(x))

    net = Net()
    variables = net.init(KEY, CLASSES.inputs[:2])
    problem = problems.from_flax(net, CLASSES, variables=variables, arguments={"train": False})
    theta = problem.init(KEY)
    expected = net.apply({**variables, "params": theta}, CLASSES.inputs, train=False)
    np.testing.assert_allclose(problem.predict(theta, CLASSES.inputs), expected, rtol=1e-5)
    assert ss.run(ss.SGD(problem, ss.Hyperparameters(0.1, 4)), chains=2, steps=3, key=KEY).diverged == 0
    with refused(match="train"):
        problems.from_flax(net, CLASSES, variables=variables)
