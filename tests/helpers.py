"""What the tests share: error bounds that are derived, not tuned, and small problems."""

import contextlib
import functools
import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scipy import stats

from sde_sgd.data._dataset import Dataset

# The keys are fixed, so a test gives the same answer every time. The level says how likely a
# correct program was to fail when the keys were chosen: one in a million for each test.
ALARM = 1e-6


def bound(count: int = 1, alarm: float = ALARM) -> float:
    """Standard errors that the largest of `count` normal deviations exceeds with odds `alarm`.

    4.9 for one number, 5.3 for ten, 5.7 for a hundred. The union bound is used, so the numbers
    may depend on each other.
    """
    return float(stats.norm.isf(alarm / (2 * count)))


def deviations(values: Any, expected: Any, standard_error: Any) -> np.ndarray:
    """(value − expected)/standard error; a standard error of zero asks for equality."""
    values, expected = np.asarray(values, np.float64), np.asarray(expected, np.float64)
    error = np.broadcast_to(np.asarray(standard_error, np.float64), values.shape)
    gap = values - expected
    exact = np.where(gap == 0, 0.0, np.inf)
    return np.where(error > 0, gap / np.where(error > 0, error, 1.0), exact)


class Ends:
    """What a run leaves behind, as far as a comparison looks at it, from values that are known.

    Args:
        theta: at the ends of the chains, shape `(chains, ...)`.
        seed: of the key; None for a key that is not known.
        diverged: which chains diverged.
        record: name → shape `(samples, chains)`, one sample a step.
    """

    def __init__(self, theta: Any, seed: int | None = None, diverged: Any = (), record: Any = None):
        self.theta = np.asarray(theta)
        self.key = None if seed is None else jax.random.key(seed)
        self.diverged_at = np.full(len(self.theta), -1)
        self.diverged_at[list(diverged)] = 0
        self.alive = self.diverged_at < 0
        self.diverged = int((~self.alive).sum())
        self.record = record or {}
        self.record_steps = np.arange(max((len(track) for track in self.record.values()), default=0))
        self.steps = len(self.record_steps) - 1

    def samples(self) -> np.ndarray:
        return self.theta[self.alive]


def assert_agree(values: Any, expected: Any, standard_error: Any, count: int | None = None) -> None:
    """Refuse numbers too many standard errors away from what is expected.

    Args:
        values, expected, standard_error: arrays of one shape, or broadcast to it.
        count: how many comparisons the test makes, if it makes more than these.
    """
    z = deviations(values, expected, standard_error)
    limit = bound(z.size if count is None else count)
    assert np.all(np.abs(z) < limit), f"{np.abs(z).max():.2f} > {limit:.2f} standard errors: {z}"


def covariance(samples: Any, other: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """The sample covariance of rows (with `other` if given), and the standard error of each entry.

    The standard error is the spread of the products of deviations over √n: no law is assumed, and
    the mean's own error changes the covariance by O(1/n) only.
    """
    x = np.asarray(samples, np.float64)
    y = x if other is None else np.asarray(other, np.float64)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    n = len(x)
    mean = x.T @ y / n
    square = (x**2).T @ (y**2) / n
    return mean * n / (n - 1), np.sqrt(np.maximum(square - mean**2, 0) / n)


def chi_square_p(observed: Any, expected: Any) -> float:
    """The p-value of observed counts; the expected ones must be large enough for it to hold."""
    observed, expected = np.asarray(observed, float), np.asarray(expected, float)
    assert expected.min() > 10
    np.testing.assert_allclose(observed.sum(), expected.sum(), rtol=1e-9)
    statistic = ((observed - expected) ** 2 / expected).sum()
    return float(stats.chi2.sf(statistic, observed.size - 1))


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """Double precision inside the block, for whatever is built there."""
    with jax.enable_x64(True):
        yield


def bare(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function without its run-time type checks, as users run it."""
    return inspect.unwrap(function)


@contextlib.contextmanager
def untyped() -> Iterator[None]:
    """Without the run-time type checks that the tests switch on: what users meet is our own words."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


def some_as_scripts(cases: Iterable[Any], at_once: Sequence[Any]) -> list[Any]:
    """Cases for `parametrize`: those not `at_once` run with the scripts, as each compiles programs."""
    return [
        case
        if case in at_once
        else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.script)
        for case in cases
    ]


@contextlib.contextmanager
def refused(match: str, error: type[Exception] = ValueError) -> Iterator[pytest.ExceptionInfo[Any]]:
    """The block is refused with such a message, by the library itself and not by the checks of types."""
    with untyped(), pytest.raises(error, match=match) as told:
        yield told


# What a wrong type raises in what is not public: the library's own message, or the checks of the tests.
REFUSED = (ValueError, jaxtyping.TypeCheckError)


def finite_differences(function: Callable[[Any], Any], theta: Any, size: float = 1e-5) -> np.ndarray:
    """The gradient of a scalar function of one array, by central differences.

    `function` is given all shifted points at once, on the leading axis.
    """
    theta = np.asarray(theta, np.float64)
    steps = size * np.eye(theta.size).reshape(theta.size, *theta.shape)
    values = np.asarray(function(jnp.asarray(np.concatenate([theta + steps, theta - steps]))))
    return ((values[: theta.size] - values[theta.size :]) / (2 * size)).reshape(theta.shape)


# For short programs that run once: compiling is all their time, and without optimisation it halves.
quick_jit = functools.partial(eqx.filter_jit, compiler_options={"xla_backend_optimization_level": 0})


@quick_jit
def facts(problem: Any, thetas: Any) -> tuple[Any, Any, Any]:
    """Loss, gradient and Hessian at every point of a leading axis, in one program."""

    def one(theta: Any) -> tuple[Any, Any, Any]:
        return problem.loss(theta), problem.gradient(theta), problem.hessian(theta)

    return jax.vmap(one)(thetas)


@quick_jit
def losses_at(problem: Any, thetas: Any) -> Any:
    """The loss at every point of a leading axis."""
    return jax.vmap(problem.loss)(thetas)


def ravel(tree: Any) -> np.ndarray:
    """A parameter pytree as one NumPy vector."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def ravel_rows(ensemble: Any) -> np.ndarray:
    """An ensemble (a leading axis of chains) as one NumPy row per chain."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(ensemble)]
    return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)


