"""Decaying η, growing B, or first one and then the other: the same curves in fewer updates.

The thresholds are those of `_arms`. The control is constant η and B. Where B grows by the root of the factor
only, the noise scale is a wrong one too; the accuracy that this costs is about a point, so it informs only.
"""

import dataclasses
from typing import Any

import sde_sgd as ss
from paper_checks._card import Measurement, Outcome
from paper_checks._context import Context
from paper_checks.dont_decay import _arms
from paper_checks.dont_decay._arms import BOTH, COLOURS, CONSTANT, DECAY, GROW, SLOW, STYLES
from paper_checks.dont_decay._paper import DONT_DECAY

DIGITS, MNIST = "digits", "MNIST"
PANELS = (("loss", "epoch"), ("accuracy", "epoch"), ("accuracy", "updates"))
LABELS = {"loss": "training loss", "accuracy": "test accuracy", "epoch": "epochs", "updates": "updates"}


def check(context: Context) -> Outcome:
    """Train by all schedules, compare ends and curves with those of a decayed η."""
    results = {DIGITS: _arms.on_digits(context)}
    if context.scale != "smoke":
        results[MNIST] = _on_mnist(context)
    claimed = [(data, arm) for data, result in results.items() for arm in (GROW, BOTH) if _has(result, arm)]
    title = "test accuracy at the end − with decayed η"
    main = _arms.least([_end(results[data], data, arm) for data, arm in claimed], title)
    constant = [_end(result, data, CONSTANT) for data, result in results.items()]
    control = _arms.nearest(constant, f"{title}, {CONSTANT}")
    curves = [
        _arms.least(
            [_curve(context, results, what, *pair) for pair in claimed],
            f"{LABELS[what]} after the first change",
        )
        for what in ("loss", "accuracy")
    ]
    counts = [
        _arms.fewer_updates(f"updates for one with decayed η: {data}, {arm}", results[data], arm, DECAY)
        for data, arm in claimed
    ]
    slow = [
        found
        for data, result in results.items()
        if _has(result, SLOW)
        for found in (
            _named(_end(result, data, SLOW), title),
            _named(_curve(context, results, "loss", data, SLOW), "training loss"),
        )
    ]
    few = min(counts, key=lambda one: one.estimate)
    return Outcome(
        measurements=(main, *curves, *counts, *slow),
        control=control,
        summary=(
            f"Growing B ends {100 * main.estimate:+.2f} ± {100 * (main.standard_error or 0):.2f} points of "
            f"test accuracy from decaying η, where they differ most, in {few.estimate:.0%} of the updates at "
            f"best; with constant η and B it is {100 * control.estimate:+.1f} points at least."
        ),
        figure=_draw(results),
    )


def _named(found: Measurement, title: str) -> Measurement:
    """The same for the table, to inform only."""
    return dataclasses.replace(found, name=f"{title}: {found.name}", met=None)


def _on_mnist(context: Context) -> ss.SweepResult:
    lengths = context.pick(smoke=[1, 1], quick=[4, 4, 4], full=[20, 20, 20])
    made = _arms.schedules(lengths, rate=0.05, batch=16, factor=5, momentum=_arms.MOMENTUM)
    return context.sweep(MNIST, context.sgd, _arms.mnist(context), **_arms.options(context, made))


def _has(result: ss.SweepResult, arm: str) -> bool:
    return arm in result["schedule"].values


def _end(result: ss.SweepResult, data: str, arm: str) -> Measurement:
    return _arms.equal_ends(f"{data}, {arm}", result, arm, DECAY)


def _curve(
    context: Context, results: dict[str, ss.SweepResult], what: str, data: str, arm: str
) -> Measurement:
    epochs = results[data]["epoch"].values
    changes = 2 if context.scale == "smoke" else 3
    return _arms.near_curves(
        context, f"{data}, {arm}", results[data], what, (arm, DECAY), after=epochs[-1] / changes
    )


def _draw(results: dict[str, ss.SweepResult]) -> Any:
    figure, axes = ss.plot.figure(len(results), len(PANELS), width=3.7, height=3.2, squeeze=False)
    for row, (data, result) in zip(axes, results.items(), strict=True):
        for ax, (what, over) in zip(row, PANELS, strict=True):
            for arm in (SLOW, CONSTANT, DECAY, GROW, BOTH):
                if _has(result, arm):
                    style = {"color": COLOURS[arm], "ls": STYLES[arm], "label": arm}
                    _arms.draw_curve(ax, result, arm, what, over, **style)
            _arms.scale_axis(ax, result[what].values, what)
            ax.set_xlabel(LABELS[over])
            ax.set_ylabel(LABELS[what])
            ax.set_title(data)
    axes[0, 0].legend(fontsize=8)
    return figure


CARD = DONT_DECAY.at("sections 3 to 5.1, figures 1 and 2").card(
    claim="""
        Growing the batch B does what decaying the learning rate η does, and so does first one and then the
        other: the same training loss and test accuracy after as many epochs, in fewer updates.
    """,
    data="digits, MNIST",
    paper_setting="""
        Wide ResNet 16-4 on CIFAR-10, momentum .9, B = 128, the noise scale falls by 5 after 60, 120 and 160
        epochs.
    """,
    our_setting="""
        Digits, N = 1280, a tenth of the labels random: tanh network 64-32-10, η = .0125, m = .9, B = 4, three
        stages of 10 epochs, factor 4, so that B ends at 64. MNIST, 4,000 images with such labels: ReLU
        network 784-24-10, η = .05, m = .9, B = 16, three stages of 4 epochs, factor 5, B ends at 400. 64
        seeds. (smoke: digits, N = 640, a hidden layer of 16, two stages; full: hidden layers of 128 and
        256, stages of 40 and 20 epochs.)
    """,
    statistic="""
        Difference of the mean test accuracy at the end from that with decayed η. Curves after the first
        change: root mean square of the difference of the means in spreads of single runs, unbiased. The
        data set and schedule that are least shown.
    """,
    threshold="""
        Accuracy within one point by two one-sided t-tests; curves nearer than one spread of single runs, by
        bootstrap over seeds. Level .05 each.
    """,
    reason="""
        Effect size: without a decay several points are lost; means one spread apart cannot be told by
        training once. As all must be near, none needs a correction.
    """,
    control="""
        Constant η and B, on the data set where its test accuracy at the end is nearer.
    """,
    check=check,
)
