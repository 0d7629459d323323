"""The contract of every law of motion: configuration apart from state, all chains at once."""

import abc
import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from sde_sgd import _checks, _tree
from sde_sgd._platform._shown import Shown
from sde_sgd._platform.files._files import first_line
from sde_sgd._types import Count
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.problems._contract import check_contract, check_problem
from sde_sgd.processes._loops import over_steps
from sde_sgd.random import Chains, Words

# the clock counts in int32
LAST_STEP = 2**31 - 1


class ChainState(Shown, eqx.Module):
    """An ensemble: parameters with a leading axis of chains, and what else the process carries."""

    theta: PyTree[Float[Array, "chains ..."]]
    chain: Chains
    extra: PyTree


RateSchedule = Callable[[Array], Array]


class Process(Shown, _tree.Hashed, eqx.Module):
    """One law for the same step. One unit of the clock is one SGD step for every process.

    A process acts on the whole ensemble. What may vary from chain to chain (learning rate,
    momentum) is an array leaf; only what sets shapes is static, so a new η, T, seed or starting
    point is not compiled again.

    Attributes:
        problem, hyper: what is minimised, and η, B, m.
        schedule: None, or a function of the steps since `origin` that multiplies η.
        origin: the step at which this stage of a run began: the schedule and the epochs of shuffled
            data are counted from there.
    """

    problem: eqx.AbstractVar[Problem]
    hyper: eqx.AbstractVar[Hyperparameters]
    schedule: eqx.AbstractVar[RateSchedule | None]
    origin: eqx.AbstractVar[Int[Array, ""]]

    def __new__(cls, *args: Any, **options: Any) -> Any:
        del args
        if "optimizer" in options and "optimizer" not in inspect.signature(cls.__init__).parameters:
            raise ValueError(
                f"optimizer must be left out of {cls.__name__}: it is derived for SGD with momentum, and "
                f"Adam or another optimizer has an SDE of its own, which is not here. Give "
                f"optimizer to SGD, or momentum to Hyperparameters."
            )
        return super().__new__(cls)

    @property
    def against_divergence(self) -> str:
        """What helps where chains diverge, for the warning of `run`."""
        return (
            "A smaller learning rate helps: with momentum m a quadratic of curvature h is stable only for "
            "learning_rate * h < 2(1 + m), and h may be larger on the way than at a minimum."
        )

    @property
    @abc.abstractmethod
    def examples_per_gradient(self) -> int | None:
        """How many examples one gradient looks at, or None where it is all of them."""

    @abc.abstractmethod
    def init(self, theta: PyTree[Float[Array, "chains ..."]], chain: Chains) -> ChainState:
        """State of an ensemble that starts at `theta`; `chain` keys its random numbers."""

    @abc.abstractmethod
    def streams(self, key: Key[Array, ""]) -> dict[str, Words]:
        """The random streams of this process."""

    @abc.abstractmethod
    def step(self, state: ChainState, step: Int[Array, ""], words: dict[str, Words]) -> ChainState:
        """One unit of the clock, from `step` to `step + 1`."""

    def rate(self, step: Int[Array, ""]) -> Float[Array, "*chains"]:
        """η at a step of the clock, by the schedule."""
        return scheduled(self.hyper.learning_rate, self.schedule, self.origin, step)

    def steps(
        self, state: ChainState, begin: Int[Array, ""], end: Int[Array, ""], words: dict[str, Words]
    ) -> ChainState:
        """All steps from `begin` to `end`, neither of which is compiled in: `step` after `step`.

        A process that can share work between steps may have a loop of its own, to the same numbers.
        """
        return over_steps(begin, end, lambda number, state: self.step(state, number, words), state)

    def advance(
        self,
        state: ChainState,
        *,
        start: Count,
        steps: Count,
        key: Key[Array, ""],
    ) -> ChainState:
        """`steps` units of the clock from `start`. Neither is compiled in.

        Raises:
            ValueError: if the clock would go back, or beyond 2³¹ − 1. Traced numbers are not looked at.
        """
        _check_clock(start, steps)
        begin = jnp.asarray(start, jnp.int32)
        return self.steps(state, begin, begin + jnp.asarray(steps, jnp.int32), self.streams(key))


