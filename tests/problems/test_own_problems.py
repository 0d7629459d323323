"""Problems of a user's own, methods as functions, and optimizers: what fits works, the rest is named."""

import functools
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import class_data, float64, refused, some_as_scripts

import sde_sgd as ss
from sde_sgd import problems

KEY = jax.random.key(0)
HYPER = ss.Hyperparameters(0.05, 2)
DATA = class_data(12, 2, 3)


class Own(problems.AnalyticProblem):
    noise: problems.GradientNoise = problems.Isotropic(1.0)
    noise_law: str = eqx.field(static=True, default="gaussian")

    def init(self, key: Any) -> Any:
        return jnp.ones(2)

    def loss(self, theta: Any) -> Any:
        return jnp.sum(theta**2) / 2


class OwnSum(problems.FiniteSumProblem):
    def init(self, key: Any) -> Any:
        return jnp.ones(2)

    def example_losses(self, theta: Any, indices: Any = None) -> Any:
        numbers = jnp.arange(7) if indices is None else indices
        return jnp.sum(theta**2) * (1 + numbers.astype(theta.dtype))

    @property
    def dataset_size(self) -> Any:
        return 7


def with_method(kind: type, **methods: Any) -> Any:
    """The class with other methods, under a name of its own."""
    return type("Mine", (kind,), methods)


def scaled(factor: Any) -> Callable[..., Any]:
    return lambda self, theta: factor * theta


BAD: dict[str, tuple[Any, str]] = {
    "a loss for each parameter": (
        with_method(Own, loss=lambda self, theta: theta**2),
        r"Mine\.loss\(theta\) must return one real number, L\(θ\), got shapes \(2,\).*jnp\.sum",
    ),
    "a loss by math": (
        with_method(Own, loss=lambda self, theta: math.exp(theta[0])),
        r"Mine\.loss\(theta\) failed, given the shapes \(2,\): .*Inside it use jax\.numpy",
    ),
    "a complex loss": (
        with_method(Own, loss=lambda self, theta: jnp.sum(theta).astype(complex)),
        r"Mine\.loss\(theta\) must return one real number.*complex64",
    ),
    "integer parameters": (
        with_method(Own, init=lambda self, key: jnp.zeros(2, int)),
        r"Mine\.init\(key\) must return floating-point parameters, got int32; for instance jnp\.zeros",
    ),
    "no parameters": (
        with_method(Own, init=lambda self, key: None),
        r"Mine\.init\(key\) must return floating-point parameters, got none",
    ),
    "a gradient of another shape": (
        with_method(Own, gradient=lambda self, theta: jnp.ones(3)),
        r"Mine\.gradient\(theta\) must return what theta is like, shapes \(2,\) .*got shapes \(3,\)",
    ),
    "a gradient of another dtype": (
        with_method(Own, gradient=lambda self, theta: theta.astype(jnp.float16)),
        r"Mine\.gradient\(theta\) must return what theta is like, .*float32.*got .*float16",
    ),
    "one loss for all examples": (
        with_method(OwnSum, example_losses=lambda self, theta, indices=None: jnp.sum(theta) * jnp.ones(7)),
        r"Mine\.example_losses\(theta, indices\) must return one number for each example, shape \(3,\)",
    ),
    "no number of examples": (
        with_method(OwnSum, dataset_size=property(lambda self: 7.0)),
        r"Mine\.dataset_size must be an integer >= 1",
    ),
}


@pytest.mark.parametrize("process", [ss.SGD, ss.Langevin])
@pytest.mark.parametrize("name", BAD)
def test_a_problem_that_breaks_its_contract_is_named(name: str, process: Any) -> None:
    kind, message = BAD[name]
    with refused(match=message):
        process(kind(), HYPER)


@pytest.mark.parametrize("kind", [Own, OwnSum])
def test_a_problem_that_keeps_it_runs(kind: Any) -> None:
    for process in (ss.SGD, ss.Langevin):
        done = ss.run(process(kind(), HYPER), chains=2, steps=3, key=KEY, progress=False)
        assert np.isfinite(done.theta).all()


def test_a_python_number_and_a_constant_loss_are_numbers() -> None:
    ss.SGD(with_method(Own, loss=lambda self, theta: 0.0)(), HYPER)


