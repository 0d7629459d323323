"""A staged batch on many devices: the curve of one device, so that growing B makes room for more of them.

What the paper did on a TPU is not tried: that few updates suffice for ImageNet is arithmetic here.
Thresholds, set before the runs that decide:

- In the first half epoch the training loss on eight devices is that of one to a thousandth. The examples of
  each batch are the same, so only float32's rounding differs, a ten-millionth at first, which the training
  then makes larger. A wrong batch is off by the noise of the batch, several per cent.
- Over all epochs the two runs of a seed differ by less than half a spread of single runs, in the root mean
  square, by Student's t over seeds at level .05. Two runs with other batches differ by √2 spreads.
- The loss with growing B is nearer than two spreads of single runs to that with decaying η, at level .05 by
  bootstrap: the band of 95 % of single runs, as the card has few seeds.
"""

import dataclasses
from typing import Any

import numpy as np
from scipy import stats

import sde_sgd as ss
from paper_checks._card import Measurement, Outcome
from paper_checks._context import Context
from paper_checks.dont_decay import _arms
from paper_checks.dont_decay._many_devices import (
    DEVICES,
    FULL,
    MOMENTUM,
    QUICK,
    RATE,
    curves,
    network,
    on_virtual_devices,
    places,
    schedule,
)
from paper_checks.dont_decay._paper import DONT_DECAY
from paper_checks.three_factors._distance import near

SAME = 1e-3
EARLY = 0.5  # epochs
HALF = 0.5  # of a spread
IMAGENET, EPOCHS, LARGE, SMALL, CLAIMED = 1_281_167, 90, 65_536, 8_192, 2_500
MINUTES = 30

Curves = dict[str, np.ndarray]


def check(context: Context) -> Outcome:
    """Train on one device and on eight, with a batch of an eighth, and with decayed η."""
    if context.scale == "smoke":
        return Outcome.not_tested(
            "Eight virtual devices take a process of their own, longer than this scale has."
        )
    size = context.pick(smoke=QUICK, quick=QUICK, full=FULL)
    seeds = context.pick(smoke=12, quick=12, full=16)
    shared = seeds // 2
    problem, key = network(size), context.key_for("staged")

    def on_one(name: str, made: ss.schedules.Schedule, every: list[float], seeds: int) -> Curves:
        def sweep(*asked: Any, **options: Any) -> ss.SweepResult:
            return context.sweep(name, *asked, **options)

        drawn = context.key_for("decayed") if name == "decayed" else key
        return curves(sweep, context.sgd, problem, made, every=every, seeds=seeds, key=drawn, devices=1)

    one = on_one("staged", schedule(size, "batch_size"), places(size), seeds)
    decayed = on_one("decayed", schedule(size, "learning_rate"), places(size), seeds)
    many = on_virtual_devices(size, seeds=shared, key=key)
    # were all devices to see the same part of a batch, the mean of their gradients would be that part's; as
    # many updates are an eighth of the epochs
    part = size.batch // DEVICES
    wrong_schedule = ss.schedules.piecewise(
        [EARLY / DEVICES], learning_rate=RATE, batch_size=part, momentum=MOMENTUM
    )
    wrong = on_one("one part", wrong_schedule, [EARLY / 2 / DEVICES, EARLY / DEVICES], shared)
    main = _same("training loss in the first half epoch, 8 devices to 1", many, one)
    control = _same("the same, if all devices see one eighth of each batch", wrong, one)
    paired = _paired(many, one)
    staged = near("loss", one["loss"][:, 1:], decayed["loss"][:, 1:], key=context.key_for("near"))
    staged = dataclasses.replace(
        staged, name="training loss, growing B to decaying η on one device, in spreads"
    )
    ends = _arms.within_a_point(
        "test accuracy at the end, growing B − decaying η", one["accuracy"][:, -1], decayed["accuracy"][:, -1]
    )
    few = one["updates"][-1] / decayed["updates"][-1]
    return Outcome(
        measurements=(
            main,
            paired,
            staged,
            dataclasses.replace(ends, met=None),
            _count(one, decayed),
            _on_paper(),
        ),
        control=control,
        summary=(
            f"A ResNet with a growing batch on {DEVICES} virtual devices has the loss of one device to "
            f"{main.estimate:.0e} at first, with {few:.0%} of the updates. Arithmetic, not measured: "
            f"{EPOCHS} epochs of ImageNet are {_updates(SMALL):,} updates at B = {SMALL:,}, "
            f"{_updates(LARGE):,} at {LARGE:,}; {CLAIMED:,} in {MINUTES} minutes leave "
            f"{60 * MINUTES / CLAIMED:.2f} s for each."
        ),
        figure=_draw(one, many, decayed, wrong),
    )


