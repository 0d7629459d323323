"""The peak of λ₁ is lower for larger η and for smaller B.

Thresholds, set before the runs that decide:

- ln of the largest λ₁ of a run = c + a ln η + b ln B: a < 0 and b > 0, each by Student's t over seeds,
  one fit for each, Holm's correction for all networks, labels and both exponents. The one that is least
  shown counts.
- A run's largest value is above its mean curve the more, the more λ₁ fluctuates, which is at large η and
  small B: that is against the claim, so it needs no correction.
- The control deals out the peaks of each seed anew to the settings.
"""

from typing import Any

import jax
import numpy as np

from paper_checks._card import Measurement, Outcome
from paper_checks._context import Context
from paper_checks.sharpest_directions._exponents import (
    IN_RATE,
    IN_SIZE,
    SIGNS,
    claimed,
    corrected,
    dealt,
    fits,
)
from paper_checks.sharpest_directions._grid import Grid, grids
from paper_checks.sharpest_directions._panels import panels
from paper_checks.sharpest_directions._paper import SHARPEST_DIRECTIONS
from paper_checks.three_factors._ticks import plain_y_ticks


def check(context: Context) -> Outcome:
    """Fit the exponents of the peaks on every grid."""
    made = grids(context)
    peaks = {grid.name: (grid, grid.peaks) for grid in made}
    in_rate, in_size = _judge(peaks)
    key = context.key_for("dealt")
    mixed = {
        grid.name: (grid, dealt(grid.peaks, jax.random.fold_in(key, number)))
        for number, grid in enumerate(made)
    }
    control = min(_judge(mixed), key=lambda one: one.p or 0.0)
    return Outcome(
        measurements=(in_rate, in_size, *(_height(grid) for grid in made)),
        control=control,
        summary=(
            f"The peak of λ₁ goes as η to the power {in_rate.estimate:.2f} or less and as B to the power "
            f"{in_size.estimate:.2f} or more, on every network."
            if in_rate.met and in_size.met
            else f"The least shown exponents of the peak of λ₁ are {in_rate.estimate:.2f} in η and "
            f"{in_size.estimate:.2f} in B."
        ),
        figure=_draw(made),
    )


def _judge(peaks: dict[str, tuple[Grid, np.ndarray]]) -> tuple[Measurement, Measurement]:
    """Both exponents, each where it is least shown."""
    found = {name: fits(logs, grid.rates, grid.sizes) for name, (grid, logs) in peaks.items()}
    labels = {(name, which): f"{name}, in {which}" for name in found for which in SIGNS}
    family = corrected(
        {label: found[name][which] for (name, which), label in labels.items()},
        {label: SIGNS[which] for (_, which), label in labels.items()},
    )
    first, second = (
        claimed(
            {name: one[which] for name, one in found.items()},
            SIGNS[which],
            {name: family[labels[name, which]] for name in found},
            f"exponent of the peak of λ₁ in {which}",
            family_of=len(family),
        )
        for which in (IN_RATE, IN_SIZE)
    )
    return first, second


def _height(grid: Grid) -> Measurement:
    """From the setting with least noise to that with most."""
    drop = grid.peaks[-1, 0] - grid.peaks[0, -1]
    ratio = float(np.exp(drop.mean()))
    return Measurement(
        name=f"{grid.name}: peak at most noise over that at least",
        estimate=ratio,
        standard_error=float(ratio * drop.std(ddof=1) / np.sqrt(len(drop))),
        n=len(drop),
        threshold="1 if noise does nothing",
        met=None,
    )


def _draw(made: list[Grid]) -> Any:
    figure, axes = panels(len(made), width=3.7, height=3.6)
    for ax, grid in zip(axes[0], made, strict=True):
        for j, colour in zip(range(len(grid.sizes)), ("#D55E00", "#009E73", "#0072B2"), strict=False):
            logs = grid.peaks[:, j]
            error = logs.std(axis=1, ddof=1) / np.sqrt(logs.shape[1])
            mean = np.exp(logs.mean(axis=1))
            ax.errorbar(
                grid.rates, mean, 2 * error * mean, fmt="o-", color=colour, label=f"B = {grid.sizes[j]}"
            )
        _, high = ax.get_ylim()
        ax.plot(grid.rates, 2 / grid.rates, "k--", lw=1.2, label="2/η")
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_ylim(0.8 * np.exp(grid.peaks.mean(axis=2).min()), 1.25 * high)
        ax.set_xticks(grid.rates, [f"{rate:g}" for rate in grid.rates])
        ax.set_xticks([], minor=True)
        plain_y_ticks(ax)
        ax.set_xlabel("η")
        ax.set_title(grid.name, fontsize=11)
        ax.legend(fontsize=8.5)
    axes[0, 0].set_ylabel("peak of λ₁ ± 2 standard errors")
    return figure


CARD = SHARPEST_DIRECTIONS.at("section 3.1, figure 2").card(
    claim="""
        The peak of the largest eigenvalue of the Hessian is lower for larger η and for smaller B.
    """,
    data="digits",
    paper_setting="""
        SimpleCNN and ResNet-32 on CIFAR-10, λ₁ over epochs for several η at one B and several B
        at one η.
    """,
    our_setting="The runs of the card `growth`.",
    statistic="""
        a and b of ln(largest λ₁ of a run) = c + a ln η + b ln B by least squares, one fit for each seed,
        whose start is the same in all settings. The one of the networks and labels that is least shown.
    """,
    threshold="""
        a < 0 and b > 0 at level .05 by Student's t over seeds, Holm's correction over all
        exponents.
    """,
    reason="""
        The null is no dependence. A maximum over a run is larger the more λ₁ fluctuates, so what bias
        there is goes against the claim.
    """,
    control="The same test after the peaks of each seed are dealt out anew to the settings.",
    check=check,
)
