"""The loop: recording, continuing, dividing over devices, divergence, and what it refuses."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import refused

import sde_sgd as ss
from sde_sgd.simulation import _engine

WELL = ss.problems.DoubleWell()
HYPER = ss.Hyperparameters(0.05, 2)


def identity(x):
    return x


def square(x):
    return x * x


def test_records_start_and_every_so_many_steps(key):
    result = ss.run(
        ss.SGD(WELL, HYPER), chains=5, steps=23, every=4, record={"x²": square, "x": lambda x: x}, key=key
    )
    np.testing.assert_array_equal(result.record_steps, [0, 4, 8, 12, 16, 20, 23])
    assert result.record["x²"].shape == (7, 5)
    np.testing.assert_allclose(result.record["x²"], result.record["x"] ** 2, rtol=1e-6)
    np.testing.assert_allclose(result.time, result.record_steps * 0.05, rtol=1e-6)
    assert result.steps == 23
    longer = ss.run(ss.SGD(WELL, HYPER), chains=5, steps=20, key=key)
    np.testing.assert_array_equal(longer.theta, result.record["x"][-2])
    np.testing.assert_array_equal(result.theta, result.record["x"][-1])


def test_epochs_of_a_data_set(key):
    problem = ss.problems.softmax_regression(ss.data.wine())
    result = ss.run(
        ss.SGD(problem, ss.Hyperparameters(0.1, 16)),
        chains=2,
        steps=16,
        every=8,
        record={"loss": problem.loss},
        key=key,
    )
    np.testing.assert_allclose(result.epochs, [0, 1, 2])
    assert (result.record["loss"][-1] < result.record["loss"][0]).all()
    with refused(match="has no data set"):
        _ = ss.run(ss.SGD(WELL, HYPER), chains=2, steps=1, key=key).epochs


@pytest.mark.same_bits
def test_a_chain_is_the_same_among_1_100_and_10000(key):
    ends = [
        np.asarray(ss.run(ss.SGD(WELL, HYPER), chains=chains, steps=50, key=key).theta)
        for chains in (1, 100, 10_000)
    ]
    np.testing.assert_array_equal(ends[0], ends[1][:1])
    np.testing.assert_array_equal(ends[1], ends[2][:100])


def test_continuing_is_the_same_run(key):
    process = ss.SGD(WELL, ss.Hyperparameters(0.05, 2, momentum=0.5))
    whole = ss.run(process, chains=8, steps=60, every=10, record={"x": lambda x: x}, key=key)
    first = ss.run(process, chains=8, steps=20, every=10, record={"x": lambda x: x}, key=key)
    second = ss.run(process, chains=8, steps=40, every=10, record={"x": lambda x: x}, key=key, initial=first)
    np.testing.assert_array_equal(whole.theta, second.theta)
    np.testing.assert_array_equal(whole.record["x"], np.concatenate([first.record["x"], second.record["x"]]))
    np.testing.assert_array_equal(second.record_steps, [30, 40, 50, 60])
    assert second.steps == 60


def test_a_result_knows_its_key_and_its_place_on_the_clock(key):
    first = ss.run(ss.SGD(WELL, HYPER), chains=2, steps=20, key=key)
    second = ss.run(ss.SGD(WELL, HYPER), chains=2, steps=5, key=jax.random.key(1), initial=first)
    again = pickle.loads(pickle.dumps(second))
    for result, seed, start, steps in ((first, 0, 0, 20), (second, 1, 20, 25), (again, 1, 20, 25)):
        assert (result.start, result.steps) == (start, steps)
        assert result.key == jax.random.key(seed)


@pytest.mark.parametrize("pace", [1.0, 7.0, 1e9])
def test_the_length_of_chunks_changes_nothing(key, pace, monkeypatch):
    process = ss.SGD(WELL, HYPER)
    options = {
        "chains": 10,
        "steps": 47,
        "every": 6,
        "record": {"x": square},
        "moments": {"x": square},
        "histograms": ss.Histogram(-2, 2, 8),
        "burn_in": 13,
        "key": key,
    }
    usual = ss.run(process, **options)
    monkeypatch.setattr(
        "sde_sgd.simulation._engine.next_block",
        lambda done, steps, every, _pace, capacity, block=_engine.next_block: block(
            done, steps, every, pace, capacity
        ),
    )
    cut = ss.run(process, **options)
    np.testing.assert_array_equal(usual.theta, cut.theta)
    np.testing.assert_array_equal(usual.record["x"], cut.record["x"])
    np.testing.assert_array_equal(usual.record_steps, cut.record_steps)
    np.testing.assert_allclose(usual.moments["x"].mean, cut.moments["x"].mean, rtol=1e-6)
    np.testing.assert_array_equal(usual.histograms["theta"].counts, cut.histograms["theta"].counts)


def test_two_devices_give_what_one_gives(key, one_device):
    assert len(jax.local_devices()) >= 2
    process = ss.SGD(WELL, ss.Hyperparameters(np.linspace(0.01, 0.1, 12), 2, momentum=0.3))
    options = {
        "chains": 12,
        "steps": 40,
        "every": 5,
        "record": {"x": lambda x: x},
        "moments": {"x": lambda x: x},
        "histograms": ss.Histogram(-2, 2, 8),
        "key": key,
    }
    one = ss.run(process, devices=one_device, **options)
    two = ss.run(process, devices=jax.local_devices()[:2], **options)
    assert len(two.theta.sharding.device_set) == 2
    np.testing.assert_array_equal(one.theta, two.theta)
    np.testing.assert_array_equal(one.record["x"], two.record["x"])
    np.testing.assert_array_equal(one.moments["x"].mean_per_chain, two.moments["x"].mean_per_chain)
    np.testing.assert_array_equal(one.histograms["theta"].counts, two.histograms["theta"].counts)


def test_chains_that_devices_do_not_divide(key):
    """A copy of the last chain fills up the eighth place and is seen nowhere."""
    options = {"steps": 8, "key": key, "every": 2, "record": {"x": identity}, "moments": {"x": identity}}
    ask = ss.Histogram(-2, 2, 8)
    seven = ss.run(ss.SGD(WELL, HYPER), chains=7, histograms=ask, **options)
    eight = ss.run(ss.SGD(WELL, HYPER), chains=8, histograms=ask, **options)
    assert seven.theta.shape == (7,)
    assert seven.record["x"].shape == (5, 7)
    assert seven.histograms["theta"].total == 7 * 4
    assert seven.diverged == 0
    np.testing.assert_array_equal(seven.theta, eight.theta[:7])
    np.testing.assert_array_equal(seven.record["x"], eight.record["x"][:, :7])
    np.testing.assert_array_equal(seven.moments["x"].mean_per_chain, eight.moments["x"].mean_per_chain[:7])


@pytest.mark.script
def test_a_network_is_the_same_on_two_devices_to_rounding(key, one_device):
    """Matrix products over fewer chains may be ordered otherwise: equal to float32 rounding."""
    problem = ss.problems.mlp(ss.data.wine(), hidden=(8,))
    process = ss.SGD(problem, ss.Hyperparameters(0.05, 8))
    one = ss.run(process, chains=4, steps=30, key=key, devices=one_device)
    two = ss.run(process, chains=4, steps=30, key=key)
    for a, b in zip(jax.tree.leaves(one.theta), jax.tree.leaves(two.theta), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_nothing_is_compiled_again_for_new_numbers():
    """Traces are counted where tracing must pass: in the loss."""
    traces = []

    def example_loss(theta, x, y):
        traces.append(1)
        return (theta * x[0] - y) ** 2

    inputs = np.ones((6, 1), np.float32)
    problem = ss.problems.from_loss(
        example_loss, ss.data.Dataset(inputs, np.zeros(6)), init=jax.random.normal
    )

    def run(rate, seed, steps, start):
        process = ss.SGD(problem, ss.Hyperparameters(rate, 2))
        return ss.run(process, chains=4, steps=steps, key=jax.random.key(seed), initial=start)

    run(0.1, 0, 10, jnp.asarray(1.0))
    before = len(traces)
    assert before > 0
    run(0.2, 1, 10, jnp.asarray(1.0))
    run(0.3, 2, 55, jnp.asarray(-2.0))
    assert len(traces) == before


def test_nothing_is_compiled_again_for_a_new_temperature():
    traces = []

    def observable(x):
        traces.append(1)
        return x * x

    for variance, rate, seed, start in ((1.0, 0.1, 0, 0.5), (3.0, 0.1, 0, 0.5), (0.2, 0.02, 7, -1.0)):
        for process in (ss.SGD, ss.Langevin):
            well = ss.problems.DoubleWell(noise_variance=variance)
            ss.run(
                process(well, ss.Hyperparameters(rate, 2)),
                chains=4,
                steps=6,
                moments={"x²": observable},
                key=jax.random.key(seed),
                initial=start,
            )
        if variance == 1.0:
            before = len(traces)
    # nor are shapes looked at again
    assert len(traces) == before


def after_burn_in(**looked_at):
    return ss.run(ss.SGD(WELL, HYPER), chains=50, steps=200, every=5, burn_in=50, **looked_at)


def test_moments_match_the_records(key):
    result = after_burn_in(record={"x²": square}, moments={"x²": square}, key=key)
    kept = result.record["x²"][result.record_steps > 50].astype(np.float64)
    moments = result.moments["x²"]
    assert moments.count == len(kept) == 30
    np.testing.assert_allclose(moments.mean, kept.mean(), rtol=1e-5)
    np.testing.assert_allclose(moments.variance, kept.var(), rtol=1e-4)
    error = kept.mean(axis=0).std(ddof=1) / np.sqrt(50)
    np.testing.assert_allclose(moments.standard_error, error, rtol=1e-4)


def test_histogram_matches_the_records_and_loses_nothing(key):
    looks = {"record": {"x": lambda x: x}, "histograms": {"x": ss.Histogram(-1.1, 1.0, 21)}}
    result = after_burn_in(**looks, key=key)
    kept = result.record["x"][result.record_steps > 50].ravel()
    histogram = result.histograms["x"]
    inside = kept[(kept >= -1.1) & (kept < 1.0)]
    np.testing.assert_allclose(histogram.counts, np.histogram(inside, histogram.edges)[0], atol=2)
    assert histogram.below == (kept < -1.1).sum()
    assert histogram.above == (kept >= 1.0).sum()
    assert histogram.total == len(kept)
    assert abs((histogram.density * np.diff(histogram.edges)).sum() - len(inside) / len(kept)) < 1e-12


def test_memory_does_not_grow_with_steps():
    """The device holds the same arrays for 10² and for 10⁹ steps."""
    from sde_sgd.simulation._recording import Recorder

    recorder = Recorder({}, {"x": square}, {"x": ss.Histogram(-1, 1, 10)})
    kept = recorder.init(jnp.zeros(100), 1)
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(kept)) < 100 * 4 * 10


def test_diverged_chains_are_marked_and_left_out(key):
    rates = np.full(10, 0.05)
    rates[3] = 2.5  # ηh = 5 at the minima: unstable
    process = ss.SGD(WELL, ss.Hyperparameters(rates, 2))
    with pytest.warns(UserWarning, match="1 of 10 chains diverged, the first by step"):
        result = ss.run(process, chains=10, steps=400, every=10, moments={"x": square}, key=key)
    assert result.diverged == 1
    assert result.diverged_at[3] > 0
    assert (result.diverged_at[[0, 1, 2, 4, 5, 6, 7, 8, 9]] == -1).all()
    assert result.samples().shape == (9,)
    assert np.isfinite(result.moments["x"].mean)
    calm = ss.run(ss.SGD(WELL, ss.Hyperparameters(np.full(10, 0.05), 2)), chains=10, steps=400, key=key)
    np.testing.assert_array_equal(calm.samples()[[0, 1, 2]], result.samples()[[0, 1, 2]])
    with pytest.raises(FloatingPointError, match="diverged"):
        ss.run(process, chains=10, steps=400, every=10, key=key, throw=True)


def test_divergence_after_the_last_sample_is_seen(key):
    process = ss.SGD(WELL, ss.Hyperparameters([0.05, 2.5], 2))
    with pytest.warns(UserWarning, match="1 of 2 chains diverged"):
        result = ss.run(process, chains=2, steps=400, every=399, initial=0.9, key=key)
    early = ss.run(process, chains=2, steps=3, every=1, initial=0.9, key=key)
    assert early.diverged == 0
    with pytest.warns(UserWarning, match="1 of 2 chains diverged, the first by step 400"):
        late = ss.run(process, chains=2, steps=400, every=401, initial=0.9, key=key)
    assert result.diverged == late.diverged == 1
    assert np.isfinite(late.samples()).all()


def test_divergence_is_remembered_when_continued(key):
    process = ss.SGD(WELL, ss.Hyperparameters([0.05, 2.5], 2))
    with pytest.warns(UserWarning, match="diverged"):
        first = ss.run(process, chains=2, steps=400, key=key)
    with pytest.warns(UserWarning, match="diverged"):
        second = ss.run(process, chains=2, steps=10, key=key, initial=first)
    np.testing.assert_array_equal(first.diverged_at, second.diverged_at)


def test_starting_points(key):
    process = ss.SGD(WELL, ss.Hyperparameters(1e-9, 2))
    own = ss.run(process, chains=4, steps=1, key=key)
    assert len(np.unique(own.theta)) == 4
    one = ss.run(process, chains=4, steps=1, key=key, initial=0.5)
    np.testing.assert_allclose(one.theta, 0.5, atol=1e-6)
    each = ss.run(process, chains=4, steps=1, key=key, initial=np.arange(4.0))
    np.testing.assert_allclose(each.theta, np.arange(4.0), atol=1e-6)


@pytest.mark.same_bits
@pytest.mark.parametrize("kind", ["rbg", "unsafe_rbg", "threefry2x32"])
def test_no_kind_of_key_makes_a_start_depend_on_how_many_there_are(kind):
    options = {"steps": 1, "key": jax.random.key(0, impl=kind), "devices": jax.devices()[:1]}
    problem = ss.problems.MullerBrown()
    whole, cut, few = (
        np.asarray(ss.run(ss.SGD(problem, ss.Hyperparameters(1e-9)), **options, **more).theta)
        for more in ({"chains": 6}, {"chains": 6, "chunk": 2}, {"chains": 1})
    )
    np.testing.assert_array_equal(whole, cut)
    np.testing.assert_array_equal(whole[:1], few)
    assert len(np.unique(whole)) == 12


def test_starting_points_of_the_usual_keys_are_what_they_were():
    """Threefry is counted, so these numbers stay whatever the version."""
    theta = ss.run(ss.SGD(WELL, ss.Hyperparameters(1e-9)), chains=3, steps=1, key=jax.random.key(0)).theta
    np.testing.assert_allclose(theta, [0.93880033, 0.12999558, -1.495511], atol=1e-6)


@pytest.fixture
def no_uses(monkeypatch):
    """As in a new process: no key was used yet."""
    from sde_sgd.simulation import _key_use

    monkeypatch.setattr(_key_use, "_USES", type(_key_use._USES)(maxlen=3))
    return _key_use._USES


@pytest.mark.usefixtures("no_uses")
@pytest.mark.parametrize("form", [lambda theta: theta, np.asarray, lambda theta: np.array(theta, float)])
def test_a_second_stage_with_the_key_of_the_first_is_warned_of(form, key):
    """Its noise would be the first one's again: the variance of the sum four times that of one, not twice."""
    process = ss.Langevin(ss.problems.Quadratic(1.0), ss.Hyperparameters(1e-4, 1))
    options = {"chains": 2000, "steps": 30, "key": key}
    first = ss.run(process, initial=0.0, **options)
    with pytest.warns(UserWarning, match=r"a run of 30 steps with this very key ended.*initial=result"):
        again = ss.run(process, initial=form(first.theta), **options)
    assert np.var(np.asarray(again.theta)) > 3.5 * np.var(np.asarray(first.theta))
    on = ss.run(process, initial=first, **options)
    other = ss.run(process, initial=form(first.theta), **options | {"key": jax.random.fold_in(key, 1)})
    for result in (on, other):
        assert abs(np.var(np.asarray(result.theta)) / np.var(np.asarray(first.theta)) / 2 - 1) < 0.2


