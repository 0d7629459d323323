"""Residual networks for small images, normalised within each example."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Num

from sde_sgd import _checks
from sde_sgd._platform._shown import Shown
from sde_sgd._types import Scalar, Selection
from sde_sgd.data._dataset import Dataset
from sde_sgd.problems._empirical_risk import EmpiricalRisk
from sde_sgd.problems._from_equinox import from_equinox
from sde_sgd.problems._given import check_dataset
from sde_sgd.problems._losses import Losses

_STAGES = 3


class _Block(eqx.Module):
    """y = φ(S x + G₂ K₂ φ(G₁ K₁ x)), φ = max(0, ·), K 3 × 3 convolutions, G group normalisations.

    The shortcut S is the identity; where K₁ has stride 2 it keeps every second row and column and
    appends zero channels (option A of He et al.), so it has no parameters.
    """

    convolutions: tuple[eqx.nn.Conv2d, eqx.nn.Conv2d]
    norms: tuple[eqx.nn.GroupNorm, eqx.nn.GroupNorm]
    stride: int = eqx.field(static=True)

    def __init__(self, width_in: int, width: int, stride: int, groups: int, *, key: Key[Array, ""]):
        first, second = jax.random.split(key)
        entry = _convolution(width_in, width, stride, first)
        self.convolutions = (entry, _convolution(width, width, 1, second))
        self.norms = (eqx.nn.GroupNorm(groups, width), eqx.nn.GroupNorm(groups, width))
        self.stride = stride

    def __call__(
        self, x: Float[Array, "channels_in height_in width_in"]
    ) -> Float[Array, "channels height width"]:
        branch = jax.nn.relu(self.norms[0](self.convolutions[0](x)))
        branch = self.norms[1](self.convolutions[1](branch))
        shortcut = x[:, :: self.stride, :: self.stride]
        missing = branch.shape[0] - shortcut.shape[0]
        return jax.nn.relu(jnp.pad(shortcut, ((0, missing), (0, 0), (0, 0))) + branch)


class ResNet(Shown, eqx.Module):
    """Convolution, 3n residual blocks, mean over pixels, dense layer: one image to its outputs.

    `resnet` checks the arguments and has the equations.

    Args:
        shape: (height, width, channels) of one input, which may be flat.
        n: blocks in each of the three stages.
        width, groups: as in `resnet`.
        outputs: one per class.
        key: draws the weights.
    """

    stem: eqx.nn.Conv2d
    norm: eqx.nn.GroupNorm
    blocks: tuple[_Block, ...]
    dense: eqx.nn.Linear
    image_shape: tuple[int, int, int] = eqx.field(static=True)

    def __init__(
        self, shape: tuple[int, int, int], n: int, width: int, groups: int, outputs: int, key: Key[Array, ""]
    ):
        stem, dense, *keys = jax.random.split(key, 2 + _STAGES * n)
        # Before the first block and after each
        widths = [width, *(width * 2 ** (number // n) for number in range(_STAGES * n))]
        self.stem = _convolution(shape[-1], width, 1, stem)
        self.norm = eqx.nn.GroupNorm(groups, width)
        self.blocks = tuple(
            _Block(before, after, after // before, groups, key=block_key)
            for before, after, block_key in zip(widths[:-1], widths[1:], keys, strict=True)
        )
        layer = _drawn(partial(eqx.nn.Linear, widths[-1], outputs, key=dense), 1 / widths[-1], dense)
        self.dense = eqx.tree_at(lambda at: at.bias, layer, jnp.zeros((outputs,), float))
        self.image_shape = shape

    def __call__(self, x: Num[Array, "..."]) -> Float[Array, " outputs"]:
        # A convolution takes no mixed precisions: the parameters' decides
        image = x.reshape(self.image_shape).astype(self.stem.weight.dtype)
        hidden = jax.nn.relu(self.norm(self.stem(jnp.moveaxis(image, -1, 0))))
        for block in self.blocks:
            hidden = block(hidden)
        outputs: Array = self.dense(jnp.mean(hidden, axis=(1, 2)))
        return outputs


def _convolution(width_in: int, width: int, stride: int, key: Key[Array, ""]) -> eqx.nn.Conv2d:
    """3 × 3, to ⌈side/stride⌉ pixels, weights N(0, 2/(9 · width_in)), no bias: a norm follows."""
    make = partial(eqx.nn.Conv2d, width_in, width, 3, stride, padding=1, use_bias=False, key=key)
    result: eqx.nn.Conv2d = _drawn(make, 2 / (9 * width_in), key)
    return result


def _drawn(make: Callable[[], Any], variance: float, key: Key[Array, ""]) -> Any:
    """A layer with normal weights; its own start is never computed, only its shapes."""
    layer = eqx.filter_eval_shape(make)
    weight = math.sqrt(variance) * jax.random.normal(key, layer.weight.shape, float)
    return eqx.tree_at(lambda at: at.weight, layer, weight)


def resnet(
    dataset: Dataset,
    *,
    depth: int = 20,
    width: int = 16,
    groups: int = 8,
    image_shape: Sequence[int] | None = None,
    loss: Literal["cross_entropy", "squared_error"] | Losses = "cross_entropy",
    l2: Scalar = 0.0,
    l2_mask: Selection | None = None,
) -> EmpiricalRisk:
    r"""The residual network of He et al. for CIFAR, with group in place of batch normalisation.

    With K a 3 × 3 convolution with zero padding and no bias, G a group normalisation and
    φ(z) = max(0, z), an image x goes through depth = 6n + 2 layers with weights:

        h = φ(G K x),   3n times h ← φ(S h + G₂ K₂ φ(G₁ K₁ h)),   f(x) = W · mean over pixels(h) + b.

    Three stages of n blocks have w, 2w and 4w channels. The first block of the second and of the
    third halves height and width (rounded up): K₁ has stride 2, and the shortcut S keeps every second
    row and column and appends zero channels (option A). Elsewhere S is the identity.

    G shifts each group of channels of *one* image to mean 0 and divides it by √(variance + 1e-5); then
    come a scale (starts at 1) and a shift (at 0) per channel, the same count as in batch normalisation.
    Batch normalisation would make the loss of one example depend on the others of its batch, and
    L(θ) would no longer be the finite sum (1/N) Σ ℓ_n(θ) whose gradient the batches estimate.

    K starts as N(0, 2/fan_in), W as N(0, 1/fan_in), b at 0. Nothing is augmented. For images of
    32 × 32 × 3 and 10 classes depth 20 has 269722 parameters and depth 56 has 853018.

        problem = resnet(digits(), depth=8, image_shape=(8, 8))

    Args:
        dataset: inputs are images of shape (N, height, width) or (N, height, width, channels) in
            pixels, or flat with `image_shape`; targets as for `mlp`.
        depth: layers with weights, 6n + 2: 8, 14, 20, 26, 32, ...
        width: w, channels of the first stage.
        groups: groups of channels of each G, the same in all stages; divides `width`. 1 normalises
            all channels together.
        image_shape: (height, width) or (height, width, channels) of flat inputs. Channels are the
            fastest index, as `cifar10` gives them.
        loss: "cross_entropy", "squared_error" or a function, as in `EmpiricalRisk`.
        l2: λ ≥ 0, on all parameters.
        l2_mask: on these only, as in `EmpiricalRisk`: `lambda path: "norm" not in path and "bias" not in
            path` leaves out what is not a weight.

    Returns:
        The empirical risk; θ is a `ResNet`.

    Raises:
        ValueError: if the inputs are no images, a value is out of range, or the loss does not fit
            the targets.

    Source: He, Zhang, Ren, Sun 2016, *Deep residual learning for image recognition*
    (arXiv:1512.03385), section 4.2; Wu, He 2018, *Group normalization* (arXiv:1803.08494).
    """
    dataset = check_dataset(dataset)
    layers = _checks.integer("depth", depth, at_least=8)
    if layers % 6 != 2:
        lower = layers - (layers - 2) % 6
        raise ValueError(f"depth must be 6n + 2, got {layers}. Take {lower} or {lower + 6}.")
    channels = _checks.integer("width", width, at_least=1)
    together = _checks.integer("groups", groups, at_least=1)
    if channels % together:
        raise ValueError(
            f"width must be a multiple of groups, got width {channels} and groups {together}. "
            f"groups = {math.gcd(channels, together)} divides it."
        )
    shape = _image_shape(dataset, image_shape)
    outputs = dataset.classes or math.prod(dataset.targets.shape[1:])
    make = partial(ResNet, shape, (layers - 2) // 6, channels, together, outputs)
    return from_equinox(make, dataset, loss=loss, l2=l2, l2_mask=l2_mask)


def _image_shape(dataset: Dataset, wanted: Any) -> tuple[int, int, int]:
    """(height, width, channels) of the images, or a refusal."""
    found = dataset.inputs.shape[1:]
    sides = found if wanted is None else wanted if isinstance(wanted, tuple | list) else (wanted,)
    shape = tuple(_checks.integer("image_shape", side, at_least=1) for side in sides)
    if len(shape) not in (2, 3):
        raise ValueError(
            f"image_shape must be (height, width) or (height, width, channels), got {shape}; inputs of "
            f"{dataset.name!r} have shape {found}. For flattened images give it: (8, 8) for digits."
        )
    if found not in (shape, (math.prod(shape),)):
        raise ValueError(
            f"image_shape {shape} must fit the inputs of dataset {dataset.name!r}: they have shape "
            f"{found} per example, not {shape} or ({math.prod(shape)},). Inputs that are images need none."
        )
    height, width, channels = (*shape, 1)[:3]
    return height, width, channels
