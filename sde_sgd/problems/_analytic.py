"""Problems given by a formula for L(θ) and a chosen gradient noise."""

import jax
import jax.numpy as jnp
from equinox import AbstractVar
from jaxtyping import Array, Float, PyTree

from sde_sgd import _checks
from sde_sgd._platform.reading import _traces
from sde_sgd.problems._base import Problem
from sde_sgd.problems._noise import LAWS, GradientNoise, LawSampler


class AnalyticProblem(Problem):
    """A loss in closed form over one array θ, with per-example noise C(θ)^{1/2} ζ.

    Subclasses are final and hold: `noise`, the covariance; `noise_law`, the law of ζ
    ("gaussian", "rademacher" or "exponential", the last centred: skewness 2).
    """

    noise: AbstractVar[GradientNoise]
    noise_law: AbstractVar[str]

    def sampler(self, sampling: str, batch_size: int) -> LawSampler:
        if sampling != "replacement":
            raise ValueError(
                f"sampling must be 'replacement' for {type(self).__name__}, got {sampling!r}: its "
                f"examples are independent draws without end. Wrap it in TiltedNoiseData for a "
                f"finite data set."
            )
        theta = _traces.parameter_shapes(self.init)
        return LawSampler(check_law(self.noise_law), batch_size, theta.shape, theta.dtype)

    def batch_gradient(self, theta: Array, batch: Array) -> Array:
        result: Array = self.gradient(theta) + self.noise.apply(theta, batch)
        return result

    def driving_noise(self, theta: PyTree) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(theta.shape, theta.dtype)

    def noisy_gradient(
        self, theta: Array, drift: Float[Array, ""], diffusion: Float[Array, ""], noise: Array
    ) -> Array:
        result: Array = drift * self.gradient(theta) + self.noise.scaled(theta, diffusion, noise)
        return result

    def noise_variance(self) -> Float[Array, ""]:
        return self.noise.variance()

    def gradient_covariance(self, theta: Array) -> Float[Array, "d d"]:
        return self.noise.covariance(jnp.asarray(theta))

    @property
    def dataset_size(self) -> None:
        return None


def check_law(law: str) -> str:
    """Refuse a law of the per-example noise that is not known."""
    return _checks.choice("noise_law", law, LAWS)
