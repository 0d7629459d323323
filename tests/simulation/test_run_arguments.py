"""Whatever is given for an argument of `run`, `sweep` or `predict_memory`: it works, or it is named."""

import contextlib
import re
from functools import partial

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import bare, refused, untyped

import sde_sgd as ss
from sde_sgd.simulation._schedule_use import look_at_schedule

WELL = ss.problems.DoubleWell()
HYPER = ss.Hyperparameters(0.05, 2)
NET = ss.problems.softmax_regression(ss.data.wine())


LENGTHS = ("steps", "epochs", "time")


class Odd:
    """An object of no kind that is meant, with a long text."""

    def __repr__(self):
        return "odd " * 1000


ODD = [
    None, True, False, "", "loss", "a\0b", b"x", -1, 0, 2**31, 2**63, 1.5, -0.5, np.nan, np.inf, 1j,
    np.int64(3), np.float32(2.0), np.bool_(True), np.array(3), np.array(2.5), np.zeros(0),
    np.arange(1000.0), np.ones((2, 3)), jnp.asarray(2), jnp.arange(100), [], [1, 2], ["loss", 3], (),
    {}, {"x": 3}, {1: len}, len, Odd(), Odd, object(),
]  # fmt: skip
RUN = (
    "process", "chains", "steps", "epochs", "time", "key", "initial", "record", "moments", "histograms",
    "every", "burn_in", "stop_loss", "stop", "throw", "progress", "devices", "data_devices", "chunk",
    "memory_limit", "checkpoint", "resume",
)  # fmt: skip
SWEEP = (
    "process", "problem", "key", "learning_rate", "batch_size", "ratio", "momentum", "schedule", "runs",
    "seeds", "paired_starts", "epochs", "time", "steps", "every", "stop_loss", "stop", "record",
    "keep_theta", "progress", "devices", "data_devices", "chunk", "memory_limit", "checkpoint", "resume",
    "part",
)  # fmt: skip
MEMORY = (
    "process", "chains", "steps", "epochs", "time", "key", "record", "moments", "histograms", "every",
    "devices", "data_devices",
)  # fmt: skip


class StartedError(Exception):
    """All was accepted, and work would begin."""


@pytest.fixture
def only_accepted(monkeypatch):
    """Nothing is compiled or run: what matters is what comes before."""

    def stop(*_args, **_options):
        raise StartedError

    monkeypatch.setattr("sde_sgd.simulation._engine.Task.prepare", stop)
    monkeypatch.setattr(
        "sde_sgd._platform.checkpoints._store.Store.__init__", lambda *_args, **_options: None
    )
    monkeypatch.setattr(
        "sde_sgd._platform.checkpoints._store.Store.opened", lambda _store: contextlib.nullcontext()
    )


def offences(call, name, arguments, names=()):
    """What was said wrongly: errors of other types, that do not name the argument, or are very long."""
    found = []
    for value in ODD:
        given = {"progress": False, **arguments, name: value}
        if name in ("epochs", "time"):
            given["steps"] = None
        if name in LENGTHS and "seeds" in names and isinstance(value, int) and value >= 2**31:
            continue  # the longest sweep is the matter of other tests
        try:
            with untyped():
                call(**given)
        except StartedError:
            continue
        except ValueError as error:
            text = str(error)
            if not re.search(rf"\b{name}\b", text) or len(text) > 700 or text.count("odd ") > 60:
                found.append((value, text[:200]))
        except Exception as error:  # noqa: BLE001 - any other is an offence
            found.append((value, f"{type(error).__name__}: {str(error)[:200]}"))
    return found


@pytest.mark.usefixtures("only_accepted")
@pytest.mark.parametrize("name", RUN)
def test_run_names_what_is_wrong(name, key):
    problem = NET if name == "epochs" else WELL
    arguments = {"process": ss.SGD(problem, HYPER), "chains": 2, "steps": 3, "key": key, "record": ["loss"]}
    if name == "resume":
        arguments["checkpoint"] = "somewhere"

    def call(process, **others):
        with untyped():
            return ss.run(process, **others)

    assert offences(call, name, arguments) == []


@pytest.mark.script
@pytest.mark.usefixtures("only_accepted")
@pytest.mark.parametrize("name", SWEEP)
def test_sweep_names_what_is_wrong(name, key):
    arguments = {
        "process": ss.SGD,
        "problem": WELL,
        "key": key,
        "learning_rate": 0.1,
        "batch_size": 4,
        "steps": 3,
    }
    if name == "resume":
        arguments["checkpoint"] = "somewhere"
    if name == "ratio":
        arguments.pop("batch_size")
    if name in ("schedule", "runs"):
        arguments = {"process": ss.SGD, "problem": WELL, "key": key, "steps": 3}

    if name == "epochs":
        arguments["problem"] = NET
    if name == "part":
        arguments["batch_size"] = [2, 4]

    def call(process, problem, **others):
        with untyped():
            return ss.sweep(process, problem, **others)

    assert offences(call, name, arguments, SWEEP) == []


