"""What a function reads, as text: everything that can change what it does, and nothing that cannot."""

import dataclasses
import enum
import functools
import io
import re
import sys
import threading
import types
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import refused

import sde_sgd as ss
from sde_sgd._platform.reading._fingerprint import check_told, differences, fingerprint

CONSTANT = 0
settings = types.ModuleType("settings_of_a_test")
settings.inner = types.ModuleType("settings_of_a_test.inner")


def module_constant(value):
    settings.SCALE = value
    return lambda x: x * settings.SCALE


def module_constant_below(value):
    settings.inner.SCALE = value
    return lambda x: x * settings.inner.SCALE


def module_in_a_variable(value):
    settings.SCALE = value

    def function(x):
        here = settings
        return x * here.SCALE

    return function


def imported_when_called(value):
    settings.SCALE = value
    sys.modules["settings_of_a_test"] = settings

    def function(x):
        from settings_of_a_test import SCALE

        return x * SCALE

    return function


def constant(name):
    """A function that reads a global, which is then set."""

    def make(value):
        globals()[name] = value
        return lambda x: x * CONSTANT

    return make


def in_a_called_function(value):
    globals()["CONSTANT"] = value
    return lambda x: _helper(x) + 1


def _helper(x):
    return jax.vmap(lambda y: y * CONSTANT)(x)


def there_and_back(value):
    globals()["CONSTANT"] = value
    return _there


def _there(x):
    return x if len(x) == 0 else _back(x[1:])


def _back(x):
    return _there(x) * CONSTANT


class Plain:
    def __init__(self, factor):
        self.factor = factor

    def of(self, x):
        return x * self.factor


class Slotted:
    __slots__ = ("factor",)

    def __init__(self, factor):
        self.factor = factor

    def of(self, x):
        return x * self.factor


class SlottedBelow(Slotted):
    __slots__ = ("shift",)

    def __init__(self, factor):
        super().__init__(factor)
        self.shift = 0


@dataclasses.dataclass
class Loose:
    factor: float

    def of(self, x):
        return x * self.factor


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    factor: float

    def of(self, x):
        return x * self.factor


class Dictionary(dict):
    """A mapping with more than its entries."""


class Level(enum.Enum):
    ONE = 1
    TWO = 2


def closing_over(thing):
    return lambda x: x * thing.factor


def class_attribute(value):
    return type("Settings", (), {"FACTOR": value, "__module__": "somewhere"})


def base_class(value):
    base = type("Base", (), {"f": (lambda self, x: x + 1) if value == 1 else (lambda self, x: x - 1)})
    return type("Below", (base,), {})().f


def reads_in_its_class(value):
    globals()["CONSTANT"] = value

    class Mine(eqx.Module):
        def loss(self, theta):
            return theta * CONSTANT

    return Mine()


def decorated(value):
    def decorate(function):
        @functools.wraps(function)
        def scaled(x):
            return value * function(x)

        return scaled

    return decorate(jnp.sin)


def with_an_attribute(value):
    def function(x):
        return x * function.factor

    function.factor = value
    return function


def custom_rule(value):
    function = jax.custom_jvp(lambda x: x)
    function.defjvp(lambda primals, tangents: (primals[0], value * tangents[0]))
    return function


def masked(value):
    return np.ma.masked_array(np.arange(4.0), np.arange(4) == value)


def extended(value):
    found = Dictionary(a=1)
    found.more = value
    return found


def unravel(value):
    tree = {"a": jnp.zeros(2), "b": jnp.zeros(value)}
    return jax.flatten_util.ravel_pytree(tree)[1]


def arguments(value):
    if value == 1:
        return lambda *x: x
    return lambda x: x


