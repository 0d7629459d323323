"""On the line between two ends the one of larger η/B lies in the wider valley.

Ends at one training loss, on two data sets. Thresholds, set before any run:

- The two ends share the line, so its units drop out: the logarithm of (curvature along the line at the end of
  small η/B)/(the same at the end of large η/B) is compared with 0.2, a width that differs by 10 %, by a
  one-sided t-test over pairs of independent runs at level .01.
- The same for the rise of the loss beyond the ends, as far again as they are from each other.
- The control does this for ends of one η/B, η and B four times larger at one of them, whichever way round
  gives more.
"""

from typing import Any

import jax
import numpy as np
from scipy import stats

import sde_sgd as ss
from paper_checks._card import Measurement, Outcome
from paper_checks._context import Context
from paper_checks.three_factors._grid import make
from paper_checks.three_factors._networks import DIGITS, OTHER
from paper_checks.three_factors._paper import THREE_FACTORS

SMALL, LARGE = 0.005, 0.02  # η/B
SIZES = (2, 8)
LEVELS = {DIGITS: 0.8, OTHER: 0.7}  # of the training loss, where runs stop; both η/B reach it
ALPHAS = np.linspace(-1.0, 2.0, 61)
NEAR = 5  # points: curvature by a second difference over 0.25 in α
MARGIN = 0.2
LEVEL = 0.01
Place = tuple[int, int]  # (B, η/B)
# α = 0 first
PAIRS: dict[str, tuple[Place, Place]] = {"equal B": ((0, 0), (0, 1)), "equal η": ((1, 0), (0, 1))}
CONTROLS: dict[str, tuple[Place, Place]] = {
    f"η/B = {SMALL:g}": ((0, 0), (1, 0)),
    f"η/B = {LARGE:g}": ((0, 1), (1, 1)),
}


def check(context: Context) -> Outcome:
    """Train to one loss, evaluate the loss along the lines."""
    names = context.pick(smoke=(DIGITS,), quick=(DIGITS, OTHER), full=(DIGITS, OTHER))
    lines: dict[tuple[str, str], np.ndarray] = {}
    late = 0
    for name in names:
        problem = make(context, name)
        result = _train(context, name, problem)
        late += int((result["stopped_at"].values < 0).sum())
        for which, places in (PAIRS | CONTROLS).items():
            lines[name, which] = _lines(problem, result, places)
    main = _judge({key: _curvature(at) for key, at in lines.items() if key[1] in PAIRS})
    beyond = _judge({key: _rise(at) for key, at in lines.items() if key[1] in PAIRS})
    control = max(
        (
            _judge({key: sign * of(at)})
            for key, at in lines.items()
            if key[1] in CONTROLS
            for of in (_curvature, _rise)
            for sign in (1, -1)
        ),
        key=lambda found: found[1].statistic,
    )
    return Outcome(
        measurements=(
            _measurement("ln(curvature along the line, small η/B to large), smallest", *main),
            _measurement("ln(rise beyond the end, small η/B to large), smallest", *beyond),
            Measurement(
                name="runs that did not come down to the common loss",
                estimate=late,
                threshold="none",
                met=None,
            ),
        ),
        control=_measurement("ends of one η/B, the largest of all", *control),
        summary=(
            f"At one training loss the end of small η/B is {np.expm1(main[2].mean()):.0%} more curved along "
            f"the line to the other; ends of one η/B differ by {np.expm1(abs(control[2].mean())):.0%}."
        ),
        figure=_draw(lines, names),
    )


def _train(context: Context, name: str, problem: Any) -> ss.SweepResult:
    return context.sweep(
        name,
        context.sgd,
        problem,
        batch_size=list(SIZES),
        ratio=[SMALL, LARGE],
        seeds=context.pick(smoke=12, quick=24, full=64),
        epochs=context.pick(smoke=40, quick=40, full=40),
        every=0.5,
        stop_loss=LEVELS[name],
        record=["loss"],
        keep_theta=True,
    )


def _lines(problem: Any, result: ss.SweepResult, places: tuple[Place, Place]) -> np.ndarray:
    """The loss on the lines between seed s of one setting and seed s of the other, shape (seeds, α)."""
    first, second = places
    return np.stack(
        [
            ss.curvature.interpolation(
                problem, _end(result, (*first, seed)), _end(result, (*second, seed)), ALPHAS
            ).values
            for seed in range(result.dataset.sizes["seed"])
        ]
    ).astype(np.float64)


def _end(result: ss.SweepResult, place: tuple[int, ...]) -> Any:
    return jax.tree.map(lambda leaf: leaf[place], result.theta)


