"""The bundled digits enlarged by small random affine transformations."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, Key, Shaped, UInt32

from sde_sgd import _checks
from sde_sgd.data import _generate
from sde_sgd.data._bundled import digits
from sde_sgd.data._dataset import Dataset
from sde_sgd.random import Words, bits, check_key, uniform

_SIDE = 8
_TRAIN, _TEST = 1, 2


def augmented_digits(
    size: int,
    *,
    key: Key[Array, ""],
    train_size: int = 1280,
    test_size: int | None = None,
    rotation: float = 10.0,
    shift: float = 0.5,
    scale: float = 0.1,
    shear: float = 0.1,
) -> Dataset:
    """The bundled digits (8 × 8 pixels, 10 classes) enlarged to `size` training examples.

    The originals are split first, as `digits(train_size, key=key)` splits them, so no copy of a
    test original is ever a training example. Training example i < train_size is original i;
    every further one is a copy of original i mod train_size, moved by a random affine map about
    the centre c of the image,

        copy(c + A (r − c) + t) = original(r),   A = (1 + s) · R(θ) · [[1, h], [0, 1]],

    where r = (row, column), R(θ) = [[cos θ, −sin θ], [sin θ, cos θ]], and θ, s, h and both parts of
    t are uniform between −1 and 1 times their limits. Pixels are interpolated bilinearly, which
    blurs a little; outside is background. Copies of one original are
    correlated: `size` examples carry less information than as many independent ones.

    All pixels share one mean and one scale, those of the training originals, so example i is the
    same whatever `size` and `test_size` are.

    Args:
        size: number N of training examples.
        key: splits the originals and draws the maps.
        train_size: number of originals to make training examples from, at most 1797.
        test_size: number of test examples, made in the same way from the remaining originals;
            None takes just these.
        rotation: largest |θ| in degrees, at most 180.
        shift: largest part of |t| in pixels, at most 8.
        scale: largest |s|, below 1.
        shear: largest |h|, below 1.

    Returns:
        Flattened images of shape (N, 64) as inputs and the digits 0..9 as targets.

    Raises:
        ValueError: if an argument is out of range, or test examples are asked for and no
            original is left to make them from.

    Source: the originals are those of `digits`; affine copies as in Simard, Steinkraus, Platt
    2003, *Best practices for convolutional neural networks applied to visual document analysis*.
    """
    check_key(key)
    count = _checks.integer("size", size, at_least=1)
    originals = digits(_checks.integer("train_size", train_size, at_least=1), key=key)
    held_out = len(originals.test_inputs)
    test_count = held_out if test_size is None else _checks.integer("test_size", test_size)
    if test_count and not held_out:
        raise ValueError(
            f"test_size must be 0 or None when train_size = {train_size} leaves no original for "
            f"the test set, got {test_size}. Lower train_size."
        )
    limits = jnp.asarray(
        [
            np.deg2rad(_generate.scalar("rotation", rotation, at_most=180.0, hint="In degrees.")),
            _generate.scalar("scale", scale, below=1.0),
            _generate.scalar("shear", shear, below=1.0),
            *[_generate.scalar("shift", shift, at_most=float(_SIDE), hint="In pixels.")] * 2,
        ],
        dtype=jnp.float32,
    )
    enlarge = functools.partial(_enlarge, limits=limits, background=originals.inputs.min())
    inputs, targets = enlarge(originals.inputs, originals.targets, count, _generate.words(key, _TRAIN))
    test_inputs, test_targets = enlarge(
        originals.test_inputs, originals.test_targets, test_count, _generate.words(key, _TEST)
    )
    return Dataset(
        inputs,
        targets,
        test_inputs,
        test_targets,
        classes=originals.classes,
        name="augmented digits",
    )


def _enlarge(
    inputs: Float[Array, "n 64"],
    targets: Int[Array, " n"],
    size: int,
    key_words: Words,
    *,
    limits: Float32[Array, "5"],
    background: Float[Array, ""],
) -> tuple[Shaped[np.ndarray, "size 64"], Shaped[np.ndarray, " size"]]:
    """The first `size` of the originals and then copies of them."""
    if size <= len(inputs):
        return np.asarray(inputs[:size]), np.asarray(targets[:size])
    copies, labels = _generate.by_block(
        lambda numbers: _copies(numbers, inputs, targets, key_words, limits, background), size
    )
    copies[: len(inputs)] = inputs
    return copies, labels


@jax.jit
def _copies(
    numbers: UInt32[Array, " block"],
    inputs: Float[Array, "n 64"],
    targets: Int[Array, " n"],
    key_words: Words,
    limits: Float32[Array, "5"],
    background: Float[Array, ""],
) -> tuple[Float[Array, "block 64"], Int[Array, " block"]]:
    """Transformed copies with the given numbers, of original number mod n, and their labels."""
    parent = (numbers % jnp.uint32(inputs.shape[0])).astype(jnp.int32)
    images = inputs[parent].reshape(-1, _SIDE, _SIDE)
    draws = uniform(bits(key_words, numbers, limits.shape)[0])
    maps = ((2.0 * draws - 1.0) * limits).astype(inputs.dtype)
    return _transform(images, maps, background).reshape(-1, _SIDE**2), targets[parent]


def _transform(
    images: Float[Array, "n 8 8"], maps: Float[Array, "n 5"], background: Float[Array, ""]
) -> Float[Array, "n 8 8"]:
    """Each image moved by its own angle, scale, shear and two shifts.

    Bilinear interpolation is a product of hats max(0, 1 − |u|), one per axis, so it needs no
    gather; what weight the hats leave over lies outside the image and goes to the background.
    """
    angle, scale, shear, shift_row, shift_column = (maps[:, i, None, None] for i in range(5))
    centre = (_SIDE - 1) / 2
    grid = jnp.arange(_SIDE, dtype=images.dtype)
    # Where each pixel of the copy comes from: A⁻¹ (p − c − t) + c.
    row = grid[None, :, None] - centre - shift_row
    column = grid[None, None, :] - centre - shift_column
    cosine, sine = jnp.cos(angle) / (1.0 + scale), jnp.sin(angle) / (1.0 + scale)
    source_column = cosine * column - sine * row
    source_row = cosine * row + sine * column - shear * source_column
    row_weights = _hat(source_row[..., None] + centre - grid)
    column_weights = _hat(source_column[..., None] + centre - grid)
    inside = jnp.einsum("npqa,npqb,nab->npq", row_weights, column_weights, images, precision="highest")
    return inside + (1.0 - row_weights.sum(-1) * column_weights.sum(-1)) * background


def _hat(u: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.maximum(1.0 - jnp.abs(u), 0.0)
