"""Curves in the place of pictures of digits, as many as one wants."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Float32, Int32, Key, UInt32

from sde_sgd import _checks
from sde_sgd.data import _generate
from sde_sgd.data._dataset import Dataset
from sde_sgd.data._label_noise import with_label_noise
from sde_sgd.random import Words, at, below, bits, check_key, normal, uniform

_TRAIN, _TEST, _LABEL_NOISE, _REFERENCE = 1, 2, 3, 0
_REFERENCE_SIZE = 16_384
# the shapes of the ten digits, 12 points each
_SHAPES = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)
_HEIGHT = 1 / 6  # of a shape, in its own standard deviations
_POINTS, _INSIDE, _KEPT = len(_SHAPES[0]), 72, 40  # of a shape, of a curve while it is made, of an input
_LEAST_PAD, _MOST_PAD = 36, 60  # points of nothing after a shape, before both are stretched to 72
_SCALE, _SHIFTS, _SHEAR = 0.4, 48, 0.75
_SMOOTH_NOISE, _NOISE = 0.25, 0.02
_WIDTH = 2  # of the smoothing, in points
_REACH = 4 * _WIDTH


class Draws(NamedTuple):
    """What is random of one curve.

    Attributes:
        digit: 0..9.
        pad: points after the shape, 36..60.
        shift: to the right, around the end, 0..47.
        scale, shear: in [0, 1).
        smooth, rough: N(0, 1) for each of the 72 points.
    """

    digit: Int32[Array, ""]
    pad: Int32[Array, ""]
    shift: Int32[Array, ""]
    scale: Float32[Array, ""]
    shear: Float32[Array, ""]
    smooth: Float32[Array, " points"]
    rough: Float32[Array, " points"]


def mnist1d(size: int, *, key: Key[Array, ""], label_noise: float = 0.0, test_size: int = 10_000) -> Dataset:
    """MNIST-1D: curves of 40 points in 10 classes, independent and in any number.

    Each digit has a shape of 12 points, from 0 back to 0. For one example it is followed by 36 to 60 zeros
    and stretched with them to 72 points; scaled by 1 ± 0.2; shifted to the right by 0 to 47, around the end;
    smoothed noise (0.25 times normal numbers, a Gaussian of width 2) is put where it is not, and noise of
    size 0.02 everywhere; a line through the middle of a slope up to ± 0.375 is taken off; and 40 points are
    interpolated. All inputs share one mean and one scale, those of a large sample of its own, so that
    example i is the same whatever `size` is. Digits are drawn uniformly.

    A linear model gets about a third of the test examples right, a network of two hidden layers some 60 %.

    Args:
        size: number N of training examples.
        key: draws the examples and the label noise.
        label_noise: fraction of the training labels redrawn uniformly at random, in [0, 1] (see
            `with_label_noise`); test labels stay clean. Which are redrawn depends on `size`.
        test_size: number of test examples.

    Returns:
        Inputs of shape (N, 40) and the digits 0..9 as targets.

    Raises:
        ValueError: if an argument is out of range.

    Source: Greydanus, Kobak 2024, *Scaling down deep learning with MNIST-1D* (arXiv:2011.14439).
    """
    check_key(key)
    count = _checks.integer("size", size, at_least=1)
    test_count = _checks.integer("test_size", test_size, at_least=0)
    noise = _generate.scalar("label_noise", label_noise, at_most=1.0, hint="It is a fraction.")
    mean, spread = _statistics()
    x, y = _generate.by_block(functools.partial(_curves, _generate.words(key, _TRAIN)), count)
    test_x, test_y = _generate.by_block(functools.partial(_curves, _generate.words(key, _TEST)), test_count)
    scaled = ((one - mean) / spread for one in (x, test_x))
    inputs, test_inputs = scaled
    dataset = Dataset(inputs, y, test_inputs, test_y, classes=len(_SHAPES), name="MNIST-1D")
    if noise == 0:
        return dataset
    return with_label_noise(dataset, noise, key=_generate.subkey(key, _LABEL_NOISE))


def shapes() -> Float32[np.ndarray, "10 12"]:
    """The shapes of the digits, each from 0 to 0, a sixth high in standard deviations."""
    raw = np.array(_SHAPES)
    scaled = (raw - raw.mean(axis=1, keepdims=True)) / raw.std(axis=1, keepdims=True)
    found: np.ndarray = ((scaled - scaled[:, :1]) * _HEIGHT).astype(np.float32)
    return found


@functools.cache
def _statistics() -> tuple[np.float32, np.float32]:
    reference = functools.partial(_curves, _generate.words(jax.random.key(0), _REFERENCE))
    x, _ = _generate.by_block(reference, _REFERENCE_SIZE)
    return np.float32(x.mean(dtype=np.float64)), np.float32(x.std(dtype=np.float64))


@jax.jit
def _curves(
    key_words: Words, numbers: UInt32[Array, " block"]
) -> tuple[Float32[Array, "block 40"], Int32[Array, " block"]]:
    """The examples with the given numbers, not yet of mean 0 and variance 1, and their digits."""
    first, second = bits(key_words, numbers, (5,))
    whole = below(second[:, :3], jnp.array([len(_SHAPES), _MOST_PAD - _LEAST_PAD + 1, _SHIFTS], jnp.int32))
    real = uniform(first[:, 3:])
    noise = normal(at(key_words, 1), numbers, (2, _INSIDE))
    draws = Draws(
        whole[:, 0], _LEAST_PAD + whole[:, 1], whole[:, 2], real[:, 0], real[:, 1], noise[:, 0], noise[:, 1]
    )
    return jax.vmap(curve)(draws), draws.digit


def curve(draws: Draws) -> Float32[Array, " 40"]:
    """One curve from what is random of it."""
    shape = jnp.asarray(shapes())[draws.digit]
    length = draws.pad.astype(jnp.float32) + (_POINTS - 1)
    place = jnp.arange(_INSIDE, dtype=jnp.float32) / (_INSIDE - 1) * length
    values = jnp.interp(place, jnp.arange(_POINTS + 1, dtype=jnp.float32), jnp.pad(shape, (0, 1)))
    values = jnp.where(place < _POINTS, values, 0.0) * (1 + _SCALE * (draws.scale - 0.5))
    values, covered = (jnp.roll(one, draws.shift) for one in (values, place < _POINTS))
    values = jnp.where(covered, values, _smoothed(_SMOOTH_NOISE * draws.smooth)) + _NOISE * draws.rough
    values = values - _SHEAR * (draws.shear - 0.5) * jnp.linspace(-0.5, 0.5, _INSIDE)
    # the first and the last point are kept
    kept = jnp.asarray(np.linspace(0, _INSIDE - 1, _KEPT), values.dtype)
    return jnp.interp(kept, jnp.arange(_INSIDE, dtype=values.dtype), values)


def _smoothed(noise: Float[Array, " points"]) -> Float[Array, " points"]:
    """A mean with Gaussian weights over 8 points to each side; at the ends the noise is mirrored."""
    offsets = np.arange(-_REACH, _REACH + 1)
    weights = np.exp(-0.5 * (offsets / _WIDTH) ** 2)
    wide = jnp.pad(noise, _REACH, mode="symmetric")
    kernel = jnp.asarray(weights / weights.sum(), noise.dtype)
    return jnp.convolve(wide, kernel, mode="valid", precision=lax.Precision.HIGHEST)
