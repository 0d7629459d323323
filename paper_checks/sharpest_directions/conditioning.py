"""Noise controls the spectral norm and the conditioning of the Hessian throughout training.

Thresholds, set before the runs that decide:

- ln λ₁ and ln λ₁/λ₅ = c + a ln η + b ln B: a < 0 and b > 0 by Student's t over seeds, one fit for each.
  Holm's correction for all networks, labels, exponents and curves; of each kind the one that is least
  shown counts.
- A curve counts as a whole: its mean over the time from where the loss has made a third of the way that
  all runs make, and its mean over five losses from there to the lowest that all runs reach. The second
  is the main one: more noise also trains more slowly, and λ₁ changes with the loss.
- The trace informs.
- The control deals out the curves of each seed anew to the settings.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from paper_checks._card import Measurement, Outcome
from paper_checks._context import Context
from paper_checks.sharpest_directions._exponents import (
    IN_RATE,
    IN_SIZE,
    SIGNS,
    above,
    claimed,
    corrected,
    dealt,
    fits,
)
from paper_checks.sharpest_directions._grid import TOP, Grid, grids
from paper_checks.sharpest_directions._panels import panels
from paper_checks.sharpest_directions._paper import SHARPEST_DIRECTIONS

JUDGED = ("λ₁", f"λ₁/λ{chr(0x2080 + TOP)}")
EQUAL_LOSS, EQUAL_TIME = "equal loss", "equal time"
WHEN: dict[str, Callable[[Grid, str], np.ndarray]] = {EQUAL_LOSS: Grid.at_equal_loss, EQUAL_TIME: Grid.along}


def check(context: Context) -> Outcome:
    """Fit the exponents of whole curves on every grid."""
    made = grids(context)
    values = {
        (what, when): {grid.name: (grid, mean(grid, what)) for grid in made}
        for when, mean in WHEN.items()
        for what in JUDGED
    }
    parts = _judge(values)
    key = context.key_for("dealt")
    mixed = {
        which: {
            name: (grid, dealt(logs, jax.random.fold_in(jax.random.fold_in(key, i), j)))
            for j, (name, (grid, logs)) in enumerate(among.items())
        }
        for i, (which, among) in enumerate(values.items())
    }
    control = min(_judge(mixed), key=lambda one: one.p or 0.0)
    return Outcome(
        measurements=(*parts, *(_trace(grid) for grid in made)),
        control=control,
        summary=(
            f"At equal loss λ₁ goes as η to the power {parts[0].estimate:.2f} and B to the power "
            f"{parts[1].estimate:.2f} where least shown; λ₁/λ₅ as {parts[2].estimate:.2f} and "
            f"{parts[3].estimate:.2f}."
        ),
        figure=_draw(made),
    )


def _judge(values: dict[tuple[str, str], dict[str, tuple[Grid, np.ndarray]]]) -> list[Measurement]:
    """For each curve and kind of mean both exponents, each where it is least shown."""
    named = {
        (what, when, which, name): exponents
        for (what, when), among in values.items()
        for name, (grid, logs) in among.items()
        for which, exponents in fits(logs, grid.rates, grid.sizes).items()
    }
    labels = {key: ", ".join(key) for key in named}
    family = corrected(
        {labels[key]: one for key, one in named.items()}, {labels[key]: SIGNS[key[2]] for key in named}
    )
    found = []
    for what, when in values:
        for which in (IN_RATE, IN_SIZE):
            among = [key for key in named if key[:3] == (what, when, which)]
            found.append(
                claimed(
                    {key[3]: named[key] for key in among},
                    SIGNS[which],
                    {key[3]: family[labels[key]] for key in among},
                    f"exponent of {what} in {which} at {when}",
                    family_of=len(named),
                )
            )
    return found


def _trace(grid: Grid) -> Measurement:
    """From the setting with least noise to that with most."""
    traces = grid.at_equal_loss("trace")
    ratio = traces[-1, 0] / traces[0, -1]
    mean, error, _ = above(ratio)
    return Measurement(
        name=f"{grid.name}: trace at equal loss, at most noise over that at least",
        estimate=mean,
        standard_error=error,
        n=len(ratio),
        threshold="1 if noise does nothing",
        met=None,
    )


def _draw(made: list[Grid]) -> Any:
    figure, axes = panels(len(made), width=3.7, height=2.9, rows=2)
    for column, grid in enumerate(made):
        corners = ((0, -1, "#0072B2"), (-1, -1, "#009E73"), (0, 0, "#E69F00"), (-1, 0, "#D55E00"))
        for row, what in enumerate(JUDGED):
            ax = axes[row, column]
            logs = grid.at_levels(what)
            for i, j, colour in corners:
                mean = np.exp(logs[i, j].mean(axis=0))
                error = mean * logs[i, j].std(axis=0, ddof=1) / np.sqrt(logs.shape[2])
                label = f"η = {grid.rates[i]:g}, B = {grid.sizes[j]}"
                ax.errorbar(grid.levels, mean, 2 * error, fmt="o-", ms=4, color=colour, lw=1.8, label=label)
            ax.invert_xaxis()
            ax.set_ylim(0, None)
            ax.set_xlabel("training loss, falling to the right")
        axes[0, column].set_title(grid.name, fontsize=11)
    for row, what in enumerate(JUDGED):
        axes[row, 0].set_ylabel(f"{what} ± 2 standard errors")
    for ax in axes[0]:
        ax.legend(fontsize=8)
    return figure


CARD = SHARPEST_DIRECTIONS.at("the workshop version, section 3").card(
    claim="""
        A larger η and a smaller B keep the largest eigenvalue of the Hessian smaller and its top part
        better conditioned, throughout training.
    """,
    data="digits",
    paper_setting="SimpleCNN and ResNet-32 on CIFAR-10, λ₁ and ratios of eigenvalues over epochs.",
    our_setting="The runs of the card `growth`.",
    statistic="""
        a and b of ln y = c + a ln η + b ln B by least squares, one fit for each seed, y = λ₁ and λ₁/λ₅,
        each the mean of ln over five values of the training loss that all runs pass, and over time. The
        one of the networks and labels that is least shown.
    """,
    threshold="""
        a < 0 and b > 0 at level .05 by Student's t over seeds, Holm's correction over all
        exponents.
    """,
    reason="""
        The null is no dependence. At equal loss because more noise also trains more slowly.
    """,
    control="The same tests after the curves of each seed are dealt out anew to the settings.",
    check=check,
)
