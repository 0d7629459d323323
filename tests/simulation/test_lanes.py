"""A program for one chain done to lanes gives what `vmap` gives, operation by operation."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import draws
from jax import lax

from sde_sgd.simulation._kernel import _lanes

LANES = 5
ROWS = draws(LANES, 2, 3).astype(np.float32)
WORDS = np.random.default_rng(0).integers(0, 2**32, (LANES, 2, 3), np.uint32)


def through_lanes(function, rows):
    """The function of one chain for a leading axis of chains, its numbers told apart from what they share."""
    program = jax.make_jaxpr(function)(rows[0])

    def all_chains(rows):
        columns = [rows.reshape(LANES, -1)[:, number] for number in range(rows[0].size)]
        (cells,) = _lanes.evaluate(program, [_lanes.filled(rows.shape[1:], columns)])
        return jnp.stack([_lanes.spread(cell, (LANES,)) for cell in cells.flat], axis=1)

    return np.asarray(jax.jit(all_chains)(rows)), program.out_avals[0].shape


def counted(x):
    """A loop of fixed length in one of another, over numbers that become lanes in it."""
    inner = lambda start: lax.fori_loop(0, 3, lambda number, at: at + number * x[0, 0], start)  # noqa: E731
    return lax.fori_loop(
        jnp.asarray(1), jnp.asarray(4), lambda number, at: inner(at) * number, jnp.float32(0)
    )


FUNCTIONS = {
    "arithmetic": lambda x: jnp.where(x > 0, jnp.sqrt(jnp.abs(x)), x**3) / (1 + jnp.exp(-x)),
    "known numbers": lambda x: x * -jnp.float32(2) + jnp.arange(3, dtype=jnp.float32),
    "consts": lambda x: x + np.arange(3, dtype=np.float32),
    "sums": lambda x: jnp.sum(x, axis=0) + jnp.max(x),
    "sum of all": lambda x: jnp.sum(x * x),
    "products": lambda x: x @ x.T,
    "batched products": lambda x: jnp.einsum("ij,ikj->ik", x, jnp.stack([x, 2 * x], axis=1)),
    "slices": lambda x: x[1:, ::2] + x[0, 1],
    "places": lambda x: jnp.concatenate([x.T, x[:, :2]], axis=0)[::-1].reshape(2, 5),
    "paddings": lambda x: jnp.pad(x, ((1, 0), (0, 2))),
    "gradient": jax.grad(lambda x: x[0, 1] ** 2 * x[1, 2]),
    "found place": lambda x: lax.dynamic_index_in_dim(x, (x[0, 0] > 0).astype(jnp.int32), keepdims=False),
    "beyond the last place": lambda x: lax.dynamic_slice_in_dim(x, 7, 2, axis=1),
    "loops": counted,
    "no loop": lambda x: lax.fori_loop(0, 0, lambda number, at: at + number, x),
    "while": lambda x: lax.while_loop(lambda at: at[0] < 5, lambda at: (at[0] + 2, at[1] * x), (0, x))[1],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_lanes_are_what_vmap_gives(name):
    found, shape = through_lanes(FUNCTIONS[name], jnp.asarray(ROWS))
    wanted = jax.vmap(FUNCTIONS[name])(jnp.asarray(ROWS))
    assert wanted.shape == (LANES, *shape)
    np.testing.assert_allclose(found, wanted.reshape(LANES, math.prod(shape)), rtol=1e-6, atol=1e-6)


def test_bits_are_counted_exactly():
    found, _ = through_lanes(lax.population_count, jnp.asarray(WORDS))
    np.testing.assert_array_equal(found, [[int(word).bit_count() for word in row.flat] for row in WORDS])


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (jnp.sort, "sort"),
        (lambda x: jnp.cumsum(x, axis=1), "cumsum"),
        (lambda x: lax.pad(x, jnp.float32(0), ((0, -1, 0), (0, 0, 1))), "pad"),
        (lambda x: lax.scan(lambda at, row: (at + row, at), x[0], x)[1], "scan over arrays"),
        (lambda x: lax.while_loop(lambda at: (at < 9).all(), lambda at: at + 1, x), "ends for each chain"),
        (lambda x: lax.population_count(x.astype(jnp.uint8)), "population_count of uint8"),
    ],
)
def test_what_cannot_be_done_to_lanes_is_named(function, told):
    with pytest.raises(_lanes.NoLanesError, match=told):
        through_lanes(function, jnp.asarray(ROWS))