MAKERS = {
    "global": constant("CONSTANT"),
    "global array": lambda value: constant("CONSTANT")(np.arange(9) * value),
    "global object": lambda value: constant("CONSTANT")(Plain(value)),
    "global mapping": lambda value: constant("CONSTANT")({"a": [value]}),
    "global function": lambda value: constant("CONSTANT")(closing_over(Plain(value))),
    "global class": lambda value: constant("CONSTANT")(class_attribute(value)),
    "constant of a module": module_constant,
    "constant of a module in a module": module_constant_below,
    "module in a variable": module_in_a_variable,
    "imported when it is called": imported_when_called,
    "global of a called function": in_a_called_function,
    "global of functions that call each other": there_and_back,
    "global of a method": reads_in_its_class,
    "bound method": lambda value: Plain(value).of,
    "bound method of slots": lambda value: Slotted(value).of,
    "slots of a base": lambda value: SlottedBelow(value).of,
    "bound method of a dataclass": lambda value: Loose(value).of,
    "bound method of a frozen dataclass": lambda value: Frozen(value).of,
    "object in a closure": lambda value: closing_over(Plain(value)),
    "slots in a closure": lambda value: closing_over(Slotted(value)),
    "dataclass in a closure": lambda value: closing_over(Loose(value)),
    "frozen dataclass in a closure": lambda value: closing_over(Frozen(value)),
    "namespace in a closure": lambda value: closing_over(types.SimpleNamespace(factor=value)),
    "class in a closure": lambda value: closing_over(class_attribute(value)),
    "partial in a closure": lambda value: closing_over(functools.partial(_helper, value)),
    "base class": base_class,
    "wrapper": decorated,
    "attribute of a function": with_an_attribute,
    "derivative of one's own": custom_rule,
    "vmapped": lambda value: jax.vmap(closing_over(Plain(value))),
    "jitted by equinox": lambda value: eqx.filter_jit(closing_over(Plain(value))),
    "masked array": masked,
    "array of objects": lambda value: np.array([Plain(value), None], object),
    "mapping with an attribute": extended,
    "structure of a tree": unravel,
    "kind of arguments": arguments,
    "enumeration": lambda value: closing_over(Level(value)),
    "zero of a sign": lambda value: (0.0, -0.0)[value - 1],
    "number of another kind": lambda value: (1, 1.0)[value - 1],
    "long list": lambda value: [0.0] * 99 + [value],
    "optimiser": lambda value: optax.chain(optax.clip(1.0), optax.adam(1e-3 * value)),
    "schedule": lambda value: optax.cosine_decay_schedule(1.0, 10 * value),
    "scipy's object": lambda value: __import__("scipy.stats", fromlist=["norm"]).norm(scale=value).pdf,
    "random numbers": np.random.default_rng,
}


@pytest.mark.parametrize("name", MAKERS)
def test_equal_for_what_is_built_twice_and_different_for_what_reads_another_value(name):
    make = MAKERS[name]
    one, again, other = (fingerprint(make(value), "it") for value in (1, 1, 2))
    check_told(one)
    assert differences(one, again) == []
    assert one != other
    assert all(line.startswith("it") for line in differences(other, one))


def test_it_is_said_where_a_value_lies():
    module_constant(2.0)
    one = fingerprint(module_constant(2.0), "record['x']")
    (line,) = differences(fingerprint(module_constant(3.0), "record['x']"), one)
    assert line == "record['x'].settings.SCALE is 3.0 here, 2.0 in the checkpoint"


def test_of_a_library_its_version_is_enough():
    """Neither what is in it nor its own globals."""
    told = fingerprint(optax.adam, "it") | fingerprint(jnp.linalg.norm, "that") | fingerprint(np, "those")
    assert len(told) == 3
    told = fingerprint(closing_over(types.SimpleNamespace(factor=jnp.sin)), "it")
    assert told["it.thing.factor"].startswith("jax._src.numpy.ufuncs.sin")
    (told,) = fingerprint(pytest.fixture, "it").values()
    assert told.startswith(f"_pytest.fixtures.fixture of _pytest {pytest.__version__}")


def test_what_does_not_matter_is_left_alone():
    """Names that Python itself knows, locks, values in a cache, the order in which a set was filled."""

    class Cached:
        def __init__(self):
            self.lock = threading.Lock()

        @functools.cached_property
        def heavy(self):
            return 3

    one, two = Cached(), Cached()
    assert two.heavy == 3
    assert fingerprint(one, "it") == fingerprint(two, "it")
    assert fingerprint(lambda x: len(x) + abs(x), "it").keys() == {"it"}
    assert fingerprint({"ab", "cd", Level.ONE}, "it") == fingerprint({Level.ONE, "cd", "ab"}, "it")


