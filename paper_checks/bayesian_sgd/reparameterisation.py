"""The evidence does not change under a change of the parameters, the sharpness of a minimum does.

Dinh et al. 2017 make a minimum as sharp as they like without a change of the function. Two such changes of a
minimum of a small network, each with the prior carried along:

- Symmetry: the weights and biases of the first layer times α, the weights of the second over α². The network
  computes the same at another point of the same parameters. Its hidden units are squares of ReLU, which have
  the symmetry of ReLU, with α² for α, and no kinks, in which a fit gets stuck.
- Units: every parameter in a unit of its own, from a tenth to ten of the old one.

Thresholds, set before any run:

- ln evidence changes by less than 10⁻⁶ nats, which is rounding.
- λ₁ and the trace of ∇∇L change by more than a factor of 2, in every change.
- Controls, by the first test: a prior that is not carried along, the network fitted anew under it with all
  parameters in units of 3; and ln λ₁ in the place of the evidence.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import sde_sgd as ss
from paper_checks._card import Measurement, Outcome
from paper_checks._context import Context
from paper_checks.bayesian_sgd._paper import BAYESIAN_SGD

SAME, FACTOR = 1e-6, 2.0
PRECISION = 1.0
LOOSE = 1e-3  # tolerance of a gradient in other units
LEFT = "all in units of 3 under the old prior"
COLOURS = {"λ₁ of ∇∇L": "#D55E00", "Tr ∇∇L": "#E69F00", "evidence": "#0072B2"}


@dataclass(frozen=True)
class Seen:
    """A minimum in some parameters.

    Attributes:
        evidence: ln evidence.
        sharpness: λ₁ of ∇∇L.
        trace: of ∇∇L.
    """

    evidence: float
    sharpness: float
    trace: float


class Network(eqx.Module):
    """One hidden layer of max(0, x)²."""

    by_example: ClassVar[bool] = True

    def __call__(self, theta: Any, inputs: jax.Array) -> jax.Array:
        """Outputs from weights and biases of two layers."""
        first, second = theta
        hidden = jax.nn.relu(inputs @ first["weight"] + first["bias"]) ** 2
        return jnp.asarray(hidden @ second["weight"] + second["bias"])


class InUnits(eqx.Module):
    """A network whose parameters are given in other units."""

    network: Any
    units: Any
    by_example: ClassVar[bool] = True

    def __call__(self, theta: Any, inputs: jax.Array) -> jax.Array:
        """Outputs of the network."""
        old = jax.tree.map(lambda leaf, unit: leaf * unit.astype(leaf.dtype), theta, self.units)
        return jnp.asarray(self.network(old, inputs))


def check(context: Context) -> Outcome:
    """Fit a network, change its parameters, look again."""
    size, hidden = context.pick(smoke=(60, 2), quick=(200, 8), full=(1000, 32))
    data = ss.data.digits(size)
    start = ss.problems.mlp(data, hidden=(hidden,)).init
    problem = ss.problems.EmpiricalRisk(Network(), data, init=start)
    fit = ss.bayes.map_fit(problem, problem.init(context.key_for("start")), precision=PRECISION)
    prior = jax.tree.map(lambda leaf: np.full(leaf.shape, PRECISION), fit.theta)
    before = look(problem, fit.theta, prior)
    after = {}
    for alpha in context.pick(smoke=(5.0,), quick=(5.0, 0.2), full=(5.0, 0.2, 30.0)):
        scales = symmetry(fit.theta, alpha)
        theta = jax.tree.map(np.multiply, fit.theta, scales)
        after[f"layers times {alpha:g}, over {alpha**2:g}"] = look(problem, theta, carried(prior, scales))
    if context.scale != "smoke":
        units = drawn_units(fit.theta, context.key_for("units"))
        scales = jax.tree.map(lambda unit: 1 / unit, units)
        theta = jax.tree.map(np.multiply, fit.theta, scales)
        name = "units of its own for every parameter"
        after[name] = look(in_units(problem, units), theta, carried(prior, scales))
    main = judged({name: one.evidence - before.evidence for name, one in after.items()}, "ln evidence")
    sharper = [
        _factor(what, {name: getattr(one, field) / getattr(before, field) for name, one in after.items()})
        for what, field in (("λ₁ of ∇∇L", "sharpness"), ("Tr ∇∇L", "trace"))
    ]
    logs = {name: float(np.log(one.sharpness / before.sharpness)) for name, one in after.items()}
    left = {}
    if context.scale != "smoke":
        left[LEFT] = refitted(problem, fit.theta).value - before.evidence
    controls = [
        judged(found, what) for found, what in ((left, "ln evidence"), (logs, "ln λ₁ of ∇∇L")) if found
    ]
    return Outcome(
        measurements=(main, *sharper),
        # the one that is nearest to passing
        control=min(controls, key=lambda one: abs(one.estimate)),
        summary=(
            f"ln evidence changes by {abs(main.estimate):.0e} nats at most; λ₁ and the trace change by "
            f"factors of {sharper[0].estimate:.1f} and {sharper[1].estimate:.1f} or more."
        ),
        figure=_draw(before, after, left),
    )


def look(problem: Any, theta: Any, prior: Any) -> Seen:
    """The evidence of a minimum and its curvature."""
    evidence = ss.bayes.log_evidence(problem, theta, precision=prior, tolerance=LOOSE)
    hessian = np.asarray(problem.hessian(jax.tree.map(jnp.asarray, theta)), np.float64)
    return Seen(evidence.value, float(np.linalg.eigvalsh(hessian)[-1]), float(np.trace(hessian)))


def refitted(problem: Any, theta: Any) -> ss.bayes.Evidence:
    """The evidence under the old prior with all parameters in units of 3, fitted anew."""
    other = in_units(problem, jax.tree.map(lambda leaf: np.full(leaf.shape, 3.0), theta))
    start = jax.tree.map(lambda leaf: leaf / 3, theta)
    fit = ss.bayes.map_fit(other, start, precision=PRECISION)
    return ss.bayes.log_evidence(other, fit.theta, precision=PRECISION)


def symmetry(theta: Any, alpha: float) -> Any:
    """What the parameters of two layers are multiplied by so that the network stays as it is."""
    first, second = theta
    return [
        {name: np.full(leaf.shape, alpha) for name, leaf in first.items()},
        {
            name: np.full(leaf.shape, alpha**-2.0 if name == "weight" else 1.0)
            for name, leaf in second.items()
        },
    ]


def drawn_units(theta: Any, key: jax.Array) -> Any:
    """A unit for every parameter, log-uniform from a tenth to ten."""
    leaves, structure = jax.tree.flatten(theta)
    keys = jax.random.split(key, len(leaves))
    drawn = [
        10 ** np.asarray(jax.random.uniform(one, leaf.shape, minval=-1.0, maxval=1.0), np.float64)
        for one, leaf in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, drawn)


def in_units(problem: Any, units: Any) -> ss.problems.EmpiricalRisk:
    """The same network with parameters in other units."""
    data = ss.data.Dataset(problem.inputs, problem.targets)
    return ss.problems.EmpiricalRisk(InUnits(problem.predict, units), data, init=problem.init)


def carried(prior: Any, scales: Any) -> Any:
    """Precisions of the prior of parameters that were multiplied by these scales."""
    return jax.tree.map(lambda precision, scale: precision / scale**2, prior, scales)


def judged(changes: dict[str, float], what: str) -> Measurement:
    """Is the largest change rounding?"""
    furthest = max(changes, key=lambda name: abs(changes[name]))
    return Measurement(
        name=f"change of {what}, the largest of {len(changes)}: {furthest}",
        estimate=changes[furthest],
        n=len(changes),
        threshold=f"within {SAME:.0e} of 0".replace("e-06", "e−6"),
        met=abs(changes[furthest]) < SAME,
    )


def _factor(what: str, ratios: dict[str, float]) -> Measurement:
    """Is the smallest change, up or down, large?"""
    factors = {name: max(ratio, 1 / ratio) for name, ratio in ratios.items()}
    least = min(factors, key=lambda name: factors[name])
    return Measurement(
        name=f"factor by which {what} changes, the least of {len(factors)}: {least}",
        estimate=factors[least],
        n=len(factors),
        threshold=f"above {FACTOR:g}",
        met=factors[least] > FACTOR,
    )


def _draw(before: Seen, after: dict[str, Seen], left: dict[str, float]) -> Any:
    figure, axes = ss.plot.figure(width=7.2, height=3.9)
    rows = {
        "λ₁ of ∇∇L": [abs(np.log(one.sharpness / before.sharpness)) for one in after.values()],
        "Tr ∇∇L": [abs(np.log(one.trace / before.trace)) for one in after.values()],
        "evidence": [abs(one.evidence - before.evidence) for one in after.values()],
    }
    places = np.arange(len(after), dtype=float)
    for number, (name, values) in enumerate(rows.items()):
        shown = np.maximum(values, 1e-14)
        at = places + 0.2 * (number - 1)
        axes.plot(at, shown, "osD"[number], color=COLOURS[name], ms=9, label=f"ln {name}")
    for name, change in left.items():
        axes.plot(places[-1:] + 0.2, [abs(change)], "x", color=COLOURS["evidence"], ms=10, mew=2, label=name)
    axes.axhline(SAME, color="black", ls=":", lw=1.2)
    axes.text(-0.45, 1.6 * SAME, "below: the same", fontsize=9)
    axes.set_yscale("log")
    axes.set_ylim(3e-15, 1e4)
    axes.set_xlim(-0.5, len(after) - 0.4)
    axes.set_xticks(places, [name.replace(", ", ",\n").replace("own for", "own\nfor") for name in after])
    axes.set_ylabel("size of the change\n(evidence: nats)")
    axes.legend(fontsize=9, loc="center right", bbox_to_anchor=(1.0, 0.38))
    return figure


CARD = BAYESIAN_SGD.at("section 2, on Dinh et al. 2017").card(
    claim="""
        The evidence does not change under a change of the parameters that leaves the function as it is, if
        the prior goes with them; the sharpness of the minimum does.
    """,
    data="digits",
    paper_setting="An argument, not tested.",
    our_setting="""
        A minimum of the regularised loss, λ = 1, of networks 64-8-10 with squares of ReLU on 200 digits
        (smoke: 64-2-10, 60 digits; full: 64-32-10, 1000 digits). Layers times 5 and over 25, times .2 and
        over .04, and a unit of
        its own for every parameter, from a tenth to ten (smoke: the first change, and the second control,
        alone).
    """,
    statistic="""
        The change of ln evidence, and the factors by which λ₁ and the trace of ∇∇L change.
    """,
    threshold="""
        ln evidence: less than 10⁻⁶ nats in every change. λ₁ and trace: more than a factor of 2 in
        each.
    """,
    reason="""
        The evidence is an integral, in which a change of variables changes nothing but rounding; so is its
        Laplace approximation under a linear one. Eigenvalues go as the square of the unit.
    """,
    control="""
        The nearer of: the evidence under a prior that is not carried along, fitted anew with all parameters
        in units of 3; and ln λ₁ in the place of the evidence.
    """,
    check=check,
)
