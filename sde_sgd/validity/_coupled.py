"""SGD and an SDE on the same noise, side by side."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree, UInt32

from sde_sgd import _tree
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.processes._base import ChainState, Process, RateSchedule
from sde_sgd.processes._diffusion import Diffusion
from sde_sgd.processes._draws import one_chain
from sde_sgd.processes._heavy_ball import heavy_ball, still
from sde_sgd.random import Words


class Coupled(Process):
    """An SDE, and SGD whose gradient noise is the sum of the SDE's increments over each step.

    The parameters are a pair, {"sgd": θ, "sde": θ}, that starts at one point. SGD takes
    ĝ = ∇L − (C/B)^{1/2} ΔW with ΔW ~ N(0, I) what the Brownian motion of the SDE has done in that step:
    in law it is SGD with Gaussian noise, and pathwise it stays close to the SDE.

    Args:
        diffusion: the SDE.
        antithetic: chains 2i and 2i + 1 have the same Brownian motion but for its sign, so that
            what is odd in the noise is no error in the mean of the two.
    """

    diffusion: Diffusion
    antithetic: bool = eqx.field(static=True)

    def __init__(self, diffusion: Diffusion, antithetic: bool):
        self.diffusion = diffusion
        self.antithetic = antithetic

    @property  # type: ignore[misc]
    def problem(self) -> Problem:  # type: ignore[override]
        return self.diffusion.problem

    @property  # type: ignore[misc]
    def hyper(self) -> Hyperparameters:  # type: ignore[override]
        return self.diffusion.hyper

    @property  # type: ignore[misc]
    def schedule(self) -> RateSchedule | None:  # type: ignore[override]
        return self.diffusion.schedule

    @property  # type: ignore[misc]
    def origin(self) -> Int[Array, ""]:  # type: ignore[override]
        return self.diffusion.origin

    @property
    def examples_per_gradient(self) -> int | None:
        return self.diffusion.examples_per_gradient

    def init(self, theta: PyTree[Float[Array, "chains ..."]], chain: UInt32[Array, " chains"]) -> ChainState:
        extra = {"sgd": still(self.hyper, theta), "sde": self.diffusion.init(theta, chain).extra}
        return ChainState({"sgd": theta, "sde": theta}, chain, extra)

    def streams(self, key: Key[Array, ""]) -> dict[str, Words]:
        return self.diffusion.streams(key)

    def step(self, state: ChainState, step: Int[Array, ""], words: dict[str, Words]) -> ChainState:
        diffusion, chain = self.diffusion, state.chain
        if self.antithetic:
            chain = chain >> jnp.uint32(1)
        at, sde = state.theta["sgd"], ChainState(state.theta["sde"], chain, state.extra["sde"])
        driving = self.problem.driving_noise(one_chain(at))
        total = jax.tree.map(lambda leaf: jnp.zeros((len(chain), *leaf.shape), leaf.dtype), driving)

        def substep(number: Int[Array, ""], carry: tuple[ChainState, Any]) -> tuple[ChainState, Any]:
            sde, total = carry
            brownian = diffusion.increment(sde, step, number, words)
            if self.antithetic:
                sign = 1.0 - 2.0 * (state.chain & jnp.uint32(1)).astype(float)
                brownian = jax.tree.map(lambda leaf: _tree.column(sign, leaf) * leaf, brownian)
            moved = diffusion.substep(sde, step, number, words, brownian)
            return moved, jax.tree.map(jnp.add, total, diffusion.brownian_part(brownian))

        sde, total = lax.fori_loop(0, diffusion.substeps, substep, (sde, total))
        size = jnp.sqrt(diffusion.population_factor / self.hyper.batch_size)
        gradient = jax.vmap(
            lambda theta, noise: self.problem.noisy_gradient(theta, jnp.ones_like(size), -size, noise)
        )(at, total)
        rate = self.rate(step)
        at, velocity = heavy_ball(self.hyper, rate, at, gradient, state.extra["sgd"])
        return ChainState({"sgd": at, "sde": sde.theta}, state.chain, {"sgd": velocity, "sde": sde.extra})
