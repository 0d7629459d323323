"""One grid of (η, B) on each network and labelling, trained once for the cards that follow the curvature.

Runs are as long in SDE time, t = ηk, so that gradient flow would have them all at one place. Seeds start from
one point in all settings: differences between settings are taken seed by seed.

At full a residual network is trained too: on digits, or on CIFAR-10 where the user's directory has it, and
there the convolutional one as well.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

import sde_sgd as ss
from paper_checks import _data
from paper_checks._context import Context
from paper_checks.sharpest_directions import _networks

TOP = 5  # eigenvalues that are followed
LEVELS = 5  # of the loss, at which runs are compared
MLP, CONVOLUTIONAL, RESIDUAL = "MLP", "convolutional", "ResNet"
ON_CIFAR = "{} on CIFAR-10"
CLEAN, NOISY = "clean labels", "noisy labels"
LABELS = {CLEAN: _networks.CLEAN, NOISY: _networks.NOISY}
CONVOLUTIONAL_GAIN = 0.7  # of weights that leave the plateau within the run
CONVOLUTIONAL_STANDARD = 2.0
CIFAR_STANDARD = 0.85  # of the convolutional network: ηλ₁ is about 2 at the start
RESIDUAL_STANDARD = 3.0  # of the last layer's weights


@dataclass(frozen=True)
class Arm:
    """What a network is trained with, at one scale.

    Attributes:
        make: (label noise, gain) → problem.
        rates, sizes: η and B.
        time: ηk at the end.
        every: of a sample, in the same unit.
        gain: of the starting weights.
        standard: a start that is not small, for a control.
        seeds: runs of each setting.
        examples: on which the curvature is measured, the same ones everywhere.
        labels: names of the labellings.
    """

    make: Callable[[float, float], Any]
    rates: tuple[float, ...]
    sizes: tuple[int, ...]
    time: float
    every: float
    gain: float
    standard: float
    seeds: int
    examples: int
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """A trained grid.

    Attributes:
        name: network and labels.
        problem: what was trained.
        rates, sizes: η and B, rising.
        times: ηk of the samples.
        top: λ₁..λ₅, shape (η, B, seeds, times, 5).
        trace: of the Hessian, shape (η, B, seeds, times).
        loss: over the training examples, as `trace`.
    """

    name: str
    problem: Any
    rates: np.ndarray
    sizes: np.ndarray
    times: np.ndarray
    top: np.ndarray
    trace: np.ndarray
    loss: np.ndarray

    @property
    def largest(self) -> np.ndarray:
        """λ₁, shape (η, B, seeds, times)."""
        return self.top[..., 0]

    @property
    def peaks(self) -> np.ndarray:
        """The largest λ₁ of each run, ln, shape (η, B, seeds)."""
        logs: np.ndarray = np.log(self.largest.max(axis=-1))
        return logs

    @property
    def curves(self) -> dict[str, np.ndarray]:
        """ln λ₁, ln λ₁/λ₅ and the trace, whose estimate may be negative; shape (η, B, seeds, times)."""
        return {
            "λ₁": np.log(self.largest),
            "λ₁/λ₅": np.log(self.largest / self.top[..., -1]),
            "trace": self.trace,
        }

    @property
    def levels(self) -> np.ndarray:
        """Losses that every run passes, from a third of the common way down to all of it."""
        start, end = float(self.loss[..., 0].max()), float(self.loss.min(axis=-1).max())
        return start + (end - start) * np.linspace(1 / 3, 1, LEVELS)

    def along(self, what: str) -> np.ndarray:
        """A curve's mean over the time from the first level of the loss on, shape (η, B, seeds)."""
        begun = np.maximum.accumulate(self.loss <= self.levels[0], axis=-1)
        return np.asarray((self.curves[what] * begun).sum(axis=-1) / begun.sum(axis=-1))

    def at_levels(self, what: str) -> np.ndarray:
        """A curve where a run first falls to each of `levels`, shape (η, B, seeds, levels)."""
        values = self.curves[what]
        found = np.empty((*values.shape[:-1], LEVELS))
        for run in np.ndindex(values.shape[:-1]):
            found[run] = [crossing(self.loss[run], values[run], level) for level in self.levels]
        return found

    def at_equal_loss(self, what: str) -> np.ndarray:
        """The mean over `levels`, shape (η, B, seeds)."""
        return np.asarray(self.at_levels(what).mean(axis=-1))


def crossing(losses: np.ndarray, values: np.ndarray, level: float) -> float:
    """The value where the loss first falls to a level, by a straight line between two samples."""
    after = max(int(np.argmax(losses <= level)), 1)
    pair = [after, after - 1]
    return float(np.interp(level, losses[pair], values[pair]))


