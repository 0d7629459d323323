"""Loss and curvature over the plane of η and B: what η/B decides, and where it stops to.

Handwritten digits with a quarter of the training labels redrawn, a 64-32-32-10 tanh network,
cross-entropy. One call of `sweep` trains every (η, B) with several seeds for equally many epochs.
The colours of the maps follow the dashed lines of equal η/B. Shown are the training loss and the
largest eigenvalue λ₁ of the Hessian at the end.
"""

import jax
import numpy as np
from common import finish, options, table

import sde_sgd as ss

PRODUCTS = 15  # of Lanczos, for one sharpness


def main() -> None:
    """Sweep, print the table, draw the figure."""
    args = options(__doc__)
    sizes = [4, 8, 16, 32] if args.quick else [2, 4, 8, 16, 32, 64]
    rates = [0.02, 0.04, 0.08, 0.16] if args.quick else [0.01, 0.02, 0.04, 0.08, 0.16, 0.32]
    seeds, epochs = (2, 8) if args.quick else (4, 26)
    digits = ss.data.with_label_noise(ss.data.digits(), 0.25, key=jax.random.key(42))
    problem = ss.problems.mlp(digits, hidden=(32, 32))

    result = ss.sweep(
        ss.SGD,
        problem,
        learning_rate=rates,
        batch_size=sizes,
        seeds=seeds,
        epochs=epochs,
        record={"loss": problem.loss, "sharpness": ss.curvature.Sharpness(problem, products=PRODUCTS)},
        key=jax.random.key(args.seed),
    )
    end = result.dataset.isel(epoch=-1)
    means = {name: end[name].mean("seed") for name in ("loss", "sharpness")}

    rows = []
    for ratio in np.unique(np.round(end["ratio"].values, 12)):
        here = result.sel(ratio=ratio).isel(epoch=-1)
        if here.sizes["run"] < 2:
            continue
        row = [f"{ratio:.5f}", f"{here.sizes['run']}"]
        for name in ("loss", "sharpness"):
            each = here[name].mean("seed").values
            row += [f"{each.mean():.3f}", f"{each.std(ddof=1) / each.mean():.0%}"]
        rows.append(row)
    table(
        f"digits, 25 % random labels, {epochs} epochs, {seeds} seeds of {len(rates) * len(sizes)} settings, "
        f"{len(result.diverged())} runs diverged; mean and spread over settings of equal η/B",
        ["η/B", "settings", "loss", "spread", "λ₁", "spread"],
        rows,
    )
    for name, values in means.items():
        share = explained(np.log(values.values), end["ratio"].values)
        print(f"η/B accounts for {share:.1%} of the variance of ln {name} over the settings")
    print(f"sweep: {result.seconds:.1f} s, {int(end['updates'].values.sum()) * seeds} updates")

    figure, axes = ss.plot.figure(1, 2, width=5.4, height=4.4)
    ss.plot.heat_map(means["loss"], label="training loss", log=True, ax=axes[0])
    ss.plot.heat_map(means["sharpness"], label="λ₁ of the Hessian", log=True, ax=axes[1])
    axes[0].set_title("training loss")
    axes[1].set_title("sharpness λ₁")
    figure.suptitle(f"Noisy digits after {epochs} epochs: alike along the dashed lines of equal η/B")
    finish(figure, args.out / "sweep_eta_over_batch.png")


def explained(values: np.ndarray, ratio: np.ndarray) -> float:
    """Share of the variance of `values` that lies between the groups of equal `ratio`."""
    groups = [values[np.isclose(ratio, one)] for one in np.unique(np.round(ratio, 12))]
    groups = [group for group in groups if group.size > 1]  # a single one has nothing to agree with
    within = sum(((group - group.mean()) ** 2).sum() for group in groups)
    together = np.concatenate(groups)
    return float(1 - within / ((together - together.mean()) ** 2).sum())


if __name__ == "__main__":
    main()
