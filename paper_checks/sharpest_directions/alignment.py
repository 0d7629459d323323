"""Gradients lie along the sharpest directions far more than by chance, and these directions stay.

A vector without preference has K/d of its square length along any K directions. Thresholds, set after trials
with other seeds:

- The share Σ cos²(g, e_i) over the K = 5 sharpest directions, of minibatch gradients and of the full one, and
  the overlap Tr(PP')/K of the sharpest subspaces at successive looks (four epochs apart), each above ten
  times K/d in every network and at every η, by one-sided t-tests over seeds at level .05, corrected for their
  number (Bonferroni).
- Ten: chance alone gives one; a factor of ten no figure would hide.
- Control: K directions drawn at random in place of the sharpest: not above ten times K/d.
- What η does to the share is said beside it.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import sde_sgd as ss
from paper_checks._card import Measurement, Outcome
from paper_checks._context import Context
from paper_checks.sharpest_directions._panels import panels
from paper_checks.sharpest_directions._paper import SHARPEST_DIRECTIONS
from paper_checks.sharpest_directions._trained import BATCH, LEVEL, Arm, K, above, arms

FACTOR = 10.0
BATCHES, WHOLE, SUBSPACE, RANDOM = "minibatch gradients", "full gradient", "subspaces", "random directions"

Found = dict[tuple[str, float], np.ndarray]  # (arm, η) → over K/d, shape (seeds,)


def check(context: Context) -> Outcome:
    """Shares of gradients at all points, and overlaps of subspaces."""
    trained = arms(context)
    tracks = {arm.name: shares(context, arm) for arm in trained}
    found = {what: _over_chance(trained, tracks, what) for what in (BATCHES, WHOLE, SUBSPACE, RANDOM)}
    names = {
        BATCHES: "share of minibatch gradients along the 5 sharpest directions",
        WHOLE: "share of the full gradient along them",
        SUBSPACE: "overlap of these subspaces, four epochs apart",
    }
    judged = [least(f"{text}, over chance", found[what]) for what, text in names.items()]
    random = least("share of minibatch gradients along 5 random directions, over chance", found[RANDOM])
    return Outcome(
        measurements=(*judged, *(_with_rate(arm, tracks[arm.name]) for arm in trained)),
        control=random,
        summary=(
            f"Along the 5 sharpest directions lies at least {judged[0].estimate:.0f} times as much of "
            f"minibatch gradients as by chance, and {judged[1].estimate:.0f} times as much of the full one; "
            f"these subspaces overlap {judged[2].estimate:.0f} times as much with those four epochs before. "
            f"Along random directions it is {random.estimate:.1f} times."
        ),
        figure=_draw(trained, tracks),
    )


def shares(context: Context, arm: Arm) -> dict[str, np.ndarray]:
    """Σ cos² of gradients with the sharpest and with random directions, and overlaps with the look before.

    Shapes (rates, seeds, epochs); overlaps are NaN at the first.
    """
    theta, frames = arm.values("theta"), arm.values("vectors")[..., :-1]
    shape = theta.shape[:3]
    keys = jax.random.split(context.key_for(f"gradients {arm.name}"), int(np.prod(shape)))
    flat = (theta.reshape(-1, theta.shape[-1]), frames.reshape(-1, *frames.shape[3:]), keys)
    raw = _looked_at(arm.problem, flat, arm.unravel, context.pick(smoke=4, quick=8, full=32))
    found = {what: np.asarray(one, np.float64).reshape(shape) for what, one in raw.items()}
    products = np.einsum("rseki,rseji->rsekj", frames[:, :, 1:], frames[:, :, :-1], dtype=np.float64)
    overlap = (products**2).sum(axis=(-2, -1)) / K
    return {**found, SUBSPACE: np.concatenate([np.full((*shape[:2], 1), np.nan), overlap], axis=2)}


@eqx.filter_jit
def _looked_at(problem: Any, points: Any, unravel: Any, batches: int) -> dict[str, jax.Array]:
    def one(point: Any) -> dict[str, jax.Array]:
        flat, rows, key = point
        theta = unravel(flat)
        draw, turn = jax.random.split(key)
        others = jnp.linalg.qr(jax.random.normal(turn, rows.shape[::-1], rows.dtype))[0].T
        sharpest, random = jax.vmap(unravel)(rows), jax.vmap(unravel)(others)

        def share(gradient: Any, vectors: Any) -> jax.Array:
            return jnp.sum(ss.curvature.cosines(gradient, vectors) ** 2)

        def of_batch(key: jax.Array) -> tuple[jax.Array, jax.Array]:
            batch = jax.random.choice(key, problem.dataset_size, (BATCH,), replace=False)
            gradient = problem.batch_gradient(theta, batch)
            return share(gradient, sharpest), share(gradient, random)

        along, by_chance = jax.lax.map(of_batch, jax.random.split(draw, batches))
        return {
            BATCHES: jnp.mean(along),
            RANDOM: jnp.mean(by_chance),
            WHOLE: share(problem.gradient(theta), sharpest),
        }

    found: dict[str, jax.Array] = jax.lax.map(one, points)
    return found


def _over_chance(trained: list[Arm], tracks: dict[str, dict[str, np.ndarray]], what: str) -> Found:
    """Means over the epochs at which the curvature has grown, over K/d."""
    found = {}
    for arm in trained:
        chance = K / arm.values("theta").shape[-1]
        for number, rate in enumerate(arm.rates):
            at = arm.grown(number)
            at = at[at > at[0]] if what == SUBSPACE else at
            found[arm.name, float(rate)] = tracks[arm.name][what][number][:, at].mean(axis=1) / chance
    return found


def least(name: str, found: Found) -> Measurement:
    """The network and η at which it is least shown to be above ten times chance."""
    tested = {where: above(values, FACTOR) for where, values in found.items()}
    worst = max(tested, key=lambda where: (tested[where][2], -tested[where][0]))
    mean, error, p = tested[worst]
    p = min(1.0, p * len(found))
    return Measurement(
        name=f"{name}, least shown of {len(found)}: {worst[0]}, η = {worst[1]:g}",
        estimate=mean,
        standard_error=error,
        n=len(found[worst]),
        p=p,
        threshold=f"above {FACTOR:g}, by a one-sided t-test at level {LEVEL:g}",
        met=p < LEVEL,
    )


def _with_rate(arm: Arm, track: dict[str, np.ndarray]) -> Measurement:
    """Share of minibatch gradients at the largest η less that at the smallest, at the end."""
    ends = track[BATCHES][:, :, -1]
    change = ends[-1] - ends[0]
    mean, error, _ = above(change)
    rates = f"η = {arm.rates[-1]:g} less {arm.rates[0]:g}"
    return Measurement(
        name=f"share of minibatch gradients at the end, {rates}: {arm.name}",
        estimate=mean,
        standard_error=error,
        n=len(change),
        threshold="0 if it does not depend on η",
        met=None,
    )


def _draw(trained: list[Arm], tracks: dict[str, dict[str, np.ndarray]]) -> Any:
    figure, axes = panels(len(trained), width=3.4, height=3.6)
    styles = {
        SUBSPACE: ("#009E73", "s-", "overlap with the look before"),
        WHOLE: ("#E69F00", "^-", "full gradient"),
        BATCHES: ("#D55E00", "o-", "minibatch gradients"),
        RANDOM: ("#808080", "x:", "the same, random directions"),
    }
    for ax, arm in zip(axes[0], trained, strict=True):
        for what, (colour, style, label) in styles.items():
            mean = tracks[arm.name][what][arm.middle].mean(axis=0)
            ax.plot(arm.epochs, mean, style, color=colour, ms=4, lw=1.5, label=label)
        ax.axhline(K / arm.values("theta").shape[-1], color="black", lw=1)
        ax.set_yscale("log")
        ax.set_ylim(3e-4, 1.5)
        ax.set_xlabel("epoch")
        ax.set_title(arm.name)
    axes[0, 0].set_ylabel("share along the 5 sharpest")
    axes[0, 0].text(0.03, 0.12, "line: chance, 5/d", transform=axes[0, 0].transAxes, fontsize=8)
    axes[0, -1].legend(fontsize=7.5, loc="center right")
    return figure


CARD = SHARPEST_DIRECTIONS.at("section 3.2 and appendix").card(
    claim="""
        Gradients of minibatches, and so steps, are aligned with the sharpest directions of the loss
        throughout training.
    """,
    data="digits",
    paper_setting="""
        SimpleCNN and ResNet-32 on CIFAR-10: cosines of minibatch gradients with the top eigenvectors of the
        Hessian over epochs, for several η and B.
    """,
    our_setting="""
        A tanh network 64-32-32-10 on 1280 digits and a rectified convolutional one of 1870 weights on 640,
        from small starts, on clean labels and with 25 % of them redrawn (quick: the
        convolutional one on the latter alone, for its cost); η = .04, .08, .16, B = 16. Every
        fourth epoch since the loss is below .9 of that at the start, to 20 (convolutional: 16); 8 seeds (6),
        8 minibatches at each point (full: 32 seeds, 40 epochs, 32 batches). Eigenvectors of the loss of 512
        examples (256; full: all).
        Full also: a ResNet-8 of width 8 on the digits; or, where --data has CIFAR-10, that and the
        convolutional network with 16 channels on 5,000 of its images; 8 seeds. Smoke:
        the tanh network on 640 clean digits, η = .08 and .16, 12 seeds.
    """,
    statistic="""
        Σ cos² with the 5 sharpest directions over 5/d, of minibatch gradients and of the full gradient, means
        over points; Tr(PP')/5 over 5/d of the subspaces at successive looks. For each the network and η that
        show it least.
    """,
    threshold="""
        Each above ten: one-sided t-tests over seeds at level .05, corrected for the number of networks and
        η (Bonferroni).
    """,
    reason="Directions without any relation to the gradient have 1.",
    control="The same test with five directions drawn at random.",
    check=check,
)
