"""Shuffled epochs whose last batch holds what is left: which examples, with which weights, how many steps.

Keys are fixed. A statistical test states its null; `assert_agree` allows as many standard errors as a
correct program exceeds with odds 1e-6.
"""

import itertools
import pickle
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import (
    ALARM,
    assert_agree,
    bare,
    chi_square_p,
    covariance,
    deviations,
    ravel,
    ravel_rows,
    refused,
    regression_data,
)

import sde_sgd as ss
from sde_sgd import _samplings, problems
from sde_sgd.problems._sampling import PartialBatch, ShuffleSampler
from sde_sgd.schedules import Schedule, Stage, piecewise
from sde_sgd.simulation._length import in_steps

ONE = jax.devices()[:1]
ALL = {"sampling": "shuffle_all"}
HYPER = ss.Hyperparameters(0.1, 2)
DATA = problems.linear_regression(regression_data(5, 2))


# SGD at rate 1 adds to θ_n the weight of example n in the batch
COUNTED = problems.from_loss(
    lambda theta, x, _: -jnp.vdot(theta, x),
    ss.data.Dataset(np.eye(5), np.zeros(5)),
    init=lambda _: jnp.zeros(5),
)


def position(theta: Any) -> Any:
    return theta


def weights(batch: int, steps: int, chains: int, key: Any) -> np.ndarray:
    """The weight of each of 5 examples in each step, shape `(steps, chains, 5)`."""
    process = ss.SGD(COUNTED, ss.Hyperparameters(1.0, batch), **ALL)
    options = {"record": {"x": position}, "every": 1, "devices": ONE, "progress": False}
    result = ss.run(process, chains=chains, steps=steps, key=key, **options)
    return np.diff(result.record["x"], axis=0)


# Which examples, and with which weights


