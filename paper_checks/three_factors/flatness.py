"""Larger η/B, flatter end: λ₁, Frobenius norm and trace of the Hessian.

The grids of the card `endpoint`, looked at across η/B. Thresholds, set before any run:

- The exponent of each in η/B must be below −.2 with its whole 99 % interval: at least 13 % for a factor 2.
  The trials that led to these settings had −.9 for λ₁.
- At equal training loss: a larger η/B also trains faster, and a smaller loss alone has smaller curvature.
- The control takes the exponent in B, η in proportion: a factor as large in η, one η/B.
"""

from typing import Any

import jax
import numpy as np

import sde_sgd as ss
from paper_checks._card import Measurement, Outcome
from paper_checks._context import Context
from paper_checks.three_factors._grid import CURVATURE, EQUAL_EPOCHS, EQUAL_LOSS, Grid, grids
from paper_checks.three_factors._paper import THREE_FACTORS
from paper_checks.three_factors._ticks import plain_y_ticks

EXPONENT = -0.2
CONFIDENCE = 0.99


def check(context: Context) -> Outcome:
    """Train the grids, fit the exponents."""
    made = grids(context)
    key = context.key_for("bootstrap")
    found = {
        (what, when): _worst(made, what, when, key)
        for when in (EQUAL_LOSS, EQUAL_EPOCHS)
        for what in CURVATURE
    }
    main = _measurement(CURVATURE["sharpness"], EQUAL_LOSS, *found["sharpness", EQUAL_LOSS])
    parts = [
        _measurement(CURVATURE[what], when, *found[what, when])
        for what, when in found
        if (what, when) != ("sharpness", EQUAL_LOSS)
    ]
    control = min(
        (_slope(grid, what, EQUAL_LOSS, key, along_ratio=False) for grid in made for what in CURVATURE),
        key=lambda slope: slope.high,
    )
    separate = [_separate(grid) for grid in made]
    return Outcome(
        measurements=(main, *parts, *separate),
        control=Measurement(
            name="exponent in B, η in proportion, the most negative of all",
            estimate=control.value,
            standard_error=control.standard_error,
            n=int(np.sum(control.n)),
            threshold=f"{CONFIDENCE:.0%} interval ({control.low:.2f} to {control.high:.2f}) below {EXPONENT}",
            met=control.high < EXPONENT,
        ),
        summary=(
            f"At equal training loss λ₁ falls as (η/B) to the power {main.estimate:.2f} or steeper; η and B "
            f"in proportion leave an exponent of {control.value:.2f}."
        ),
        figure=_draw(made, key),
    )


def _slope(
    grid: Grid, what: str, when: str, key: jax.Array, *, along_ratio: bool = True
) -> ss.statistics.SlopeTest:
    """The exponent in η/B at fixed B, or in B at fixed η/B; the other is averaged over."""
    logs = np.log(grid.at(what, when)).mean(axis=0 if along_ratio else 1)
    x = np.log(grid.ratios if along_ratio else grid.sizes)
    return ss.statistics.slope(x, logs.T, key=key, confidence=CONFIDENCE)


def _worst(made: list[Grid], what: str, when: str, key: jax.Array) -> tuple[str, ss.statistics.SlopeTest]:
    """The data set whose interval reaches highest."""
    slopes = {grid.name: _slope(grid, what, when, key) for grid in made}
    name = max(slopes, key=lambda one: slopes[one].high)
    return name, slopes[name]


def _measurement(what: str, when: str, name: str, slope: ss.statistics.SlopeTest) -> Measurement:
    return Measurement(
        name=f"exponent of {what} in η/B at {when}, nearest to 0: {name}",
        estimate=slope.value,
        standard_error=slope.standard_error,
        n=int(np.sum(slope.n)),
        threshold=f"{CONFIDENCE:.0%} interval ({slope.low:.2f} to {slope.high:.2f}) below {EXPONENT}",
        met=slope.high < EXPONENT,
    )


