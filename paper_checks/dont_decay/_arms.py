"""Networks trained by several schedules with one noise scale in every epoch, and what is compared of them.

Thresholds, set before the runs that decide:

- The test accuracy at the end: equal where two one-sided t-tests at level .05 show that the means are less
  than one point apart. Effect size: without any decay the accuracy ends several points lower, so that one
  point is a small part of what a schedule is for.
- Curves: nearer than one spread of single runs, in the root mean square over the epochs, at level .05
  by bootstrap over seeds. Effect size: who trains once cannot tell means that are one spread apart. Compared
  is what comes after the first change; until then the schedules are one.
- Several arms are all to be near: each at the full level, and the one that is least shown counts.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

import sde_sgd as ss
from paper_checks._card import Measurement
from paper_checks._context import Context
from paper_checks.three_factors._distance import near
from paper_checks.three_factors._ticks import plain_y_ticks

LEVEL = 0.05
POINT = 0.01  # of test accuracy
SPREAD = 1.0  # of single runs
FACTOR = 4  # by which the noise scale falls after each stage of digits
BATCH = 4
RATE = 0.0125  # with momentum .9: .125 without
MOMENTUM = 0.9

DECAY, GROW, BOTH = "decay η", "grow B", "first grow B, then decay η"
SLOW, CONSTANT = "grow B half as fast", "constant η and B"
COLOURS = {DECAY: "#0072B2", GROW: "#D55E00", BOTH: "#009E73", SLOW: "#E69F00", CONSTANT: "#4D4D4D"}
STYLES = {DECAY: "-", GROW: "--", BOTH: "-.", SLOW: ":", CONSTANT: ":"}


def digits(context: Context) -> ss.problems.EmpiricalRisk:
    """A tanh network on digits, of whose training labels a tenth are random; test labels are right."""
    size, width = context.pick(smoke=(640, 16), quick=(1280, 32), full=(1280, 128))
    data = ss.data.with_label_noise(ss.data.digits(size), 0.1, key=jax.random.key(42))
    return ss.problems.mlp(data, hidden=(width,))


def mnist(context: Context) -> ss.problems.EmpiricalRisk:
    """A rectified network on real MNIST, 4,000 images with a tenth of the labels random."""
    data = ss.data.with_label_noise(ss.data.mnist(), 0.1, key=jax.random.key(42))
    width = context.pick(smoke=16, quick=24, full=256)
    return ss.problems.mlp(data, hidden=(width,), activation="relu", gain=2**0.5)


def stages(context: Context) -> list[float]:
    """Epochs of the three stages on digits (two at smoke)."""
    return context.pick(smoke=[10, 10], quick=[10, 10, 10], full=[40, 40, 40])


def schedules(
    lengths: Sequence[float], *, rate: float, batch: int, factor: int, momentum: float = 0.0
) -> dict[str, ss.schedules.Schedule]:
    """Name → schedule. The first three have one noise scale in every epoch, the others are controls."""
    start: dict[str, Any] = {"learning_rate": rate, "batch_size": batch, "momentum": momentum}
    # what B grows to need not be a multiple of it by the root of the factor
    slow = [round(batch * factor ** (stage / 2)) for stage in range(len(lengths))]
    by_turns = ["batch_size" if change % 2 == 0 else "learning_rate" for change in range(len(lengths) - 1)]
    return {
        DECAY: ss.schedules.decay(lengths, factor=factor, **start),
        GROW: ss.schedules.decay(lengths, factor=factor, by="batch_size", **start),
        BOTH: ss.schedules.decay(lengths, factor=factor, by=by_turns, **start),
        SLOW: ss.schedules.piecewise(lengths, **start | {"batch_size": slow}),
        CONSTANT: ss.schedules.piecewise(lengths, **start),
    }


def on_digits(context: Context) -> ss.SweepResult:
    """SGD with momentum on digits by all schedules, for several cards."""
    made = schedules(stages(context), rate=RATE, batch=BATCH, factor=FACTOR, momentum=MOMENTUM)
    if context.scale == "smoke":
        made = {arm: made[arm] for arm in (DECAY, GROW, CONSTANT)}  # with one change, BOTH is GROW
    return context.shared_sweep("schedules on digits", context.sgd, digits(context), **options(context, made))


def options(context: Context, made: dict[str, ss.schedules.Schedule]) -> dict[str, Any]:
    """Of a sweep over schedules."""
    return {
        "schedule": made,
        "seeds": context.pick(smoke=64, quick=64, full=64),
        "every": 1,
        "record": ["loss", "accuracy"],
    }


def equal_ends(name: str, result: ss.SweepResult, other: str, reference: str) -> Measurement:
    """Is the test accuracy at the end the same, within a point?"""
    ends = [result.sel(schedule=arm)["accuracy"].values[:, -1] for arm in (other, reference)]
    return within_a_point(name, *ends)


def within_a_point(name: str, first: np.ndarray, second: np.ndarray) -> Measurement:
    """Are the means of two samples of accuracies less than a point apart, beyond doubt?

    The estimate is first − second.
    """
    found = ss.statistics.equivalence(
        np.asarray(first, np.float64), np.asarray(second, np.float64), margin=POINT, level=LEVEL
    )
    return Measurement(
        name=name,
        estimate=found.value,
        standard_error=found.standard_error,
        n=len(first) + len(second),
        p=found.p,
        threshold=f"within ± {POINT:g}, at level {LEVEL:g}",
        met=found.equivalent,
    )


def least(measurements: Sequence[Measurement], name: str) -> Measurement:
    """The one that is least shown to be equal, under the name of them all: if it is met, all are."""
    found = max(measurements, key=lambda one: (one.p or 0.0, abs(one.estimate)))
    return dataclasses.replace(found, name=f"{name}: {found.name}" if len(measurements) > 1 else name)


def nearest(measurements: Sequence[Measurement], name: str) -> Measurement:
    """For controls: the one that is nearest to being called equal. If it is not met, none is."""
    found = min(measurements, key=lambda one: (one.p or 0.0, abs(one.estimate)))
    return dataclasses.replace(found, name=f"{name}: {found.name}" if len(measurements) > 1 else name)


def near_curves(
    context: Context, name: str, result: ss.SweepResult, what: str, arms: tuple[str, str], after: float
) -> Measurement:
    """Are two mean curves of a quantity nearer than a spread of single runs, beyond doubt?

    Args:
        context: of the card.
        name: of the comparison; it is part of the key.
        result: of a sweep over schedules.
        what: "loss" or "accuracy".
        arms: the two schedules.
        after: epochs up to and with this one are left out.
    """
    later = result["epoch"].values > after
    curves = [result.sel(schedule=arm)[what].values[:, later] for arm in arms]
    return near(name, *curves, key=context.key_for(f"{name} {what} {arms}"), margin=SPREAD)


def updates(result: ss.SweepResult, arm: str) -> int:
    """How many steps a schedule takes."""
    return int(result.sel(schedule=arm)["updates"].values[-1])


def fewer_updates(name: str, result: ss.SweepResult, other: str, reference: str) -> Measurement:
    """How many updates there are for one of the other schedule's: a count."""
    return Measurement(
        name=name,
        estimate=updates(result, other) / updates(result, reference),
        threshold=f"1 without growing; {updates(result, other):,} beside {updates(result, reference):,}",
        met=None,
    )


def draw_curve(ax: Any, result: ss.SweepResult, arm: str, what: str, over: str, **style: Any) -> None:
    """The mean of a quantity over epochs or updates, and the band of one spread of single runs."""
    chosen = result.sel(schedule=arm)
    x = result["epoch"].values if over == "epoch" else chosen["updates"].values
    mean, spread = chosen[what].mean("seed").values, chosen[what].std("seed", ddof=1).values
    ax.plot(x, mean, lw=1.8, **style)
    ax.fill_between(x, mean - spread, mean + spread, color=style.get("color"), alpha=0.13, lw=0)


def scale_axis(ax: Any, values: np.ndarray, what: str) -> None:
    """Limits about the means of all schedules but at the start, a logarithmic axis for the loss.

    Args:
        ax: the axes.
        values: losses or accuracies, shape `(schedules, seeds, samples)`.
        what: "loss" or "accuracy".
    """
    means = values.mean(axis=1)[:, 1:]
    if what == "loss":
        ax.set_yscale("log")
        ax.set_ylim(0.9 * means.min(), 1.2 * means.max())
        plain_y_ticks(ax)
    else:
        ax.set_ylim(means.min() - 0.01, means.max() + 0.015)
