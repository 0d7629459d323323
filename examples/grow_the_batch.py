"""Don't decay the learning rate, grow the batch: the same curves in fewer updates.

Handwritten digits with a tenth of the training labels redrawn, a tanh network, SGD with momentum. After a
third of the epochs and after two thirds the noise scale ηN/(B(1 − m)) falls by four: by a smaller η, by a
larger B, or first by one and then by the other. Over epochs training loss and test accuracy are the same;
over parameter updates the batches that grow are done much sooner. Constant η and B are there to compare with.

After Smith, Kindermans, Ying and Le 2018 (arXiv:1711.00489).
"""

from typing import Any

import jax
import numpy as np
from common import finish, options, table

import sde_sgd as ss

FACTOR = 4
DECAY, GROW, BOTH, CONSTANT = "decay η", "grow B", "first grow B, then decay η", "constant η and B"
LINES = {
    CONSTANT: ("#999999", ":"),
    DECAY: ("#0072B2", "-"),
    GROW: ("#D55E00", "--"),
    BOTH: ("#009E73", "-."),
}


def main() -> None:
    """Train by every schedule, print the table, draw the figure."""
    args = options(__doc__)
    seeds, stage = (12, 6) if args.quick else (32, 10)
    digits = ss.data.with_label_noise(ss.data.digits(), 0.1, key=jax.random.key(42))
    net = ss.problems.mlp(digits, hidden=(32,))
    result = ss.sweep(
        ss.SGD,
        net,
        schedule=schedules([stage] * 3),
        seeds=seeds,
        every=0.5,
        record={"loss": net.loss, "accuracy": net.accuracy},
        key=jax.random.key(args.seed),
    )

    rows = []
    for name in LINES:
        end = result.sel(schedule=name).isel(epoch=-1)
        cells = [f"{int(end['updates'])}"]
        for what in ("loss", "accuracy"):
            values = end[what].values
            cells += [f"{values.mean():.4f}", f"{values.std(ddof=1) / np.sqrt(seeds):.4f}"]
        rows.append([name, *cells])
    table(
        f"digits, a tenth of the labels random, {3 * stage} epochs, mean and standard error of {seeds} runs",
        ["", "updates", "loss", "error", "test accuracy", "error"],
        rows,
    )
    print(f"sweep: {result.seconds:.1f} s")

    figure, axes = ss.plot.figure(2, 2, width=5.4, height=3.3)
    for row, (what, label) in zip(
        axes, (("loss", "training loss"), ("accuracy", "test accuracy")), strict=True
    ):
        for ax, over in zip(row, ("epochs", "parameter updates"), strict=True):
            draw(ax, result, what, over)
            ax.set_ylabel(label)
    axes[0, 0].legend(fontsize=9)
    axes[0, 0].set_title("over epochs: the same")
    axes[0, 1].set_title("over parameter updates: far fewer where B grows")
    for ax in axes[:, 0]:
        for change in (stage, 2 * stage):
            ax.axvline(change, color="black", lw=0.6, alpha=0.4)
    finish(figure, args.out / "grow_the_batch.png")


def schedules(lengths: list[int]) -> dict[str, ss.schedules.Schedule]:
    """Name → schedule: the first three have one noise scale in every epoch."""
    start: dict[str, Any] = {"learning_rate": 0.025, "batch_size": 8, "momentum": 0.9}
    return {
        DECAY: ss.schedules.decay(lengths, factor=FACTOR, **start),
        GROW: ss.schedules.decay(lengths, factor=FACTOR, by="batch_size", **start),
        BOTH: ss.schedules.decay(lengths, factor=FACTOR, by=["batch_size", "learning_rate"], **start),
        CONSTANT: ss.schedules.piecewise(lengths, **start),
    }


def draw(ax: Any, result: ss.SweepResult, what: str, over: str) -> None:
    """Means over the runs, and two standard errors to each side."""
    means = []
    for name, (colour, style) in LINES.items():
        chosen = result.sel(schedule=name)
        x = chosen["epoch"] if over == "epochs" else chosen["updates"]
        values = chosen[what].values
        mean, error = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
        ax.plot(x, mean, style, color=colour, lw=1.8, label=name)
        ax.fill_between(x, mean - 2 * error, mean + 2 * error, color=colour, alpha=0.2, lw=0)
        means.append(mean[1:])
    if what == "loss":
        ax.set_yscale("log")
        ax.set_ylim(0.85 * np.min(means), 1.4 * np.max(means))
    else:
        ax.set_ylim(np.min(means), 1.01 * np.max(means))
    ax.set_xlabel(over)


if __name__ == "__main__":
    main()
