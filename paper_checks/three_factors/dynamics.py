"""Equal η/B, equal curves over epochs.

η = .01β and B = 2β for β = 1, 2, 4, 8, on two data sets. Thresholds, set before any run:

- The mean curves of training loss and of test accuracy at β = 2, 4, 8 nearer to β = 1 than one spread of
  single runs, root mean square over the curve: who trains once cannot tell which β it was. The least similar
  pair counts, so that no correction is due.
- The control multiplies η alone by 2, the smallest step away from one η/B: it must not be near.
- Whether enough seeds do see a difference is said beside it, by the largest |t| along the curves with a
  permutation test. It does not count: the theory is for η → 0, so with enough seeds there is one.
"""

from typing import Any

import numpy as np

import sde_sgd as ss
from paper_checks._card import Measurement, Outcome
from paper_checks._context import Context
from paper_checks.three_factors._distance import near, worst
from paper_checks.three_factors._grid import make
from paper_checks.three_factors._networks import CONVOLUTIONAL, DIGITS, OTHER
from paper_checks.three_factors._paper import THREE_FACTORS

RATE, SIZE = 0.01, 2
FACTORS = (1, 2, 4, 8)
WRONG = 2  # by which the control multiplies η alone
MARGIN = 1.0  # spreads of single runs
CURVES = {"loss": "training loss", "accuracy": "test accuracy"}


def check(context: Context) -> Outcome:
    """Train every β and the control, compare their curves with β = 1."""
    names = context.pick(smoke=(DIGITS,), quick=(DIGITS, OTHER), full=(DIGITS, OTHER, CONVOLUTIONAL))
    factors = context.pick(smoke=(1, 8), quick=FACTORS, full=FACTORS)
    results = {name: _train(context, name, factors) for name in names}
    parts = []
    for what, text in CURVES.items():
        pairs = [
            near(
                f"{name}, β = {factor} to 1",
                _curves(results[name], factor, what),
                _curves(results[name], 1, what),
                key=context.key_for(f"{name} {factor} {what}"),
                margin=MARGIN,
            )
            for name in names
            for factor in factors[1:]
        ]
        parts.append(worst(pairs, f"{text}, distance of the mean curves in spreads of a run, largest"))
    controls = [
        near(
            f"loss, η x {WRONG} at equal B: {name}",
            _wrong(results[name], "loss"),
            _curves(results[name], 1, "loss"),
            key=context.key_for(f"control {name}"),
            margin=MARGIN,
        )
        for name in names
    ]
    control = min(controls, key=lambda one: one.estimate)
    seen = [_seen(context, name, result, factors) for name, result in results.items()]
    return Outcome(
        measurements=(*parts, *seen),
        control=control,
        summary=(
            f"With η/B kept and both multiplied by up to {max(factors)} the mean loss curves are within "
            f"{parts[0].estimate:.2f} spreads of a run; η x {WRONG} alone is {control.estimate:.0f} away."
        ),
        figure=_draw(results, factors),
    )


def _train(context: Context, name: str, factors: tuple[int, ...]) -> ss.SweepResult:
    runs = [{"learning_rate": RATE * factor, "batch_size": SIZE * factor} for factor in factors]
    return context.sweep(
        name,
        context.sgd,
        make(context, name),
        runs=[*runs, {"learning_rate": WRONG * RATE, "batch_size": SIZE}],
        seeds=context.pick(smoke=16, quick=32, full=64),
        epochs=context.pick(smoke=10, quick=26, full=52),
        every=1,
        record=list(CURVES),
    )


def _curves(result: ss.SweepResult, factor: int, what: str) -> np.ndarray:
    """Shape (seeds, epochs), without the common start."""
    right = result["learning_rate"].values / result["batch_size"].values < 1.1 * RATE / SIZE
    place = np.flatnonzero(right & (result["batch_size"].values == SIZE * factor))[0]
    return np.asarray(result[what].values[place, :, 1:], np.float64)


