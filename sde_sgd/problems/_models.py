"""Ready-made models over data: linear, logistic and softmax regression, and an MLP."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Num

from sde_sgd import _checks
from sde_sgd._platform._shown import Shown
from sde_sgd._types import Scalar, Selection
from sde_sgd.data._dataset import Dataset
from sde_sgd.problems._empirical_risk import EmpiricalRisk
from sde_sgd.problems._given import check_dataset

ACTIVATIONS = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "softplus": jax.nn.softplus,
}

Layers = list[dict[str, Float[Array, "..."]]]


class DenseNetwork(Shown, eqx.Module):
    """f(x) = W_L φ(… φ(W_1 x + b_1) …) + b_L over flattened inputs, θ a list of layers.

    Args:
        sizes: input, hidden and output widths.
        activation: φ: "tanh", "relu", "gelu" or "softplus".
        bias: whether there are b_l.
        gain: weights start as N(0, gain²/fan_in), biases at 0.
    """

    sizes: tuple[int, ...] = eqx.field(static=True)
    activation: str = eqx.field(static=True)
    bias: bool = eqx.field(static=True)
    gain: float = eqx.field(static=True)
    by_example: ClassVar[bool] = True

    # in quotes: a problem holds this method, and Equinox pickles its annotations with it
    def init(self, key: 'Key[Array, ""]') -> "Layers":
        """Random starting parameters."""
        layers: Layers = []
        keys = jax.random.split(key, len(self.sizes) - 1)
        for layer_key, fan_in, fan_out in zip(keys, self.sizes[:-1], self.sizes[1:], strict=True):
            weight = jax.random.normal(layer_key, (fan_in, fan_out), float)
            layer = {"weight": weight * (self.gain / math.sqrt(fan_in))}
            if self.bias:
                layer["bias"] = jnp.zeros((fan_out,), float)
            layers.append(layer)
        return layers

    def __call__(self, theta: Layers, inputs: Num[Array, "batch ..."]) -> Float[Array, "batch out"]:
        return self._layers(theta, inputs)[-1]

    def hidden(self, theta: Layers, inputs: Num[Array, "batch ..."]) -> list[Float[Array, "batch units"]]:
        """The activated values φ(…) of every hidden layer, the first layer first."""
        return self._layers(theta, inputs)[:-1]

    def _layers(self, theta: Layers, inputs: Array) -> list[Array]:
        hidden = inputs.reshape(inputs.shape[0], -1)
        if not jnp.issubdtype(hidden.dtype, jnp.floating):  # here integers are numbers, not ids
            hidden = hidden.astype(theta[0]["weight"].dtype)
        values = []
        for number, layer in enumerate(theta):
            hidden = hidden @ layer["weight"]
            if self.bias:
                hidden = hidden + layer["bias"][None]
            if number < len(theta) - 1:
                hidden = ACTIVATIONS[self.activation](hidden)
            values.append(hidden)
        return values


def mlp(
    dataset: Dataset,
    *,
    hidden: Sequence[int] | np.ndarray | int = (64, 64),
    activation: Literal["tanh", "relu", "gelu", "softplus"] = "tanh",
    loss: Literal["cross_entropy", "squared_error"] = "cross_entropy",
    l2: Scalar = 0.0,
    l2_mask: Selection | None = None,
    gain: float = 1.0,
) -> EmpiricalRisk:
    """A multi-layer perceptron on a data set.

    Args:
        dataset: with classes (one output each) or real targets.
        hidden: widths of the hidden layers; one number for one layer.
        activation: "tanh", "relu", "gelu" or "softplus".
        loss: "cross_entropy" or "squared_error".
        l2: λ ≥ 0.
        l2_mask: which parameters λ is on, as in `EmpiricalRisk`: `lambda path: "bias" not in path`.
        gain: weights start as N(0, gain²/fan_in), biases at 0.

    Raises:
        ValueError: if a value is out of range or the loss does not fit the targets.
    """
    _checks.choice("activation", activation, tuple(ACTIVATIONS))
    listed = hidden if isinstance(hidden, Sequence | np.ndarray) and not isinstance(hidden, str) else [hidden]
    hint = "Give the widths of the hidden layers, such as (64, 64)."
    widths = [_checks.integer("hidden", width, at_least=1, hint=hint) for width in listed]
    penalty = (l2, l2_mask)
    return _dense(dataset, widths, activation, loss, penalty, gain, bias=True)


def linear_regression(
    dataset: Dataset, *, l2: Scalar = 0.0, l2_mask: Selection | None = None, bias: bool = False
) -> EmpiricalRisk:
    """ℓ_n(w) = ½ (w·x_n − y_n)² + (λ/2)|w|², started at N(0, 1/d)."""
    dataset = check_dataset(dataset)
    if dataset.classes is not None:
        raise ValueError(
            f"dataset {dataset.name!r} has class labels; linear_regression needs real targets. "
            f"Use softmax_regression, or rebuild the Dataset with float targets, y.astype(float)."
        )
    return _dense(dataset, [], "tanh", "squared_error", (l2, l2_mask), 1.0, bias=bias)


def logistic_regression(
    dataset: Dataset, *, l2: Scalar = 0.0, l2_mask: Selection | None = None, bias: bool = True
) -> EmpiricalRisk:
    """ℓ_n(w) = ln(1 + e^{f_n}) − y_n f_n with f = w·x + b, for two classes."""
    dataset = check_dataset(dataset)
    if dataset.classes != 2:
        raise ValueError(
            f"logistic_regression needs 2 classes, dataset {dataset.name!r} has {dataset.classes}. "
            f"Use softmax_regression."
        )
    return _dense(dataset, [], "tanh", "cross_entropy", (l2, l2_mask), 1.0, bias=bias, outputs=1)


def softmax_regression(
    dataset: Dataset, *, l2: Scalar = 0.0, l2_mask: Selection | None = None, bias: bool = True
) -> EmpiricalRisk:
    """Cross-entropy of a linear model with one output per class."""
    dataset = check_dataset(dataset)
    if dataset.classes is None:
        raise ValueError(
            f"softmax_regression needs classes, dataset {dataset.name!r} has real targets. Integer targets "
            f"are labels: y.astype(int)."
        )
    return _dense(dataset, [], "tanh", "cross_entropy", (l2, l2_mask), 1.0, bias=bias)


def _dense(
    dataset: Dataset,
    hidden: list[int],
    activation: str,
    loss: Literal["cross_entropy", "squared_error"],
    penalty: tuple[Any, Any],
    gain: float,
    *,
    bias: bool,
    outputs: int | None = None,
) -> EmpiricalRisk:
    dataset = check_dataset(dataset)
    _checks.number("gain", gain, above=0)
    for name, given in (("inputs", dataset.inputs), ("targets", dataset.targets)):
        if given.size == 0:
            raise ValueError(
                f"dataset {dataset.name!r} must have {name} with at least one number for each example, got "
                f"shape {given.shape}. Give Dataset {name} of shape (N, k), k >= 1; where there are none, a "
                f"column of ones."
            )
    if outputs is None:
        outputs = dataset.classes or math.prod(dataset.targets.shape[1:])
    inputs = math.prod(dataset.inputs.shape[1:])
    network = DenseNetwork((inputs, *hidden, outputs), activation, bias, float(gain))
    l2, l2_mask = penalty
    return EmpiricalRisk(network, dataset, init=network.init, loss=loss, l2=l2, l2_mask=l2_mask)
