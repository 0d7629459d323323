"""Whether an optax optimizer can drive SGD: tried on shapes, before anything is run."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from sde_sgd import _tree
from sde_sgd._platform import _jaxpr
from sde_sgd._platform.reading import _traces
from sde_sgd.problems._base import Problem
from sde_sgd.problems._given import required_arguments

_NEEDS_LOSS = (
    "it asks for the loss beside the gradient, as reduce_on_plateau, polyak_sgd and line searches do, and "
    "SGD computes the gradient of a batch alone. Use schedule=... for the learning rate, "
    "functools.partial(optax.lbfgs, linesearch=None), or another optimizer."
)
_NEEDS_PAIR = (
    "lookahead wants its own pair of fast and slow parameters in place of theta, which no loss here takes. "
    "Use the optimizer inside it, or average over the run with moments=...."
)
# what an optimizer's own message has in it, and what that means here
_WORDS = (
    (("'value'", "'value_fn'", "'grad'", "value="), _NEEDS_LOSS),
    (("'fast'", "LookaheadParams"), _NEEDS_PAIR),
)


def check_optimizer(optimizer: Any, problem: Problem) -> None:
    """Refuse an optimizer that fails on this problem's parameters, or does not follow the learning rate.

    Raises:
        ValueError: with the reason and the way out.
    """
    if not callable(optimizer) or isinstance(optimizer, tuple):
        raise ValueError(
            f"optimizer must be a function of the learning rate such as optax.adam, got "
            f"{_name(optimizer)}; pass optax.adam, not optax.adam(1e-3): the learning rate comes "
            f"from hyper, one for each chain."
        )
    if required_arguments(optimizer) == 0 and not _takes_any(optimizer):
        raise ValueError(
            "optimizer must be a function of the learning rate, but it takes no argument: "
            "lambda rate: optax.adam(rate), or optax.adam itself."
        )
    theta = _traces.parameter_shapes(problem.init)
    rate = jax.ShapeDtypeStruct((), jnp.result_type(float))

    def begin(eta: Any, at: Any) -> Any:
        return _made(optimizer, eta).init(at)

    def update(eta: Any, slope: Any, memory: Any, at: Any) -> Any:
        change, _ = _made(optimizer, eta).update(slope, memory, at)
        return optax.apply_updates(at, change)

    with jax.numpy_dtype_promotion("standard"):
        first, memory = _traced(begin, rate, theta)
        then, moved = _traced(update, rate, theta, memory, theta)
    if not _tree.same_structure(moved, theta):
        raise ValueError("optimizer must return updates like the parameters, got another structure.")
    _check_follows(first, then, len(jax.tree.leaves(theta)))


def _check_follows(first: Any, then: Any, size: int) -> None:
    """Refuse an update that η does not reach.

    Args:
        first, then: the programs of the state before the first step and of the update.
        size: how many arrays the parameters have.
    """
    others = len(then.invars) - 1
    if any(_jaxpr.reached(then, [True, *[False] * others])):
        return
    kept = _jaxpr.reached(first, [True, *[False] * size])
    if any(_jaxpr.reached(then, [False, *[False] * size, *kept, *[False] * size])):
        raise ValueError(
            "optimizer must take the learning rate at every step, but it keeps the first in its state (as "
            "optax.inject_hyperparams does), where neither schedule=... nor another hyper of a continued run "
            "reaches it. Use the optimizer itself: each chain's η and the schedule come from here, and "
            "functools.partial(optax.adam, b1=0.8) sets the rest."
        )
    raise ValueError(
        "optimizer must use the learning rate that it is given, but its updates do not depend on it, so that "
        "hyper.learning_rate would say nothing: lambda rate: optax.adam(rate). One without a learning rate "
        "is scaled by it: lambda rate: optax.chain(..., optax.scale(rate))."
    )


def _made(optimizer: Callable[..., Any], eta: Any) -> Any:
    """The transformation for a learning rate."""
    made = optimizer(eta)
    if not (callable(getattr(made, "init", None)) and callable(getattr(made, "update", None))):
        raise ValueError(f"it returned {_name(made)}, not an optax transformation such as optax.sgd(rate)")
    return made


def _traced(function: Callable[..., Any], *shapes: Any) -> tuple[Any, Any]:
    """The program of a function, and the shapes it returns."""
    try:
        program, found = jax.make_jaxpr(function, return_shape=True)(*shapes)
    except Exception as error:
        text = (str(error).strip() or "no message").splitlines()[0]
        for words, meaning in _WORDS:
            if any(word in text for word in words):
                raise ValueError(f"optimizer cannot drive SGD: {meaning}") from error
        why = text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"
        raise ValueError(
            f"optimizer failed on the parameters of this problem: {why.rstrip('.')}. It is a function of the "
            f"learning rate, which is an array, such as optax.adam."
        ) from error
    return program.jaxpr, found


def _takes_any(optimizer: Any) -> bool:
    """Whether a function without required arguments takes one nevertheless."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(one.kind in kinds for one in inspect.signature(optimizer).parameters.values())


def _name(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"a {type(value).__name__}"
