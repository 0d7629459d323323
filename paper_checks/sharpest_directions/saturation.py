"""Do units saturate with larger steps, and along the sharpest directions, and does that lower the curvature?

The workshop paper proposes it as a possible cause: larger steps reach regions in which units saturate, where
the curvature is lower. A tanh unit is saturated on an example where |tanh| > .99, a rectified one where it is
0. If that is the cause three things hold, and each is judged, in tanh and in rectified networks. Thresholds,
set after trials with other seeds:

- At one training loss the fraction of saturated pairs of a unit and an example rises with log₂ η, in every
  network and on both kinds of labels: one-sided t-tests over seeds at level .05, corrected for the arms.
- At θ ± e_i, a distance of 1 along the 5 sharpest directions, it is more above that at θ than along five
  random directions: tested in the same way.
- At one loss and one η runs with more saturated units have a smaller λ₁: rank correlation within each η below
  0, p by Student's t, corrected for the arms.
- Control: the first test at the start of training, where η has done nothing; the arm that shows it most.

At quick the convolutional network is trained on noisy labels alone, for its cost. With clean ones too, p of
the first test was .19 at seed 0 and .046 at seed 1, both of a convolutional arm.
"""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

import sde_sgd as ss
from paper_checks._card import Measurement, Outcome
from paper_checks._context import Context
from paper_checks.sharpest_directions._panels import COLOURS
from paper_checks.sharpest_directions._paper import SHARPEST_DIRECTIONS
from paper_checks.sharpest_directions._trained import LEVEL, Arm, K, above, arms

MOVES = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)
DISTANCE = 1.0


@dataclass(frozen=True)
class Found:
    """Saturation of one arm.

    Attributes:
        rates: η.
        start: fraction of saturated pairs at the start, shape (rates, seeds).
        level: the training loss that all runs reach.
        fraction, always, sharpness: at that loss: saturated pairs, units saturated on all examples, λ₁; shape
            (rates, seeds).
        along: name → mean fraction at each of `MOVES`, shape (seeds, moves).
    """

    rates: np.ndarray
    start: np.ndarray
    level: float
    fraction: np.ndarray
    always: np.ndarray
    sharpness: np.ndarray
    along: dict[str, np.ndarray]

    def rise(self, name: str) -> np.ndarray:
        """Fraction a distance of 1 away, on both sides, less that at θ; for each seed."""
        moves = np.abs(np.array(MOVES))
        away: np.ndarray = self.along[name][:, moves == DISTANCE].mean(axis=1)
        more: np.ndarray = away - self.along[name][:, MOVES.index(0.0)]
        return more


SHARPEST, RANDOM = "sharpest", "random"


def check(context: Context) -> Outcome:
    """All points of every arm."""
    found = {arm.name: _look(context, arm) for arm in arms(context)}
    with_rate = {name: per_doubling(one.rates, one.fraction) for name, one in found.items()}
    more = {name: one.rise(SHARPEST) - one.rise(RANDOM) for name, one in found.items()}
    starts = {name: per_doubling(one.rates, one.start) for name, one in found.items()}
    main = shown("saturated pairs for each doubling of η at one loss", with_rate)
    along = shown("rise at a distance of 1 along the sharpest directions less along random ones", more)
    lower = _lower_curvature(found)
    tanh = {name: one for name, one in with_rate.items() if name.startswith("MLP")}
    relu = {name: one for name, one in with_rate.items() if name not in tanh}
    rectified_too = f" and {_span(relu)} of the rectified ones" if relu else ""
    return Outcome(
        measurements=(main, along, lower, *_informing(found)),
        control=shown("saturated pairs for each doubling of η at the start", starts, most=True),
        summary=(
            f"At one loss each doubling of η adds {_span(tanh)} of the units of the tanh networks to "
            f"those saturated{rectified_too}; a distance of 1 along the sharpest directions adds "
            f"{_span(more)} more than along random ones. Within one η runs with more of them have "
            f"{'a lower' if lower.met else 'no lower'} λ₁: rank correlation {lower.estimate:.2f} where it is "
            f"least shown."
        ),
        figure=_draw(found),
    )


