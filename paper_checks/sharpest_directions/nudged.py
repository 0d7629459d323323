"""Nudged SGD: steps that are shorter along the sharpest directions.

Runs of nudged SGD and of SGD are pairs, with one start and the same batches. Thresholds, set after a look at
runs with another seed and before those that decide:

- Sharper: λ₁ more than 1.1 times that of SGD, for every network, K and γ, at equal epochs and at equal
  training loss. Random directions too take a little off the step, which 5 of 3,466 directions cannot hide
  from enough runs; a tenth is far above that, and below the factors seen at first, 1.3 to 2.
- As fast: ln of the training loss, the mean over the curve, less than ln 1.05 above that of SGD.
- Generalises as well: test accuracy at most half a percentage point below that of SGD. The binomial error of
  517 test examples is a whole one; pairs tell less than that.

Each is a family of one-sided t-tests, corrected by Holm; all must pass. γ = 1 is SGD itself, to the last
bit.

After a first run, of seed 0, λ₁ at equal epochs was made the mean over the last quarter in place of the last
sample, for the card `flattening`, which looks at the same runs. No threshold was changed.
"""

from typing import Any

import numpy as np

import sde_sgd as ss
from paper_checks._card import Measurement, Outcome
from paper_checks._context import Context
from paper_checks.sharpest_directions._nudging import (
    CONVOLUTIONAL,
    MLP_CLEAN,
    MLP_NOISY,
    WHEN,
    Arm,
    Arms,
    Curves,
    log_loss,
    log_sharpness,
    train,
)
from paper_checks.sharpest_directions._paired import all_above, all_below, any_of
from paper_checks.sharpest_directions._paper import SHARPEST_DIRECTIONS

SHARPER, AS_FAST, AS_WELL = 1.1, 1.05, 0.005
MAIN = Arm(5, 0.01)
RANDOM = Arm(5, 0.01, directions="random")
FEW: Arms = {MLP_NOISY: (MAIN, Arm(1, 0.01), Arm(20, 0.01)), MLP_CLEAN: (MAIN,)}
ALL = tuple(Arm(k, factor) for factor in (0.01, 0.1) for k in (1, 3, 5, 10, 20))

Pairs = dict[str, tuple[Curves, Curves]]


def check(context: Context) -> Outcome:
    """Train every arm and SGD, compare them pair by pair."""
    every: Arms = dict.fromkeys((MLP_NOISY, MLP_CLEAN, CONVOLUTIONAL), ALL)
    few: Arms = {MLP_NOISY: (MAIN,)}
    arms = context.pick(smoke=few, quick=FEW, full=every)
    plain = {name: train(context, name, None) for name in arms}
    pairs = {
        f"{name}, {arm.name}": (train(context, name, arm), plain[name])
        for name, several in arms.items()
        for arm in several
    }
    drawn = (train(context, MLP_NOISY, RANDOM), plain[MLP_NOISY])
    sharper = all_above(
        "λ₁ over that of SGD", _sharpness(pairs), limit=np.log(SHARPER), threshold=f"all above {SHARPER:g}"
    )
    fast = all_below(
        "training loss over that of SGD, mean over the curve",
        {at: log_loss(*pair) for at, pair in pairs.items()},
        limit=np.log(AS_FAST),
        threshold=f"all below {AS_FAST:g}",
    )
    gains = {at: first.last_accuracy - second.last_accuracy for at, (first, second) in pairs.items()}
    well = all_above(
        "test accuracy less that of SGD",
        gains,
        limit=-AS_WELL,
        threshold=f"all above −{AS_WELL:g}",
        ratio=False,
    )
    control = any_of(
        all_above,
        "λ₁ over that of SGD, random directions",
        _sharpness({MLP_NOISY: drawn}),
        limit=np.log(SHARPER),
        threshold=f"above {SHARPER:g}",
    )
    ratios = [float(np.exp(values.mean())) for values in _sharpness(pairs).values()]
    return Outcome(
        measurements=(sharper, fast, well, *_beside(pairs)),
        control=control,
        summary=(
            f"Nudged SGD is {min(ratios):.2f} to {max(ratios):.2f} times as sharp as SGD, with a training "
            f"loss of at most {fast.estimate:.2f} times SGD's; its test accuracy differs by "
            f"{_points(min(one.mean() for one in gains.values()))} to "
            f"{_points(max(one.mean() for one in gains.values()))} percentage points."
        ),
        figure=_draw({"SGD": plain[MLP_NOISY], RANDOM.name: drawn[0]}, pairs, gains),
    )


def _sharpness(pairs: Pairs) -> dict[str, np.ndarray]:
    """ln of the ratio at both times."""
    return {f"{at}, {when}": log_sharpness(*pair, when) for at, pair in pairs.items() for when in WHEN}


