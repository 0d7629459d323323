"""Moments and histograms over many samples: nothing saturates, and what is not a number is said."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import sde_sgd as ss
from sde_sgd.simulation import _engine
from sde_sgd.simulation._recording import Recorder, room

WELL = ss.problems.DoubleWell()
HYPER = ss.Hyperparameters(0.05, 2)
ONE = jax.devices()[:1]


def identity(x):
    return x


def gathered(recorder, values, samples):
    """The mean and variance of `samples` samples of one chain, compiled, as a run takes them."""

    def sample(number, kept):
        now, about = values(number)[None], kept["moments"]["mean"]
        new = recorder.update(kept, now, jnp.zeros((), jnp.int32), number, jnp.asarray(True), about)
        return recorder.merge({**new, "moments": kept["moments"]})

    kept = jax.jit(lambda: lax.fori_loop(0, samples, sample, recorder.init(jnp.zeros((1,)), 1)))()
    assert int(kept["count"] - kept["merged"]) == 0
    mean, square = (
        sum(np.asarray(part, float) for part in kept["moments"][which]["x"]) for which in ("mean", "square")
    )
    return float(mean[0]), float(square[0]) / samples


def test_a_variance_is_right_beyond_the_integers_of_float32():
    """Null: ±½ in turn about 100 has mean 100 and variance ¼, after 2²⁵ samples too, where plain sums in
    float32 have stood still for long: at 2²⁴ of their last digits."""

    def values(number):
        return 100.0 + jnp.where(number % 2 == 0, 0.5, -0.5)

    mean, variance = gathered(Recorder({}, {"x": identity}, {}), values, 2**25)
    assert abs(mean - 100) < 1e-6
    assert abs(variance - 0.25) < 1e-6


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_moments_are_those_of_the_records_to_many_digits(offset, key):
    """Null: the float64 mean and variance of the same float32 samples. In the first block of 256 samples a
    mean is off by some units of its last digit: here 6e-5 of a thousand, where a deviation is .08."""

    def shifted(x):
        return x + offset

    options = {"chains": 4, "steps": 5000, "every": 1, "burn_in": 17, "key": key, "devices": ONE}
    result = ss.run(ss.SGD(WELL, HYPER), record={"x": shifted}, moments={"x": shifted}, **options)
    kept = result.record["x"][result.record_steps > 17].astype(np.float64)
    moments = result.moments["x"]
    assert moments.count == len(kept) == 4983
    unit = np.spacing(np.float32(max(offset, 1.0)))
    np.testing.assert_allclose(moments.mean_per_chain, kept.mean(axis=0), rtol=0, atol=2 * unit)
    close = 1e-5 + 2 * unit / 0.08 * 256 / len(kept)
    np.testing.assert_allclose(moments.variance_per_chain, kept.var(axis=0), rtol=close)
    np.testing.assert_allclose(moments.variance, kept.var(), rtol=close)


@pytest.mark.parametrize("pace", [97.0, 700.0])
def test_no_bit_of_the_moments_depends_on_where_a_run_is_cut(pace, key, monkeypatch):
    options = {"chains": 10, "steps": 700, "every": 1, "burn_in": 13, "key": key, "moments": {"x": identity}}
    whole = ss.run(ss.SGD(WELL, HYPER), **options)
    monkeypatch.setattr(
        "sde_sgd.simulation._engine.next_block",
        lambda done, steps, every, _pace, capacity, block=_engine.next_block: block(
            done, steps, every, pace, capacity
        ),
    )
    cut = ss.run(ss.SGD(WELL, HYPER), **options)
    few = ss.run(ss.SGD(WELL, HYPER), **options | {"chains": 3}, devices=ONE)
    for name in ("mean_per_chain", "variance_per_chain"):
        expected = getattr(whole.moments["x"], name)
        np.testing.assert_array_equal(getattr(cut.moments["x"], name), expected)
        np.testing.assert_array_equal(getattr(few.moments["x"], name), expected[:3])


def test_chains_that_stop_within_a_block_keep_the_moments_of_their_own_samples(key):
    """More samples than a block, and chains that stop at different ones."""
    process = ss.SGD(ss.problems.Quadratic(1.0), ss.Hyperparameters(np.linspace(0.001, 0.02, 6), 1))
    options = {"chains": 6, "steps": 1500, "every": 1, "initial": 2.0, "stop_loss": 0.01, "key": key}
    result = ss.run(process, record={"x": identity}, moments={"x": identity}, **options)
    lengths = np.where(result.stopped_at >= 0, result.stopped_at, 1500)
    assert len(np.unique(lengths)) == 6
    assert lengths.min() < 256 < lengths.max()
    for chain, length in enumerate(lengths):
        kept = result.record["x"][1 : length + 1, chain].astype(np.float64)
        np.testing.assert_allclose(result.moments["x"].mean_per_chain[chain], kept.mean(), rtol=1e-5)
        np.testing.assert_allclose(result.moments["x"].variance_per_chain[chain], kept.var(), rtol=1e-4)


def test_the_block_never_overflows():
    kept = Recorder({}, {"x": identity}, {}).init(jnp.zeros((1,)), 1)
    assert int(room(kept)) == 256


def sometimes_nan(x):
    return jnp.where(x > 0, x, jnp.nan)


def test_what_is_not_a_number_is_counted_apart_and_said(key):
    """NaN is in no bin, an infinity lies below or above, and the density is that of the numbers."""
    options = {"chains": 50, "steps": 40, "every": 2, "key": key, "devices": ONE, "record": {"x": identity}}

    def infinite(x):
        return jnp.where(x > 0, jnp.inf, -jnp.inf)

    ask = {"nan": ss.Histogram(0, 1, 4, sometimes_nan), "inf": ss.Histogram(0, 1, 4, infinite)}
    with pytest.warns(UserWarning, match=r"histogram 'nan': \d+ of 1000 samples are not a number"):
        result = ss.run(ss.SGD(WELL, HYPER), histograms=ask, **options)
    kept = result.record["x"][1:].ravel()
    right = kept[kept > 0]
    found = result.histograms["nan"]
    assert found.not_a_number == len(kept) - len(right)
    assert (found.total, found.below, found.above) == (len(right), 0, (right >= 1).sum())
    np.testing.assert_allclose(found.counts, np.histogram(right, found.edges)[0], atol=1)
    inside = (found.density * np.diff(found.edges)).sum()
    assert abs(inside - found.counts.sum() / len(right)) < 1e-12
    found = result.histograms["inf"]
    assert (found.below, found.above, found.not_a_number) == (len(kept) - len(right), len(right), 0)


def test_no_number_at_all_leaves_every_bin_empty(key):
    ask = ss.Histogram(0, 1, 4, observable=lambda x: x * jnp.nan)
    with pytest.warns(UserWarning, match="16 of 16 samples are not a number"):
        result = ss.run(ss.SGD(WELL, HYPER), chains=4, steps=20, every=5, histograms=ask, key=key)
    assert result.histograms["theta"].counts.tolist() == [0] * 4
    assert result.histograms["theta"].density.tolist() == [0] * 4


def test_chains_whose_observable_is_not_finite_are_left_out_and_said(key):
    """Chains on the left have an observable that is NaN; those on the right are as if they were alone."""
    start = np.asarray([1.0, -1.0, 1.0, 1.0])
    options = {"chains": 4, "steps": 40, "every": 2, "key": key, "initial": start, "devices": ONE}
    calm = ss.Hyperparameters(0.001, 2)
    with pytest.warns(UserWarning, match=r"moments of 'x': .* 1 of 4 chains .*first chain 1"):
        result = ss.run(ss.SGD(WELL, calm), moments={"x": sometimes_nan, "y": identity}, **options)
    right = [0, 2, 3]
    found = result.moments["x"]
    assert (found.not_finite, result.moments["y"].not_finite, result.diverged) == (1, 0, 0)
    np.testing.assert_allclose(found.mean, result.moments["y"].mean_per_chain[right].mean(), rtol=1e-6)
    assert np.isfinite(found.variance) and np.isfinite(found.standard_error)


def test_chains_that_stop_before_the_first_sample_have_no_moments(key):
    """One stops at once, the others go on: the mean is theirs. If all stop it is NaN, and said."""
    well = ss.problems.Quadratic(1.0)
    process, options = ss.SGD(well, ss.Hyperparameters(0.1, 1)), {"steps": 40, "every": 1, "burn_in": 20}
    start = np.asarray([9.0, 1.0, -1.0, 0.5], np.float32)
    told = {"record": {"x": lambda x: x}, "moments": {"x": lambda x: x}}
    with pytest.warns(UserWarning, match="1 of 4 chains stopped before the first sample after burn_in"):
        found = ss.run(process, chains=4, key=key, initial=start, stop=lambda x: x > 8, **options, **told)
    moments = found.moments["x"]
    assert np.isnan(moments.mean_per_chain[0])
    late = found.record["x"][found.record_steps > 20, 1:]
    np.testing.assert_allclose(moments.mean_per_chain[1:], late.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(moments.mean, late.mean(), rtol=1e-5)
    np.testing.assert_allclose(moments.variance, late.var(), rtol=1e-5)
    assert moments.not_finite == 0
    assert "1 of them left out" in repr(moments)
    with pytest.warns(UserWarning, match="4 of 4 chains stopped"):
        none = ss.run(process, chains=4, key=key, stop=lambda x: x > -99, **options, **told).moments["x"]
    assert np.isnan(none.mean)
    assert np.isnan(none.variance)
    assert np.isnan(none.standard_error)