def _wrong(result: ss.SweepResult, what: str) -> np.ndarray:
    return np.asarray(result[what].values[-1, :, 1:], np.float64)


def _seen(context: Context, name: str, result: ss.SweepResult, factors: tuple[int, ...]) -> Measurement:
    """The permutation test of all β together."""
    curves = [_curves(result, factor, "loss") for factor in factors]
    test = ss.statistics.curve_test(*curves, key=context.key_for(f"permutations {name}"))
    first, second = (factors[group] for group in test.groups)
    return Measurement(
        name=f"{name}: largest |t| along the loss curves, β = {first} and {second}, epoch {test.at + 1}",
        estimate=test.statistic,
        n=int(np.sum(test.n)),
        p=test.p,
        threshold="p is for all β following one law",
        met=None,
    )


def _draw(results: dict[str, ss.SweepResult], factors: tuple[int, ...]) -> Any:
    figure, axes = ss.plot.figure(2, len(results), width=4.8, height=3.0, squeeze=False)
    colours = ("#0072B2", "#009E73", "#E69F00", "#CC79A7")
    for column, (name, result) in enumerate(results.items()):
        epochs = np.asarray(result["epoch"].values, np.float64)[1:]
        for row, (what, text) in enumerate(CURVES.items()):
            ax = axes[row, column]
            base = _curves(result, 1, what)
            mean, spread = base.mean(axis=0), base.std(axis=0, ddof=1)
            ax.fill_between(epochs, mean - spread, mean + spread, color="black", alpha=0.15, lw=0)
            for factor, colour, width in zip(factors, colours, (7, 4.5, 2.6, 1.2), strict=False):
                ax.plot(
                    epochs,
                    _curves(result, factor, what).mean(axis=0),
                    color=colour,
                    lw=width,
                    label=f"η = {RATE * factor:g}, B = {SIZE * factor}",
                )
            ax.plot(
                epochs,
                _wrong(result, what).mean(axis=0),
                "--",
                color="#D55E00",
                lw=1.8,
                label=f"η = {RATE * WRONG:g}, B = {SIZE}: other η/B",
            )
            ax.set_ylabel(text)
            ax.set_xlabel("epoch")
            if what == "loss":
                ax.set_ylim(0.9 * float(_wrong(result, what).mean(axis=0).min()), mean[0] * 1.15)
            if row == 0:
                ax.set_title(f"{name}: one η/B, one curve")
    axes[0, 0].legend(fontsize=8.5)
    axes[1, 0].text(
        0.98, 0.04, "grey: ± 1 spread of a run", transform=axes[1, 0].transAxes, ha="right", fontsize=9
    )
    return figure


CARD = THREE_FACTORS.at("section 4.2, figures 4 and 5").card(
    claim="With η/B kept, learning curves over epochs are the same.",
    data="digits, teacher data",
    paper_setting="VGG-11 and ResNet-56 on CIFAR-10, η and B multiplied by β = .25, 1, 4.",
    our_setting="""
        Tanh networks with two hidden layers of 32 (full: 64, and a convolutional network on digits) on 1280
        scikit-learn digits and on 1280 normal inputs labelled by a random network, cross-entropy, 25 % of the
        training labels redrawn at random. η = .01β, B = 2β, β = 1, 2, 4, 8 (smoke: digits, β = 1 and 8);
        16, 32 or 64 seeds, 10, 26 or 52 epochs (smoke, quick, full).
    """,
    statistic="""
        Root mean square over epochs of the difference between the mean curves at β and at β = 1, in standard
        deviations of a single run, without what finite numbers of seeds add; training loss and test
        accuracy. The largest of all β and data sets counts.
    """,
    threshold="Equivalence at level .05: below one standard deviation of a run.",
    reason="""
        Effect size: a difference below the spread of runs is invisible in the paper's figures, which show one
        run for each β.
    """,
    control="The same test for η doubled at equal B, the data set where it is nearest.",
    check=check,
)
