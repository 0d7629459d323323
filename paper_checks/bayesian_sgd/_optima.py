"""What the cards of B_opt against η and 1/(1 − m) share: the fit, its rival, its control, the figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paper_checks._card import Measurement
from paper_checks._context import Context
from paper_checks.bayesian_sgd._noise_grid import Arm
from paper_checks.bayesian_sgd._optimum import Power, fall, power, proportional, told
from paper_checks.three_factors._ticks import plain_y_ticks

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#4D4D4D")
STATISTIC = """
    Exponent of B_opt in {x} by least squares on logarithms; B_opt is the top of a parabola in ln B through
    the highest mean accuracy and two points to each side. Errors by bootstrap over seeds. A highest point at
    the end of its batch sizes is marked and does not count as met.
"""
CONTROL = "The same test with the optima dealt out to the {x} in another order, of expected exponent 0."


@dataclass(frozen=True)
class Found:
    """Exponents, and how they are judged."""

    power: Power
    rival: Power
    main: Measurement
    others: tuple[Measurement, ...]
    control: Measurement


def judged(context: Context, arms: Sequence[Arm], x: Sequence[float], name: str) -> Found:
    """The exponent of B_opt in x, that of the B below which training fails, and the control."""
    curves = [arm.accuracy for arm in arms]
    key = context.key_for("seeds drawn anew")
    found = power(x, curves, key=key)
    rival = power(x, [arm.loss for arm in arms], key=key, read=fall)
    mixed = [curves[place] for place in dealt(len(curves))]
    return Found(
        found,
        rival,
        proportional(f"exponent of B_opt in {name}", found, curves),
        (
            told(f"exponent in {name} of the B below which training fails", rival, "1 by plain stability"),
            Measurement(
                name="B_opt over that B, geometric mean",
                estimate=float(np.exp((found.read - rival.read).mean())),
                threshold="1 if the best is at the edge of stability",
                met=None,
            ),
        ),
        proportional("exponent, optima dealt out anew", power(x, mixed, key=key), mixed),
    )


def dealt(count: int) -> list[int]:
    """Places in an order whose slope over 0..count − 1 is the nearest to 0 there is by taking turns."""
    odd = list(range(1, count, 2))
    even = list(range(0, count, 2))
    return [*odd, *even] if count % 2 == 0 else [*even[::-1], *odd]


def draw_curves(ax: Any, arms: Sequence[Arm], labels: Sequence[str], found: Found) -> None:
    """Accuracy over B with two standard errors, and where each is highest."""
    for arm, label, colour, best in zip(arms, labels, COLOURS, found.power.read, strict=False):
        values = arm.accuracy.values
        error = 2 * values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
        ax.errorbar(
            arm.accuracy.batches, values.mean(axis=1), error, fmt="o-", ms=4, color=colour, label=label
        )
        ax.axvline(np.exp(best), color=colour, lw=1, ls=":")
    highest = max(float(arm.accuracy.values.mean(axis=1).max()) for arm in arms)
    ax.set_ylim(highest - 0.07, highest + 0.012)
    ax.set_xscale("log")
    ax.set_xlabel("batch size B (dotted: B_opt)")
    ax.set_ylabel("test accuracy ± 2 standard errors")
    ax.legend(fontsize=9, loc="lower right")
    plain_x_ticks(ax)


def draw_power(ax: Any, x: Sequence[float], found: Found, name: str) -> None:
    """B_opt and the B below which training fails, with the lines of exponent 1."""
    at = np.asarray(x)
    for power_, colour, label in (
        (found.power, "#0072B2", "B_opt"),
        (found.rival, "#D55E00", "training fails below"),
    ):
        middle = np.exp(power_.read)
        ax.errorbar(
            at,
            middle,
            np.abs(np.exp(power_.read + 2 * power_.errors * np.array([[-1], [1]])) - middle),
            fmt="o",
            color=colour,
            label=f"{label}: exponent {power_.exponent:.2f} ± {power_.error:.2f}",
        )
        ax.plot(at, np.exp(power_.read.mean() - np.log(at).mean()) * at, color=colour, lw=1.2, ls="--")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(at, [f"{one:g}" for one in at])
    ax.set_xticks([], minor=True)
    plain_y_ticks(ax)
    ax.set_xlabel(name)
    ax.set_ylabel("batch size ± 2 standard errors")
    ax.set_title("dashed: exponent 1", fontsize=10)
    ax.legend(fontsize=9)


def plain_x_ticks(ax: Any) -> None:
    """Powers of two along a logarithmic axis."""
    low, high = ax.get_xlim()
    ticks = [2**place for place in range(13) if low < 2**place < high]
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.set_xticks([], minor=True)
    ax.set_xlim(low, high)
