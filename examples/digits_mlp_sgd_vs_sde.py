"""On real data: the SDE with the true gradient noise follows SGD; isotropic noise does not.

Handwritten digits with a quarter of the training labels redrawn, a 64-64-64-10 tanh network,
cross-entropy, η/B = .01. SGD at three batch sizes, a rerun with other seeds as the yardstick, and
the SDE with the exact covariance C(θ) in solver steps of half and a quarter of SGD's, with isotropic
noise of the same trace, and with no noise. All start alike in law, none shares a seed with another.
"""

import jax
import numpy as np
from common import finish, options, table

import sde_sgd as ss

RATIO = 0.01  # η/B
EPOCHS = 26


def main() -> None:
    """Run, print the table, draw the figure."""
    args = options(__doc__)
    seeds, epochs = (6, 8) if args.quick else (12, EPOCHS)  # and twice the seeds for SGD, which is cheap
    digits = ss.data.with_label_noise(ss.data.digits(), 0.25, key=jax.random.key(42))
    problem = ss.problems.mlp(digits, hidden=(64, 64))
    keys = iter(jax.random.split(jax.random.key(args.seed), 16))

    def train(process: ss.Process) -> ss.Result:
        steps = digits.size // process.hyper.batch_size
        return ss.run(
            process,
            chains=2 * seeds if isinstance(process, ss.SGD) else seeds,
            steps=epochs * steps,
            every=steps,
            record={"training loss": problem.loss},
            key=next(keys),
        )

    def hyper(batch: int) -> ss.Hyperparameters:
        return ss.Hyperparameters(learning_rate=RATIO * batch, batch_size=batch)

    runs = {
        "SGD, B = 8": train(ss.SGD(problem, hyper(8))),
        "SGD, B = 8, other seeds": train(ss.SGD(problem, hyper(8))),
        "SGD, B = 2": train(ss.SGD(problem, hyper(2))),
        "SGD, B = 32": train(ss.SGD(problem, hyper(32))),
        "SDE, exact C(θ), dt = .04": train(ss.Langevin(problem, hyper(8), substeps=2)),
        "SDE, exact C(θ), dt = .02": train(ss.Langevin(problem, hyper(8), substeps=4)),
        # what follows another law by far needs no small steps to show it: dt = .16
        "SDE, isotropic, same trace": train(ss.Langevin(problem, hyper(32), noise="isotropic", substeps=2)),
        "no noise": train(ss.Langevin(problem, hyper(32), noise="none", substeps=2)),
    }

    reference = "SGD, B = 8"
    rows = []
    for name, result in runs.items():
        distance = distances(runs[reference], result)
        mean, deviation = ss.plot.curve(result, "training loss")
        rows.append(
            [
                name,
                f"{mean[-1]:.4f} ± {deviation[-1] / np.sqrt(result.alive.sum()):.4f}",
                "reference" if name == reference else f"{distance.max():.1f}",
                "" if name == reference else f"{np.sqrt((distance**2).mean()):.1f}",
                f"{result.seconds:.0f}",
            ]
        )

    figure, axes = ss.plot.figure(1, 2, width=5.4, height=4.2)
    styles = {
        "SGD, B = 8, other seeds": {"color": "#56B4E9", "ls": "--"},
        "SGD, B = 2": {"color": "#009E73", "ls": "-"},
        "SGD, B = 32": {"color": "#E69F00", "ls": "-"},
        "SDE, exact C(θ), dt = .02": {"color": "black", "ls": "-"},
        "SDE, exact C(θ), dt = .04": {"color": "black", "ls": ":"},
        "SDE, isotropic, same trace": {"color": "#D55E00", "ls": "-"},
        "no noise": {"color": "#CC79A7", "ls": "-."},
    }
    ss.plot.curves("training loss", clock="epochs", ax=axes[0], styles=styles, **runs)
    axes[0].set_title(f"mean over {2 * seeds} (SGD) or {seeds} seeds, band ± 1 seed SD")
    axes[0].set_ylim(0, 1.9)
    axes[0].legend(fontsize=9, loc="upper right", frameon=False)
    for name, result in runs.items():
        if name != reference:
            colour = axes[0].lines[list(runs).index(name)].get_color()
            style = axes[0].lines[list(runs).index(name)].get_linestyle()
            axes[1].plot(
                result.epochs[1:],
                distances(runs[reference], result),
                color=colour,
                ls=style,
                lw=1.6,
            )
    axes[1].axhspan(0, 2, color="grey", alpha=0.15, lw=0)
    axes[1].text(0.99, 0.47, "within 2 seed SD", fontsize=9, ha="right", transform=axes[1].transAxes)
    axes[1].set_yscale("symlog", linthresh=1)
    axes[1].set_ylim(0, None)
    axes[1].set_xlabel("epochs")
    axes[1].set_ylabel("|loss − SGD's| in seed SD")
    axes[1].set_title(f"distance from {reference}")
    figure.suptitle("Noisy digits, MLP 64-64-64-10, η/B = .01: SGD is its SDE, if the noise is right")

    table(
        f"digits, 25 % random labels, N = {digits.size}; {2 * seeds} seeds of SGD, {seeds} of the others, "
        f"{epochs} epochs; distance from '{reference}' in seed SD",
        ["", "final loss ± SE", "largest", "rms", "seconds"],
        rows,
    )
    finish(figure, args.out / "digits_mlp_sgd_vs_sde.png")


def distances(reference: ss.Result, other: ss.Result) -> np.ndarray:
    """|difference of mean losses| over the pooled seed SD, at every epoch after the start."""
    mean, deviation = ss.plot.curve(reference, "training loss")
    other_mean, other_deviation = ss.plot.curve(other, "training loss")
    pooled = np.sqrt((deviation**2 + other_deviation**2) / 2)
    return (np.abs(other_mean - mean) / pooled)[1:]


if __name__ == "__main__":
    main()
