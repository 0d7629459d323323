"""A loss of one's own in closed form, with noise of one's own: SGD, its SDE and their stationary law.

Three wells in a bowl. With noise that is the same everywhere the law is Gibbs exp(-2L/T). With noise
that grows outwards it is not: probability gathers where the noise is small, in the middle well, and
the law is that of the Itô SDE. All a problem needs is a starting point, a loss and its noise.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from common import finish, options, table

import sde_sgd as ss

RATE, BATCH, TIME = 0.05, 2, 300.0  # many times the relaxation between the wells
VARIANCE = 12.0
BOUNDS = (-8.0, 8.0)


class ThreeWells(ss.problems.AnalyticProblem):
    """L(x) = x²/20 + (1 − cos 3x)/4."""

    noise: ss.problems.GradientNoise
    noise_law: str = eqx.field(static=True, default="gaussian")

    def init(self, key: jax.Array) -> jax.Array:
        """Anywhere in the three wells."""
        return jax.random.uniform(key, (), float, minval=-3.0, maxval=3.0)

    def loss(self, theta: jax.Array) -> jax.Array:
        """L(x); its gradient and Hessian come by themselves."""
        return theta * theta / 20 + (1 - jnp.cos(3 * theta)) / 4


def outwards(x: jax.Array) -> jax.Array:
    """σ²(x), which grows away from the middle well."""
    return VARIANCE * (3 + x * x / 2) / 4


def main() -> None:
    """Run, print the table, draw the figure."""
    args = options(__doc__)
    chains = 20_000 if args.quick else 200_000
    keys = iter(jax.random.split(jax.random.key(args.seed), 4))
    hyper = ss.Hyperparameters(learning_rate=RATE, batch_size=BATCH)
    steps = round(TIME / RATE)
    even = ThreeWells(ss.problems.Isotropic(VARIANCE))
    uneven = ThreeWells(ss.problems.PositionDependent(outwards))
    gibbs = ss.theory.gibbs(even, hyper, bounds=BOUNDS)
    laws = {
        "even": (even, gibbs, {"substeps": 2}),
        "outwards": (uneven, ss.theory.ito_density(uneven, hyper), {"substeps": 4}),
    }
    figure, axes = ss.plot.figure(1, 3, width=4.4, height=3.6)
    rows = []
    for panel, (name, (problem, law, options_of_sde)) in zip(axes[1:], laws.items(), strict=True):
        sgd = ss.run(ss.SGD(problem, hyper), chains=chains, steps=steps, key=next(keys))
        langevin = ss.Langevin(problem, hyper, **options_of_sde)
        sde = ss.run(langevin, chains=chains, steps=steps, key=next(keys))
        exact = law.expectation(middle)
        for process, result in (("SGD", sgd), ("SDE", sde)):
            found = ss.statistics.compare(result, law)
            share = float(np.mean(middle(result.samples())))
            error = np.sqrt(share * (1 - share) / chains)
            rows.append(
                [
                    name,
                    process,
                    f"{found.ks:.4f} ± {found.ks_error:.4f}",
                    f"{share:.4f} ± {error:.4f}",
                    f"{exact:.4f}",
                    f"{gibbs.expectation(middle):.4f}",
                ]
            )
        title = "Gibbs" if name == "even" else "Itô"
        ss.plot.histograms(**{"SGD": sgd, "SDE": sde, title: law}, ax=panel)
        if name == "outwards":
            panel.plot(gibbs.grid, gibbs.pdf(gibbs.grid), ":", color="grey", label="Gibbs of even noise")
        panel.set_xlim(-5, 5)
        panel.set_ylim(0, 2.2)
        panel.legend(fontsize=9, frameon=False, loc="upper right")
    axes[1].set_title("σ² the same everywhere")
    axes[2].set_title("σ²(x) growing outwards")
    axes[2].set_ylabel("")
    landscape(axes[0], even)
    figure.suptitle("A loss of one's own: noise that grows outwards empties the outer wells")

    temperature = ss.theory.temperature(even, hyper)
    table(
        f"L = x²/20 + (1 − cos 3x)/4; η = {RATE:g}, B = {BATCH}, σ² = {VARIANCE:g} or "
        f"{VARIANCE / 4:g}(3 + x²/2), T = {temperature:g}; {chains} chains",
        ["noise", "", "KS to the law", "P(middle)", "law", "Gibbs"],
        rows,
    )
    print("  What SGD differs by is the bias of a finite η: ηL'' = .12 at the bottom of the wells.")
    finish(figure, args.out / "own_loss.png")


def middle(x):
    """1 in the middle well, else 0."""
    return (jnp.abs(x) < np.pi / 3).astype(float)


def landscape(axes, problem) -> None:
    """The loss, and how the two noises go with it."""
    ss.plot.landscape(problem, bounds=(-5, 5), ax=axes)
    x = np.linspace(-5, 5, 201)
    right = axes.twinx()
    right.plot(x, np.full_like(x, VARIANCE), "--", color="#0072B2", label="σ², even")
    right.plot(x, np.asarray(outwards(x)), "--", color="#D55E00", label="σ², outwards")
    right.set_ylim(0, 60)
    right.set_ylabel("σ² of one example")
    right.legend(fontsize=9, frameon=False, loc="upper center")
    axes.set_xlabel("x")
    axes.set_title("the loss (black) and its noise")


if __name__ == "__main__":
    main()
