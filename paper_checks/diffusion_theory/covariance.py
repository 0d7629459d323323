"""C ≈ H: the covariance of the gradient is the Hessian, near minima and at random points.

Two statistics, as either alone misleads: the cosine sees the shape of the whole matrix, ruled by its largest
eigenvalues; the generalised eigenvalues μ of C v = μ H v see every direction, and the constant. Thresholds,
set before any run:

- Cosine above .9: the best multiple of H leaves √(1 − .9²) = 44 % of |C|.
- Each μ in the span of the five sharpest directions between ½ and 2: a factor 2 in C/H is a factor 2 in the
  exponent of the time of escape. Of 280 examples C alone scatters by (1 ± √(5/280))², .75 to 1.29.
- Both for every arm, at level .05 for all arms together (Student's t over replicates on random halves of the
  data, each with its own start, on the spread of one replicate).
- Where the labels are drawn from the model itself C = H but for sampling, by the Fisher information; it is
  shown to say that the two statistics find it.
- Control: isotropic noise of the same trace, of which nothing follows H.
"""

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from scipy import stats

import sde_sgd as ss
from paper_checks._card import Measurement, Outcome
from paper_checks._context import Context
from paper_checks.diffusion_theory import _arms
from paper_checks.diffusion_theory._arms import ARMS, Arm
from paper_checks.diffusion_theory._paper import DIFFUSION_THEORY

DIRECTIONS = 5
COSINE, FACTOR = 0.9, 2.0
LEVEL = 0.05
TRAINED, RANDOM, OWN = "trained", "random", "trained, labels of the model"
KINDS = (TRAINED, RANDOM, OWN)
COPIES = 16
ALMOST = 1 - 1e-6


@dataclass(frozen=True)
class Found:
    """C against H at the points of one kind of one arm.

    Attributes:
        cosine: Tr(CH)/(|C||H|), shape `(replicates,)`.
        isotropic: Tr H/(√d |H|), the same of isotropic noise; at trained points.
        mu: generalised eigenvalues, shape `(replicates, DIRECTIONS)`.
    """

    cosine: np.ndarray
    isotropic: np.ndarray
    mu: np.ndarray

    @property
    def worst(self) -> np.ndarray:
        """max |ln μ| of each replicate."""
        return np.asarray(np.abs(np.log(self.mu)).max(axis=1))


def check(context: Context) -> Outcome:
    """Look at C and H at both kinds of points."""
    arms = context.pick(smoke=ARMS[2:3], quick=ARMS, full=ARMS)
    looked = {arm.name: _look(context, arm) for arm in arms}
    found = {kind: {name: one[kind] for name, one in looked.items()} for kind in KINDS}
    cosines = {kind: _furthest(_cosines(kind, found[kind]), -1) for kind in (TRAINED, RANDOM)}
    factors = {kind: _furthest(_factors(kind, found[kind]), 1) for kind in KINDS}
    informs = replace(factors[OWN], met=None, p=None, threshold="0 but for sampling, by theory")
    median = np.exp(np.median([np.log(one.mu) for one in found[TRAINED].values()]))
    return Outcome(
        measurements=(cosines[TRAINED], factors[TRAINED], cosines[RANDOM], factors[RANDOM], informs),
        control=min(_cosines(TRAINED, found[TRAINED], isotropic=True), key=lambda one: one.p or 0.0),
        summary=(
            f"The cosine of C and H is {cosines[TRAINED].estimate:.2f} or more at trained points and "
            f"{cosines[RANDOM].estimate:.2f} or more at random ones; at trained points C/H is {median:.2g} "
            f"in the median direction, and up to a factor {np.exp(factors[TRAINED].estimate):.2g} from 1."
        ),
        figure=_draw(found),
    )


def _look(context: Context, arm: Arm) -> dict[str, Found]:
    """All three kinds of points of one arm."""
    count = context.pick(smoke=4, quick=8, full=24)
    rows: dict[str, list[tuple[float, float, np.ndarray]]] = {kind: [] for kind in KINDS}
    for replicate in range(count):
        problem = _arms.on_a_half(context, arm, replicate)
        trained = _arms.trained_point(context, arm, problem, replicate)
        key = context.key_for(f"labels {arm.name} {replicate}")
        points = {
            TRAINED: (problem, trained),
            RANDOM: (problem, _arms.random_point(context, arm, problem, replicate)),
            OWN: (_arms.with_labels_of_the_model(problem, trained, COPIES, key), trained),
        }
        for kind, (which, theta) in points.items():
            name = f"{kind} {arm.name} {replicate}"
            rows[kind].append(_at(context, name, which, theta, isotropic=kind == TRAINED))
    return {kind: Found(*map(np.array, zip(*found, strict=True))) for kind, found in rows.items()}


def _at(
    context: Context, name: str, problem: Any, theta: Any, *, isotropic: bool
) -> tuple[float, float, np.ndarray]:
    """Cosine, that of isotropic noise where it is asked for, and generalised eigenvalues at one point."""
    samples = context.pick(smoke=20, quick=60, full=400)
    keys = jax.random.split(context.key_for(name), 3)
    near = ss.curvature.alignment(problem, theta, DIRECTIONS, samples=samples, key=keys[0])
    same = float("nan")
    if isotropic:
        trace = ss.curvature.trace(problem, theta, samples=samples, key=keys[1]).value
        norm = ss.curvature.frobenius_norm(problem, theta, samples=samples, key=keys[2]).value
        same = float(trace) / (sum(leaf.size for leaf in jax.tree.leaves(theta)) ** 0.5 * float(norm))
    return float(near.cosine.value), same, np.asarray(near.generalised, np.float64)