ZERO, ONE = (int(np.flatnonzero(np.isclose(ALPHAS, at))[0]) for at in (0.0, 1.0))


def _curvature(lines: np.ndarray) -> np.ndarray:
    """ln(second difference at α = 0) − ln(the same at α = 1), for each pair of runs."""
    first, second = (lines[:, at - NEAR] + lines[:, at + NEAR] - 2 * lines[:, at] for at in (ZERO, ONE))
    return np.asarray(np.log(first / second))


def _rise(lines: np.ndarray) -> np.ndarray:
    """ln(L(−1) − L(0)) − ln(L(2) − L(1)), for each pair of runs."""
    return np.asarray(np.log((lines[:, 0] - lines[:, ZERO]) / (lines[:, -1] - lines[:, ONE])))


def _judge(values: dict[tuple[str, str], np.ndarray]) -> tuple[str, Any, np.ndarray]:
    """The pair with the largest p."""
    tests = {key: stats.ttest_1samp(value, MARGIN, alternative="greater") for key, value in values.items()}
    key = max(tests, key=lambda one: tests[one].pvalue)
    return ", ".join(key), tests[key], values[key]


def _measurement(text: str, name: str, test: Any, values: np.ndarray) -> Measurement:
    return Measurement(
        name=f"{text}: {name}",
        estimate=float(values.mean()),
        standard_error=float(values.std(ddof=1) / np.sqrt(len(values))),
        n=len(values),
        p=float(test.pvalue),
        threshold=f"above {MARGIN:g}, by a one-sided t-test at level {LEVEL:g}",
        met=bool(test.pvalue < LEVEL),
    )


def _draw(lines: dict[tuple[str, str], np.ndarray], names: tuple[str, ...]) -> Any:
    figure, axes = ss.plot.figure(2, len(names), width=5.0, height=3.2, squeeze=False)
    for column, name in enumerate(names):
        top, bottom = axes[:, column]
        mean = lines[name, "equal B"].mean(axis=0)
        same = lines[name, f"η/B = {LARGE:g}"].mean(axis=0)
        top.plot(ALPHAS, mean, color="#D55E00", lw=2, label=f"from η/B = {SMALL:g} to {LARGE:g}")
        top.plot(ALPHAS, same, color="#4D4D4D", lw=1.5, label=f"both η/B = {LARGE:g}")
        for alpha in (0, 1):
            top.axvline(alpha, color="black", lw=0.8, ls=":")
        top.set(title=f"{name}: loss on the line between two ends", xlabel="α", ylabel="training loss")
        top.legend(fontsize=9, loc="upper center")
        # the two valleys over each other, the left one mirrored
        reach = np.arange(-8, 21)
        step = ALPHAS[1] - ALPHAS[0]
        bottom.plot(reach * step, mean[ZERO - reach], color="#0072B2", lw=2, label=f"η/B = {SMALL:g}")
        bottom.plot(reach * step, mean[ONE + reach], color="#D55E00", lw=2, label=f"η/B = {LARGE:g}")
        bottom.axvline(0, color="black", lw=0.8, ls=":")
        bottom.set(
            title="its two ends over each other: the wider valley",
            xlabel="away from the other end, in α",
            ylabel="training loss",
        )
        bottom.legend(fontsize=9, loc="upper left")
    return figure


CARD = THREE_FACTORS.at("section 4.1, figure 4").card(
    claim="The loss on the line between two ends shows a wider valley at the one of larger η/B.",
    data="digits, teacher data",
    paper_setting="ResNet-56 and VGG-11 on CIFAR-10, lines from a small to a large η/B, α from −1 to 2.",
    our_setting="""
        Tanh networks with two hidden layers of 32 (full: 64) on 1280 scikit-learn digits and on 1280 normal
        inputs labelled by a random network (smoke: digits only), cross-entropy, 25 % of the training labels
        redrawn at random. η/B = .005 and .02 at B = 2 and 8, each run until its training loss falls to .8
        (digits) or .7, looked at twice an epoch; 12, 24 or 64 pairs of independent runs (smoke, quick,
        full).
    """,
    statistic="""
        Mean logarithm of the ratio of two second differences of the loss over .25 in α, at the two ends; and
        of the two rises beyond the ends, L(−1) − L(0) and L(2) − L(1). η/B = .005 against .02 at equal B and
        at equal η; the smallest counts.
    """,
    threshold="Above .2, by one-sided t-tests at level .01.",
    reason="""
        Effect size: .2 is a width that differs by 10 %. Runs stop at one loss because a lower valley is
        flatter for that alone.
    """,
    control="""
        The same for ends of one η/B, with η and B four times larger at one of them; the largest of both
        statistics, both η/B and both directions.
    """,
    check=check,
)