def arms(context: Context) -> dict[str, Arm]:
    """Network → how it is trained at this scale."""
    hidden = context.pick(smoke=(32, 32), quick=(32, 32), full=(64, 64))
    size = context.pick(smoke=320, quick=640, full=1280)
    channels = context.pick(smoke=4, quick=4, full=8)
    mlp = Arm(
        make=lambda noise, gain: _networks.mlp(noise, hidden=hidden, gain=gain, size=size),
        rates=context.pick(smoke=(0.08, 0.32), quick=(0.08, 0.16, 0.32), full=(0.04, 0.08, 0.16, 0.32)),
        sizes=context.pick(smoke=(4, 64), quick=(4, 16, 64), full=(4, 16, 64)),
        time=120.0,
        every=context.pick(smoke=8.0, quick=3.0, full=1.5),
        gain=_networks.SMALL,
        standard=1.0,
        seeds=context.pick(smoke=8, quick=8, full=24),
        examples=context.pick(smoke=160, quick=256, full=1280),
        labels=context.pick(smoke=(CLEAN,), quick=(CLEAN, NOISY), full=(CLEAN, NOISY)),
    )
    convolutional = Arm(
        make=lambda noise, gain: _networks.convolutional(noise, channels=channels, gain=gain, size=size),
        rates=(0.04, 0.08, 0.16),
        sizes=context.pick(smoke=(8, 32), quick=(8, 32), full=(8, 32, 128)),
        time=40.0,
        every=context.pick(smoke=4.0, quick=4.0, full=1.0),
        gain=CONVOLUTIONAL_GAIN,
        standard=CONVOLUTIONAL_STANDARD,
        seeds=context.pick(smoke=4, quick=5, full=24),
        examples=context.pick(smoke=160, quick=160, full=1280),
        labels=context.pick(smoke=(NOISY,), quick=(NOISY,), full=(CLEAN, NOISY)),
    )
    if context.scale == "smoke":
        return {MLP: mlp}
    more = larger_arms(context) if context.scale == "full" else {}
    return {MLP: mlp, CONVOLUTIONAL: convolutional, **more}


def larger_arms(context: Context, *, seeds: int = 12) -> dict[str, Arm]:
    """Those of full alone: two on CIFAR-10 where the user has it, else the residual one on digits."""
    pictures = _data.cifar10(context)
    on_digits = Arm(
        make=lambda noise, gain: _networks.resnet(noise, gain=gain),
        rates=(0.04, 0.08, 0.16),
        sizes=(8, 32, 128),
        time=40.0,
        every=1.0,
        gain=_networks.SMALL,
        standard=RESIDUAL_STANDARD,
        seeds=seeds,
        examples=512,
        labels=(CLEAN, NOISY),
    )
    if pictures is None:
        return {RESIDUAL: on_digits}
    on_pictures = replace(on_digits, rates=(0.01, 0.02, 0.04), time=400.0, every=10.0)
    return {
        ON_CIFAR.format(CONVOLUTIONAL): replace(
            on_pictures,
            make=lambda noise, gain: _networks.convolutional(
                noise, channels=32, gain=gain, pictures=pictures
            ),
            gain=CONVOLUTIONAL_GAIN,
            standard=CIFAR_STANDARD,
        ),
        ON_CIFAR.format(RESIDUAL): replace(
            on_pictures,
            make=lambda noise, gain: _networks.resnet(
                noise, depth=20, width=16, gain=gain, pictures=pictures
            ),
        ),
    }


def grids(context: Context) -> list[Grid]:
    """The grid of every network with every labelling of this scale."""
    return [
        _grid(context, network, arm, label) for network, arm in arms(context).items() for label in arm.labels
    ]


def _grid(context: Context, network: str, arm: Arm, label: str) -> Grid:
    problem = arm.make(LABELS[label], arm.gain)
    result = context.shared_sweep(
        f"grid of {network}, {label}",
        context.sgd,
        problem,
        learning_rate=list(arm.rates),
        batch_size=list(arm.sizes),
        seeds=arm.seeds,
        paired_starts=True,
        time=arm.time,
        every=arm.every,
        record=records(context, problem, arm.examples),
    )
    values = {name: np.asarray(result[name].values, np.float64) for name in ("top", "trace", "loss")}
    return Grid(
        name=f"{network}, {label}",
        problem=problem,
        rates=np.array(arm.rates),
        sizes=np.array(arm.sizes),
        times=np.asarray(result["time"].values, np.float64),
        **values,
    )


def records(context: Context, problem: Any, examples: int) -> dict[str, Any]:
    """Loss, λ₁..λ₅ and trace, to record."""
    return {
        "loss": problem.loss,
        "top": ss.curvature.Sharpness(
            problem, k=TOP, subset=examples, products=context.pick(smoke=12, quick=10, full=20)
        ),
        "trace": ss.curvature.Observable(
            ss.curvature.trace,
            problem,
            key=jax.random.key(1),
            method="hutchinson",
            samples=context.pick(smoke=2, quick=2, full=10),
            subset=examples,
        ),
    }
