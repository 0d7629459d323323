"""The networks that the cards train on digits, from a small start, with clean and with noisy labels.

A standard start is at the peak of its curvature already; with weights of a tenth of its size the largest
eigenvalue first grows. Data and labels are the same for every seed of a run: the seed draws starting weights
and batches.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

import sde_sgd as ss

CLEAN, NOISY = 0.0, 0.25  # fraction of the training labels redrawn at random
SMALL = 0.1  # gain of the starting weights of the MLP
SIDE = 8  # of a picture, in pixels

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
    label_noise: float = CLEAN, *, channels: int = 4, gain: float = 0.5, size: int = 1280
) -> ss.problems.EmpiricalRisk:
    """The paper's SimpleCNN for 8 x 8 pixels: rectified 3 x 3 convolutions, two and one, and a hidden layer.

    A mean over 2 x 2 pixels follows the second and the third convolution. No batch normalisation.

    Args:
        label_noise, size: as of `mlp`.
        channels: of the first two convolutions; the third has twice as many.
        gain: weights start from N(0, 2 gain²/fan_in), the last ones without the 2.
    """
    return ss.problems.EmpiricalRisk(_convolve, _digits(size, label_noise), init=_start(channels, gain))


@functools.cache
def _start(channels: int, gain: float) -> Callable[[jax.Array], Layers]:
    """Starting weights: one function for both kinds of labels, so that they share programs."""
    widths = (1, channels, channels, 2 * channels)
    fan_in = [9 * width for width in widths[:-1]] + [2 * channels * (SIDE // 4) ** 2, 32]
    fan_out = [*widths[1:], 32, 10]

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
    hidden = inputs.reshape(-1, SIDE, SIDE, 1)
    for number, halved in (("0", False), ("1", True), ("2", True)):
        hidden = jax.nn.relu(_affine(_patches(hidden), theta[number]))
        layers.append(hidden)
        hidden = _half(hidden) if halved else hidden
    flat = jax.nn.relu(_affine(hidden.reshape(len(hidden), -1), theta["3"]))
    return [*layers, flat], _affine(flat, theta["4"])


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
    data = ss.data.digits(size)
    return ss.data.with_label_noise(data, label_noise, key=jax.random.key(42)) if label_noise else data
