"""Minima of models of data, and how long chains stay below a level of the loss there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import sde_sgd as ss
from paper_checks._context import Context

SIZE = 8  # the smallest B
STABLE = 0.2  # η λ_max at the largest η
BURN_IN = 500  # steps: 44 relaxation times of the sharpest direction at the smallest η of the sweeps
TRAINING, DESCENT = 5000, 20_000  # steps
PILOT, LONGEST = 256, 200_000  # steps of a first look, and after which no more are made
ENOUGH, MOST = 30, 4.0  # exits that say how many steps more it takes, and the most at once, over those made


@dataclass(frozen=True)
class Arm:
    """A model and its data.

    Attributes:
        name: for tables.
        problem: makes it.
        trained: by SGD first, as its loss has many minima.
        level: ΔL, in units of the mean loss above the minimum at the smallest B and the largest η.
        chains: together.
    """

    name: str
    problem: Callable[[], ss.problems.EmpiricalRisk]
    trained: bool
    level: float
    chains: int


@dataclass(frozen=True)
class Bowl:
    """An arm at its minimum.

    Attributes:
        arm: whose it is.
        problem: of the arm.
        minimum: θ.
        loss: L there.
        hessian, covariance: H and C there, shape `(d, d)`.
    """

    arm: Arm
    problem: ss.problems.EmpiricalRisk
    minimum: Any
    loss: float
    hessian: np.ndarray
    covariance: np.ndarray

    @property
    def rate(self) -> float:
        """The largest η."""
        return STABLE / float(np.linalg.eigvalsh(self.hessian)[-1])

    @property
    def height(self) -> float:
        """ΔL of the arm's level, in units of the loss."""
        return self.arm.level * self.mean_loss(ss.Hyperparameters(self.rate, SIZE))

    def mean_loss(self, hyper: ss.Hyperparameters) -> float:
        """½ Tr HΣ: the mean of L above the minimum, where L is its parabola."""
        sigma = ss.theory.lyapunov_covariance(self.hessian, self.covariance, hyper)
        return float(0.5 * np.trace(self.hessian @ sigma))


def bowl(context: Context, arm: Arm) -> Bowl:
    """The minimum by Newton's method, from 0 or from where training ends."""
    problem = arm.problem()
    start = problem.init(context.key_for(f"start {arm.name}"))
    start = _trained(context, arm, problem, start) if arm.trained else jax.tree.map(jnp.zeros_like, start)
    minimum = ss.theory.refine_minimum(problem, start)
    loss, hessian, covariance = (np.asarray(one, np.float64) for one in _facts(problem, minimum))
    return Bowl(arm, problem, minimum, float(loss), hessian, covariance)


def leave(
    context: Context, name: str, at: Bowl, hyper: ss.Hyperparameters, exits: int, height: float
) -> ss.escape.EscapeRate:
    """SGD's chains, until about so many have left."""
    process = context.sgd(at.problem, hyper)
    return _counted(context, name, at, process, at.minimum, at.loss + height, exits)


def leave_parabola(
    context: Context, name: str, at: Bowl, hyper: ss.Hyperparameters, exits: int, covariance: np.ndarray
) -> ss.escape.EscapeRate:
    """The same of L's parabola, with Gaussian noise of this covariance: Euler's steps are SGD's."""
    noise = ss.problems.Full(covariance / hyper.batch_size)
    problem = ss.problems.Quadratic(at.hessian, noise=noise)
    one = ss.Hyperparameters(hyper.learning_rate, 1)  # B is in the noise, so that all share a program
    process = context.langevin(problem, one, substeps=1, solver=diffrax.Euler())
    return _counted(context, name, at, process, jnp.zeros(len(at.hessian)), at.height, exits)


def principal(data: ss.data.Dataset, components: int) -> ss.data.Dataset:
    """Training examples on their first principal components, together of variance 1 on average."""
    inputs = np.asarray(data.inputs, np.float64)
    inputs -= inputs.mean(axis=0)
    axes = np.linalg.svd(inputs, full_matrices=False)[2][:components]
    seen = inputs @ axes.T
    return ss.data.Dataset(seen / seen.std(), data.targets, classes=data.classes, name=data.name)


def _trained(context: Context, arm: Arm, problem: ss.problems.EmpiricalRisk, start: Any) -> Any:
    """By SGD whose η falls to 0, and then by gradient descent: Newton's method would end at a saddle too."""
    sgd = context.sgd(
        problem, ss.Hyperparameters(0.3, 32), schedule=optax.cosine_decay_schedule(1.0, TRAINING)
    )
    descent = context.langevin(
        problem, ss.Hyperparameters(1.0, 1), noise="none", substeps=1, solver=diffrax.Euler()
    )
    for name, process, steps in (("train", sgd, TRAINING), ("descend", descent, DESCENT)):
        result = context.run(f"{name} {arm.name}", process, chains=1, steps=steps, initial=start)
        start = jax.tree.map(lambda leaf: leaf[0], result.theta)
    return start


def _counted(
    context: Context, name: str, at: Bowl, process: Any, start: Any, level: float, exits: int
) -> ss.escape.EscapeRate:
    renewal = ss.escape.Renewal(process, start=start, outside=level, burn_in=BURN_IN)
    initial, more, steps = start, BURN_IN + PILOT, 0
    while True:
        result = context.run(f"{name} {steps}", renewal, chains=at.arm.chains, steps=more, initial=initial)
        initial, steps, found = result, result.steps, ss.escape.rate(result)
        if found.exits >= exits or steps > LONGEST:
            return found
        growth = MOST if found.exits < ENOUGH else min(MOST, 1.1 * exits / found.exits - 1)
        more = int(growth * (steps - BURN_IN)) + 1


@eqx.filter_jit
def _facts(problem: ss.problems.EmpiricalRisk, theta: Any) -> tuple[Any, Any, Any]:
    return problem.loss(theta), problem.hessian(theta), problem.gradient_covariance(theta)
