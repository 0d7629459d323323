"""Test accuracy is a function of the noise scale g = ηN/(B(1 − m)) alone, for different η and m.

Thresholds, set before the runs that decide:

- For every two of the settings (η, m), the mean curves of accuracy over ln g nearer than two spreads of
  single runs, root mean square over the common g, at level .05 by bootstrap over seeds: within the band in
  which 95 % of single runs lie. All pairs must pass, so no correction is due.
- Controls: the same over B, and over ηN/B without 1 − m; the one whose worst pair is nearer counts.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import jax
import numpy as np

import sde_sgd as ss
from paper_checks._card import Measurement, Outcome
from paper_checks._context import Context
from paper_checks.bayesian_sgd import _noise_grid
from paper_checks.bayesian_sgd._paper import BAYESIAN_SGD
from paper_checks.three_factors._distance import near, worst

POINTS = 8  # at which two curves are compared
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#4D4D4D", "#E69F00", "#56B4E9", "#000000", "#999999")
OVER_G, OVER_B, WITHOUT_M = "g", "B", "ηN/B"


def check(context: Context) -> Outcome:
    """Compare all pairs of curves over g, B and g without the momentum."""
    if context.scale == "smoke":
        return Outcome.not_tested(_noise_grid.TOO_SMALL)
    arms = list(_noise_grid.arms(context).values())
    found = {
        over: judge(
            [arm.name for arm in arms],
            [axis(arm, over) for arm in arms],
            [arm.accuracy.values for arm in arms],
            over,
            context.key_for("seeds drawn anew"),
        )
        for over in (OVER_G, OVER_B, WITHOUT_M)
    }
    main = found.pop(OVER_G)
    control = min(found.values(), key=lambda one: one.estimate)
    other = max(found.values(), key=lambda one: one.estimate)
    return Outcome(
        measurements=(main, Measurement(**{**vars(other), "met": None})),
        control=control,
        summary=(
            f"Over g the curves of {len(arms)} settings of η and m are {main.estimate:.1f} spreads of a run "
            f"apart or less; over {OVER_B} or {WITHOUT_M} the farthest are {control.estimate:.1f} or more."
        ),
        figure=_draw(arms),
    )


def axis(arm: _noise_grid.Arm, over: str) -> np.ndarray:
    """The logarithm of what the curve is drawn over."""
    by = {
        OVER_G: arm.noise,
        OVER_B: arm.accuracy.batches,
        WITHOUT_M: arm.noise * (1 - arm.momentum),
    }
    return np.asarray(np.log(by[over]))


def judge(
    names: Sequence[str],
    at: Sequence[np.ndarray],
    values: Sequence[np.ndarray],
    over: str,
    key: jax.Array,
) -> Measurement:
    """The worst distance of two curves, over what they have in common.

    Args:
        names: of the curves.
        at: where they are known, each shape (points,).
        values: each of shape (points, seeds).
        over: what is along the axis.
        key: draws seeds anew.
    """
    found = {}
    for i, j in combinations(range(len(names)), 2):
        low, high = max(at[i].min(), at[j].min()), min(at[i].max(), at[j].max())
        if high - low < np.log(2):  # nearly nothing in common
            continue
        places = np.linspace(low, high, POINTS)
        pair = [interpolated(places, at[k], values[k]) for k in (i, j)]
        found[f"{names[i]} to {names[j]}"] = near(f"{names[i]} to {names[j]}", *pair, key=key)
    return worst(
        list(found.values()), f"accuracy over {over}, in spreads of a run, worst of {len(found)} pairs"
    )


def interpolated(places: np.ndarray, at: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Each seed's curve at other places, by straight lines, shape (seeds, places)."""
    order = np.argsort(at)
    return np.stack([np.interp(places, at[order], one[order]) for one in values.T])


def _draw(arms: Sequence[_noise_grid.Arm]) -> Any:
    figure, axes = ss.plot.figure(1, 3, width=4.0, height=3.8, sharey=True)
    labels: Mapping[str, str] = {
        OVER_G: "g = ηN/(B(1 − m))",
        OVER_B: "batch size B",
        WITHOUT_M: "ηN/B, without m",
    }
    for ax, (over, label) in zip(axes, labels.items(), strict=True):
        for arm, colour in zip(arms, COLOURS, strict=False):
            values = arm.accuracy.values
            error = 2 * values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
            style = "o-" if arm.momentum == _noise_grid.BASE[1] else "s--"
            ax.errorbar(
                np.exp(axis(arm, over)),
                values.mean(axis=1),
                error,
                fmt=style,
                ms=4,
                lw=1.2,
                color=colour,
                label=arm.name,
            )
        ax.set_xscale("log")
        ax.set_xlabel(label)
    highest = max(float(arm.accuracy.values.mean(axis=1).max()) for arm in arms)
    axes[0].set_ylim(highest - 0.15, highest + 0.015)
    axes[0].set_ylabel("test accuracy ± 2 standard errors")
    axes[0].legend(fontsize=8, loc="lower left")
    return figure


CARD = BAYESIAN_SGD.at("section 5, figures 5 and 7").card(
    claim="Test accuracy is set by g = ηN/(B(1 − m)): over g the curves of different η and m are one.",
    data="MNIST",
    paper_setting="MLP of 800 ReLU units on 1,000 images of MNIST, several η and m.",
    our_setting=f"""
        {_noise_grid.SETTING} η = .0125, .025, .05, .1 at m = .9 and m = .2, .6, .8 at η = .1, 7 batch sizes
        each (smoke: not tested; full: also η = .2, .4, 1 and m = .95).
    """,
    statistic="""
        Root mean square of the difference of two mean curves over the common part of ln g, in spreads of
        single runs, unbiased. The worst of all pairs of settings.
    """,
    threshold="Below 2 spreads of single runs, at level .05 by bootstrap over seeds.",
    reason="Effect size: the band in which 95 % of single runs lie.",
    control="The same over B, and over ηN/B without 1 − m.",
    check=check,
)
