"""Where chains leave, and when: one passage of each."""

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Array, Key, PyTree

from sde_sgd import _checks, _tree
from sde_sgd._platform._devices import Devices
from sde_sgd._platform._shown import Shown
from sde_sgd._types import Observable, Scalar
from sde_sgd.curvature import Eigenpairs
from sde_sgd.escape._outside import outside_of, start_inside
from sde_sgd.escape._rate import poisson_interval
from sde_sgd.escape._renewal import check_independent
from sde_sgd.escape._stability import refuse_unstable
from sde_sgd.processes._base import Process
from sde_sgd.simulation import run


@dataclass(frozen=True, repr=False, kw_only=True)
class FirstExits(Shown):
    """One passage of each chain, from one start. Print it.

    Attributes:
        steps: at which step each chain left, shape `(chains,)`; −1 for one that had not when the run ended.
        points: parameters of the chains that left, where they were first outside, leading axis `exits`.
        start: parameters of one chain.
        horizon: steps that were waited for.
        level: of `interval`.
    """

    steps: np.ndarray
    points: PyTree
    start: PyTree
    horizon: int
    level: float

    @property
    def exits(self) -> int:
        """Number of chains that left."""
        return int((self.steps >= 0).sum())

    @property
    def censored(self) -> int:
        """Number of chains that were still inside at the end."""
        return len(self.steps) - self.exits

    @property
    def exposure(self) -> int:
        """Steps before the exits, summed over chains."""
        return int(np.where(self.steps >= 0, self.steps, self.horizon).sum())

    @property
    def rate(self) -> float:
        """Exits over `exposure`, the most likely rate of exponential times; NaN without an exit."""
        return self.exits / self.exposure if self.exits else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Of the rate, as `EscapeRate` has it."""
        return poisson_interval(self.exits, self.exposure, self.level)

    def coordinates(self, directions: Eigenpairs | PyTree) -> np.ndarray:
        """How far from the start the exits lie along some directions.

        Args:
            directions: what `curvature.top_eigenpairs` gives at the start, or vectors shaped like the
                parameters with a leading axis of k, orthonormal or not.

        Returns:
            (θ − θ₀)·e_i, shape `(exits, k)`: two columns of it are points of a plane, for
            `numpy.histogram2d`.

        Raises:
            ValueError: for vectors of other shapes.
        """
        vectors = directions.vectors if isinstance(directions, Eigenpairs) else directions
        fits = _tree.same_structure(vectors, self.start) and all(
            np.shape(one)[1:] == np.shape(leaf)
            for one, leaf in zip(jax.tree.leaves(vectors), jax.tree.leaves(self.start), strict=True)
        )
        if not fits:
            raise ValueError(
                f"directions must have shapes {_tree.describe(self.start)} with a leading axis of k, got "
                f"{_tree.describe(vectors)}."
            )
        origin = _rows(jax.tree.map(lambda leaf: np.asarray(leaf)[None], self.start))
        result: np.ndarray = (_rows(self.points) - origin) @ _rows(vectors).T
        return result

    def __repr__(self) -> str:
        low, high = self.interval
        told = f"{self.rate:.4g} a step, {low:.4g} to {high:.4g}" if self.exits else f"< {high:.3g} a step"
        return f"FirstExits({told} ({self.level:.0%}); {self.exits} exits, {self.censored} censored)"


def by_first_exit(
    process: Process,
    *,
    start: PyTree,
    outside: Observable | Scalar,
    chains: int,
    steps: int,
    key: Key[Array, ""],
    level: float = 0.95,
    progress: bool | None = None,
    devices: Devices | None = None,
) -> FirstExits:
    """Chains from one start until they leave, with the time and the place of each exit.

    What is still inside after `steps` is censored: it counts with the steps that it waited. The mean time is
    that from the start, the time to forget it included; for a rate alone `by_renewal` is faster, since here
    chains that have left wait for the others.

    Args:
        process, start, outside: as for `Renewal`.
        chains, steps: number of chains, and how long to wait for them.
        key, progress, devices: as in `run`.
        level: confidence of the interval of the rate.

    Returns:
        `FirstExits`.

    Raises:
        ValueError: as `by_renewal`.
    """
    away = outside_of(process, outside)
    check_independent(process, "by_first_exit")
    begin = start_inside(process, start, away)
    refuse_unstable(process, begin)
    level = float(_checks.scalar("level", level, above=0, below=1))
    horizon = _checks.integer("steps", steps, at_least=1)
    result = run(
        process, chains=chains, steps=horizon, key=key, initial=begin, stop=away.of_one, every=1,
        progress=progress, devices=devices,
    )  # fmt: skip
    left = result.stopped_at >= 0
    points = jax.tree.map(lambda leaf: np.asarray(leaf)[left], result.theta)
    return FirstExits(steps=result.stopped_at, points=points, start=begin, horizon=horizon, level=level)


def _rows(tree: PyTree) -> np.ndarray:
    """Each as one row, float64."""
    leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree)]
    return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)
