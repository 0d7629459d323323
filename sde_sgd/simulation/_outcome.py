"""What an ensemble leaves behind, and one of several chunks of chains."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from sde_sgd._platform._devices import Layout
from sde_sgd.processes._base import ChainState
from sde_sgd.simulation._recording import Moments


@dataclass
class Outcome:
    """What an ensemble leaves behind, on the host but for the state. `count` is of samples, per chain."""

    state: ChainState
    diverged: np.ndarray
    stopped: np.ndarray
    count: np.ndarray
    moments: dict[str, tuple[np.ndarray, np.ndarray]]
    record: dict[str, np.ndarray]
    record_steps: np.ndarray
    histograms: dict[str, np.ndarray]


@dataclass(frozen=True)
class Before:
    """Per chain the steps at which it diverged and stopped, −1 if it has not."""

    diverged: np.ndarray
    stopped: np.ndarray

    @classmethod
    def nothing(cls, chains: int) -> "Before":
        """Chains that have not run yet."""
        return cls(never(chains), never(chains))

    @property
    def lost(self) -> int:
        """Number of chains that have diverged."""
        return 0 if _is_never(self.diverged) else int((self.diverged >= 0).sum())

    @property
    def is_nothing(self) -> bool:
        """Whether no chain has diverged or stopped."""
        return _is_never(self.diverged) and _is_never(self.stopped)


def never(chains: int) -> np.ndarray:
    """−1 for each chain, in the memory of one number: of many chains it must not take longer than steps."""
    return np.broadcast_to(np.asarray(-1, np.int32), (chains,))


def _is_never(steps: np.ndarray) -> bool:
    return bool((steps[0] if steps.strides == (0,) else steps.max()) < 0)


def finished_moments(outcome: Outcome, alive: np.ndarray) -> dict[str, Moments]:
    """Means and variances from the running sums. A chain without a sample has none."""
    if not outcome.moments:  # of many chains even looking takes time
        return {}
    seen = outcome.count > 0

    def of_samples(sums: np.ndarray, divided: bool) -> np.ndarray:
        count = outcome.count.reshape(-1, *(1,) * (sums.ndim - 1))
        values = sums / np.maximum(count, 1) if divided else sums
        return np.where(count > 0, values, np.asarray(np.nan, values.dtype))

    return {
        name: Moments(
            int(outcome.count.max()), of_samples(mean, False), of_samples(square, True), alive & seen
        )
        for name, (mean, square) in outcome.moments.items()
    }


def localised(outcome: Outcome, layout: Layout, *, to_host: bool) -> Outcome:
    """The outcome without padding, its state on the host if it must be."""
    if to_host or jax.process_count() > 1:
        outcome.state = layout.to_host(outcome.state)
    elif layout.slots > layout.chains:
        outcome.state = _first(outcome.state, layout.chains)
    return outcome


@partial(jax.jit, static_argnums=1)
def _first(state: ChainState, chains: int) -> ChainState:
    result: ChainState = jax.tree.map(lambda leaf: leaf[:chains], state)
    return result


def joined_outcomes(outcomes: list[Outcome]) -> Outcome:
    """One outcome of all chains, from those of the chunks they were run in."""
    if len(outcomes) == 1:
        return outcomes[0]
    longest = max(outcomes, key=lambda outcome: len(outcome.record_steps))

    def along(axis: int, *parts: Any) -> np.ndarray:
        return np.concatenate([np.asarray(part) for part in parts], axis=axis)

    def filled(outcome: Outcome, name: str) -> np.ndarray:
        """A chunk whose chains all stopped early stays at its last sample."""
        values = outcome.record[name]
        missing = len(longest.record_steps) - len(values)
        return np.concatenate([values, np.repeat(values[-1:], missing, axis=0)]) if missing else values

    return Outcome(
        state=jax.tree.map(lambda *leaves: along(0, *leaves), *[outcome.state for outcome in outcomes]),
        diverged=along(0, *[outcome.diverged for outcome in outcomes]),
        stopped=along(0, *[outcome.stopped for outcome in outcomes]),
        count=along(0, *[outcome.count for outcome in outcomes]),
        moments={
            name: (
                along(0, *[outcome.moments[name][0] for outcome in outcomes]),
                along(0, *[outcome.moments[name][1] for outcome in outcomes]),
            )
            for name in longest.moments
        },
        record={name: along(1, *[filled(outcome, name) for outcome in outcomes]) for name in longest.record},
        record_steps=longest.record_steps,
        histograms={
            name: sum((outcome.histograms[name] for outcome in outcomes[1:]), outcomes[0].histograms[name])
            for name in longest.histograms
        },
    )
