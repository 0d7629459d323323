"""SGD, its SDE and the Boltzmann-Gibbs law on a double well, at several η with η/B fixed.

At fixed η/B every run has the same temperature T = ησ²/B, so the SDE predicts one and the same
histogram, Gibbs exp(-2L/T). SGD approaches it as η → 0; what is left is a bias of order η.
"""

import jax
import numpy as np
from common import finish, options, table

import sde_sgd as ss

RATES = {0.2: 4, 0.1: 2, 0.05: 1}  # η: B
TIME = 40.0  # SDE time: far beyond the relaxation inside a well; starts are symmetric


def main() -> None:
    """Run, print the table, draw the figure."""
    args = options(__doc__)
    chains = 100_000 if args.quick else 1_000_000
    well = ss.problems.DoubleWell(noise_variance=4.0)
    figure, axes = ss.plot.figure(2, len(RATES), width=4.2, height=3.0, sharex=True, sharey="row")
    rows = []
    for column, (rate, batch) in enumerate(RATES.items()):
        hyper = ss.Hyperparameters(learning_rate=rate, batch_size=batch)
        steps = round(TIME / rate)
        keys = jax.random.split(jax.random.fold_in(jax.random.key(args.seed), column), 2)
        sgd = ss.run(ss.SGD(well, hyper), chains=chains, steps=steps, key=keys[0])
        sde = ss.run(ss.Langevin(well, hyper, substeps=2), chains=chains // 2, steps=steps, key=keys[1])
        gibbs = ss.theory.gibbs(well, hyper)

        loss = gibbs.expectation(well.loss)
        for name, result in (("SGD", sgd), ("SDE", sde)):
            found = ss.statistics.compare(result, gibbs)
            losses = np.asarray(jax.vmap(well.loss)(result.theta), np.float64)
            error = losses.std() / np.sqrt(len(losses))
            rows.append(
                [
                    name,
                    f"{rate:g}",
                    f"{batch}",
                    f"{found.ks:.4f} ± {found.ks_error:.4f}",
                    f"{found.ks_p:.2g}",
                    f"{losses.mean():.5f} ± {error:.5f}",
                    f"{loss:.5f}",
                    f"{(losses.mean() - loss) / rate:+.4f}",
                ]
            )

        top, bottom = axes[0, column], axes[1, column]
        ss.plot.histograms(SGD=sgd, SDE=sde, Gibbs=gibbs, ax=top, label="")
        mistake = np.sqrt(np.maximum(gibbs.pdf(gibbs.grid), 1e-300))
        mistake /= np.trapezoid(mistake, gibbs.grid)
        top.plot(gibbs.grid, mistake, ":", color="grey", label="exp(−L/T): wrong by 2")
        top.get_legend().remove()
        if column == 0:
            top.legend(fontsize=9, loc="upper center", ncols=2, frameon=False)
        top.set_ylim(0, 1.1)
        top.set_title(f"η = {rate:g}, B = {batch}")
        difference(bottom, sgd.samples(), gibbs, "#0072B2", "SGD − Gibbs")
        difference(bottom, sde.samples(), gibbs, "#D55E00", "SDE − Gibbs")
        bottom.axhline(0, color="black", lw=0.8)
        bottom.set_xlabel("x")
        if column == 0:
            bottom.set_ylabel("difference in density")
        else:
            top.set_ylabel("")
        if column == 0:
            bottom.legend(fontsize=9, loc="lower center", frameon=False)
        bottom.set_ylim(-0.14, 0.08)
    axes[0, 0].set_xlim(-2, 2)
    figure.suptitle("Double well at T = ησ²/B = 0.2: the SDE is Gibbs; SGD is Gibbs up to O(η)")

    table(
        f"Double well (x² − 1)²/4, σ² = 4, η/B = 0.05: T = 0.2, D = 0.1; {chains} chains of SGD, "
        f"{chains // 2} of the SDE (Leimkuhler-Matthews, dt = η/2)",
        ["", "η", "B", "KS to Gibbs", "p", "<L>", "Gibbs", "(<L> − Gibbs)/η"],
        rows,
    )
    finish(figure, args.out / "double_well_histograms.png")


def difference(axes, sample, gibbs, colour, label) -> None:
    """Histogram minus exact bin probability, with one standard error shaded."""
    edges = np.linspace(-2, 2, 61)
    counts, _ = np.histogram(sample, edges)
    width = np.diff(edges)
    exact = np.diff(gibbs.cdf(edges)) / width
    density = counts / (len(sample) * width)
    error = np.sqrt(np.maximum(counts, 1)) / (len(sample) * width)
    middle = (edges[1:] + edges[:-1]) / 2
    axes.plot(middle, density - exact, color=colour, lw=1.4, label=label)
    axes.fill_between(
        middle, density - exact - error, density - exact + error, color=colour, alpha=0.25, lw=0
    )


if __name__ == "__main__":
    main()