def _look(context: Context, arm: Arm) -> Found:
    theta, frames = arm.values("theta"), arm.values("vectors")
    points = theta.reshape(-1, theta.shape[-1])
    everywhere = _saturation(arm.problem, points, arm.examples, arm.unravel, arm.activations)
    fraction, always = (np.asarray(one, np.float64).reshape(theta.shape[:3]) for one in everywhere)
    losses = arm.values("loss").astype(np.float64)
    level = float(losses.min(axis=2).max())
    at = arm.grown(arm.middle)
    grown = (
        theta[arm.middle][:, at].reshape(-1, theta.shape[-1]),
        frames[arm.middle][:, at][..., :-1].reshape(-1, K, theta.shape[-1]),
        jax.random.split(context.key_for(f"random {arm.name}"), theta.shape[1] * len(at)),
    )
    raw = _lines(arm.problem, grown, arm.examples, arm.unravel, arm.activations)
    along = {
        name: np.asarray(one, np.float64).reshape(theta.shape[1], -1, len(MOVES)).mean(axis=1)
        for name, one in raw.items()
    }
    at_level = {
        name: at_loss(losses, level, one)
        for name, one in (("fraction", fraction), ("always", always), ("sharpness", frames[..., 0, -1]))
    }
    return Found(rates=arm.rates, start=fraction[:, :, 0], level=level, along=along, **at_level)


def _of(problem: Any, theta: Any, examples: Any, activations: Any, **along: Any) -> ss.curvature.Saturation:
    units: dict[str, Any] = {} if activations is None else {"activations": activations, "kind": "relu"}
    return ss.curvature.saturation(problem, theta, subset=examples, **units, **along)


