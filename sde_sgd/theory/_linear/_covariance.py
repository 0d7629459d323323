"""Stationary covariance on a quadratic: the SDE's, and that of SGD itself at finite η."""

from typing import Any, Literal

import numpy as np
from jaxtyping import PyTree

from sde_sgd import _checks
from sde_sgd._platform.reading import _traces
from sde_sgd._types import Numbers, Sampling
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import NotKnownError, Problem
from sde_sgd.processes._base import check_hyper
from sde_sgd.theory._laplace import facts_at, minimum_near
from sde_sgd.theory._linear._modes import sde_response, sgd_response
from sde_sgd.theory._setting import LAWS, law_noise, one_setting, positive_curvatures


def lyapunov_covariance(
    hessian: Numbers,
    gradient_covariance: Numbers,
    hyper: Hyperparameters,
    *,
    sampling: Sampling = "replacement",
    dataset_size: int | None = None,
) -> np.ndarray:
    r"""Σ of the SDE on L = ½ θᵀHθ: the solution of HΣ + ΣH = (η/((1 − m)B)) C.

    The limit of `discrete_covariance` as η → 0; relative to it the variance along an eigenvector of
    curvature λ is too small by ηλ/2 (without momentum).

    Args:
        hessian: H, symmetric and positive definite, shape `(d, d)`; units of loss/θ².
        gradient_covariance: C, of one example's gradient, shape `(d, d)`; units of (loss/θ)².
        hyper: one η, B and m.
        sampling: "replacement", or "subset", whose C is (N − B)/(N − 1) times that.
        dataset_size: N, for "subset".

    Returns:
        Σ, shape `(d, d)`, units of θ².

    Raises:
        ValueError: if H or C is not symmetric, H is not positive definite or C not semi-definite.

    Source: Mandt, Hoffman, Blei 2017 (arXiv:1704.04289), in units of SDE time.
    """
    return _covariance("sde", hessian, gradient_covariance, hyper, sampling, dataset_size, average=False)


def discrete_covariance(
    hessian: Numbers,
    gradient_covariance: Numbers,
    hyper: Hyperparameters,
    *,
    average: bool = False,
    sampling: Sampling = "replacement",
    dataset_size: int | None = None,
) -> np.ndarray:
    r"""Σ of SGD itself on L = ½ θᵀHθ with noise that does not depend on θ: exact at any stable η.

    Without momentum HΣ + ΣH − ηHΣH = (η/B) C. With it, the θ-block of the 2d × 2d equation
    X = A X Aᵀ + b (C/B) bᵀ for the state (θ, v), v ← m v + ĝ, θ ← θ − η v. For shuffled epochs
    the same over a whole epoch, with the covariance −C/(N − 1) between any two of its batches.
    All are solved mode by mode in the eigenbasis of H, to rounding.

    Exact only where every example has the same Hessian; for linear regression in general see
    `regression_covariance`.

    Args:
        hessian: H, symmetric and positive definite, shape `(d, d)`.
        gradient_covariance: C, of one example's gradient, divided by N not N − 1, shape `(d, d)`.
        hyper: one η, B and m, with ηλ_max < 2(1 + m).
        sampling: "replacement", "subset" (a fresh one each step), "shuffle" or "shuffle_all", whose last
            batch of r examples has the covariance (N − r)/(r(N − 1)) C.
        dataset_size: N, for all but the first.
        average: for shuffled epochs, over the steps of an epoch in place of its end. (The steps of an
            epoch are not alike: in the middle the variance is larger.)

    Returns:
        Σ, shape `(d, d)`, units of θ².

    Raises:
        ValueError: if H or C is not symmetric, H is not positive definite, C not semi-definite, or
            SGD is unstable.

    Source: derived here; for the first equation see Liu, Ziyin, Ueda 2021 (arXiv:2012.03636), who
    treat momentum too. Scalar: (ησ²/(Bh))(1 + m)/[(1 − m)(2(1 + m) − ηh)].
    """
    return _covariance("sgd", hessian, gradient_covariance, hyper, sampling, dataset_size, average=average)


def stationary_covariance(
    problem: Problem,
    hyper: Hyperparameters,
    *,
    at: PyTree | None = None,
    law: Literal["sgd", "sde"] = "sgd",
    sampling: Sampling = "replacement",
    average: bool = False,
) -> np.ndarray:
    """`discrete_covariance` or `lyapunov_covariance` with the Hessian and C of a problem at a minimum.

    Exact for `Quadratic` with constant noise; elsewhere the leading order in the temperature, as
    neither the curvature nor the noise is the same all over the cloud.

    Args:
        problem: with dense Hessian and C, hence small.
        hyper: one η, B and m.
        at: parameters near a minimum, refined by Newton's method; by default the first of
            `problem.minima()`.
        law: "sgd" or "sde".
        sampling, average: as in `discrete_covariance`.

    Returns:
        Σ over the raveled parameters, shape `(d, d)`.

    Raises:
        ValueError: as in `discrete_covariance`, or if there is no minimum near `at`.
        NotKnownError: if `at` is not given and the problem does not know its minima.
    """
    check_hyper(problem, hyper)
    _checks.choice("law", law, LAWS)
    hessian, covariance = model_at_minimum(problem, at)
    return _covariance(law, hessian, covariance, hyper, sampling, problem.dataset_size, average=average)


def model_at_minimum(problem: Problem, at: Any) -> tuple[np.ndarray, np.ndarray]:
    """H and C over the raveled parameters at the minimum near `at`."""
    if at is None:
        try:
            at = problem.minima()[0]
        except NotKnownError as error:
            raise NotKnownError(
                f"{type(problem).__name__} does not know its minima; give at=..., parameters near one."
            ) from error
    theta = minimum_near(problem, at, "at")
    _, hessian = facts_at(problem, theta)
    return hessian, np.asarray(_gradient_covariance(problem, theta), np.float64)


@_traces.jit
def _gradient_covariance(problem: Problem, theta: Any) -> Any:
    return problem.gradient_covariance(theta)


def eigenmodes(hessian: Any, gradient_covariance: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eigenvalues λ and eigenvectors E of H, and EᵀCE; both matrices are checked."""
    H = _checks.square_matrix("hessian", hessian)
    C = _checks.square_matrix("gradient_covariance", gradient_covariance)
    if H.shape != C.shape:
        raise ValueError(
            f"gradient_covariance must have the shape of hessian, {H.shape}, got {C.shape}; both are "
            f"over the raveled parameters."
        )
    values, vectors = np.linalg.eigh(H)
    return values, vectors, vectors.T @ C @ vectors


def _covariance(
    law: str, hessian: Any, covariance: Any, hyper: Any, sampling: str, dataset_size: Any, *, average: bool
) -> np.ndarray:
    setting = one_setting(hyper)
    noise = law_noise(law, sampling, setting, dataset_size)
    values, vectors, C = eigenmodes(hessian, covariance)
    positive_curvatures(values, setting if law == "sgd" else None)
    rows, columns = values[:, None], values[None, :]
    if law == "sde":
        response = sde_response(rows, columns, noise, setting)
    else:
        response = sgd_response(rows, columns, noise, setting, average=average)
    sigma = vectors @ (response * C) @ vectors.T
    result: np.ndarray = (sigma + sigma.T) / 2
    return result
