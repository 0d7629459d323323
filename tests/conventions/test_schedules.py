"""Schedules: what they build, that stages are one run, rates within a stage, shuffled epochs, refusals."""

import tracemalloc
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import ONE_EULER_STEP, assert_agree, bare, bound, deviations, refused

import sde_sgd as ss
from sde_sgd.processes._base import scheduled
from sde_sgd.schedules import Schedule, Stage, cyclic, decay, piecewise
from sde_sgd.simulation import _result

ONE = jax.devices()[:1]
WELL = ss.problems.DoubleWell()
QUIET = ss.problems.Quadratic(2.0, noise_variance=0.0)
TILTED = ss.problems.TiltedNoiseData(ss.problems.Quadratic(1.0), dataset_size=10, key=jax.random.key(2))
# for their momentum
SHORT_STAGES = pytest.mark.filterwarnings("ignore:schedule.* the momentum buffer takes")


def position(x):
    return x


def positions(process, problem, key, **options):
    """x of every seed at every sample."""
    options = {"seeds": 3, "devices": ONE, **options}
    return ss.sweep(process, problem, record={"x": position}, key=key, **options)["x"].values


# What they build


def test_one_value_or_one_for_each_stage():
    schedule = piecewise([20, 10.5], learning_rate=0.05, batch_size=[8, 40], momentum=[0.9, 0.0])
    assert schedule.stages == (Stage(20, 0.05, 8, 0.9), Stage(10.5, 0.05, 40, 0.0))
    assert (schedule.length, schedule.unit) == (30.5, "epochs")
    assert piecewise([3], learning_rate=[0.1], batch_size=1, unit="steps").unit == "steps"


def test_cycles_go_round_and_the_last_may_be_short():
    schedule = cyclic(22, every=5, learning_rate=[0.08, 0.02, 0.01], batch_size=[8, 32], momentum=0.5)
    rates = [0.08, 0.02, 0.01, 0.08, 0.02]
    expected = zip([5, 5, 5, 5, 2], rates, [8, 32, 8, 32, 8], strict=True)
    assert schedule.stages == tuple(Stage(*stage, 0.5) for stage in expected)
    thirds = cyclic(0.3, every=0.1, learning_rate=1.0, batch_size=[1, 2])
    assert [stage.batch_size for stage in thirds.stages] == [1, 2, 1]
    np.testing.assert_allclose([stage.length for stage in thirds.stages], 0.1, rtol=1e-12)


def noise_scales(schedule):
    return [stage.learning_rate / (stage.batch_size * (1 - stage.momentum)) for stage in schedule.stages]


def test_three_ways_to_decay_have_one_noise_scale_in_every_epoch():
    """Smith et al. 2018: by η, by B, or by both in turn. What differs is the number of updates."""
    start = {"learning_rate": 0.05, "batch_size": 8, "factor": 5, "momentum": 0.9}
    ways = ["learning_rate", "batch_size", ["batch_size", "learning_rate"]]
    schedules = [decay([20, 20, 20], **start, by=by) for by in ways]
    for schedule in schedules:
        np.testing.assert_allclose(noise_scales(schedule), 0.0625 / 5.0 ** np.arange(3), rtol=1e-12)
        assert schedule.length == 60
    assert [stage.batch_size for stage in schedules[2].stages] == [8, 40, 40]
    assert [schedule.updates(1000) for schedule in schedules] == [7500, 3100, 3500]


def test_updates_are_counted_in_epochs_or_steps():
    schedule = piecewise([1.5, 1.5], learning_rate=0.1, batch_size=[4, 3])
    assert schedule.updates(10) == 9  # 3.75 + 5
    assert piecewise([1], learning_rate=0.1, batch_size=4).updates(10) == 3  # half a step counts
    assert piecewise([7, 5], learning_rate=0.1, batch_size=[4, 3], unit="steps").updates() == 12


# Stages are one run


