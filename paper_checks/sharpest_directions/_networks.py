"""The networks that the cards train on digits, or on CIFAR-10, from a small start, clean or noisy labels.

A standard start is at the peak of its curvature already; with weights of a tenth of its size the largest
eigenvalue first grows. Data and labels are the same for every seed of a run: the seed draws starting weights
and batches.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

import sde_sgd as ss

CLEAN, NOISY = 0.0, 0.25  # fraction of the training labels redrawn at random
SMALL = 0.1  # gain of the starting weights of the MLP
BLOCK = 500  # examples at a time of the larger networks, where all are looked at
HIDDEN = 32  # units of the convolutional network's dense layer

Layers = dict[str, dict[str, jax.Array]]


def mlp(
    label_noise: float = CLEAN, *, hidden: Sequence[int] = (32, 32), gain: float = SMALL, size: int = 1280
) -> ss.problems.EmpiricalRisk:
    """A tanh network, cross-entropy, weights from N(0, gain²/fan_in).

    Args:
        label_noise: fraction of the training labels redrawn uniformly.
        hidden: widths of the hidden layers.
        gain: of the starting weights.
        size: N, of 1797; the rest are test examples, with clean labels.
    """
    return ss.problems.mlp(_digits(size, label_noise), hidden=hidden, gain=gain)


def convolutional(
    label_noise: float = CLEAN,
    *,
    channels: int = 4,
    gain: float = 0.5,
    size: int = 1280,
    pictures: ss.data.Dataset | None = None,
) -> ss.problems.EmpiricalRisk:
    """The paper's SimpleCNN, small: rectified 3 x 3 convolutions, two and one, and a hidden layer.

    A mean over 2 x 2 pixels follows the second and the third convolution. No batch normalisation.

    Args:
        label_noise, size: as of `mlp`.
        channels: of the first two convolutions; the third has twice as many.
        gain: weights start from N(0, 2 gain²/fan_in), the last ones without the 2.
        pictures: square ones in colour, flat; by default digits, of which there are `size`.
    """
    data = _digits(size, label_noise) if pictures is None else _noisy(pictures, label_noise)
    side, colours = _sides(data)
    block = None if pictures is None else BLOCK
    return ss.problems.EmpiricalRisk(_convolve, data, init=_start(side, colours, channels, gain), block=block)


def resnet(
    label_noise: float = CLEAN,
    *,
    depth: int = 8,
    width: int = 8,
    gain: float = SMALL,
    size: int = 1280,
    pictures: ss.data.Dataset | None = None,
) -> ss.problems.EmpiricalRisk:
    """A residual network with group normalisation, `gain` of the last layer's weights.

    What precedes a normalisation has no scale of its own: the last layer's weights alone make a start small.

    Args:
        label_noise, size, pictures: as of `convolutional`.
        depth, width: as of `ss.problems.resnet`.
        gain: the last layer's weights start from N(0, gain²/fan_in).
    """
    data = _digits(size, label_noise) if pictures is None else _noisy(pictures, label_noise)
    side, colours = _sides(data)
    made = ss.problems.resnet(data, depth=depth, width=width, image_shape=(side, side, colours))
    return ss.problems.EmpiricalRisk(made.predict, data, init=_Scaled(made.initial, gain), block=BLOCK)


class _Scaled(eqx.Module):
    """A residual network's start with its last layer's weights multiplied."""

    start: Callable[[jax.Array], Any]
    gain: float = eqx.field(static=True)

    def __call__(self, key: jax.Array) -> Any:
        return eqx.tree_at(lambda net: net.dense.weight, self.start(key), replace_fn=lambda w: self.gain * w)


@functools.cache
def _start(side: int, colours: int, channels: int, gain: float) -> Callable[[jax.Array], Layers]:
    """Starting weights: one function for both kinds of labels, so that they share programs."""
    widths = (colours, channels, channels, 2 * channels)
    fan_in = [9 * width for width in widths[:-1]] + [2 * channels * (side // 4) ** 2, HIDDEN]
    fan_out = [*widths[1:], HIDDEN, 10]

    def init(key: jax.Array) -> Layers:
        layers = {}
        for number, (into, out) in enumerate(zip(fan_in, fan_out, strict=True)):
            spread = gain * ((2 if out != fan_out[-1] else 1) / into) ** 0.5
            drawn = jax.random.normal(jax.random.fold_in(key, number), (into, out))
            layers[str(number)] = {"weight": spread * drawn, "bias": jnp.zeros((out,))}
        return layers

    return init


def rectified(theta: Layers, inputs: jax.Array) -> list[jax.Array]:
    """The rectified values of each hidden layer of the convolutional network, channels on the last axis."""
    return _through(theta, inputs)[0]


def _convolve(theta: Layers, inputs: jax.Array) -> jax.Array:
    return _through(theta, inputs)[1]


def _through(theta: Layers, inputs: jax.Array) -> tuple[list[jax.Array], jax.Array]:
    layers = []
    colours = theta["0"]["weight"].shape[0] // 9
    side = math.isqrt(inputs.shape[-1] // colours)
    hidden = inputs.reshape(-1, side, side, colours)
    for number, halved in (("0", False), ("1", True), ("2", True)):
        hidden = jax.nn.relu(_affine(_patches(hidden), theta[number]))
        layers.append(hidden)
        hidden = _half(hidden) if halved else hidden
    flat = jax.nn.relu(_affine(hidden.reshape(len(hidden), -1), theta["3"]))
    return [*layers, flat], _affine(flat, theta["4"])


def rectified_residual(theta: Any, inputs: jax.Array) -> list[jax.Array]:
    """The rectified values of each layer of the residual network, channels on the last axis."""
    layers: list[jax.Array] = jax.vmap(functools.partial(_residual, theta))(inputs)
    return layers


def _residual(theta: Any, pixels: jax.Array) -> list[jax.Array]:
    image = jnp.moveaxis(pixels.reshape(theta.image_shape), -1, 0)
    layers = [jax.nn.relu(theta.norm(theta.stem(image)))]
    for block in theta.blocks:
        inner = jax.nn.relu(block.norms[0](block.convolutions[0](layers[-1])))
        layers += [inner, block(layers[-1])]
    return [jnp.moveaxis(layer, 0, -1) for layer in layers]


def _affine(hidden: jax.Array, layer: dict[str, jax.Array]) -> jax.Array:
    return hidden @ layer["weight"] + layer["bias"]


def _patches(pixels: jax.Array) -> jax.Array:
    """The 3 x 3 neighbours of each pixel, zeros beyond the border: a convolution is a product with them."""
    _, height, width, _ = pixels.shape
    padded = jnp.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifted = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return jnp.concatenate(shifted, axis=-1)


def _half(pixels: jax.Array) -> jax.Array:
    """The mean of each 2 x 2 pixels."""
    count, height, width, channels = pixels.shape
    return pixels.reshape(count, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))


def _digits(size: int, label_noise: float) -> ss.data.Dataset:
    return _noisy(ss.data.digits(size), label_noise)


def _sides(data: ss.data.Dataset) -> tuple[int, int]:
    """Side and colours of square pictures that are flat; those of three colours have more than a side²."""
    pixels = data.inputs.shape[-1]
    colours = 1 if math.isqrt(pixels) ** 2 == pixels else 3
    return math.isqrt(pixels // colours), colours


def _noisy(data: ss.data.Dataset, label_noise: float) -> ss.data.Dataset:
    return ss.data.with_label_noise(data, label_noise, key=jax.random.key(42)) if label_noise else data
