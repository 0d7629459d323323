"""Gradient noise is Gaussian over minibatches; across coordinates unequal variances look heavy-tailed.

One minibatch has one number for each parameter. As a sample these have an index α < 2 of stable laws, which
was taken for heavy tails; the paper says that one coordinate over minibatches is what counts, and Gaussian.
Thresholds, set before any run:

- One coordinate over minibatches: α (harmonic mean over 128 coordinates) within .05 of 2, for each B.
  Student's t with 3 degrees of freedom, whose tails are heavy, is at 1.7.
- Across the coordinates of one minibatch: α of the network's noise within .05 of that of Gaussian noise of
  the same C; both were below 2 by about .1 in a trial.
- Both by two one-sided tests at level .05, corrected for the points θ looked at; the worst point counts.
- Excess kurtosis of one coordinate ∝ 1/B, as for sums of independent examples: exponent −1 ± .1, in the same
  way.
- Control: draws of Student's t₃ in the place of minibatches.

Numbers of minibatches and coordinates were raised once, for power, and after a first look the exponent of the
kurtosis is a fit of a power law, with B = 2 beside the others; no threshold was changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import diffrax
import jax
import numpy as np
from jax.flatten_util import ravel_pytree
from scipy import optimize, stats

import sde_sgd as ss
from paper_checks._card import Measurement, Outcome
from paper_checks._context import Context
from paper_checks.diffusion_theory._near import least_shown, near
from paper_checks.diffusion_theory._paper import DIFFUSION_THEORY
from paper_checks.three_factors._networks import noisy_digits, other_data

DATA = {"digits": noisy_digits, "teacher": other_data}
FEWEST = 2  # B whose kurtosis is the largest, for its exponent alone
COORDINATES = 128
GROUPS, BLOCK = 16, 10
MARGIN, SLOPE_MARGIN = 0.05, 0.1
FAINT = 1e-8  # of the largest variance; weights of pixels that are never lit have none
TRAINING = (0.1, 16)  # η and B
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
LONG = 1000.0  # η of the one step that is looked at: the noise of it, to the last bit


@dataclass(frozen=True)
class Noise:
    """The gradient noise at one θ and one B.

    Attributes:
        name: of the point.
        across: 1/α across coordinates of each minibatch, shape `(minibatches,)`.
        gaussian: the same of Gaussian noise of the same C.
        over: mean over coordinates of 1/α over the minibatches of each group, shape `(GROUPS,)`.
        kurtosis: mean over coordinates of the excess kurtosis in each group, shape `(GROUPS,)`.
        expected: that of the examples over B.
        count: minibatches of all groups.
    """

    name: str
    across: np.ndarray
    gaussian: np.ndarray
    over: np.ndarray
    kurtosis: np.ndarray
    expected: float
    count: int


def check(context: Context) -> Outcome:
    """Draw minibatches at each point, and Gaussian noise."""
    points = _points(context)
    sizes = context.pick(smoke=(128, 8), quick=(128, 32, 8), full=(128, 32, 8))
    found = {size: [_noise(context, *point, size) for point in points] for size in (*sizes, FEWEST)}
    tests = len(points)
    over = [least_shown([_over(one, size, tests) for one in found[size]]) for size in sizes]
    across = [least_shown([_across(one, size, tests) for one in found[size]]) for size in sizes]
    exponent = least_shown(
        [_exponent({size: found[size][at] for size in found}, tests) for at in range(tests)]
    )
    count = found[FEWEST][0].count
    control = _over(_heavy_tails(context, count), None, 1)
    return Outcome(
        measurements=(over[0], across[0], *over[1:], *across[1:], exponent),
        control=control,
        summary=(
            f"At B = {_listed(sizes, 'd')} one coordinate over minibatches has α = "
            f"{_listed([one.estimate for one in over], '.2f')}; across coordinates α is that of Gaussian "
            f"noise of the same C to {_listed([abs(one.estimate) for one in across], '.2f')}."
        ),
        figure=_draw(found, control.estimate),
    )


def _points(context: Context) -> list[tuple[str, Any, Any]]:
    """Networks at their start and trained."""
    hidden = context.pick(smoke=(8,), quick=(16,), full=(64, 64))
    size = context.pick(smoke=640, quick=1280, full=1280)
    steps = context.pick(smoke=1000, quick=4000, full=20_000)
    made = []
    for name in context.pick(smoke=("digits",), quick=tuple(DATA), full=tuple(DATA)):
        problem = DATA[name](hidden, size=size)
        start = problem.init(context.key_for(f"start {name}"))
        process = context.sgd(problem, ss.Hyperparameters(*TRAINING))
        result = context.run(f"training {name}", process, chains=1, steps=steps, initial=start)
        trained = jax.tree.map(lambda leaf: leaf[0], result.theta)
        both = [(f"{name}, trained", problem, trained), (f"{name}, start", problem, start)]
        made += context.pick(smoke=both[:1], quick=both, full=both)
    return made


def _noise(context: Context, name: str, problem: Any, theta: Any, size: int) -> Noise:
    """One step of SGD, and one of Gaussian noise, from the same point in every chain."""
    count = context.pick(smoke=8000, quick=20_000, full=200_000)
    few = context.pick(smoke=400, quick=1000, full=4000)
    hyper = ss.Hyperparameters(LONG, size)
    gaussian = context.langevin(problem, hyper, substeps=1, solver=diffrax.Euler())
    rows = np.asarray(problem.example_gradients(theta), np.float64)
    variance = rows.var(axis=0)
    alive = np.flatnonzero(variance > FAINT * variance.max())
    rng = np.random.default_rng(np.asarray(jax.random.key_data(context.key_for(name))).ravel().tolist())
    order = rng.permutation(alive)
    loud = np.flatnonzero(variance >= np.median(variance[alive]))
    watched = rng.choice(loud, COORDINATES, replace=False)

    begin, mean = np.asarray(ravel_pytree(theta)[0], np.float64), rows.mean(axis=0)

    def ends(process: Any, what: str, chains: int) -> np.ndarray:
        result = context.run(f"{what} {name} {size}", process, chains=chains, steps=1, initial=theta)
        return np.concatenate([leaf.reshape(chains, -1) for leaf in jax.tree.leaves(result.theta)], axis=1)

    def noise(at: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return np.asarray((begin[columns] - at[:, columns]) / LONG - mean[columns])

    sgd, same = ends(context.sgd(problem, hyper), "SGD", count), ends(gaussian, "Gaussian", few)
    groups = noise(sgd, watched).reshape(GROUPS, count // GROUPS, COORDINATES)
    of_examples = stats.kurtosis(rows[:, watched], axis=0)
    return Noise(
        name=name,
        across=np.array([_inverse(one) for one in noise(sgd[:few], order)]),
        gaussian=np.array([_inverse(one) for one in noise(same, order)]),
        over=_over_minibatches(groups),
        kurtosis=stats.kurtosis(groups, axis=1, bias=False).mean(axis=1),
        expected=float(of_examples.mean() / size),
        count=count,
    )


def _heavy_tails(context: Context, count: int) -> Noise:
    """Draws of Student's t with 3 degrees of freedom in the place of minibatches."""
    key = context.key_for("Student t3")
    draws = jax.random.t(key, 3.0, (GROUPS, count // GROUPS, COORDINATES))
    over = _over_minibatches(np.asarray(draws, np.float64))
    nothing = np.full(GROUPS, np.nan)
    return Noise("Student's t₃", nothing, nothing, over, nothing, float("nan"), count)


def _over_minibatches(groups: np.ndarray) -> np.ndarray:
    """Mean over coordinates of 1/α, from an array `(groups, minibatches, coordinates)`."""
    return np.array([np.mean([_inverse(one, BLOCK) for one in group.T]) for group in groups])


def _inverse(values: np.ndarray, block: int | None = None) -> float:
    """1/α, of which means make sense: it is a mean itself."""
    return 1 / ss.statistics.tail_index(values, block=block).alpha


def _over(noise: Noise, size: int | None, tests: int) -> Measurement:
    """Is α over minibatches within the margin of 2?"""
    mean, error = noise.over.mean(), stats.sem(noise.over)
    alpha, error = 1 / mean, error / mean**2
    of = "" if size is None else f" at B = {size}"
    name = f"α of one coordinate over minibatches{of}: {noise.name}"
    return near(name, alpha, error, to=2.0, margin=MARGIN, n=noise.count, tests=tests, freedom=GROUPS - 1)


def _across(noise: Noise, size: int, tests: int) -> Measurement:
    """Is α across coordinates that of Gaussian noise?"""
    means = noise.across.mean(), noise.gaussian.mean()
    errors = stats.sem(noise.across), stats.sem(noise.gaussian)
    difference = 1 / means[0] - 1 / means[1]
    error = float(np.hypot(errors[0] / means[0] ** 2, errors[1] / means[1] ** 2))
    name = (
        f"α across coordinates at B = {size}, {1 / means[0]:.2f} of SGD, minus {1 / means[1]:.2f} of "
        f"Gaussian noise: {noise.name}"
    )
    count = len(noise.across)
    return near(name, difference, error, to=0.0, margin=MARGIN, n=2 * count, tests=tests, freedom=count - 1)


def _exponent(sizes: dict[int, Noise], tests: int) -> Measurement:
    """Does the excess kurtosis fall as 1/B? A power law by weighted least squares."""
    values = np.array([one.kurtosis.mean() for one in sizes.values()])
    errors = np.array([stats.sem(one.kurtosis) for one in sizes.values()])
    x = np.array(list(sizes), float)
    first = (values[-1] * x[-1], -1.0)
    (_, power), covariance = optimize.curve_fit(_power_law, x, values, first, errors, absolute_sigma=True)
    error = float(covariance[1, 1] ** 0.5)
    one = sizes[FEWEST]
    name = f"exponent of the excess kurtosis in B: {one.name}"
    count = one.count * len(sizes)
    return near(name, power, error, to=-1.0, margin=SLOPE_MARGIN, n=count, tests=tests, freedom=GROUPS - 1)


def _power_law(x: np.ndarray, scale: float, power: float) -> np.ndarray:
    return np.asarray(scale * x**power)


def _listed(values: Sequence[float], form: str) -> str:
    return ", ".join(f"{value:{form}}" for value in values)


def _draw(found: dict[int, list[Noise]], heavy: float) -> Any:
    figure, (left, right) = ss.plot.figure(1, 2, width=5.4, height=4.2)
    names = [one.name for one in found[FEWEST]]
    sizes = list(found)
    for number, (name, colour) in enumerate(zip(names, COLOURS, strict=False)):
        at = np.array(sizes) * 1.06 ** (number - (len(names) - 1) / 2)
        rows = [found[size][number] for size in sizes]
        for values, marker, label in (
            ([one.over for one in rows], "o", f"{name}"),
            ([one.across for one in rows], "s", None),
            ([one.gaussian for one in rows], "x", None),
        ):
            alpha = np.array([1 / one.mean() for one in values])
            error = np.array([stats.sem(one) for one in values]) * alpha**2
            left.errorbar(at, alpha, 2 * error, fmt=marker, color=colour, mfc="white", ms=6, label=label)
        kurtosis = np.array([one.kurtosis.mean() for one in rows])
        error = np.array([stats.sem(one.kurtosis) for one in rows])
        right.errorbar(at, kurtosis, 2 * error, fmt="o", color=colour, mfc="white", label=name)
        right.plot(sizes, [one.expected for one in rows], "-", color=colour, lw=1)
    left.axhspan(2 - MARGIN, 2 + MARGIN, color="#009E73", alpha=0.15, lw=0)
    left.axhline(heavy, color="black", ls=":", lw=1.4)
    left.text(FEWEST * 0.95, heavy + 0.006, "Student's t₃ (control)", fontsize=9)
    left.set_ylabel("index α of a stable law (2: Gaussian)")
    left.set_title("○ over minibatches; across coordinates: □ SGD, × Gaussian")
    right.set_yscale("log")
    right.set_ylabel("excess kurtosis of one coordinate")
    right.set_title("points: minibatches; lines: that of the examples over B")
    for ax in (left, right):
        ax.set_xscale("log")
        ax.set_xticks(sizes, [f"{size}" for size in sizes])
        ax.set_xticks([], minor=True)
        ax.set_xlabel("batch size B")
    right.legend(fontsize=9)
    return figure


CARD = DIFFUSION_THEORY.at("section 2 and figure 2").card(
    claim="""
        The noise of minibatch gradients is Gaussian; it looks α-stable only where the coordinates of one
        minibatch, of unequal variances, are taken as one sample.
    """,
    data="digits, teacher data",
    paper_setting="""
        Gradient noise across parameters and across minibatches, of networks on MNIST and CIFAR-10, in
        histograms beside a Gaussian one and a Lévy one.
    """,
    our_setting="""
        tanh networks 64-16-10 on digits and 32-16-10 on teacher data, N = 1280, a quarter of the labels
        random, at their start and after 4000 steps of SGD at η = .1, B = 16 (smoke: 64-8-10 on 640 digits,
        trained for 1000 steps; full: two hidden layers of 64, 20 000 steps). B = 128, 32, 8 (smoke: 128, 8),
        and 2 for the kurtosis; 20 000 minibatches for 128 coordinates, 1000 for all coordinates, and 1000 of
        Gaussian noise (smoke: 8000 and 400; full: 200 000 and 4000).
    """,
    statistic="""
        Index α of stable laws by Mohammadi, Mohammadpour, Ogata 2015 (blocks of 10 minibatches; of √d
        coordinates in random order), as the mean of 1/α over coordinates or minibatches; and the exponent in
        B of the mean excess kurtosis.
    """,
    threshold="""
        Over minibatches α within .05 of 2; across coordinates within .05 of that of Gaussian noise of the
        same C, at each B; exponent within .1 of −1. Two one-sided tests at level .05, corrected for the
        points.
    """,
    reason="""
        Effect size: heavy tails (Student's t₃) have α = 1.7, and unequal variances made Gaussian noise look
        .1 heavier in a trial. The excess kurtosis of a mean of B independent numbers is that of one, over B.
    """,
    control="One coordinate over as many draws of Student's t with 3 degrees of freedom.",
    check=check,
)
