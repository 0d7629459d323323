"""Stationary covariance of SGD on linear regression, where every example has its own curvature."""

from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Key
from scipy.sparse.linalg import LinearOperator, gmres

from sde_sgd import _checks
from sde_sgd._platform._shown import Shown
from sde_sgd._platform.reading import _traces
from sde_sgd._samplings import SAMPLINGS, is_shuffled
from sde_sgd._types import Sampling
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._finite_sum import FiniteSumProblem
from sde_sgd.processes._base import check_hyper
from sde_sgd.random import check_key
from sde_sgd.theory._linear._modes import sgd_response
from sde_sgd.theory._linear._orders import Examples, epoch_operators
from sde_sgd.theory._setting import Setting, batch_noise, one_setting, positive_curvatures

_LARGEST = 50_000_000
# an epoch that takes less than this of a second moment away cannot be told from one that takes nothing
_ROUNDED = 1e-11


@dataclass(frozen=True, repr=False)
class RegressionLaw(Shown):
    """First and second moments of stationary SGD on linear regression.

    Attributes:
        minimum: θ* over the raveled parameters, shape `(d,)`.
        bias: E θ − θ*; zero unless the epochs are shuffled.
        covariance: E (θ − E θ)(θ − E θ)ᵀ, shape `(d, d)`.
        standard_error: of each entry of `covariance`, from the orders that were drawn; zero if exact.
    """

    minimum: np.ndarray
    bias: np.ndarray
    covariance: np.ndarray
    standard_error: np.ndarray


def regression_covariance(
    problem: FiniteSumProblem,
    hyper: Hyperparameters,
    *,
    sampling: Sampling = "replacement",
    orders: int | None = None,
    key: Key[Array, ""] | None = None,
) -> RegressionLaw:
    r"""Σ of SGD on linear regression, exact at finite η: noise that does and does not depend on θ.

    With e = θ − θ*, ∇ℓ_n = H_n e + ξ_n, the noise of one example at e has the covariance
    C + V(e eᵀ) on average over e, V(Σ) = (1/N) Σ H_n Σ H_n − HΣH. For batches that do not depend on
    each other (replacement, fresh subsets)

        HΣ + ΣH − ηHΣH = (η f/B) [C + V(Σ)],    f = 1 or (N − B)/(N − 1),

    and its analogue with momentum: a linear system, solved by GMRES to 1e-10. Leaving V out is
    `discrete_covariance`.

    In shuffled epochs batches are not independent, and the second moment of an epoch is an average
    over orders of products of matrices that do not commute. With few examples (up to about 12) it is
    enumerated by the set of examples already used, which is exact. With more it is averaged over
    random orders with a control variate, and has a standard error: about 1/√orders times the share
    of the varying curvatures in Σ. Σ and the bias are those at the end of an epoch.

    Args:
        problem: finite sum of quadratic losses, such as `linear_regression`, with or without l2.
        hyper: one η, B and m.
        sampling: "replacement", "subset", "shuffle" or "shuffle_all".
        orders: random orders of shuffled epochs; by default all where they can be enumerated, else
            20 000. Memory and time grow with d⁴.
        key: draws the orders; by default always the same ones.

    Returns:
        `RegressionLaw`.

    Raises:
        ValueError: if the losses are not quadratic, H is singular, SGD is unstable, or its mean square
            is (noise that grows with the error can diverge where ηλ < 2).

    Source: derived here; for replacement and Gaussian inputs see Ziyin, Liu, Mori, Ueda 2022
    (arXiv:2102.05375).
    """
    check_hyper(problem, hyper)
    setting = one_setting(hyper)
    _checks.choice("sampling", sampling, SAMPLINGS)
    if not isinstance(problem, FiniteSumProblem):
        raise ValueError(
            f"problem must be a finite sum such as linear_regression, got {type(problem).__name__}; for a "
            f"Quadratic use discrete_covariance."
        )
    noise = batch_noise(sampling, setting, problem.dataset_size)
    minimum, examples = _examples(problem)
    positive_curvatures(np.linalg.eigvalsh(examples.hessian), setting)
    if not noise.own:  # every batch is all examples: gradient descent, which comes to rest
        still = np.zeros_like(examples.hessian)
        return RegressionLaw(minimum, still[0], still, still)
    if not is_shuffled(sampling):
        covariance = _independent(examples, setting, noise.own)
        zero = np.zeros_like(covariance)
        return RegressionLaw(minimum, zero[0], covariance, zero)
    if orders is not None:
        orders = _checks.integer("orders", orders, at_least=100)
    every_one = sampling == "shuffle_all"
    # e in units of η, for rounding: beside v it is as small as η
    examples = Examples(setting.rate * examples.hessians, examples.gradients)
    unit = replace(setting, rate=1.0)
    operators, about = epoch_operators(examples, unit, orders, _generator(key), every_one=every_one)
    return _shuffled(minimum, setting.rate, operators, about)


