"""X ⪰ 0 and what is left of the room ⪰ 0, never both along one direction: the conditions themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_sgd.processes._complementarity import complementary, pairs

SOLVE = jax.jit(complementary)


def conditions(room, pull):
    """The lowest eigenvalue of X and of what is left, and ⟨X, what is left⟩, in units of the largest."""
    k = len(room)
    first, second, often = pairs(k)
    held, solved = SOLVE(jnp.asarray(room, jnp.float32), jnp.asarray(pull, jnp.float32))
    assert solved
    held = np.asarray(held, np.float64)
    left, size = room.copy(), np.abs(held).max()
    entries = pull @ (often * held[first, second])
    left[first, second] += entries
    left[second, first] = left[first, second]
    lowest = np.linalg.eigvalsh(held)[0] / max(size, 1e-30), np.linalg.eigvalsh(left)[0]
    return size, np.array([*lowest, np.sum(held * left) / max(size, 1e-30)]) / [1, *2 * [np.abs(room).max()]]


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_the_conditions_hold_for_what_is_drawn(k, unit):
    rng = np.random.default_rng(k)
    for _ in range(5):
        bends = rng.normal(size=(k * (k + 1) // 2, 40))
        room = rng.normal(size=(k, k))
        room = room + room.T
        room[0, 0] = -abs(room[0, 0]) - 1
        size, (held, left, product) = conditions(room, unit * bends @ bends.T)
        assert size > 0
        assert held > -1e-5 and left > -1e-4 and abs(product) < 1e-4


def test_where_there_is_room_nothing_is_held():
    """To the last bit, so that below the edge the flow is gradient flow."""
    room = np.array([[2.0, 0.5], [0.5, 1.0]], np.float32)
    held, solved = SOLVE(room, np.eye(3, dtype=np.float32))
    assert solved and not np.any(held)


@pytest.mark.parametrize("k", [1, 2])
def test_what_nothing_pulls_at_is_not_solved(k):
    room = -np.eye(k, dtype=np.float32)
    assert not SOLVE(room, np.zeros((k * (k + 1) // 2,) * 2, np.float32))[1]