@eqx.filter_jit
def _saturation(problem: Any, thetas: Any, examples: Any, unravel: Any, activations: Any) -> Any:
    def one(flat: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = _of(problem, unravel(flat), jnp.asarray(examples), activations)
        return found.fraction, jnp.mean(found.always)

    return jax.lax.map(one, thetas)


@eqx.filter_jit
def _lines(problem: Any, points: Any, examples: Any, unravel: Any, activations: Any) -> Any:
    def one(point: Any) -> dict[str, jax.Array]:
        flat, rows, key = point
        others = jnp.linalg.qr(jax.random.normal(key, rows.shape[::-1], rows.dtype))[0].T
        found = {}
        for name, directions in ((SHARPEST, rows), (RANDOM, others)):
            vectors = jax.vmap(unravel)(directions)
            theta, at = unravel(flat), {"vectors": vectors, "displacements": MOVES}
            lines = _of(problem, theta, jnp.asarray(examples), activations, **at)
            found[name] = jnp.mean(lines.fraction, axis=0)
        return found

    return jax.lax.map(one, points)


def at_loss(losses: np.ndarray, level: float, values: np.ndarray) -> np.ndarray:
    """Values where a run first falls to the level, linear in ln loss between looks; losses (…, epochs)."""
    found = np.empty(losses.shape[:-1])
    for run in np.ndindex(found.shape):
        after = max(int(np.argmax(losses[run] <= level)), 1)
        logs = np.log(losses[run][[after, after - 1]])
        found[run] = np.interp(np.log(level), logs, values[run][[after, after - 1]].astype(np.float64))
    return found


def per_doubling(rates: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Slope over log₂ η, for each seed; values (rates, seeds)."""
    slopes: np.ndarray = np.polyfit(np.log2(rates), values, 1)[0]
    return slopes


def shown(name: str, found: dict[str, np.ndarray], *, most: bool = False) -> Measurement:
    """The arm that is least shown to be above 0, or the most."""
    tested = {arm: above(values) for arm, values in found.items()}
    picked = (min if most else max)(tested, key=lambda arm: tested[arm][2])
    mean, error, p = tested[picked]
    p = min(1.0, p * len(found))
    return Measurement(
        name=f"{name}, {'most' if most else 'least'} shown of {len(found)}: {picked}",
        estimate=mean,
        standard_error=error,
        n=len(found[picked]),
        p=p,
        threshold=f"above 0, by a one-sided t-test at level {LEVEL:g}",
        met=p < LEVEL,
    )


def correlation(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Rank correlation within rows, and p of "it is not below 0", by Student's t."""
    ranks = [stats.rankdata(one, axis=1) for one in (first, second)]
    x, y = (one - one.mean(axis=1, keepdims=True) for one in ranks)
    size = float(np.sqrt((x**2).sum() * (y**2).sum()))
    if size == 0:
        return 0.0, 1.0
    r = float((x * y).sum() / size)
    freedom = x.size - len(x) - 1
    return r, float(stats.t.cdf(r * (freedom / max(1 - r**2, 1e-12)) ** 0.5, freedom))


def _lower_curvature(found: dict[str, Found]) -> Measurement:
    """The arm in which more saturated units least go with a lower λ₁."""
    tested = {arm: correlation(one.fraction, one.sharpness) for arm, one in found.items()}
    worst = max(tested, key=lambda arm: tested[arm][1])
    r, p = tested[worst]
    p = min(1.0, p * len(found))
    return Measurement(
        name=f"rank correlation of saturated pairs and λ₁ within one η, least shown of {len(found)}: {worst}",
        estimate=r,
        n=found[worst].fraction.size,
        p=p,
        threshold=f"below 0, by a one-sided t-test at level {LEVEL:g}",
        met=p < LEVEL,
    )


def _informing(found: dict[str, Found]) -> list[Measurement]:
    made = []
    for name, one in found.items():
        for what, values, null in (
            ("saturated pairs for each doubling of η", one.fraction, "above 0 if it is the cause"),
            ("units saturated on all examples for each doubling of η", one.always, "above 0 if units die"),
            ("λ₁ for each doubling of η", one.sharpness, "below 0 in the paper"),
        ):
            mean, error, _ = above(per_doubling(one.rates, values))
            made.append(
                Measurement(
                    name=f"{what}, at a loss of {one.level:.2g}: {name}",
                    estimate=mean,
                    standard_error=error,
                    n=values.shape[1],
                    threshold=null,
                    met=None,
                )
            )
    return made


def _span(found: dict[str, np.ndarray]) -> str:
    means = sorted(100 * float(values.mean()) for values in found.values())
    low, high = (f"{mean:.1f}".replace("-", "−") for mean in (means[0], means[-1]))
    return f"{low} %" if len(means) == 1 else f"{low} to {high} %"


def _draw(found: dict[str, Found]) -> Any:
    figure, axes = ss.plot.figure(1, 2, width=5.0, height=3.8)
    colours = dict(zip(found, COLOURS, strict=False))
    for name, one in found.items():
        percent = 100 * one.fraction
        error = 2 * percent.std(axis=1, ddof=1) / percent.shape[1] ** 0.5
        label = f"{name}, loss {one.level:.2g}"
        axes[0].errorbar(one.rates, percent.mean(axis=1), error, fmt="o-", color=colours[name], label=label)
        for which, style in ((SHARPEST, "-"), (RANDOM, ":")):
            line = 100 * one.along[which].mean(axis=0)
            axes[1].plot(MOVES, line - line[MOVES.index(0.0)], style, color=colours[name], lw=1.8)
    axes[0].set_xscale("log", base=2)
    rates = next(iter(found.values())).rates
    axes[0].set_xticks(rates, [f"{rate:g}" for rate in rates])
    axes[0].set_xlabel("η, at one training loss")
    axes[0].set_ylabel("saturated pairs, %")
    axes[0].set_ylim(0, None)
    axes[0].legend(fontsize=8)
    axes[1].axhline(0.0, color="black", lw=0.8)
    axes[1].set_xlabel("distance from θ")
    axes[1].set_ylabel("more saturated pairs, %")
    axes[1].set_title("along the sharpest (full), random (dotted)")
    return figure


CARD = SHARPEST_DIRECTIONS.at("workshop version, discussion").card(
    claim="""
        Larger steps reach regions in which units saturate, and that lowers the curvature along the sharpest
        directions (proposed there as a possible cause).
    """,
    data="digits",
    paper_setting="A conjecture about convolutional networks on CIFAR-10.",
    our_setting="""
        A tanh network 64-32-32-10 on 1280 digits and a rectified convolutional one of 1870 weights on 640,
        from small starts, on clean labels and with 25 % of them redrawn (quick: the
        convolutional one on the latter alone, for its cost); η = .04, .08, .16, B = 16, 20 epochs
        (convolutional: 16); 8 seeds (6) for each η (full: 32, 40 epochs). Units looked at on 512 examples
        (256; full: all).
        Full also: a ResNet-8 of width 8 on the digits; or, where --data has CIFAR-10, that and the
        convolutional network with 16 channels on 5,000 of its images; 8 seeds. Smoke:
        the tanh network on 640 clean digits, η = .08 and .16, 12 seeds.
    """,
    statistic="""
        Fraction of pairs of a unit and an example with |tanh| > .99, or a rectified value of 0: its slope
        over log₂ η at the lowest training loss that all runs reach; its rise at θ ± e_i less that along
        random directions; at that loss its rank correlation with λ₁ within one η. For each the arm that
        shows it least.
    """,
    threshold="""
        Slope and rise above 0, correlation below 0, each at level .05 in every arm, corrected for the
        number of arms (Bonferroni).
    """,
    reason="The signs that the explanation needs. At one loss, as units saturate while the loss falls.",
    control="The slope over η at the start of training; the arm that shows it most.",
    check=check,
)
