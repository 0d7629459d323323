"""What is set around a call: transformations, meshes, precision, promotion. It works, or it is refused."""

import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import refused

import sde_sgd as ss

WELL = ss.problems.DoubleWell()
HYPER, HEAVY = ss.Hyperparameters(0.05, 2), ss.Hyperparameters(0.05, 2, 0.5)
NET = ss.problems.mlp(ss.data.wine(), hidden=(4,))


def go(process=None, **more):
    options = {"chains": 4, "steps": 6, "every": 2, "key": jax.random.key(0), "record": ["loss"]}
    return ss.run(process or ss.SGD(WELL, HYPER), **{**options, **more})


def ends(key):
    """What all kinds of work leave behind, as one list of numbers."""
    found = [
        go(moments=["loss"], histograms=ss.Histogram(-2, 2, 5)).theta,
        go(ss.Langevin(WELL, HYPER)).theta,
        *jax.tree.leaves(go(ss.SGD(NET, ss.Hyperparameters(0.1, 8, 0.5))).theta),
        ss.sweep(ss.SGD, NET, learning_rate=[0.1, 0.2], batch_size=8, steps=2, key=key)
        .dataset["loss"]
        .values,
    ]
    return [np.asarray(leaf) for leaf in found]


@pytest.fixture(scope="module")
def usual():
    return ends(jax.random.key(1))


def same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.script
def test_a_mesh_around_everything_changes_nothing(usual):
    with jax.set_mesh(jax.make_mesh((2,), ("x",))):
        before = jax.sharding.get_abstract_mesh()
        same(usual, ends(jax.random.key(1)))
        assert jax.sharding.get_abstract_mesh() == before
        ended = go()  # inside the mesh one goes on with what was made
        assert np.isfinite(jax.vmap(WELL.loss)(ended.theta) + jnp.arange(4.0)).all()
        assert go(initial=ended).steps == 12


def test_a_run_is_compiled_where_jit_is_switched_off():
    options = {"moments": ["loss"], "histograms": ss.Histogram(-2, 2, 5)}
    usual = [go(**options).theta]
    with jax.disable_jit():
        same(usual, [go(**options).theta])


@pytest.mark.script
def test_ranks_that_may_not_be_promoted_are_not(usual):
    with jax.numpy_rank_promotion("raise"):
        same(usual, ends(jax.random.key(1)))
        softmax = ss.problems.softmax_regression(ss.data.wine())
        for process in (
            ss.Langevin(softmax, HYPER),
            ss.UnderdampedLangevin(WELL, HEAVY),
            ss.SVAG(softmax, HYPER, l=2),
            ss.CentralFlow(softmax, ss.Hyperparameters(0.1, 128), k=2),
        ):
            go(process, steps=2)
        go(ss.SGD(softmax, ss.Hyperparameters(np.full(4, 0.1), 8, 0.5), sampling="shuffle"), steps=2)
        key = jax.random.key(2)
        theta = softmax.init(key)
        for look in (
            partial(ss.curvature.top_eigenpairs, k=2),
            partial(ss.curvature.alignment, k=2),
            ss.curvature.spectral_density,
            ss.curvature.log_determinant,
            ss.curvature.trace,
            partial(ss.curvature.covariance_spectrum, k=2),
        ):
            more = {"shift": 5.0} if look is ss.curvature.log_determinant else {}
            look(softmax, theta, key=key, **more)
        ss.validity.diagnose(ss.problems.Quadratic(1.0), HYPER, steps=100, key=key, progress=False)
        ss.validity.weak_error(WELL, HYPER, time=0.2, chains=100, key=key)
        ss.theory.gibbs(ss.problems.MullerBrown(scale=1e-3), HYPER)
        ss.theory.stationary_covariance(ss.problems.Quadratic(1.0), HYPER)
        rate = {"learning_rate": 1e-3, "steps": 20, "chains": 2, "progress": False}
        ss.bayes.local_learning_coefficient(softmax, theta, key=key, **rate)


@pytest.mark.script
def test_dtypes_that_may_be_promoted_are_as_those_that_may_not(usual):
    """The tests run under strict promotion; users do not."""
    with jax.numpy_dtype_promotion("standard"):
        same(usual, ends(jax.random.key(1)))


@pytest.mark.parametrize(
    "call",
    [
        lambda: jax.jit(lambda key: go(key=key).theta)(jax.random.key(0)),
        lambda: jax.jit(lambda x: go().theta + x)(1.0),
        lambda: jax.vmap(lambda key: go(key=key).theta)(jax.random.split(jax.random.key(0), 2)),
        lambda: jax.grad(lambda rate: go(ss.SGD(WELL, ss.Hyperparameters(rate))).theta.sum())(0.1),
        lambda: jax.grad(lambda start: go(initial=start).theta.sum())(0.1),
    ],
)
def test_run_inside_a_transformation_is_refused(call):
    with refused(match=r"run cannot be called inside jax.jit, vmap or grad.*chains="):
        call()


