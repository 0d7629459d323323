"""What is compiled and kept belongs to what functions read: a changed value is seen, an equal one found."""

import types

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import refused

import sde_sgd as ss
from sde_sgd._platform.reading import _traces
from sde_sgd.simulation import _program

KEY = jax.random.key(0)
ONE = jax.devices()[:1]
HYPER = ss.Hyperparameters(0.1, 2)
WELL = ss.problems.Quadratic(1.0)
DATA = ss.data.Dataset(np.arange(8.0, dtype=np.float32).reshape(4, 2), np.arange(4.0, dtype=np.float32))
SCALE, WIDTH = 1.0, 2


@pytest.fixture
def compiled(monkeypatch):
    """How often a program of a run is compiled."""
    times = []

    def counted(ensemble, *args, really=_program.Ensemble._compile):
        times.append(1)
        return really(ensemble, *args)

    monkeypatch.setattr(_program.Ensemble, "_compile", counted)
    monkeypatch.setattr(_program, "_PROGRAMS", _traces.Store())
    return times


def go(process=None, *, steps=1, **options):
    process = ss.SGD(WELL, HYPER) if process is None else process
    return ss.run(process, **{"chains": 2, "steps": steps, "key": KEY, "devices": ONE, **options})


def scaled(x):
    return SCALE * x


class Steeper(ss.problems.AnalyticProblem):
    """A parabola whose steepness and noise are globals."""

    noise: ss.problems.Isotropic
    noise_law: str = eqx.field(static=True, default="gaussian")

    def init(self, key):
        return jnp.ones(())

    def loss(self, theta):
        return 0.5 * SCALE * theta * theta


def factor(step):
    return SCALE * jnp.ones_like(step, float)


def predict(theta, x):
    return SCALE * x @ theta


def optimizer(rate):
    return optax.chain(optax.identity(), optax.sgd(rate * SCALE))


def risk():
    return ss.problems.EmpiricalRisk(predict, DATA, init=lambda key: jnp.ones(2), loss="squared_error")


QUIET = ss.problems.Quadratic(1.0, noise_variance=0.0)
STEEP = Steeper(ss.problems.Isotropic(0.0))
RISK = risk()
READERS = {
    "record": lambda: go(record={"x": scaled}).record["x"][-1],
    "moments": lambda: go(moments={"x": scaled}, every=1).moments["x"].mean,
    "histogram": lambda: (
        go(histograms={"x": ss.Histogram(-9, 9, 99, scaled)}, initial=jnp.ones(()), every=1)
        .histograms["x"]
        .counts
    ),
    "loss of a problem": lambda: go(ss.SGD(STEEP, HYPER)).theta,
    "loss of a problem, SDE": lambda: go(ss.Langevin(STEEP, HYPER)).theta,
    "prediction": lambda: go(ss.SGD(RISK, ss.Hyperparameters(1e-3, 4))).theta,
    "schedule": lambda: go(ss.SGD(QUIET, HYPER, schedule=factor), initial=jnp.ones(())).theta,
    "optimiser": lambda: go(ss.SGD(QUIET, HYPER, optimizer=optimizer), initial=jnp.ones(())).theta,
    "time": lambda: go(ss.SGD(QUIET, HYPER, schedule=factor), record={}, initial=jnp.ones(())).time,
    "sweep": lambda: (
        ss.sweep(ss.SGD, STEEP, learning_rate=0.1, batch_size=2, steps=1, key=KEY, devices=ONE)["loss"].values
    ),
    "trace": lambda: ss.curvature.trace(RISK, jnp.ones(2), key=KEY).value,
    "product": lambda: ss.curvature.hvp(RISK, jnp.ones(2), jnp.ones(2)),
    "slice": lambda: ss.curvature.interpolation(RISK, jnp.zeros(2), jnp.ones(2), np.linspace(0, 1, 3)).values,
    "variance": lambda: ss.theory.gibbs(Steeper(ss.problems.Isotropic(2.0)), HYPER).variance,
    "Gibbs": lambda: ss.theory.gibbs(Steeper(ss.problems.Isotropic(1.0)), HYPER).pdf(np.ones(1)),
}


QUICK = ("record", "loss of a problem, SDE", "prediction", "schedule", "trace", "slice", "variance", "Gibbs")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.script) for name in READERS]
)
def test_a_changed_global_is_seen(name, monkeypatch):
    read = READERS[name]
    before = np.asarray(read())
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    after = np.asarray(read())
    assert not np.array_equal(before, after)
    monkeypatch.setitem(globals(), "SCALE", 1.0)
    np.testing.assert_array_equal(read(), before)


def test_a_changed_attribute_or_object_is_seen():
    held = types.SimpleNamespace(factor=1.0)
    array = np.ones(1, np.float32)

    def observe(x):
        return held.factor * array[0] * x

    first = go(record={"x": observe}).record["x"]
    held.factor = 2.0
    np.testing.assert_array_equal(go(record={"x": observe}).record["x"], 2 * first)
    array[0] = 4.0  # in place
    np.testing.assert_array_equal(go(record={"x": observe}).record["x"], 8 * first)


