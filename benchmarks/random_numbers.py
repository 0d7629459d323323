"""Normal numbers keyed by step and chain: `sde_sgd.random` beside `jax.random` in the same loop."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

import sde_sgd as ss
from benchmarks._timing import Contender, Effort, Peer, Row, compare

CHAINS = 100_000
Draw = Callable[[Int[Array, ""]], Float[Array, " chains"]]


def measure(effort: Effort) -> list[Row]:
    """Numbers per second at 10⁵ a step."""
    ours = Contender("sde_sgd.random.normal", _summing(_ours()), CHAINS)
    peers = (
        Peer("jax.random.normal", lambda: [_peer("jax.random.normal", _one_key())]),
        Peer(
            "jax.random.normal, a key per chain",
            lambda: [_peer("jax.random.normal, a key per chain", _key_per_chain())],
        ),
    )
    return compare("random_numbers, 10^5 a step", "numbers", ours, peers, effort)


def _peer(who: str, draw: Draw) -> Contender:
    return Contender(who, _summing(draw), CHAINS)


def _ours() -> Draw:
    words = ss.random.stream(jax.random.key(0), ss.random.Stream.BROWNIAN)
    chain = ss.random.chain_numbers(CHAINS)
    return lambda step: ss.random.normal(ss.random.at(words, step), chain, ())


def _one_key() -> Draw:
    key = jax.random.key(0)
    return lambda step: jax.random.normal(jax.random.fold_in(key, step), (CHAINS,), jnp.float32)


def _key_per_chain() -> Draw:
    """What makes chain i the same in every ensemble, as ours is."""
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.key(0), jnp.arange(CHAINS))

    def draw(step: Int[Array, ""]) -> Float[Array, " chains"]:
        here = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, step)
        return jax.vmap(lambda key: jax.random.normal(key, (), jnp.float32))(here)

    return draw


def _summing(draw: Draw) -> Callable[[int], object]:
    """Add up what is drawn, so that nothing can be left out or kept in memory."""

    @jax.jit
    def total(steps: Int[Array, ""]) -> Float[Array, " chains"]:
        return lax.fori_loop(
            0, steps, lambda step, sums: sums + draw(step), jnp.zeros((CHAINS,), jnp.float32)
        )

    return lambda steps: jax.block_until_ready(total(jnp.asarray(steps, jnp.int32)))
