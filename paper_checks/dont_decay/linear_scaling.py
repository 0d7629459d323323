"""A larger initial η with B in proportion: the same curves in fewer updates, until η is too large.

The thresholds are those of `_arms`, for η and B up to four times as large: the paper went up to five times.
Beyond that the card only says what comes.
"""

import dataclasses
from typing import Any

import numpy as np

import sde_sgd as ss
from paper_checks._card import Measurement, Outcome
from paper_checks._context import Context
from paper_checks.dont_decay import _arms
from paper_checks.dont_decay._paper import DONT_DECAY

CLAIMED = 4  # times
REFERENCE = "× 1"
ALONE = "η alone × "


def check(context: Context) -> Outcome:
    """Train with each pair, compare with the smallest."""
    times = context.pick(smoke=(2,), quick=(2, 4, 8, 16, 32), full=(2, 4, 8, 16, 32))
    controls = context.pick(smoke=(8,), quick=(4, 8), full=(4, 8))
    result = _train(context, times, controls)
    title = f"test accuracy at the end − with {REFERENCE}"
    claimed = [_name(one) for one in times if one <= CLAIMED]
    main = _arms.least([_arms.equal_ends(arm, result, arm, REFERENCE) for arm in claimed], title)
    wrong = [f"{ALONE}{one}" for one in controls]
    control = _arms.nearest([_arms.equal_ends(arm, result, arm, REFERENCE) for arm in wrong], title)
    curves = {arm: _curve(context, result, arm) for arm in map(_name, times)}
    main_curve = _arms.least([curves[arm] for arm in claimed], "training loss, all epochs")
    beyond = [
        dataclasses.replace(one, name=f"training loss, {arm}, not claimed", met=None)
        for arm, one in curves.items()
        if arm not in claimed
    ]
    further = [
        _arms.fewer_updates(f"updates for one, {arm}", result, arm, REFERENCE)
        for arm in dict.fromkeys((claimed[-1], _name(max(times))))
    ]
    # how the accuracy ends beyond what is claimed
    beyond += [
        dataclasses.replace(_arms.equal_ends(arm, result, arm, REFERENCE), name=f"{title}, {arm}", met=None)
        for arm in map(_name, times)
        if arm not in claimed
    ]
    near = [number for number in (1, *times) if number == 1 or curves[_name(number)].met]
    return Outcome(
        measurements=(
            main,
            main_curve,
            *beyond,
            *further,
        ),
        control=control,
        summary=(
            f"With η and B up to {CLAIMED} times as large the test accuracy differs by "
            f"{100 * main.estimate:+.2f} points at most, and the training loss is shown to be the same up "
            f"to {max(near)} times; "
            f"η alone: {100 * control.estimate:+.1f} points."
        ),
        figure=_draw(result),
    )


def _name(times: int) -> str:
    return f"× {times}"


def _train(context: Context, times: tuple[int, ...], controls: tuple[int, ...]) -> ss.SweepResult:
    lengths = _arms.stages(context)

    def decayed(rate: float, size: float) -> ss.schedules.Schedule:
        return ss.schedules.decay(
            lengths,
            learning_rate=rate * _arms.RATE,
            batch_size=round(size * _arms.BATCH),
            momentum=_arms.MOMENTUM,
            factor=_arms.FACTOR,
        )

    made = {_name(one): decayed(one, one) for one in (1, *times)}
    made |= {f"{ALONE}{one}": decayed(one, 1) for one in controls}
    chosen = _arms.options(context, made) | {"seeds": context.pick(smoke=64, quick=128, full=128)}
    return context.sweep("schedules", context.sgd, _arms.digits(context), **chosen)


def _curve(context: Context, result: ss.SweepResult, arm: str) -> Measurement:
    return _arms.near_curves(context, arm, result, "loss", (arm, REFERENCE), after=0.0)


def _draw(result: ss.SweepResult) -> Any:
    figure, (left, right) = ss.plot.figure(1, 2, width=5.0, height=3.8)
    arms = [str(arm) for arm in result["schedule"].values]
    scaled = [arm for arm in arms if not arm.startswith(ALONE)]
    shades = ("#08306b", "#2171b5", "#6baed6", "#009E73", "#E69F00", "#D55E00")
    colours = dict(zip(scaled, shades, strict=False))
    for arm in arms:
        alone = arm.startswith(ALONE)
        colour = colours.get(arm, "#CC79A7")
        if not alone:
            _arms.draw_curve(left, result, arm, "loss", "epoch", color=colour, label=arm)
        ends = 100 * result.sel(schedule=arm)["accuracy"].values[:, -1]
        error = 2 * ends.std(ddof=1) / len(ends) ** 0.5
        right.errorbar(
            _arms.updates(result, arm),
            ends.mean(),
            error,
            fmt="s" if alone else "o",
            color=colour,
            mfc="white" if alone else colour,
            capsize=3,
        )
        at = (_arms.updates(result, arm), float(ends.mean()))
        right.annotate(arm, at, textcoords="offset points", xytext=(6, 5), fontsize=8.5)
    first = 100 * result.sel(schedule=REFERENCE)["accuracy"].values[:, -1].mean()
    right.axhspan(first - 1, first + 1, color="black", alpha=0.08, lw=0, label="within a point")
    _arms.scale_axis(left, result["loss"].sel(schedule=scaled).values, "loss")
    left.set_xlabel("epochs")
    left.set_ylabel("training loss")
    left.set_title("η and B so many times as large")
    left.legend(fontsize=8.5)
    right.set_xscale("log")
    low, high = right.get_xlim()
    right.set_xlim(low / 1.2, high * np.sqrt(10))
    right.set_xlabel("updates")
    right.set_ylabel("test accuracy at the end, %")
    right.set_title("± 2 standard errors; squares: η alone")
    right.legend(fontsize=8.5, loc="lower left")
    return figure


CARD = DONT_DECAY.at("section 5.2").card(
    claim="""
        A larger initial η with B in proportion gives the same curves and test accuracy in fewer updates.
    """,
    data="digits",
    paper_setting="""
        Wide ResNet 16-4 on CIFAR-10: initial η from .1 to .5, B from 128 to 640, with a batch that
        grows later.
    """,
    our_setting="""
        Digits, N = 1280, a tenth of the labels random, tanh network 64-32-10, m = .9, η = .0125 β, B = 4 β,
        β = 1 to 32; three stages of 10 epochs, η falls by 4. Claimed up to β = 4. 128 seeds. (smoke: N = 640,
        a hidden layer of 16, β = 1 and 2, two stages; full: a hidden layer of 128, stages of 40 epochs.)
    """,
    statistic="""
        Difference of the mean test accuracy at the end from that at β = 1; root mean square of the
        difference of the mean curves of the training loss in spreads of single runs, unbiased. The β that
        is least shown.
    """,
    threshold="""
        Accuracy within one point by two one-sided t-tests; curves nearer than one spread of single runs, by
        bootstrap over seeds. Level .05 each.
    """,
    reason="""
        Effect size: with η alone several points are lost; means one spread apart cannot be told by training
        once.
    """,
    control="η alone 4 or 8 times as large at the first B, the nearer of the two.",
    check=check,
)
