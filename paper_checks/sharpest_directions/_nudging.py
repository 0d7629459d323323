"""SGD and nudged SGD from the same starts on the same batches, trained once for all cards."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import optax

import sde_sgd as ss
from paper_checks._context import Context
from paper_checks.sharpest_directions._networks import CLEAN, NOISY, convolutional, mlp

EQUAL_EPOCHS, EQUAL_LOSS = "equal epochs", "equal training loss"
WHEN = (EQUAL_EPOCHS, EQUAL_LOSS)
MLP_CLEAN, MLP_NOISY, CONVOLUTIONAL = "MLP, clean labels", "MLP, noisy labels", "convolutional, noisy labels"
BATCH = 16
RATE = 0.1
LAST = 4  # the part of training, one over this, that is taken for its end


@dataclass(frozen=True)
class Arm:
    """What the steps of a run are multiplied by.

    Attributes:
        k: directions.
        factor: γ, along them.
        rest: across them.
        directions: "sharpest" or "random".
    """

    k: int
    factor: float
    rest: float = 1.0
    directions: Literal["sharpest", "random"] = "sharpest"

    @property
    def name(self) -> str:
        """For tables."""
        drawn = ", random directions" if self.directions == "random" else ""
        return f"K = {self.k}, γ = {self.factor:g}{drawn}"


Arms = dict[str, tuple[Arm, ...]]  # of each network


@dataclass(frozen=True)
class Curves:
    """What an arm recorded, each of shape (seeds, samples).

    Attributes:
        epochs: of the samples, with the start.
        loss, sharpness, accuracy, test_loss: L, λ₁ of its Hessian, both on all training examples, and on the
            test examples.
    """

    epochs: np.ndarray
    loss: np.ndarray
    sharpness: np.ndarray
    accuracy: np.ndarray
    test_loss: np.ndarray

    @property
    def last_accuracy(self) -> np.ndarray:
        """Test accuracy of each run, its mean over the last part of training."""
        return self._at_end(self.accuracy)

    @property
    def last_log_sharpness(self) -> np.ndarray:
        """ln λ₁ of each run, its mean over the last part of training: single samples may be of a spike."""
        return self._at_end(np.log(self.sharpness))

    def _at_end(self, values: np.ndarray) -> np.ndarray:
        last = self.epochs > (1 - 1 / LAST) * self.epochs[-1]
        return np.asarray(values[:, last].mean(axis=1))

    def at_loss(self, what: np.ndarray, level: float) -> np.ndarray:
        """ln of what was recorded, where each run first falls to the level."""
        found = np.full(len(self.loss), np.nan)
        for run, losses in enumerate(self.loss):
            if np.isfinite(losses).all() and losses.min() <= level:
                after = max(int(np.argmax(losses <= level)), 1)
                pair = [after, after - 1]
                found[run] = np.interp(np.log(level), np.log(losses[pair]), np.log(what[run, pair]))
        return found


def log_sharpness(first: Curves, second: Curves, when: str) -> np.ndarray:
    """ln λ₁ of the first less that of the second, for each pair of runs.

    At equal epochs over the last part of training; at equal training loss at the lowest that all runs of both
    reach.
    """
    if when == EQUAL_EPOCHS:
        return np.asarray(first.last_log_sharpness - second.last_log_sharpness)
    level = float(max(np.nanmax(np.nanmin(one.loss, axis=1)) for one in (first, second)))
    return np.asarray(first.at_loss(first.sharpness, level) - second.at_loss(second.sharpness, level))


def log_loss(first: Curves, second: Curves) -> np.ndarray:
    """ln L of the first less that of the second, the mean over all samples but the common start."""
    return np.asarray((np.log(first.loss[:, 1:]) - np.log(second.loss[:, 1:])).mean(axis=1))


def problem_of(context: Context, name: str) -> ss.problems.EmpiricalRisk:
    """The network and its labels."""
    size = context.pick(smoke=320, quick=1280, full=1280)
    if name == CONVOLUTIONAL:
        return convolutional(NOISY, size=context.pick(smoke=320, quick=512, full=1280))
    hidden = context.pick(smoke=(16,), quick=(32, 32), full=(64, 64))
    return mlp(NOISY if name == MLP_NOISY else CLEAN, hidden=hidden, size=size)


def train(context: Context, name: str, arm: Arm | None) -> Curves:
    """An arm, None for plain SGD: all of a network start at the same points and have the same batches."""
    problem = problem_of(context, name)
    process: Callable[..., Any] = context.sgd
    if arm is not None:
        process = functools.partial(process, optimizer=steps_of(context, problem, arm))
    convolved = name == CONVOLUTIONAL
    result = context.shared_sweep(
        f"{name}: {'SGD' if arm is None else arm.name}",
        process,
        problem,
        chains=name,
        learning_rate=RATE,
        batch_size=BATCH,
        seeds=context.pick(smoke=4, quick=4 if convolved else 8, full=24),
        epochs=context.pick(smoke=20, quick=24, full=48),
        every=context.pick(smoke=2, quick=2, full=2),
        record={
            "loss": problem.loss,
            "sharpness": ss.curvature.Sharpness(problem, products=12),
            "accuracy": problem.accuracy,
            "test_loss": problem.test_loss,
        },
    )
    names = ("loss", "sharpness", "accuracy", "test_loss")
    found = {one: np.asarray(result[one].values, np.float64).reshape(-1, _samples(result)) for one in names}
    return Curves(np.asarray(result["epoch"].values, np.float64), **found)


def steps_of(
    context: Context, problem: ss.problems.EmpiricalRisk, arm: Arm, *, every: int | None = None
) -> Any:
    """Nudged SGD, with new directions at every epoch."""
    size = problem.dataset_size
    assert size is not None
    return ss.curvature.nudged(
        optax.sgd,
        problem,
        arm.k,
        every=size // BATCH if every is None else every,
        factor=arm.factor,
        rest=arm.rest,
        directions=arm.directions,
        products=max(15, 3 * arm.k // 2),
        subset=min(size, context.pick(smoke=160, quick=512, full=1280)),
    )


def _samples(result: ss.SweepResult) -> int:
    return int(result["loss"].sizes["epoch"])
