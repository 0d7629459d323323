"""Real minibatches whose gradient noise is exactly isotropic."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from sde_sgd import _checks
from sde_sgd._types import Scalar
from sde_sgd.problems._analytic import AnalyticProblem
from sde_sgd.problems._finite_sum import FiniteSumProblem


class TiltedNoiseData(FiniteSumProblem):
    r"""N examples ℓ_n(θ) = L(θ) + a_n·θ with Σ a_n = 0 and Cov(a) = σ²I exactly.

    Every minibatch is a real one, yet C = σ²I at every θ, so the Gibbs law is known in any
    dimension. The tilts are Gaussian, in pairs ±a unless told otherwise, then whitened. Pairs
    matter: a skewness of the tilts shifts the odds of two wells at any learning rate.

    Args:
        loss_of: the analytic problem whose L(θ) is meant; its own noise is not used.
        dataset_size: N, even and at least 2d (more than d if not symmetric).
        noise_variance: σ² ≥ 0.
        symmetric: draw the tilts in pairs ±a, so that all their odd moments vanish.
        key: draws the tilts.

    Raises:
        ValueError: if N is too small for such tilts to exist or a value is out of range.
    """

    loss_of: AnalyticProblem
    tilts: Float[Array, "examples *d"]
    sigma_squared: Float[Array, ""]
    size: int = eqx.field(static=True)

    def __init__(
        self,
        loss_of: AnalyticProblem,
        *,
        dataset_size: int,
        noise_variance: Scalar = 1.0,
        symmetric: bool = True,
        key: Key[Array, ""],
    ):
        if not isinstance(loss_of, AnalyticProblem):
            raise ValueError(f"loss_of must be an analytic problem such as DoubleWell(), got {loss_of!r}.")
        self.sigma_squared = _checks.array("noise_variance", noise_variance, at_least=0)
        self.size = _checks.integer("dataset_size", dataset_size, at_least=1)
        start = jax.eval_shape(loss_of.init, key)
        if self.size <= start.size or (symmetric and (self.size % 2 or self.size < 2 * start.size)):
            wanted = f"even and >= {2 * start.size}" if symmetric else f"> {start.size}"
            raise ValueError(
                f"dataset_size must be {wanted} for {start.size} parameters, got {self.size}: fewer "
                f"tilts cannot have mean zero and an isotropic covariance."
            )
        draws = self.size // 2 if symmetric else self.size
        raw = np.asarray(jax.random.normal(key, (draws, start.size)), dtype=np.float64)
        raw = np.concatenate([raw, -raw]) if symmetric else raw - raw.mean(axis=0)
        factor = np.linalg.cholesky(raw.T @ raw / self.size)
        white = np.linalg.solve(factor, raw.T).T
        tilts = white.reshape(self.size, *start.shape) * float(noise_variance) ** 0.5
        self.loss_of = loss_of
        self.tilts = jnp.asarray(tilts, dtype=float)

    def init(self, key: Key[Array, ""]) -> Array:
        result: Array = self.loss_of.init(key)
        return result

    def example_losses(
        self, theta: Array, indices: Int[Array, " batch"] | None = None
    ) -> Float[Array, " batch"]:
        tilts = self.tilts if indices is None else self.tilts[indices]
        return self.loss_of.loss(theta) + jnp.tensordot(tilts, theta, axes=theta.ndim)

    def noise_variance(self) -> Float[Array, ""]:
        return self.sigma_squared

    def minima(self) -> tuple[Array, ...]:
        return self.loss_of.minima()

    @property
    def dataset_size(self) -> int:
        return self.size