@pytest.mark.parametrize("batch", [2, pytest.param(3, marks=pytest.mark.script)])
def test_every_example_comes_once_an_epoch_and_the_last_ones_weigh_more(batch: int, key: Any) -> None:
    """B of 5 examples at 1/B, and then the r that are left at 1/r."""
    epoch, chains = -(-5 // batch), 40
    sizes = [batch] * (5 // batch) + [5 % batch]
    found = weights(batch, 3 * epoch, chains, key).reshape(3, epoch, chains, 5)
    np.testing.assert_array_equal((found > 0.01).sum(axis=1), 1)
    for place, size in enumerate(sizes):
        np.testing.assert_array_equal((found[:, place] > 0.01).sum(axis=-1), size)
        np.testing.assert_allclose(found[:, place].max(axis=-1), 1 / size, atol=1e-5)
    assert len(np.unique((found[:, 0] > 0.01).reshape(3, -1), axis=0)) == 3  # a new order each epoch


@pytest.mark.script
def test_every_example_is_the_last_one_equally_often(key: Any) -> None:
    """Null: uniform over 5 examples, 4000 times; χ² at 1e-6. With the first epoch alone for each chain."""
    last = weights(2, 3, 4000, key)[2].argmax(axis=-1)
    assert chi_square_p(np.bincount(last, minlength=5), np.full(5, 800.0)) > ALARM


def test_the_gradient_of_a_part_is_the_mean_of_its_examples() -> None:
    theta = [{"weight": jnp.asarray([[0.5], [-1.0]])}]
    rows = np.asarray(DATA.example_gradients(theta))
    indices = jnp.asarray([3, 1, 4, 3, 1], jnp.int32)
    for count in range(1, 6):
        found = DATA.batch_gradient(theta, PartialBatch(indices, jnp.asarray(count, jnp.int32)))
        np.testing.assert_allclose(ravel(found), rows[indices[:count]].mean(axis=0), rtol=1e-5)


def test_the_l2_term_counts_once_whatever_the_size() -> None:
    """λ = 3 adds 3θ to the gradient of one example as to that of two."""
    strict = problems.linear_regression(regression_data(5, 2), l2=3.0)
    theta = [{"weight": jnp.asarray([[0.5], [-1.0]])}]
    for count in (1, 2):
        batch = PartialBatch(jnp.asarray([3, 1], jnp.int32), jnp.asarray(count, jnp.int32))
        change = ravel(strict.batch_gradient(theta, batch)) - ravel(DATA.batch_gradient(theta, batch))
        np.testing.assert_allclose(change, [1.5, -3.0], rtol=1e-5)


def test_what_fills_the_last_batch_is_in_it(key: Any) -> None:
    """So that an example without a finite gradient spoils no batch that it is not in."""
    sampler = DATA.sampler("shuffle_all", 4)
    chain = ss.random.chain_numbers(50)
    words = ss.SGD(DATA, HYPER).streams(key)
    _, order = sampler.draw(sampler.init(chain), words, jnp.asarray(0), chain)
    batch, _ = sampler.draw(order, words, jnp.asarray(1), chain)
    np.testing.assert_array_equal(batch.count, 1)
    np.testing.assert_array_equal(batch.indices, np.repeat(order[:, 4:], 4, axis=1))


# Equal to "shuffle" where nothing is left


def test_it_is_shuffle_where_the_batch_size_divides_the_data(key: Any) -> None:
    assert all(isinstance(DATA.sampler("shuffle_all", size), ShuffleSampler) for size in (1, 5))
    options = {"chains": 3, "steps": 12, "key": key, "devices": ONE, "progress": False}
    data = problems.linear_regression(regression_data(6, 2))
    one, other = (
        ss.run(ss.SGD(data, ss.Hyperparameters(0.1, 2, 0.5), sampling=name), **options)
        for name in ("shuffle", "shuffle_all")
    )
    np.testing.assert_array_equal(ravel(one.theta), ravel(other.theta))
    np.testing.assert_array_equal(one.epochs, other.epochs)


# Epochs are ⌈N/B⌉ steps


@pytest.mark.parametrize(("batch", "epoch"), [(1, 5), (2, 3), (3, 2), (4, 2), (5, 1)])
def test_an_epoch_has_as_many_steps_as_batches(batch: int, epoch: int) -> None:
    hyper = ss.Hyperparameters(0.1, batch)
    length = in_steps(ss.SGD(DATA, hyper, **ALL), steps=None, epochs=7, time=None, every=1, burn_in=2)
    assert (length.steps, length.burn_in) == (7 * epoch, 2 * epoch)
    np.testing.assert_array_equal(np.asarray(length.marks), epoch * np.arange(1, 8))
    assert float(hyper.epochs(7 * epoch, 5, **ALL)) == 7
    assert float(ss.hyperparameters.epochs_to_steps(7, batch, 5, **ALL)) == 7 * epoch
    assert float(ss.hyperparameters.steps_to_epochs(7 * epoch, batch, 5, **ALL)) == 7
    # and kB/N, the same amount of data, for all others
    assert float(hyper.epochs(10, 5, sampling="shuffle")) == float(hyper.epochs(10, 5)) == 2 * batch
    assert _samplings.epoch(batch, 5, "replacement") == _samplings.epoch(batch, 5) == (5, batch)


def test_epochs_of_many_batch_sizes_at_once() -> None:
    sizes = jnp.asarray([1, 2, 3, 4, 5])
    np.testing.assert_allclose(ss.hyperparameters.epochs_to_steps(2.0, sizes, 5, **ALL), [10, 6, 4, 4, 2])
    with refused(match=r"sampling must be one of .*'shuffle_all', got 'all'"):
        ss.hyperparameters.steps_to_epochs(1, 2, 5, sampling="all")


@pytest.mark.script
def test_the_epochs_of_a_result_are_whole(key: Any, tmp_path: Any) -> None:
    """Of one that was pickled or read from a file too, which knows its process by name only."""
    process = ss.SGD(DATA, HYPER, **ALL)
    options = {"chains": 2, "key": key, "devices": ONE, "progress": False}
    result = ss.run(process, epochs=4, every=1, record=["loss"], **options)
    np.testing.assert_array_equal(result.record_steps, [0, 3, 6, 9, 12])
    np.testing.assert_array_equal(result.epochs, [0, 1, 2, 3, 4])
    result.save(tmp_path / "result.nc")
    for copy in (pickle.loads(pickle.dumps(result)), ss.read_run(tmp_path / "result.nc")):
        np.testing.assert_array_equal(copy.epochs, result.epochs)
    assert "shuffle_all" in result.provenance["call"]


@pytest.mark.script
def test_a_sweep_of_epochs_counts_batches(key: Any) -> None:
    """By `partial`, and by a function that chooses the sampling by B itself."""
    options = {"learning_rate": 0.05, "batch_size": [2, 5], "epochs": 2, "key": key, "devices": ONE}
    found = ss.sweep(partial(ss.SGD, **ALL), DATA, every=1, progress=False, **options)
    np.testing.assert_array_equal(found["updates"].values.reshape(2, 3), [[0, 3, 6], [0, 1, 2]])

    def mixed(problem: Any, hyper: Any) -> Any:
        return ss.SGD(problem, hyper, sampling="shuffle_all" if hyper.batch_size == 2 else "subset")

    found = ss.sweep(mixed, DATA, progress=False, **options | {"batch_size": [2, 4]})
    np.testing.assert_array_equal(found["updates"].values.reshape(2, 2), [[0, 6], [0, 3]])


@pytest.mark.script
def test_a_schedule_of_epochs_counts_the_batches_of_every_stage(key: Any) -> None:
    """Stages of 3 and 4 steps; each begins an epoch of its own, which visits every example once."""
    schedule = piecewise([1, 2], learning_rate=1.0, batch_size=[2, 3])
    assert schedule.updates(5, **ALL) == 7
    assert schedule.updates(5) == 6  # 2.5 + 3.33
    assert Stage(2, 0.1, 3).steps("epochs", 5, **ALL) == 4
    assert Schedule([Stage(2, 0.1, 3)], unit="steps").updates(5, **ALL) == 2
    with refused(match="sampling must be one of"):
        schedule.updates(5, sampling="all")
    found = ss.sweep(
        partial(ss.SGD, **ALL), COUNTED, schedule=schedule, key=key, seeds=4, every=1, keep_theta=True,
        progress=False, devices=ONE,
    )  # fmt: skip
    np.testing.assert_array_equal(found["updates"].values.ravel(), [0, 3, 5, 7])
    once = np.sort(np.asarray(found.theta).reshape(4, 5), axis=1)
    # of the first stage one example weighs 1 and four ½; of each epoch of the second three ⅓ and two ½
    np.testing.assert_allclose(once.sum(axis=1), 7, rtol=1e-5)


@pytest.mark.script
def test_a_stage_begins_its_own_epochs(key: Any) -> None:
    """The second epoch of the first stage is cut off after its first step."""
    schedule = piecewise([4, 5], learning_rate=1.0, batch_size=[2, 3], unit="steps")
    found = ss.sweep(
        partial(ss.SGD, **ALL), COUNTED, schedule=schedule, key=key, seeds=4, every=1, progress=False,
        record={"x": position}, devices=ONE,
    )  # fmt: skip
    seen = np.diff(found["x"].values.reshape(4, 10, 5), axis=1) > 0.01
    for begin, end in ((0, 3), (4, 6), (6, 8)):
        np.testing.assert_array_equal(seen[:, begin:end].sum(axis=1), 1)
    np.testing.assert_array_equal(seen.sum(axis=2), np.tile([2, 2, 1, 2, 3, 2, 3, 2, 3], (4, 1)))


# Where it is cut


def test_a_run_that_stops_within_an_epoch_goes_on_in_it(key: Any, tmp_path: Any) -> None:
    process = ss.SGD(DATA, ss.Hyperparameters(0.1, 2, 0.5), **ALL)
    options = {"chains": 4, "key": key, "devices": ONE, "progress": False}
    whole = ss.run(process, steps=11, **options)
    first = ss.run(process, steps=4, checkpoint=tmp_path / "run", **options)
    resumed = ss.run(process, steps=11, checkpoint=tmp_path / "run", resume=True, **options)
    continued = ss.run(process, steps=7, initial=first, **options)
    for other in (resumed, continued):
        np.testing.assert_array_equal(ravel(other.theta), ravel(whole.theta))
        np.testing.assert_array_equal(other.state.extra["sampler"], whole.state.extra["sampler"])
    other = ss.SGD(DATA, ss.Hyperparameters(0.1, 2, 0.5), sampling="shuffle")
    with pytest.raises(ss.CheckpointError):
        ss.run(other, steps=11, checkpoint=tmp_path / "run", resume=True, **options)


# Its law


@pytest.mark.script
def test_the_covariance_at_the_ends_of_epochs(key: Any) -> None:
    """Null: `discrete_covariance`, from 20 000 chains after 12 epochs of (4, 4, 2) of 10 targets, of the
    start's law (1 − η)^72 = 7e-12 is left. Planted faults: the rest left out, or a last batch of the noise of
    the others, lie ten standard errors away."""
    targets = np.random.default_rng(0).normal(size=10)
    targets = (targets - targets.mean()) / targets.std()
    problem = problems.linear_regression(ss.data.Dataset(np.ones((10, 1)), targets))
    hyper = ss.Hyperparameters(0.3, 4)
    result = ss.run(
        ss.SGD(problem, hyper, **ALL),
        chains=20_000,
        epochs=12,
        key=key,
        initial=[{"weight": jnp.zeros((1, 1))}],
        devices=ONE,
        progress=False,
    )
    assert result.steps == 36
    rows = ravel_rows(result.theta)
    (variance,), (error,) = (part[0] for part in covariance(rows))
    exact = {
        name: ss.theory.discrete_covariance([[1.0]], [[1.0]], hyper, sampling=name, dataset_size=10)[0, 0]
        for name in ("shuffle_all", "shuffle", "subset")
    }
    assert_agree(variance, exact["shuffle_all"], error, count=2)
    assert_agree(rows.mean(), 0, np.sqrt(variance / len(rows)), count=2)
    equal = by_hand(0.3, [4, 4, 2], 10, [6 / 9 / 4] * 3)
    for wrong in (exact["shuffle"], exact["subset"], equal):
        assert np.abs(deviations(variance, wrong, error)).max() > 10


def by_hand(rate: float, sizes: list[int], size: int, own: list[float]) -> float:
    """Var θ at the end of an epoch for h = σ = 1: (1 − η)^{2n} V + η² Σ a_i a_j Cov(ĝ_i, ĝ_j)."""
    count = len(sizes)
    between = np.full((count, count), -1 / (size - 1))
    between[np.diag_indices(count)] = own
    decay = (1 - rate) ** np.arange(count)[::-1]
    return float(rate**2 * decay @ between @ decay / (1 - (1 - rate) ** (2 * count)))


def test_the_covariance_by_hand() -> None:
    """The variance of the mean of r of N numbers of variance 1 by counting all subsets, N = 5."""
    values = np.array([-2.0, -1.0, 0.0, 1.0, 2.0]) / np.sqrt(2)
    own = {r: np.mean([np.mean(some) ** 2 for some in itertools.combinations(values, r)]) for r in (1, 2)}
    hyper = ss.Hyperparameters(0.25, 2)
    found = ss.theory.discrete_covariance([[1.0]], [[1.0]], hyper, **ALL, dataset_size=5)
    exact = by_hand(0.25, [2, 2, 1], 5, [own[2], own[2], own[1]])
    np.testing.assert_allclose(found, [[exact]], rtol=1e-12)
    wide = ss.theory.directional_variance([1.0], [1.0], hyper, **ALL, dataset_size=5)
    np.testing.assert_allclose(wide, [exact], rtol=1e-12)


# Refusals


class OwnGradient(problems.FiniteSumProblem):
    """With a gradient of its own, which takes whole batches."""

    def init(self, key: Any) -> Any:
        del key
        return jnp.zeros(2)

    def example_losses(self, theta: Any, indices: Any = None) -> Any:
        count = 5 if indices is None else indices.shape[0]
        return jnp.sum(theta) * jnp.ones(count)

    def batch_gradient(self, theta: Any, batch: Any) -> Any:
        return jax.grad(lambda at: jnp.mean(self.example_losses(at, batch)))(theta)

    @property
    def dataset_size(self) -> int:
        return 5


def test_a_gradient_for_whole_batches_is_given_no_part_of_one() -> None:
    ss.SGD(OwnGradient(), ss.Hyperparameters(0.1, 5), **ALL)
    message = "sampling must not be 'shuffle_all' for OwnGradient where batch_size = 2 does not divide its 5"
    with refused(match=message):
        ss.SGD(OwnGradient(), HYPER, **ALL)


def test_what_needs_batches_alike_refuses_it_by_name(key: Any) -> None:
    alone = {"dataset_size": 5, **ALL}
    momentum = ss.Hyperparameters(0.1, 2, 0.5)
    for call in (
        lambda: ss.Langevin(DATA, HYPER, **ALL),
        lambda: ss.SecondOrderLangevin(DATA, HYPER, **ALL),
        lambda: ss.UnderdampedLangevin(DATA, momentum, **ALL),
        lambda: ss.SVAG(DATA, HYPER, l=2, **ALL),
        lambda: ss.validity.diagnose(DATA, HYPER, steps=10, key=key, **ALL),
        lambda: ss.theory.lyapunov_covariance([[1.0]], [[1.0]], HYPER, **alone),
        lambda: ss.theory.effective_temperature([[1.0]], [[1.0]], HYPER, **alone),
        lambda: ss.theory.virial(HYPER, square_gradient=1.0, noise_trace=1.0, **alone),
        lambda: ss.SGD(ss.problems.DoubleWell(), HYPER, **ALL),
        lambda: ss.SGD(DATA, ss.Hyperparameters(0.1, 6), **ALL),
    ):
        with refused(match="'shuffle_all'") as refusal:
            bare(call)()
        assert any(way in str(refusal.value) for way in ("'replacement'", "'shuffle'"))
