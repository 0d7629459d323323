"""The networks that the cards train, on data whose gradient noise stays alive: some labels are wrong.

With clean labels the noise of the gradient dies with the loss, and everything follows gradient flow in
t = ηk. A quarter of the training labels redrawn at random keeps it alive; test labels are clean. Data and
labels are the same for every seed of a run: the seed draws starting weights and batches.
"""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

import sde_sgd as ss

LABEL_NOISE = 0.25
DIGITS, OTHER, CONVOLUTIONAL = "digits", "teacher", "digits, convolutional"


def noisy_digits(
    hidden: Sequence[int] = (64, 64), *, size: int = 1280, label_noise: float = LABEL_NOISE
) -> ss.problems.EmpiricalRisk:
    """A tanh network on scikit-learn's 8 x 8 digits, cross-entropy, weights from N(0, 1/fan_in).

    Args:
        hidden: widths of the hidden layers.
        size: N, of 1797; the rest are test examples.
        label_noise: fraction of the training labels redrawn uniformly.
    """
    return ss.problems.mlp(_digits(size, label_noise), hidden=hidden)


def other_data(
    hidden: Sequence[int] = (64, 64),
    *,
    size: int = 1280,
    label_noise: float = LABEL_NOISE,
    test_size: int = 500,
) -> ss.problems.EmpiricalRisk:
    """A tanh network on normal inputs labelled by a random tanh network 32-32-10, cross-entropy.

    Independent examples, as many as wanted, unlike any picture: what holds on digits by their
    structure need not hold here.

    Args:
        hidden: widths of the hidden layers.
        size: N.
        label_noise: fraction of the training labels redrawn uniformly.
        test_size: number of test examples, with clean labels.
    """
    data = ss.data.teacher(
        size, key=jax.random.key(43), hidden=(32,), gain=1.0, label_noise=label_noise, test_size=test_size
    )
    return ss.problems.mlp(data, hidden=hidden)


def convolutional_digits(
    *, channels: int = 8, size: int = 1280, label_noise: float = LABEL_NOISE
) -> ss.problems.EmpiricalRisk:
    """Two 3 x 3 convolutions with tanh, each followed by a mean over 2 x 2 pixels, and a linear layer.

    Args:
        channels: of the first convolution; the second has twice as many.
        size: N.
        label_noise: fraction of the training labels redrawn uniformly.
    """
    return ss.problems.from_equinox(_Maker(channels), _digits(size, label_noise))


def _digits(size: int, label_noise: float) -> ss.data.Dataset:
    return ss.data.with_label_noise(ss.data.digits(size), label_noise, key=jax.random.key(42))


class _ConvolutionalNetwork(eqx.Module):
    first: eqx.nn.Conv2d
    second: eqx.nn.Conv2d
    last: eqx.nn.Linear

    def __init__(self, channels: int, key: jax.Array):
        keys = jax.random.split(key, 3)
        self.first = _normal(eqx.nn.Conv2d(1, channels, 3, padding=1, key=keys[0]), 9, keys[0])
        self.second = _normal(
            eqx.nn.Conv2d(channels, 2 * channels, 3, padding=1, key=keys[1]), 9 * channels, keys[1]
        )
        self.last = _normal(eqx.nn.Linear(8 * channels, 10, key=keys[2]), 8 * channels, keys[2])

    def __call__(self, pixels: jax.Array) -> jax.Array:
        hidden = _halved(jnp.tanh(self.first(pixels.reshape(1, 8, 8))))
        hidden = _halved(jnp.tanh(self.second(hidden)))
        return self.last(hidden.reshape(-1))


class _Maker(eqx.Module):
    channels: int

    def __call__(self, key: jax.Array) -> _ConvolutionalNetwork:
        return _ConvolutionalNetwork(self.channels, key)


def _normal(layer: Any, fan_in: int, key: jax.Array) -> Any:
    """Weights from N(0, 1/fan_in), biases 0, as in `ss.problems.mlp`."""
    weight = jax.random.normal(key, layer.weight.shape) / fan_in**0.5
    return eqx.tree_at(lambda at: (at.weight, at.bias), layer, (weight, jnp.zeros_like(layer.bias)))


def _halved(pixels: jax.Array) -> jax.Array:
    """The mean of each 2 x 2 pixels."""
    channels, height, width = pixels.shape
    return pixels.reshape(channels, height // 2, 2, width // 2, 2).mean(axis=(2, 4))


MAKERS: dict[str, Callable[..., ss.problems.EmpiricalRisk]] = {
    DIGITS: noisy_digits,
    OTHER: other_data,
    CONVOLUTIONAL: convolutional_digits,
}
