"""Empirical risks over a data set, and the door for any user's model."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key, Num, PyTree

from sde_sgd import _checks, _tree
from sde_sgd.data._dataset import Dataset
from sde_sgd.problems._base import Theta
from sde_sgd.problems._finite_sum import FiniteSumProblem

Predict = Callable[[Theta, Array], Array]
Losses = Callable[[Array, Array], Float[Array, " batch"]]


def squared_error(outputs: Array, targets: Num[Array, "batch ..."]) -> Float[Array, " batch"]:
    """½|f(x) − y|² summed over outputs; integer labels count as one-hot vectors."""
    if jnp.issubdtype(targets.dtype, jnp.integer):
        if targets.ndim != 1:
            raise ValueError(
                f"targets must be floats for the squared error of several outputs, got {targets.dtype} of "
                f"shape {targets.shape}. Give the Dataset y.astype(float)."
            )
        targets = jax.nn.one_hot(targets, outputs.shape[-1], dtype=outputs.dtype)
    if outputs.ndim == targets.ndim + 1 and outputs.shape[-1] == 1:
        outputs = outputs[..., 0]
    if outputs.shape != targets.shape:
        raise ValueError(
            f"predict must return one number per target: outputs have shape {outputs.shape}, "
            f"targets {targets.shape}."
        )
    square = (outputs - targets) ** 2
    return 0.5 * jnp.sum(square.reshape(square.shape[0], -1), axis=1)


def cross_entropy(outputs: Array, targets: Num[Array, "batch ..."]) -> Float[Array, " batch"]:
    """−ln softmax(f(x))_y. With a single output, the logistic loss ln(1 + e^{f}) − y f."""
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        raise ValueError(
            f"targets must be integer class labels for the cross-entropy, got {targets.dtype}. For real "
            f"targets give loss='squared_error'; for classes give the Dataset integers, y.astype(int)."
        )
    if targets.ndim != 1:
        raise ValueError(
            f"targets must be one class label for each example for the cross-entropy, shape (batch,), got "
            f"{targets.shape}. From one-hot rows take y.argmax(axis=1); for sequences give your own loss."
        )
    if outputs.ndim != 2:
        raise ValueError(
            f"predict must return one row of outputs per example, shape (batch, outputs), for the "
            f"cross-entropy, got {outputs.shape}. A single logit needs shape (batch, 1)."
        )
    if outputs.shape[-1] == 1:
        logit = outputs[..., 0]
        return jax.nn.softplus(logit) - targets.astype(logit.dtype) * logit
    labels = jax.nn.one_hot(targets, outputs.shape[-1], dtype=outputs.dtype)
    return jax.nn.logsumexp(outputs, axis=-1) - jnp.sum(labels * outputs, axis=-1)


LOSSES: dict[str, Losses] = {"squared_error": squared_error, "cross_entropy": cross_entropy}


class EmpiricalRisk(FiniteSumProblem):
    r"""L(θ) = (1/N) Σ_n loss(predict(θ, x_n), y_n) + (λ/2)|θ|² over the training examples.

    The door for any model: a prediction function over a pytree of parameters, of any library.

        # Flax, Haiku or your own: an apply function and the parameters to start from
        net = MyFlaxModule()
        problem = EmpiricalRisk(net.apply, digits, init=lambda key: net.init(key, digits.inputs[:1]))

    For an Equinox module see `from_equinox`; for a bare loss function see `from_loss`.

    Args:
        predict: `predict(theta, inputs) -> outputs` for a batch of inputs.
        dataset: training examples, and test examples for `test_loss` and `accuracy`.
        init: `init(key) -> theta`, the starting parameters of one chain.
        loss: "cross_entropy", "squared_error", or a function `(outputs, targets) -> (batch,)`.
        l2: λ ≥ 0. Each ℓ_n carries the whole term, so it adds no gradient noise.
        block: how many examples are looked at together in sums over a whole data set. Their
            activations are all in memory at once, and for gradients computed again block by block.
            None: all examples.

    Raises:
        ValueError: for unknown losses, parameters that are not floating point, or predictions
            that do not fit the targets.
    """

    predict: Predict
    inputs: PyTree[Num[Array, "examples ..."]]
    targets: Num[Array, "examples ..."]
    test_inputs: PyTree[Num[Array, "tests ..."]]
    test_targets: Num[Array, "tests ..."]
    initial: Callable[[Key[Array, ""]], Theta]
    losses: Losses
    l2: Float[Array, ""]
    regularised: bool = eqx.field(static=True)
    size: int = eqx.field(static=True)
    block: int | None = eqx.field(static=True)
    axis: str | None = eqx.field(static=True)  # type: ignore[misc]

    def __init__(
        self,
        predict: Predict,
        dataset: Dataset,
        *,
        init: Callable[[Key[Array, ""]], Theta],
        loss: str | Losses = "cross_entropy",
        l2: Any = 0.0,
        block: int | Any | None = None,
    ):
        for name, function in (("predict", predict), ("init", init)):
            if not callable(function):
                raise ValueError(f"{name} must be a function, got {function!r}.")
        if not isinstance(dataset, Dataset):
            raise ValueError(f"dataset must be a sde_sgd.data.Dataset, got {type(dataset).__name__}.")
        self.l2 = _checks.array("l2", l2, at_least=0)
        built_in = loss if isinstance(loss, str) else None
        if isinstance(loss, str):
            loss = LOSSES[_checks.choice("loss", loss, tuple(LOSSES))]
        self.predict = _tree.as_module(predict)
        self.inputs, self.targets = dataset.inputs, dataset.targets
        self.test_inputs, self.test_targets = dataset.test_inputs, dataset.test_targets
        self.initial = _tree.as_module(init)
        self.losses = _tree.as_module(loss)
        self.regularised = not _checks.is_concrete(l2) or float(l2) != 0
        self.size = dataset.size
        self.block = None if block is None else _checks.integer("block", block, at_least=1)
        self.axis = None
        theta = jax.eval_shape(init, jax.eval_shape(lambda: jax.random.key(0)))
        if any(not jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(theta)):
            raise ValueError(
                f"init must return floating-point parameters, got {_tree.dtypes(theta)}; "
                f"keep counters and keys out of theta."
            )
        shape = jax.eval_shape(self.example_losses, theta).shape
        if shape != (self.size,):
            raise ValueError(
                f"loss must return one number for each of the {self.size} examples, got shape {shape}."
            )
        if built_in is not None and dataset.classes is not None:
            width = jax.eval_shape(self.predict, theta, self.inputs).shape[-1]
            one_logit = width == 1 and dataset.classes == 2 and built_in == "cross_entropy"
            if width < dataset.classes and not one_logit:
                raise ValueError(
                    f"predict must return one output for each of the {dataset.classes} classes of "
                    f"dataset {dataset.name!r}, got {width}."
                )

    def init(self, key: Key[Array, ""]) -> Theta:
        return self.initial(key)

    def example_losses(
        self, theta: Theta, indices: Int[Array, " batch"] | None = None
    ) -> Float[Array, " share"]:
        if indices is None:
            losses = self._by_blocks(self._losses_of, theta, self.inputs, self.targets)
        else:
            losses = self._losses_of(theta, *self._batch(indices))
        if self.regularised:
            losses = losses + 0.5 * self.l2.astype(losses.dtype) * _tree.squared_norm(theta)
        return losses

    def test_loss(self, theta: Theta) -> Float[Array, ""]:
        """Mean loss over the test set, without the L2 term.

        Raises:
            ValueError: if the data set has no test examples.
        """
        self._need_tests()
        return jnp.mean(self._by_blocks(self._losses_of, theta, self.test_inputs, self.test_targets))

    def accuracy(self, theta: Theta) -> Float[Array, ""]:
        """Fraction of the test set classified right.

        Raises:
            ValueError: if the data set has no test examples or no classes.
        """
        self._need_tests()
        return jnp.mean(self._by_blocks(self._right, theta, self.test_inputs, self.test_targets))

    def training_accuracy(self, theta: Theta) -> Float[Array, ""]:
        """Fraction of the training set that is fitted, random labels included."""
        return self._mean_over_devices(
            jnp.mean(self._by_blocks(self._right, theta, self.inputs, self.targets))
        )

    def shared_over(self, axis: str, devices: int, batch_size: int) -> "EmpiricalRisk":
        """The same risk inside a `shard_map` whose `axis` divides the training examples.

        Every device holds N/`devices` examples in a row. A batch is gathered from where its
        examples lie, each device takes the gradient of B/`devices` of them, and the mean over
        devices is the gradient of the batch, whatever the number of devices.

        Raises:
            ValueError: if the devices cannot share N or B evenly.
        """
        for name, value in (("dataset_size", self.size), ("batch_size", batch_size)):
            if value % devices:
                raise ValueError(
                    f"data_devices must divide {name} = {value}, got {devices}: every device takes the "
                    f"same number of examples. Choose another {name} or number of devices."
                )
        shared: EmpiricalRisk = object.__new__(type(self))
        for field in dataclasses.fields(self):
            object.__setattr__(shared, field.name, getattr(self, field.name))
        object.__setattr__(shared, "axis", axis)
        return shared

    def _losses_of(self, theta: Theta, inputs: Any, targets: Array) -> Float[Array, " batch"]:
        return self.losses(self.predict(theta, inputs), targets)

    def _right(self, theta: Theta, inputs: Any, targets: Array) -> Float[Array, " batch"]:
        return _right(self.predict(theta, inputs), targets)

    def _batch(self, indices: Int[Array, " batch"]) -> tuple[Any, Array]:
        """Inputs and targets at `indices`, of which a device that shares them gets its part."""
        if self.axis is None:
            return jax.tree.map(lambda leaf: leaf[indices], (self.inputs, self.targets))
        share = self.targets.shape[0]
        here = indices - share * lax.axis_index(self.axis)
        mine = (here >= 0) & (here < share)

        def gather(leaf: Array) -> Array:
            rows = leaf[jnp.clip(here, 0, share - 1)]
            rows = jnp.where(mine.reshape(-1, *(1,) * (rows.ndim - 1)), rows, jnp.zeros_like(rows))
            return lax.psum_scatter(rows, self.axis, tiled=True)

        return jax.tree.map(gather, (self.inputs, self.targets))

    def _by_blocks(self, function: Callable[..., Array], theta: Theta, inputs: Any, targets: Array) -> Array:
        """function(θ, x, y) over all examples, a block of them at a time."""
        size, block = targets.shape[0], self.block
        if block is None or block >= size:
            return function(theta, inputs, targets)
        whole = size - size % block

        def split(leaf: Array) -> Array:
            return leaf[:whole].reshape(-1, block, *leaf.shape[1:])

        @jax.checkpoint
        def one(part: tuple[Any, Array]) -> Array:
            return function(theta, *part)

        values = lax.map(one, jax.tree.map(split, (inputs, targets))).reshape(-1)
        if whole == size:
            return values
        rest = one(jax.tree.map(lambda leaf: leaf[whole:], (inputs, targets)))
        return jnp.concatenate([values, rest])

    @property
    def dataset_size(self) -> int:
        return self.size

    def _need_tests(self) -> None:
        if self.test_targets.shape[0] == 0:
            raise ValueError("this problem's dataset has no test examples; give test_inputs to Dataset.")


def _right(outputs: Array, targets: Array) -> Float[Array, " batch"]:
    """1 where an example is classified right, else 0."""
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        raise ValueError(f"accuracy needs integer class labels, but the targets are {targets.dtype}.")
    if outputs.shape[-1] == 1:
        guess = (outputs[..., 0] > 0).astype(targets.dtype)
    else:
        guess = jnp.argmax(outputs, axis=-1).astype(targets.dtype)
    return (guess == targets).astype(outputs.dtype)


class _EquinoxPredict(eqx.Module):
    """Puts the arrays of an Equinox module back into it and maps it over a batch."""

    static: PyTree = eqx.field(static=True)

    def __call__(self, theta: Theta, inputs: Array) -> Array:
        return jax.vmap(eqx.combine(theta, self.static))(inputs)


class _EquinoxStart(eqx.Module):
    """The parameters of a new Equinox module."""

    make: Callable[[Key[Array, ""]], eqx.Module] = eqx.field(static=True)

    def __call__(self, key: Key[Array, ""]) -> Theta:
        return eqx.filter(self.make(key), eqx.is_inexact_array)


def from_equinox(
    make: Callable[[Key[Array, ""]], eqx.Module],
    dataset: Dataset,
    *,
    loss: str | Losses = "cross_entropy",
    l2: Any = 0.0,
    block: int | Any | None = None,
) -> EmpiricalRisk:
    """The empirical risk of an Equinox module that maps one input to one output.

        problem = from_equinox(lambda key: eqx.nn.MLP(64, 10, 32, 2, key=key), digits)

    Args:
        make: builds the module from a key, so that every chain gets its own start.
        dataset, loss, l2, block: as in `EmpiricalRisk`.
    """
    shapes = eqx.filter_eval_shape(make, jax.random.key(0))
    _, static = eqx.partition(shapes, _is_parameter)
    state = [leaf for leaf in jax.tree.leaves(static) if isinstance(leaf, jax.ShapeDtypeStruct)]
    if state:
        raise ValueError(
            f"the module holds arrays that are not floating point ({_tree.dtypes(state)}), which are "
            f"not parameters; make them static fields or NumPy constants, or use EmpiricalRisk."
        )

    return EmpiricalRisk(
        _EquinoxPredict(static), dataset, init=_EquinoxStart(make), loss=loss, l2=l2, block=block
    )


def _is_parameter(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct) and jnp.issubdtype(leaf.dtype, jnp.inexact)


def from_loss(
    example_loss: Callable[[Theta, Array, Array], Float[Array, ""]],
    dataset: Dataset,
    *,
    init: Callable[[Key[Array, ""]], Theta],
    l2: Any = 0.0,
) -> EmpiricalRisk:
    """The mean of any differentiable loss of one example.

        problem = from_loss(lambda theta, x, y: jnp.abs(x @ theta - y), data, init=lambda key: w0)

    Args:
        example_loss: `example_loss(theta, x, y) -> scalar` for one example.
        dataset: the examples.
        init: `init(key) -> theta`.
        l2: λ ≥ 0 as in `EmpiricalRisk`.
    """
    return EmpiricalRisk(_keep_both, dataset, init=init, loss=_ExampleLosses(example_loss), l2=l2)


class _ExampleLosses(eqx.Module):
    """A loss of one example, over a batch. Two with the same function are equal: one program does both."""

    example_loss: Callable[[Theta, Array, Array], Float[Array, ""]] = eqx.field(static=True)

    def __call__(self, outputs: Any, targets: Array) -> Float[Array, " batch"]:
        theta, inputs = outputs
        return jax.vmap(self.example_loss, in_axes=(None, 0, 0))(theta, inputs, targets)


def _keep_both(theta: Theta, inputs: Array) -> Any:
    return theta, inputs
