"""The double well as it is written first in plain JAX: `lax.scan`, one key a step, `jax.random.normal`."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from benchmarks._timing import Contender

# steps that one call of the compiled scan takes: their number is compiled in
_STEPS = 256


def scan(chains: int, rate: float, key: Key[Array, ""]) -> list[Contender]:
    """The whole ensemble as one array; no chain has numbers of its own."""
    start = jnp.zeros((chains,), jnp.float32)

    def run(steps: int) -> None:
        x = start
        for number in range(-(-steps // _STEPS)):
            x = _some(x, jax.random.fold_in(key, number), rate)
        jax.block_until_ready(x)

    return [Contender(f"jax.lax.scan, {_STEPS} steps a call", run, chains)]


@partial(jax.jit, static_argnums=2)
def _some(x: Float[Array, " chains"], key: Key[Array, ""], rate: float) -> Float[Array, " chains"]:
    def step(x: Array, here: Key[Array, ""]) -> tuple[Array, None]:
        noise = jax.random.normal(here, x.shape, x.dtype)
        return x - rate * (x * x * x - x) + rate * noise, None

    return lax.scan(step, x, jax.random.split(key, _STEPS))[0]