def _separate(grid: Grid) -> Measurement:
    """Exponents of η and of B by themselves: opposite where η/B alone counts."""
    logs = np.log(grid.at("sharpness", EQUAL_LOSS))
    in_ratio = np.polyfit(np.log(grid.ratios), logs.mean(axis=(0, 2)), 1)[0]
    in_size = np.polyfit(np.log(grid.sizes), logs.mean(axis=(1, 2)), 1)[0]
    return Measurement(
        name=f"{grid.name}: λ₁ ∝ η^a B^b with a = {in_ratio:.2f}, b = {in_size - in_ratio:.2f}; a + b",
        estimate=float(in_size),
        n=logs.size,
        threshold="0 where η/B alone counts",
        met=None,
    )


def _draw(made: list[Grid], key: jax.Array) -> Any:
    figure, axes = ss.plot.figure(1, len(CURVATURE), width=4.4, height=3.9)
    colours = ("#0072B2", "#D55E00", "#009E73")
    for (what, text), ax in zip(CURVATURE.items(), axes, strict=True):
        for grid, colour in zip(made, colours, strict=False):
            values = grid.at(what, EQUAL_LOSS)
            logs = np.log(values)
            for size, marker in zip(range(len(grid.sizes)), "osD", strict=False):
                mean, error = logs[size].mean(axis=-1), logs[size].std(axis=-1) / np.sqrt(logs.shape[-1])
                x = grid.ratios * (1 + 0.04 * (size - 1))
                ax.errorbar(
                    x,
                    np.exp(mean),
                    [np.exp(mean) * 2 * error] * 2,
                    fmt=marker,
                    ms=6,
                    color=colour,
                    mfc="white",
                )
            slope = _slope(grid, what, EQUAL_LOSS, key)
            line = np.exp(slope.intercept + slope.value * np.log(grid.ratios))
            label = f"{grid.name}: exponent {slope.value:.2f}".replace("-", "−")
            ax.plot(grid.ratios, line, color=colour, lw=1.5, label=label)
        ax.margins(y=0.3)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xticks(made[0].ratios, [f"{ratio:g}" for ratio in made[0].ratios])
        ax.set_xticks([], minor=True)
        plain_y_ticks(ax)
        shapes = ", ".join(f"{shape} B = {size:g}" for shape, size in zip("○□◇", made[0].sizes, strict=False))
        ax.set_xlabel(f"η/B ({shapes})")
        ax.set_title(f"{text} at equal training loss")
        ax.legend(fontsize=9)
    return figure


CARD = THREE_FACTORS.at("section 4.1, figure 1").card(
    claim="The larger η/B, the flatter the end: λ₁, Frobenius norm and trace of the Hessian are smaller.",
    data="digits, teacher data",
    paper_setting="""
        A 20-layer perceptron and a 4-layer one with batch normalisation on Fashion-MNIST, largest eigenvalue
        and Frobenius norm over η/B.
    """,
    our_setting="""
        The runs of the card `endpoint`. Frobenius norm and trace by Hutchinson's estimator with 6 vectors on
        512 training examples (smoke: 2 on 256; full: 20 on all), the same ones everywhere.
    """,
    statistic="""
        Exponent in η/B of each, by least squares of the mean logarithm over seeds and B, with a bootstrap
        interval over seeds (BCa); at equal training loss, and after equal epochs. The data set nearest to 0
        counts.
    """,
    threshold="99 % interval below −.2, for each of the three, at equal loss and at equal epochs.",
    reason="""
        Effect size: −.2 is 13 % for a factor 2 in η/B; the trials had −.9 for λ₁. At equal loss because a
        larger η/B also trains faster.
    """,
    control="""
        The exponent in B, with η in proportion to it: a larger η at one η/B. Not even the most negative may
        pass.
    """,
    check=check,
)
