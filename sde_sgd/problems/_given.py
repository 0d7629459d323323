"""What a user hands over, a data set or a model of some library: taken, or refused with the way in."""

import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np

from sde_sgd import _tree
from sde_sgd.data._dataset import Dataset

_MODELS = {
    "torch": "JAX cannot differentiate PyTorch modules: write it as a function of (theta, inputs), or in "
    "Equinox or Flax.",
    "flax": "For a Flax module, Linen or NNX, use problems.from_flax(module, dataset).",
    "haiku": "For Haiku give its functions: net = haiku.without_apply_rng(haiku.transform(f)), "
    "EmpiricalRisk(net.apply, dataset, init=lambda key: net.init(key, dataset.inputs[:1])).",
    "keras": "For Keras on JAX wrap module.stateless_call in a function of (theta, inputs).",
}


def check_dataset(value: Any) -> Dataset:
    """`value` itself if it is a Dataset.

    Raises:
        ValueError: if not, with how to make one of it.
    """
    if isinstance(value, Dataset):
        return value
    kind = type(value)
    got, way_out = kind.__name__, "Make one: Dataset(inputs, targets, classes=...)."
    if isinstance(value, tuple | list):
        shapes = ", ".join(str(np.shape(part)) if hasattr(part, "shape") else "?" for part in value[:4])
        got += f" of {len(value)} entries of shapes {shapes}"
        way_out = "Make one: Dataset(X, y, X_test, y_test), with classes=... for class labels."
    elif "pandas" in kind.__module__ or "polars" in kind.__module__:
        way_out = "Make one of its columns: Dataset(frame[inputs].to_numpy(), frame[target].to_numpy())."
    elif "torch" in kind.__module__ or (hasattr(value, "__getitem__") and not hasattr(value, "shape")):
        way_out = "Make one of arrays that hold all examples: Dataset(np.stack(inputs), np.stack(targets))."
    elif hasattr(value, "shape"):
        got += f" of shape {tuple(value.shape)}"
        way_out = "Give inputs and targets together: Dataset(inputs, targets)."
    raise ValueError(f"dataset must be a sde_sgd.data.Dataset, got {got}. {way_out}")


def check_model(name: str, value: Any, wanted: str) -> None:
    """Refuse what is no function, or the model of a library that cannot be called as one.

    Raises:
        ValueError: with the way in for that library.
    """
    way_in = ""
    for module in (kind.__module__ for kind in type(value).__mro__):
        way_in = way_in or _MODELS.get(module.partition(".")[0], "")
    if not callable(value) and isinstance(value, eqx.Module):
        way_in = "For an Equinox module use problems.from_equinox(module, dataset)."
    if way_in or not callable(value):
        if not way_in and name == "init":
            way_in = "For parameters that are at hand: init=lambda key: parameters."
        got = _short(value)
        raise ValueError(f"{name} must be a function {wanted}, got {got}. {way_in}".rstrip())


def shapes_of(
    told: str, function: Callable[..., Any], *args: Any, hint: str | Callable[[Exception], str] = ""
) -> Any:
    """The shapes that a user's function returns.

    Args:
        told: how it is called, for the message.
        function, args: it and what it is given.
        hint: a way out, or what finds one for an error.

    Raises:
        ValueError: if it fails, with what it was given and why.
    """
    try:
        return _tree.shapes(function, *args)
    except Exception as error:
        given = ", ".join(_shapes(arg) for arg in args)
        why = (str(error).strip() or "no message").splitlines()[0].rstrip(".") + "."
        out = hint(error) if callable(hint) else hint
        raise ValueError(
            f"{told} failed, given the shapes {given}: {type(error).__name__}: {why} {out}".rstrip()
        ) from error


def _shapes(tree: Any) -> str:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    if len(leaves) == 1 and not leaves[0][0]:
        return str(tuple(leaves[0][1].shape))
    named = [f"{jax.tree_util.keystr(path)} {tuple(np.shape(leaf))}" for path, leaf in leaves[:6]]
    return f"{{{', '.join(named)}{', ...' if len(leaves) > 6 else ''}}}"


def required_arguments(function: Callable[..., Any]) -> int | None:
    """How many positional arguments a function cannot do without; None if it does not tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.kind in positional and one.default is inspect.Parameter.empty for one in parameters)


def _short(value: Any) -> str:
    """A value as text that is never long."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array of shape {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= 80 else f"a {type(value).__module__}.{type(value).__qualname__}"
