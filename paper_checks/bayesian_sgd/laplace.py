"""Laplace's approximation of the evidence against the exact integral over two parameters.

Logistic regression on one number of each example, weight and bias, on real data. Thresholds, set before any
run:

- The largest difference of ln evidence over data sets and λ: below .15 nat. That is an odds ratio of 1.16,
  nothing beside the nats that tell models apart.
- Control: six examples that the number tells apart, with a wide prior. The posterior then has no bulk around
  its mode but a long ridge up to where the prior ends, and the same test must fail.

The integral is a sum over a grid in units of the posterior's width, refused where it depends on the step or
has not died out at the edge.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from scipy import special

import sde_sgd as ss
from paper_checks._card import Measurement, Outcome
from paper_checks._context import Context
from paper_checks.bayesian_sgd._paper import BAYESIAN_SGD

CLOSE = 0.15  # nats
EDGE, STEPS = 16.0, 160  # of the grid, in units of the posterior's width, and how many each way
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
WIDE = 1e-3  # λ of the control


@dataclass(frozen=True)
class Case:
    """Both evidences of one data set and λ.

    Attributes:
        name: of the data set.
        precision: λ.
        laplace, exact: ln evidence, in nats.
    """

    name: str
    precision: float
    laplace: float
    exact: float

    @property
    def gap(self) -> float:
        """Laplace less exact, nats."""
        return self.laplace - self.exact


def check(context: Context) -> Outcome:
    """Both evidences of every data set at every λ."""
    names = context.pick(smoke=(CANCER,), quick=tuple(NUMBERS), full=tuple(NUMBERS))
    size = context.pick(smoke=60, quick=100, full=100)
    precisions = context.pick(smoke=(1.0,), quick=(0.1, 1.0, 10.0), full=(0.01, 0.1, 1.0, 10.0, 100.0))
    cases = []
    for name in names:
        data = sampled(*NUMBERS[name](), size, key=context.key_for(name))
        cases += [case(name, data, precision) for precision in precisions]
    far = case("six examples told apart", apart(*NUMBERS[CANCER]()), WIDE)
    main = judged(cases, "Laplace's ln evidence less the exact one, largest, nats")
    return Outcome(
        measurements=(main,),
        control=judged([far], "the same with six examples and a wide prior"),
        summary=(
            f"Laplace's ln evidence is within {abs(main.estimate):.3f} nats of the exact one; with six "
            f"examples told apart and λ = {WIDE:g} it is {far.gap:+.2f} off."
        ),
        figure=_draw(cases, far),
    )


def judged(cases: list[Case], name: str) -> Measurement:
    """The largest difference."""
    furthest = max(cases, key=lambda one: abs(one.gap))
    return Measurement(
        name=f"{name}: {furthest.name}, λ = {furthest.precision:g}",
        estimate=furthest.gap,
        n=len(cases),
        threshold=f"within {CLOSE:g} of 0",
        met=abs(furthest.gap) < CLOSE,
    )


def case(name: str, data: ss.data.Dataset, precision: float) -> Case:
    """Fit, and integrate."""
    problem = ss.problems.logistic_regression(data)
    start = jax.tree.map(np.zeros_like, problem.init(jax.random.key(0)))
    fit = ss.bayes.map_fit(problem, start, precision=precision, tolerance=1e-8)
    found = ss.bayes.log_evidence(problem, fit.theta, precision=precision)
    layer = fit.theta[0]
    mode = np.array([layer["weight"].item(), layer["bias"].item()])
    x, y = np.asarray(data.inputs, np.float64), np.asarray(data.targets)
    return Case(name, precision, found.value, integral(x, y, precision, mode))


def integral(x: np.ndarray, y: np.ndarray, precision: float, mode: np.ndarray) -> float:
    """ln of the mean likelihood under the prior, over that of guessing.

    Args:
        x, y: numbers, shape `(N, 1)`, and classes 0 or 1.
        precision: λ.
        mode: weight and bias around which the grid lies.

    Raises:
        RuntimeError: if the grid is too coarse or too small.
    """
    wide = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    odds = special.expit(wide @ mode)
    hessian = (wide.T * (odds * (1 - odds))) @ wide + precision * np.eye(2)
    axes = np.linalg.inv(np.linalg.cholesky(hessian)).T  # unit steps are posterior widths
    one = np.linspace(-EDGE, EDGE, 2 * STEPS + 1)
    theta = mode + np.stack(np.meshgrid(one, one, indexing="ij"), -1) @ axes.T
    logs = -0.5 * precision * (theta**2).sum(axis=-1) + np.log(precision / (2 * np.pi))
    for row, label in zip(wide, y, strict=True):
        logs -= np.logaddexp(0, (1 - 2 * label) * (theta @ row)) - np.log(2)
    cell = np.log(np.abs(np.linalg.det(axes))) + 2 * np.log(one[1] - one[0])
    fine, coarse = special.logsumexp(logs), special.logsumexp(logs[::2, ::2]) + np.log(4)
    edge = max(special.logsumexp(part) for part in (logs[0], logs[-1], logs[:, 0], logs[:, -1]))
    if abs(fine - coarse) > 1e-3 or edge > fine + np.log(1e-4):
        raise RuntimeError(f"the grid does not hold the integral: {fine:g}, {coarse:g}, edge {edge:g}.")
    return float(fine + cell)


def sampled(values: np.ndarray, labels: np.ndarray, size: int, *, key: jax.Array) -> ss.data.Dataset:
    """Some of the examples, with mean 0 and variance 1."""
    chosen = np.asarray(jax.random.permutation(key, len(labels)))[:size]
    return _standard(values[chosen], labels[chosen])


def apart(values: np.ndarray, labels: np.ndarray) -> ss.data.Dataset:
    """Three of each class, from the ends that tell them apart."""
    order = np.argsort(values)
    if values[labels == 0].mean() > values[labels == 1].mean():
        order = order[::-1]
    zeros, ones = order[labels[order] == 0][:3], order[labels[order] == 1][-3:]
    chosen = np.concatenate([zeros, ones])
    return _standard(values[chosen], labels[chosen])


def _standard(values: np.ndarray, labels: np.ndarray) -> ss.data.Dataset:
    values = (values - values.mean()) / values.std()
    return ss.data.Dataset(values[:, None].astype(np.float32), labels, classes=2)


def _radius() -> tuple[np.ndarray, np.ndarray]:
    data = ss.data.breast_cancer(568)
    return np.asarray(data.inputs, np.float64)[:, 0], np.asarray(data.targets)


def _ink(*digits: int) -> tuple[np.ndarray, np.ndarray]:
    data = ss.data.mnist(digits=digits)
    return np.asarray(data.inputs, np.float64).mean(axis=1), np.asarray(data.targets)


CANCER = "breast cancer, mean radius"
NUMBERS: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
    CANCER: _radius,
    "MNIST 0/1, mean brightness": lambda: _ink(0, 1),
    "MNIST 4/9, mean brightness": lambda: _ink(4, 9),
}


def _draw(cases: list[Case], far: Case) -> Any:
    figure, axes = ss.plot.figure(width=5.6, height=3.9)
    names = list(dict.fromkeys(one.name for one in cases))
    for name, colour in zip(names, COLOURS, strict=False):
        some = [one for one in cases if one.name == name]
        axes.plot([one.precision for one in some], [one.gap for one in some], "o-", color=colour, label=name)
    axes.plot([far.precision], [far.gap], "X", color="black", ms=9, label=f"control: {far.name}")
    axes.axhspan(-CLOSE, CLOSE, color="#009E73", alpha=0.15, lw=0, label=f"within {CLOSE:g} nat")
    axes.axhline(0, color="black", lw=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("precision λ of the prior")
    axes.set_ylabel("ln evidence, Laplace less exact, nats")
    axes.legend(fontsize=9)
    return figure


CARD = BAYESIAN_SGD.at("section 2, equation 7").card(
    claim="""
        Laplace's approximation around the maximum a posteriori gives the evidence of a model.
    """,
    data="breast cancer, MNIST 0/1 and 4/9",
    paper_setting="Used for logistic regression of MNIST without a check.",
    our_setting="""
        Logistic regression on one number, two parameters: the mean radius of the breast cancer data, the
        mean brightness of zeros and ones and of fours and nines of MNIST; N = 100, λ = .1, 1, 10 (smoke:
        breast cancer, N = 60, λ = 1; full: λ from .01 to 100).
    """,
    statistic="""
        ln evidence by `bayes.map_fit` and `bayes.log_evidence` less the logarithm of the integral over both
        parameters, on a grid of 321 × 321 points. The largest of all data sets and λ.
    """,
    threshold=f"Within {CLOSE:g} nat of 0.",
    reason="""
        Effect size: .15 nat are odds of 1.16 to 1, where evidence that tells models apart is several nats.
    """,
    control="Six examples that the number tells apart, λ = .001.",
    check=check,
)
