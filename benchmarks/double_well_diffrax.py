"""The double well in diffrax, used directly and with its fastest settings."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import lineax
from jaxtyping import Array, Float, Key

from benchmarks._timing import Contender


def _solve(
    start: Float[Array, "..."], end: Float[Array, ""], rate: Array, key: Key[Array, ""]
) -> Float[Array, "..."]:
    """Euler's method on the clock of steps, dt = 1, with the path that draws afresh."""
    path = diffrax.UnsafeBrownianPath(shape=start.shape, key=key)
    terms: Any = diffrax.MultiTerm(
        diffrax.ODETerm(lambda t, y, args: -rate * (y * y * y - y)),
        diffrax.ControlTerm(lambda t, y, args: _diffusion(rate, y), path),
    )
    solution = diffrax.diffeqsolve(
        terms,
        diffrax.Euler(),
        t0=0.0,
        t1=end,
        dt0=1.0,
        y0=start,
        saveat=diffrax.SaveAt(t1=True),
        stepsize_controller=diffrax.ConstantStepSize(),
        adjoint=diffrax.ForwardMode(),
        max_steps=None,
        throw=False,
    )
    assert solution.ys is not None
    final: Array = solution.ys[0]
    return final


def _diffusion(rate: Array, y: Array) -> Any:
    """ησ: a number for one chain, a diagonal matrix for an ensemble in one state."""
    return lineax.DiagonalLinearOperator(jnp.broadcast_to(rate, y.shape)) if y.ndim else rate


def vmapped(chains: int, rate: float, key: Key[Array, ""]) -> list[Contender]:
    """As its documentation does ensembles: one solve, `jax.vmap` over starts and keys."""
    keys = jax.random.split(key, chains)
    solve = jax.jit(jax.vmap(_solve, in_axes=(0, None, None, 0)))
    return [_contender("diffrax, vmapped over chains", solve, chains, rate, keys)]


def one_path(chains: int, rate: float, key: Key[Array, ""]) -> list[Contender]:
    """The whole ensemble as one state with one path: no chain has a stream of its own."""
    return [_contender("diffrax, one path for all chains", jax.jit(_solve), chains, rate, key)]


def _contender(who: str, solve: Any, chains: int, rate: float, keys: Array) -> Contender:
    start = jnp.zeros((chains,), jnp.float32)

    def run(steps: int) -> None:
        end = jnp.asarray(steps, jnp.float32)
        jax.block_until_ready(solve(start, end, jnp.float32(rate), keys))

    return Contender(who, run, chains)
