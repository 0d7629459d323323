"""The noise of a minibatch gradient: mean zero, variance ∝ (N/B − 1), and Gaussian at the batches in use.

The paper has it from the central limit theorem. Along a direction v the gradient of a minibatch is the mean
of the slopes v·∇ℓ_n of its examples, which are numbers: SGD on them is SGD on the network, seen along v.
Random directions, the leading ones of C, and that of the gradient itself. Thresholds, set before any run:

- Mean: the noise of the average minibatch, squared, below .01 of the variance of one, along every direction.
- Variance over (v·C v/B)(N − B)/(N − 1), different examples in a batch, the mean over directions and points:
  within .05 of 1, at every B.
- Gaussian: no probability off by more than .05, at B = 64 and more: Kolmogorov and Smirnov's distance to the
  normal law of the variance that theory gives, plus the width of Massart's 95 % band, below .05, in every
  direction, for each point by itself. Of so many draws a Gaussian has a distance of .006.
- Control: a single example in the place of a minibatch, by the test for Gaussian noise.

After a first look there are more minibatches where B is small, for power.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

import sde_sgd as ss
from paper_checks._card import Measurement, Outcome
from paper_checks._context import Context
from paper_checks.bayesian_sgd._paper import BAYESIAN_SGD
from paper_checks.diffusion_theory._near import least_shown, near

MEAN_MARGIN, VARIANCE_MARGIN, MARGIN = 0.01, 0.05, 0.05
LEVEL = 0.05
FROM = 64  # B from which on the noise is claimed to be Gaussian
SIZES = (1, 4, 16, 64, 256)
GROUPS = 16
TRAINING = (0.1, 32)  # η and B
COLOURS = {"random": "#0072B2", "leading of C": "#D55E00", "gradient": "#009E73"}
POINT_MARKERS = ("o", "s", "^")


@dataclass(frozen=True)
class Noise:
    """The noise along one direction, at one θ and one B.

    Attributes:
        point: the name of θ.
        direction: random, leading of C, or gradient.
        size: B.
        draws: noise over its standard deviation in theory, one number for each minibatch.
    """

    point: str
    direction: str
    size: int
    draws: np.ndarray

    @property
    def name(self) -> str:
        """What it is, for tables."""
        return f"{self.point}, {self.direction}, B = {self.size}"

    @property
    def distance(self) -> float:
        """Of its law from the normal one."""
        return float(stats.kstest(self.draws, "norm").statistic)


def check(context: Context) -> Outcome:
    """Draw minibatches at each point along each direction."""
    problem, points = _points(context)
    seen = {name: slopes(context, name, problem, theta) for name, theta in points.items()}
    places = [(point, which) for point, (names, _) in seen.items() for which in names]
    noises = drawn(context, places, np.concatenate([rows for _, rows in seen.values()], axis=1))
    sizes = list(dict.fromkeys(one.size for one in noises))
    laws = [
        gaussian(
            [one for one in noises if one.size >= FROM and one.point == point],
            f"distance to a normal law at B of {FROM} or more",
        )
        for point in points
    ]
    laws.sort(key=lambda one: -one.estimate)
    bias = least_shown([_mean(one) for one in noises])
    spread = least_shown([variance(noises, size) for size in sizes])
    control = gaussian([one for one in noises if one.size == 1], "the same of single examples")
    return Outcome(
        measurements=(*laws, spread, bias, *_smaller(noises)),
        control=control,
        summary=(
            f"The variance of the noise is that of theory to {abs(spread.estimate - 1):.3f}. At B of {FROM} "
            f"or more its law is off a normal one by {_listed(laws)}."
        ),
        figure=_draw(noises),
    )


def _listed(laws: list[Measurement]) -> str:
    """Distances with the points they are at."""
    return "; ".join(f"{one.estimate:.3f} ({one.name.split(': ')[1]})" for one in laws)


def _points(context: Context) -> tuple[Any, dict[str, Any]]:
    """The network at its start, and on its way."""
    size, hidden = context.pick(smoke=(300, 8), quick=(1000, 100), full=(1000, 800))
    data = ss.data.mnist(train_size=size) if context.scale != "smoke" else ss.data.digits(size)
    problem = ss.problems.mlp(data, hidden=(hidden,), activation="relu", gain=2**0.5)
    start = problem.init(context.key_for("start"))
    process = context.sgd(problem, ss.Hyperparameters(*TRAINING))
    points = {"start": start}
    theta, total = start, 0
    for epochs in context.pick(smoke=(), quick=(5, 25), full=(5, 25, 70)):
        steps = epochs * size // TRAINING[1]
        result = context.run(f"{epochs} more epochs", process, chains=1, steps=steps, initial=theta)
        theta = jax.tree.map(lambda leaf: leaf[0], result.theta)
        total += epochs
        points[f"{total} epochs"] = theta
    return problem, points


def slopes(context: Context, name: str, problem: Any, theta: Any) -> tuple[tuple[str, ...], np.ndarray]:
    """Directions, and v·∇ℓ_n of every example along each, shape `(N, directions)`."""
    count = context.pick(smoke=2, quick=4, full=8)
    keys = jax.random.split(context.key_for(f"directions {name}"), count + 1)
    draw = [ss.curvature.random_direction(problem, theta, key=key, normalise="none") for key in keys[:-1]]
    leading = ss.curvature.top_eigenpairs(problem, theta, count, matrix="covariance", key=keys[-1]).vectors
    leads = [jax.tree.map(lambda leaf, at=at: leaf[at], leading) for at in range(count)]
    names = ("random",) * count + ("leading of C",) * count + ("gradient",)

    @jax.jit
    def along(theta: Any, direction: Any) -> jax.Array:
        return jnp.asarray(jax.jvp(problem.example_losses, (theta,), (direction,))[1])

    made = [along(theta, one) for one in (*draw, *leads, problem.gradient(theta))]
    rows = np.stack([np.asarray(one, np.float64) for one in made], axis=1)
    # v·C v = 1 along each: the size of v is of no account
    return names, (rows - rows.mean(axis=0)) / rows.std(axis=0)


def drawn(context: Context, places: list[tuple[str, str]], rows: np.ndarray) -> list[Noise]:
    """One step of SGD at each B in every chain, of the loss whose examples have these slopes everywhere.

    Args:
        context: of the card.
        places: names of point and direction of each column.
        rows: slopes of mean 0 and variance 1, shape `(N, columns)`; all see the same minibatches.
    """
    few = context.pick(smoke=8000, quick=20_000, full=100_000)
    size, width = rows.shape
    data = ss.data.Dataset(rows.astype(np.float32), np.zeros(size, np.float32))
    start = jnp.zeros(width)
    problem = ss.problems.from_loss(_slope, data, init=lambda _: start)
    found = []
    for batch in context.pick(smoke=(1, FROM), quick=SIZES, full=SIZES):
        count = few * (8 if batch < 8 else 1)  # noise of few examples has wide tails
        process = context.sgd(problem, ss.Hyperparameters(1.0, batch), sampling="subset")
        result = context.run(f"minibatches {batch}", process, chains=count, steps=1, initial=start)
        sigma = ((size - batch) / (batch * (size - 1))) ** 0.5
        draws = -np.asarray(result.theta, np.float64) / sigma
        found += [Noise(*place, batch, draws[:, at]) for at, place in enumerate(places)]
    return found


def _slope(theta: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """A loss whose gradient is x, wherever θ is."""
    del y
    return x @ theta


def gaussian(noises: list[Noise], name: str) -> Measurement:
    """Is the law of all of them within the margin of the normal one? The farthest counts."""
    farthest = max(noises, key=lambda one: one.distance)
    count = len(farthest.draws)
    # Dvoretzky, Kiefer, Wolfowitz with Massart's constant; all must pass, so that no correction is needed
    band = float(np.sqrt(np.log(2 / LEVEL) / (2 * count)))
    return Measurement(
        name=f"{name}: {farthest.name}",
        estimate=farthest.distance,
        n=count,
        threshold=f"below {MARGIN - band:.3f}, which is {MARGIN:g} less the width of a 95 % band",
        met=farthest.distance + band < MARGIN,
    )


def _mean(noise: Noise) -> Measurement:
    """The square of the mean noise over the variance, without what finite numbers make of it."""
    groups = noise.draws.reshape(GROUPS, -1).mean(axis=1)
    square = float((groups.sum() ** 2 - (groups**2).sum()) / (GROUPS * (GROUPS - 1)))
    error = float(noise.draws.var() / len(noise.draws) * np.sqrt(2 * GROUPS / (GROUPS - 1)))
    return near(
        f"square of the mean noise over its variance: {noise.name}",
        square,
        error,
        to=0.0,
        margin=MEAN_MARGIN,
        n=len(noise.draws),
    )


def variance(noises: list[Noise], size: int) -> Measurement:
    """The variance at one B over that of theory, mean over directions and points."""
    # they share their minibatches
    squares = np.mean([one.draws**2 for one in noises if one.size == size], axis=0)
    return near(
        f"variance of the noise over that of theory at B = {size}",
        float(squares.mean()),
        float(stats.sem(squares)),
        to=1.0,
        margin=VARIANCE_MARGIN,
        n=len(squares),
    )


def _smaller(noises: list[Noise]) -> list[Measurement]:
    """How far from Gaussian it is at the other B, which only inform."""
    found = []
    for size in dict.fromkeys(one.size for one in noises):
        if 1 < size < FROM:
            one = max((one for one in noises if one.size == size), key=lambda one: one.distance)
            found.append(
                Measurement(
                    name=f"distance to a normal law at B = {size}: {one.point}, {one.direction}",
                    estimate=one.distance,
                    n=len(one.draws),
                    threshold="0 for a normal law; falls as B^−½",
                    met=None,
                )
            )
    return found


def _draw(noises: list[Noise]) -> Any:
    figure, (left, right) = ss.plot.figure(1, 2, width=5.0, height=4.0)
    points = list(dict.fromkeys(one.point for one in noises))
    directions = list(dict.fromkeys(one.direction for one in noises))
    places = [(point, direction) for point in points for direction in directions]
    for number, (point, direction) in enumerate(places):
        marker, colour = POINT_MARKERS[points.index(point)], COLOURS[direction]
        some = [one for one in noises if (one.point, one.direction) == (point, direction)]
        shift = 1.05 ** (number - (len(places) - 1) / 2)
        at = np.array([one.size for one in some]) * shift
        label = f"{direction}, {point}"
        left.plot(at, [one.distance for one in some], marker, color=colour, ms=5, mfc="white", label=label)
        squares = [one.draws**2 for one in some]
        means, errors = [one.mean() for one in squares], [2 * stats.sem(one) for one in squares]
        right.errorbar(at, means, errors, fmt=marker, color=colour, ms=4, mfc="white", lw=1)
    floor = 0.87 / min(len(one.draws) for one in noises) ** 0.5
    left.axhline(floor, color="black", ls=":", lw=1.2)
    left.text(SIZES[0], 0.85 * floor, "as far as draws of a normal law are", fontsize=9, va="top")
    left.axhspan(floor / 3, MARGIN, xmin=0.6, color="#009E73", alpha=0.12, lw=0)
    left.set_yscale("log")
    left.set_ylim(floor / 2, None)
    left.set_ylabel("distance to a normal law")
    left.set_title("shaded: the claim")
    right.axhspan(1 - VARIANCE_MARGIN, 1 + VARIANCE_MARGIN, color="#009E73", alpha=0.12, lw=0)
    right.axhline(1, color="black", lw=0.8)
    right.set_ylim(0.85, 1.15)
    right.legend(*left.get_legend_handles_labels(), fontsize=7, ncols=3, loc="upper center")
    right.set_ylabel("variance over that of theory\n± 2 standard errors")
    for ax in (left, right):
        ax.set_xscale("log")
        ax.set_xticks(SIZES, [f"{size}" for size in SIZES])
        ax.set_xticks([], minor=True)
        ax.set_xlabel("batch size B")
    return figure


CARD = BAYESIAN_SGD.at("section 4, equations 11 to 14").card(
    claim="""
        The gradient of a minibatch is that of all examples plus noise of mean zero and covariance
        ∝ (N/B − 1), which is Gaussian by the central limit theorem.
    """,
    data="MNIST",
    paper_setting="An assumption of the theory, not tested; 800 hidden units, 1,000 images of MNIST.",
    our_setting="""
        ReLU network 784-100-10 on 1,000 images of MNIST, at its start, after 5 and after 30 epochs of SGD at
        η = .1, B = 32. 20 000 minibatches of different examples at B = 16, 64, 256, eight times as many
        at B = 1 and 4, along 4 random
        directions, the 4 leading ones of C, and the gradient (smoke: 64-8-10 on 300 digits, start, B = 1
        and 64, 8000 minibatches, 2 and 2 directions; full: 800 hidden units, 100 epochs too, 100 000
        minibatches, 8 and 8 directions).
    """,
    statistic="""
        Kolmogorov and Smirnov's distance of the noise along a direction to the normal law of mean 0 and the
        variance of theory; variance over (v·Cv/B)(N − B)/(N − 1); squared mean over variance. The farthest
        of directions and B; of the variance the mean over directions and points.
    """,
    threshold=f"""
        Distance below {MARGIN:g} beyond a 95 % band at B of {FROM} or more; variance within
        {VARIANCE_MARGIN:g} of theory and squared mean below {MEAN_MARGIN:g} of it at every B, by two
        one-sided tests at level {LEVEL:g}.
    """,
    reason="""
        Effect size: no probability off by more than .05. The paper's best batches at N = 1,000 are about
        100. The variance of a mean of B of N different numbers is known exactly.
    """,
    control="Single examples, B = 1, by the test for Gaussian noise.",
    check=check,
)