def test_sweep_and_predict_memory_inside_jit_are_refused(key):
    def swept(x):
        return (
            ss.sweep(ss.SGD, NET, learning_rate=0.1, batch_size=4, steps=2, key=key).dataset["loss"].values
            + x
        )

    with refused(match="sweep cannot be called inside"):
        jax.jit(swept)(1.0)
    with refused(match="predict_memory cannot be called inside"):
        jax.jit(lambda x: ss.predict_memory(ss.SGD(WELL, HYPER), chains=2).total + x)(1.0)


@pytest.mark.script
def test_what_was_made_in_float32_and_is_run_in_float64():
    old, first, kernel = ss.SGD(WELL, HYPER), go(), ss.Langevin(WELL, HYPER)
    with jax.enable_x64(True):
        assert go(old).theta.dtype == jnp.float32  # nothing in it asks for more
        with refused(match=r"hold float32 .*JAX computes in float64 now"):
            go(kernel)
        new = ss.SGD(ss.problems.DoubleWell(), ss.Hyperparameters(0.05, 2))
        with refused(match=r"initial is a Result in float32.*float64.*initial=result.theta"):
            go(new, initial=first)
        assert go(new, initial=first.theta, key=jax.random.key(7)).theta.dtype == jnp.float64
        last = go(new)
    for wrong in ({"process": new}, {"process": new, "initial": last}):
        with refused(match=r"process.* is float64, made while jax_enable_x64 was on"):
            go(**wrong)
    with refused(match=r"initial.state.* is float64, made while"):
        go(initial=last)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_hyperparameters_inside_jit_vmap_and_grad(momentum):
    def numbers(rate):
        hyper = ss.Hyperparameters(rate, 4, momentum)
        other = hyper.matching(batch_size=8)
        return jnp.stack([hyper.ratio, other.learning_rate, hyper.time(3), hyper.temperature(2.0),
                          hyper.noise_scale(100), hyper.diffusion(1.0), hyper.steps(2.0)])  # fmt: skip

    rates = jnp.array([0.1, 0.2])
    plain = np.stack([numbers(rate) for rate in rates])
    for found in (jax.vmap(numbers)(rates), jax.vmap(jax.jit(numbers))(rates)):
        np.testing.assert_allclose(found, plain, rtol=1e-6)
    slope = jax.jacfwd(numbers)(jnp.asarray(0.1))
    np.testing.assert_allclose(slope[:6], plain[0, :6] / 0.1, rtol=1e-5)  # all but the last are linear in η
    assert not ss.Hyperparameters(0.1, 4).has_momentum
    assert jax.jit(lambda rate: ss.Hyperparameters(rate, 4))(0.1).has_momentum is False
    traced = jax.vmap(lambda m: ss.Hyperparameters(0.1, 4).matching(momentum=m).learning_rate)(rates)
    np.testing.assert_allclose(traced, 0.1 * (1 - rates), rtol=1e-6)


def test_a_batch_size_that_is_traced_is_refused_by_name():
    with refused(match=r"batch_size must be an integer.*Inside jit or vmap it must be a Python"):
        jax.jit(lambda size: ss.Hyperparameters(0.1, size).ratio)(4)
    with refused(match=r"batch_size sets shapes, so inside jit.*give batch_size"):
        jax.jit(lambda rate: HYPER.matching(learning_rate=rate).ratio)(0.1)


def test_of_several_hosts_the_first_speaks(monkeypatch, capfd, caplog, key):
    """Bars, warnings and logs; all of them are there on the first."""
    process = ss.SGD(WELL, ss.Hyperparameters([0.05, 2.5], 2))
    options = {"chains": 2, "steps": 400, "every": 100, "key": key, "progress": True, "record": ["loss"]}
    said = []
    for number in (0, 1):
        monkeypatch.setattr(jax, "process_index", lambda number=number: number)
        caplog.clear()
        with warnings.catch_warnings(record=True) as heard, caplog.at_level("INFO", "sde_sgd"):
            warnings.simplefilter("always")
            ss.run(process, **options)
        said.append((len(heard), "chain-step" in capfd.readouterr().err, len(caplog.records)))
    assert said[0][0] >= 1 and said[0][1] and said[0][2] >= 1
    assert said[1] == (0, False, 0)