@pytest.mark.script
@pytest.mark.usefixtures("only_accepted")
@pytest.mark.parametrize("name", MEMORY)
def test_predict_memory_names_what_is_wrong(name):
    process = ss.SGD(NET if name == "epochs" else WELL, HYPER)

    def call(process, **others):
        others.pop("progress")
        with untyped():
            return ss.predict_memory(process, **others)

    assert offences(call, name, {"process": process, "chains": 2, "steps": 3}) == []


def test_every_argument_is_looked_at():
    import inspect

    for call, names in ((ss.run, RUN), (ss.sweep, SWEEP), (ss.predict_memory, MEMORY)):
        assert set(names) == set(inspect.signature(bare(call)).parameters)


@pytest.mark.script
def test_observables_go_by_the_names_of_methods(key):
    process = ss.SGD(NET, HYPER)
    options = {"chains": 3, "steps": 4, "every": 2, "key": key}
    usual = ss.run(
        process,
        record={"loss": NET.loss, "accuracy": NET.accuracy},
        moments={"loss": NET.loss},
        histograms={"l": ss.Histogram(0, 2, 5, NET.loss)},
        **options,
    )
    forms = [
        {"record": ["loss", "accuracy"], "moments": "loss",
         "histograms": {"l": ss.Histogram(0, 2, 5, "loss")}},
        {"record": {"loss": "loss", "accuracy": NET.accuracy}, "moments": ["loss"],
         "histograms": {"l": ss.Histogram(0, 2, 5, observable="loss")}},
    ]  # fmt: skip
    for form in forms:
        result = ss.run(process, **form, **options)
        for name, values in usual.record.items():
            np.testing.assert_array_equal(values, result.record[name])
        np.testing.assert_array_equal(usual.moments["loss"].mean, result.moments["loss"].mean)
        np.testing.assert_array_equal(usual.histograms["l"].counts, result.histograms["l"].counts)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"record": "accuracy"}, "record: DoubleWell has no method 'accuracy' to observe; it has 'loss'"),
        ({"moments": ["los"]}, "moments: DoubleWell has no method 'los'"),
        ({"record": WELL.loss}, r'record must be name → function .*record=\["loss"\]'),
        ({"histograms": [ss.Histogram(0, 1)]}, "histograms must be name → Histogram"),
        ({"histograms": {"x": 3}}, "histograms must hold Histogram.*got 3 under 'x'"),
        ({"histograms": ss.Histogram(0, 1, 5, "lost")}, "histograms: DoubleWell has no method 'lost'"),
    ],
)
def test_observables_that_are_none_are_refused(asked, message, key):
    with refused(match=message):
        ss.run(ss.SGD(WELL, HYPER), chains=2, steps=2, key=key, **asked)


def test_a_bad_start_is_located_among_all_chains(key):
    start = jnp.linspace(-1, 1, 100).at[57].set(jnp.nan)
    options = {"chains": 100, "steps": 5, "key": key, "initial": start}
    with refused(match=r"1 of 100 chains .*\(first at chain 57\)"):
        ss.run(ss.SGD(WELL, HYPER), **options)
    with refused(match=r"1 of chains 50 to 59 of 100 .*\(first at chain 57\)"):
        ss.run(ss.SGD(WELL, HYPER), chunk=10, **options)


def test_the_last_bin_holds_its_upper_edge_as_in_numpy(key):
    values = np.array([0.0, 0.25, 0.5, 0.99, 1.0, 1.0, 1.01, -0.01])
    quiet = ss.problems.Quadratic(1.0, noise_variance=0.0)
    process = ss.SGD(quiet, ss.Hyperparameters(1e-30))  # stays where it is
    found = ss.run(process, chains=8, steps=1, key=key, initial=values, histograms=ss.Histogram(0, 1, 4))
    counted = found.histograms["theta"]
    np.testing.assert_array_equal(counted.counts, np.histogram(values, counted.edges)[0])
    assert (counted.below, counted.above) == (1, 1)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"bins": 2**31}, "bins must be an integer >= 1 and <= 16777216, got 2147483648"),
        ({"bins": True}, "bins must be an integer"),
        ({"low": "a"}, "low must be a real number"),
        ({"low": [0, 0]}, "low must be one number"),
        ({"high": None}, "high must be a real number"),
        ({"observable": 3}, "observable must be a function"),
    ],
)
def test_a_histogram_of_nothing_is_refused(more, message):
    with refused(match=message):
        bare(ss.Histogram)(**{"low": 0, "high": 1, **more})


