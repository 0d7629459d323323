"""Networks trained once for the cards that look at their steps, gradients and units on the way.

Parameters and the K sharpest directions are kept at a few epochs, for each η and seed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from scipy import stats

import sde_sgd as ss
from paper_checks import _data
from paper_checks._context import Context
from paper_checks.sharpest_directions import _networks
from paper_checks.sharpest_directions._grid import CONVOLUTIONAL, MLP, ON_CIFAR, RESIDUAL
from paper_checks.sharpest_directions._networks import CLEAN, NOISY

K = 5
BATCH = 16
RATES = (0.04, 0.08, 0.16)
MIDDLE = 1  # of RATES
GAIN = 0.7  # of the convolutional network's starting weights: at .5 it waits for ten epochs
CIFAR_SIZE = 5000  # images; parameters and directions of every look are kept
GROWN = 0.9  # of the loss at the start: below it curvature has grown
LEVEL = 0.05
_UNRAVEL: dict[str, Callable[[jax.Array], Any]] = {}


@dataclass(frozen=True)
class Arm:
    """A network on some labels, trained at every η.

    Attributes:
        name: for tables.
        network: its name alone.
        problem: what was trained.
        examples: which of them curvature and the "full" loss are looked at on.
        result: with dimensions (learning_rate, seed, epoch): loss, sharpness, theta, vectors.
    """

    name: str
    network: str
    problem: Any
    examples: np.ndarray
    result: ss.SweepResult

    def values(self, what: str) -> np.ndarray:
        """Shape (rates, seeds, epochs, …)."""
        return np.asarray(self.result[what].values)

    @property
    def rates(self) -> np.ndarray:
        """Every η, rising."""
        return np.asarray(self.result["learning_rate"].values, np.float64)

    @property
    def middle(self) -> int:
        """Which of `rates` is the one that one η is enough for."""
        return int(np.argmin(np.abs(self.rates - RATES[MIDDLE])))

    @property
    def epochs(self) -> np.ndarray:
        """At which it was looked at."""
        return np.asarray(self.result["epoch"].values, np.float64)

    def grown(self, rate: int) -> np.ndarray:
        """Indices of the epochs at which the mean loss over seeds is below GROWN of that at the start."""
        mean = self.values("loss")[rate].mean(axis=0)
        return np.flatnonzero(mean < GROWN * mean[0])

    @property
    def activations(self) -> Callable[[Any, jax.Array], Any] | None:
        """What gives the values of the rectified units; None for tanh ones."""
        if self.network == MLP:
            return None
        return _networks.rectified_residual if self.network.startswith(RESIDUAL) else _networks.rectified

    @property
    def unravel(self) -> Callable[[jax.Array], Any]:
        """Parameters from a vector: one function for both kinds of labels, so that they share programs."""
        if self.network not in _UNRAVEL:
            _UNRAVEL[self.network] = ravel_pytree(self.problem.init(jax.random.key(0)))[1]
        return _UNRAVEL[self.network]


def arms(context: Context) -> list[Arm]:
    """Networks on clean and on noisy labels; at quick the convolutional one on noisy ones alone.

    At smoke the tanh network on clean ones. At full the residual network too: on digits, or on CIFAR-10 where
    the user's directory has it, and there the convolutional one as well.
    """
    mlp, convolutional = MAKERS[MLP], MAKERS[CONVOLUTIONAL]
    if context.scale == "smoke":
        return [_arm(context, MLP, mlp, CLEAN)]
    if context.scale == "quick":
        return [
            *(_arm(context, MLP, mlp, noise) for noise in (CLEAN, NOISY)),
            _arm(context, CONVOLUTIONAL, convolutional, NOISY),
        ]
    makers = MAKERS | larger_makers(context)
    return [_arm(context, name, make, noise) for name, make in makers.items() for noise in (CLEAN, NOISY)]


Make = Callable[[float, int], Any]  # (label noise, N) → problem
MAKERS: dict[str, Make] = {
    MLP: lambda noise, size: _networks.mlp(noise, size=size),
    CONVOLUTIONAL: lambda noise, size: _networks.convolutional(noise, gain=GAIN, size=size),
}


def larger_makers(context: Context) -> dict[str, Make]:
    """Those of full alone."""
    pictures = _data.cifar10(context, train_size=CIFAR_SIZE)
    if pictures is None:
        return {RESIDUAL: lambda noise, size: _networks.resnet(noise, gain=1.0, size=size)}
    on_cifar: dict[str, Callable[[float], Any]] = {
        CONVOLUTIONAL: lambda noise: _networks.convolutional(
            noise, channels=16, gain=GAIN, pictures=pictures
        ),
        RESIDUAL: lambda noise: _networks.resnet(noise, gain=1.0, pictures=pictures),
    }

    def of_any_size(make: Callable[[float], Any]) -> Make:
        return lambda noise, _: make(noise)

    return {ON_CIFAR.format(network): of_any_size(make) for network, make in on_cifar.items()}


def _arm(context: Context, network: str, make: Make, noise: float) -> Arm:
    name = f"{network}, {'noisy' if noise else 'clean'} labels"
    tanh = network == MLP
    problem = make(noise, context.pick(smoke=640, quick=1280 if tanh else 640, full=1280))
    examples = np.arange(
        min(problem.dataset_size, context.pick(smoke=128, quick=512 if tanh else 256, full=1280))
    )

    def vectors(theta: Any) -> jax.Array:
        pairs = ss.curvature.top_eigenpairs(
            problem, theta, K, products=20, subset=examples, key=jax.random.key(0)
        )
        return jnp.concatenate([jax.vmap(_flat)(pairs.vectors), pairs.values[:, None]], axis=1)

    larger = network not in MAKERS
    result = context.shared_sweep(
        f"trained {name}",
        context.sgd,
        problem,
        learning_rate=list(context.pick(smoke=RATES[1:], quick=RATES, full=RATES)),
        batch_size=BATCH,
        seeds=context.pick(smoke=12, quick=8 if tanh else 6, full=8 if larger else 32),
        epochs=context.pick(smoke=18, quick=20 if tanh else 16, full=40),
        every=context.pick(smoke=9, quick=4, full=4),
        record={"loss": problem.loss, "theta": _flat, "vectors": vectors},
    )
    return Arm(name, network, problem, examples, result)


def _flat(theta: Any) -> jax.Array:
    return ravel_pytree(theta)[0]


def above(per_seed: np.ndarray, level: float = 0.0) -> tuple[float, float, float]:
    """Mean over seeds, its standard error, and p of "it is not above the level", by Student's t."""
    values = np.asarray(per_seed, np.float64)
    mean, error = float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5)
    if error == 0:
        return mean, 0.0, 0.0 if mean > level else 1.0
    return mean, error, float(stats.t.sf((mean - level) / error, len(values) - 1))
