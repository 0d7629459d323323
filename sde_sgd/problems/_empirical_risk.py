"""Empirical risks over a data set, and the door for any user's model."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Key, Num, PyTree

from sde_sgd import _checks, _tree
from sde_sgd._types import Scalar, Selection, Theta
from sde_sgd.data._dataset import Dataset
from sde_sgd.problems import _given as given
from sde_sgd.problems._finite_sum import FiniteSumProblem
from sde_sgd.problems._independence import check_independent
from sde_sgd.problems._losses import LOSSES, Losses, right
from sde_sgd.problems._select import selected

Predict = Callable[..., Array]


class WithState(eqx.Module):
    """A prediction that is given constant arrays too: `predict(theta, state, inputs)`."""

    predict: Callable[..., Any]
    state: PyTree

    def __call__(self, theta: Theta, inputs: Any) -> Any:
        return self.predict(theta, self.state, inputs)


class EmpiricalRisk(FiniteSumProblem):
    r"""L(θ) = (1/N) Σ_n loss(predict(θ, x_n), y_n) + (λ/2)|θ|² over the training examples.

    The door for any model: a prediction function over a pytree of parameters, of any library.

        # Haiku or your own: an apply function and the parameters to start from
        net = haiku.without_apply_rng(haiku.transform(f))
        problem = EmpiricalRisk(net.apply, digits, init=lambda key: net.init(key, digits.inputs[:1]))

        # with running averages that stay as they are
        problem = EmpiricalRisk(
            lambda theta, state, x: net.apply(theta, state, None, x, is_training=False)[0],
            digits, init=lambda key: params, state=state,
        )

    For Equinox modules see `from_equinox`, for Flax `from_flax`; for a bare loss function `from_loss`.

    θ is what is trained and nothing else; constant arrays (running averages, a frozen embedding) belong
    in `state`. ℓ_n must depend on example n alone, else there is no C(θ): four examples are looked at, and
    batch normalisation by the batch, or dropout, is refused. Augmentation is not part of L(θ): augmented
    copies are examples.

    Args:
        predict: `predict(theta, inputs) -> outputs` for a batch of inputs; with `state`,
            `predict(theta, state, inputs)`.
        dataset: training examples, and test examples for `test_loss` and `accuracy`.
        init: `init(key) -> theta`, the starting parameters of one chain.
        loss: "cross_entropy", "squared_error", or a function `(outputs, targets) -> (batch,)`.
        l2: λ ≥ 0. Each ℓ_n carries the whole term, so it adds no gradient noise.
        l2_mask: which parameters λ is on; by default all. A function of a parameter's path such as
            "Dense_0/bias", `lambda path: "bias" not in path`, or a tree of bools like θ:
            `jax.tree.map(lambda leaf: leaf.ndim > 1, theta)`. With M = diag(mask) the loss has ½λ θᵀMθ
            more, its gradient λMθ, its Hessian λM; C(θ) is as without.
        state: a pytree of arrays that are never trained.
        block: how many examples are looked at together in sums over a whole data set. Their
            activations are all in memory at once, and for gradients computed again block by block.
            None: all examples.

    Raises:
        ValueError: for unknown losses, parameters that are not floating point, predictions that fail or
            do not fit the targets, or examples that depend on each other.
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
    l2_mask: tuple[bool, ...] | None = eqx.field(static=True)
    size: int = eqx.field(static=True)
    block: int | None = eqx.field(static=True)
    axis: str | None = eqx.field(static=True)  # type: ignore[misc]

    def __init__(
        self,
        predict: Predict,
        dataset: Dataset,
        *,
        init: Callable[[Key[Array, ""]], Theta],
        loss: Literal["cross_entropy", "squared_error"] | Losses = "cross_entropy",
        l2: Scalar = 0.0,
        l2_mask: Selection | None = None,
        state: PyTree | None = None,
        block: int | None = None,
    ):
        names = "(theta, inputs)" if state is None else "(theta, state, inputs)"
        given.check_model("predict", predict, f"{names} -> outputs")
        given.check_model("init", init, "key -> theta")
        dataset = given.check_dataset(dataset)
        self.l2 = _checks.array("l2", l2, at_least=0)
        built_in = loss if isinstance(loss, str) else None
        if isinstance(loss, str):
            loss = LOSSES[_checks.choice("loss", loss, tuple(LOSSES))]
        given.check_model("loss", loss, "(outputs, targets) -> one number for each example")
        predict = _tree.as_module(predict)
        self.predict = predict if state is None else WithState(predict, _constant(state))
        self.inputs, self.targets = dataset.inputs, dataset.targets
        self.test_inputs, self.test_targets = dataset.test_inputs, dataset.test_targets
        self.initial = _tree.as_module(init)
        self.losses = _tree.as_module(loss)
        self.regularised = not _checks.is_concrete(l2) or float(l2) != 0
        self.size = dataset.size
        self.block = None if block is None else _checks.integer("block", block, at_least=1)
        self.axis = None  # pyright: ignore[reportIncompatibleVariableOverride]
        theta = _check_theta(init)
        if l2_mask is not None and not self.regularised:
            raise ValueError("l2_mask says where l2 is on, and l2 is 0; give l2=..., or leave l2_mask out.")
        self.l2_mask = None if l2_mask is None else selected("l2_mask", l2_mask, theta)
        outputs = given.shapes_of(
            f"predict{names}",
            self.predict,
            theta,
            self.inputs,
            hint=lambda error: _predict_hint(predict, state, error, dataset.inputs.shape[1:]),
        )
        if built_in is None:
            told = getattr(loss, "told", "loss(outputs, targets)")
            shapes = given.shapes_of(told, self.losses, outputs, self.targets)
            kind = getattr(shapes, "dtype", None)
            if kind is not None and not jnp.issubdtype(kind, jnp.floating):
                raise ValueError(
                    f"{told} must return real floating-point numbers, got {kind}: it is differentiated."
                )
        else:
            shapes = jax.eval_shape(self.losses, outputs, self.targets)
        shape = getattr(shapes, "shape", None)
        if shape != (self.size,):
            got = f"shape {shape}" if shape is not None else _tree.describe(shapes)
            if (written := getattr(loss, "told", None)) is not None:
                raise ValueError(f"{written} must return one number, got {got} for {self.size} examples.")
            raise ValueError(
                f"loss must return one number for each of the {self.size} examples, got {got}. Give no mean."
            )
        if built_in is not None and dataset.classes is not None:
            width = outputs.shape[-1]
            one_logit = width == 1 and dataset.classes == 2 and built_in == "cross_entropy"
            if width < dataset.classes and not one_logit:
                raise ValueError(
                    f"predict must return one output for each of the {dataset.classes} classes of "
                    f"dataset {dataset.name!r}, got {width}."
                )
        known = built_in is not None or getattr(loss, "by_example", False)
        if not (known and getattr(predict, "by_example", False)):
            check_independent(self.predict, self.losses, init, self.inputs, self.targets)

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
            losses = losses + 0.5 * self.l2.astype(losses.dtype) * _tree.squared_norm(self.decayed(theta))
        return losses

    def decayed(self, theta: Theta) -> Theta:
        """θ with 0 for the parameters that the L2 term leaves alone: its gradient is λ times this."""
        if self.l2_mask is None:
            return theta
        leaves, structure = jax.tree.flatten(theta)
        pairs = zip(leaves, self.l2_mask, strict=True)
        return jax.tree.unflatten(structure, [leaf if flag else jnp.zeros_like(leaf) for leaf, flag in pairs])

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
        self._need_predictions()
        self._need_tests()
        return jnp.mean(self._by_blocks(self._right, theta, self.test_inputs, self.test_targets))

    def training_accuracy(self, theta: Theta) -> Float[Array, ""]:
        """Fraction of the training set that is fitted, random labels included.

        Raises:
            ValueError: if the data set has no classes, or the problem has a loss but no predictions.
        """
        self._need_predictions()
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
        return right(self.predict(theta, inputs), targets)

    def _batch(self, indices: Int[Array, " batch"]) -> tuple[Any, Array]:
        """Inputs and targets at `indices`, of which a device that shares them gets its part."""
        batch: tuple[Any, Array]
        if self.axis is None:
            batch = jax.tree.map(lambda leaf: leaf[indices], (self.inputs, self.targets))
            return batch
        share = self.targets.shape[0]
        here = indices - share * lax.axis_index(self.axis)
        mine = (here >= 0) & (here < share)

        def gather(leaf: Array) -> Array:
            rows = leaf[jnp.clip(here, 0, share - 1)]
            rows = jnp.where(mine.reshape(-1, *(1,) * (rows.ndim - 1)), rows, jnp.zeros_like(rows))
            part: Array = lax.psum_scatter(rows, self.axis, tiled=True)
            return part

        batch = jax.tree.map(gather, (self.inputs, self.targets))
        return batch

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
            result: Array = values
            return result
        rest = one(jax.tree.map(lambda leaf: leaf[whole:], (inputs, targets)))
        return jnp.concatenate([values, rest])

    @property
    def dataset_size(self) -> int:
        return self.size

    def _need_tests(self) -> None:
        if self.test_targets.shape[0] == 0:
            raise ValueError("this problem's dataset has no test examples; give test_inputs to Dataset.")

    def _need_predictions(self) -> None:
        if getattr(self.losses, "needs_parameters", False):
            raise ValueError(
                "accuracy needs predictions, and from_loss has the loss of an example only: use "
                "EmpiricalRisk(predict, dataset, init=..., loss=...), whose predict(theta, inputs) returns "
                "one output for each class, or record an accuracy of your own, a function of theta."
            )