def _same(name: str, first: Curves, second: Curves) -> Measurement:
    """The largest relative difference of two runs of a seed after as many updates, early on."""
    early = (second["epochs"] > 0) & (second["epochs"] <= EARLY)
    updates = second["updates"][early]
    at = [int(np.flatnonzero(first["updates"] == count)[0]) for count in updates]
    seeds = min(len(first["loss"]), len(second["loss"]))
    here, there = first["loss"][:seeds, at], second["loss"][:seeds, early]
    estimate = float(np.abs(here / there - 1).max())
    return Measurement(
        name=f"largest relative difference of {name}",
        estimate=estimate,
        n=seeds,
        threshold=f"below {SAME:g}",
        met=estimate < SAME,
    )


def _paired(first: Curves, second: Curves) -> Measurement:
    """Root mean square over the epochs of the difference of two runs of a seed, in spreads of single runs."""
    seeds = min(len(first["loss"]), len(second["loss"]))
    spread = second["loss"][:, 1:].std(axis=0, ddof=1)
    apart = (first["loss"][:seeds, 1:] - second["loss"][:seeds, 1:]) / spread
    values = np.sqrt((apart**2).mean(axis=1))
    error = float(values.std(ddof=1) / seeds**0.5)
    mean = float(values.mean())
    p = float(stats.t.cdf((mean - HALF) / error, seeds - 1)) if error > 0 else float(mean >= HALF)
    return Measurement(
        name="training loss over all epochs, 8 devices to 1, in spreads",
        estimate=mean,
        standard_error=error,
        n=seeds,
        p=p,
        threshold=f"below {HALF:g} spreads of single runs, at level {_arms.LEVEL:g}; √2 for other batches",
        met=p < _arms.LEVEL,
    )


def _count(one: Curves, decayed: Curves) -> Measurement:
    few, many = int(one["updates"][-1]), int(decayed["updates"][-1])
    return Measurement(
        name="updates for one with decayed η",
        estimate=few / many,
        threshold=f"1 without growing; {few:,} beside {many:,}",
        met=None,
    )


def _updates(batch: int) -> int:
    """Of the paper's 90 epochs of ImageNet."""
    return ss.schedules.piecewise([EPOCHS], learning_rate=1.0, batch_size=batch).updates(IMAGENET)


def _on_paper() -> Measurement:
    return Measurement(
        name=f"arithmetic, not measured: updates of {EPOCHS} epochs of ImageNet at B = {LARGE:,}",
        estimate=_updates(LARGE),
        threshold=f"the paper: under {CLAIMED:,}",
        met=None,
    )


def _draw(one: Curves, many: Curves, decayed: Curves, wrong: Curves) -> Any:
    figure, (left, right) = ss.plot.figure(1, 2, width=5.0, height=3.8)
    seeds = len(many["loss"])
    lines = (
        (decayed, "decay η, 1 device", "#009E73", "-", slice(None)),
        (one, "grow B, 1 device", "#0072B2", "-", slice(seeds)),
        (many, f"grow B, {DEVICES} devices", "#D55E00", "--", slice(None)),
    )
    for ax, over in ((left, "epochs"), (right, "updates")):
        for runs, label, colour, style, rows in lines:
            mean = runs["loss"][rows].mean(axis=0)
            error = 2 * runs["loss"][rows].std(axis=0, ddof=1) / len(runs["loss"][rows]) ** 0.5
            ax.errorbar(
                runs[over], mean, error, color=colour, ls=style, marker="o", ms=3, capsize=2, label=label
            )
        if over == "updates":
            mean = wrong["loss"].mean(axis=0)
            ax.plot(wrong[over], mean, "s:", color="#CC79A7", label="all devices see one part")
        ax.set_xlabel(over)
        ax.legend(fontsize=9)
    left.set_ylabel("training loss, mean ± 2 standard errors")
    left.set_title("as many epochs")
    right.set_title("fewer updates")
    return figure


CARD = DONT_DECAY.at("sections 5.3 and 5.4").card(
    claim="""
        With batches that grow in stages, a large residual network trains in few updates on many devices:
        ResNet-50 in 30 minutes on TPUs, Inception-ResNet-V2 in under 2,500 updates.
    """,
    data="digits",
    paper_setting="ImageNet, batches up to 65,536, a pod of TPUs.",
    our_setting="""
        The mechanism only: a residual network of 8 layers with 8 channels on digits, N = 320, a tenth of the
        labels random; η = .02, m = .9, B = 8, then 32, 3 epochs each; the examples of each batch shared by
        8 virtual CPU devices. 12 seeds, 6 of them on 8 devices (smoke: none; full: 14 layers, 16 channels,
        N = 1280, B = 16, then 128, 10 epochs each, 16 seeds). Updates of ImageNet by arithmetic.
    """,
    statistic="""
        Largest relative difference of the training loss in the first half epoch between 8 devices and 1;
        root mean square of that over all epochs, in spreads of single runs; distance of the mean loss with
        growing B from that with decaying η.
    """,
    threshold="""
        Below .001; below half a spread by Student's t over seeds; below 2 spreads by bootstrap. Level .05.
    """,
    reason="""
        One and eight devices see the same examples, so rounding alone is between them; unlike batches make
        √2 spreads. Two spreads: the band of 95 % of single runs.
    """,
    control="Devices that all see the same eighth of each batch, which is a batch of B/8 at as many updates.",
    check=check,
)
