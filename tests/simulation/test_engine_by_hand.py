"""What runs many steps, piece by piece: blocks, burn-in, numbers per chain, what a checkpoint leaves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import refused

import sde_sgd as ss
from sde_sgd import _tree
from sde_sgd._platform import _devices
from sde_sgd._platform.checkpoints._checkpoint import Part
from sde_sgd._platform.reading import _fingerprint as fingerprint
from sde_sgd.simulation import _compensated, _engine, _memory
from sde_sgd.simulation._memory import MemoryPrediction
from sde_sgd.simulation._points import Clock, Leg, Point

BOWL = ss.problems.Quadratic(1.0)


@pytest.mark.parametrize(
    ("done", "steps", "every", "pace", "capacity", "block"),
    [
        (0, 100, 1, 1e9, 8, (1, 8, True)),  # no more samples than there is room for
        (0, 100, 10, 35, 8, (10, 3, True)),  # as many as the pace allows
        (0, 100, 30, 1e9, 8, (30, 3, True)),  # whole samples only
        (0, 100, 10, 4, 8, (4, 1, False)),  # in the middle of a sample
        (6, 100, 10, 1e9, 8, (4, 1, True)),  # to its end
        (90, 100, 30, 1e9, 8, (10, 1, False)),  # what is left after the last
    ],
)
def test_blocks(done, steps, every, pace, capacity, block):
    assert _engine.next_block(done, steps, every, pace, capacity) == block


def test_burn_in_is_counted_from_where_a_run_goes_on():
    """Ten more steps of which four are left out: six are gathered, whatever went before."""
    process = ss.SGD(BOWL, ss.Hyperparameters(0.1))
    options = {"chains": 3, "moments": {"θ": lambda x: x}, "record": {"θ": lambda x: x}, "every": 1}
    first = ss.run(process, steps=10, key=jax.random.key(0), **options)
    more = ss.run(process, steps=10, key=jax.random.key(0), initial=first, burn_in=4, **options)
    assert more.moments["θ"].count == 6
    kept = np.asarray(more.record["θ"], np.float64)[-6:]
    np.testing.assert_allclose(more.moments["θ"].mean, kept.mean(), rtol=1e-5)
    # what is gathered at the last step of the burn-in is not
    assert first.moments["θ"].count == 10


def test_only_hyperparameters_are_numbers_per_chain():
    """A problem with as many parameters as there are chains is not cut up with them."""
    noise = ss.problems.Diagonal([1.0, 2.0, 3.0])
    process = ss.SGD(ss.problems.Quadratic(np.eye(3), noise=noise), ss.Hyperparameters([0.1, 0.2, 0.3]))
    some = _devices.map_per_chain(lambda leaf: leaf[:2], process, 3)
    np.testing.assert_allclose(some.hyper.learning_rate, [0.1, 0.2], rtol=1e-6)
    np.testing.assert_array_equal(some.problem.noise.variances, [1, 2, 3])


def test_the_default_device_is_used_where_one_is_set():
    second = jax.devices()[1]
    with jax.default_device(second):
        assert _devices.available(None) == [second]
    assert _devices.available(None) == jax.devices()
    assert _devices.available([second]) == [second]


def test_the_cost_of_a_point_is_in_examples():
    legs = (Leg(4, None, 10, (10,)), Leg(8, None, 5, (5,)))
    point = Point(("", BOWL), legs, (0.1, 0.1), (0.0, 0.0), {})
    assert point.cost == 4 * 10 + 8 * 5
    np.testing.assert_array_equal(point.sample_steps, [0, 10, 15])
    # .3/.1 is a little less than 3
    assert len(Clock("time", 0.3, 0.1).grid) == 4


def test_a_good_checkpoint_stays_where_a_damaged_one_is_set_aside(tmp_path):
    folder = tmp_path / "part"
    part = Part(folder, keep=3)
    for step in (1, 2, 3):
        part.save(step, {"x": jnp.full(3, float(step))}, {"done": step})
    for file in (folder / "3").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    for _ in range(2):
        arrays, facts = part.restore()
        assert facts == {"done": 2}
        np.testing.assert_array_equal(arrays["x"], 2.0)
        assert sorted(path.name for path in folder.iterdir() if path.name.isdigit()) == ["1", "2"]
    part.close()
    (damaged,) = (tmp_path / "part.damaged").iterdir()
    assert damaged.name.startswith("3-")


def test_a_buffer_is_kept_where_one_chain_has_momentum():
    hyper = ss.Hyperparameters(0.1, 1, [0.0, 0.9])
    assert hyper.has_momentum
    assert not ss.Hyperparameters(0.1, 1, [0.0, 0.0]).has_momentum
    state = ss.SGD(BOWL, hyper).init(jnp.ones(2), ss.random.chain_numbers(2))
    np.testing.assert_array_equal(state.extra["optimizer"], [0, 0])


def test_every_method_of_a_users_class_and_every_number_counts():
    def prints(value):
        return fingerprint.fingerprint(value, "x")

    def made(first, second):
        return type("Made", (), {"first": first, "second": second, "__module__": "somewhere"})()

    plus, minus = (lambda self, x: x + 1), (lambda self, x: x - 1)
    kinds = [prints(made(*pair)) for pair in ((plus, plus), (plus, minus), (minus, plus))]
    assert all(kinds.count(kind) == 1 for kind in kinds)
    assert prints(0.1) != prints(0.2)
    for other in ({"a": 3.0, "b": 2.0}, {"a": 1.0, "b": 3.0}, {"a": 1.0, "c": 2.0}):
        assert prints({"a": 1.0, "b": 2.0}) != prints(other)
    assert prints(True) != prints(1)


def test_a_sweep_keeps_problems_apart_and_knows_the_momentum_in_the_ratio():
    """Without noise θ of one step is (1 − ηh)θ₀: the loss falls by (1 − ηh)²."""
    problems = {
        name: ss.problems.Quadratic(h, noise_variance=0.0) for name, h in (("wide", 1.0), ("steep", 4.0))
    }
    swept = ss.sweep(
        ss.SGD,
        problems,
        learning_rate=[0.1, 0.2],
        batch_size=[2],
        momentum=[0.5],
        seeds=2,
        steps=1,
        every=1,
        keep_theta=True,
        key=jax.random.key(0),
    )
    loss = swept["loss"].squeeze(drop=True).transpose("problem", "learning_rate", "seed", "step").values
    expected = (1 - np.outer([1, 4], [0.1, 0.2])) ** 2
    np.testing.assert_allclose(loss[..., 1] / loss[..., 0], np.stack([expected] * 2, -1), rtol=1e-4)
    ratio = swept["ratio"].squeeze(drop=True).transpose("problem", "learning_rate").values
    np.testing.assert_allclose(ratio, [[0.1, 0.2]] * 2, rtol=1e-6)
    # what is kept lies where its loss does
    theta = np.asarray(swept.theta, np.float64).reshape(loss.shape[:3])
    assert len(np.unique(np.round(theta, 5))) == 8
    np.testing.assert_allclose(0.5 * np.array([[[1]], [[4]]]) * theta**2, loss[..., 1], rtol=1e-4)


def test_the_largest_number_of_chains_leaves_room_for_what_does_not_grow():
    """100 chains of 10 bytes and 100 bytes besides: of 600 bytes 50 chains take 500."""
    told = MemoryPrediction(chains=100, total=1100, per_chain=10.0, records=0, available=600)
    assert not told.fits
    assert told.largest == 50


def test_free_memory_is_in_bytes(tmp_path, monkeypatch):
    told = tmp_path / "meminfo"
    told.write_text("MemTotal:       9000 kB\nMemFree:        100 kB\nMemAvailable:   2000 kB\n")
    monkeypatch.setattr(_memory, "Path", lambda _: told)
    assert _memory._free_memory() == 2000 * 1024


def test_a_compensated_sum_keeps_what_rounding_takes():
    """Ten thousand times 1e-8 onto 1, each of which float32 rounds away."""

    def more(_, total):
        return _compensated.add(total, jnp.float32(1e-8))

    begin = jnp.float32(1), jnp.float32(0)
    high, low = jax.jit(lambda at: jax.lax.fori_loop(0, 10_000, more, at))(begin)
    np.testing.assert_allclose(float(high) + float(low), 1 + 1e-4, rtol=0, atol=1e-9)


def test_a_chain_is_finite_if_all_of_its_numbers_are():
    tree = {"a": jnp.array([1.0, jnp.nan, 1.0, 1.0]), "b": jnp.ones((4, 2)).at[2, 1].set(jnp.inf)}
    np.testing.assert_array_equal(_tree.finite_chains(tree), [True, False, False, True])


@pytest.mark.parametrize("name", ["learning_rate", "momentum"])
def test_numbers_per_chain_are_as_many_as_chains(name):
    hyper = ss.Hyperparameters(**{"learning_rate": 0.1, name: [0.1, 0.2, 0.3]})
    with refused(match=rf"{name} has shape \(3,\) for 4 chains"):
        ss.run(ss.SGD(BOWL, hyper), chains=4, steps=1, key=jax.random.key(0))


def test_what_is_observed_belongs_to_the_program():
    """Two observables of one shape, one after the other."""
    options = {"chains": 2, "steps": 1, "key": jax.random.key(0)}
    process = ss.SGD(BOWL, ss.Hyperparameters(0.1))
    plus, minus = (
        ss.run(process, record={"x": sign}, **options).record["x"] for sign in (jnp.positive, jnp.negative)
    )
    np.testing.assert_array_equal(plus, -minus)
    assert np.abs(plus).min() > 0
