"""Growing B in place of decaying η for plain SGD, heavy ball, Nesterov's momentum and Adam.

The thresholds are those of `_arms`, for every optimiser by itself.

For Adam the paper has B grow by the factor by which η would fall, as for the others. Its steps are divided
by the root of the mean square gradient, for which a rival theory (Malladi, Lyu, Panigrahi, Arora 2022) has η
fall by the root of the factor: which of the two curves is nearer to that of the grown batch informs only.
"""

import functools
from typing import Any

import optax

import sde_sgd as ss
from paper_checks._card import Measurement, Outcome
from paper_checks._context import Context
from paper_checks.dont_decay import _arms
from paper_checks.dont_decay._arms import CONSTANT, DECAY, GROW
from paper_checks.dont_decay._paper import DONT_DECAY

ROOT = "decay η by the root"
ADAM = "Adam"
COLOURS = {**_arms.COLOURS, ROOT: "#CC79A7"}
STYLES = {**_arms.STYLES, ROOT: "-."}
# η, momentum of the process, optimiser; where none is given the library's own heavy ball
OPTIMISERS: dict[str, tuple[float, float, Any]] = {
    "plain SGD": (_arms.RATE / (1 - _arms.MOMENTUM), 0.0, None),
    "heavy ball": (_arms.RATE, _arms.MOMENTUM, None),
    "Nesterov": (_arms.RATE, 0.0, functools.partial(optax.sgd, momentum=_arms.MOMENTUM, nesterov=True)),
    ADAM: (0.003, 0.0, optax.adam),
}


def check(context: Context) -> Outcome:
    """Train by three schedules with every optimiser, compare."""
    names = context.pick(smoke=("heavy ball", ADAM), quick=tuple(OPTIMISERS), full=tuple(OPTIMISERS))
    results = {name: _train(context, name) for name in names}
    ends, wrong = (
        [_arms.equal_ends(name, result, arm, DECAY) for name, result in results.items()]
        for arm in (GROW, CONSTANT)
    )
    title = "test accuracy at the end − with decayed η"
    main, control = _arms.least(ends, title), _arms.nearest(wrong, f"{title}, constant η and B")
    curves = [
        _curve(context, f"{what}, {name}", result, key, (GROW, DECAY))
        for key, what in (("loss", "training loss"), ("accuracy", "test accuracy"))
        for name, result in results.items()
    ]
    return Outcome(
        measurements=(main, *curves, *_rivals(context, results[ADAM])),
        control=control,
        summary=(
            f"Grown B ends within {100 * abs(main.estimate):.1f} points of decayed η with each of "
            f"{len(names)} optimisers; {sum(bool(one.met) for one in curves)} of {len(curves)} curves are "
            f"shown to agree; constant η and B end {100 * control.estimate:+.1f} points away at least."
        ),
        figure=_draw(results),
    )


def _train(context: Context, name: str) -> ss.SweepResult:
    rate, momentum, optimiser = OPTIMISERS[name]
    if momentum:
        return _arms.on_digits(context)
    lengths = _arms.stages(context)
    start: dict[str, Any] = {"rate": rate, "batch": _arms.BATCH}
    made = _arms.schedules(lengths, factor=_arms.FACTOR, **start)
    made = {arm: made[arm] for arm in (DECAY, GROW, CONSTANT)}
    process = context.sgd
    if optimiser is not None:
        process = functools.partial(context.sgd, optimizer=optimiser)
    if name == ADAM:
        made[ROOT] = _arms.schedules(lengths, factor=round(_arms.FACTOR**0.5), **start)[DECAY]
    return context.sweep(name, process, _arms.digits(context), **_arms.options(context, made))


def _curve(
    context: Context, name: str, result: ss.SweepResult, what: str, arms: tuple[str, str]
) -> Measurement:
    return _arms.near_curves(context, name, result, what, arms, after=_arms.stages(context)[0])


def _rivals(context: Context, result: ss.SweepResult) -> list[Measurement]:
    """How far Adam's loss with a grown batch is from what either law says."""
    laws = {DECAY: "η / factor", ROOT: "η / √factor"}
    found = [
        _curve(context, f"{ADAM}, training loss: grown B to {law}", result, "loss", (GROW, arm))
        for arm, law in laws.items()
    ]
    return [Measurement(**{**vars(one), "threshold": "the other law's", "met": None}) for one in found]


def _draw(results: dict[str, ss.SweepResult]) -> Any:
    figure, axes = ss.plot.figure(2, len(results), width=3.0, height=3.0, squeeze=False)
    for column, (name, result) in zip(axes.T, results.items(), strict=True):
        for ax, (what, label) in zip(
            column, (("loss", "training loss"), ("accuracy", "test accuracy")), strict=True
        ):
            for arm in (CONSTANT, ROOT, DECAY, GROW):
                if arm in result["schedule"].values:
                    style = {"color": COLOURS[arm], "ls": STYLES[arm], "label": arm}
                    _arms.draw_curve(ax, result, arm, what, "epoch", **style)
            _arms.scale_axis(ax, result[what].values, what)
            if what == "loss":
                ax.set_title(name)
            ax.set_xlabel("epochs")
            if name == next(iter(results)):
                ax.set_ylabel(label)
    axes[1, -1].legend(fontsize=8)
    return figure


CARD = DONT_DECAY.at("section 5.1, figures 3 to 5").card(
    claim="""
        Growing B in place of decaying η gives the same curves and the same test accuracy for plain SGD,
        heavy ball, Nesterov's momentum and Adam alike.
    """,
    data="digits",
    paper_setting="Wide ResNet 16-4 on CIFAR-10; SGD, heavy ball and Nesterov with momentum .9, Adam.",
    our_setting="""
        Digits, N = 1280, a tenth of the labels random, tanh network 64-32-10, B = 4, three stages of 10
        epochs, factor 4. η = .125 (plain), .0125 (momentum .9), .003 (Adam). 64 seeds. (smoke: heavy ball
        and Adam, N = 640, a hidden layer of 16, two stages; full: a hidden layer of 128, stages of 40
        epochs.)
    """,
    statistic="""
        For each optimiser, grown B against decayed η: difference of the mean test accuracy at the end; root
        mean square of the difference of the mean curves after the first change in spreads of single runs,
        unbiased. Accuracy at the end: the optimiser that is least shown.
    """,
    threshold="""
        Accuracy within one point by two one-sided t-tests; curves nearer than one spread of single runs, by
        bootstrap over seeds. Level .05 each.
    """,
    reason="""
        Effect size: without a decay several points are lost; means one spread apart cannot be told by
        training once.
    """,
    control="Constant η and B, of the optimiser for which its test accuracy at the end is nearest.",
    check=check,
)
