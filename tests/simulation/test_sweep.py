"""Sweeps: every run is the one of `run`, one program for each B, equal epochs or time, stopping, refusals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_agree, bound, class_data, deviations, refused

import sde_sgd as ss
from sde_sgd.simulation import _engine, _program

WELL = ss.problems.DoubleWell()
QUADRATIC = ss.problems.Quadratic(1.0)
TILTED = ss.problems.TiltedNoiseData(QUADRATIC, dataset_size=10, key=jax.random.key(2))
BOTH = {"learning_rate": 0.1, "batch_size": 2}


ONE = jax.devices()[:1]


def sweep(*args, **options):
    """On one device, which is quicker to compile for."""
    return ss.sweep(*args, **{"devices": ONE, **options})


def position(x):
    return x


def by_hand(process, problem, rates, size, momenta, points, key, steps):
    """The chains of all points with this B in one ensemble. η and m of the others' chains do not matter."""
    chains = int(max(max(numbers) for numbers in points)) + 1
    rate, momentum = np.full(chains, 0.01), np.zeros(chains)
    for numbers, eta, m in zip(points, rates, momenta, strict=True):
        rate[numbers], momentum[numbers] = eta, m
    hyper = ss.Hyperparameters(rate, size, momentum)
    result = ss.run(process(problem, hyper), chains=chains, steps=steps, key=key, devices=ONE)
    return np.asarray(result.theta)[np.asarray(points)]


PROCESSES = {
    "SGD": (ss.SGD, WELL),
    "Langevin": (ss.Langevin, WELL),
    "Langevin two-point": (functools.partial(ss.Langevin, increments="two_point", substeps=1), WELL),
    "SGD shuffled": (functools.partial(ss.SGD, sampling="shuffle"), TILTED),
    "Adam": (functools.partial(ss.SGD, optimizer=optax.adam), TILTED),
    "Langevin isotropic": (functools.partial(ss.Langevin, noise="isotropic", substeps=1), TILTED),
}


