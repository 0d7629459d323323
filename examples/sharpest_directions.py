"""What SGD's steps do along the sharpest directions, and what comes of making them shorter there.

Handwritten digits with a quarter of the training labels redrawn, a 64-32-32-10 tanh network from a small
start. The first figure has the five largest eigenvalues of the Hessian over training, for two η, minibatches
and all examples, beside the edge of stability 2/η; and the change of the loss, L(θ + αs) − L(θ), along parts
of a step s of SGD. The second has nudged SGD, whose steps are a hundredth as long along the five sharpest
directions, and SGD with steps twice as long there, beside plain SGD.
"""

from typing import Any

import jax
import numpy as np
import optax
from common import finish, options, table
from matplotlib.lines import Line2D

import sde_sgd as ss
from sde_sgd import curvature

K, PRODUCTS, BATCH = 5, 20, 16
RATES, STEP_RATE = (0.1, 0.4), 0.2
MULTIPLES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
ARMS = {"SGD": 1.0, "nudged, γ = 0.01": 0.01, "γ = 2": 2.0}
PARTS = "the 5 sharpest", "all others", "the whole step", "as long as along the 5, at random"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#999999")


def main() -> None:
    """Follow the eigenvalues, take steps apart, nudge; print the tables, draw the figures."""
    args = options(__doc__)
    chains, epochs = (2, 20) if args.quick else (8, 60)
    digits = ss.data.with_label_noise(ss.data.digits(), 0.25, key=jax.random.key(42))
    net = ss.problems.mlp(digits, hidden=(32, 32), gain=0.1)
    keys = jax.random.split(jax.random.key(args.seed), 4)

    followed = follow(net, chains, epochs, keys[0])
    effect = take_apart(net, chains, epochs // 2, keys[1], keys[2])
    figure, axes = ss.plot.figure(1, 2, width=5.6, height=4.2)
    draw_eigenvalues(axes[0], followed)
    draw_effect(axes[1], effect)
    finish(figure, args.out / "sharpest_directions.png")

    arms = nudge(net, chains, epochs, keys[3])
    figure, axes = ss.plot.figure(1, 3, width=4.0, height=3.8)
    draw_arms(axes, arms)
    finish(figure, args.out / "nudged_sgd.png")


def follow(net: Any, chains: int, epochs: int, key: jax.Array) -> dict[tuple[float, int], ss.Result]:
    """λ₁ to λ₅ over training: looked at every epoch at first, and less often later."""
    places = [*range(1, 11), *range(12, epochs + 1, 2)]
    looked = {"λ": curvature.Sharpness(net, K, products=PRODUCTS)}
    found = {}
    rows = []
    for rate in RATES:
        for size in (BATCH, net.dataset_size):
            process = ss.SGD(net, ss.Hyperparameters(rate, size), sampling="shuffle")
            # equally many epochs for minibatches, equally many steps as their η asks for without
            length = epochs if size == BATCH else 8 * epochs
            every = places if size == BATCH else [8 * place for place in places]
            found[rate, size] = ss.run(
                process, chains=chains, epochs=length, every=every, key=key, record=looked, progress=False
            )
            largest = found[rate, size].record["λ"][..., 0].mean(axis=1)
            told = f"{largest.max():.2f}", f"{2 / rate:g}", f"{largest[-1]:.2f}"
            rows.append([f"{rate:g}", str(size), *told])
    table(f"largest eigenvalue of the Hessian, mean of {chains} runs", ["η", "B", "peak", "2/η", "end"], rows)
    return found


def take_apart(net: Any, chains: int, epochs: int, key: jax.Array, draw: jax.Array) -> Any:
    """The change of the loss along parts of SGD's steps, over |L|, mean and error over runs."""
    process = ss.SGD(net, ss.Hyperparameters(STEP_RATE, BATCH), sampling="shuffle")
    thetas = ss.run(process, chains=chains, epochs=epochs, key=key, progress=False).theta
    steps = 16

    @jax.jit
    def of_one(theta: Any, key: jax.Array) -> dict[str, jax.Array]:
        pairs = curvature.top_eigenpairs(net, theta, K, products=2 * PRODUCTS, key=key)
        loss = net.loss(theta)

        def of_step(key: jax.Array) -> dict[str, jax.Array]:
            choose, other = jax.random.split(key)
            batch = jax.random.choice(choose, net.dataset_size, (BATCH,), replace=False)
            step = jax.tree.map(lambda slope: -STEP_RATE * slope, net.batch_gradient(theta, batch))
            effect = curvature.step_effect(net, theta, step, pairs.vectors, multiples=MULTIPLES, key=other)
            parts = effect.top.exact, effect.rest.exact, effect.whole.exact, effect.random.exact.mean(axis=0)
            return {name: part / loss for name, part in zip(PARTS, parts, strict=True)}

        means = jax.lax.map(of_step, jax.random.split(key, steps))
        return jax.tree.map(lambda values: values.mean(axis=0), means)

    keys = jax.random.split(draw, chains)
    found = jax.lax.map(lambda given: of_one(*given), (thetas, keys))
    effect = {name: np.asarray(found[name], np.float64) for name in PARTS}
    at = MULTIPLES.index(1.0), MULTIPLES.index(2.0)
    table(
        f"change of the loss along parts of a step, in % of it, η = {STEP_RATE}, B = {BATCH}, {chains} runs",
        ["along", "α = 1", "error", "α = 2", "error"],
        [
            [name, *(f"{100 * f(values[:, i]):.3f}" for i in at for f in (np.mean, _error))]
            for name, values in effect.items()
        ],
    )
    return effect


def nudge(net: Any, chains: int, epochs: int, key: jax.Array) -> dict[str, ss.Result]:
    """Plain SGD and nudged SGD from the same starts, on the same batches."""
    epoch = net.dataset_size // BATCH
    record = {
        "training loss": net.loss,
        "λ₁": curvature.Sharpness(net, products=PRODUCTS),
        "test accuracy": net.accuracy,
    }
    found = {}
    for name, factor in ARMS.items():
        optimizer = curvature.nudged(optax.sgd, net, K, every=epoch, factor=factor)
        process = ss.SGD(net, ss.Hyperparameters(0.1, BATCH), sampling="shuffle", optimizer=optimizer)
        found[name] = ss.run(
            process, chains=chains, epochs=epochs, every=2, key=key, record=record, progress=False
        )
    table(
        f"after {epochs} epochs at η = 0.1, B = {BATCH}, mean of {chains} runs",
        ["", *record],
        [
            [name, *(f"{result.record[what][-1].mean():.3f}" for what in record)]
            for name, result in found.items()
        ],
    )
    return found


def draw_eigenvalues(ax: Any, followed: dict[tuple[float, int], ss.Result]) -> None:
    """λ₁ in full, λ₂ to λ₅ pale, over SDE time, in which the curves of all η and B begin alike."""
    for (rate, size), result in followed.items():
        colour = COLOURS[RATES.index(rate)]
        style = "-" if size == BATCH else "--"
        for number in range(K):
            strength = 1.0 if number == 0 else 0.3
            line = result.record["λ"][..., number].mean(axis=1)
            ax.plot(
                result.time[1:], line[1:], style, color=colour, lw=1.6 if number == 0 else 0.8, alpha=strength
            )
        ax.axhline(2 / rate, color=colour, lw=1, ls=":")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("time ηk")
    ax.set_ylabel("λ₁ (strong) to λ₅ (pale)")
    ax.set_title("all examples climb to 2/η, minibatches stay below")
    marks = [
        *(
            Line2D([], [], color=colour, label=f"η = {rate:g}")
            for colour, rate in zip(COLOURS, RATES, strict=False)
        ),
        Line2D([], [], color="black", label=f"B = {BATCH}"),
        Line2D([], [], color="black", ls="--", label="all examples"),
        Line2D([], [], color="black", ls=":", label="2/η"),
    ]
    ax.legend(handles=marks, fontsize=8.5, loc="lower right")


def draw_effect(ax: Any, effect: dict[str, np.ndarray]) -> None:
    """The change of the loss against α, with two standard errors over runs."""
    for colour, (name, values) in zip(COLOURS[1:], effect.items(), strict=True):
        errors = 200 * np.array([_error(column) for column in values.T])
        ax.errorbar(MULTIPLES, 100 * values.mean(axis=0), errors, fmt="o-", color=colour, label=name, ms=4)
    ax.axhline(0.0, color="black", lw=1)
    ax.axvline(1.0, color="black", lw=1, ls=":")
    ax.set_xlabel("multiple α of the part of a step")
    ax.set_ylabel("change of the loss, % of it")
    ax.set_title(f"parts of a step, η = {STEP_RATE}, B = {BATCH}: best α below 1")
    ax.legend(fontsize=8.5, loc="upper left")


def draw_arms(axes: Any, arms: dict[str, ss.Result]) -> None:
    """Loss, sharpness and accuracy over epochs, with two standard errors over runs."""
    for ax, what in zip(axes, ("training loss", "λ₁", "test accuracy"), strict=True):
        for colour, (name, result) in zip(COLOURS, arms.items(), strict=False):
            values = np.asarray(result.record[what], np.float64)
            epochs = 2.0 * np.arange(len(values))
            error = 2 * np.array([_error(row) for row in values])
            mean = values.mean(axis=1)
            ax.plot(epochs, mean, color=colour, label=name)
            ax.fill_between(epochs, mean - error, mean + error, color=colour, alpha=0.2, lw=0)
        ax.set_xlabel("epoch")
        ax.set_title(what)
    axes[0].legend(fontsize=9)


def _error(values: np.ndarray) -> float:
    """Standard error of a mean over runs."""
    return float(np.std(values, ddof=1) / len(values) ** 0.5)


if __name__ == "__main__":
    main()