def test_a_problem_for_sgd_alone_is_taken() -> None:
    def unknown(*_: Any) -> Any:
        raise problems.NotKnownError("no SDE here")

    done = ss.run(
        ss.SGD(with_method(OwnSum, noisy_gradient=unknown)(), HYPER),
        chains=2,
        steps=2,
        key=KEY,
        progress=False,
    )
    assert np.isfinite(done.theta).all()


def test_a_loss_that_is_not_a_number_at_the_start_is_refused() -> None:
    bad = with_method(Own, loss=lambda self, theta: jnp.sum(jnp.log(theta - 2)))
    with refused(match="the loss or a parameter is not finite"):
        ss.run(ss.SGD(bad(), HYPER), chains=2, steps=2, key=KEY, progress=False)


def test_what_a_problem_lacks_is_named_with_the_class_that_has_it() -> None:
    empty = type("Mine", (problems.AnalyticProblem,), {})
    with pytest.raises(TypeError, match=r"Mine lacks init, loss, noise, noise_law\. .*FiniteSumProblem"):
        empty()
    without_noise = type("Mine", (problems.AnalyticProblem,), {"init": Own.init, "loss": Own.loss})
    with pytest.raises(TypeError, match=r"Mine lacks noise, noise_law\."):
        without_noise()


# Methods are functions


@pytest.mark.parametrize(
    "make",
    [
        problems.DoubleWell,
        lambda: problems.mlp(DATA, hidden=2, l2=0.1),
        lambda: problems.from_equinox(eqx.nn.MLP(2, 3, 4, 1, key=KEY), DATA),
        Own,
    ],
    ids=["well", "network", "module", "own"],
)
def test_methods_of_a_problem_can_be_transformed_like_functions(make: Any) -> None:
    problem = make()
    theta = problem.init(KEY)
    loss = float(problem.loss(theta))
    jitted = jax.jit(problem.loss)
    for _ in range(2):
        assert float(jitted(theta)) == pytest.approx(loss, rel=1e-5)
    assert float(jax.jit(jax.value_and_grad(problem.loss))(theta)[0]) == pytest.approx(loss, rel=1e-5)
    many = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), theta)
    np.testing.assert_allclose(jax.jit(jax.vmap(problem.loss))(many), [loss, loss], rtol=1e-5)


def test_a_jitted_loss_is_that_of_its_own_problem() -> None:
    """Problems of one shape have one hash, and are told apart by their numbers."""
    wells = [problems.DoubleWell(tilt=tilt) for tilt in (0.1, 0.2)]
    assert hash(wells[0]) == hash(wells[1]) == hash(problems.DoubleWell(tilt=0.1))
    losses = [float(jax.jit(well.loss)(jnp.asarray(1.0))) for well in wells]
    assert losses == pytest.approx([0.1, 0.2])
    assert hash(wells[0]) != hash(problems.Quadratic())


@pytest.mark.script
def test_steps_of_a_process_can_be_jitted() -> None:
    for process in (ss.SGD(problems.DoubleWell(), HYPER), ss.SGD(Own(), HYPER, optimizer=optax.adam)):
        theta = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), process.problem.init(KEY))
        state = process.init(theta, ss.random.chain_numbers(2))
        words = process.streams(KEY)
        one = process.step(state, jnp.asarray(0), words)
        two = jax.jit(process.step)(state, jnp.asarray(0), words)
        np.testing.assert_allclose(two.theta, one.theta, rtol=1e-6)


def test_jit_inside_jit_says_that_it_is_not_needed() -> None:
    well = problems.DoubleWell()
    with pytest.raises(
        TypeError, match=r"unhashable inside jit: DoubleWell\. What is jitted need not be jitted"
    ):
        jax.jit(jax.jit(well.loss))(jnp.asarray(1.0))


@pytest.mark.script
def test_a_problem_built_before_double_precision_runs_or_is_named() -> None:
    """Built in float32, run in float64."""
    network = problems.mlp(DATA, hidden=2, l2=0.1)
    well = problems.DoubleWell()
    with float64(), jax.numpy_dtype_promotion("standard"):
        hyper, key = ss.Hyperparameters(0.05, 2), jax.random.key(0)
        for process in (ss.SGD(network, hyper), ss.Langevin(network, hyper, substeps=1), ss.SGD(well, hyper)):
            done = ss.run(process, chains=2, steps=2, key=key, progress=False)
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(done.theta))
        for kind in (ss.Langevin, ss.SecondOrderLangevin):
            with refused(match="jax_enable_x64 is on, got float32 from DoubleWell: build the"):
                kind(well, hyper)
        ss.Langevin(problems.DoubleWell(), hyper)


