"""The quasi-potential of an Ornstein-Uhlenbeck process: ΔL/D for noise that is not isotropic."""

from dataclasses import dataclass

import numpy as np
import scipy

from sde_sgd import _checks
from sde_sgd._platform._shown import Shown, described
from sde_sgd._types import Numbers, Sampling, Scalar
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.theory._linear._covariance import lyapunov_covariance

# of Σ: below so much of the largest an eigenvalue is zero
_SINGULAR = 1e-12
# |HΣ − ΣH| that the rounding of measured matrices may leave, in units of |HΣ + ΣH|
_ROUNDING = 1e-5


@dataclass(frozen=True, repr=False)
class QuasiPotential(Shown):
    """V(x) = ½ xᵀΣ⁻¹x, with P ∝ e^{−V}, about a minimum with Hessian H.

    Attributes:
        hessian: H, shape `(d, d)`.
        covariance: Σ, shape `(d, d)`, units of θ².
        diffusion: D*, the largest (½ xᵀHx)/V(x), units of the loss: the largest eigenvalue of HΣ.
        direction: the x of length 1 with that ratio, shape `(d,)`: where the process leaves, on either side.
        irreversibility: |HΣ − ΣH|/|HΣ + ΣH| by Frobenius' norm: 0 in detailed balance, and below 1.
    """

    hessian: np.ndarray
    covariance: np.ndarray
    diffusion: float
    direction: np.ndarray
    irreversibility: float

    def __repr__(self) -> str:
        names = ("covariance", "diffusion", "direction", "irreversibility")
        return described(self, {name: getattr(self, name) for name in names})

    @property
    def detailed_balance(self) -> bool:
        """Whether H and C commute, to 1e-5: only then does the stationary law have no current."""
        return self.irreversibility <= _ROUNDING

    def at(self, displacement: Numbers) -> np.ndarray:
        """V(x).

        Args:
            displacement: x, from the minimum, shape `(..., d)`.

        Raises:
            ValueError: for another last axis.
        """
        _checks.number("displacement", displacement)
        x = np.asarray(displacement, np.float64)
        if x.ndim == 0 or x.shape[-1] != len(self.covariance):
            raise ValueError(
                f"displacement must have {len(self.covariance)} entries on its last axis, one for each "
                f"parameter, got shape {x.shape}."
            )
        rows = x.reshape(-1, x.shape[-1])
        values = 0.5 * np.sum(rows * np.linalg.solve(self.covariance, rows.T).T, axis=1)
        result: np.ndarray = values.reshape(x.shape[:-1])
        return result

    def barrier(self, barrier_height: Scalar) -> float:
        """The lowest V where ½ xᵀHx = ΔL, which is ΔL/D*: ln τ of leaving that level, to leading order.

        Args:
            barrier_height: ΔL > 0.

        Raises:
            ValueError: for anything else.
        """
        return float(_checks.scalar("barrier_height", barrier_height, above=0)) / self.diffusion

    def exit_point(self, barrier_height: Scalar) -> np.ndarray:
        """The x where V is that, shape `(d,)`; the other one is its negative.

        Args:
            barrier_height: ΔL > 0.

        Raises:
            ValueError: for anything else.
        """
        height = float(_checks.scalar("barrier_height", barrier_height, above=0))
        curvature = float(self.direction @ self.hessian @ self.direction)
        result: np.ndarray = np.sqrt(2 * height / curvature) * self.direction
        return result


def quasi_potential(
    hessian: Numbers,
    gradient_covariance: Numbers,
    hyper: Hyperparameters,
    *,
    sampling: Sampling = "replacement",
    dataset_size: int | None = None,
) -> QuasiPotential:
    r"""The barrier in the exponent from measured H and C, for dθ = −Hθ dt + √(η'/B) C^{1/2} dW:

        V(x) = ½ xᵀΣ⁻¹x,    HΣ + ΣH = (η'/B) C,    η' = η/(1 − m)

    The stationary law is exactly P ∝ e^{−V}, and ln of the mean time to reach a set is min V over it, to
    leading order as η' → 0. V has no unit: with noise of strength ε = η'/B, εV is the quasi-potential of
    Freidlin and Wentzell, the least ½ ∫ (ẋ + Hx)ᵀC⁻¹(ẋ + Hx) dt of all paths from the minimum to x. Hence

        min V over ½ xᵀHx = ΔL  is  ΔL/D*,    D* the largest eigenvalue of Σ^{1/2}HΣ^{1/2},

    at the x with Hx = D*Σ⁻¹x. C = σ²I gives V = L/D with D = η'σ²/(2B) in every direction (`kramers`). C = cH
    gives Σ = (cη'/2B) I and D* = cη'λ_max/(2B): it leaves along the sharpest direction, as in
    `diffusion_theory` with c = 1. Where H and C do not commute there is no detailed balance: V is not the
    loss in other units, a current flows, and the likeliest way out, ẋ = ΣHΣ⁻¹x, is not the way down
    reversed.

    Args:
        hessian: H at the minimum, symmetric and positive definite, shape `(d, d)`; units of loss/θ².
        gradient_covariance: C there, of one example's gradient, shape `(d, d)`; units of (loss/θ)².
        hyper: one η, B and m.
        sampling, dataset_size: as in `lyapunov_covariance`.

    Returns:
        `QuasiPotential`. What a real loss has beyond its curvature, and C beyond its value at the minimum,
        is left out.

    Raises:
        ValueError: as in `lyapunov_covariance`, or where there is no noise along some direction.

    Source: Freidlin, Wentzell 2012, *Random Perturbations of Dynamical Systems*, chapter 4; Kwon, Ao,
    Thouless 2005, PNAS 102, 13029.
    """
    sigma = lyapunov_covariance(
        hessian, gradient_covariance, hyper, sampling=sampling, dataset_size=dataset_size
    )
    H = _checks.square_matrix("hessian", hessian)
    variances = np.linalg.eigvalsh(sigma)
    if not variances[0] > _SINGULAR * variances[-1]:
        raise ValueError(
            f"gradient_covariance must make noise in every direction, but the stationary variances go from "
            f"{max(variances[0], 0.0):.3g} to {variances[-1]:.3g}: where nothing moves the barrier is "
            f"infinite. Restrict H and C to the directions E that have noise, as EᵀHE and EᵀCE."
        )
    root = scipy.linalg.cholesky(sigma, lower=True)
    ratios, vectors = np.linalg.eigh(root.T @ H @ root)
    likeliest = root @ vectors[:, -1]
    there, back = H @ sigma, sigma @ H
    irreversibility = np.linalg.norm(there - back) / np.linalg.norm(there + back)
    return QuasiPotential(
        H, sigma, float(ratios[-1]), likeliest / np.linalg.norm(likeliest), float(irreversibility)
    )
