"""The law of SGD around a minimum, on real data: along sharp, middling and random directions.

Handwritten digits with a quarter of the training labels redrawn. Softmax regression with l2, which has one
minimum, and a tanh network of one hidden layer at the minimum that descent with all examples ends in.
Around it SGD is a linear map with the Hessian H and the gradient covariance C, so that its covariance Σ is
known at any η; that of the SDE, HΣ + ΣH = (η/B) C, is smaller by ηλ/2 along a direction of curvature λ.
Where the curvature is not the same all over the cloud, its mean is not θ* but θ* − ½ H⁻¹ ∇Tr(HΣ). Noise of
the same trace, but isotropic, is far too weak along the sharpest directions and far too strong along most.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from common import finish, options, table
from jax.flatten_util import ravel_pytree
from matplotlib.lines import Line2D

import sde_sgd as ss

HYPER = ss.Hyperparameters(learning_rate=0.05, batch_size=32)
L2, EXAMPLES, HIDDEN = 0.03, 200, 8
SUBSTEPS = 5  # Euler's variance is too large by ηλ/(2 substeps): 3 % along the sharpest direction
EACH = 5
GROUPS = "sharpest", "middle", "random"
TITLES = "the sharpest", "a middle one", "at random"
COLOURS = {"SGD": "#0072B2", "SDE": "#D55E00", "isotropic": "#CC79A7"}


@dataclass(frozen=True)
class Around:
    """What was found around one minimum.

    Attributes:
        name: of the model.
        size: number of its parameters.
        curvature: vᵀHv along each direction, shape `(15,)`.
        values: "SGD" and "SDE" → θ − θ* along each direction, shape `(samples, chains, 15)`.
        laws: "exact", "SDE" and "isotropic" → variance along each direction, shape `(15,)`.
        shift: of the exact law's mean from θ* along each direction, shape `(15,)`.
    """

    name: str
    size: int
    curvature: np.ndarray
    values: dict[str, np.ndarray]
    laws: dict[str, np.ndarray]
    shift: np.ndarray

    def mean(self, who: str) -> tuple[np.ndarray, np.ndarray]:
        """Of each direction, with its standard error from independent chains."""
        means = self.values[who].mean(axis=0)
        return means.mean(axis=0), means.std(axis=0, ddof=1) / len(means) ** 0.5

    def variance(self, who: str) -> tuple[np.ndarray, np.ndarray]:
        """Of each direction, with its standard error from independent chains."""
        values, (mean, its_error) = self.values[who], self.mean(who)
        squares = ((values - mean) ** 2).mean(axis=0)
        # around a mean of the same samples they are too small by the square of its error
        return squares.mean(axis=0) + its_error**2, squares.std(axis=0, ddof=1) / len(squares) ** 0.5


def main() -> None:
    """Find both minima, run, print the tables, draw the figure."""
    args = options(__doc__)
    digits = ss.data.with_label_noise(ss.data.digits(train_size=EXAMPLES), 0.25, key=jax.random.key(42))
    models: dict[str, Callable[..., ss.problems.EmpiricalRisk]] = {
        "softmax regression": ss.problems.softmax_regression,
        f"network 64-{HIDDEN}-10": partial(ss.problems.mlp, hidden=(HIDDEN,)),
    }
    chains, length = ((64, 16), (16, 6)) if args.quick else ((1024, 128), (20, 16))
    keys = jax.random.split(jax.random.key(args.seed), len(models))
    found = [
        look(name, build, digits, chains, length, key)
        for (name, build), key in zip(models.items(), keys, strict=True)
    ]
    for one in found:
        tell(one, chains)
    figure, axes = ss.plot.figure(
        len(found), 4, width=3.2, height=2.8, gridspec_kw={"width_ratios": (1, 1, 1, 1.5)}
    )
    for row, one in zip(axes, found, strict=True):
        draw(one, row)
    legend(figure)
    rate, batch = float(HYPER.learning_rate), HYPER.batch_size
    figure.suptitle(
        f"Around a minimum of noisy digits (η = {rate:g}, B = {batch}): the noise decides the law"
    )
    finish(figure, args.out / "network_minimum_histograms.png")


def look(
    name: str,
    build: Any,
    digits: ss.data.Dataset,
    chains: tuple[int, int],
    length: tuple[int, int],
    key: jax.Array,
) -> Around:
    """Descend, take H and C at the minimum, and run SGD and the SDE from there.

    Args:
        name: of the model.
        build: makes it from data and l2.
        digits: the data.
        chains: of SGD and of the SDE.
        length: samples that are left out at first, and that are kept, of eight in a relaxation time.
        key: of all random numbers.
    """
    net = build(digits, l2=L2)
    start, ours, theirs, draw = jax.random.split(key, 4)
    fit = ss.bayes.map_fit(build(digits), net.init(start), precision=L2 * EXAMPLES)
    minimum = jax.tree.map(jnp.float32, fit.theta)
    H, C = (
        np.asarray(jax.jit(matrix)(minimum), np.float64) for matrix in (net.hessian, net.gradient_covariance)
    )
    size = len(H)
    curvatures, vectors = np.linalg.eigh(H)
    sharpest = vectors[:, ::-1][:, :EACH]
    middle = vectors[:, ::-1][:, size // 2 - EACH // 2 :][:, :EACH]
    random = np.asarray(jax.random.normal(draw, (size, EACH)), np.float64)
    directions = np.concatenate([sharpest, middle, random / np.linalg.norm(random, axis=0)], axis=1)
    isotropic = np.trace(C) / size * np.eye(size)
    laws = {
        "exact": ss.theory.discrete_covariance(H, C, HYPER),
        "SDE": ss.theory.lyapunov_covariance(H, C, HYPER),
        "isotropic": ss.theory.discrete_covariance(H, isotropic, HYPER),
    }

    origin = ravel_pytree(minimum)[0]
    rows = jnp.asarray(directions.T, origin.dtype)

    def along(theta: Any) -> jax.Array:
        return rows @ (ravel_pytree(theta)[0] - origin)

    # the middle directions take 1/(ηλ) steps to forget where they began
    relaxation = 1 / (float(HYPER.learning_rate) * curvatures[size // 2])
    every, (burn_in, samples) = max(1, round(relaxation / 8)), length
    processes = {"SGD": ss.SGD(net, HYPER), "SDE": ss.Langevin(net, HYPER, substeps=SUBSTEPS)}
    values = {}
    for (who, process), count, its in zip(processes.items(), chains, (ours, theirs), strict=True):
        result = ss.run(
            process,
            chains=count,
            steps=(burn_in + samples) * every,
            every=every,
            initial=minimum,
            record={"along": along},
            key=its,
            progress=False,
        )
        values[who] = np.asarray(result.record["along"], np.float64)[burn_in:]
    variances = {law: np.einsum("ik,ij,jk->k", directions, sigma, directions) for law, sigma in laws.items()}
    shift = -np.linalg.solve(H, slope_of_trace(net, minimum, laws["exact"])) / 2
    along_each = np.einsum("ik,ij,jk->k", directions, H, directions)
    return Around(name, size, along_each, values, variances, directions.T @ shift)


def slope_of_trace(net: Any, theta: Any, sigma: np.ndarray) -> np.ndarray:
    """∇Tr(H(θ)Σ) over the raveled parameters."""
    flat, unravel = ravel_pytree(theta)
    values, vectors = np.linalg.eigh(sigma)
    roots = jnp.asarray((vectors * np.sqrt(np.maximum(values, 0))).T, flat.dtype)

    @jax.jit
    def slope(at: jax.Array) -> jax.Array:
        def gradient(point: jax.Array) -> jax.Array:
            return ravel_pytree(net.gradient(unravel(point)))[0]

        def along(root: jax.Array) -> jax.Array:
            return jax.grad(lambda point: root @ jax.jvp(gradient, (point,), (root,))[1])(at)

        return jax.lax.map(along, roots, batch_size=32).sum(axis=0)

    return np.asarray(slope(flat), np.float64)


def tell(one: Around, chains: tuple[int, int]) -> None:
    """Variances along each direction over those of the laws."""
    sgd, sgd_error = one.variance("SGD")
    sde, sde_error = one.variance("SDE")
    mean, mean_error = one.mean("SGD")
    rows = []
    for number, curved in enumerate(one.curvature):
        exact, its, isotropic = (one.laws[law][number] for law in ("exact", "SDE", "isotropic"))
        rows.append(
            [
                f"{GROUPS[number // EACH]} {number % EACH + 1}",
                f"{curved:.3g}",
                f"{exact:.3g}",
                f"{sgd[number] / exact:.3f} ± {sgd_error[number] / exact:.3f}",
                f"{sde[number] / its:.3f} ± {sde_error[number] / its:.3f}",
                f"{its / exact:.3f}",
                f"{isotropic / exact:.3f}",
                f"{mean[number] / exact**0.5:+.2f} ± {mean_error[number] / exact**0.5:.2f}",
                f"{one.shift[number] / exact**0.5:+.2f}",
            ]
        )
    table(
        f"{one.name}, {one.size} parameters, N = {EXAMPLES}: variance of θ along a direction, "
        f"{chains[0]} chains of SGD, {chains[1]} of the SDE",
        [
            "direction",
            "curvature",
            "exact",
            "SGD/exact",
            "SDE/its law",
            "SDE's law/exact",
            "isotropic/exact",
            "SGD's mean/SD",
            "law",
        ],
        rows,
    )


def draw(one: Around, axes: Any) -> None:
    """A histogram of each group, and the variances along all directions."""
    for group, ax in zip(range(3), axes, strict=False):
        draw_histogram(one, group * EACH, ax)
        ax.set_title(f"{TITLES[group]}, curvature {one.curvature[group * EACH]:.2g}")
    axes[0].set_ylabel(f"{one.name}\n\nprobability density")
    draw_variances(one, axes[3])


def draw_histogram(one: Around, number: int, ax: Any) -> None:
    """SGD and the SDE as histograms, the laws as lines."""
    widest = 4 * one.laws["exact"][number] ** 0.5 + abs(one.shift[number])
    edges, x = np.linspace(-widest, widest, 61), np.linspace(-widest, widest, 401)
    for who, values in one.values.items():
        density, _ = np.histogram(values[..., number], edges, density=True)
        style = {"fill": True, "alpha": 0.35} if who == "SGD" else {"lw": 1.3}
        ax.stairs(density, edges, color=COLOURS[who], label=who, **style)

    def gaussian(law: str, centre: float) -> np.ndarray:
        variance = one.laws[law][number]
        return np.exp(-((x - centre) ** 2) / (2 * variance)) / (2 * np.pi * variance) ** 0.5

    exact = gaussian("exact", one.shift[number])
    ax.plot(x, exact, color="black", lw=1.3, label="exact law of SGD")
    ax.plot(x, gaussian("isotropic", 0), "--", color=COLOURS["isotropic"], lw=1.5, label="isotropic noise")
    ax.set_ylim(0, 1.5 * exact.max())
    ax.set_xlim(-widest, widest)
    ax.locator_params(axis="x", nbins=4)
    ax.set_xlabel("θ − θ* along it")


def draw_variances(one: Around, ax: Any) -> None:
    """On a logarithmic scale, as they span decades."""
    place = np.arange(3 * EACH) + np.repeat(np.arange(3), EACH)
    for who, mark in (("SGD", "o"), ("SDE", "s")):
        variance, error = one.variance(who)
        ax.errorbar(place, variance, 2 * error, fmt=mark, color=COLOURS[who], ms=4, mfc="none")
    ax.plot(place, one.laws["exact"], "_", color="black", ms=11, mew=1.5)
    ax.plot(place, one.laws["isotropic"], "x", color=COLOURS["isotropic"], ms=6, mew=1.5)
    ax.set_yscale("log")
    ax.set_xticks(place[EACH // 2 :: EACH], [f"{EACH} {group}" for group in GROUPS])
    ax.set_ylabel("variance of θ")
    ax.set_title("variance along 15 directions (± 2 SE)")


def legend(figure: Any) -> None:
    """One for all panels: each colour is a histogram or line, and a mark."""
    colours = [COLOURS["SGD"], COLOURS["SDE"], "black", COLOURS["isotropic"]]
    words = ["SGD", "SDE, exact C", "exact law of SGD at this η", "isotropic noise, same trace"]
    strokes, marks = ["-", "-", "-", "--"], ["o", "s", "_", "x"]
    handles = [
        Line2D([], [], color=colour, ls=stroke, marker=mark, mfc="none", ms=7, mew=1.5, label=word)
        for colour, stroke, mark, word in zip(colours, strokes, marks, words, strict=True)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=11)


if __name__ == "__main__":
    main()
