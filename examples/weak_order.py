"""How fast averages of the SDE approach those of SGD as η → 0: the weak order, and what is held fixed.

∇L = x + ½ sin 2x from x = 1.5, at time 1. At fixed batch size the noise vanishes with η: Li, Tai and E's
second-order equation gains an order. At fixed η/B, where the temperature stays, its drift alone gains
none; with the diffusion and the drift that fixed η/B asks for it does.
SGD takes the sum of the SDE's Brownian increments as its noise, so 10⁵ paths show errors of 10⁻⁵.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from common import finish, options, table

import sde_sgd as ss

RATES = (2.0**-3, 2.0**-4, 2.0**-5, 2.0**-6)
TEMPERATURE = 1.0
EQUATIONS = {
    "first order": (None, "#4D4D4D", "o"),
    "second order, for fixed B": (partial(ss.SecondOrderLangevin, substeps=8), "#D55E00", "s"),
    "second order, for fixed η/B": (
        partial(ss.SecondOrderLangevin, fixed="ratio", substeps=8),
        "#0072B2",
        "D",
    ),
}


class Ripple(ss.problems.AnalyticProblem):
    """L = x²/2 − ¼ cos 2x with Gaussian noise."""

    noise: ss.problems.GradientNoise
    noise_law: str = eqx.field(static=True)

    def __init__(self, noise_variance: float):
        self.noise = ss.problems.Isotropic(noise_variance)
        self.noise_law = "gaussian"

    def init(self, key):
        """Everywhere at 1.5."""
        return jnp.full((), 1.5)

    def loss(self, theta):
        """L."""
        return 0.5 * theta**2 - 0.25 * jnp.cos(2 * theta)


def x(theta):
    """f = x."""
    return theta


def x_squared(theta):
    """f = x²."""
    return theta * theta


def main() -> None:
    """Run, print the table, draw the figure."""
    args = options(__doc__)
    chains = 20_000 if args.quick else 100_000
    rates = RATES[:3] if args.quick else RATES
    figure, axes = ss.plot.figure(1, 2, width=5.2, height=4.4, sharey=True)
    # Gaussian noise knows only σ²/B, so σ² = T/η at B = 1 stands for B falling with η
    panels = (
        ("fixed B: the noise vanishes with η", dict.fromkeys(rates, 1.0)),
        ("fixed η/B: the temperature stays", {rate: TEMPERATURE / rate for rate in rates}),
    )
    rows = []
    for ax, (title, variance) in zip(axes, panels, strict=True):
        for name, (process, colour, mark) in EQUATIONS.items():
            errors = [
                ss.validity.weak_error(
                    Ripple(variance[rate]),
                    ss.Hyperparameters(rate),
                    time=1.0,
                    process=process,
                    observables={"x": x, "x²": x_squared},
                    chains=chains,
                    key=jax.random.key(args.seed),
                )
                for rate in rates
            ]
            for number, observable in enumerate(("x", "x²")):
                value = np.asarray([error.value[number] for error in errors])
                spread = np.asarray([error.standard_error[number] for error in errors])
                rows.append([title.split(":")[0], name, f"{observable}", *cells(rates, value, spread)])
            draw(ax, name, rates, errors, colour, mark)
        references(ax, rates)
        ax.set(title=title, xlabel="learning rate η", xscale="log", yscale="log")
        ax.set_xticks(rates, [f"1/{round(1 / rate)}" for rate in rates])
        ax.minorticks_off()
    axes[0].set_ylabel("|E x (SGD) − E x (SDE)|")
    axes[0].legend(loc="lower right", fontsize=9, frameon=False)
    figure.suptitle("Which second-order equation gains an order depends on what is held fixed")
    table(
        f"weak errors at time 1, {chains} paths with common noise",
        ["held", "equation", "f", *(f"η = 1/{round(1 / rate)}" for rate in rates), "slope"],
        rows,
    )
    finish(figure, args.out / "weak_order.png")


def cells(rates, value, spread) -> list[str]:
    """The errors of one row, and the slope of ln |error| over ln η at the three largest rates."""
    across = np.log(rates[:3]) - np.mean(np.log(rates[:3]))
    slope = across @ np.log(np.abs(value[:3])) / (across @ across)
    error = np.sqrt(across**2 @ (spread[:3] / value[:3]) ** 2) / (across @ across)
    # a slope over points that are noise, or that change their sign, says nothing
    clear = np.all(np.abs(value[:3]) > 3 * spread[:3]) and np.unique(np.sign(value[:3])).size == 1
    last = f"{slope:.2f} ± {error:.2f}" if clear else "–"
    return [*(f"{one:+.2e} ± {other:.0e}" for one, other in zip(value, spread, strict=True)), last]


def draw(ax, name, rates, errors, colour, mark) -> None:
    """One equation: the error of E x over η."""
    value = np.abs([error.value[0] for error in errors])
    spread = np.asarray([error.standard_error[0] for error in errors])
    ax.errorbar(rates, value, spread, fmt=f"{mark}-", color=colour, ms=6, lw=1.4, label=name)


def references(ax, rates) -> None:
    """Lines of slope 1 and 2."""
    ends = np.asarray([rates[-1], rates[0]])
    for order, height in ((1, 0.065), (2, 0.0019)):
        ax.plot(ends, height * (ends / rates[0]) ** order, color="grey", lw=1, ls=":")
        ax.annotate(
            f"slope {order}", (ends[1], height), xytext=(3, 0), textcoords="offset points", color="grey",
            fontsize=9, va="center",
        )  # fmt: skip


if __name__ == "__main__":
    main()
