"""L(θ) = (1/N) Σ ℓ_n(θ): real minibatches, and their exact covariance without a matrix."""

import abc
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree

from sde_sgd._types import Theta
from sde_sgd.problems._base import NotKnownError, Problem, Sampler
from sde_sgd.problems._sampling import PartialBatch, ShuffleAllSampler, index_sampler


class FiniteSumProblem(Problem):
    r"""The mean of N per-example losses.

    A minibatch gradient and an Euler-Maruyama step of the SDE are both Σ_n w_n ∇ℓ_n, one
    backward pass of a weighted loss; they differ only in the law of the weights w. For
    ξ ~ N(0, I_N) the sum (1/√N) Σ_n (ξ_n − ξ̄) ∇ℓ_n has covariance exactly
    C = (1/N) Σ (g_n − g)(g_n − g)ᵀ, so no d × d matrix is ever formed.

    Attributes:
        axis: None; or the axis of a device mesh over which the examples are divided. Then
            `example_losses` sees the device's own share, and what comes out is summed over devices.
    """

    axis: ClassVar[str | None] = None

    @abc.abstractmethod
    def example_losses(
        self, theta: Theta, indices: Int[Array, " batch"] | None = None
    ) -> Float[Array, " share"]:
        """ℓ_n(θ) for the examples in `indices`, or for all N; where `axis` is set, this device's share."""

    def loss(self, theta: Theta) -> Float[Array, ""]:
        return self._mean_over_devices(jnp.mean(self.example_losses(theta)))

    def gradient(self, theta: Theta) -> Theta:
        local = jax.grad(lambda at: jnp.mean(self.example_losses(at)))(theta)
        return jax.tree.map(self._mean_over_devices, local)

    def sampler(self, sampling: str, batch_size: int) -> Sampler:
        sampler = index_sampler(sampling, batch_size, self._examples)
        own = type(self).batch_gradient is not FiniteSumProblem.batch_gradient
        if own and isinstance(sampler, ShuffleAllSampler):
            raise ValueError(
                f"sampling must not be 'shuffle_all' for {type(self).__name__} where batch_size = "
                f"{batch_size} does not divide its {self._examples} examples: it has a batch_gradient of its "
                f"own, for whole batches. Use sampling='shuffle', which leaves the rest out, or give "
                f"example_losses alone."
            )
        return sampler

    def batch_gradient(self, theta: Theta, batch: Int[Array, " batch"] | PartialBatch) -> Theta:
        if isinstance(batch, PartialBatch):
            local = jax.grad(lambda at: self._mean_of_those_there(at, batch))(theta)
        else:
            local = jax.grad(lambda at: jnp.mean(self.example_losses(at, batch)))(theta)
        return jax.tree.map(self._mean_over_devices, local)

    def weighted_gradient(self, theta: Theta, weights: Float[Array, " examples"]) -> Theta:
        """Σ_n w_n ∇ℓ_n(θ)."""
        if self.axis is None:
            return jax.grad(lambda at: jnp.dot(weights, self.example_losses(at)))(theta)
        share = self._examples // lax.axis_size(self.axis)
        weights = lax.dynamic_slice_in_dim(weights, share * lax.axis_index(self.axis), share)
        local = jax.grad(lambda at: jnp.dot(weights, self.example_losses(at)))(theta)
        return lax.psum(local, self.axis)

    def driving_noise(self, theta: PyTree) -> jax.ShapeDtypeStruct:
        dtype = jnp.result_type(*jax.tree.leaves(theta))
        return jax.ShapeDtypeStruct((self._examples,), dtype)

    def noisy_gradient(
        self,
        theta: Theta,
        drift: Float[Array, ""],
        diffusion: Float[Array, ""],
        noise: Float[Array, " examples"],
    ) -> Theta:
        centred = noise - jnp.mean(noise)
        weights = drift / self._examples + diffusion * centred / self._examples**0.5
        return self.weighted_gradient(theta, weights)

    def noise_variance(self) -> Float[Array, ""]:
        raise NotKnownError(
            f"the gradient noise of {type(self).__name__} comes from its data and is not σ²I, so "
            f"there is no Gibbs law exp(-2L/T). TiltedNoiseData makes real minibatches whose noise is."
        )

    def example_gradients(self, theta: Theta) -> Float[Array, "examples d"]:
        """∇ℓ_n(θ) of every example as rows over the raveled parameters: N × d numbers."""
        flat, unravel = ravel_pytree(theta)
        result: Float[Array, "examples d"] = jax.jacrev(lambda vector: self.example_losses(unravel(vector)))(
            flat
        )
        return result

    def gradient_covariance(self, theta: PyTree) -> Float[Array, "d d"]:
        with jax.default_matmul_precision("float32"):  # as of the Hessian: a GPU may round factors to 10 bits
            rows = self.example_gradients(theta)
            centred = rows - jnp.mean(rows, axis=0)
            found: Float[Array, "d d"] = centred.T @ centred / self._examples
        return found

    def _mean_of_those_there(self, theta: Theta, batch: PartialBatch) -> Float[Array, ""]:
        """(1/r) Σ ℓ_n over the r examples of a batch; of a device's share what makes that their mean."""
        losses = self.example_losses(theta, batch.indices)
        share = losses.shape[0]
        begin = 0 if self.axis is None else share * lax.axis_index(self.axis)
        there = begin + jnp.arange(share, dtype=jnp.int32) < batch.count
        devices = batch.indices.shape[0] // share
        total = jnp.sum(jnp.where(there, losses, jnp.zeros_like(losses)))
        return total * devices / batch.count.astype(losses.dtype)

    def _mean_over_devices(self, value: Array) -> Array:
        return value if self.axis is None else lax.pmean(value, self.axis)

    @property
    def _examples(self) -> int:
        size = self.dataset_size
        assert size is not None
        return size
