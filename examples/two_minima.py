"""A deep narrow well against a shallow wide one: which one SGD prefers depends on T = ησ²/B.

P(wide) from SGD and from its SDE, with Laplace's approximation and exact quadrature. A minimum
that is both higher and sharper never wins; a higher and flatter one wins once
T/2 exceeds ΔL / ln √(det H_narrow / det H_wide).
"""

import jax
import numpy as np
from common import finish, options, table

import sde_sgd as ss

RATE = 0.02
BATCHES = (2, 3, 4, 6, 8)
VARIANCE = 40.0


def main() -> None:
    """Run, print the table, draw the figure."""
    args = options(__doc__)
    chains, time = (2_000, 200.0) if args.quick else (10_000, 400.0)
    figure, axes = ss.plot.figure(1, 2, width=5.2, height=4.0)
    keys = iter(jax.random.split(jax.random.key(args.seed), 64))
    rows = []
    for dimension, colour in ((1, "#0072B2"), (2, "#D55E00")):
        problem = ss.problems.TwoMinima(dimension=dimension, noise_variance=VARIANCE)
        for batch in BATCHES:
            hyper = ss.Hyperparameters(learning_rate=RATE, batch_size=batch)
            temperature = ss.theory.temperature(problem, hyper)
            exact = ss.theory.gibbs(problem, hyper)
            wide = exact.expectation(lambda x, p=problem: p.well(x).astype(float))
            laplace = ss.theory.laplace_probabilities(problem, hyper)[1]
            steps = round(time / RATE)
            found = []
            for process, mark in (
                (ss.SGD(problem, hyper), "o"),
                (ss.Langevin(problem, hyper, substeps=2), "s"),
            ):
                result = ss.run(process, chains=chains, steps=steps, key=next(keys))
                share = float(np.mean(jax.vmap(problem.well)(result.theta)))
                error = np.sqrt(share * (1 - share) / chains)
                label = None
                if batch == BATCHES[0]:
                    label = f"{'SGD' if mark == 'o' else 'SDE'}, {dimension}-D"
                axes[1].errorbar(
                    temperature, share, error, fmt=mark, color=colour, ms=5, label=label,
                    mfc=colour if mark == "o" else "white",
                )  # fmt: skip
                found.append(f"{share:.3f} ± {error:.3f}")
            rows.append(
                [
                    f"{dimension}",
                    f"{batch}",
                    f"{temperature:.3f}",
                    *found,
                    f"{wide:.4f}",
                    f"{laplace:.4f}",
                ]
            )
        theory(axes[1], problem, colour)

    narrow_wide = ss.problems.TwoMinima()
    ss.plot.landscape(narrow_wide, bounds=(-1.3, 2.2), ax=axes[0])
    axes[0].annotate("deep, narrow\nL = 0, H = 6", (-0.45, 0.0), (-0.9, 0.9), fontsize=10)
    axes[0].annotate("shallow, wide\nL = .1, H = 1", (0.45, 0.1), (0.4, 0.9), fontsize=10)
    axes[0].set_title("the loss (1-D)")
    axes[1].axhline(0.5, color="grey", lw=0.8, ls="--")
    axes[1].set(
        title="solid: exact; dotted: Laplace; marks: runs ± 1 SE",
        xlabel="temperature T = ησ²/B",
        ylabel="probability of the wide well",
    )
    figure.suptitle("Noise picks the wide minimum although it is higher")
    axes[1].legend(fontsize=9, frameon=False)

    table(
        f"P(wide well); η = {RATE:g}, σ² = {VARIANCE:g}, {chains} chains",
        ["d", "B", "T", "SGD", "SDE", "exact", "Laplace"],
        rows,
    )
    print("  What SGD adds in the wide well is the bias of a finite η: ηH = .12 in the narrow one.")
    finish(figure, args.out / "two_minima.png")


def theory(axes, problem, colour) -> None:
    """Exact and Laplace probabilities of the wide well as lines over T."""
    temperatures = np.linspace(0.04, 0.42, 16)
    exact, laplace = [], []
    for temperature in temperatures:
        hyper = ss.Hyperparameters(learning_rate=temperature / VARIANCE)
        density = ss.theory.gibbs(problem, hyper)
        exact.append(density.expectation(lambda x: problem.well(x).astype(float)))
        laplace.append(ss.theory.laplace_probabilities(problem, hyper)[1])
    axes.plot(temperatures, exact, color=colour, lw=1.4)
    axes.plot(temperatures, laplace, color=colour, lw=1.4, ls=":")


if __name__ == "__main__":
    main()