def _generator(key: Key[Array, ""] | None) -> np.random.Generator:
    if key is None:
        return np.random.default_rng(0)
    check_key(key)
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel().tolist())


def _independent(examples: Examples, setting: Setting, own: float) -> np.ndarray:
    """Σ = R[C + V(Σ)], with R the answer to noise that does not depend on θ."""
    noise = batch_noise("replacement", setting, None)
    scale = own / noise.own
    values, vectors = np.linalg.eigh(examples.hessian)
    response = scale * sgd_response(values[:, None], values[None, :], noise, setting)
    # everything in the eigenbasis of H
    hessians = np.einsum("ai,nab,bj->nij", vectors, examples.hessians, vectors)
    C = vectors.T @ examples.covariance @ vectors

    def varying(sigma: np.ndarray) -> np.ndarray:
        spread = np.einsum("nij,njk->ik", hessians @ sigma, hessians) / len(hessians)
        result: np.ndarray = spread - values[:, None] * sigma * values[None, :]
        return result

    def feedback(sigma: np.ndarray) -> np.ndarray:
        result: np.ndarray = response * varying(sigma)
        return result

    size = len(values)
    start = response * C
    growth = _growth(feedback, np.eye(size))
    if not growth < 1:
        raise ValueError(
            f"the second moment of SGD diverges: noise that grows with the error feeds itself by a factor "
            f"{growth:.3g} >= 1. Use a smaller learning rate or a larger batch."
        )
    if not np.any(start):
        return np.zeros_like(start)
    operator = LinearOperator(
        (size * size, size * size),
        matvec=lambda flat: flat - feedback(flat.reshape(size, size)).ravel(),
        dtype=np.float64,
    )
    flat, failed = gmres(operator, start.ravel(), rtol=1e-12, atol=0.0, restart=60, maxiter=200)
    rest = np.abs(operator.matvec(flat) - start.ravel()).max()
    if failed and rest > 1e-8 * np.abs(start).max():
        raise ValueError(
            f"the second moment did not converge (feedback {growth:.4g}): η is too close to where "
            f"it diverges."
        )
    sigma = vectors @ flat.reshape(size, size) @ vectors.T
    result: np.ndarray = (sigma + sigma.T) / 2
    return result


def _growth(feedback: Any, start: np.ndarray) -> float:
    """The spectral radius of a map that keeps matrices positive, by the power method."""
    matrix, growth = start / np.linalg.norm(start), 0.0
    for _ in range(300):
        image = feedback(matrix)
        length = float(np.linalg.norm(image))
        if not length > 0 or abs(length - growth) < 1e-9 * length:
            return length
        matrix, growth = image / length, length
    return growth


def _shuffled(minimum: np.ndarray, rate: float, operators: np.ndarray, about: np.ndarray) -> RegressionLaw:
    """The fixed point of the first and second moment of (e, v) over an epoch, taken from `about`."""
    dimension = len(minimum)
    mean = operators.mean(axis=0)
    factor = _radius(mean)
    if abs(factor - 1) < _ROUNDED:
        raise ValueError(
            f"an epoch of SGD changes its second moment by less than {_ROUNDED:g} of it, which is lost in "
            f"rounding. Use a larger learning rate."
        )
    if not factor < 1:
        raise ValueError(
            f"the second moment of SGD diverges over an epoch, by a factor {factor:.3g}, or too few orders "
            f"were drawn to see that it does not. Use a smaller learning rate, a larger batch or more orders."
        )
    bias, covariance = _fixed_point(mean, dimension)
    lowest = float(np.linalg.eigvalsh(covariance)[0])
    if lowest < -1e-9 * np.abs(covariance).max():
        hint = "Use a larger learning rate" + (" or more orders." if len(operators) > 1 else ".")
        raise ValueError(
            f"the lowest eigenvalue of the covariance comes out as {rate**2 * lowest:.3g}, below 0, by "
            f"rounding or by luck. {hint}"
        )
    error = np.zeros_like(covariance)
    if len(operators) > 1:
        # leave one group of orders out at a time (the jackknife)
        total, count = operators.sum(axis=0), len(operators)
        found = [_fixed_point((total - group) / (count - 1), dimension)[1] for group in operators]
        error = np.sqrt((count - 1) * np.var(found, axis=0))
    bias = rate * (about[:dimension] + bias)
    return RegressionLaw(minimum, bias, rate**2 * covariance, rate**2 * error)


