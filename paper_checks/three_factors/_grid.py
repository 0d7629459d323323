"""One grid of (η/B, B) on each data set, trained once for all cards that look at it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

import sde_sgd as ss
from paper_checks import _data
from paper_checks._context import Context
from paper_checks.three_factors._networks import CONVOLUTIONAL, DIGITS, LABEL_NOISE, MAKERS, OTHER

EQUAL_LOSS, EQUAL_EPOCHS = "equal training loss", "equal epochs"
WHEN = (EQUAL_LOSS, EQUAL_EPOCHS)
MNIST = "MNIST"
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
    length = {
        "batch_size": context.pick(smoke=[2, 8], quick=[2, 4, 8], full=[2, 4, 8]),
        "seeds": context.pick(smoke=12, quick=32, full=64),
        "epochs": context.pick(smoke=15, quick=30, full=60),
        "every": 5,
    }
    return [_grid(context, name, make(context, name), tuple(CURVATURE), **length) for name in names]


def mnist_grid(context: Context) -> Grid | None:
    """The grid on MNIST, λ₁ alone and B at its ends; None where MNIST is missing."""
    data = _data.mnist(context)
    if data is None:
        return None
    noisy = ss.data.with_label_noise(data, LABEL_NOISE, key=jax.random.key(42))
    problem = ss.problems.mlp(noisy, hidden=_hidden(context))
    length = {
        "batch_size": context.pick(smoke=[2, 8], quick=[2, 8], full=[2, 4, 8]),
        "seeds": context.pick(smoke=12, quick=36, full=64),
        "epochs": context.pick(smoke=2, quick=6, full=20),
        "every": context.pick(smoke=1, quick=2, full=2),
    }
    return _grid(context, MNIST, problem, ("sharpness",), **length)


def _grid(context: Context, name: str, problem: Any, watched: Sequence[str], **length: Any) -> Grid:
    subset = context.pick(smoke=256, quick=512, full=None if name != MNIST else 4000)
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
        ratio=context.pick(smoke=[0.005, 0.02], quick=[0.005, 0.01, 0.02], full=[0.005, 0.01, 0.02]),
        record={"loss": problem.loss, "accuracy": problem.accuracy}
        | {what: curvature[what] for what in watched},
        keep_theta=True,
        **length,
    )
    return Grid(name, problem, result, float(result["loss"].min("epoch").max()))


def make(context: Context, name: str, **options: Any) -> Any:
    """The network of this scale on a data set."""
    if name == CONVOLUTIONAL:
        return MAKERS[name](**options)
    return MAKERS[name](_hidden(context), **options)


def _hidden(context: Context) -> Sequence[int]:
    return context.pick(smoke=(32, 32), quick=(32, 32), full=(64, 64))