def test_shapes_follow_a_changed_global(monkeypatch):
    def init(_):
        return jnp.ones((2, WIDTH))

    def outputs(theta, x):
        return x @ theta @ jnp.ones((WIDTH, 1))

    def start():
        problem = ss.problems.EmpiricalRisk(outputs, DATA, init=init, loss="squared_error")
        return go(ss.SGD(problem, ss.Hyperparameters(1e-3, 2))).theta.shape

    assert start() == (2, 2, 2)
    monkeypatch.setitem(globals(), "WIDTH", 3)
    assert start() == (2, 2, 3)


def test_equal_functions_are_one_program(compiled):
    def built(value):
        class Held:
            def __init__(self):
                self.factor = value

        held = Held()
        process = ss.SGD(
            ss.problems.EmpiricalRisk(
                lambda theta, x: x @ theta, DATA, init=lambda key: jnp.ones(2), loss="squared_error"
            ),
            ss.Hyperparameters(1e-3, 2),
            schedule=optax.cosine_decay_schedule(value, 10),
            optimizer=lambda rate: optax.sgd(rate, nesterov=False),
        )
        return go(process, record={"x": lambda theta: held.factor * theta})

    first, again = built(1.0), built(1.0)
    assert len(compiled) == 1
    np.testing.assert_array_equal(first.theta, again.theta)
    other = built(2.0)
    assert len(compiled) == 2
    np.testing.assert_array_equal(other.record["x"][0], 2 * first.record["x"][0])
    built(1.0)
    assert len(compiled) == 2


def test_a_schedule_is_the_same_before_and_after_its_first_call():
    """Those of optax put a number of another type into their closure when they are called."""
    built = [optax.cosine_decay_schedule(1.0, 10) for _ in range(2)]
    marks = [_traces.mark(ss.SGD(WELL, HYPER, schedule=schedule)) for schedule in built]
    built[0](3)
    marks.append(_traces.mark(ss.SGD(WELL, HYPER, schedule=built[0])))
    assert marks[0] is not None
    assert marks[0] == marks[1] == marks[2]


def test_what_cannot_be_looked_into_is_compiled_every_time(compiled):
    values = (value for value in (1.0, 2.0))

    def observe(x):
        return next(values) * x if first else x

    first = False
    for _ in range(2):
        go(record={"x": observe})
    assert len(compiled) == 2


def test_a_changed_method_or_base_class_is_seen(monkeypatch):
    class Base:
        def of(self, x):
            return x

    class Below(Base):
        pass

    below = Below()
    first = go(record={"x": below.of}).record["x"]
    monkeypatch.setattr(Base, "of", lambda self, x: 3 * x)
    np.testing.assert_array_equal(go(record={"x": below.of}).record["x"], 3 * first)


def test_a_compiled_function_gives_what_the_bare_one_gives():
    """Arrays of NumPy and JAX, numbers, names, structures and modules in and out."""

    def function(tree, power, name, *, shift=0.0):
        assert name == "name"
        return {"a": tree["a"] ** power + shift, "b": tree["b"], "c": name}, tree["inner"]

    tree = {"a": np.arange(3.0, dtype=np.float32), "b": jnp.ones(2), "inner": WELL}
    (found, well), (bare, _) = (
        _traces.jit(function)(tree, 2, "name", shift=1.0),
        function(tree, 2, "name", shift=1.0),
    )
    assert found["c"] == "name"
    np.testing.assert_array_equal(found["a"], bare["a"])
    assert eqx.tree_equal(well, WELL)
    inside = jax.jit(lambda a: _traces.jit(lambda b, f: f(b))(a, lambda b: a * b))(jnp.float32(3.0))
    assert inside == 9


@pytest.mark.script  # others would compile again what is cleared here
def test_no_more_is_kept_than_the_limit_and_the_last_used_stay(compiled, monkeypatch):
    monkeypatch.setattr(_traces, "_MOST", _traces._MOST)
    try:
        ss.clear_cache(limit=2)
        observables = [lambda x, shift=shift: x + shift for shift in range(3)]
        for number in (0, 1, 0, 2, 0):
            go(record={"x": observables[number]})
        assert len(compiled) == 3
        assert len(_program._PROGRAMS) == 2
        go(record={"x": observables[1]})
        assert len(compiled) == 4
        ss.clear_cache()
        assert len(_program._PROGRAMS) == 0
        go(record={"x": observables[1]})
        assert len(compiled) == 5
        ss.clear_cache(limit=0)
        go(record={"x": observables[1]})
        assert len(_program._PROGRAMS) == 0
    finally:
        ss.clear_cache(limit=64)
    with refused(match="limit must be an integer >= 0, got -1"):
        ss.clear_cache(limit=-1)


@pytest.mark.script  # others would compile again what is cleared here
def test_results_do_not_depend_on_what_was_cleared():
    first = go(steps=5, record={"x": scaled}, every=1)
    trace = ss.curvature.trace(RISK, jnp.ones(2), key=KEY).value
    ss.clear_cache()
    again = go(steps=5, record={"x": scaled}, every=1)
    np.testing.assert_array_equal(first.record["x"], again.record["x"])
    np.testing.assert_array_equal(trace, ss.curvature.trace(RISK, jnp.ones(2), key=KEY).value)