def _cosines(kind: str, arms: dict[str, Found], *, isotropic: bool = False) -> list[Measurement]:
    """Is it above the threshold? On the scale of Fisher's artanh, one for each arm."""
    made = []
    for name, one in arms.items():
        values = one.isotropic if isotropic else one.cosine
        z = np.arctanh(np.clip(values, -ALMOST, ALMOST))
        p = _corrected((z.mean() - np.arctanh(COSINE)) / z.std(ddof=1), len(z), len(arms))
        what = "isotropic noise" if isotropic else "C"
        made.append(
            Measurement(
                name=f"cosine of {what} and H, {kind}: {name}",
                estimate=float(np.tanh(z.mean())),
                standard_error=float(values.std(ddof=1)),
                n=len(z),
                p=p,
                threshold=f"above {COSINE:g} for all arms, at level {LEVEL:g}",
                met=p < LEVEL,
            )
        )
    return made


def _factors(kind: str, arms: dict[str, Found]) -> list[Measurement]:
    """Are all μ within the factor? One for each arm."""
    made = []
    for name, one in arms.items():
        worst = one.worst
        p = _corrected((np.log(FACTOR) - worst.mean()) / worst.std(ddof=1), len(worst), len(arms))
        made.append(
            Measurement(
                name=f"largest |ln μ| of {DIRECTIONS} directions, {kind}: {name}",
                estimate=float(worst.mean()),
                standard_error=float(worst.std(ddof=1)),
                n=len(worst),
                p=p,
                threshold=f"below ln {FACTOR:g} = {np.log(FACTOR):.2f} for all arms, at level {LEVEL:g}",
                met=p < LEVEL,
            )
        )
    return made


def _corrected(t: float, count: int, arms: int) -> float:
    return float(min(1.0, arms * stats.t.sf(t, count - 1)))


def _furthest(found: list[Measurement], sign: int) -> Measurement:
    """The arm that is least shown to keep the threshold, by p and then by sign · estimate."""
    return max(found, key=lambda one: (one.p or 0.0, sign * one.estimate))


def _draw(found: dict[str, dict[str, Found]]) -> Any:
    figure, (left, right) = ss.plot.figure(1, 2, width=5.6, height=4.2, sharey=True)
    styles = {TRAINED: ("o", "#0072B2"), RANDOM: ("D", "#D55E00"), OWN: ("s", "#4D4D4D")}
    names = list(found[TRAINED])
    for shift, (kind, (marker, colour)) in zip((0.22, 0.0, -0.22), styles.items(), strict=True):
        look = {"color": colour, "marker": marker, "ls": "", "mfc": "white", "ms": 5, "alpha": 0.8}
        for row, name in enumerate(reversed(names)):
            one = found[kind][name]
            label = kind if row == 0 else None
            left.plot(one.mu.ravel(), np.full(one.mu.size, row + shift), label=label, **look)
            right.plot(one.cosine, np.full(len(one.cosine), row + shift), **look)
    for row, name in enumerate(reversed(names)):
        right.plot(
            found[TRAINED][name].isotropic,
            np.full(len(found[TRAINED][name].isotropic), row),
            "x",
            color="grey",
            label="isotropic noise (control)" if row == 0 else None,
        )
    left.axvspan(1 / FACTOR, FACTOR, color="#009E73", alpha=0.15, lw=0)
    left.axvline(1, color="black", lw=1)
    left.set_xscale("log")
    left.set_yticks(range(len(names)), [name.replace(", ", "\n") for name in reversed(names)])
    left.set_xlabel("μ of Cv = μHv, five sharpest directions")
    left.set_title("direction by direction; green: within a factor 2")
    right.axvspan(COSINE, 1, color="#009E73", alpha=0.15, lw=0)
    right.set_xlabel("cosine of C and H")
    right.set_title("as a whole; green: above 0.9")
    left.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
    right.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    return figure


CARD = DIFFUSION_THEORY.at("section 2, equation 4 and figure 1").card(
    claim="The covariance C of the gradient is close to the Hessian H, near minima and at random points.",
    data="breast cancer, digits",
    paper_setting="""
        A three-layer network on MNIST, trained and at its random start; elements of both matrices in the
        eigenbasis of the Hessian, seen in a plot. Another one on Avila.
    """,
    our_setting="""
        Logistic regression on breast cancer (six principal components) and a tanh network 64-32-10 on 1280
        digits (smoke: 64-16-10 on 320; full: 64-64-64-10 on 1796), each with clean labels and with a quarter
        of them redrawn (smoke: the network with clean ones alone). Trained: the minimum by Newton's method;
        the network after 8000 steps of SGD (smoke 2000, full 40 000) at η = .1, B = 16, η falling to 0. 4, 8
        or 24 replicates (smoke, quick, full), each on a random half of the examples, with its own start.
    """,
    statistic="""
        Tr(CH)/(|C||H|) by random vectors; and the generalised eigenvalues μ of C v = μ H v within the span
        of the five largest eigenvectors of H, of which the furthest from 1 counts.
    """,
    threshold="""
        Cosine above .9, and every μ between ½ and 2; each for all arms at level .05, by Student's t on
        the spread of one replicate; at trained and at random points.
    """,
    reason="""
        Effect size: a factor 2 in C/H is a factor 2 in the exponent of the time of escape. Cosine .9: the
        best multiple of H leaves 44 % of C. Sampling alone gives μ of .75 to 1.29 with 280 examples; with
        labels drawn from the model itself, where theory has C = H, the same statistics are shown.
    """,
    control="The cosine of isotropic noise with the Hessian at the trained points; no arm may pass.",
    check=check,
)
