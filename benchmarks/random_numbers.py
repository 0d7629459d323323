"""Normal numbers keyed by step and chain: `sde_sgd.random` beside `jax.random` in the same loop."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, UInt32

import sde_sgd as ss
from benchmarks._ensemble import divisible, loop
from benchmarks._rows import Row
from benchmarks._timing import Contender, Effort, Peer, compare

CHAINS = 100_000
Draw = Callable[[Int[Array, ""], UInt32[Array, "chains ..."]], Float[Array, " chains"]]


def measure(effort: Effort) -> list[Row]:
    """Numbers per second at 10⁵ a step."""
    peers = (
        Peer("jax.random.normal", lambda: [_one_key()]),
        Peer("jax.random.normal, a key per chain", lambda: [_key_per_chain()]),
    )
    return compare("random_numbers, 10^5 a step", "numbers", ceiling(CHAINS), peers, effort)


def ceiling(chains: int, who: str = "sde_sgd.random.normal") -> Contender:
    """`sde_sgd.random.normal` and nothing else: what no Euler-Maruyama step on it can beat."""
    words = ss.random.stream(jax.random.key(0), ss.random.Stream.BROWNIAN)
    return _summing(
        who,
        ss.random.chain_numbers(divisible(chains)),
        lambda step, chain: ss.random.normal(ss.random.at(words, step), chain, ()),
    )


def _one_key() -> Contender:
    key = jax.random.key(0)

    def draw(step: Int[Array, ""], chain: UInt32[Array, " chains"]) -> Float[Array, " chains"]:
        here = jax.random.fold_in(jax.random.fold_in(key, step), lax.axis_index("chains"))
        return jax.random.normal(here, chain.shape, jnp.float32)

    return _summing("jax.random.normal", ss.random.chain_numbers(divisible(CHAINS)), draw)


def _key_per_chain() -> Contender:
    """What makes chain i the same in every ensemble, as ours is."""
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(
        jax.random.key(0), ss.random.chain_numbers(divisible(CHAINS))
    )

    def draw(step: Int[Array, ""], words: UInt32[Array, "chains 2"]) -> Float[Array, " chains"]:
        here = jax.vmap(jax.random.fold_in, in_axes=(0, None))(jax.random.wrap_key_data(words), step)
        return jax.vmap(lambda key: jax.random.normal(key, (), jnp.float32))(here)

    return _summing("jax.random.normal, a key per chain", jax.random.key_data(keys), draw)


def _summing(who: str, given: UInt32[Array, "chains ..."], draw: Draw) -> Contender:
    """Add up what is drawn, so that nothing can be left out or kept in memory."""

    def body(step: Int[Array, ""], carry: Any) -> Any:
        return carry[0], carry[1] + draw(step, carry[0])

    chains = given.shape[0]
    return Contender(who, loop(body, (given, jnp.zeros((chains,), jnp.float32))), chains)
