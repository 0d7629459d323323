"""Laws in several dimensions, as pictures of one or two coordinates need them."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from sde_sgd import _checks
from sde_sgd._platform._shown import short
from sde_sgd.theory._density import Density2D
from sde_sgd.theory._linear._regression import RegressionLaw
from sde_sgd.theory._mixture import GaussianMixture


@runtime_checkable
class OnLines(Protocol):
    """The densities of one coordinate, and of two."""

    def alone(self, i: int, x: np.ndarray) -> np.ndarray:
        """Of coordinate i, at points of shape `(n,)`."""
        ...

    def together(self, which: tuple[int, int], x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Of two coordinates, on a grid, shape `(n, m)`."""
        ...


class _Gaussians:
    """Of a mixture of Gaussians: they stay what they are along any directions."""

    def __init__(self, law: GaussianMixture, directions: np.ndarray | None):
        across = np.eye(law.means.shape[1]) if directions is None else directions
        self._weights = law.weights
        self._means = law.means @ across.T
        self._covariances = across @ law.covariances @ across.T

    def alone(self, i: int, x: np.ndarray) -> np.ndarray:
        variances = self._covariances[:, i, i]
        z = (x[:, None] - self._means[:, i]) / np.sqrt(variances)
        result: np.ndarray = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi * variances) @ self._weights
        return result

    def together(self, which: tuple[int, int], x: np.ndarray, y: np.ndarray) -> np.ndarray:
        taken = list(which)
        both = GaussianMixture(
            self._weights, self._means[:, taken], self._covariances[:, taken][:, :, taken], 0.0
        )
        return both.pdf(np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1))


class _Plane:
    """Of a density in the plane."""

    def __init__(self, law: Density2D):
        self._law = law
        self._marginals = [law.marginal(axis) for axis in (0, 1)]

    def alone(self, i: int, x: np.ndarray) -> np.ndarray:
        return self._marginals[i].pdf(x)

    def together(self, which: tuple[int, int], x: np.ndarray, y: np.ndarray) -> np.ndarray:
        del which  # there are but two
        return self._law.pdf(np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1))


def on_lines(name: str, law: Any, centre: np.ndarray, directions: np.ndarray | None) -> OnLines:
    """A law over raveled parameters, along the directions.

    Args:
        name: of the law, for messages.
        law: as `plot.corner` takes it.
        centre: where a covariance alone is drawn, shape `(d,)`.
        directions: shape `(k, d)`, or None for the coordinates.

    Raises:
        ValueError: if it is none, or of another dimension.
    """
    dimension = len(centre)
    if isinstance(law, Density2D):
        if dimension != 2 or directions is not None:
            raise ValueError(
                f"{name} must be a law in {dimension} dimensions to be drawn along directions, got {law!r}, "
                f"which is drawn in its own plane only; leave directions out, or draw "
                f"theory.pushforward(law, observable) by plot.histograms."
            )
        return _Plane(law)
    mixture = law if isinstance(law, GaussianMixture) else _gaussian(name, law, centre)
    if mixture.means.shape[1] != dimension:
        raise ValueError(
            f"{name} must be a law of {dimension} parameters, as a chain has, got {mixture.means.shape[1]}."
        )
    return _Gaussians(mixture, directions)


def _gaussian(name: str, law: Any, centre: np.ndarray) -> GaussianMixture:
    """A Gaussian from its mean and covariance, or from the latter alone."""
    if isinstance(law, RegressionLaw):
        mean, covariance = law.minimum + law.bias, law.covariance
    elif isinstance(law, tuple) and len(law) == 2:
        mean, covariance = law
    elif isinstance(law, list | np.ndarray) or hasattr(law, "__array__"):
        mean, covariance = centre, law
    else:
        raise ValueError(
            f"{name} must be a GaussianMixture, a Density2D, a RegressionLaw, a pair (mean, covariance) or a "
            f"covariance, got {short(law)}."
        )
    leaves = jax.tree.leaves(mean)
    if len(leaves) > 1 or isinstance(mean, Mapping):
        mean = np.concatenate([np.ravel(leaf) for leaf in leaves])
    middle = np.ravel(_checks.real(f"mean of {name}", mean))
    matrix = _checks.square_matrix(name, covariance)
    if len(matrix) != len(middle):
        raise ValueError(
            f"{name} must have a covariance of shape {(len(middle),) * 2}, one row for each of the "
            f"{len(middle)} parameters, got {matrix.shape}."
        )
    return GaussianMixture(np.ones(1), middle[None], matrix[None], 0.0)
