"""Chains that are put back when they leave, beside chains that never leave and a loop to the first exit."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

import sde_sgd as ss
from benchmarks._ensemble import runner
from benchmarks._rows import Row, Target
from benchmarks._timing import Contender, Effort, Peer, compare
from sde_sgd.problems import DoubleWell

CHAINS, START, BORDER = 10_000, -1.0, 0.5
# ΔL/D = 5: 1.4·10⁴ steps to an exit
RATE, NOISE = 0.05, 2.0


def measure(effort: Effort) -> list[Row]:
    """Chain-steps per second, and exits per second of counting and of waiting for each chain."""
    well, hyper = _setting()
    steps = ss.theory.chain_passage_time(well, hyper, target=BORDER, start=START).steps
    counted = Contender("sde_sgd, escape.Renewal", _from_start(_renewal()), CHAINS / steps)
    peer = Peer("jax.vmap of lax.while_loop to the first exit", lambda: [_to_first_exit()], Target(10))
    return beside_plain(effort) + compare("escape, exits counted", "exits", counted, [peer], effort)


def beside_plain(effort: Effort) -> list[Row]:
    """Chain-steps per second of chains that are put back, and of the same chains without exits."""
    ours = Contender("sde_sgd, escape.Renewal", _from_start(_renewal()), CHAINS)
    plain = Contender("sde_sgd, the same chains without exits", _from_start(ss.SGD(*_setting())), CHAINS)
    peer = Peer(plain.who, partial(list, [plain]), Target(0.7))
    return compare("escape, 10^4 chains", "chain-steps", ours, [peer], effort.long())


def _setting() -> tuple[DoubleWell, ss.Hyperparameters]:
    return DoubleWell(noise_variance=NOISE), ss.Hyperparameters(RATE, 1)


def _renewal() -> ss.escape.Renewal:
    return ss.escape.Renewal(ss.SGD(*_setting()), start=START, outside=_outside)


def _outside(x: jax.Array) -> jax.Array:
    return jnp.greater(x, BORDER)


def _from_start(process: ss.Process) -> Callable[[int], object]:
    return runner(process, CHAINS, initial=START)


def _to_first_exit() -> Contender:
    """What comes to mind first: each chain until it has left, all in step, the slowest deciding."""
    root = jax.random.key(0)

    def one(key: jax.Array) -> jax.Array:
        def goes_on(carry: tuple[jax.Array, jax.Array]) -> jax.Array:
            return carry[0] <= BORDER

        def step(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            x, number = carry
            noise = jax.random.normal(jax.random.fold_in(key, number))
            return x - RATE * (x**3 - x) + RATE * NOISE**0.5 * noise, number + 1

        result: jax.Array = lax.while_loop(goes_on, step, (jnp.float32(START), jnp.int32(0)))[1]
        return result

    passages = jax.jit(jax.vmap(one))

    def run(times: int) -> None:
        for number in range(times):
            jax.block_until_ready(passages(jax.random.split(jax.random.fold_in(root, number), CHAINS)))

    return Contender("jax.vmap of lax.while_loop to the first exit", run, CHAINS)