@SHORT_STAGES
@pytest.mark.parametrize(
    "process", [ss.SGD, partial(ss.Langevin, increments="two_point", substeps=1)], ids=["SGD", "SDE"]
)
def test_cutting_a_run_into_equal_stages_changes_no_bit(process, key):
    """The momentum buffer goes on, and so does the clock of the random numbers."""
    plain = {"learning_rate": 0.05, "batch_size": 3, "momentum": 0.7}
    whole = positions(process, WELL, key, **plain, steps=90, every=10)
    staged = piecewise([7, 1, 52, 30], **plain, unit="steps")
    np.testing.assert_array_equal(whole, positions(process, WELL, key, schedule=staged, every=10))
    assert len(np.unique(whole[:, 1:])) == whole[:, 1:].size


def test_cutting_epochs_that_batches_do_not_divide_changes_no_bit(key):
    """Stages of 2.75 steps: their roundings do not add up."""
    plain = {"learning_rate": 0.05, "batch_size": 4}
    whole = positions(ss.SGD, TILTED, key, **plain, epochs=22, every=2.2)
    staged = cyclic(22, every=1.1, **plain)
    assert staged.updates(TILTED.dataset_size) == 55
    np.testing.assert_array_equal(whole, positions(ss.SGD, TILTED, key, schedule=staged, every=2.2))


def test_stages_of_other_batch_sizes_are_runs_that_go_on(key):
    """Cyclic B, and momentum from the second stage on, against `run` from result to result."""
    schedule = cyclic(6, every=1.5, learning_rate=[0.1, 0.05], batch_size=[5, 3], momentum=[0.0, 0.5])
    options = {"schedule": schedule, "every": 1.5, "record": {"x": position}, "seeds": 3, "devices": ONE}
    result = ss.sweep(ss.SGD, TILTED, **options, key=key)
    assert result["updates"].values.tolist() == [0, 3, 8, 11, 16]
    last = None
    for stage, (steps, size, m) in enumerate([(3, 5, 0.0), (5, 3, 0.5), (3, 5, 0.0), (5, 3, 0.5)]):
        hyper = ss.Hyperparameters(0.1 / (1 + stage % 2), size, m, has_momentum=True)
        last = ss.run(ss.SGD(TILTED, hyper), chains=3, steps=steps, key=key, initial=last, devices=ONE)
        np.testing.assert_allclose(result["x"].values[:, stage + 1], last.theta, rtol=1e-5)


def test_a_sweep_over_schedules_names_them(key):
    """They may have different numbers of stages; the same stages under two names are other chains."""
    named = {
        "constant": piecewise([4], learning_rate=0.1, batch_size=2),
        "decayed": piecewise([2, 2], learning_rate=[0.1, 0.05], batch_size=2),
        "again": piecewise([4], learning_rate=0.1, batch_size=2),
    }
    result = ss.sweep(ss.SGD, TILTED, schedule=named, every=1, seeds=2, record={"x": position}, key=key)
    assert result["x"].dims == ("schedule", "seed", "epoch")
    assert result["schedule"].values.tolist() == list(named)
    np.testing.assert_array_equal(result["updates"], np.tile(np.arange(5) * 5, (3, 1)))
    assert not {"learning_rate", "batch_size", "ratio"} & set(result.dataset.coords)
    assert len(np.unique(result["x"].isel(epoch=-1))) == 6
    assert result.sel(schedule="decayed")["x"].dims == ("seed", "epoch")