@pytest.mark.parametrize("name", PROCESSES)
def test_every_run_is_that_chain_of_run(name, key):
    """Seed s of point p is chain s · points + p: to the bit where nothing is summed over examples, which
    may be done in another order for another number of chains."""
    process, problem = PROCESSES[name]
    sizes = [1, 3] if name == "SGD" else [3]
    momenta = [0.0] if problem is TILTED else [0.0, 0.5]
    options = {"learning_rate": [0.05, 0.1], "batch_size": sizes, "momentum": momenta, "steps": 20}
    options |= {"record": {"x": position}, "seeds": 2, "paired_starts": False}
    result = sweep(process, problem, **options, key=key)
    assert result["x"].dims == ("learning_rate", "batch_size", "momentum", "seed", "step")
    numbers = np.arange(4 * len(sizes) * len(momenta) // 2).reshape(2, len(sizes), len(momenta))
    rates = np.repeat([0.05, 0.1], len(momenta))
    for column, size in enumerate(sizes):
        first = numbers[:, column].ravel()
        points = [[number, number + numbers.size] for number in first]
        expected = by_hand(process, problem, rates, size, momenta * 2, points, key, 20)
        got = result["x"].values[:, column, ..., -1].reshape(-1, 2)
        assert len(np.unique(got)) == got.size
        if problem is WELL:
            np.testing.assert_array_equal(got, expected)
        else:
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.script
def test_a_network_on_noisy_labels_is_that_chain_of_run(key):
    clean = class_data()
    noisy = ss.data.with_label_noise(clean, 0.5, key=jax.random.key(3))
    problems = {name: ss.problems.mlp(data, hidden=(3,)) for name, data in (("0", clean), ("½", noisy))}
    options = {"learning_rate": 0.1, "batch_size": 4, "momentum": 0.5, "epochs": 4, "seeds": 2}
    options["paired_starts"] = False
    result = sweep(ss.SGD, problems, **options, record=["loss", "accuracy"], keep_theta=True, key=key)
    assert result["loss"].dims == ("problem", "seed", "epoch")
    assert result.dataset["problem"].values.tolist() == ["0", "½"]
    for point, problem in enumerate(problems.values()):
        process = ss.SGD(problem, ss.Hyperparameters(0.1, 4, 0.5))
        alone = ss.run(process, chains=4, steps=12, key=key, record={"loss": problem.loss}, devices=ONE)
        chosen = alone.record["loss"][:, point::2].T
        np.testing.assert_allclose(result["loss"].values[point], chosen, rtol=1e-4)
        for one, other in zip(jax.tree.leaves(result.theta), jax.tree.leaves(alone.theta), strict=True):
            np.testing.assert_allclose(one[point], other[point::2], rtol=1e-3, atol=1e-5)
    assert abs(result["loss"].values[0] - result["loss"].values[1]).min() > 1e-3


@pytest.mark.script
def test_a_seed_starts_at_one_point_in_all_settings_with_noise_of_its_own(key):
    """Seed s starts where chain s of `run` does, and goes on with the noise of chain s · points + p: what
    `run` does from that start."""
    options = {"learning_rate": [0.05, 0.1], "batch_size": [1, 3], "seeds": 3, "steps": 10, "key": key}
    paired = sweep(ss.SGD, WELL, **options, record={"x": position})["x"].values.reshape(4, 3, 2)
    process = ss.SGD(WELL, ss.Hyperparameters(0.1, 3))
    first = ss.run(process, chains=3, steps=1, record={"x": position}, key=key, devices=ONE).record["x"][0]
    np.testing.assert_array_equal(paired[..., 0], np.tile(first, (4, 1)))
    assert len(np.unique(paired[..., 1])) == 12
    starts = np.repeat(first, 4)  # chain s · 4 + p
    alone = ss.run(process, chains=12, steps=10, initial=starts, key=key, devices=ONE)
    np.testing.assert_array_equal(paired[3, :, 1], np.asarray(alone.theta)[3::4])
    own = sweep(ss.SGD, WELL, **options, record={"x": position}, paired_starts=False)["x"]
    assert len(np.unique(own.isel(step=0))) == 12
    # the first seed of the first setting is chain 0 either way, and chunks change nothing
    np.testing.assert_array_equal(own.values.reshape(4, 3, 2)[0, 0], paired[0, 0])
    cut = sweep(ss.SGD, WELL, **options, record={"x": position}, chunk=2)["x"].values
    np.testing.assert_array_equal(cut.reshape(4, 3, 2), paired)


@pytest.mark.script
def test_problems_of_one_shape_start_alike_and_others_by_their_own_law(key):
    data = class_data()
    small = {"clean": data, "noisy": ss.data.with_label_noise(data, 0.5, key=jax.random.key(3))}
    problems = {name: ss.problems.mlp(one, hidden=(3,)) for name, one in small.items()}
    problems["wide"] = ss.problems.mlp(data, hidden=(4,))

    def weight(theta):
        return jax.flatten_util.ravel_pytree(theta)[0].sum()

    options = {"learning_rate": 0.1, "batch_size": 4, "steps": 2, "seeds": 2, "record": {"w": weight}}
    first = sweep(ss.SGD, problems, **options, key=key)["w"].isel(step=0).values
    np.testing.assert_array_equal(first[0], first[1])
    assert len(np.unique(first)) == 4


def test_more_seeds_leave_the_runs_there_were_as_they_are(key):
    options = {"learning_rate": [0.05, 0.1], "batch_size": [1, 2], "steps": 10, "record": {"x": position}}
    few = sweep(ss.SGD, WELL, **options, seeds=2, key=key)
    many = sweep(ss.SGD, WELL, **options, seeds=5, key=key)
    np.testing.assert_array_equal(few["x"], many["x"].sel(seed=[0, 1]))
    other = sweep(ss.SGD, WELL, **options, seeds=2, key=jax.random.key(9))
    assert not np.isin(other["x"].isel(step=-1), few["x"].isel(step=-1)).any()


def test_a_list_in_the_order_of_the_grid_is_the_grid(key):
    """The number of a chain is its place, so the same settings in another order are other chains."""
    grid = {"learning_rate": [0.05, 0.1], "batch_size": [1, 2]}
    options = {"steps": 10, "seeds": 2, "record": {"x": position}, "key": key}
    runs = [{"learning_rate": rate, "batch_size": size} for rate in (0.05, 0.1) for size in (1, 2)]
    whole = sweep(ss.SGD, WELL, **grid, **options)["x"].values.reshape(4, 2, 2)
    listed = sweep(ss.SGD, WELL, runs=runs, **options)["x"]
    assert listed.dims == ("run", "seed", "step")
    np.testing.assert_array_equal(listed, whole)
    turned = sweep(ss.SGD, WELL, runs=runs[::-1], **options)["x"]
    assert not np.isin(turned.isel(step=-1), whole[..., -1]).any()
    shared = [{"learning_rate": rate} for rate in (0.05, 0.1)]
    common = sweep(ss.SGD, WELL, runs=shared, batch_size=2, momentum=0.5, **options)
    assert common.dataset["momentum"].values.tolist() == [0.5, 0.5]


def test_a_single_setting_is_a_sweep_without_axes(key):
    result = sweep(ss.SGD, WELL, **BOTH, steps=4, seeds=3, key=key)
    assert dict(result.dataset.sizes) == {"seed": 3, "step": 2}
    assert float(result.dataset["ratio"]) == 0.05
    for chosen in (0.05, [0.05, 0.1][:1], slice(0.01, 0.05)):
        assert result.sel(ratio=chosen)["loss"].dims == ("seed", "step")
    with refused(match="no run has ratio = 0.1; there are 0.05"):
        result.sel(ratio=0.1)


@pytest.mark.parametrize("kind", [np.array, jnp.asarray, tuple], ids=["NumPy", "JAX", "tuple"])
def test_axes_may_be_arrays(kind, key):
    result = sweep(ss.SGD, WELL, learning_rate=kind([0.1, 0.2]), batch_size=kind([2, 4]), steps=1, key=key)
    assert result.dataset["batch_size"].values.tolist() == [2, 4]
    np.testing.assert_allclose(result.dataset["learning_rate"], [0.1, 0.2], rtol=1e-7)


def test_chunks_change_nothing(key):
    options = {"learning_rate": [0.05, 0.1, 0.2], "batch_size": [1, 2], "steps": 10, "seeds": 3, "key": key}
    options |= {"record": {"x": position}, "keep_theta": True}
    whole = sweep(ss.SGD, WELL, **options)
    cut = sweep(ss.SGD, WELL, **options, chunk=4)
    np.testing.assert_array_equal(whole["x"], cut["x"])
    np.testing.assert_array_equal(whole.theta, cut.theta)
    np.testing.assert_array_equal(whole.theta, whole["x"].isel(step=-1))
    assert whole.theta.shape == (3, 2, 3)


# What is compiled


@pytest.fixture
def counted(monkeypatch):
    """A problem whose loss notes every trace of itself, and the programs compiled."""
    traces, programs = [], []

    def example_loss(theta, x, y):
        traces.append(1)
        return (theta * x[0] - y) ** 2

    def compiled(ensemble, *args, really=_program.Ensemble._compile):
        programs.append(1)
        return really(ensemble, *args)

    monkeypatch.setattr(_program.Ensemble, "_compile", compiled)

    def problem(seed):
        rng = np.random.default_rng(seed)
        data = ss.data.Dataset(rng.normal(size=(12, 1)), rng.normal(size=12))
        return ss.problems.from_loss(example_loss, data, init=jax.random.normal)

    return problem, traces, programs


def test_one_program_for_each_batch_size(counted):
    """A second sweep with other η, m, key, problem, length and grid of times compiles nothing at all."""
    problem, traces, programs = counted
    options = {"batch_size": [2, 3, 4], "record": {"x": position}, "seeds": 2}

    problems = [problem(seed) for seed in range(5)]

    def repeat(seed, **change):
        return sweep(ss.SGD, problems[seed], **options, **change, key=jax.random.key(seed))

    repeat(0, learning_rate=[0.01, 0.02], momentum=[0.1, 0.9], epochs=2)
    assert len(programs) == 3
    before = len(traces)
    repeat(1, learning_rate=[0.05, 0.03], momentum=[0.5, 0.7], epochs=5, every=1)
    repeat(2, learning_rate=[0.02, 0.04], momentum=[0.2, 0.3], steps=7)
    assert (len(programs), len(traces)) == (3, before)
    repeat(0, ratio=[0.001, 0.002], momentum=[0.1, 0.9], epochs=2)
    names = {"a": problems[3], "b": problems[4]}
    more = {**options, "learning_rate": [0.1, 0.2], "momentum": [0.1, 0.2], "epochs": 1}
    sweep(ss.SGD, names, **more, key=jax.random.key(4))
    assert (len(programs), len(traces)) == (3, before)


def test_equal_times_of_many_rates_are_one_program(counted):
    """Each η takes another number of steps, which is not compiled in."""
    problem, _, programs = counted
    rates = [0.01, 0.02, 0.05, 0.1]
    options = {"learning_rate": rates, "time": 2, "every": 0.5, "seeds": 2, "record": {"x": position}}
    sweep(ss.SGD, problem(0), batch_size=3, **options, key=jax.random.key(0))
    assert len(programs) == 1
    sweep(ss.SGD, problem(0), batch_size=[3, 4], **options, key=jax.random.key(0))
    assert len(programs) == 2


# Equal epochs, equal time, stopping


def test_samples_between_whole_epochs_are_those_steps(key):
    """2.5 steps an epoch: each sample is the state after that many steps, half a step counting as one."""
    options = {"learning_rate": 0.1, "batch_size": 4, "record": {"x": position}, "key": key}
    result = sweep(ss.SGD, TILTED, **options, epochs=6, every=1, seeds=3)
    every = sweep(ss.SGD, TILTED, **options, steps=15, every=1, seeds=3)
    steps = result["updates"].values
    assert steps.tolist() == [0, 3, 5, 8, 10, 13, 15]
    np.testing.assert_array_equal(result["x"], every["x"].values[:, steps])


def test_equal_time(key):
    """Each η and m takes as many steps as fit into the time, and each sample is the state after them."""
    options = {"learning_rate": [0.03, 0.1], "momentum": [0.0, 0.5], "batch_size": 2, "key": key}
    options |= {"record": {"x": position}, "seeds": 2}
    result = sweep(ss.SGD, WELL, **options, time=1.5, every=0.5)
    every = sweep(ss.SGD, WELL, **options, steps=50, every=1)
    updates = result["updates"].values
    exact = np.arange(4) * 0.5 * (1 - np.asarray([0, 0.5]))[:, None] / np.asarray([0.03, 0.1])[:, None, None]
    np.testing.assert_array_equal(updates, np.floor(exact + 0.5 + 1e-9))
    taken = np.take_along_axis(every["x"].values, updates[:, :, None], axis=-1)
    np.testing.assert_array_equal(result["x"], taken)
    np.testing.assert_array_equal(result["time"], [0, 0.5, 1, 1.5])


def test_runs_that_stopped_stay(key):
    """Without noise θ ← (1 − ηh)θ, so when L ≤ ¼ · 10⁻² is known; the others go on."""
    quiet = ss.problems.Quadratic(1.0, noise_variance=0.0)
    options = {"learning_rate": [0.02, 0.2], "batch_size": 1, "seeds": 4, "steps": 30, "every": 2}
    record = {"x": position, "loss": quiet.loss}
    free = sweep(ss.SGD, quiet, **options, record=record, key=key)
    held = sweep(ss.SGD, quiet, **options, record=record, stop_loss=2.5e-3, key=key)
    below = free["loss"].values <= 2.5e-3
    stops = below.any(axis=-1)
    assert stops[1].all() and not stops[0].all()
    first = np.where(stops, below.argmax(axis=-1), len(free["step"]) - 1)
    np.testing.assert_array_equal(held["stopped_at"], np.where(stops, first * 2, -1))
    kept = np.minimum(np.arange(len(free["step"])), first[..., None])
    np.testing.assert_array_equal(held["x"], np.take_along_axis(free["x"].values, kept, axis=-1))
    assert (free["stopped_at"] == -1).all()


def test_a_sweep_ends_when_all_have_stopped_and_its_records_are_filled(key, monkeypatch):
    quiet = ss.problems.Quadratic(1.0, noise_variance=0.0)
    options = {"learning_rate": [0.1, 0.2], "batch_size": [1, 2], "stop_loss": 1e-2}
    options |= {"record": {"x": position}, "keep_theta": True, "key": key}
    done = []

    def noted(self, block, size, *, keep, really=_engine._Loop._chunk):
        done.append(block * size)
        really(self, block, size, keep=keep)

    monkeypatch.setattr(_engine._Loop, "_chunk", noted)
    short = sweep(ss.SGD, quiet, **options, steps=10**5, every=10**5)
    assert (short["stopped_at"] >= 0).all()
    done.clear()
    long = sweep(ss.SGD, quiet, **options, steps=10**9, every=10**5)
    assert sum(done) < 10**7
    np.testing.assert_array_equal(long["x"].isel(step=1), short["x"].isel(step=-1))
    np.testing.assert_array_equal(long["x"].isel(step=-1), short["x"].isel(step=-1))
    np.testing.assert_array_equal(long.theta, short.theta)


# The law of every point


def variances(samples):
    """Var x of every row about its known mean 0, and the standard error of it."""
    squares = np.asarray(samples, np.float64) ** 2
    return squares.mean(axis=-1), squares.std(axis=-1) / np.sqrt(squares.shape[-1])


def exact_variance(rate, size, m=0.0, noise=1.0):
    """Stationary Var x of heavy-ball SGD on L = x²/2 with σ² = 1, at finite η."""
    return noise * rate / size * (1 + m) / ((1 - m) * (2 * (1 + m) - rate))


SETTINGS = [(0.1, 2, 0.0), (0.4, 8, 0.0), (0.2, 8, 0.5), (0.1, 4, 0.5)]
LONG = {"steps": 150, "seeds": 4000, "record": {"x": position}, "every": 150}


@pytest.mark.script
@pytest.mark.parametrize("problem", [QUADRATIC, TILTED], ids=["Gaussian noise", "minibatches"])
def test_stationary_variances_at_one_ratio(problem, key):
    """Null: the closed form at each point, all with η/(B(1 − m)) = .05. Standard errors: the spread of
    the seeds. Of the start's variance the slowest point keeps (1 − .1)^300 = 2e-14. Planted faults:
    B off by one, and the limit of small η."""
    runs = [dict(zip(("learning_rate", "batch_size", "momentum"), one, strict=True)) for one in SETTINGS]
    result = sweep(ss.SGD, problem, runs=runs, **LONG, key=key)
    np.testing.assert_allclose(result.dataset["ratio"], 0.05, rtol=1e-12)
    got, error = variances(result["x"].isel(step=-1))
    assert_agree(got, [exact_variance(*one) for one in SETTINGS], error)
    for fault in ([exact_variance(rate, size + 1, m) for rate, size, m in SETTINGS], 0.025):
        assert np.abs(deviations(got, fault, error)).max() > bound(4)
    means = result["x"].isel(step=-1).mean("seed")
    assert_agree(means, 0, np.sqrt(got / 4000))


def test_points_and_seeds_do_not_share_their_noise(key):
    """Null: correlations of zero between all points over the seeds, with standard error 1/√n, though the
    settings are the same. Planted fault: chain numbers that are the seeds alone."""
    runs = [{"learning_rate": 0.1, "batch_size": size} for size in (2, 2, 3, 3)]
    result = sweep(ss.SGD, QUADRATIC, runs=runs, **LONG, key=key)
    ends = np.asarray(result["x"].isel(step=-1), np.float64)
    upper = np.triu_indices(4, 1)
    assert_agree(np.corrcoef(ends)[upper], np.zeros(6), 1 / np.sqrt(4000), count=7)
    assert_agree([np.corrcoef(ends[0, 1:], ends[0, :-1])[0, 1]], [0.0], 1 / np.sqrt(3999), count=7)
    shared = [
        ss.run(ss.SGD(QUADRATIC, ss.Hyperparameters(0.1, size)), chains=4000, steps=150, key=key).theta
        for size in (2, 3)
    ]
    assert abs(np.corrcoef(shared)[0, 1]) > 0.9


def test_parameters_of_several_shapes_are_not_kept(key, blocks):
    problems = {"one": ss.problems.Quadratic(1.0), "two": ss.problems.Quadratic(jnp.eye(2))}
    options = {"learning_rate": 0.1, "batch_size": 1, "steps": 2, "key": key}
    words = r"keep_theta must be False .* got 'one' with \(\) and 'two' with \(2,\)\. Sweep them one by one"
    with refused(match=words):
        ss.sweep(ss.SGD, problems, **options, keep_theta=True)
    assert blocks == []
    assert ss.sweep(ss.SGD, problems, **options).dataset.sizes["problem"] == 2
