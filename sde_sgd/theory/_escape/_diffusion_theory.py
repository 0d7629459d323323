"""The time of escape where the noise has the covariance of the curvature."""

from dataclasses import dataclass

import numpy as np

from sde_sgd import _checks
from sde_sgd._platform._shown import Shown
from sde_sgd._types import Scalar
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.theory._setting import one_setting


@dataclass(frozen=True, repr=False)
class DiffusionTheory(Shown):
    """Times of escape with D = η'|H|/(2B).

    Attributes:
        exponent: (2BΔL/η')(s/H_a + (1 − s)/H_b).
        switch_fraction: s.
        printed_time, printed_steps: as in the paper, in SDE time and in steps of SGD.
        ito_time, ito_steps: with the prefactor of the Itô SDE.
    """

    exponent: float
    switch_fraction: float
    printed_time: float
    printed_steps: float
    ito_time: float
    ito_steps: float


def diffusion_theory(
    hyper: Hyperparameters,
    *,
    well_curvature: Scalar,
    barrier_curvature: Scalar,
    barrier_height: Scalar,
    switch_fraction: Scalar | None = None,
) -> DiffusionTheory:
    r"""The mean time of escape of SGD whose noise is its curvature, C = |H|, hence D = η'|H|/(2B):

        τ = (2π/H_b) exp[(2BΔL/η')(s/H_a + (1 − s)/H_b)]    as printed,
        τ = (2π/H_a) exp[the same]                          in Itô's reading,

    η' = η/(1 − m), H_a > 0 and −H_b < 0 the curvatures along the escape at minimum and saddle, s the part of
    the way up with noise H_a. The exponent is ∫L'/D; the printed prefactor is not that of Itô's reading,
    which is SGD's: with piecewise constant noise Laplace's method on the integrals of `mean_passage_time`
    gives √(2πη'/(2B)) for the top and √(2πη'/(2B))·2B/(η'H_a) for the well. They agree where H_a = H_b.
    What is left out is what either bell holds beyond the switch. At η'/B = .2 and a way of length 1 the exact
    time (`mean_passage_time` of `MatchedParabolas` under `with_curvature_noise`) is 65.5 for (H_a, H_b) =
    (4, 1), where these are 188 and 47.1.

    Args:
        hyper: one η, B and m.
        well_curvature: H_a > 0.
        barrier_curvature: H_b > 0 (the curvature at the top is −H_b).
        barrier_height: ΔL > 0.
        switch_fraction: 0 < s < 1; by default H_b/(H_a + H_b), of parabolas that meet with one slope.

    Raises:
        ValueError: for numbers out of range.

    Source: Xie, Sato, Sugiyama 2021 (arXiv:2002.03495); the Itô prefactor derived here.
    """
    setting = one_setting(hyper)
    a = float(_checks.scalar("well_curvature", well_curvature, above=0))
    b = float(_checks.scalar("barrier_curvature", barrier_curvature, above=0))
    height = float(_checks.scalar("barrier_height", barrier_height, above=0))
    s = b / (a + b)
    if switch_fraction is not None:
        s = float(_checks.scalar("switch_fraction", switch_fraction, above=0, below=1))
    rate = setting.effective_rate
    exponent = 2 * setting.batch * height / rate * (s / a + (1 - s) / b)
    with np.errstate(over="ignore"):
        printed, ito = (float(2 * np.pi / curvature * np.exp(exponent)) for curvature in (b, a))
    return DiffusionTheory(exponent, s, printed, printed / rate, ito, ito / rate)
