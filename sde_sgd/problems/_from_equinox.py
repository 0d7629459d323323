"""The empirical risk of an Equinox module."""

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from sde_sgd._types import Scalar, Selection, Theta
from sde_sgd.data._dataset import Dataset
from sde_sgd.problems import _given as given
from sde_sgd.problems._empirical_risk import EmpiricalRisk
from sde_sgd.problems._losses import Losses
from sde_sgd.problems._select import selected, split


def from_equinox(
    make: eqx.Module | Callable[[Key[Array, ""]], Any],
    dataset: Dataset,
    *,
    loss: Literal["cross_entropy", "squared_error"] | Losses = "cross_entropy",
    l2: Scalar = 0.0,
    l2_mask: Selection | None = None,
    state: eqx.nn.State | None = None,
    frozen: Selection | None = None,
    block: int | None = None,
) -> EmpiricalRisk:
    """The empirical risk of an Equinox module that maps one input to one output.

        problem = from_equinox(lambda key: eqx.nn.MLP(64, 10, 32, 2, key=key), digits)   # a start per chain
        problem = from_equinox(net, digits)                                              # all start at net

        # batch normalisation with the running averages of training, which stay as they are
        problem = from_equinox(eqx.nn.inference_mode(net), digits, state=state)

    θ is the module with its floating-point arrays and nothing else. All other arrays (integers, what is
    `frozen`, an `eqx.nn.State`) are constants.

    Args:
        make: a module, at which all chains start; or a function that builds it from a key, so that every
            chain gets its own start. Such a function may return `(module, state)`, as
            `eqx.nn.make_with_state` does.
        dataset, loss, l2, l2_mask, block: as in `EmpiricalRisk`. Paths are like "layers/0/bias".
        state: of a module that is called `module(x, state)` and returns `(output, state)`; the state it
            returns is dropped.
        frozen: which parameters are not trained: a function of a path, or a tree of bools like the module.
            For a module only, not for a function.

    Raises:
        ValueError: for a module in training mode (dropout, batch normalisation by the batch), constant
            arrays that depend on the key, and as in `EmpiricalRisk`.
    """
    start: Any
    build: Any = make
    if _is_module(make):
        module, start = make, None
    else:
        given.check_model("make", make, "key -> module, or an Equinox module")
        if frozen is not None:
            raise ValueError(
                "frozen needs a module whose arrays it freezes, and make is a function that builds one anew "
                "for each chain; give from_equinox the module itself."
            )
        module, own = _parts(_built(build))
        start, state = _Start(build), own if state is None else state
    _refuse_training_mode(module)
    theta, constants = eqx.partition(module, _is_parameter)
    if frozen is not None:
        fixed, theta = split(theta, selected("frozen", frozen, theta))
        constants = eqx.combine(constants, fixed)
    held, static = eqx.partition(constants, _is_array)
    if not jax.tree.leaves(theta):
        raise ValueError(f"make must hold floating-point arrays to train, but {_name(module)} has none left.")
    if start is None:
        start, held = Start(jax.tree.map(jnp.asarray, theta)), jax.tree.map(jnp.asarray, held)
    elif jax.tree.leaves(held) or (state is not None and not _is_concrete(state)):
        held, state = _constants(build, held, state)
    predict = EquinoxPredict(static, held if jax.tree.leaves(held) else None, state)
    return EmpiricalRisk(predict, dataset, init=start, loss=loss, l2=l2, l2_mask=l2_mask, block=block)


class EquinoxPredict(eqx.Module):
    """Puts the arrays of an Equinox module back into it and maps it over a batch."""

    static: PyTree = eqx.field(static=True)
    held: PyTree = None
    state: PyTree = None
    by_example: ClassVar[bool] = True

    def __call__(self, theta: Theta, inputs: Array) -> Array:
        parts = (theta, self.static) if self.held is None else (theta, self.held, self.static)
        module = eqx.combine(*parts)
        outputs: Array
        if self.state is None:
            outputs = jax.vmap(module)(inputs)
            return outputs
        # a State of its own for every call: one that has been written to cannot be read again
        state = jax.tree.map(lambda leaf: leaf, self.state)
        outputs = jax.vmap(lambda x: module(x, state)[0])(inputs)
        return outputs