# Optimizers


def multi(rate: Any) -> Any:
    return optax.multi_transform({"a": optax.sgd(rate), "b": optax.adam(rate)}, {"x": "a", "y": "b"})


WORKING: dict[str, Any] = {
    "partial": functools.partial(optax.adamw, weight_decay=1e-3),
    "multi_transform": multi,
    "MultiSteps": lambda rate: optax.MultiSteps(optax.sgd(rate), 2),
    "apply_if_finite": lambda rate: optax.apply_if_finite(optax.sgd(rate), 3),
    "masked": lambda rate: optax.chain(
        optax.masked(optax.add_decayed_weights(0.1), {"x": True, "y": False}), optax.sgd(rate)
    ),
    "lbfgs without a line search": functools.partial(optax.lbfgs, linesearch=None),
    "a rate of its own, scaled": lambda rate: optax.chain(optax.scale_by_adam(), optax.scale(-rate)),
}
REFUSED: dict[str, tuple[Any, str]] = {
    "finished": (optax.adam(1e-3), r"pass optax\.adam, not optax\.adam\(1e-3\)"),
    "no argument": (lambda: optax.adam(1e-3), "takes no argument: lambda rate: "),
    "nothing returned": (lambda rate: None, "it returned None, not an optax transformation"),
    "lookahead": (lambda rate: optax.lookahead(optax.sgd(rate), 5, 0.5), "pair of fast and slow parameters"),
    "reduce_on_plateau": (
        lambda rate: optax.chain(optax.adam(rate), optax.contrib.reduce_on_plateau()),
        r"asks for the loss beside the gradient.*Use schedule=",
    ),
    "lbfgs": (optax.lbfgs, r"asks for the loss.*functools\.partial\(optax\.lbfgs, linesearch=None\)"),
    "polyak_sgd": (optax.polyak_sgd, "asks for the loss beside the gradient"),
    "inject_hyperparams": (
        lambda rate: optax.inject_hyperparams(optax.sgd)(learning_rate=rate),
        "must take the learning rate at every step, but it keeps the first in its state",
    ),
    "its own rate": (lambda rate: optax.adam(1e-3), "must use the learning rate that it is given"),
    "another tree": (
        lambda rate: optax.multi_transform({"a": optax.sgd(rate)}, ["a", "a", "a"]),
        "failed on the parameters of this problem",
    ),
}


class Pair(problems.FiniteSumProblem):
    """Two parameters in a dictionary."""

    def init(self, key: Any) -> Any:
        return {"x": jnp.ones(()), "y": jnp.ones(2)}

    def example_losses(self, theta: Any, indices: Any = None) -> Any:
        numbers = jnp.arange(8) if indices is None else indices
        return (theta["x"] ** 2 + jnp.sum(theta["y"] ** 2)) * (1 + numbers.astype(theta["x"].dtype) / 8)

    @property
    def dataset_size(self) -> int:
        return 8


@pytest.mark.parametrize(
    "name", some_as_scripts(WORKING, [*set(WORKING) - {"MultiSteps", "lbfgs without a line search"}])
)
def test_optimizers_that_follow_gradient_and_rate_work(name: str) -> None:
    """And each chain by its own rate: a larger one goes further."""
    process = ss.SGD(Pair(), ss.Hyperparameters([0.01, 0.02], 8), sampling="subset", optimizer=WORKING[name])
    done = ss.run(process, chains=2, steps=4, key=KEY, progress=False)
    gone = 1 - np.asarray(done.theta["x"])
    assert 0 < gone[0] < gone[1]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFUSED)
def test_optimizers_that_cannot_drive_sgd_are_refused_when_it_is_built(name: str) -> None:
    optimizer, message = REFUSED[name]
    with refused(match=f"optimizer .*{message}"):
        ss.SGD(Pair(), HYPER, optimizer=optimizer)


def test_an_optimizer_belongs_to_sgd_alone() -> None:
    processes: Any = ss.processes if hasattr(ss, "processes") else ss
    for name in ("Langevin", "UnderdampedLangevin", "WhiteNoiseGD", "SVAG"):
        kind = getattr(ss, name, None) or getattr(processes, name)
        with refused(match=f"optimizer must be left out of {name}.*Give optimizer to SGD"):
            kind(problems.DoubleWell(), HYPER, optimizer=optax.adam)
