"""A grid over learning rate and batch size: histograms collapse along equal η/B, and only there.

Real minibatches: 1024 examples ℓ_n(x) = (x² − 1)²/4 + a_n x with Σ a_n = 0, so that every batch is
a batch of data and the gradient noise is exactly σ²/B.
"""

import itertools

import jax
import numpy as np
from common import finish, options, table
from scipy import stats

import sde_sgd as ss

RATES = (0.025, 0.05, 0.1, 0.2)
BATCHES = (1, 2, 4, 8)
TIME = 30.0
# of so many bins none holds more than 2e-4 of a law, by which a distance may come out too small
BINS = ss.Histogram(-2.5, 2.5, bins=2**16)


def main() -> None:
    """Run, print the table, draw the figure."""
    args = options(__doc__, chains=(5_000, 50_000))
    chains = args.chains
    data = ss.problems.TiltedNoiseData(
        ss.problems.DoubleWell(), dataset_size=1024, noise_variance=2.0, key=jax.random.key(99)
    )
    counts: dict[tuple[float, int], ss.HistogramCounts] = {}
    keys = jax.random.split(jax.random.key(args.seed), len(RATES) * len(BATCHES))
    for key, (batch, rate) in zip(keys, itertools.product(BATCHES, RATES), strict=True):
        hyper = ss.Hyperparameters(learning_rate=rate, batch_size=batch)
        steps = round(TIME / rate)
        result = ss.run(ss.SGD(data, hyper), chains=chains, steps=steps, key=key, histograms=BINS)
        counts[rate, batch] = result.histograms["theta"]
    laws = {setting: distribution(counted) for setting, counted in counts.items()}

    groups: dict[float, list[tuple[float, int]]] = {}
    for rate, batch in laws:
        groups.setdefault(rate / batch, []).append((rate, batch))
    shown = [ratio for ratio in sorted(groups, reverse=True) if 0.0125 <= ratio <= 0.1]
    null = stats.kstwobign.isf(0.01) / np.sqrt(chains / 2)

    figure, axes = ss.plot.figure(1, 2, width=5.4, height=4.0)
    colours = dict(zip(shown, ("#D55E00", "#E69F00", "#009E73", "#0072B2"), strict=True))
    rows = []
    for ratio in shown:
        for number, setting in enumerate(groups[ratio]):
            edges, density = coarse(counts[setting])
            label = f"η/B = {ratio:g} ({len(groups[ratio])} runs)" if number == 0 else None
            axes[0].stairs(density, edges, color=colours[ratio], lw=1.2, label=label)
        hyper = ss.Hyperparameters(learning_rate=ratio)
        gibbs = ss.theory.gibbs(data, hyper)
        axes[0].plot(gibbs.grid, gibbs.pdf(gibbs.grid), color="black", lw=0.8)
        within = [distance(laws[one], laws[other]) for one, other in itertools.combinations(groups[ratio], 2)]
        across = [
            distance(laws[one], laws[other])
            for one in groups[ratio]
            for other in laws
            if other not in groups[ratio]
        ]
        to_gibbs = [distance(laws[one], gibbs.cdf(BINS.edges)) for one in groups[ratio]]
        rows.append(
            [
                f"{ratio:g}",
                f"{len(groups[ratio])}",
                f"{max(within):.4f}",
                f"{min(across):.4f}",
                f"{max(to_gibbs):.4f}",
            ]
        )
    axes[0].set_xlim(-2, 2)
    axes[0].set_ylim(0, 3.0)
    axes[0].set_xlabel("x")
    axes[0].set_ylabel("probability density")
    axes[0].set_title(f"SGD for {sum(len(groups[ratio]) for ratio in shown)} (η, B), Gibbs in black")
    axes[0].legend(fontsize=9, loc="upper center", ncols=2, frameon=False)

    rng = np.random.default_rng(0)  # only to keep the dots apart
    for one, other in itertools.combinations(laws, 2):
        factor = abs(np.log2((one[0] / one[1]) / (other[0] / other[1])))
        jitter = 0.2 * (rng.random() - 0.5)
        colour = "#009E73" if factor == 0 else "#4D4D4D"
        axes[1].plot(factor + jitter, distance(laws[one], laws[other]), ".", color=colour, alpha=0.6)
    axes[1].axhline(null, color="#D55E00", ls="--", lw=1.2)
    axes[1].text(6.2, 1.06 * null, "same law exceeds this 1 in 100", fontsize=9, ha="right", va="bottom")
    axes[1].set_yscale("log")
    axes[1].set_xticks(range(7), [f"{2**k}" for k in range(7)])
    axes[1].set_xlabel("ratio of the two η/B (1: equal, green)")
    axes[1].set_ylabel("KS distance between two runs")
    axes[1].set_title("all pairs of runs")
    figure.suptitle("η and B matter through η/B: double well, real minibatches of 1024 examples")

    table(
        f"double well, σ² = 2, {chains} chains for each of {len(laws)} (η, B); KS distances "
        f"(below {null:.4f}: not distinguishable)",
        ["η/B", "runs", "largest within", "smallest across", "largest to Gibbs"],
        rows,
    )
    print("  What remains within a row is the O(η) bias of the largest learning rate in it.")
    finish(figure, args.out / "eta_over_batch_invariance.png")


def distribution(counted: ss.HistogramCounts) -> np.ndarray:
    """P(x < edge) at every edge of the bins."""
    return np.cumsum([counted.below, *counted.counts]) / counted.total


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance between two laws, seen at the edges of the bins."""
    return float(np.abs(one - other).max())


def coarse(counted: ss.HistogramCounts, together: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """Edges and density of wider bins, for the eye."""
    edges = counted.edges[::together]
    return edges, counted.counts.reshape(-1, together).sum(axis=1) / counted.total / np.diff(edges)


if __name__ == "__main__":
    main()
