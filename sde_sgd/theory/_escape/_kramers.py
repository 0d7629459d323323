"""The time of escape over a saddle in any dimension, to leading order in D."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import PyTree

from sde_sgd._platform._shown import Shown
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.processes._base import check_hyper
from sde_sgd.theory._escape._saddle import StationaryPoint, minimum_near, saddle_near
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
    """

    time: float
    steps: float
    prefactor: float
    exponent: float
    minimum: StationaryPoint
    saddle: StationaryPoint


def kramers(problem: Problem, hyper: Hyperparameters, *, minimum: PyTree, saddle: PyTree) -> KramersTime:
    r"""The mean time of escape from a minimum a over a saddle b, as D → 0:

        τ = (2π/|λ₋|) √(|det H_b|/det H_a) e^{ΔL/D},    D = η'σ²/(2B),    η' = η/(1 − m)

    with H = ∇∇L, λ₋ the negative eigenvalue of H_b and ΔL = L_b − L_a, for dθ = −∇L dt + √(2D) dW. What is
    left out is of relative order D: on the double well (x² − 1)²/4 the exact time is 1 + 3D/2 times this.
    It is the time to the next well over this saddle alone; with several saddles rates 1/τ add up.

    Args:
        problem: with isotropic, constant noise and up to 500 parameters.
        hyper: one η, B and m.
        minimum, saddle: parameters of one chain near a and near b, refined here.

    Returns:
        `KramersTime`.

    Raises:
        NotKnownError: if the noise is not isotropic and constant.
        ValueError: without noise, if `minimum` does not lead to a minimum, `saddle` not to one of index one
            (`find_saddle`), or the saddle is not higher than the minimum.

    Source: Kramers 1940, Physica 7, 284; Langer 1969, Ann. Phys. 54, 258; Bovier, Eckhoff, Gayrard, Klein
    2004, J. Eur. Math. Soc. 6, 399.
    """
    check_hyper(problem, hyper)
    setting = one_setting(hyper)
    diffusion = setting.effective_rate * float(problem.noise_variance()) / (2 * setting.batch)
    if not diffusion > 0:
        raise ValueError("noise_variance must be > 0 for an escape, got 0: without noise there is none.")
    well, top = minimum_near(problem, minimum, "minimum"), saddle_near(problem, saddle, "saddle")
    height = top.loss - well.loss
    if not height > 0:
        raise ValueError(
            f"saddle must be higher than minimum, got losses of {top.loss:.6g} and {well.loss:.6g}: it "
            f"belongs to another well."
        )
    determinants = np.log(np.abs(top.eigenvalues)).sum() - np.log(well.eigenvalues).sum()
    prefactor = 2 * np.pi / abs(top.eigenvalues[0]) * np.exp(determinants / 2)
    with np.errstate(over="ignore"):
        time = float(prefactor * np.exp(height / diffusion))
    return KramersTime(time, time / setting.effective_rate, float(prefactor), height / diffusion, well, top)
