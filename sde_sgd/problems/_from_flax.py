"""The empirical risk of a Flax module, Linen or NNX."""

import importlib
from collections.abc import Mapping
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from sde_sgd import _tree
from sde_sgd._types import Scalar, Selection, Theta
from sde_sgd.data._dataset import Dataset
from sde_sgd.problems import _given as given
from sde_sgd.problems._empirical_risk import EmpiricalRisk
from sde_sgd.problems._from_equinox import Start
from sde_sgd.problems._losses import Losses
from sde_sgd.problems._select import selected, split


def from_flax(
    module: Any,
    dataset: Dataset,
    *,
    variables: Mapping[str, Any] | None = None,
    arguments: Mapping[str, Any] | None = None,
    loss: Literal["cross_entropy", "squared_error"] | Losses = "cross_entropy",
    l2: Scalar = 0.0,
    l2_mask: Selection | None = None,
    frozen: Selection | None = None,
    block: int | None = None,
) -> EmpiricalRisk:
    """The empirical risk of a Flax module, which maps a batch of inputs to its outputs.

        problem = from_flax(Net(), digits)                                       # Linen: a start per chain
        problem = from_flax(Net(), digits, variables=variables, arguments={"train": False})
        problem = from_flax(net, digits)                                         # NNX: all start at net

    θ is the collection "params" of a Linen module, or the `nnx.Param` of an NNX module as an `nnx.State`.
    All other collections, such as "batch_stats", and what is `frozen`, are constants: batch normalisation
    takes the running averages it is given. For an NNX module call `net.eval()` first, so that it does.

    Args:
        module: a Linen module, or an NNX module with its arrays.
        dataset, loss, l2, l2_mask, block: as in `EmpiricalRisk`.
        variables: of a Linen module: where all chains start, and its constants. By default every chain
            starts at an `init` of its own.
        arguments: constant keyword arguments of a call, such as `{"train": False}`.
        frozen: which parameters are not trained: a function of a path such as "Dense_0/kernel", or a tree
            of bools like θ. For parameters that are given, by `variables` or by an NNX module.

    Raises:
        ValueError: for a Linen module with other collections than "params" and no `variables`, random
            numbers or batch statistics in a call, and as in `EmpiricalRisk`.
    """
    given.check_dataset(dataset)
    called = tuple(dict(arguments or {}).items())
    predict: Any
    start: Any
    if isinstance(module, type):
        raise ValueError(f"module must be an instance, got the class {module.__name__}; build it first.")
    if hasattr(module, "apply") and hasattr(module, "init"):
        predict, start, constants = _linen(module, dataset, variables, called)
    else:
        predict, start, constants = _nnx(module, variables, called)
    if frozen is not None:
        if not isinstance(start, Start):
            raise ValueError("frozen needs parameters to freeze; give variables=module.init(key, inputs).")
        fixed, theta = split(start.theta, selected("frozen", frozen, start.theta))
        predict, start, constants = _Joined(predict), Start(theta), (fixed, constants)
    try:
        hash(predict)
    except TypeError:  # a module of unhashable attributes: one program for itself alone
        predict = predict.__call__
    return EmpiricalRisk(
        predict, dataset, init=start, loss=loss, l2=l2, l2_mask=l2_mask, state=constants, block=block
    )


def _if_training(error: Exception, way_out: str) -> str:
    """This way out where an error is about running averages or random numbers, not about shapes."""
    flax = type(error).__module__ == "flax.errors" and "shape" not in str(error)
    return way_out if flax or "rng" in str(error).lower() else ""


class _LinenPredict(eqx.Module):
    """A Linen module applied to its parameters and its constant collections."""

    module: Any = eqx.field(static=True)
    arguments: tuple[tuple[str, Any], ...] = eqx.field(static=True)

    def way_out(self, error: Exception) -> str:
        """Of an error of a module in training."""
        return _if_training(
            error,
            "Batch normalisation by the batch and dropout are switched off in the call: "
            "arguments={'train': False}, or whatever this module calls it.",
        )

    def __call__(self, theta: Any, constants: Any, inputs: Any) -> Any:
        return self.module.apply({"params": theta, **constants}, inputs, **dict(self.arguments))


