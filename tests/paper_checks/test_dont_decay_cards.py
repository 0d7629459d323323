"""The cards of "Don't Decay the Learning Rate": their statistics on made-up curves, and planted laws."""

import functools
from typing import Any

import jax
import numpy as np
import pytest
import xarray

import sde_sgd as ss
from paper_checks._context import Context, Laws, folded
from paper_checks.dont_decay import _arms, _many_devices, scale, schedules, schedules_optimisers
from paper_checks.dont_decay._arms import BOTH, CONSTANT, DECAY, GROW, SLOW
from paper_checks.dont_decay._lag import Lag, crossing, lags


def context_of(name: str, **laws: Any) -> Context:
    seed = jax.random.key(0)
    return Context("smoke", folded(seed, name), Laws(**laws), seed_key=seed)


class Made:
    """What the cards read of a sweep over schedules."""

    def __init__(self, **arms: np.ndarray):
        self._arms = arms

    def __getitem__(self, name: str) -> Any:
        samples = next(iter(self._arms.values())).shape[1]
        return xarray.DataArray(np.arange(float(samples))) if name == "epoch" else None

    def sel(self, *, schedule: str) -> dict[str, Any]:
        losses = self._arms[schedule]
        count = (10 if schedule == "first" else 4) * np.arange(losses.shape[1])
        return {"loss": xarray.DataArray(losses), "accuracy": xarray.DataArray(losses)} | {
            "updates": xarray.DataArray(count)
        }


def test_the_noise_scale_is_one_for_the_three_schedules():
    """And another one for the two controls from the first change on; no grown B beyond N/10 = 128."""
    made = _arms.schedules([10, 10, 10], rate=0.0125, batch=4, factor=4, momentum=0.9)
    scales = {
        name: [stage.learning_rate / stage.batch_size / 0.0125 * 4 for stage in one.stages]
        for name, one in made.items()
    }
    for name in (DECAY, GROW, BOTH):
        np.testing.assert_allclose(scales[name], [1, 1 / 4, 1 / 16])
    np.testing.assert_allclose(scales[SLOW], [1, 1 / 2, 1 / 4])
    np.testing.assert_allclose(scales[CONSTANT], 1)
    assert [stage.batch_size for stage in made[GROW].stages] == [4, 16, 64]
    assert [stage.batch_size for stage in made[BOTH].stages] == [4, 16, 16]
    assert [made[name].updates(1280) for name in (DECAY, GROW, BOTH)] == [9600, 4200, 4800]


def test_equal_accuracies_hold_their_level_and_are_found():
    """Means a point apart are called equal in one case of twenty, equal ones with 64 seeds nearly always."""
    rng = np.random.default_rng(0)
    calls = {0.0: 0, _arms.POINT: 0}
    for apart in calls:
        for _ in range(150):
            first, second = 0.95 + 0.01 * rng.normal(size=(2, 64))
            calls[apart] += bool(_arms.within_a_point("", first + apart, second).met)
    assert calls[0.0] > 145
    assert 1 <= calls[_arms.POINT] <= 18


def test_the_worst_of_the_arms_counts_and_the_nearest_of_the_controls():
    rng = np.random.default_rng(1)

    def arm(apart):
        return _arms.within_a_point(f"{apart}", 0.9 + apart + 0.01 * rng.normal(size=64), 0.9 + noise)

    noise = 0.01 * rng.normal(size=64)
    same, far, farther = arm(0.0), arm(-0.03), arm(0.06)
    assert _arms.least([same, far], "ends").name == "ends: -0.03"
    assert _arms.least([same], "ends").met
    assert _arms.nearest([far, farther], "ends").name == "ends: -0.03"
    assert not _arms.nearest([far, farther], "ends").met
    assert _arms.nearest([far, farther, same], "ends").met


def test_curves_are_compared_after_the_first_change():
    """What differs later is not hidden by a long common beginning."""
    rng = np.random.default_rng(2)
    runs = rng.normal(size=(2, 64, 1)) + 0.3 * rng.normal(size=(2, 64, 31))
    late = np.arange(31) > 27
    made = Made(first=runs[0], same=runs[1], other=runs[1] + 2 * late)
    judge = functools.partial(_arms.near_curves, context_of("test"), "curves", made, "loss")
    assert judge(("same", "first"), after=27.0).met
    assert not judge(("other", "first"), after=27.0).met
    assert judge(("other", "first"), after=0.0).estimate < 1.0


def test_a_spread_apart_is_not_near():
    """At the margin the curves are called near in few cases."""
    rng = np.random.default_rng(3)
    near = 0
    for number in range(40):
        runs = rng.normal(size=(2, 64, 1)) + 0.3 * rng.normal(size=(2, 64, 10))
        made = Made(first=runs[0], other=runs[1] + 1.044)  # the spread of the sum
        near += bool(
            _arms.near_curves(context_of(f"{number}"), "", made, "loss", ("other", "first"), after=0.0).met
        )
    assert near <= 7


def test_updates_are_counted_at_the_end():
    made = Made(first=np.zeros((2, 11)), other=np.zeros((2, 11)))
    found = _arms.fewer_updates("updates", made, "other", "first")
    assert found.estimate == pytest.approx(0.4)
    assert "40 beside 100" in found.threshold
    assert found.met is None


