"""Data of any size labelled by a random network."""

import functools
import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Int32, Key, UInt32

from sde_sgd import _checks
from sde_sgd.data import _generate
from sde_sgd.data._dataset import Dataset
from sde_sgd.data._label_noise import with_label_noise
from sde_sgd.random import Words, chain_numbers, check_key, normal

_REFERENCE_SIZE = 16384
# So many that a class with half its even share still occurs about eight times in the sample.
_MAX_CLASSES = _REFERENCE_SIZE // 16
_TRAIN, _TEST, _REFERENCE, _LABEL_NOISE, _FIRST_LAYER = 1, 2, 3, 4, 16


class _Network(NamedTuple):
    """A tanh network without biases; its logits are centred and scaled before the arg max."""

    weights: tuple[Float32[Array, "_ _"], ...]
    centre: Float32[Array, " classes"]
    spread: Float32[Array, " classes"]


def teacher(
    size: int,
    *,
    key: Key[Array, ""],
    inputs: int = 32,
    hidden: tuple[int, ...] = (64, 64),
    classes: int = 10,
    gain: float = 2.0,
    label_noise: float = 0.0,
    test_size: int = 10_000,
) -> Dataset:
    """Independent normal inputs labelled by a random tanh network, the teacher.

    Inputs x ~ N(0, I). The teacher has no biases; with h₀ = x,

        hₗ = tanh(hₗ₋₁ Wₗ),   f = h_L W_{L+1},   label = arg max_k (f_k − m_k)/s_k,

    with weights of variance gain²/fan-in. m and s are the mean and standard deviation of the
    logits over a reference sample of the teacher's own, which keeps the classes roughly balanced:
    with the default network each has about 0.6 to 1.5 times its even share. There is no margin:
    inputs come arbitrarily near to the teacher's boundaries.

    The inputs and clean labels of example i are the same whatever `size` is, and test examples
    whatever `test_size` is; which labels the noise redraws depends on `size`.

    Args:
        size: number N of training examples.
        key: draws the teacher, the inputs and the label noise.
        inputs: length of x.
        hidden: widths of the hidden layers; () is a linear teacher.
        classes: number of classes, from 2 to 1024.
        gain: standard deviation of the weights times √fan-in, from 0.001 to 1000. Larger ones
            bend the boundaries more.
        label_noise: fraction of the training labels redrawn uniformly at random, in [0, 1] (see
            `with_label_noise`); test labels stay clean.
        test_size: number of test examples, labelled by the same teacher.

    Returns:
        Inputs of shape (N, inputs) and integer class labels of shape (N,).

    Raises:
        ValueError: if an argument is out of range, the teacher's logits vanish, or a class never
            occurs in the reference sample because the teacher is too narrow for so many classes.

    Source: the teacher-student setting of Gardner, Derrida 1989, *Three unfinished works on the
    optimal storage capacity of networks*.
    """
    check_key(key)
    count = _checks.integer("size", size, at_least=1)
    test_count = _checks.integer("test_size", test_size, at_least=0)
    noise = _generate.scalar("label_noise", label_noise, at_most=1.0, hint="It is a fraction.")
    widths = _widths(inputs, hidden, classes)
    network = _network(key, widths, _generate.scalar("gain", gain, at_least=1e-3, at_most=1e3))
    x, y = _sample(network, _generate.words(key, _TRAIN), count)
    test_x, test_y = _sample(network, _generate.words(key, _TEST), test_count)
    name = "teacher " + "-".join(str(width) for width in widths)
    dataset = Dataset(x, y, test_x, test_y, classes=widths[-1], name=name)
    if noise == 0:
        return dataset
    return with_label_noise(dataset, noise, key=_generate.subkey(key, _LABEL_NOISE))


def _widths(inputs: Any, hidden: Any, classes: Any) -> tuple[int, ...]:
    if not isinstance(hidden, tuple | list):
        raise ValueError(
            f"hidden must be a tuple of widths such as (64, 64), or () for none, got {hidden!r}."
        )
    widths = (
        _checks.integer("inputs", inputs, at_least=1),
        *(_checks.integer(f"hidden[{i}]", width, at_least=1) for i, width in enumerate(hidden)),
        _checks.integer("classes", classes, at_least=2),
    )
    if widths[-1] > _MAX_CLASSES:
        raise ValueError(f"classes must be in 2..{_MAX_CLASSES}, got {widths[-1]}. Lower classes.")
    if widths[-2] == 1:
        last = "hidden[-1]" if hidden else "inputs (without hidden layers)"
        raise ValueError(
            f"{last} must be >= 2, got 1: with one unit all logits are multiples of each other, "
            f"and after scaling rounding would choose the class. Raise it."
        )
    return widths


def _network(key: Key[Array, ""], widths: tuple[int, ...], gain: float) -> _Network:
    """The teacher drawn by `key`.

    Raises `ValueError` if its logits vanish or one of its classes never occurs.
    """
    weights = tuple(
        normal(_generate.words(key, _FIRST_LAYER + layer), chain_numbers(fan_in), (fan_out,))
        * (gain / math.sqrt(fan_in))
        for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(widths))
    )
    classes = widths[-1]
    raw = _Network(weights, jnp.zeros(classes, jnp.float32), jnp.ones(classes, jnp.float32))
    reference = functools.partial(_logits, raw, _generate.words(key, _REFERENCE))
    _, logits = _generate.by_block(reference, _REFERENCE_SIZE)
    centre, spread = logits.mean(axis=0), logits.std(axis=0)
    if not (spread > 1e-30).all():
        raise ValueError(
            f"gain must be larger for a teacher of widths {widths}, got {gain:g}: its logits "
            f"vanish (standard deviation {spread.min():g}). Raise gain, to 1 for instance, "
            f"or use fewer hidden layers."
        )
    occurring = np.unique(((logits - centre) / spread).argmax(axis=1))
    if len(occurring) < classes:
        raise ValueError(
            f"classes = {classes} are too many for a teacher of widths {widths}: only "
            f"{len(occurring)} of them occur among {_REFERENCE_SIZE} inputs. Raise inputs or "
            f"hidden, or lower classes."
        )
    return _Network(weights, jnp.asarray(centre), jnp.asarray(spread))


def _sample(network: _Network, key_words: Words, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels of examples 0..size−1."""
    return _generate.by_block(functools.partial(_labelled, network, key_words), size)  # type: ignore[return-value]


@jax.jit
def _logits(
    network: _Network, key_words: Words, numbers: UInt32[Array, " block"]
) -> tuple[Float32[Array, "block inputs"], Float32[Array, "block classes"]]:
    """The inputs with the given numbers, and the teacher's logits, centred and scaled."""
    x = normal(key_words, numbers, (network.weights[0].shape[0],))
    activity = x
    for layer, weight in enumerate(network.weights):
        activity = jnp.tanh(activity) if layer else activity
        activity = jnp.matmul(activity, weight, precision="highest")
    return x, (activity - network.centre) / network.spread


@jax.jit
def _labelled(
    network: _Network, key_words: Words, numbers: UInt32[Array, " block"]
) -> tuple[Float32[Array, "block inputs"], Int32[Array, " block"]]:
    """The inputs with the given numbers and their labels."""
    x, logits = _logits(network, key_words, numbers)
    return x, jnp.argmax(logits, axis=1).astype(jnp.int32)