@pytest.mark.script
def test_runs_that_stopped_stay_in_the_stages_to_come(key):
    """θ ← .8 θ without noise. After the first sample with L ≤ 10⁻² nothing moves, in any stage."""
    schedule = piecewise([6, 6, 6], learning_rate=0.1, batch_size=[1, 2, 1], unit="steps")
    options = {"schedule": schedule, "every": 2, "record": {"x": position}, "seeds": 12, "devices": ONE}
    free = ss.sweep(ss.SGD, QUIET, **options, key=key)["x"].values
    held = ss.sweep(ss.SGD, QUIET, **options, stop_loss=1e-2, key=key)
    first = (free**2 <= 1e-2).argmax(axis=1)
    assert {0, 1, 2} & set(first // 3) >= {0, 1} and (free[:, -1] ** 2 <= 1e-2).all()
    np.testing.assert_array_equal(held["stopped_at"], first * 2)
    kept = np.minimum(np.arange(10), first[:, None])
    np.testing.assert_array_equal(held["x"], np.take_along_axis(free, kept, axis=1))


# Rates within a stage

RISE = optax.linear_schedule(0.02, 0.2, 6)
FALL = optax.cosine_decay_schedule(0.1, 9)
STAGES = [(5, 0.1, 0.5), (7, RISE, 0.5), (8, FALL, 0.0)]


def by_loop(x, m_of=lambda m: m, rate_of=lambda rate, k, _: rate(k) if callable(rate) else rate):
    """Heavy ball on L = x² in double precision, stage after stage."""
    x, v, done = np.asarray(x, np.float64), 0.0, 0
    for steps, rate, m in STAGES:
        for k in range(steps):
            v = m_of(m) * v + 2.0 * x
            x = x - float(rate_of(rate, k, done + k)) * v
        done += steps
    return x


def staged(**change):
    lengths, rates, momenta = zip(*STAGES, strict=True)
    options = {"learning_rate": rates, "batch_size": 1, "momentum": momenta, "unit": "steps", **change}
    return piecewise(lengths, **options)


@SHORT_STAGES
def test_rates_are_counted_from_the_start_of_their_stage(key):
    """Against a loop, to float32 rounding. Planted faults: steps of the clock in place of steps of the
    stage, and a stage's rate one step late."""
    x = positions(ss.SGD, QUIET, key, schedule=staged(), every=20)
    np.testing.assert_allclose(x[:, -1], by_loop(x[:, 0]), rtol=2e-5)
    clock = by_loop(x[:, 0], rate_of=lambda rate, _, clock: rate(clock) if callable(rate) else rate)
    late = by_loop(x[:, 0], rate_of=lambda rate, k, _: rate(max(k - 1, 0)) if callable(rate) else rate)
    for fault in (clock, late):
        assert np.abs(x[:, -1] / fault - 1).min() > 1e-2


def test_rates_of_the_sde_are_counted_likewise(key):
    """The SDE has no buffer: its momentum is in η' = η/(1 − m) alone."""
    flow = partial(ss.Langevin, noise="none", **ONE_EULER_STEP)
    x = positions(flow, QUIET, key, schedule=staged(), every=20)
    whole = np.asarray(x[:, 0], np.float64)
    for steps, rate, m in STAGES:
        for k in range(steps):
            whole = whole * (1 - 2 * float(rate(k) if callable(rate) else rate) / (1 - m))
    np.testing.assert_allclose(x[:, -1], whole, rtol=2e-5)


def test_an_optimizer_is_given_the_rate_of_each_step_and_keeps_its_state(key):
    """Adam against optax with the rates of all stages in a row."""
    x = positions(partial(ss.SGD, optimizer=optax.adam), QUIET, key, schedule=staged(momentum=0.0), every=20)
    rates = [rate(k) if callable(rate) else rate for steps, rate, _ in STAGES for k in range(steps)]

    @jax.jit
    def step(theta, memory, rate):
        change, memory = optax.adam(rate).update(2 * theta, memory, theta)
        return theta + change, memory

    theta = jnp.asarray(x[:, 0])
    memory = optax.adam(0.1).init(theta)
    with jax.numpy_dtype_promotion("standard"):
        for rate in rates:
            theta, memory = step(theta, memory, jnp.asarray(rate, jnp.float32))
    np.testing.assert_allclose(x[:, -1], theta, rtol=1e-4, atol=1e-6)


@pytest.mark.script
def test_the_time_of_many_steps_is_added_up_in_blocks(monkeypatch):
    """The same sum, in the same order, whatever the block, and no more memory for more steps."""
    process = ss.SGD(QUIET, ss.Hyperparameters(0.1), schedule=optax.cosine_decay_schedule(1.0, 5000))
    process = eqx.tree_at(lambda at: at.origin, process, jnp.asarray(7, jnp.int32))
    steps = np.array([0, 7, 8, 1007, 4999, 2000, 2000])
    factors = jax.vmap(lambda k: scheduled(jnp.ones(()), process.schedule, process.origin, k))
    total = np.cumsum(np.concatenate([[0.0], np.asarray(factors(jnp.arange(7, 4999)), np.float64)]))
    expected = np.where(steps <= 7, steps, 7 + total[np.maximum(steps - 7, 0)])
    for block in (1000, 4096, 2**20):
        monkeypatch.setattr(_result, "_BLOCK", block)
        np.testing.assert_array_equal(_result.scheduled_steps(process, steps), expected)
    monkeypatch.setattr(_result, "_BLOCK", 2**12)
    tracemalloc.start()
    try:
        _result.scheduled_steps(process, np.array([2**20]))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_time_under_a_schedule_is_the_sum_of_the_rates(key):
    hyper = ss.Hyperparameters([0.1, 0.3], 1, momentum=0.5)
    process = ss.SGD(QUIET, hyper, schedule=optax.linear_schedule(1.0, 0.0, 10))
    options = {"chains": 2, "key": key, "every": 3, "record": {"x": position}, "devices": ONE}
    result = ss.run(process, steps=12, **options)
    factors = np.concatenate([[0], np.cumsum(np.clip(1 - np.arange(12) / 10, 0, None))])[::3]
    np.testing.assert_allclose(result.time, np.multiply.outer(factors, [0.2, 0.6]), rtol=1e-6)
    again = ss.run(process, steps=6, **options)
    later = ss.run(process, steps=6, **options, initial=again)
    np.testing.assert_allclose(later.time, result.time[3:], rtol=1e-6)


@pytest.mark.parametrize("process", [ss.SGD, ss.Langevin])
def test_the_noise_of_scheduled_steps_adds_up(process, key):
    """Without a slope Var x grows by (Σ η²) σ²/B. Standard error √(2/n) of it: it is Gaussian. Planted
    faults: the noise of the other stage's B, and that of the mean rate."""
    flat = ss.problems.Quadratic(1e-30)
    schedule = piecewise([10, 10], learning_rate=[0.1, RISE], batch_size=[4, 1], unit="steps")
    x = positions(process, flat, key, schedule=schedule, every=10, seeds=4000).astype(np.float64)
    first, second = x[:, 1] - x[:, 0], x[:, 2] - x[:, 1]
    rates = np.asarray([float(RISE(k)) for k in range(10)])
    exact = np.asarray([10 * 0.1**2 / 4, (rates**2).sum()])
    got = np.asarray([first.var(), second.var()])
    assert_agree(got, exact, exact * np.sqrt(2 / 4000), count=3)
    assert_agree([np.corrcoef(first, second)[0, 1]], [0.0], 1 / np.sqrt(4000), count=3)
    for fault in (exact * [4, 1 / 4], exact * [1, 10 * rates.mean() ** 2 / (rates**2).sum()]):
        assert np.abs(deviations(got, fault, fault * np.sqrt(2 / 4000))).max() > bound(3)


# Shuffled epochs

COUNTED = ss.problems.from_loss(
    lambda theta, x, _: -jnp.vdot(theta, x),
    ss.data.Dataset(np.eye(6), np.zeros(6)),
    init=lambda _: jnp.zeros(6),
)


def visits(key, sizes, lengths, seeds=8):
    """Which examples each step takes, shape (seeds, steps, 6): θ_n counts the visits of example n over B."""
    schedule = piecewise(lengths, learning_rate=1.0, batch_size=sizes, unit="steps")
    shuffled = partial(ss.SGD, sampling="shuffle")
    theta = positions(shuffled, COUNTED, key, schedule=schedule, every=1, seeds=seeds)
    return np.rint(np.diff(theta, axis=1) * np.repeat(sizes, lengths)[:, None]).astype(int)


def check_epochs(seen, epochs):
    """Every epoch, given by its steps, visits each example once, and in no order that was there before."""
    orders = [seen[:, begin:end] for begin, end in epochs]
    for order in orders:
        np.testing.assert_array_equal(order.sum(axis=1), 1)
    for number, order in enumerate(orders):
        for other in orders[:number]:
            same = min(order.shape[1], other.shape[1])
            assert not np.array_equal(order[:, :same], other[:, :same])


def test_shuffled_epochs_begin_anew_with_each_stage(key):
    """The second epoch of the first stage is cut short after two of its three steps. No order comes twice,
    which for 8 seeds at once has odds of less than 90^−8 · 10. Planted fault: the order of another epoch."""
    seen = visits(key, [2, 3, 2], [5, 4, 6])
    epochs = [(0, 3), (5, 7), (7, 9), (9, 12), (12, 15)]
    check_epochs(seen, epochs)
    np.testing.assert_array_equal(seen[:, 3:5].max(axis=(0, 1)), 1)
    assert len(np.unique(seen[:, :3].reshape(8, -1), axis=0)) > 1
    for fault in ((9, 0), (12, 9)):
        planted = seen.copy()
        planted[:, fault[0] : fault[0] + 3] = seen[:, fault[1] : fault[1] + 3]
        with pytest.raises(AssertionError):
            check_epochs(planted, epochs)


def test_a_stage_that_began_in_the_middle_of_an_epoch_would_be_seen(key):
    """Planted fault: epochs counted from the start of the run, not of the stage."""
    seen = visits(key, [2, 3, 2], [5, 4, 6])
    with pytest.raises(AssertionError):
        check_epochs(seen, [(0, 3), (6, 8), (9, 12)])


# Refusals


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: piecewise([1, 2, 3], learning_rate=[0.1, 0.2], batch_size=2),
            "learning_rate .* one value or 3",
        ),
        (lambda: piecewise([1, 2], learning_rate=0.1, batch_size=[1, 2, 3]), "batch_size .* one value or 2"),
        (lambda: piecewise([], learning_rate=0.1, batch_size=2), "at least one Stage"),
        (
            lambda: piecewise([1, -1], learning_rate=0.1, batch_size=2),
            "length must be finite and > 0, got -1",
        ),
        (
            lambda: piecewise([1], learning_rate=0, batch_size=2),
            "learning_rate must be finite and > 0, got 0",
        ),
        (lambda: _stage(learning_rate="x"), "learning_rate must be a real number"),
        (lambda: _stage(batch_size=2.5), "batch_size must be an integer >= 1, got 2.5"),
        (
            lambda: piecewise([1], learning_rate=0.1, batch_size=2, momentum=1),
            "momentum must be .* < 1, got 1",
        ),
        (lambda: _stage(learning_rate=np.ones(2)), "learning_rate must be one number"),
        (
            lambda: piecewise([1], learning_rate=0.1, batch_size=1, unit="time"),
            "unit must be one of 'epochs', 'st",
        ),
        (lambda: bare(Schedule.__init__)(object.__new__(Schedule), [3]), r"at least one Stage, got \[3\]"),
        (lambda: cyclic(4, 0, learning_rate=0.1, batch_size=2), "every must be finite and > 0, got 0"),
        (lambda: cyclic(4, 1, learning_rate=[], batch_size=2), "learning_rate must not be empty"),
        (lambda: _decay(factor=1), "factor must be finite and > 1, got 1"),
        (lambda: _decay(factor=1.3, by="batch_size"), "batch_size must stay an integer, got 10.4"),
        (lambda: _decay(by=["x", "batch_size"]), "by must be one of 'learning_rate', 'batch_size', got 'x'"),
        (lambda: _decay(by=["batch_size"] * 3), "by must be one value or 2, one for each change, got 3"),
        (lambda: _decay(lengths=[]), "lengths must hold at least one stage"),
        (lambda: _decay().updates(), "no data set, hence no epochs; give the schedule unit='steps'"),
    ],
)
def test_bad_schedules(make, message):
    with refused(match=message):
        make()


