"""The time of escape where the noise grows with the loss: a power of it in place of an exponential."""

from dataclasses import dataclass

import numpy as np
import scipy

from sde_sgd import _checks
from sde_sgd._platform._shown import Shown
from sde_sgd._types import Scalar
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.theory._setting import one_setting


@dataclass(frozen=True, repr=False)
class PowerLawEscape(Shown):
    """The time of escape with C = 2L(θ)H.

    Attributes:
        density_power: φ of P ∝ L^{−φ}.
        power: φ − n/2 of τ ∝ (L_s/L*)^{φ − n/2}.
        time: in SDE time t = ηk/(1 − m); infinite beyond e⁷⁰⁹.
        steps: the same in steps k of SGD.
        prefactor: the time without its power of L_s/L*.
    """

    density_power: float
    power: float
    time: float
    steps: float
    prefactor: float


def power_law_escape(
    hyper: Hyperparameters,
    *,
    minimum_loss: Scalar,
    saddle_loss: Scalar,
    well_curvature: Scalar,
    barrier_curvature: Scalar,
    dimension: int = 1,
) -> PowerLawEscape:
    r"""The mean time of escape of SGD on a square loss, whose noise is C(θ) = 2L(θ) h* in n directions:

        P ∝ L^{−φ},    φ = 1 + B/(η'h*),    η' = η/(1 − m)
        τ = (2π/√(h*h_s)) r (L_s/L*)^{φ − n/2},    r = (φ − 1)^{n/2} Γ(φ − n/2)/Γ(φ)

    With D = η'h*/B, which has no unit, the SDE is dθ = −∇L dt + √(2DL) dW (Itô). In the time ∫L dt it has
    the potential ln L and the constant noise D. So e^{−ln L/D} is its law there and L^{−1}e^{−ln L/D} in time
    t, while the current over the saddle is one and the same: Kramers' with the curvature −h_s/L_s of ln L. A
    quadratic well L* + ½h*|x|² holds the probability (2πL*/h*)^{n/2} Γ(φ − n/2)/Γ(φ) L*^{−φ}, and r → 1 as
    D → 0. The power is that of τ as L* → 0 at any D. What is left out of the constant is of relative order D
    at the saddle and of order L*/L_s in the well.

    It holds where C is isotropic with one h* over the n directions ("outliers") that count, there at the
    saddle too, and zero across them. With C = 2LH of unequal curvatures ∇L/L is no gradient of a potential
    in the metric of the noise, and there is no such law. The curvatures at the saddle other than −h_s are
    taken to be h*; else τ has √(∏|h_i|/h*^{n − 1}) for a factor.

    Args:
        hyper: one η, B and m.
        minimum_loss: L* > 0. At zero loss there is no noise and no escape.
        saddle_loss: L_s > L*.
        well_curvature: h* > 0, units of loss/θ².
        barrier_curvature: h_s > 0 (the curvature down from the saddle is −h_s).
        dimension: n ≥ 1.

    Returns:
        `PowerLawEscape`.

    Raises:
        ValueError: for numbers out of range, or where φ ≤ n/2: then the well holds no probability.

    Source: Mori, Ziyin, Liu, Ueda 2022 (arXiv:2105.09557) for both powers; the constant derived here.
    """
    setting = one_setting(hyper)
    lowest = float(_checks.scalar("minimum_loss", minimum_loss, above=0, hint="Noise 2LH vanishes at 0."))
    highest = float(_checks.scalar("saddle_loss", saddle_loss, above=lowest))
    well = float(_checks.scalar("well_curvature", well_curvature, above=0))
    barrier = float(_checks.scalar("barrier_curvature", barrier_curvature, above=0))
    half = _checks.integer("dimension", dimension, at_least=1) / 2
    inverse = setting.batch / (setting.effective_rate * well)
    power = 1 + inverse - half
    if not power > 0:
        raise ValueError(
            f"dimension must be < 2 (1 + B/(η'h*)) = {2 * (1 + inverse):.4g}, got {dimension}: P ∝ L^-φ "
            f"has no weight near the minimum then, as its tails hold it all. Use a smaller learning rate or "
            f"a larger batch."
        )
    held = half * np.log(inverse) + scipy.special.gammaln(power) - scipy.special.gammaln(1 + inverse)
    prefactor = float(2 * np.pi / np.sqrt(well * barrier) * np.exp(held))
    with np.errstate(over="ignore"):
        time = float(prefactor * np.exp(power * np.log(highest / lowest)))
    return PowerLawEscape(1 + inverse, power, time, time / setting.effective_rate, prefactor)
