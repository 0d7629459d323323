"""Rates of rare escapes: level by level, each no rarer than one in a few."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array, Key, PyTree

from sde_sgd import _checks
from sde_sgd._platform import _settings
from sde_sgd._platform._shown import Shown
from sde_sgd._platform._telling import warn
from sde_sgd._types import Observable, Scalar
from sde_sgd.escape._outside import outside_of, start_inside
from sde_sgd.escape._paths import Paths
from sde_sgd.escape._renewal import check_independent
from sde_sgd.escape._stability import refuse_unstable
from sde_sgd.escape._trials import Ways
from sde_sgd.processes._base import Process
from sde_sgd.processes._langevin import Langevin
from sde_sgd.processes._leimkuhler_matthews import LeimkuhlerMatthews
from sde_sgd.random import check_key

# spread of replicas over their mean beyond which few of them make the mean
_FAR_APART = 0.7


@dataclass(frozen=True, repr=False, kw_only=True)
class SplittingRate(Shown):
    """The rate of a rare escape. Print it.

    Attributes:
        rate: per step and chain: Φ_0 Π_i p_i, the mean over replicas.
        standard_error: of it, from the spread of the replicas.
        interval: at confidence `level`, symmetric in ln rate, by Student's t.
        replicas: the rate of each, shape `(replicas,)`.
        levels: where paths were split, the first one first; `outside` comes after the last.
        shares: p_i of each level, the mean over replicas: from `levels[i]` to the next.
        level: of `interval`.
        chain_steps: the work, pilot included.
        learning_rate: η/(1 − m).
    """

    rate: float
    standard_error: float
    interval: tuple[float, float]
    replicas: np.ndarray
    levels: np.ndarray
    shares: np.ndarray
    level: float
    chain_steps: int
    learning_rate: float

    @property
    def steps(self) -> float:
        """The mean time of escape in steps, 1/rate."""
        return 1 / self.rate

    @property
    def time(self) -> float:
        """The mean time of escape in SDE time, ηk/(1 − m)."""
        return self.learning_rate * self.steps

    def __repr__(self) -> str:
        low, high = self.interval
        return (
            f"SplittingRate({self.rate:.4g} a step, {low:.4g} to {high:.4g} ({self.level:.0%}); "
            f"{len(self.levels)} levels, {len(self.replicas)} replicas, {self.chain_steps:.3g} chain-steps)"
        )


def by_splitting(
    process: Process,
    *,
    start: PyTree,
    outside: Observable | Scalar,
    climb: Observable | None = None,
    chains: int = 16_384,
    replicas: int = 16,
    share: float = 0.2,
    most_steps: int = 100_000,
    key: Key[Array, ""],
    level: float = 0.95,
) -> SplittingRate:
    r"""The rate of a rare escape by forward flux sampling, down to 1e-12 a step and beyond.

        rate = Φ_0 Π_i p_i

    Φ_0 is how often chains of the well come up to a first level λ_0 of `climb`, p_i the share of paths from
    λ_i that reach λ_{i+1} before they fall back below the middle of the well; those that do are drawn from,
    with replacement, for the next. The work grows with ln(1/rate), where counting takes 1/rate.

    A pilot run places the levels so that p_i ≈ `share`; the run that counts is independent of it, so that
    the rate of each replica is unbiased. Replicas share nothing but the levels, so that their spread is an
    error bar: paths of one replica have ancestors in common and are not independent. What it cannot see
    is a way out that all of them miss, as where `climb` rises along another one first.

    Args:
        process: as for `Renewal`, and such that θ and what it carries say all: not the default Langevin,
            which uses each normal number in two steps (give it solver=diffrax.Euler()).
        start, outside: as for `Renewal`.
        climb: how far out one chain is, from its parameters; by default the loss. It should rise all the way
            out, best as the chance to get out from there does. Another one costs precision, and where that is
            little (you are warned) the rate comes out too low.
        chains: at once, in all replicas together.
        replicas: independent estimates, at least 4.
        share: wanted p_i.
        most_steps: of a path between two levels.
        key: of all random numbers.
        level: confidence of the interval.

    Returns:
        `SplittingRate`.

    Warns if chains get outside where `climb` is below the level that they should have reached, and if
    replicas differ by more than .7 of their mean.

    Raises:
        ValueError: as `by_renewal`; if `climb` does not rise, if paths neither fall back nor go on (a well on
            the way), or if a replica dies out.

    Source: Allen, Warren, ten Wolde 2005, Phys. Rev. Lett. 94, 018104; Borrero, Escobedo 2008 for the levels.
    """
    _settings.refuse_tracing("by_splitting", process, start, key)
    check_key(key)
    ways = _ways(process, start, outside, climb)
    replicas = _checks.integer("replicas", replicas, at_least=4)
    chains = _checks.integer("chains", chains, at_least=32 * replicas, hint="32 of each replica.")
    share = float(_checks.scalar("share", share, above=0, below=1))
    most = _checks.integer("most_steps", most_steps, at_least=1)
    level = float(_checks.scalar("level", level, above=0, below=1))
    with _settings.own_settings():
        groups = replicas, chains // replicas
        pilot = Paths(ways, groups, jax.random.fold_in(key, 0), most)
        pilot.settle(None)
        ladder = pilot.ladder(share)
        main = Paths(ways, groups, jax.random.fold_in(key, 1), most)
        main.settle(pilot)
        rates = main.flux()
        shares = []
        for target in ladder[1:]:
            reached = main.climb_to(target)
            shares.append(reached.mean())
            rates = rates * reached
    rate = float(rates.mean())
    error = float(rates.std(ddof=1) / replicas**0.5)
    if rates.std(ddof=1) > _FAR_APART * rate:
        warn(
            f"replicas differ by {rates.std(ddof=1) / rate:.0%} of their mean: the ways out that count are "
            f"found by few of them, so that the rate may be too low and its interval too short. Give more "
            f"chains, or a climb that follows the way out.",
            stacklevel=2,
        )
    reach = scipy.stats.t.isf((1 - level) / 2, replicas - 1) * error / rate
    eta = float(np.max(np.asarray(process.hyper.effective_learning_rate)))
    return SplittingRate(
        rate=rate, standard_error=error, interval=(float(rate * np.exp(-reach)), float(rate * np.exp(reach))),
        replicas=rates, levels=np.asarray(ladder[:-1]), shares=np.asarray(shares), level=level,
        chain_steps=pilot.made + main.made, learning_rate=eta,
    )  # fmt: skip


def _ways(process: Process, start: PyTree, outside: Any, climb: Observable | None) -> Ways:
    away = outside_of(process, outside)
    check_independent(process, "by_splitting")
    if isinstance(process, Langevin) and isinstance(process.solver, LeimkuhlerMatthews):
        raise ValueError(
            "solver must use each random number once for by_splitting, got LeimkuhlerMatthews(): where a "
            "path goes on from its parameters alone, it would forget half of a number. Give "
            "Langevin(..., solver=diffrax.Euler()), or take by_renewal."
        )
    if np.ndim(process.hyper.learning_rate) or np.ndim(process.hyper.momentum):
        raise ValueError("learning_rate and momentum must be one number for by_splitting, got one per chain.")
    if not (climb is None or callable(climb)):
        raise ValueError(
            f"climb must be a function of one chain's parameters that gives one number, got "
            f"{_checks.short(climb)}; for instance climb=lambda x: x."
        )
    begin_at = start_inside(process, start, away)
    refuse_unstable(process, begin_at)
    found: Observable = process.problem.loss if climb is None else climb
    shape = jax.eval_shape(found, begin_at)
    if (
        not isinstance(shape, jax.ShapeDtypeStruct)
        or shape.shape
        or not jnp.issubdtype(shape.dtype, jnp.floating)
    ):
        raise ValueError(f"climb must give one real number for the parameters of one chain, got {shape}.")
    return Ways(process, begin_at, away, found)