def test_a_crossing_lies_on_the_straight_line_between_samples():
    """Of the first way down: that the loss comes up again does not matter."""
    epochs = np.arange(5.0)
    losses = np.array([4.0, 2.0, 3.0, 1.0, 0.5])
    np.testing.assert_allclose(crossing(epochs, losses, np.array([3.0, 2.0, 1.5])), [0.5, 2.0, 2.5])


def test_the_lag_of_a_curve_that_is_late():
    """Late by 1.5 epochs: found within its error, which is that of repetitions."""
    epochs = np.arange(0, 20.01, 0.25)
    rng = np.random.default_rng(4)

    def one(number: int) -> Lag:
        def curve(late: float) -> np.ndarray:
            falls = 2 * np.exp(-np.maximum(epochs - late, 0) / 3)
            return falls + 0.05 * rng.normal(size=(32, 1)) + 0.01 * rng.normal(size=(32, len(epochs)))

        curves = {"first": curve(0.0), "late": curve(1.5)}
        found = lags(epochs, curves, "first", np.arange(1.0, 3.01, 0.25), key=jax.random.key(number))
        assert list(found) == ["late"]
        return found["late"]

    made = [one(number) for number in range(12)]
    assert np.mean([lag.value for lag in made]) == pytest.approx(1.5, abs=0.1)
    assert np.mean([lag.error for lag in made]) == pytest.approx(np.std([x.value for x in made]), rel=0.6)
    assert made[0].outside(0.75, 3.0) < 0.01
    assert made[0].outside(1.5, 6.0) > 0.05


def runs_of(losses: np.ndarray, each: int = 10) -> dict[str, np.ndarray]:
    epochs = 0.25 * np.arange(losses.shape[1])
    return {"epochs": epochs, "updates": each * np.arange(losses.shape[1]), "loss": losses}


def test_one_and_eight_devices_are_compared_after_as_many_updates():
    rng = np.random.default_rng(5)
    losses = 2 + rng.random((6, 9))
    one = runs_of(losses)
    found = scale._same("loss", runs_of(losses[:3] * (1 + 1e-5)), one)
    assert found.met and found.estimate == pytest.approx(1e-5, rel=0.01) and found.n == 3
    late = losses.copy()
    late[:, 4:] *= 1.1  # after the first half epoch nothing is asked
    assert scale._same("loss", runs_of(late), one).met
    wrong = losses.copy()
    wrong[2, 2] *= 1.01
    assert not scale._same("loss", runs_of(wrong), one).met
    assert not scale._same("loss", runs_of(losses, each=5), runs_of(losses)).met


def test_runs_with_other_batches_are_not_half_a_spread_apart():
    rng = np.random.default_rng(6)
    first, second, rounding = rng.normal(size=(3, 12, 10))
    assert scale._paired(runs_of(first[:6] + 0.1 * rounding[:6]), runs_of(first)).met
    other = scale._paired(runs_of(second[:6]), runs_of(first))
    assert not other.met and other.estimate == pytest.approx(2**0.5, rel=0.3)


def test_imagenet_by_arithmetic():
    """90 · 1,281,167/65,536 = 1,759.4 updates."""
    assert scale._updates(65_536) == 1_759
    assert scale._updates(8_192) == 14_075


@pytest.mark.script
def test_devices_that_share_a_batch_make_the_curve_of_one(key):
    """Two devices and a small network; another key, or half of each batch, makes another curve."""
    made = ss.data.with_label_noise(ss.data.digits(64), 0.1, key=key)
    problem = ss.problems.mlp(made, hidden=(4,))

    def run(devices: int, size: int, key: jax.Array) -> dict[str, np.ndarray]:
        stages = ss.schedules.piecewise([size / 8], learning_rate=0.1, batch_size=size)
        return _many_devices.curves(
            ss.sweep,
            ss.SGD,
            problem,
            stages,
            every=[size / 32, size / 16, size / 8],
            seeds=2,
            key=key,
            devices=devices,
        )

    one = run(1, 8, key)
    assert scale._same("loss", run(2, 8, key), one).met
    assert not scale._same("loss", run(1, 4, key), one).met
    assert not scale._same("loss", run(1, 8, jax.random.key(1)), one).met


def ignoring_the_batch(problem: Any, hyper: Any, **options: Any) -> ss.SGD:
    """SGD whose batches do not grow: B = 4, whatever is asked for."""
    return ss.SGD(problem, ss.Hyperparameters(hyper.learning_rate, 4, momentum=hyper.momentum), **options)


@pytest.mark.script
def test_sgd_that_ignores_b_is_noticed():
    """Its noise scale does not fall where B is to grow: accuracy and loss stay behind a smaller η's."""
    found = schedules.check(context_of("schedules", sgd=functools.wraps(ss.SGD)(ignoring_the_batch)))
    assert [one.met for one in found.measurements[:3]] == [False, False, False]
    assert found.measurements[0].estimate < -0.5 * _arms.POINT


def test_every_optimiser_has_its_momentum_once():
    """The library's heavy ball or an optimiser of its own, and the same η/(1 − m) for the first three."""
    rates = []
    for rate, momentum, optimiser in list(schedules_optimisers.OPTIMISERS.values())[:3]:
        assert momentum == 0 or optimiser is None
        inner = 0.0 if optimiser is None else optimiser.keywords["momentum"]
        rates.append(rate / (1 - momentum - inner))
    np.testing.assert_allclose(rates, 0.125)