def _beside(pairs: Pairs) -> tuple[Measurement, ...]:
    """How the paper's K and γ generalise."""
    found = []
    for at, (first, second) in pairs.items():
        if MAIN.name in at:
            differences = {
                "test accuracy": (first.last_accuracy - second.last_accuracy, "0 or more"),
                "test loss at the end": (first.test_loss[:, -1] - second.test_loss[:, -1], "0 or less"),
            }
            found += [
                Measurement(
                    name=f"{what} less that of SGD: {at}",
                    estimate=float(values.mean()),
                    standard_error=float(values.std(ddof=1) / np.sqrt(len(values))),
                    n=len(values),
                    threshold=f"{expected}, if it generalises as well",
                    met=None,
                )
                for what, (values, expected) in differences.items()
            ]
    return tuple(found)


def _points(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "−")


def _draw(others: dict[str, Curves], pairs: Pairs, gains: dict[str, np.ndarray]) -> Any:
    figure, axes = ss.plot.figure(1, 3, width=4.6, height=4.0)
    noisy = {at.removeprefix(f"{MLP_NOISY}, "): pair[0] for at, pair in pairs.items() if MLP_NOISY in at}
    shown = {name: one for name, one in noisy.items() if name in (MAIN.name, Arm(20, 0.01).name)}
    colours = ("black", "#999999", "#0072B2", "#D55E00")
    styles = ("-", ":", "-", "-")
    for (name, one), colour, style in zip({**others, **shown}.items(), colours, styles, strict=False):
        for ax, values in zip(axes, (one.loss, one.sharpness), strict=False):
            mean, spread = values.mean(axis=0), values.std(axis=0, ddof=1)
            ax.fill_between(one.epochs, mean - spread, mean + spread, color=colour, alpha=0.12, lw=0)
            ax.plot(one.epochs, mean, style, color=colour, lw=2.2 if style == ":" else 1.7, label=name)
    axes[0].set_title("training loss: as fast")
    axes[1].set_title("λ₁: sharper")
    axes[0].legend(fontsize=9, title=MLP_NOISY)
    for ax in axes[:2]:
        ax.set_xlabel("epoch")
    colour_of = {MLP_NOISY: "#0072B2", MLP_CLEAN: "#009E73", CONVOLUTIONAL: "#CC79A7"}
    for place, (at, values) in enumerate(gains.items()):
        name = next(one for one in colour_of if at.startswith(one))
        error = 2 * values.std(ddof=1) / np.sqrt(len(values))
        axes[2].errorbar(100 * values.mean(), -place, xerr=100 * error, fmt="o", color=colour_of[name])
    axes[2].axvline(0, color="black", lw=1)
    axes[2].axvline(-100 * AS_WELL, color="black", lw=1, ls="--")
    labels = [at.replace(", K", "\nK").replace(" labels", "") for at in gains]
    axes[2].set_yticks(-np.arange(len(gains)), labels, fontsize=9 if len(gains) < 8 else 5)
    axes[2].set_xlabel("percentage points ± 2 errors; dashed: the limit")
    axes[2].set_title("test accuracy less SGD's")
    return figure


CARD = SHARPEST_DIRECTIONS.at("section 5").card(
    claim="""
        Nudged SGD, with steps times γ < 1 along the K sharpest directions, trains as fast as SGD or
        faster, to sharper regions, and generalises as well or better.
    """,
    data="digits",
    paper_setting="""
        SimpleCNN and ResNet-32 on CIFAR-10; K = 5 and γ = .01 and others, directions found anew at
        each epoch.
    """,
    our_setting="""
        Digits, N = 1280, η = .1, B = 16, from weights of a tenth of the usual size, 24 epochs,
        directions found anew at each epoch on 512 examples, 8 pairs of runs with one start and the
        same batches. Tanh network with hidden layers of 32 and 32; 25 % of the labels redrawn at
        random: K = 5, 1, 20 with γ = .01; clean labels: K = 5, γ = .01. γ = 1 is SGD itself. Smoke:
        noisy labels, 320 examples, one hidden layer of 16, K = 5 alone, 4 pairs. Full: K = 1, 3, 5,
        10, 20 with γ = .01 and .1, 64 and 64 wide, a convolutional network too, all examples, 48
        epochs, 24 pairs. γ = 5 is the card on flattening.
    """,
    statistic="""
        λ₁ of all examples over that of SGD, over the last quarter of the epochs and at the lowest
        training loss that all runs of both reach; ratio of training losses over the curve (geometric
        means); difference of test accuracies over the last quarter. Each over pairs; the one that is
        least shown.
    """,
    threshold="""
        All ratios of λ₁ above 1.1, all ratios of training losses below 1.05, all differences of
        accuracies above −.005; one-sided t-tests at level .05, corrected by Holm in each of the
        three.
    """,
    reason="""
        Effect sizes: 1.4 to 2 times as sharp in a first trial; a twentieth of the loss is not seen in
        a plot of it; half a percentage point is half the binomial error of the 517 test examples.
    """,
    control="K = 5 random directions, γ = .01, noisy labels: λ₁ must not be above 1.1 times that of SGD.",
    check=check,
)
