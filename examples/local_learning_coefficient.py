"""How many parameters a minimum has in effect: the local learning coefficient λ, d/2 if it is regular.

Langevin chains on a spring to the minimum, at the temperature 2/(nβ): λ̂ = nβ(⟨L⟩ − L*). On regular
minima λ̂ is d/2 within its error, on singular ones it is less and agrees with quadrature at the same nβ.
Where λ has the multiplicity 2 it comes near λ only as 1/ln nβ.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from common import finish, options, table

import sde_sgd as ss

SAMPLES = 10_000
LINE = np.logspace(-7, 2, 20_000)


class Formula(ss.problems.AnalyticProblem):
    """A loss in closed form."""

    function: object = eqx.field(static=True)
    dimension: int = eqx.field(static=True)
    noise: ss.problems.GradientNoise
    noise_law: str = eqx.field(static=True)

    def __init__(self, function, dimension: int):
        self.function, self.dimension = function, dimension
        # not used: the chains take true gradients
        self.noise, self.noise_law = ss.problems.Isotropic(1.0), "gaussian"

    def init(self, key):
        """At the minimum."""
        return jnp.zeros(self.dimension)

    def loss(self, theta):
        """L."""
        return self.function(theta)


def rank_one(w, truth: float):
    """½|abᵀ − truth e₁e₁ᵀ|²: linear regression of two outputs on two white inputs through one hidden unit."""
    return 0.5 * jnp.sum((jnp.outer(w[:2], w[2:]) - jnp.diag(jnp.array([truth, 0.0]))) ** 2)


def network(w):
    """½|AB|² of two 2 x 2 matrices: the same through two hidden units, where the truth is 0."""
    return 0.5 * jnp.sum((w[:4].reshape(2, 2) @ w[4:].reshape(2, 2)) ** 2)


# name: loss, d, minimum, λ (of the networks by Aoyagi and Watanabe 2005)
MODELS = {
    "x⁴": (lambda w: jnp.sum(w**4), 1, [0.0], 1 / 4),
    "x²y²": (lambda w: (w[0] * w[1]) ** 2, 2, [0.0, 0.0], 1 / 2),
    "x² + y⁴": (lambda w: w[0] ** 2 + w[1] ** 4, 2, [0.0, 0.0], 3 / 4),
    "x² + y²": (lambda w: w[0] ** 2 + w[1] ** 2, 2, [0.0, 0.0], 1.0),
    "hidden unit, off": (lambda w: rank_one(w, 0.0), 4, [0.0] * 4, 1.0),
    "hidden unit, on": (lambda w: rank_one(w, 1.0), 4, [1.0, 0.0, 1.0, 0.0], 3 / 2),
    "two hidden units, off": (network, 8, [0.0] * 8, 3 / 2),
}


def mean(values, weight) -> float:
    """⟨values⟩ over x > 0 with a weight that need not be normalised."""
    return float(np.trapezoid(values * weight, LINE) / np.trapezoid(weight, LINE))


def exact(name: str, scale: float) -> float:
    """λ̂ by quadrature at nβ = scale and γ = 1, nan where it is no matter of an integral or two."""
    x, spring = LINE, np.exp(-(LINE**2) / 2)
    power = {k: mean(scale * x**k, spring * np.exp(-scale * x**k)) for k in (2, 4)}
    cross, held = 2 * scale * x**2 + 1, scale * x**2 + 1
    # both singular values of the first matrix
    s, t = x[::20, None], x[None, ::20]
    both = np.abs(s**2 - t**2) * np.outer(*[(x * spring / held)[::20]] * 2)
    parts = scale * s**2 / (scale * s**2 + 1) + scale * t**2 / (scale * t**2 + 1)
    return {
        "x⁴": power[4],
        "x² + y⁴": power[2] + power[4],
        "x² + y²": 2 * power[2],
        # given the one factor the other is Gaussian
        "x²y²": mean(scale * x**2 / cross, spring / np.sqrt(cross)),
        "hidden unit, off": mean(scale * x**2 / held, spring * x / held),
        "two hidden units, off": float((both * parts).sum() / both.sum()),
    }.get(name, np.nan)


def logistic(examples: int):
    """Two weights and a bias on synthetic data, and their minimum by Newton's method."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(examples, 2))
    labels = (rng.random(examples) < 1 / (1 + np.exp(-x @ [1.0, -0.5] - 0.3))).astype(int)
    problem = ss.problems.logistic_regression(ss.data.Dataset(x, labels, classes=2))
    return problem, ss.theory.refine_minimum(problem, problem.init(jax.random.key(0)))


