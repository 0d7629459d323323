"""Networks trained on partly random labels at several η/B, for the same SDE time.

On MNIST all cards look at the same runs, which are long enough for the labels to be memorised, with samples
dense where the accuracy peaks: a run there costs more than all of a setting on digits.
"""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

import sde_sgd as ss
from paper_checks import _data
from paper_checks._context import Context

RATE = 0.1  # effective, η/(1 − m)
BATCHES = (8, 16, 32, 64)
MIDDLE = 32
SCALES = (1 / 4, 1 / 2, 1.0)  # β in (η, B)·β at η/B of the middle
DIGITS, TEACHER, MNIST = "digits", "teacher", "MNIST"
MOMENTA = (0.0, 0.9)
MNIST_BATCHES = (16, 32, 64)
MNIST_SCALES = (1.0, 2.0)  # a smaller β costs as much as all three η/B together
MNIST_WIDTH = 256  # of both hidden layers
MNIST_TIME = 720.0  # of 4,000 images; as long for each of more
MNIST_EVERY = (*range(10, 101, 10), *range(120, 241, 20), *range(280, 721, 40))


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
    first = Setting(DIGITS, 0.5, 0.0)
    some = (first, Setting(DIGITS, 0.25, 0.0), Setting(DIGITS, 0.5, 0.9), Setting(TEACHER, 0.5, 0.0))
    grid, mnist = (
        tuple(Setting(data, noise, m) for data in sets for noise in (0.25, 0.5) for m in MOMENTA)
        for sets in ((DIGITS, TEACHER), (MNIST,))
    )
    mnist = mnist if context.scale != "smoke" and _data.mnist(context) is not None else ()
    return context.pick(smoke=(first,), quick=(*some, *mnist), full=(*grid, *mnist))


def train(context: Context, setting: Setting, *, seeds: int, time: float, every: float) -> Runs:
    """The sweep of one setting; on MNIST that of its own length and seeds."""
    if setting.data == MNIST:
        return _train_on_mnist(context, setting)
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


def _train_on_mnist(context: Context, setting: Setting) -> Runs:
    """The sweep of one part of random labels, of which a setting is those runs that have its momentum."""
    clean = _data.mnist(context)
    assert clean is not None, "settings leaves MNIST out where it is missing"
    problem, wrong = on_noisy_labels(clean, setting.label_noise, (MNIST_WIDTH, MNIST_WIDTH))
    points = [(RATE, batch) for batch in MNIST_BATCHES]
    points += [(RATE * beta, round(MIDDLE * beta)) for beta in MNIST_SCALES if beta != 1]
    longer = problem.dataset_size / 4000
    result = context.shared_sweep(
        f"random labels on MNIST, {setting.label_noise:.0%}",
        context.sgd,
        problem,
        runs=[
            {"learning_rate": (1 - m) * rate, "batch_size": batch, "momentum": m}
            for m in MOMENTA
            for rate, batch in points
        ],
        seeds=context.pick(smoke=5, quick=5, full=16),
        time=MNIST_TIME * longer,
        every=[place * longer for place in MNIST_EVERY],
        record={"accuracy": problem.accuracy, "memorised": wrong.training_accuracy},
    )
    rates, batches = np.array(points).T
    here = slice(MOMENTA.index(setting.momentum) * len(points), None)
    found = (np.asarray(result[name].values)[here][: len(points)] for name in ("accuracy", "memorised"))
    return Runs(rates, batches, *found)


def problems(setting: Setting, size: int, width: int, *, original: bool) -> tuple[Any, Any]:
    """The network on all training examples, and on those whose label is wrong."""
    if setting.data == TEACHER:
        clean = ss.data.teacher(
            size, key=jax.random.key(43), hidden=(16,), classes=4, gain=1.0, test_size=2000
        )
    elif original:
        clean = ss.data.digits(size)
    else:
        clean = ss.data.augmented_digits(size, key=jax.random.key(0), test_size=4000)
    return on_noisy_labels(clean, setting.label_noise, (width,))


def on_noisy_labels(clean: ss.data.Dataset, label_noise: float, hidden: tuple[int, ...]) -> tuple[Any, Any]:
    """A network on data of which some labels are redrawn, and on those examples whose label is wrong."""
    noisy = ss.data.with_label_noise(clean, label_noise, key=jax.random.key(42))
    wrong = np.flatnonzero(np.asarray(noisy.targets) != np.asarray(clean.targets))
    only = ss.data.Dataset(noisy.inputs[wrong], noisy.targets[wrong], classes=noisy.classes)
    made = (ss.problems.mlp(data, hidden=hidden, activation="relu", gain=2**0.5) for data in (noisy, only))
    return tuple(made)  # type: ignore[return-value]
