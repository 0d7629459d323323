"""Networks trained on partly random labels at several η/B, for the same SDE time."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

import sde_sgd as ss
from paper_checks._context import Context

RATE = 0.1  # effective, η/(1 − m)
BATCHES = (8, 16, 32, 64)
MIDDLE = 32
SCALES = (1 / 4, 1 / 2, 1.0)  # β in (η, B)·β at η/B of the middle


@dataclass(frozen=True)
class Setting:
    """Data, part of the labels redrawn, momentum."""

    data: str
    label_noise: float
    momentum: float

    def __str__(self) -> str:
        return f"{self.data}, {self.label_noise:.0%} random, m = {self.momentum:g}"


@dataclass(frozen=True)
class Along:
    """Some points of a sweep: which rows, and what varies along them."""

    rows: np.ndarray
    x: np.ndarray


@dataclass(frozen=True)
class Runs:
    """What came of a setting.

    Attributes:
        rate, batch: effective η and B of each point, shape `(points,)`.
        accuracy: on the clean test set, shape `(points, seeds, samples)`.
        memorised: the part of the wrong labels that is reproduced, the same shape.
    """

    rate: np.ndarray
    batch: np.ndarray
    accuracy: np.ndarray
    memorised: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        """η/(B(1 − m))."""
        return np.asarray(self.rate / self.batch)

    def along(self, what: str) -> Along:
        """Points of one η ("ratio"), from low to high η/B, or of one η/B ("scale"), from small to large B."""
        if what == "ratio":
            rows = np.flatnonzero(np.isclose(self.rate, RATE))
            rows = rows[np.argsort(self.ratio[rows])]
            return Along(rows, self.ratio[rows])
        rows = np.flatnonzero(np.isclose(self.ratio, RATE / MIDDLE))
        rows = rows[np.argsort(self.batch[rows])]
        return Along(rows, self.batch[rows] / MIDDLE)


def settings(context: Context) -> tuple[Setting, ...]:
    """Those of a scale."""
    first = Setting("digits", 0.5, 0.0)
    some = (first, Setting("digits", 0.25, 0.0), Setting("digits", 0.5, 0.9), Setting("teacher", 0.5, 0.0))
    grid = tuple(
        Setting(data, noise, m) for data in ("digits", "teacher") for noise in (0.25, 0.5) for m in (0.0, 0.9)
    )
    return context.pick(smoke=(first,), quick=some, full=grid)


def train(context: Context, setting: Setting, *, seeds: int, time: float, every: float) -> Runs:
    """The sweep of one setting."""
    size, width = context.pick(smoke=(160, 64), quick=(640, 128), full=(12_800, 256))
    problem, wrong = problems(setting, size, width, original=context.scale != "full")
    points = [(RATE, batch) for batch in BATCHES]
    points += [(RATE * beta, round(MIDDLE * beta)) for beta in SCALES if beta != 1]
    m = setting.momentum
    result = context.sweep(
        str(setting),
        context.sgd,
        problem,
        runs=[
            {"learning_rate": (1 - m) * rate, "batch_size": batch, "momentum": m} for rate, batch in points
        ],
        seeds=seeds,
        time=time,
        every=every,
        record={"accuracy": problem.accuracy, "memorised": wrong.training_accuracy},
    )
    rates, batches = np.array(points).T
    return Runs(rates, batches, *(np.asarray(result[name].values) for name in ("accuracy", "memorised")))


def problems(setting: Setting, size: int, width: int, *, original: bool) -> tuple[Any, Any]:
    """The network on all training examples, and on those whose label is wrong."""
    if setting.data == "teacher":
        clean = ss.data.teacher(
            size, key=jax.random.key(43), hidden=(16,), classes=4, gain=1.0, test_size=2000
        )
    elif original:
        clean = ss.data.digits(size)
    else:
        clean = ss.data.augmented_digits(size, key=jax.random.key(0), test_size=4000)
    noisy = ss.data.with_label_noise(clean, setting.label_noise, key=jax.random.key(42))
    wrong = np.flatnonzero(np.asarray(noisy.targets) != np.asarray(clean.targets))
    only = ss.data.Dataset(noisy.inputs[wrong], noisy.targets[wrong], classes=noisy.classes)
    made = (ss.problems.mlp(data, hidden=(width,), activation="relu", gain=2**0.5) for data in (noisy, only))
    return tuple(made)  # type: ignore[return-value]