class SingleProcess(Process):
    """A process that is not made of another: it holds its problem, hyperparameters and schedule itself.

    A new one is its fields beyond these, `init`, `streams` and `step`.

    Args:
        problem, hyper, schedule: as the attributes of `Process`.

    Raises:
        ValueError: for anything else than a problem, its hyperparameters and a function of the step.
    """

    problem: Problem
    hyper: Hyperparameters
    schedule: RateSchedule | None = eqx.field(static=True)
    origin: Int[Array, ""]

    def __init__(self, problem: Problem, hyper: Hyperparameters, schedule: RateSchedule | None = None):
        check_hyper(problem, hyper)
        check_schedule(schedule)
        self.problem = problem
        self.hyper = hyper
        self.schedule = schedule
        self.origin = jnp.zeros((), jnp.int32)


def _check_clock(start: Count, steps: Count) -> None:
    """Refuse steps that the clock cannot count: in int32 their end would lie before their begin."""
    known = {
        name: value for name, value in (("start", start), ("steps", steps)) if _checks.is_concrete(value)
    }
    whole = {name: _checks.integer(name, value, at_least=0) for name, value in known.items()}
    if sum(whole.values()) > LAST_STEP:
        told = " and ".join(f"{name} = {value}" for name, value in whole.items())
        raise ValueError(
            f"start + steps must be at most {LAST_STEP}, where the clock ends, got {told}. Take fewer steps, "
            f"or begin at an earlier step with another key."
        )


def scheduled(
    rate: Float[Array, "*chains"], schedule: RateSchedule | None, origin: Int[Array, ""], step: Int[Array, ""]
) -> Float[Array, "*chains"]:
    """η times the schedule at `step`, or η itself without one. No factor is below 0.

    Those of a schedule that ends at 0 may come out at −1e-8, and η^{1/2} is taken of the product.
    """
    if schedule is None:
        return rate
    with jax.numpy_dtype_promotion("standard"):  # optax schedules mix integers and floats
        factor = jnp.maximum(jnp.asarray(schedule(step - origin)), 0)
    return rate * factor.astype(rate.dtype)


def check_schedule(schedule: object) -> None:
    """Refuse anything but a function of the step.

    It is traced once: those of optax keep what their first call makes of their arguments, and two that
    differ in nothing but having been called must not be taken for different.
    """
    if schedule is None:
        return
    way_out = "such as optax.cosine_decay_schedule(1.0, 1000)"
    if not callable(schedule):
        raise ValueError(
            f"schedule must be a function of the step that multiplies the learning rate, {way_out}, "
            f"got {_checks.short(schedule)}."
        )
    try:
        with jax.numpy_dtype_promotion("standard"):  # optax schedules mix integers and floats
            shape = jax.eval_shape(lambda step: jnp.asarray(schedule(step)), jnp.zeros((), jnp.int32)).shape
    except Exception as error:
        raise ValueError(
            f"schedule must be a function of the step that JAX can trace, {way_out}, and fails: "
            f"{first_line(error)} Steps at which it changes go into "
            f"jnp.where or optax.piecewise_constant_schedule, not into `if`."
        ) from error
    if shape != ():
        raise ValueError(
            f"schedule must give one factor for a step, {way_out}; for step 0 it gives an array of shape "
            f"{shape}."
        )


def check_hyper(problem: object, hyper: object) -> None:
    """Refuse a process built from anything but a problem and its hyperparameters."""
    check_contract(check_problem(problem))
    if not isinstance(hyper, Hyperparameters):
        raise ValueError(
            f"hyper must be Hyperparameters(learning_rate, batch_size), got {_checks.short(hyper)}."
        )
