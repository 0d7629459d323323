"""What a run was set to, as text: equal for equal settings in every process, different for others."""

import functools
import subprocess
import sys
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sde_sgd as ss
from sde_sgd._platform.reading._fingerprint import differences, fingerprint


class Thing(eqx.Module):
    array: Any
    static: Any = eqx.field(static=True, default=None)


class Scale:
    """An object with a __call__, as many libraries have them."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return x * self.factor


def closing_over(value):
    return lambda x: x * value


def default(value):
    def function(x, factor=value, *, shift=value):
        return x * factor + shift

    return function


def nested(value):
    if value == 1:
        return lambda x: jax.tree.map(lambda y: y + 1, x)
    return lambda x: jax.tree.map(lambda y: y + 2, x)


def other_code(value):
    if value == 1:
        return lambda x: jnp.sin(x) + x
    return lambda x: jnp.cos(x) + x


def problem_class(value):
    class Mine(eqx.Module):
        if value == 1:

            def loss(self, theta):
                return theta * theta
        else:

            def loss(self, theta):
                return theta * theta * theta

    return Mine()


def scaled(x, factor):
    return x * factor


MAKERS = {
    "closure": closing_over,
    "closed-over array": lambda value: closing_over(np.arange(10.0) * value),
    "closed-over function": lambda value: closing_over(closing_over(value)),
    "defaults": default,
    "inner function": nested,
    "code": other_code,
    "class": problem_class,
    "callable object": Scale,
    "jitted": lambda value: jax.jit(closing_over(value)),
    "method": lambda value: Scale(value).__call__,
    "partial, by name": lambda value: functools.partial(scaled, factor=value),
    "partial, in order": lambda value: functools.partial(scaled, value),
    "number": lambda value: Thing(jnp.asarray(float(value))),
    "array": lambda value: Thing(np.arange(100.0) + (np.arange(100) == 57) * value),
    "jax array": lambda value: Thing(jnp.arange(100.0) + jnp.where(jnp.arange(100) == 57, float(value), 0.0)),
    "dtype": lambda value: Thing(np.arange(100, dtype=f"float{32 * value}")),
    "shape": lambda value: Thing(np.zeros((4 * value, 8 // value))),
    "static field": lambda value: Thing(0.0, value),
    "list": lambda value: Thing([0, [1, value]]),
    "mapping": lambda value: Thing({"a": {"b": value}}),
    "name in a mapping": lambda value: Thing({f"a{value}": 0}),
    "set": lambda value: Thing(0.0, frozenset({"a", f"b{value}"})),
    "text": lambda value: Thing(0.0, f"name {value}"),
    "key": jax.random.key,
    "kind of key": lambda value: jax.random.key(0, impl=("threefry2x32", "rbg")[value - 1]),
    "bound observable": lambda value: ss.problems.DoubleWell(noise_variance=value).loss,
    "data": lambda value: ss.problems.softmax_regression(
        ss.data.Dataset(np.eye(3) * value, np.arange(3), classes=3)
    ),
}


@pytest.mark.parametrize("name", MAKERS)
def test_equal_for_what_is_built_twice_and_different_for_what_is_not(name):
    make = MAKERS[name]
    one, again, other = (fingerprint(make(value), "it") for value in (1, 1, 2))
    assert one == again
    assert differences(one, again) == []
    assert one != other
    lines = differences(other, one)
    assert lines and all(line.startswith("it") and line.endswith(" in the checkpoint") for line in lines)


def test_a_difference_is_named_where_it_is():
    hyper = [ss.Hyperparameters(rate, 2) for rate in (0.1, 0.2)]
    one, two = (fingerprint(ss.SGD(ss.problems.DoubleWell(), each), "process") for each in hyper)
    (line,) = differences(one, two)
    assert line.startswith("process.hyper.learning_rate is 0.1")
    assert ", 0.2" in line
    assert differences({"a": "1"}, {"b": "2"}) == [
        "a is 1 here, not set in the checkpoint",
        "b is not set here, 2 in the checkpoint",
    ]


def test_what_refers_to_itself_has_an_end():
    def countdown(x):
        return x if x == 0 else countdown(x - 1)

    ring: dict[str, Any] = {"one": 1}
    ring["again"] = ring
    scale = Scale(2)
    scale.itself = scale
    for value in (countdown, ring, scale):
        assert fingerprint(value, "it") == fingerprint(value, "it")

    def undefined():
        return later  # a cell that is still empty

    assert fingerprint(undefined, "it")
    later = 1
    assert fingerprint(undefined, "it")["it.later"] == str(later)


SCRIPT = """
import sde_sgd as ss
from sde_sgd._platform.reading._fingerprint import fingerprint

def chosen(name):
    return name in {"alpha", "beta", "gamma", "delta", "epsilon"}

print(fingerprint([chosen, {"x", "y", "z"}, ss.problems.DoubleWell().loss], "it"))
"""


@pytest.mark.script
def test_the_same_in_every_process():
    """The order of a set of strings follows hashes that are new in every process."""
    texts = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1
    assert "'z'" in texts.pop()
