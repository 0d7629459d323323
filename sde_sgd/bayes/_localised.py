"""A loss held near one point, and a loss in a heat bath."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from sde_sgd import _tree, random
from sde_sgd._platform.reading import _traces
from sde_sgd._types import Theta
from sde_sgd.problems._base import FreshSampler, Problem, Sampler
from sde_sgd.processes import _draws
from sde_sgd.random import Chains, Words


class Localised(Problem):
    r"""L(θ) + (pull/2)|θ − θ*|²: a problem with a spring to one point, and the noise that it has.

    Args:
        problem: what is minimised.
        at: θ*, parameters of one chain; all chains start there.
        pull: ≥ 0, in units of the loss over those of θ².
    """

    problem: Problem
    at: Theta
    pull: Float[Array, ""]

    def init(self, key: Key[Array, ""]) -> Theta:
        del key
        return self.at

    def loss(self, theta: Theta) -> Float[Array, ""]:
        square = _tree.squared_norm(self.away(theta))
        return self.problem.loss(theta) + 0.5 * self.pull.astype(square.dtype) * square

    def gradient(self, theta: Theta) -> Theta:
        return self._with_spring(theta, self.problem.gradient(theta), self.pull)

    def sampler(self, sampling: str, batch_size: int) -> Sampler:
        return self.problem.sampler(sampling, batch_size)

    def batch_gradient(self, theta: Theta, batch: PyTree) -> Theta:
        return self._with_spring(theta, self.problem.batch_gradient(theta, batch), self.pull)

    def driving_noise(self, theta: PyTree) -> PyTree[jax.ShapeDtypeStruct]:
        return self.problem.driving_noise(theta)

    def noisy_gradient(
        self, theta: Theta, drift: Float[Array, ""], diffusion: Float[Array, ""], noise: PyTree
    ) -> Theta:
        own = self.problem.noisy_gradient(theta, drift, diffusion, noise)
        return self._with_spring(theta, own, drift * self.pull)

    def noise_variance(self) -> Float[Array, ""]:
        return self.problem.noise_variance()

    def gradient_covariance(self, theta: Theta) -> Float[Array, "d d"]:
        return self.problem.gradient_covariance(theta)

    @property
    def dataset_size(self) -> int | None:
        return self.problem.dataset_size

    def away(self, theta: Theta) -> Theta:
        """θ − θ*."""
        return jax.tree.map(jnp.subtract, theta, self.at)

    def _with_spring(self, theta: Theta, gradient: Theta, pull: Float[Array, ""]) -> Theta:
        return jax.tree.map(
            lambda slope, far: slope + pull.astype(slope.dtype) * far, gradient, self.away(theta)
        )


class Heated(Problem):
    r"""The loss of a problem with its true gradient, plus white noise: C = σ²I, Gaussian, for any pytree θ.

    With σ² = TB/η its SDE has the stationary law exp(−2L/T).

    Args:
        problem: whose loss it is; its own gradient noise is not used.
        variance: σ² ≥ 0 of one example's gradient.
    """

    problem: Problem
    variance: Float[Array, ""]

    def init(self, key: Key[Array, ""]) -> Theta:
        return self.problem.init(key)

    def loss(self, theta: Theta) -> Float[Array, ""]:
        return self.problem.loss(theta)

    def gradient(self, theta: Theta) -> Theta:
        return self.problem.gradient(theta)

    def sampler(self, sampling: str, batch_size: int) -> "WhiteSampler":
        if sampling != "replacement":
            raise ValueError(
                f"sampling must be 'replacement' for white noise, got {sampling!r}: it has no examples."
            )
        shapes = _traces.parameter_shapes(self.init)
        return WhiteSampler(shapes, jnp.asarray(batch_size**-0.5, dtype=float))

    def batch_gradient(self, theta: Theta, batch: PyTree) -> Theta:
        one = jnp.ones((), self.variance.dtype)
        return self.noisy_gradient(theta, one, one, batch)

    def driving_noise(self, theta: PyTree) -> PyTree[jax.ShapeDtypeStruct]:
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), theta)

    def noisy_gradient(
        self, theta: Theta, drift: Float[Array, ""], diffusion: Float[Array, ""], noise: PyTree
    ) -> Theta:
        size = diffusion * jnp.sqrt(self.variance)
        return jax.tree.map(
            lambda slope, xi: drift.astype(slope.dtype) * slope + size.astype(slope.dtype) * xi,
            self.gradient(theta),
            noise,
        )

    def noise_variance(self) -> Float[Array, ""]:
        return self.variance

    def gradient_covariance(self, theta: Theta) -> Float[Array, "d d"]:
        size = sum(leaf.size for leaf in jax.tree.leaves(theta))
        return self.variance * jnp.eye(size, dtype=self.variance.dtype)

    @property
    def dataset_size(self) -> int | None:
        return self.problem.dataset_size


class WhiteSampler(FreshSampler):
    """Normal numbers shaped like the parameters: the mean of B independent ones of unit variance."""

    shapes: PyTree[jax.ShapeDtypeStruct]
    size: Float[Array, ""]

    def fresh(self, words: dict[str, Words], step: Array, chain: Chains) -> PyTree:
        unit = _draws.normal(random.at(words["gradient_noise"], step), chain, self.shapes, 1.0)
        return jax.tree.map(lambda leaf: self.size.astype(leaf.dtype) * leaf, unit)
