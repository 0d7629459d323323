"""The batch size of the highest test accuracy, and what it goes with.

1,000 images of MNIST and a 784-50-10 ReLU network, trained for equally long in SDE time: test accuracy over
the batch size B has a peak, whose place B_opt moves with the learning rate η and the momentum m. And data
labelled by a random network, a tenth of the labels redrawn, in several numbers N. Smith and Le 2018
(arXiv:1710.06451) have B_opt ∝ ηN/(1 − m). Exponents are fitted, with intervals by bootstrap over seeds.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from common import finish, options, table

import sde_sgd as ss

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#4D4D4D")
RATE, MOMENTUM = 0.1, 0.9
SAMPLES = 20  # of the runs over N, of which the last quarter counts
RESAMPLES = 400


class Curve(NamedTuple):
    """Test accuracy over B: shapes (B,) and (B, seeds)."""

    sizes: np.ndarray
    accuracy: np.ndarray


class Optima(NamedTuple):
    """B_opt over one quantity, their exponent, and a 95 % interval for each."""

    x: np.ndarray
    best: np.ndarray
    best_interval: np.ndarray
    exponent: float
    interval: np.ndarray


def main() -> None:
    """Train, find the optima, fit the exponents; print the tables, draw the figure."""
    args = options(__doc__)
    keys = jax.random.split(jax.random.key(args.seed), 2)
    images = over_images(args.quick, keys[0])
    numbers = over_numbers(args.quick, keys[1])

    rng = np.random.default_rng(args.seed)
    of_rate = {rate: curve for (rate, m), curve in images.items() if m == MOMENTUM}
    of_momentum = {1 / (1 - m): curve for (rate, m), curve in images.items() if rate == RATE}
    found = {
        "η": optima(of_rate, rng),
        "1/(1 − m)": optima(of_momentum, rng),
        "N": optima(numbers, rng),
    }
    for name, one in found.items():
        rows = [
            [f"{x:g}", f"{best:.0f}", f"{low:.0f} to {high:.0f}"]
            for x, best, (low, high) in zip(one.x, one.best, one.best_interval.T, strict=True)
        ]
        table(f"B_opt over {name}", [name, "B_opt", "95 % interval"], rows)
        print(f"exponent in {name}: {one.exponent:.2f} [{one.interval[0]:.2f}, {one.interval[1]:.2f}]")

    figure, axes = ss.plot.figure(1, 3, width=4.2, height=3.9)
    draw_curves(axes[0], of_rate, "η = {:g}", found["η"])
    axes[0].set_title(f"MNIST, 1,000 images, m = {MOMENTUM:g}")
    draw_curves(axes[1], numbers, "N = {:,.0f}", found["N"])
    axes[1].set_title("labelled by a random network")
    draw_optima(axes[2], found)
    finish(figure, args.out / "optimal_batch_size.png")


def over_images(quick: bool, key: jax.Array) -> dict[tuple[float, float], Curve]:
    """(η, m) → accuracy over B, on MNIST. B is around 32 at η = .1, m = .9, and moves with η/(1 − m)."""
    data = ss.data.digits(1000) if quick else ss.data.mnist(train_size=1000)
    net = ss.problems.mlp(data, hidden=(50,), activation="relu")
    settings = [(RATE, MOMENTUM), (RATE / 4, MOMENTUM), (RATE, 0.6)]
    if not quick:
        settings += [(RATE / 2, MOMENTUM), (RATE, 0.8)]
    places = np.arange(-1.0, 3.0) if quick else np.arange(-2, 4) / 2
    grid = {}
    for rate, m in sorted(settings):
        middle = 5 + np.log2(rate / RATE * (1 - MOMENTUM) / (1 - m))
        grid[rate, m] = np.unique(np.maximum(1, np.round(2 ** (middle + places)).astype(int)))
    result = ss.sweep(
        ss.SGD,
        net,
        runs=[
            {"learning_rate": rate, "momentum": m, "batch_size": int(size)}
            for (rate, m), sizes in grid.items()
            for size in sizes
        ],
        seeds=6,
        time=80.0 if quick else 400.0,
        record=["accuracy"],
        key=key,
        progress=False,
    )
    accuracy = np.asarray(result["accuracy"].values, np.float64)[..., -1]
    ends = np.cumsum([len(sizes) for sizes in grid.values()])
    parts = np.split(accuracy, ends[:-1])
    return {at: Curve(sizes, part) for (at, sizes), part in zip(grid.items(), parts, strict=True)}


def over_numbers(quick: bool, key: jax.Array) -> dict[float, Curve]:
    """N → accuracy over B, on data of a teacher: the mean of the last quarter of the run."""
    found = {}
    for number in (1600, 6400) if quick else (3200, 12_800):
        steps = 400 if quick else number // 2
        sizes = np.round(number / 200 * 2.0 ** np.arange(-1 if quick else -2, 3)).astype(int)
        data = ss.data.teacher(
            number, key=jax.random.key(43), hidden=(16,), gain=1.0, label_noise=0.1, test_size=5000
        )
        net = ss.problems.mlp(data, hidden=(32 if quick else 64,))
        result = ss.sweep(
            ss.SGD,
            net,
            learning_rate=0.05,
            momentum=MOMENTUM,
            batch_size=sizes.tolist(),
            seeds=5,
            steps=steps,
            every=steps // SAMPLES,
            record=["accuracy"],
            key=key,
            progress=False,
        )
        late = np.asarray(result["accuracy"].values, np.float64)[..., -SAMPLES // 4 :]
        found[float(number)] = Curve(sizes, late.mean(axis=-1))
    return found


def top(sizes: np.ndarray, accuracy: np.ndarray) -> float:
    """ln B at the top of a parabola through the highest point and two to each side of it."""
    logs, highest = np.log(sizes), int(accuracy.argmax())
    if highest in (0, len(sizes) - 1):
        return float(logs[highest])
    near = slice(max(0, highest - 2), highest + 3)
    bend, slope, _ = np.polyfit(logs[near] - logs[highest], accuracy[near], 2)
    shift = -slope / (2 * bend) if bend < 0 else 0.0
    return float(np.clip(logs[highest] + shift, logs[near][0], logs[near][-1]))


def optima(curves: Mapping[float, Curve], rng: np.random.Generator) -> Optima:
    """B_opt of each curve and the exponent of the line through them; whole seeds are drawn anew."""
    x = np.array(sorted(curves))
    ordered = [curves[one] for one in x]
    seeds = ordered[0].accuracy.shape[1]

    def tops(chosen: np.ndarray) -> list[float]:
        return [top(curve.sizes, curve.accuracy[:, chosen].mean(axis=1)) for curve in ordered]

    best = np.array(tops(np.arange(seeds)))
    drawn = np.array([tops(rng.integers(0, seeds, seeds)) for _ in range(RESAMPLES)])
    slopes = np.polyfit(np.log(x), drawn.T, 1)[0]
    return Optima(
        x=x,
        best=np.exp(best),
        best_interval=np.exp(np.quantile(drawn, [0.025, 0.975], axis=0)),
        exponent=float(np.polyfit(np.log(x), best, 1)[0]),
        interval=np.quantile(slopes, [0.025, 0.975]),
    )


def draw_curves(ax: Any, curves: Mapping[float, Curve], label: str, found: Optima) -> None:
    """Accuracy over B below its highest, with two standard errors; a dotted line at B_opt."""
    for x, best, colour in zip(found.x, found.best, COLOURS, strict=False):
        sizes, accuracy = curves[x]
        mean = accuracy.mean(axis=1)
        error = 2 * accuracy.std(axis=1, ddof=1) / np.sqrt(accuracy.shape[1])
        below = 100 * (mean - mean.max())
        ax.errorbar(sizes, below, 100 * error, fmt="o-", ms=4, color=colour, label=label.format(x))
        ax.axvline(best, color=colour, lw=1, ls=":")
    ax.set_ylim(-8, 1.5)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_xlabel("batch size B (dotted: B_opt)")
    ax.set_ylabel("test accuracy − its highest, %")
    ax.legend(fontsize=9)


def draw_optima(ax: Any, found: Mapping[str, Optima]) -> None:
    """B_opt against η, 1/(1 − m) and N, each over its middle, and lines of exponent 1."""
    for (name, one), colour in zip(found.items(), COLOURS, strict=False):
        at = one.x / np.exp(np.log(one.x).mean())
        reach = np.abs(one.best_interval - one.best)
        low, high = one.interval
        label = f"{name}: exponent {one.exponent:.2f} [{low:.2f}, {high:.2f}]"
        ax.errorbar(at, one.best, reach, fmt="o", color=colour, label=label)
        ax.plot(at, np.exp(np.log(one.best).mean()) * at, "--", color=colour, lw=1.2)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_xlabel("η, 1/(1 − m) or N over the middle one")
    ax.set_ylabel("B_opt, 95 % intervals")
    ax.set_title("dashed: exponent 1")
    _, high = ax.get_ylim()
    ax.set_ylim(top=4 * high)  # room for the legend
    ax.legend(fontsize=8.5)


if __name__ == "__main__":
    main()
