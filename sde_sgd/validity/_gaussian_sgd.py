"""SGD whose noise has the covariance of minibatches and is Gaussian: all that the SDE knows of it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree, UInt32

from sde_sgd import random
from sde_sgd._types import Sampling
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.processes import _draws
from sde_sgd.processes._base import ChainState, SingleProcess
from sde_sgd.processes._diffusion import population_factor
from sde_sgd.processes._heavy_ball import heavy_ball, still
from sde_sgd.random import Stream, Words


class GaussianSGD(SingleProcess):
    """v ← m v + ∇L + (C(θ)/B)^{1/2} ξ, θ ← θ − η v with ξ ~ N(0, I).

    Beside SGD it shows what the shape of the noise does, beside the SDE what the length of a step does.
    Without momentum it is the SDE by one step of Euler's method.

    Args:
        problem, hyper: as for `SGD`.
        sampling: "replacement", or "subset", which has (N − B)/(N − 1) of the covariance.
    """

    population_factor: Float[Array, ""]

    def __init__(self, problem: Problem, hyper: Hyperparameters, sampling: Sampling = "replacement"):
        super().__init__(problem, hyper)
        self.population_factor = population_factor(problem, hyper, sampling)

    @property
    def examples_per_gradient(self) -> None:
        return None

    def init(self, theta: PyTree[Float[Array, "chains ..."]], chain: UInt32[Array, " chains"]) -> ChainState:
        return ChainState(theta, chain, {"velocity": still(self.hyper, theta)})

    def streams(self, key: Key[Array, ""]) -> dict[str, Words]:
        return {"brownian": random.stream(key, Stream.BROWNIAN)}

    def step(self, state: ChainState, step: Int[Array, ""], words: dict[str, Words]) -> ChainState:
        driving = self.problem.driving_noise(_draws.one_chain(state.theta))
        noise = _draws.normal(random.at(words["brownian"], step), state.chain, driving, 1.0)
        size = jnp.sqrt(self.population_factor / self.hyper.batch_size)
        gradient = jax.vmap(
            lambda theta, xi: self.problem.noisy_gradient(theta, jnp.ones_like(size), size, xi)
        )(state.theta, noise)
        rate = self.rate(step)
        theta, velocity = heavy_ball(self.hyper, rate, state.theta, gradient, state.extra["velocity"])
        return ChainState(theta, state.chain, {"velocity": velocity})
