"""The time of escape over a saddle in any dimension, to leading order in D."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from sde_sgd._platform._shown import Shown
from sde_sgd._platform.reading import _traces
from sde_sgd.curvature._operators import operator, parameter_count
from sde_sgd.curvature._quadrature import check_quadrature, log_determinants
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.processes._base import check_hyper
from sde_sgd.random import check_key
from sde_sgd.theory._escape._saddle import StationaryPoint, is_large, minimum_near, saddle_near
from sde_sgd.theory._linear._matrix_free import hessian_operator
from sde_sgd.theory._potential import in_float64
from sde_sgd.theory._setting import one_setting


@dataclass(frozen=True, repr=False)
class KramersTime(Shown):
    """Eyring-Kramers' mean time of escape.

    Attributes:
        time: in SDE time t = ηk/(1 − m); infinite beyond e⁷⁰⁹.
        steps: the same in steps k of SGD.
        prefactor: the time without its exponential.
        exponent: ΔL/D.
        minimum, saddle: from where and over what.
        standard_error: of the time, relative to it, from random vectors; 0 where the Hessians are dense.
    """

    time: float
    steps: float
    prefactor: float
    exponent: float
    minimum: StationaryPoint
    saddle: StationaryPoint
    standard_error: float


def kramers(
    problem: Problem,
    hyper: Hyperparameters,
    *,
    minimum: PyTree,
    saddle: PyTree,
    samples: int = 10,
    products: int | None = None,
    key: Key[Array, ""] | None = None,
) -> KramersTime:
    r"""The mean time of escape from a minimum a over a saddle b, as D → 0:

        τ = (2π/|λ₋|) √(|det H_b|/det H_a) e^{ΔL/D},    D = η'σ²/(2B),    η' = η/(1 − m)

    with H = ∇∇L, λ₋ the negative eigenvalue of H_b and ΔL = L_b − L_a, for dθ = −∇L dt + √(2D) dW. What is
    left out is of relative order D: on the double well (x² − 1)²/4 the exact time is 1 + 3D/2 times this.
    It is the time to the next well over this saddle alone; with several saddles rates 1/τ add up.

    Above 500 parameters no Hessian is made. With e the way down from the saddle and c = eᵀH_a e,

        ln(|det H_b|/det H_a) = ln(|λ₋|/c) + E zᵀ[ln(H_b + (c − λ₋) eeᵀ) − ln H_a] z

    by Lanczos' quadrature for random signs z, the same for both: what the two Hessians have in common adds
    nothing to the standard error.

    Args:
        problem: with isotropic, constant noise.
        hyper: one η, B and m.
        minimum, saddle: parameters of one chain near a and near b, or a `StationaryPoint` such as
            `find_saddle` gives; refined here.
        samples, products: random vectors above 500 parameters, and products for each, as in
            `curvature.log_determinant`, whose error of quadrature this has too.
        key: draws them; needed above 500 parameters.

    Returns:
        `KramersTime`.

    Raises:
        NotKnownError: if the noise is not isotropic and constant.
        ValueError: without noise, without a key above 500 parameters, if `minimum` does not lead to a
            minimum, `saddle` not to one of index one (`find_saddle`), or the saddle is not higher than the
            minimum.

    Source: Kramers 1940, Physica 7, 284; Langer 1969, Ann. Phys. 54, 258; Bovier, Eckhoff, Gayrard, Klein
    2004, J. Eur. Math. Soc. 6, 399.
    """
    check_hyper(problem, hyper)
    setting = one_setting(hyper)
    diffusion = setting.effective_rate * float(problem.noise_variance()) / (2 * setting.batch)
    if not diffusion > 0:
        raise ValueError("noise_variance must be > 0 for an escape, got 0: without noise there is none.")
    shapes = _traces.parameter_shapes(problem.init)
    samples, products = check_quadrature(samples, products, parameter_count(shapes))
    if key is not None:
        check_key(key)
    elif is_large(shapes):
        raise ValueError(
            f"key must be given for {parameter_count(shapes)} parameters, got None: the determinants of "
            f"Hessians of this size are estimated from random vectors. Give one, such as jax.random.key(0)."
        )
    well, top = minimum_near(problem, minimum, "minimum"), saddle_near(problem, saddle, "saddle")
    height = top.loss - well.loss
    if not height > 0:
        raise ValueError(
            f"saddle must be higher than minimum, got losses of {top.loss:.6g} and {well.loss:.6g}: it "
            f"belongs to another well."
        )
    if is_large(shapes):
        ratio, error = _log_ratio(problem, well, top, samples, products, key)
    else:
        ratio, error = float(np.log(np.abs(top.eigenvalues)).sum() - np.log(well.eigenvalues).sum()), 0.0
    exponent = height / diffusion
    logarithm = np.log(2 * np.pi / abs(top.eigenvalues[0])) + ratio / 2
    with np.errstate(over="ignore"):
        prefactor, time = float(np.exp(logarithm)), float(np.exp(logarithm + exponent))
    steps = time / setting.effective_rate
    return KramersTime(time, steps, prefactor, exponent, well, top, error / 2)


def _log_ratio(
    problem: Problem, well: StationaryPoint, top: StationaryPoint, samples: int, products: int, key: Any
) -> tuple[float, float]:
    """ln(|det H_b|/det H_a) and its standard error."""
    lowest = float(top.eigenvalues[0])
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        exact = in_float64(problem)
        places = [jax.tree.map(jnp.asarray, point.theta) for point in (well, top)]
        along = float(top.direction @ (hessian_operator(exact, places[0]) @ top.direction))
        direction = jnp.asarray(top.direction)
        of_well, of_top = (
            np.asarray(_logarithms(exact, place, direction, jnp.asarray(lift), key, samples, products))
            for place, lift in zip(places, (0.0, along - lowest), strict=True)
        )
    spread = of_top - of_well
    error = float(spread.std(ddof=1)) / samples**0.5
    return float(spread.mean() + np.log(-lowest / along)), error


@_traces.jit
def _logarithms(
    problem: Problem, theta: Any, direction: Array, lift: Array, key: Any, samples: int, products: int
) -> Array:
    """zᵀ ln(H + lift eeᵀ) z for random signs z."""
    made = operator(problem, theta, "hessian")
    lifted = made._replace(
        product=lambda vector: made.product(vector) + lift * jnp.vdot(direction, vector) * direction
    )
    return log_determinants(lifted, key, samples, products, jnp.zeros(()))[0]