def _stage(**change):
    """A stage whose values no type checker has seen."""
    stage = object.__new__(Stage)
    for name, value in {
        "length": 1,
        "learning_rate": 0.1,
        "batch_size": 1,
        "momentum": 0.0,
        **change,
    }.items():
        object.__setattr__(stage, name, value)
    bare(Stage.__post_init__)(stage)


def _decay(lengths=(1, 1, 1), **change):
    return decay(lengths, **{"learning_rate": 0.1, "batch_size": 8, "factor": 2, **change})


FOUR = piecewise([4], learning_rate=0.1, batch_size=2)


@pytest.mark.parametrize(
    ("problem", "change", "message"),
    [
        (TILTED, {"schedule": FOUR, "learning_rate": 0.1}, "leave out learning_rate"),
        (TILTED, {"schedule": FOUR, "steps": 4}, "as long as the sweep, 4 steps, got 4 epochs"),
        (TILTED, {"schedule": {"a": FOUR, "b": cyclic(3, 1, learning_rate=1, batch_size=1)}}, "got 3 epochs"),
        (TILTED, {"schedule": {"a": FOUR, "b": 3}}, "schedule 'b' must be a Schedule, got 3"),
        (TILTED, {"schedule": {}, "epochs": 4}, "schedule must not be empty"),
        (TILTED, {"schedule": [FOUR], "epochs": 4}, "schedule must be a Schedule, got"),
        (WELL, {"schedule": FOUR}, "no data set, hence no epochs"),
        (TILTED, {"schedule": cyclic(4, 0.01, learning_rate=0.1, batch_size=2)}, "must be at least one step"),
    ],
)
def test_schedules_that_do_not_fit_a_sweep(problem, change, message, key):
    with refused(match=message):
        bare(ss.sweep)(ss.SGD, problem, key=key, **change)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (lambda step: 1.0 if step < 5 else 0.1, "TracerBoolConversionError.*jnp.where"),
        (lambda: 1.0, "takes 0 positional arguments"),
        (lambda step: None, "fails: "),
        (lambda step: "a", "fails: "),
        (lambda step: next(iter(())), "StopIteration"),
    ],
)
def test_a_schedule_that_fails_is_named(schedule, message):
    with refused(match=f"(?s)schedule must be a function of the step that JAX.*{message}"):
        ss.SGD(TILTED, ss.Hyperparameters(0.1, 1), schedule=schedule)