@pytest.mark.usefixtures("no_uses")
def test_the_same_run_again_and_an_sde_beside_sgd_are_not_warned_of(key):
    """Warnings are errors here."""
    options = {"chains": 4, "steps": 6, "key": key}
    quiet = ss.problems.Quadratic(1.0, noise_variance=0.0)
    for process, start in ((ss.SGD(WELL, HYPER), 0.5), (ss.SGD(quiet, HYPER), 0.0)):
        first = ss.run(process, initial=start, **options)
        ss.run(process, initial=start, **options)
        ss.run(process, initial=first.theta, **options | {"key": jax.random.key(5)})
        ss.run(process, initial=first.theta, **options | {"key": jax.random.key(5)})
        ss.run(process, initial=first, **options)
    end = ss.run(ss.SGD(WELL, HYPER), **options).theta
    ss.run(ss.Langevin(WELL, HYPER), initial=end, **options)


def test_runs_are_remembered_without_end_but_not_all(no_uses):
    for seed in range(5):
        ss.run(ss.SGD(WELL, HYPER), chains=2, steps=1, key=jax.random.key(seed))
    assert len(no_uses) == 3


def test_float64_where_the_user_enables_it(key):
    with jax.enable_x64(True):
        problem = ss.problems.DoubleWell()
        result = ss.run(ss.Langevin(problem, ss.Hyperparameters(0.05)), chains=4, steps=5, key=key)
        assert result.theta.dtype == jnp.float64
    assert ss.run(ss.SGD(WELL, HYPER), chains=2, steps=2, key=key).theta.dtype == jnp.float32


