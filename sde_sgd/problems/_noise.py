"""Gradient noise of analytic problems: a covariance C(θ) and a law with unit variance."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sde_sgd import _checks, _tree, random
from sde_sgd._platform._shown import Shown
from sde_sgd._types import Numbers, Scalar
from sde_sgd.problems._base import FreshSampler, NotKnownError
from sde_sgd.random import Chains, Words

LAWS = ("gaussian", "rademacher", "exponential")


class GradientNoise(Shown, eqx.Module):
    """The covariance C(θ) of one example's gradient, as the map ξ ↦ C(θ)^{1/2} ξ."""

    is_additive: eqx.AbstractClassVar[bool]

    @abc.abstractmethod
    def apply(self, theta: Array, xi: Array) -> Array:
        """C(θ)^{1/2} ξ, with ξ shaped like θ."""

    def scaled(self, theta: Array, factor: Float[Array, ""], xi: Array) -> Array:
        """factor · C(θ)^{1/2} ξ."""
        return self.apply(theta, factor * xi)

    @abc.abstractmethod
    def covariance(self, theta: Array) -> Float[Array, "d d"]:
        """C(θ) as a dense matrix."""

    def variance(self) -> Float[Array, ""]:
        """σ² where C = σ²I.

        Raises:
            NotKnownError: for any other noise.
        """
        raise NotKnownError(
            f"the gradient noise is {type(self).__name__}, not isotropic and constant, so there is "
            f"no single σ² and no Gibbs law exp(-2L/T)."
        )


class Isotropic(GradientNoise):
    """C = σ²I.

    Args:
        variance: σ² ≥ 0, the variance of one example's gradient in each coordinate.
    """

    sigma_squared: Float[Array, ""]
    is_additive = True

    def __init__(self, variance: Scalar = 1.0):
        sigma_squared = _checks.array("noise_variance", variance, at_least=0)
        if np.ndim(variance):
            raise ValueError(
                f"noise_variance must be one number, got an array of shape {np.shape(variance)}; "
                f"one for each parameter belongs in Diagonal."
            )
        self.sigma_squared = sigma_squared

    def apply(self, theta: Array, xi: Array) -> Array:
        del theta
        return jnp.sqrt(self.sigma_squared) * xi

    def scaled(self, theta: Array, factor: Float[Array, ""], xi: Array) -> Array:
        del theta
        return (factor * jnp.sqrt(self.sigma_squared)) * xi  # one product for each number

    def covariance(self, theta: Array) -> Float[Array, "d d"]:
        return self.sigma_squared * jnp.eye(max(theta.size, 1), dtype=theta.dtype)

    def variance(self) -> Float[Array, ""]:
        return self.sigma_squared


class Diagonal(GradientNoise):
    """C = diag(σ₁², …, σ_d²).

    Args:
        variances: one σ_i² ≥ 0 per coordinate, shaped like θ.
    """

    variances: Float[Array, "..."]
    is_additive = True

    def __init__(self, variances: Numbers):
        self.variances = _checks.array("variances", variances, at_least=0)

    def apply(self, theta: Array, xi: Array) -> Array:
        _matching("variances", self.variances.shape, theta)
        return jnp.sqrt(self.variances) * xi

    def covariance(self, theta: Array) -> Float[Array, "d d"]:
        _matching("variances", self.variances.shape, theta)
        return jnp.diag(jnp.ravel(self.variances))


class Full(GradientNoise):
    """C any symmetric positive semi-definite matrix.

    Args:
        matrix: C, shape `(d, d)`.
    """

    root: Float[Array, "d d"]
    is_additive = True

    def __init__(self, matrix: Numbers):
        checked = _checks.square_matrix("covariance", matrix)
        values, vectors = np.linalg.eigh(checked)
        root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
        self.root = jnp.asarray(root, dtype=float)

    def apply(self, theta: Array, xi: Array) -> Array:
        _matching("covariance", self.root.shape[:1], theta)
        return self.root @ xi

    def covariance(self, theta: Array) -> Float[Array, "d d"]:
        _matching("covariance", self.root.shape[:1], theta)
        return self.root @ self.root


class PositionDependent(GradientNoise):
    """C(θ) = diag(σ²(θ)), read in Itô's sense (as SGD itself does).

    Args:
        variance: a function of θ that returns σ²(θ) ≥ 0, a scalar or an array shaped like θ.
    """

    function: Callable[[Array], Array]
    is_additive = False

    def __init__(self, variance: Callable[[Array], Array]):
        if not callable(variance):
            raise ValueError(
                f"variance must be a function of theta, got {variance!r}; "
                f"a constant belongs in Isotropic or Diagonal."
            )
        self.function = _tree.as_module(variance)

    def apply(self, theta: Array, xi: Array) -> Array:
        return jnp.sqrt(self.function(theta)) * xi

    def covariance(self, theta: Array) -> Float[Array, "d d"]:
        return jnp.diag(jnp.ravel(jnp.broadcast_to(self.function(theta), theta.shape)))


def _matching(name: str, shape: tuple[int, ...], theta: Array) -> None:
    if shape != theta.shape:
        raise ValueError(
            f"{name} has shape {shape} where the parameters have shape {theta.shape}; "
            f"give one entry for each parameter."
        )


class LawSampler(FreshSampler):
    """Means of B independent draws of unit variance: Gaussian, Rademacher or centred exponential.

    The per-example noise is C^{1/2}ζ with E ζ = 0 and E ζζᵀ = I; a batch averages B of them.
    For the Gaussian that mean is drawn at once (it is N(0, I/B) exactly), and so is that of more than
    64 exponentials, whose sum has a Gamma law; else B real draws are added up. Skewness per
    coordinate: 0, 0 and 2.
    """

    law: str = eqx.field(static=True)
    batch_size: int = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    dtype: Any = eqx.field(static=True)

    def fresh(self, words: dict[str, Words], step: Array, chain: Chains) -> Array:
        here = random.at(words["gradient_noise"], step)
        count = self.batch_size
        if self.law == "gaussian":
            mean: Array = random.normal(here, chain, self.shape, self.dtype) / count**0.5
        elif self.law == "rademacher":
            total = random.rademacher_sum(here, chain, self.shape, count)
            mean = total.astype(self.dtype) / count
        else:
            mean = random.exponential_mean(here, chain, self.shape, count, self.dtype)
        return mean