class _LinenStart(eqx.Module):
    """The parameters of a Linen module, drawn from a key."""

    module: Any = eqx.field(static=True)
    inputs: PyTree
    arguments: tuple[tuple[str, Any], ...] = eqx.field(static=True)

    def __call__(self, key: Key[Array, ""]) -> Theta:
        return self.module.init(key, self.inputs, **dict(self.arguments))["params"]


class _NNXPredict(eqx.Module):
    """An NNX module put together from its graph, its parameters and its constants."""

    graph: Any = eqx.field(static=True)
    arguments: tuple[tuple[str, Any], ...] = eqx.field(static=True)

    def way_out(self, error: Exception) -> str:
        """Of an error of a module in training."""
        return _if_training(
            error,
            "Call net.eval() first, so that batch normalisation takes its averages and nothing is dropped.",
        )

    def __call__(self, theta: Any, constants: Any, inputs: Any) -> Any:
        nnx = importlib.import_module("flax.nnx")
        return nnx.merge(self.graph, theta, constants)(inputs, **dict(self.arguments))


class _Joined(eqx.Module):
    """A prediction some of whose parameters are constants."""

    predict: Any

    def way_out(self, error: Exception) -> str:
        """That of the module's own."""
        return str(self.predict.way_out(error))

    def __call__(self, theta: Any, constants: Any, inputs: Any) -> Any:
        fixed, others = constants
        return self.predict(eqx.combine(theta, fixed), others, inputs)


def _linen(module: Any, dataset: Dataset, variables: Any, called: Any) -> tuple[Any, Any, Any]:
    """How a Linen module predicts, where its chains start, and its constants."""
    predict = _LinenPredict(module, called)
    if variables is None:
        some = jax.tree.map(lambda leaf: leaf[:1], dataset.inputs)
        key = _tree.key_shape()
        found = given.shapes_of(
            "module.init(key, inputs)",
            lambda key, inputs: module.init(key, inputs, **dict(called)),
            key,
            some,
            hint="Keyword arguments of the call are given as arguments={...}.",
        )
        others = sorted(set(found) - {"params"})
        if others:
            raise ValueError(
                f"variables must be given for a module with {', '.join(others)} beside params: they are "
                f"constants here, for instance the running averages of training. "
                f"variables=module.init(key, inputs) has those of a start."
            )
        return predict, _LinenStart(module, some, called), {}
    if not isinstance(variables, Mapping) or "params" not in variables:
        raise ValueError(
            f"variables must be a dictionary with 'params', as module.init returns it, got "
            f"{sorted(variables) if isinstance(variables, Mapping) else type(variables).__name__}."
        )
    constants = {name: entry for name, entry in variables.items() if name != "params"}
    return predict, Start(jax.tree.map(jnp.asarray, variables["params"])), constants


def _nnx(module: Any, variables: Any, called: Any) -> tuple[Any, Any, Any]:
    """The same for an NNX module, which has its arrays in it."""
    kinds = {kind.__module__.partition(".")[0] for kind in type(module).__mro__}
    if "flax" not in kinds:
        raise ValueError(
            f"module must be a Flax module, Linen or NNX, got a {type(module).__module__}."
            f"{type(module).__qualname__}. For Equinox use from_equinox, for functions EmpiricalRisk."
        )
    if variables is not None:
        raise ValueError("variables must be None for an NNX module: its arrays are in it.")
    nnx = importlib.import_module("flax.nnx")
    graph, theta, constants = nnx.split(module, nnx.Param, ...)
    return _NNXPredict(graph, called), Start(theta), constants