def ensemble(theta: Any, chains: int) -> Any:
    """The same parameters for every chain."""
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (chains, *leaf.shape)), theta)


def same_to_rounding(one, other):
    """Matrix products over other numbers of chains or examples are summed in another order.

    Each step adds a relative error of some float32 roundings (2⁻²⁴) to gradients of order one,
    and the few steps taken here do not blow it up: a thousand roundings are allowed.
    """
    assert set(one) == set(other)
    for name in one:
        np.testing.assert_allclose(
            one[name], other[name], rtol=1000 * 2**-24, atol=1000 * 2**-24, err_msg=name
        )


def descending(matrix: Any) -> np.ndarray:
    """The eigenvalues of a symmetric matrix, the largest first."""
    return np.linalg.eigvalsh(matrix)[::-1]


@quick_jit
def starts_of(problem: Any, keys: Any) -> tuple[Any, Any]:
    """Starting points and their losses."""
    starts = jax.vmap(problem.init)(keys)
    return starts, jax.vmap(problem.loss)(starts)


class Reordered(eqx.Module):
    """A linear model of inputs in another order; the order is an array, and no parameter."""

    weight: jax.Array
    order: jax.Array

    def __call__(self, x: jax.Array) -> jax.Array:
        return x[self.order] @ self.weight


@quick_jit
def losses_of(problem: Any, theta: Any) -> Any:
    """The loss of every example."""
    return problem.example_losses(theta)


def draws(*shape: int, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    """Normal numbers."""
    return np.random.default_rng(seed).normal(shift, 1, shape)


def jackknife(estimate: Callable[..., Any], *columns: np.ndarray) -> np.ndarray:
    """The jackknife's standard error of a function of rows."""
    n = len(columns[0])
    left = np.array([estimate(*(np.delete(column, i, axis=0) for column in columns)) for i in range(n)])
    return np.sqrt((n - 1) * left.var())


# One step of Euler's method for each step of SGD: no SDE, but SGD with Gaussian noise.
ONE_EULER_STEP: dict[str, Any] = {"solver": diffrax.Euler(), "substeps": 1}


def regression_data(size: int = 10, features: int = 3, seed: int = 0) -> Dataset:
    """A small linear regression whose residuals are far from equal."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(size, features))
    targets = inputs @ np.arange(1.0, features + 1) + rng.standard_exponential(size)
    return Dataset(inputs, targets)


def class_data(size: int = 12, features: int = 2, classes: int = 3, seed: int = 0) -> Dataset:
    """A few points with every class among them, and as many for testing."""
    rng = np.random.default_rng(seed)
    labels = np.arange(size) % classes
    inputs = rng.normal(size=(size, features)) + labels[:, None]
    tests = rng.normal(size=(size, features)) + labels[:, None]
    return Dataset(inputs, labels, tests, labels, classes=classes)


def launch(*arguments: Any, script: str = "checkpointed_run.py", **environment: str) -> subprocess.Popen[str]:
    """A script beside the tests in a process of its own, with JAX as users have it."""
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name(script)), *map(str, arguments)]
    here = {name: value for name, value in os.environ.items() if not name.startswith("JAX_NUM_CPU")}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**here, **environment}
    )


def wait_for(process: subprocess.Popen[str], beginning: str) -> None:
    """Read what a process says until a line begins so."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(beginning):
            return
    raise AssertionError(f"{beginning!r} was never said: {process.communicate()[1]}")


def finished(process: subprocess.Popen[str], returncode: int = 0, seconds: float = 120) -> tuple[str, str]:
    """What a process has said on its two streams once it has ended, as it should."""
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == returncode, f"ended with {process.returncode}: {err}"
    return out, err
