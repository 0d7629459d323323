"""What a program has read is read anew at each call: kept functions, tuples with methods, settings of JAX."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import refused

import sde_sgd as ss
from sde_sgd._platform.reading import _traces

WELL = ss.problems.DoubleWell()
PROCESS = ss.SGD(WELL, ss.Hyperparameters(0.05, 1))
FACTOR = 2.0


def observed(observable, **options):
    result = ss.run(PROCESS, chains=4, steps=3, key=jax.random.key(0), record={"f": observable}, **options)
    return np.asarray(result.record["f"])


def test_a_function_whose_values_are_kept_is_read_too():
    def made(value):
        @functools.cache
        def factor():
            return value

        return lambda theta: theta * factor()

    np.testing.assert_allclose(observed(made(3.0)), 1.5 * observed(made(2.0)), rtol=1e-6)


def test_the_globals_of_a_function_whose_values_are_kept_count(monkeypatch):
    @functools.cache
    def factor():
        return FACTOR

    before = observed(lambda theta: theta * factor())
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    factor.cache_clear()
    np.testing.assert_allclose(observed(lambda theta: theta * factor()), 1.5 * before, rtol=1e-6)


def test_a_tuple_with_methods_is_read_with_its_class():
    def made(value):
        class Pair(NamedTuple):
            a: float

            def scaled(self):
                return self.a * value

        pair = Pair(1.0)
        return lambda theta: theta * pair.scaled()

    np.testing.assert_allclose(observed(made(3.0)), 1.5 * observed(made(2.0)), rtol=1e-6)


def test_empty_arrays_are_told_apart_by_their_shapes():
    def made(size):
        empty = np.zeros((0, size))
        return lambda theta: theta * empty.shape[1]

    np.testing.assert_allclose(observed(made(6)), 2 * observed(made(3)), rtol=1e-6)


def test_an_observable_may_become_of_another_shape():
    def made(size):
        return lambda theta: theta * jnp.ones(size)

    assert observed(made(2)).shape == (2, 4, 2)
    assert observed(made(5)).shape == (2, 4, 5)


def uniform(theta):
    return 0 * theta + jax.random.uniform(jax.random.key(0), (7,))[0]


@pytest.mark.script
def test_settings_of_random_numbers_are_part_of_a_program():
    before = observed(uniform)
    with jax.threefry_partitionable(not jax.config.jax_threefry_partitionable):
        inside = observed(uniform)
        ss.clear_cache()
        np.testing.assert_array_equal(observed(uniform), inside)
    assert (inside != before).any()


@pytest.mark.script
def test_jobs_side_by_side_have_the_settings_of_their_caller():
    options = {"batch_size": [1, 2], "learning_rate": [0.05], "steps": 2, "record": {"f": uniform}}
    options["key"] = jax.random.key(0, impl="threefry2x32")
    with jax.default_prng_impl("rbg"):
        together = ss.sweep(ss.SGD, WELL, **options, devices=jax.devices()[:2])["f"]
        ss.clear_cache()
        alone = ss.sweep(ss.SGD, WELL, **options, devices=jax.devices()[:1])["f"]
    np.testing.assert_array_equal(together.values, alone.values)


def test_parts_under_other_random_numbers_are_of_another_sweep():
    options = {"batch_size": [1, 2], "learning_rate": [0.05], "steps": 2, "key": jax.random.key(0)}
    first = ss.sweep(ss.SGD, WELL, **options, part=(0, 2))
    with jax.threefry_partitionable(not jax.config.jax_threefry_partitionable):
        second = ss.sweep(ss.SGD, WELL, **options, part=(1, 2))
    with refused("jax_threefry_partitionable is False in .*, True in"):
        ss.merge_sweeps([first, second])


def test_what_no_kernel_can_do_is_refused_by_name():
    class Empty(ss.problems.AnalyticProblem):
        noise: ss.problems.GradientNoise
        noise_law: str

        def init(self, key):
            return jnp.zeros(3)

        def loss(self, theta):
            return jnp.sum(theta**2) + jnp.sum(theta[3:])

    problem = Empty(noise=ss.problems.Isotropic(1.0), noise_law="gaussian")
    process = ss.SGD(problem, ss.Hyperparameters(0.05, 2))
    options = {"chains": 3, "steps": 2, "key": jax.random.key(0)}
    with (
        ss.chain_kernel(interpret=True),
        refused("no kernel for SGD of Empty: .* number by number: TypeError"),
    ):
        ss.run(process, **options)
    with ss.chain_kernel(interpret=True, throw=False):
        found = ss.run(process, **options).samples()
    np.testing.assert_array_equal(found, ss.run(process, **options).samples())


def test_shapes_are_of_the_arguments_and_of_the_settings():
    @_traces.jit
    def doubled(array):
        return jnp.concatenate([array, array]).astype(float)

    whole = np.zeros(3, np.int32)
    for size in (3, 4, 3):
        assert doubled.shapes(jax.ShapeDtypeStruct((size,), jnp.float32)).shape == (2 * size,)
    assert doubled.shapes(whole).dtype == jnp.float32
    with jax.enable_x64(True):
        assert doubled.shapes(whole).dtype == jnp.float64
    assert doubled.shapes(whole).dtype == jnp.float32