def test_what_is_only_written_to_does_not_matter():
    def counting(calls):
        def function(x):
            calls.append(1)
            return jax.tree.map(lambda y: (calls.append(2), y)[1], x)

        return function

    def using(calls):
        def function(x):
            calls.append(1)
            return x * len(calls)

        return function

    assert fingerprint(counting([]), "it") == fingerprint(counting([1, 2]), "it")
    assert fingerprint(using([]), "it") != fingerprint(using([1, 2]), "it")


class Counted:
    """An object whose state only it knows."""

    def __reduce__(self):
        raise TypeError("never")


class Told:
    """An object that says what it holds."""

    def __init__(self, factor, file):
        self.factor, self.file = factor, file

    def __getstate__(self):
        return {"factor": self.factor}


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: io.StringIO("3"), None),
        (Path(__file__).open, "an object of _io.TextIOWrapper that does not show what it holds"),
        (lambda: (number for number in range(3)), "an object of generator that does not show"),
        (Counted, "an object of Counted that does not show"),
        (lambda: memoryview(b"abc"), "an object of memoryview that does not show"),
    ],
)
def test_what_cannot_be_looked_into_is_refused_by_name(make, what, request):
    thing = make()
    if hasattr(thing, "close"):
        request.addfinalizer(thing.close)
    for value, name in ((closing_over(thing), "it.thing"), ({"a": [thing]}, "it['a'][0]")):
        told = fingerprint(value, "it")
        if what is None:
            check_told(told)
        else:
            with refused(match=f"checkpoint: {re.escape(name)} is {what}"):
                check_told(told)
            assert name in told


def test_an_object_may_say_itself_what_it_holds():
    with Path(__file__).open() as file:
        one, again, other = (fingerprint(closing_over(Told(value, file)), "it") for value in (1, 1, 2))
    check_told(one)
    assert one == again != other


def test_a_run_with_something_unseen_is_refused_before_it_starts_not_when_it_resumes(tmp_path):
    hidden = closing_over(types.SimpleNamespace(factor=(number for number in (1.0, 2.0))))
    process = ss.SGD(ss.problems.DoubleWell(), ss.Hyperparameters(0.05, 2))
    options = {"chains": 2, "steps": 2, "key": jax.random.key(0), "record": {"x": hidden}}
    with refused(match=r"recorder.record\['x'\].thing.factor is an object of generator"):
        ss.run(process, **options, checkpoint=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_run_whose_functions_read_other_values_is_not_resumed(tmp_path):
    process = ss.SGD(ss.problems.DoubleWell(), ss.Hyperparameters(0.05, 2))

    def go(folder, observable, **options):
        options |= {"chains": 2, "steps": 2, "key": jax.random.key(0), "record": {"x": observable}}
        return ss.run(process, **options, checkpoint=tmp_path / folder)

    for name in ("global", "frozen dataclass in a closure"):
        first = go(name, MAKERS[name](2))
        np.testing.assert_array_equal(go(name, MAKERS[name](2), resume=True).theta, first.theta)
        with pytest.raises(
            ss.CheckpointError, match=r"recorder.record\['x'\].* is 3 here, 2 in the checkpoint"
        ):
            go(name, MAKERS[name](3), resume=True)


@pytest.mark.parametrize("text", ["globals()['VALUE'] * x", "eval('VALUE') * x", "__import__('math').pi * x"])
def test_what_code_reaches_by_name_at_run_time_is_not_vouched_for(text, tmp_path):
    space = {"VALUE": 2.0, "__name__": "__main__"}
    exec(f"def observe(x): return {text}", space)
    process = ss.SGD(ss.problems.DoubleWell(), ss.Hyperparameters(0.1, 1))
    options = {"chains": 1, "steps": 1, "key": jax.random.key(0), "record": {"x": space["observe"]}}
    with refused(match=r"is what it looks up by \w+\(\) when it is called"):
        ss.run(process, checkpoint=tmp_path / "here", **options)