def _constant(state: Any) -> Any:
    """Constant arrays as JAX keeps them, or a refusal of what is none."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        if not isinstance(leaf, jax.Array | np.ndarray | np.generic | int | float | bool):
            where = jax.tree_util.keystr(path)
            raise ValueError(
                f"state{where} must be an array, got {type(leaf).__name__}; what is none belongs in predict."
            )
    return jax.tree.map(jnp.asarray, state)


def _check_theta(init: Callable[..., Any]) -> Any:
    """The shapes of the parameters, or a refusal of what cannot be trained."""
    hint = "It is given one key and returns a pytree of floating-point arrays."
    theta = given.shapes_of("init(key)", init, _tree.key_shape(), hint=hint)
    leaves = jax.tree.leaves(theta)
    if not leaves:
        raise ValueError("init must return parameters, got a pytree without a single array.")
    if any(not jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves):
        complex_ones = any(jnp.issubdtype(leaf.dtype, jnp.complexfloating) for leaf in leaves)
        way_out = (
            "give real and imaginary parts as two arrays"
            if complex_ones
            else ("keep counters and keys out of theta, in `state` or in predict itself")
        )
        raise ValueError(f"init must return floating-point parameters, got {_tree.dtypes(theta)}; {way_out}.")
    if isinstance(theta, Mapping) and "params" in theta and len(theta) > 1:
        others = ", ".join(sorted(map(str, theta.keys() - {"params"})))
        raise ValueError(
            f"init must return parameters only, got Flax variables with {others} beside params, which would "
            f"be trained too: use from_flax(module, dataset, variables=variables), or give "
            f"state=variables without params."
        )
    return theta


def _predict_hint(predict: Any, state: Any, error: Exception, example: tuple[int, ...]) -> str:
    """What is probably wrong with a prediction that fails."""
    whole = getattr(predict, "function", predict)  # or the object whose method it is
    whole = getattr(whole, "__self__", whole)
    rows = f"It is called with all examples on the leading axis, each of shape {example}."
    if hasattr(whole, "way_out"):
        return str(whole.way_out(error) or rows)
    count = given.required_arguments(getattr(predict, "function", predict))
    if state is None and count is not None and count > 2:
        return (
            f"It is called with two arguments but needs {count}: constant arrays are given as state=..., "
            f"then it is predict(theta, state, inputs). A key, as for dropout, is not given: the mean over "
            f"random masks is no finite sum over examples, and its C(θ) is not known."
        )
    if isinstance(predict, eqx.Module) and any(map(eqx.is_inexact_array, jax.tree.leaves(predict))):
        return "For an Equinox module, which has its parameters in it, use from_equinox(module, dataset)."
    return rows