def main() -> None:
    """Run, print the table, draw the figure."""
    args = options(__doc__)
    chains, steps = (64, 40_000) if args.quick else (256, 200_000)
    keys = iter(jax.random.split(jax.random.key(args.seed), 64))
    figure, axes = ss.plot.figure(1, 2, width=5.4, height=4.4)

    rows = []
    for name, (function, dimension, at, coefficient) in MODELS.items():
        found = ss.bayes.local_learning_coefficient(
            Formula(function, dimension), jnp.array(at), key=next(keys), samples=SAMPLES,
            learning_rate=0.05, steps=steps, chains=chains,
        )  # fmt: skip
        rows.append(
            show(axes[0], len(rows), name, found, coefficient, exact(name, SAMPLES / np.log(SAMPLES)))
        )
    problem, at = logistic(4000)
    found = ss.bayes.local_learning_coefficient(
        problem, at, key=next(keys), learning_rate=1.0, steps=steps // 100, chains=chains, localisation=0.1
    )
    curvatures = np.linalg.eigvalsh(problem.hessian(at))
    gaussian = ss.bayes.gaussian_learning_coefficient(curvatures, samples=4000, localisation=0.1)
    rows.append(show(axes[0], len(rows), "logistic regression", found, 3 / 2, gaussian))
    print(found)
    axes[0].set_yticks(range(len(rows)), [row[0] for row in rows])
    axes[0].invert_yaxis()
    axes[0].set_xlabel("λ̂")
    axes[0].set_xlim(0, 4.2)
    axes[0].legend(*axes[0].get_legend_handles_labels(), fontsize=9, frameon=False, loc="upper right")
    axes[0].set_title(f"n = {SAMPLES}, γ = 1 (regression: 4000, .1)")

    for name, colour in (("x² + y²", "#009E73"), ("x²y²", "#D55E00"), ("x⁴", "#0072B2")):
        function, dimension, at, coefficient = MODELS[name]
        scales = np.logspace(1, 8, 29)
        axes[1].plot(scales, [exact(name, scale) for scale in scales], color=colour, lw=1.4, label=name)
        axes[1].axhline(coefficient, color=colour, lw=0.8, ls="--")
        for scale in (10.0, 30.0, 100.0, 300.0, 1000.0):
            found = ss.bayes.local_learning_coefficient(
                Formula(function, dimension), jnp.array(at), key=next(keys), samples=SAMPLES,
                inverse_temperature=scale / SAMPLES, learning_rate=0.05, steps=steps, chains=chains,
            )  # fmt: skip
            axes[1].errorbar(
                scale, found.value, 2 * found.standard_error, fmt="o", color=colour, ms=4, capsize=2
            )
    axes[1].set(
        title="marks: chains ± 2 SE; solid: quadrature; dashed: λ", xlabel="nβ", ylabel="λ̂", xscale="log"
    )
    axes[1].legend(fontsize=9, frameon=False)

    figure.suptitle("Singular minima have fewer parameters in effect")
    table(
        f"λ̂ at nβ = n/ln n, n = {SAMPLES}, γ = 1 (logistic regression: 4000, .1), {chains} chains",
        ["minimum", "d/2", "λ", "expected", "λ̂", "rescaled", "temperature"],
        rows,
    )
    print("  Expected by quadrature at the same nβ and γ (logistic regression: as if its law were Gaussian).")
    print("  Where λ has the multiplicity 2 that is below λ by 1/ln nβ or so.")
    finish(figure, args.out / "local_learning_coefficient.png")


def show(axes, row: int, name: str, found, coefficient: float, expected: float) -> list[str]:
    """Draw one minimum; its row of the table."""
    labels = ("λ", "d/2", "expected at this nβ", "chains ± 2 SE") if row == 0 else (None,) * 4
    axes.plot([coefficient] * 2, [row - 0.3, row + 0.3], color="#009E73", lw=2.0, label=labels[0])
    axes.plot(found.dimension / 2, row, "o", mfc="none", color="#4D4D4D", ms=9, ls="", label=labels[1])
    if np.isfinite(expected) or row == 0:
        axes.plot(expected, row, "D", mfc="none", color="#D55E00", ms=9, ls="", label=labels[2])
    axes.errorbar(
        found.value, row, xerr=2 * found.standard_error, fmt="o", color="#0072B2", ms=4, capsize=3,
        label=labels[3],
    )  # fmt: skip
    return [
        name,
        f"{found.dimension / 2:g}",
        f"{coefficient:g}",
        f"{expected:.4f}" if np.isfinite(expected) else "-",
        f"{found.value:.4f} ± {found.standard_error:.4f}",
        f"{found.rescaled:.4f} ± {found.rescaled_error:.4f}",
        f"{found.temperature_ratio:.3f} ± {found.temperature_error:.3f}",
    ]


if __name__ == "__main__":
    main()