def test_a_batch_beyond_32_bits_is_refused():
    with refused(match="batch_size must be an integer >= 1 and <= 2147483647, got 2147483648"):
        ss.Hyperparameters(0.1, 2**31)


ABSOLUTE_SAID = r"schedule multiplies learning_rate.*0\.05 itself.*give learning_rate=1\.0"
ABSOLUTE = [
    optax.cosine_decay_schedule(0.05, 100),
    optax.warmup_cosine_decay_schedule(0.0, 0.05, 10, 100),
    optax.exponential_decay(0.05, 10, 0.9),
    optax.constant_schedule(0.05),
    optax.warmup_cosine_decay_schedule(0.0, 0.05, 200, 3000),
]
RELATIVE = [
    optax.cosine_decay_schedule(1.0, 100),
    optax.warmup_cosine_decay_schedule(0.0, 1.0, 10, 100),
    optax.warmup_cosine_decay_schedule(0.05, 1.0, 10, 100),  # begins at a factor that is η by chance
    optax.warmup_cosine_decay_schedule(0.0, 1.0, 2000, 4000),  # is at .05 when the run ends
    optax.piecewise_constant_schedule(1.0, {50: 0.05}),
    optax.constant_schedule(0.5),
    lambda step: 2.0 / (1 + step),
]


@pytest.mark.parametrize("schedule", ABSOLUTE)
def test_a_schedule_that_gives_the_rate_itself_is_warned_of(schedule):
    process = ss.SGD(WELL, HYPER, schedule=schedule)
    steps = 3000 if schedule is ABSOLUTE[-1] else 100
    with pytest.warns(UserWarning, match=ABSOLUTE_SAID):
        look_at_schedule(process, 0, steps, stacklevel=1)
    several = ss.SGD(WELL, ss.Hyperparameters([0.02, 0.05]), schedule=schedule)
    with pytest.warns(UserWarning, match=ABSOLUTE_SAID):
        look_at_schedule(several, 0, steps, stacklevel=1)


@pytest.mark.parametrize("schedule", RELATIVE)
def test_a_schedule_of_factors_is_not_warned_of(schedule):
    """Warnings are errors here."""
    look_at_schedule(ss.SGD(WELL, HYPER, schedule=schedule), 0, 100, stacklevel=1)
    absolute = ss.SGD(WELL, ss.Hyperparameters(1.0), schedule=ABSOLUTE[0])
    look_at_schedule(absolute, 0, 100, stacklevel=1)


def test_a_run_that_goes_on_looks_at_the_steps_that_it_takes():
    """Warnings are errors here: .05 was the factor of the steps before."""
    process = ss.SGD(WELL, HYPER, schedule=optax.piecewise_constant_schedule(0.05, {20: 20.0}))
    look_at_schedule(process, 20, 20, stacklevel=1)
    with pytest.warns(UserWarning, match=ABSOLUTE_SAID):
        look_at_schedule(process, 0, 20, stacklevel=1)


def test_a_schedule_is_not_compiled_again_by_the_next_run():
    traced = []

    def counted(step):
        traced.append(1)
        return jnp.cos(step / 100)

    process = ss.SGD(WELL, HYPER, schedule=counted)
    before = len(traced)
    for _ in range(3):
        look_at_schedule(process, 0, 100, stacklevel=1)
    assert len(traced) - before == 1


def test_runs_and_sweeps_warn_of_a_schedule_that_gives_the_rate_itself(key):
    options = {"steps": 9, "key": key, "record": ["loss"]}
    with pytest.warns(UserWarning, match=ABSOLUTE_SAID):
        ss.run(ss.SGD(WELL, HYPER, schedule=ABSOLUTE[3]), chains=2, **options)
    with pytest.warns(UserWarning, match=ABSOLUTE_SAID):
        ss.sweep(partial(ss.SGD, schedule=ABSOLUTE[3]), WELL, learning_rate=0.05, batch_size=2, **options)


def test_a_solver_that_knows_of_no_noise_is_refused_at_once():
    import diffrax

    with refused(match=r"solver Tsit5 is made for equations without noise.*Heun"):
        ss.Langevin(WELL, HYPER, solver=diffrax.Tsit5())
