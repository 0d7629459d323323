"""Words of the generator, ordinary and extreme, and its laws as compiled functions."""

import jax
import numpy as np

from sde_sgd import random
from sde_sgd.random import Stream

KEY = jax.random.key(20)
TOP = 2**32 - 1
jit_normal = jax.jit(random.normal, static_argnums=(2, 3))
jit_rademacher = jax.jit(random.rademacher_sum, static_argnums=(2, 3))
jit_exponential = jax.jit(random.exponential_sum, static_argnums=(2, 3, 4))
jit_bits = jax.jit(random.bits, static_argnums=2)


def words_of(name: Stream = Stream.GRADIENT_NOISE, step: int = 0) -> jax.Array:
    return random.at(random.stream(KEY, name), step)


_LOW = np.array([0, 1, 2, 127, 128, 129, 255, 256, 2**16, 2**23, 2**24 - 1, 2**30, 2**31 - 1])
EXTREMES = np.concatenate([_LOW, TOP - _LOW]).astype(np.uint32)
