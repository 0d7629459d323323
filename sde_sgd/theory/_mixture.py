"""Gibbs' law in any dimension near zero temperature: one Gaussian for each minimum."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key

from sde_sgd import _checks
from sde_sgd._platform._shown import Shown, described
from sde_sgd._types import Numbers
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.random import check_key
from sde_sgd.theory._gibbs import temperature
from sde_sgd.theory._laplace import facts_at, refine_minimum


@dataclass(frozen=True, repr=False)
class GaussianMixture(Shown):
    """A mixture of Gaussians over the raveled parameters.

    Attributes:
        weights: one probability for each, shape `(k,)`.
        means: shape `(k, d)`.
        covariances: shape `(k, d, d)`.
        log_normaliser: ln Z of the unnormalised law it stands for.
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    log_normaliser: float

    def __repr__(self) -> str:
        count, dimension = self.means.shape
        fields = {"weights": self.weights, "means": self.means, "log_normaliser": self.log_normaliser}
        return described(self, {"gaussians": count, "dimension": dimension, **fields})

    def log_pdf(self, points: Numbers) -> np.ndarray:
        """ln p at points of shape `(..., d)`."""
        at = np.asarray(points, np.float64)
        dimension = self.means.shape[1]
        if at.shape[-1:] != (dimension,):
            raise ValueError(
                f"points must have {dimension} coordinates on the last axis, got shape {at.shape}."
            )
        parts = []
        for weight, mean, covariance in zip(self.weights, self.means, self.covariances, strict=True):
            root = np.linalg.cholesky(covariance)
            z = scipy.linalg.solve_triangular(root, (at - mean).reshape(-1, dimension).T, lower=True)
            constant = np.log(np.diag(root)).sum() + dimension / 2 * np.log(2 * np.pi)
            with np.errstate(divide="ignore"):
                parts.append(np.log(weight) - constant - (z**2).sum(axis=0).reshape(at.shape[:-1]) / 2)
        return np.asarray(scipy.special.logsumexp(np.stack(parts), axis=0))

    def pdf(self, points: Numbers) -> np.ndarray:
        """p at points of shape `(..., d)`."""
        result: np.ndarray = np.exp(self.log_pdf(points))
        return result

    @property
    def mean(self) -> np.ndarray:
        """E θ, shape `(d,)`."""
        return np.asarray(self.weights @ self.means)

    @property
    def covariance(self) -> np.ndarray:
        """Cov θ, within the wells and between them, shape `(d, d)`."""
        off = self.means - self.mean
        result: np.ndarray = np.einsum(
            "k,kij->ij", self.weights, self.covariances + off[:, :, None] * off[:, None, :]
        )
        return result

    def sample(self, count: int, *, key: Key[Array, ""]) -> Float[Array, "count d"]:
        """`count` independent draws."""
        check_key(key)
        size = _checks.integer("count", count, at_least=1)
        which, where = jax.random.split(key)
        chances = np.cumsum(self.weights)
        uniform = np.asarray(jax.random.uniform(which, (size,)), np.float64)
        well = np.minimum(np.searchsorted(chances, uniform * chances[-1], side="right"), len(chances) - 1)
        z = np.asarray(jax.random.normal(where, (size, self.means.shape[1])), np.float64)
        roots = np.linalg.cholesky(self.covariances)
        return jnp.asarray(self.means[well] + np.einsum("nij,nj->ni", roots[well], z), dtype=float)


def laplace_gibbs(problem: Problem, hyper: Hyperparameters) -> GaussianMixture:
    r"""exp(−2L/T)/Z in any dimension: N(θ_k, (T/2) H_k⁻¹) at each known minimum, weighted by Laplace.

        Z ≈ Σ_k exp(−2L_k/T) (πT)^{d/2} / √det H_k

    Weights as in `laplace_probabilities`. Errors are O(T): those of ln Z, of the weights, and of
    moments relative to T. Where wells touch (barriers of a few T/2) it fails. In one or two
    dimensions `gibbs` is exact.

    Args:
        problem: isotropic constant noise, known minima, small enough for a dense Hessian.
        hyper: one η, B and m.

    Returns:
        `GaussianMixture` over the raveled parameters.

    Raises:
        NotKnownError: if the noise is not isotropic, or the minima are not known.
        ValueError: if T = 0, or a known minimum is none.

    Source: Jastrzębski et al. 2017 (arXiv:1711.04623), section 3.
    """
    scale = temperature(problem, hyper)
    if not scale > 0:
        raise ValueError("the temperature must be > 0 for a density, got T = 0; with no noise there is none.")
    points = [refine_minimum(problem, point) for point in problem.minima()]
    means = np.stack([np.asarray(ravel_pytree(point)[0], np.float64) for point in points])
    dimension = means.shape[1]
    facts = [facts_at(problem, point) for point in points]
    losses, hessians = np.asarray([loss for loss, _ in facts]), np.stack([hessian for _, hessian in facts])
    log_weights = (
        -2 * losses / scale + dimension / 2 * np.log(np.pi * scale) - np.linalg.slogdet(hessians)[1] / 2
    )
    log_normaliser = float(scipy.special.logsumexp(log_weights))
    return GaussianMixture(
        np.exp(log_weights - log_normaliser), means, scale / 2 * np.linalg.inv(hessians), log_normaliser
    )
