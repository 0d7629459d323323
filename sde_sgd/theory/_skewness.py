"""Skewed gradient noise makes one of two equal wells the likelier one, however small η is."""

import numpy as np
import scipy

from sde_sgd import _checks
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._analytic import AnalyticProblem
from sde_sgd.problems._base import Problem
from sde_sgd.theory._density import Density1D
from sde_sgd.theory._gibbs import gibbs, temperature
from sde_sgd.theory._line import Line
from sde_sgd.theory._setting import one_setting

# third standardised cumulant of one example's noise
SKEWNESS = {"gaussian": 0.0, "rademacher": 0.0, "exponential": 2.0}


def skew_log_odds(
    problem: Problem,
    hyper: Hyperparameters,
    skewness: float | None = None,
    *,
    split: float | None = None,
    averaged: bool = True,
) -> float:
    r"""What skewed noise adds to ln(P_left/P_right) of two wells, to first order in the skewness.

        κ₃(η'/B)²σ³/(6D³) ∫ L'² dx,    D = η'σ²/(2B)

    The third cumulant κ₃σ³ of one example's gradient adds −(c/6)p''' to the Fokker-Planck equation,
    with c = −κ₃(η'/B)²σ³, hence p ∝ exp(−L/D) [1 + (c/(6D³))(∫L'² − DL')]. The integral runs from the
    left minimum to the right one as D → 0; `averaged` weighs its end points by the Gibbs law in
    each well instead, which is exact to first order in κ₃ at any D. It depends on η only through
    η/B: the effect does not go away as η → 0 at fixed η/B. What is left out is of relative order
    η/B and η; the chain's exact number is in `chain_law(...).probability(...)`.

    Args:
        problem: one parameter, isotropic constant noise.
        hyper: one η, B and m.
        skewness: κ₃ of one example's gradient *along* θ, E(g − ḡ)³/σ³; by default that of an
            analytic problem's own noise law, or of the data.
        split: the point between the wells; by default the top between the outermost minima.
        averaged: over each well, or from minimum to minimum.

    Returns:
        The shift of ln(P_left/P_right); 0 for noise without skewness. Add
        ln(P_left/P_right) of `gibbs` where the wells are not alike.

    Raises:
        NotKnownError: if the noise is not isotropic and constant, or minima are needed and not known.
        ValueError: for more parameters, one minimum only, or T = 0.

    Source: derived here (Kramers-Moyal expansion to third order).
    """
    line = Line(problem, "skew_log_odds")
    diffusion = temperature(problem, hyper) / 2
    setting = one_setting(hyper)
    kappa = _skewness_of(problem) if skewness is None else float(_checks.scalar("skewness", skewness))
    density = gibbs(problem, hyper)
    assert isinstance(density, Density1D)
    minima = line.minima()
    if len(minima) < 2:
        raise ValueError(
            f"problem must know two minima or more, whose odds are asked for, got {type(problem).__name__} "
            f"with one. DoubleWell, MatchedParabolas and TwoMinima know two; of others run chains and count."
        )
    grid = density.grid
    loss, slope, _ = line.derivatives(grid)
    if split is None:
        between = (grid > minima[0]) & (grid < minima[-1])
        top = float(grid[between][loss[between].argmax()])
    else:
        top = float(_checks.scalar("split", split))
        if not grid[0] < top < grid[-1]:
            raise ValueError(f"split must lie in ({grid[0]:.4g}, {grid[-1]:.4g}), got {top:g}.")
    rising = scipy.integrate.cumulative_simpson(slope**2, x=grid, initial=0.0)
    sigma = (2 * diffusion * setting.batch / setting.effective_rate) ** 0.5
    strength = kappa * (setting.effective_rate / setting.batch) ** 2 * sigma**3 / (6 * diffusion**3)
    if not averaged:
        ends = scipy.interpolate.CubicHermiteSpline(grid, rising, slope**2)(minima[[0, -1]])
        return float(strength * (ends[1] - ends[0]))
    weights = np.exp(-(loss - loss.min()) / diffusion)
    # the integrals from the left end to the top and from there on, as the top lies between two points
    mass, moment = (
        scipy.integrate.cumulative_simpson(values, x=grid, initial=0.0)
        for values in (weights, weights * (rising - diffusion * slope))
    )
    left = [
        float(scipy.interpolate.CubicHermiteSpline(grid, *pair)(top))
        for pair in ((mass, weights), (moment, weights * (rising - diffusion * slope)))
    ]
    right = mass[-1] - left[0], moment[-1] - left[1]
    return float(strength * (right[1] / right[0] - left[1] / left[0]))


def _skewness_of(problem: Problem) -> float:
    """κ₃ of one example's gradient."""
    if isinstance(problem, AnalyticProblem):
        return SKEWNESS[problem.noise_law]
    tilts = getattr(problem, "tilts", None)
    if tilts is None:
        raise ValueError(
            f"skewness is not known for {type(problem).__name__}; give it: the third moment of "
            f"(g_n - g) / sigma over the examples."
        )
    values = np.ravel(np.asarray(tilts, np.float64))
    spread = values.std()
    return float(((values - values.mean()) ** 3).mean() / spread**3) if spread > 0 else 0.0
