"""Occupation of several minima in Laplace's approximation."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree

from sde_sgd import _checks
from sde_sgd._platform._shown import parameters
from sde_sgd._platform.reading import _traces
from sde_sgd._types import Numbers
from sde_sgd.curvature._operators import check_theta
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.theory._gibbs import temperature


def laplace_probabilities(problem: Problem, hyper: Hyperparameters) -> np.ndarray:
    r"""P(minimum k) ∝ exp(−2L_k/T) / √det H_k over the problem's minima.

    For two minima p_A/p_B = √(det H_B/det H_A) · exp(2(L_B − L_A)/T). Good to O(T) where the
    wells are well separated. (Version 1 of the paper drops a ½ in its theorem 2: the exponent is
    2ΔL/T, not ΔL/T.)

    Args:
        problem: with isotropic noise and known minima, refined here by Newton's method.
        hyper: one learning rate and momentum.

    Returns:
        One probability per minimum, in the order of `problem.minima()`.

    Source: Jastrzębski et al. 2017 (arXiv:1711.04623), section 3.
    """
    scale = temperature(problem, hyper)
    points = [refine_minimum(problem, point) for point in problem.minima()]
    losses, hessians = zip(*(facts_at(problem, point) for point in points), strict=True)
    determinants = np.asarray([np.linalg.slogdet(hessian)[1] for hessian in hessians])
    return occupation(losses, determinants, scale)


def occupation(
    losses: Numbers, log_determinants: Numbers, temperature: float | int
) -> Float[np.ndarray, " minima"]:
    """Normalised exp(−2L_k/T − ½ ln det H_k).

    Args:
        losses: L_k at each minimum.
        log_determinants: ln det ∇∇L at each minimum.
        temperature: T > 0.
    """
    _checks.scalar("temperature", temperature, above=0)
    for name, values in (("losses", losses), ("log_determinants", log_determinants)):
        _checks.number(name, values)
        if _checks.shape(values) != _checks.shape(losses) or len(_checks.shape(values)) != 1:
            raise ValueError(
                f"{name} must hold one number for each minimum, got shape {_checks.shape(values)}."
            )
    log_odds = -2 * np.asarray(losses, np.float64) / temperature
    log_odds = log_odds - 0.5 * np.asarray(log_determinants, np.float64)
    weights = np.exp(log_odds - log_odds.max())
    result: Float[np.ndarray, " minima"] = weights / weights.sum()
    return result


def refine_minimum(problem: Problem, point: PyTree, steps: int = 20) -> PyTree:
    """Newton's method from a point near a minimum.

    Args:
        problem: with a dense Hessian, hence small.
        point: parameters of one chain.
        steps: of the method.

    Raises:
        ValueError: if the shapes do not fit the problem, or it ends where the Hessian is not positive
            definite: a saddle or a maximum attracts it as a minimum does.
    """
    return minimum_near(problem, point, "point", steps)


def minimum_near(problem: Any, point: Any, name: str, steps: Any = 20) -> Any:
    """The same for an argument of another name."""
    point = check_theta(problem, point, name)
    count = _checks.integer("steps", steps, at_least=0)
    refined, hessian = _newton(problem, point, jnp.asarray(count, jnp.int32))
    curved = np.asarray(hessian, np.float64)
    lowest = float(np.linalg.eigvalsh(curved)[0]) if np.isfinite(curved).all() else float("nan")
    if not lowest > 0:
        raise ValueError(
            f"{name} must lie near a minimum, got {parameters(point)}: Newton's method from there ends at "
            f"{parameters(refined)}, where the lowest curvature is {lowest:.4g}. Start closer to one, for "
            f"instance where gradient descent, run(Langevin(problem, hyper, noise='none'), ...), has ended."
        )
    return refined


def facts_at(problem: Problem, point: Any) -> tuple[float, np.ndarray]:
    """L and ∇∇L over the raveled parameters, in one program each."""
    hessian = _newton(problem, point, jnp.zeros((), jnp.int32))[1]
    return float(_loss(problem, point)), np.asarray(hessian, np.float64)


@_traces.jit
def _loss(problem: Problem, point: Any) -> Float[Array, ""]:
    return problem.loss(point)


@_traces.jit
def _newton(problem: Problem, point: Any, steps: Int[Array, ""]) -> tuple[Any, Float[Array, "d d"]]:
    """Where Newton's method ends, and the Hessian there."""
    flat, unravel = ravel_pytree(point)

    def curvature(at: Float[Array, " d"]) -> Float[Array, "d d"]:
        return jnp.reshape(problem.hessian(unravel(at)), (flat.size, flat.size))

    def step(_: Int[Array, ""], at: Float[Array, " d"]) -> Float[Array, " d"]:
        gradient = ravel_pytree(problem.gradient(unravel(at)))[0]
        result: Float[Array, " d"] = at - jnp.linalg.solve(curvature(at), gradient)
        return result

    flat = lax.fori_loop(0, steps, step, flat)
    return unravel(flat), curvature(flat)
