"""How much a positive semi-definite matrix must hold back, and nothing more: a complementarity problem."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from sde_sgd.curvature._jacobi import symmetric_eigh

# the error falls by a factor of about 1 − 1.6/√κ in each, κ the condition number of `pull`
_ITERATIONS = 150
_RELAXED = 1.6
# the pull of a direction weaker than this, against the strongest, is not resolved
_LEAST = 1e-3
# of what is asked for may be left undone
_LEFT = 0.01


def pairs(k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(a, b) with a <= b < k, and how often each entry is in a symmetric matrix: once or twice."""
    first, second = np.triu_indices(k)
    return first, second, np.where(first == second, 1, 2)


def complementary(
    room: Float[Array, "k k"], pull: Float[Array, "n n"]
) -> tuple[Float[Array, "k k"], Bool[Array, ""]]:
    r"""X with 0 ⪯ X ⊥ (room + pull[X]) ⪰ 0, and whether there is one.

    It is the minimum of ½⟨X, pull[X]⟩ + ⟨room, X⟩ over X ⪰ 0, found by a fixed number of steps of the
    alternating direction method of multipliers in coordinates in which the pull of each direction on itself
    is 1; for k = 1 it is max(0, −room/pull).

    Args:
        room: symmetric; negative along what must be held back.
        pull: G with pull[X]_ab = Σ_{c <= d} m_cd G_{ab,cd} X_cd, m_cd = 1 or 2 as in `pairs`; symmetric,
            positive semi-definite.

    Returns:
        X, and False where 1 % of what is asked for or more is left: nothing pulls where it is needed.

    Source: Boyd, Parikh, Chu, Peleato, Eckstein 2011, *Distributed optimization and statistical learning via
    the alternating direction method of multipliers*, sections 3.4 and 4.
    """
    k = len(room)
    if k == 1:
        size = jnp.where(room >= 0, 0.0, -room / pull)
        return size, jnp.isfinite(size[0, 0])
    first, second, often = pairs(k)
    root = jnp.asarray(np.sqrt(often), room.dtype)
    own = jnp.diagonal(pull)[np.flatnonzero(first == second)]
    each = jnp.where(own > 0, own, jnp.ones_like(own)) ** -0.25
    weight = each[first] * each[second]
    scaled = (root * weight)[:, None] * pull * (root * weight)[None]
    wanted = root * weight * room[first, second]
    unit = jnp.max(jnp.abs(wanted))
    wanted = wanted / jnp.where(unit == 0, jnp.ones_like(unit), unit)

    def matrix(entries: Array) -> Array:
        upper = jnp.zeros((k, k), entries.dtype).at[first, second].set(entries / root)
        return upper + jnp.triu(upper, 1).T

    def positive(entries: Array) -> Array:
        values, columns = symmetric_eigh(matrix(entries))
        kept = (columns * jnp.maximum(values, 0.0)[None]) @ columns.T
        return root * kept[first, second]

    strengths, modes = symmetric_eigh(scaled)
    most = jnp.where(strengths[-1] > 0, strengths[-1], jnp.ones_like(unit))
    penalty = jnp.sqrt(jnp.maximum(strengths[0], _LEAST * most) * most)
    inverse = (modes / (strengths + penalty)[None]) @ modes.T

    def step(number: Int[Array, ""], carry: tuple[Array, Array]) -> tuple[Array, Array]:
        del number
        held, price = carry
        free = inverse @ (penalty * (held - price) - wanted)
        free = _RELAXED * free + (1 - _RELAXED) * held
        fresh = positive(free + price)
        return fresh, price + free - fresh

    # where nothing is held the price is that of the room there is
    begin = jnp.zeros_like(wanted), -positive(wanted) / penalty
    held, _ = lax.fori_loop(0, _ITERATIONS, step, begin)
    left = symmetric_eigh(matrix(wanted + scaled @ held))[0][0]
    return matrix(weight * unit * held), left >= -_LEFT