@pytest.mark.parametrize("make", [ss.SGD, partial(ss.SGLD, temperature=0.1)])
def test_a_schedule_that_ends_at_zero_but_for_rounding_is_one_that_ends_at_zero(make, key):
    well, hyper = ss.problems.DoubleWell(), ss.Hyperparameters(0.1, 1)
    ends = [
        ss.run(make(well, hyper, schedule=schedule), chains=2, steps=12, key=key).theta
        for schedule in (
            lambda step: jnp.where(step < 10, 1 - step / 10, -1.5e-8),
            lambda step: jnp.where(step < 10, 1 - step / 10, 0.0),
        )
    ]
    assert np.isfinite(ends[0]).all()
    np.testing.assert_array_equal(*ends)


def test_the_first_factor_that_is_not_finite_is_the_one_that_is_told(key):
    process = ss.SGD(
        ss.problems.DoubleWell(),
        ss.Hyperparameters(0.1, 1),
        schedule=lambda step: jnp.where(step < 7, 1.0, jnp.nan),
    )
    with refused(match=r"gives nan at step 7 of the 20 that"):
        ss.run(process, chains=2, steps=20, key=key)


@pytest.mark.parametrize("schedule", [lambda step: 1 - step / 10, lambda step: jnp.log(-1.0 - step)])
def test_factors_that_no_step_can_have_are_refused(schedule, key):
    process = ss.SGD(ss.problems.DoubleWell(), ss.Hyperparameters(0.1, 1), schedule=schedule)
    with refused(match=r"schedule must give factors >= 0 .* at step .*jnp\.maximum"):
        ss.run(process, chains=2, steps=20, key=key)
