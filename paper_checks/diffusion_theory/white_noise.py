"""White noise: ln τ is ΔL/D but for a constant, and the sharpness enters as a power alone, τ ∝ 1/k.

Thresholds, set before any run:

- Styblinski-Tang in one dimension, ΔL/D = 4, 5, 6: τ of SGD within 3 % of the exact mean time of the
  finite chain (transition kernel) in each; two one-sided tests at level .05, corrected for three.
- Slope of ln τ in ΔL/D within 3 % of 1: by quadrature it is .993 here.
- Matched parabolas with curvature k and −k at one barrier and one white noise, L(√k θ): power of k in τ
  within 3 % of −1, which is exact for the SDE.
- Control: the power of k with noise of the curvature, equal at k = 1.

Numbers of exits were doubled and the η of the parabolas halved once, for power; no threshold was changed.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

import sde_sgd as ss
from paper_checks._card import Measurement, Outcome
from paper_checks._context import Context
from paper_checks.diffusion_theory._escapes import Escape, escape, line, parabolas
from paper_checks.diffusion_theory._near import least_shown, near
from paper_checks.diffusion_theory._paper import DIFFUSION_THEORY

RATE, WELL_RATE = 0.002, 0.01
START, TOP, TARGET = 2.7468027, 0.1567306, -1.0  # of Styblinski-Tang: right minimum, top, beyond it
HEIGHTS = (4.0, 5.0, 6.0)
FACTORS = (1.0, 1.5, 2.0, 3.0, 4.0)
MARGIN = 0.03


def check(context: Context) -> Outcome:
    """Vary D, then k."""
    exits = context.pick(smoke=20_000, quick=40_000, full=200_000)
    tang = [_tang(context, height, exits) for height in HEIGHTS]
    chain = [_chain(height) for height in HEIGHTS]
    absolute = [
        near(
            f"ln of τ over that of the exact chain, furthest of {len(HEIGHTS)}: ΔL/D = {height:g}",
            one.log_time - exact,
            one.error,
            to=0.0,
            margin=MARGIN,
            n=one.found.exits,
            tests=len(HEIGHTS),
        )
        for height, one, exact in zip(HEIGHTS, tang, chain, strict=True)
    ]
    slope, error, _ = line(np.array(HEIGHTS), tang)
    count = sum(one.found.exits for one in tang)
    main = near("slope of ln τ in ΔL/D", slope, error, to=1.0, margin=MARGIN, n=count)
    exits = context.pick(smoke=10_000, quick=20_000, full=100_000)
    white = [_stretched(context, k, exits, white=True) for k in FACTORS]
    curved = [_stretched(context, k, exits, white=False) for k in FACTORS]
    power, control = _power("white noise", white), _power("noise of the curvature", curved)
    return Outcome(
        measurements=(main, power, least_shown(absolute)),
        control=control,
        summary=(
            f"With white noise ln τ grows with ΔL/D at a slope of {main.estimate:.3f} and τ with k to the "
            f"power {power.estimate:.3f}; with noise of the curvature that power is {control.estimate:.1f}."
        ),
        figure=_draw(tang, chain, white, curved, (power.estimate, control.estimate)),
    )


def _problem(height: float) -> tuple[ss.problems.StyblinskiTang, ss.Hyperparameters]:
    """D = ησ²/2 such that ΔL/D is this."""
    loss = ss.problems.StyblinskiTang(1).loss
    barrier = float(loss(jnp.array([TOP])) - loss(jnp.array([START])))
    variance = 2 * barrier / (height * RATE)
    return ss.problems.StyblinskiTang(1, noise_variance=variance), ss.Hyperparameters(RATE, 1)


def _tang(context: Context, height: float, exits: int) -> Escape:
    problem, hyper = _problem(height)
    start = jnp.array([START])
    return escape(context, f"Tang {height}", problem, hyper, start=start, target=TARGET, exits=exits)


def _chain(height: float) -> float:
    """ln of the exact mean time of the chain, in SDE time."""
    return float(np.log(ss.theory.chain_passage_time(*_problem(height), start=START, target=TARGET).time))


def _stretched(context: Context, k: float, exits: int, *, white: bool) -> Escape:
    """L(√k θ), whose exponent at k = 1 is that of white noise at any k."""
    exponent = context.pick(smoke=3.0, quick=5.0, full=5.0)
    well = ss.problems.MatchedParabolas(
        well_curvature=k, barrier_curvature=k, barrier_height=exponent * WELL_RATE / 2
    )
    if not white:
        well = ss.problems.with_curvature_noise(well)
    hyper = ss.Hyperparameters(WELL_RATE, 1)
    return parabolas(context, f"{'white' if white else 'curvature'} {k}", well, hyper, exits)


def _power(noise: str, escapes: list[Escape]) -> Measurement:
    power, error, _ = line(np.log(FACTORS), escapes)
    exits = sum(one.found.exits for one in escapes)
    return near(f"power of k in τ, {noise}", power, error, to=-1.0, margin=MARGIN, n=exits)


def _draw(
    tang: list[Escape],
    chain: list[float],
    white: list[Escape],
    curved: list[Escape],
    powers: tuple[float, float],
) -> Any:
    figure, (left, right) = ss.plot.figure(1, 2, width=5.2, height=3.9)
    x = np.array(HEIGHTS)
    y = np.array([one.log_time for one in tang])
    left.errorbar(x, y, [2 * one.error for one in tang], fmt="o", color="#0072B2", mfc="white", label="SGD")
    left.plot(x, chain, "-", color="#0072B2", lw=1, label="finite chain, exact")
    left.plot(x, y.mean() + x - x.mean(), ":", color="black", lw=1.6, label="slope 1")
    left.set_xlabel("ΔL/D")
    left.set_ylabel("ln τ (τ in SDE time)")
    left.set_title("Styblinski-Tang, white noise")
    left.legend(fontsize=9)
    for escapes, colour, marker, name, power in (
        (white, "#0072B2", "o", "white noise", powers[0]),
        (curved, "#D55E00", "s", "noise of the curvature (control)", powers[1]),
    ):
        times = np.exp([one.log_time for one in escapes])
        label = f"{name}: power {power:.2f}".replace("-", "−")
        right.plot(FACTORS, times, marker, color=colour, mfc="white", label=label)
        right.plot(FACTORS, [one.sde for one in escapes], "-", color=colour, lw=1)
    right.plot(FACTORS, white[0].sde / np.array(FACTORS), ":", color="black", lw=1.6, label="τ ∝ 1/k")
    right.set_xscale("log")
    right.set_yscale("log")
    right.set_ylim(bottom=0.5)
    right.set_xticks(FACTORS, [f"{k:g}" for k in FACTORS])
    right.set_xticks([], minor=True)
    right.set_xlabel("sharpness k, in L(√k θ)")
    right.set_ylabel("τ in SDE time (lines: SDE, exact)")
    right.set_title("parabolas, one barrier")
    right.legend(fontsize=9, loc="lower left")
    return figure


CARD = DIFFUSION_THEORY.at("theorem 3.1 and figure 3").card(
    claim="""
        With white noise the logarithm of the mean time of escape is linear in ΔL/D, and the sharpness enters
        as a power only: τ(L(√k θ)) = τ/k.
    """,
    data="none: Styblinski-Tang, parabolas",
    paper_setting="Theory; Styblinski-Tang functions under injected white noise of several scales.",
    our_setting="""
        SGD with white noise, 8192 chains that are put back when they leave. Styblinski-Tang in one dimension,
        from the right minimum, η = .002, ΔL/D = 4, 5, 6; about 40 000 exits each (smoke 20 000, full
        200 000). Parabolas of curvature k and −k that meet, k = 1 to 4, η = .01, ΔL/D = 5; 20 000 exits each
        (smoke 10 000, ΔL/D = 3; full 100 000).
    """,
    statistic="""
        Slope of ln τ in ΔL/D; power of k in τ; and τ over the exact mean time of the finite chain, from its
        transition kernel. Weighted least squares, errors by Poisson numbers of exits.
    """,
    threshold="""
        Each within 3 %, of 1, −1 and the exact time; two one-sided tests at level .05, the last corrected for
        three.
    """,
    reason="Theory: the SDE's slope is .993 by quadrature, its power −1 exactly; the chain's time is exact.",
    control="The power of k where the noise is that of the curvature, the same at k = 1.",
    check=check,
)