class Start(eqx.Module):
    """The same parameters for every chain."""

    theta: PyTree

    def __call__(self, key: Key[Array, ""]) -> Theta:
        del key
        return self.theta


class _Start(eqx.Module):
    """The parameters of a new Equinox module."""

    make: Callable[[Key[Array, ""]], Any] = eqx.field(static=True)

    def __call__(self, key: Key[Array, ""]) -> Theta:
        return eqx.filter(_parts(self.make(key))[0], _is_parameter)


def _built(make: Callable[..., Any]) -> Any:
    """The module with the shapes of its arrays."""
    try:
        return eqx.filter_eval_shape(make, jax.random.key(0))
    except Exception as error:
        raise ValueError(
            f"make must be a module or a function that builds one from a key, but it failed on a key: "
            f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]} "
            f"For instance lambda key: eqx.nn.MLP(64, 10, 32, 2, key=key)."
        ) from error


def _parts(made: Any) -> tuple[Any, Any]:
    """What `make` returns as a module and its State, if it has one."""
    if isinstance(made, tuple) and len(made) == 2 and isinstance(made[1], eqx.nn.State):
        return made
    if not callable(made):
        raise ValueError(f"make must return an Equinox module, got {_name(made)}.")
    return made, None


def _constants(make: Callable[..., Any], held: Any, state: Any) -> tuple[Any, Any]:
    """The arrays of a built module that are not trained, which must not depend on the key."""

    def found(seed: int) -> Any:
        module, own = _parts(make(jax.random.key(seed)))
        rest = eqx.filter(module, _is_parameter, inverse=True)
        return eqx.filter(rest, _is_array), own

    first, second = found(0), found(1)
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    if not all(np.array_equal(_numbers(one), _numbers(other), equal_nan=True) for one, other in pairs):
        raise ValueError(
            f"make builds modules whose constant arrays ({_kinds(first)}) depend on the key, but all chains "
            f"share them; make them of a key of their own, or give from_equinox one module."
        )
    held, own = jax.tree.map(jnp.asarray, first)
    return held, own if state is None or not _is_concrete(state) else state


def _numbers(leaf: Any) -> np.ndarray:
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf).astype(np.float64)


def _refuse_training_mode(module: Any) -> None:
    def trains(node: Any) -> bool:
        mode = getattr(node, "inference", None)
        rate = getattr(node, "p", None)
        return (
            isinstance(node, eqx.Module)
            and mode is False
            and not (isinstance(rate, int | float) and rate == 0)
        )

    nodes = [node for node in jax.tree.leaves(module, is_leaf=trains) if trains(node)]
    if nodes:
        kind = type(nodes[0]).__name__
        raise ValueError(
            f"make holds {kind} in training mode: the loss of one example is random then, or depends on the "
            f"others, and there is no C(θ). Pass eqx.nn.inference_mode(module), with state=... if it has "
            f"one, or use GroupNorm or LayerNorm."
        )


def _is_module(value: Any) -> bool:
    """Whether this is a module to train, and not a function that happens to be one."""
    if not isinstance(value, eqx.Module) or isinstance(value, eqx.Partial):
        return False
    return any(_is_parameter(leaf) for leaf in jax.tree.leaves(value))


def _is_parameter(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | jax.ShapeDtypeStruct) and jnp.issubdtype(leaf.dtype, jnp.inexact)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | jax.ShapeDtypeStruct)


def _is_concrete(tree: Any) -> bool:
    return not any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(tree))


def _kinds(tree: Any) -> str:
    return ", ".join(sorted({f"{leaf.dtype}{list(leaf.shape)}" for leaf in jax.tree.leaves(tree)}))


def _name(value: Any) -> str:
    return f"a {type(value).__module__}.{type(value).__qualname__}"
