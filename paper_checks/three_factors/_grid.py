"""One grid of (η/B, B) on each data set, trained once for all cards that look at it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

import sde_sgd as ss
from paper_checks._context import Context
from paper_checks.three_factors._networks import CONVOLUTIONAL, DIGITS, MAKERS, OTHER

EQUAL_LOSS, EQUAL_EPOCHS = "equal training loss", "equal epochs"
WHEN = (EQUAL_LOSS, EQUAL_EPOCHS)
CURVATURE = {"sharpness": "λ₁", "frobenius": "‖H‖", "trace": "trace H"}


@dataclass(frozen=True)
class Grid:
    """A trained grid on one data set.

    Attributes:
        name: of the data set.
        problem: what was trained.
        result: with dimensions (batch_size, ratio, seed, epoch).
        level: the training loss that all runs reach, the lowest such that was recorded.
    """

    name: str
    problem: Any
    result: ss.SweepResult
    level: float

    @property
    def sizes(self) -> np.ndarray:
        """Batch sizes, rising."""
        return np.asarray(self.result["batch_size"].values, np.float64)

    @property
    def ratios(self) -> np.ndarray:
        """η/B, rising."""
        return np.asarray(self.result["ratio"].values, np.float64)

    def at(self, what: str, when: str) -> np.ndarray:
        """What was recorded at the end, or where a run first falls to `level`; shape (B, η/B, seeds)."""
        values = np.asarray(self.result[what].values, np.float64)
        if when == EQUAL_EPOCHS:
            return values[..., -1]
        losses = np.asarray(self.result["loss"].values, np.float64)
        found = np.empty(losses.shape[:-1])
        for run in np.ndindex(found.shape):
            after = max(int(np.argmax(losses[run] <= self.level)), 1)
            # between two samples curvature is taken as a power of the loss
            logs = np.log(losses[run][[after, after - 1]])
            found[run] = np.exp(np.interp(np.log(self.level), logs, np.log(values[run][[after, after - 1]])))
        return found


def grids(context: Context) -> list[Grid]:
    """The grid on every data set of this scale."""
    names = context.pick(smoke=(DIGITS,), quick=(DIGITS, OTHER), full=(DIGITS, OTHER, CONVOLUTIONAL))
    return [_grid(context, name) for name in names]


def _grid(context: Context, name: str) -> Grid:
    problem = make(context, name)
    subset = context.pick(smoke=256, quick=512, full=None)
    estimate: dict[str, Any] = {
        "subset": subset,
        "samples": context.pick(smoke=2, quick=6, full=20),
        "method": "hutchinson",
        "key": jax.random.key(1),
    }
    curvature = {
        "sharpness": ss.curvature.Sharpness(
            problem, subset=subset, products=context.pick(smoke=8, quick=12, full=15)
        ),
        "frobenius": ss.curvature.Observable(ss.curvature.frobenius_norm, problem, **estimate),
        "trace": ss.curvature.Observable(ss.curvature.trace, problem, **estimate),
    }
    result = context.shared_sweep(
        f"grid on {name}",
        context.sgd,
        problem,
        batch_size=context.pick(smoke=[2, 8], quick=[2, 4, 8], full=[2, 4, 8]),
        ratio=context.pick(smoke=[0.005, 0.02], quick=[0.005, 0.01, 0.02], full=[0.005, 0.01, 0.02]),
        seeds=context.pick(smoke=12, quick=32, full=64),
        epochs=context.pick(smoke=15, quick=30, full=60),
        every=5,
        record={"loss": problem.loss, "accuracy": problem.accuracy, **curvature},
        keep_theta=True,
    )
    return Grid(name, problem, result, float(result["loss"].min("epoch").max()))


def make(context: Context, name: str, **options: Any) -> Any:
    """The network of this scale on a data set."""
    if name == CONVOLUTIONAL:
        return MAKERS[name](**options)
    hidden: Sequence[int] = context.pick(smoke=(32, 32), quick=(32, 32), full=(64, 64))
    return MAKERS[name](hidden, **options)