def test_progress_bar(key, capsys):
    ss.run(ss.SGD(WELL, HYPER), chains=2, steps=50, key=key, progress=True)
    assert "SGD" in capsys.readouterr().err
    ss.run(ss.SGD(WELL, HYPER), chains=2, steps=50, key=key)
    assert capsys.readouterr().err == ""


def failing(_x):
    raise RuntimeError("no such thing")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chains": 0}, "chains must be an integer >= 1, got 0"),
        ({"chains": 2.5}, "chains must be an integer"),
        ({"steps": -1}, "steps must be an integer >= 1, got -1"),
        ({"steps": 2**31}, "steps must end by"),
        ({"every": 0}, "every must be an integer >= 1"),
        ({"burn_in": 10, "moments": {"x": square}}, "burn_in must be < 10"),
        ({"burn_in": 8, "every": 8, "moments": {"x": square}}, "burn_in must be < 8"),
        ({"every": 11, "moments": {"x": square}}, "every must be at most the length of the run, 10 steps"),
        ({"burn_in": 11}, "burn_in must be at most the 10 steps of the run, got 11"),
        ({"burn_in": 2**31}, "burn_in must be at most the 10 steps"),
        ({"key": 0}, "key must be one typed key"),
        ({"initial": np.zeros((3, 2))}, "initial has shapes"),
        ({"initial": np.arange(4)}, "parameters must be floating point"),
        ({"initial": np.array([0.0, np.nan, 0.0, 0.0])}, "1 of 4 chains have diverged already"),
        ({"initial": 1e30}, "have diverged already"),
        ({"record": {"bad": failing}}, "the observable 'bad' failed .*: no such thing"),
        ({"record": {"pair": lambda x: (x, x)}}, "the observable 'pair' must return one array"),
        ({"histograms": ss.Histogram(0, 1, observable=lambda x: jnp.stack([x, x]))}, "one number per chain"),
        ({"devices": []}, "devices must be a list"),
        ({"stop_loss": 1e300}, "stop_loss must be finite, got 1e.300, which is inf in float32"),
    ],
)
def test_bad_input(change, message, key):
    arguments = {"chains": 4, "steps": 10, "key": key, **change}
    with refused(match=message):
        ss.run(ss.SGD(WELL, HYPER), **arguments)


def test_more_bad_input(key):
    with refused(match="process must be SGD"):
        ss.run(WELL, chains=2, steps=1, key=key)
    with refused(match=r"learning_rate has shape \(3,\) for 4 chains"):
        ss.run(ss.SGD(WELL, ss.Hyperparameters([0.1, 0.1, 0.1])), chains=4, steps=1, key=key)
    first = ss.run(ss.SGD(WELL, HYPER), chains=4, steps=1, key=key)
    with refused(match="does not fit this process .* pass chains=4 and initial=result.theta to start"):
        ss.run(ss.SGD(WELL, HYPER), chains=5, steps=1, key=key, initial=first)
    with refused(match=r"pass initial=jax.tree.map\(lambda leaf: leaf\[:3\], result.theta\) to start"):
        ss.run(ss.SGD(WELL, HYPER), chains=3, steps=1, key=key, initial=first)
    with refused(match="does not fit this process .* pass initial=result.theta to start"):
        ss.run(ss.Langevin(WELL, HYPER), chains=4, steps=1, key=key, initial=first)
    with refused(match="high must be"):
        ss.Histogram(1, 0)
    with refused(match="bins must be an integer >= 1"):
        ss.Histogram(0, 1, bins=0)