def _radius(operator: np.ndarray) -> float:
    """The spectral radius of what an epoch does to the second moment of (e, v) alone, which is symmetric."""
    side = int(round(len(operator) ** 0.5))
    inner = operator.reshape((side,) * 4)[:-1, :-1, :-1, :-1]
    rows, columns = np.triu_indices(side - 1)
    taken = inner[rows, columns]
    of_pairs = taken[:, rows, columns] + (rows != columns) * taken[:, columns, rows]
    return float(np.abs(np.linalg.eigvals(of_pairs)).max())


def _fixed_point(operator: np.ndarray, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of e that an epoch leaves as they are: of z = (e, v, 1), Z = E[G Z Gᵀ]."""
    side = int(round(len(operator) ** 0.5))
    whole = operator.reshape((side,) * 4)
    drift = whole[:-1, -1, :, -1]
    bias = np.linalg.solve(np.eye(side - 1) - drift[:, :-1], drift[:, -1])
    start = np.append(bias, 1.0)
    kicks = whole[:-1, :-1] @ start @ start - np.outer(bias, bias)
    moves = whole[:-1, :-1, :-1, :-1].reshape(kicks.size, kicks.size)
    found = np.linalg.solve(np.eye(kicks.size) - moves, kicks.ravel()).reshape(kicks.shape)
    covariance = (found + found.T)[:dimension, :dimension] / 2
    return bias[:dimension], covariance


def _examples(problem: FiniteSumProblem) -> tuple[np.ndarray, Examples]:
    """θ* and the examples around it, in float64.

    Raises:
        ValueError: if there are too many numbers, the losses are not quadratic, or H is singular.
    """
    start = _traces.parameter_shapes(problem.init)
    dimension = sum(leaf.size for leaf in jax.tree.leaves(start))
    size = problem.dataset_size
    assert size is not None
    if size * dimension**2 > _LARGEST:
        raise ValueError(
            f"N d² must be <= {_LARGEST}, got {size} examples of {dimension} parameters: all their Hessians "
            f"are held at once. Use discrete_covariance or directional_variance, which leave out that "
            f"they differ."
        )
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        double = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, jnp.float64) if eqx.is_inexact_array(leaf) else leaf, problem
        )
        zero = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float64), start)
        gradients, hessians, elsewhere = (np.asarray(part) for part in _quadratics(double, zero))
    expected = gradients + hessians.sum(axis=2)
    if np.abs(elsewhere - expected).max() > 1e-6 * np.abs(elsewhere).max():
        raise ValueError(
            f"problem must have quadratic losses, and those of {type(problem).__name__} are not: a gradient "
            f"is off by {np.abs(elsewhere - expected).max():.2g} from a straight line. At a minimum, "
            f"stationary_covariance gives the leading order."
        )
    mean = hessians.mean(axis=0)
    positive_curvatures(np.linalg.eigvalsh(mean), None)
    minimum = -np.linalg.solve(mean, gradients.mean(axis=0))
    centred = gradients + hessians @ minimum
    return minimum, Examples(hessians, centred - centred.mean(axis=0))


@_traces.jit
def _quadratics(problem: FiniteSumProblem, zero: Any) -> tuple[Any, Any, Any]:
    """∇ℓ_n at 0 and ∇∇ℓ_n there, and ∇ℓ_n at (1, …, 1)."""
    flat, unravel = ravel_pytree(zero)

    def losses(vector: Any) -> Any:
        return problem.example_losses(unravel(vector))

    slopes = jax.jacrev(losses)
    return slopes(flat), jax.jacfwd(slopes)(flat), slopes(jnp.ones_like(flat))
