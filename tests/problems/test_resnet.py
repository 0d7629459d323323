"""The residual network: against NumPy, published sizes and finite differences; what it refuses.

One statistical test: that weights start as N(0, 2/fan_in), by the exact χ² law of their squares.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ALARM, class_data, float64, losses_at, quick_jit, ravel, refused
from scipy import signal, stats

import sde_sgd as ss
from sde_sgd import problems
from sde_sgd.data import Dataset, digits

KEY = jax.random.key(3)
TINY = {"depth": 8, "width": 4, "groups": 2}


def images(*shape: int, size: int = 6, classes: int = 3, seed: int = 0) -> Dataset:
    """Random images of the given shape, with every class among them."""
    rng = np.random.default_rng(seed)
    labels = np.arange(size) % classes
    return Dataset(rng.normal(size=(size, *shape)), labels, classes=classes)


SQUARE = images(8, 8)


def shaken(theta: Any, seed: int = 1) -> Any:
    """Parameters away from the start, where all scales are 1 and all shifts 0."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: leaf + jnp.asarray(0.2 * rng.normal(size=leaf.shape), leaf.dtype), theta)


@functools.cache
def tiny() -> tuple[Any, Any]:
    """A small network on small images, and its start."""
    problem = problems.resnet(SQUARE, **TINY)
    return problem, quick_jit(problem.init)(KEY)


@quick_jit
def losses_of(problem: Any, theta: Any, inputs: Any, targets: Any) -> Any:
    return problem.losses(problem.predict(theta, inputs), targets)


@quick_jit
def starts_of(problem: Any, keys: Any) -> Any:
    return jax.vmap(problem.init)(keys)


# The network


def convolution(x: np.ndarray, layer: Any, stride: int) -> np.ndarray:
    """Zero-padded 3 × 3 correlation of (channels, height, width), every `stride`-th pixel kept."""
    kernels = np.asarray(layer.weight, np.float64)
    x = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    full = [
        sum(signal.correlate2d(plane, k, "valid") for plane, k in zip(x, kernel, strict=True))
        for kernel in kernels
    ]
    return np.stack(full)[:, ::stride, ::stride]


def normalised(x: np.ndarray, layer: Any, groups: int) -> np.ndarray:
    parts = x.reshape(groups, -1)
    parts = (parts - parts.mean(1, keepdims=True)) / np.sqrt(parts.var(1, keepdims=True) + 1e-5)
    scale, shift = (np.asarray(array)[:, None, None] for array in (layer.weight, layer.bias))
    return parts.reshape(x.shape) * scale + shift


def outputs_by_hand(theta: Any, image: np.ndarray, groups: int) -> np.ndarray:
    x = np.maximum(normalised(convolution(np.moveaxis(image, -1, 0), theta.stem, 1), theta.norm, groups), 0)
    for number, block in enumerate(theta.blocks):
        stride = 2 if number in (1, 2) else 1
        branch = normalised(convolution(x, block.convolutions[0], stride), block.norms[0], groups)
        branch = convolution(np.maximum(branch, 0), block.convolutions[1], 1)
        branch = normalised(branch, block.norms[1], groups)
        shortcut = np.zeros_like(branch)
        shortcut[: len(x)] = x[:, ::stride, ::stride]
        x = np.maximum(shortcut + branch, 0)
    return np.asarray(theta.dense.weight) @ x.mean(axis=(1, 2)) + np.asarray(theta.dense.bias)


@pytest.mark.parametrize("shape", [(9, 7, 3), (8, 8), (5, 6, 1)], ids=str)
def test_network_by_hand(shape: tuple[int, ...]) -> None:
    """Odd sides are rounded up by the strides, of the convolution and of the shortcut alike."""
    data = images(*shape, size=3)
    problem = problems.resnet(data, **TINY)
    theta = shaken(quick_jit(problem.init)(KEY))
    pixels = np.asarray(data.inputs).reshape(3, *(*shape, 1)[:3])
    expected = [outputs_by_hand(theta, image, 2) for image in pixels]
    np.testing.assert_allclose(quick_jit(problem.predict)(theta, data.inputs), expected, rtol=2e-4, atol=2e-4)


@pytest.mark.script
def test_flat_images_are_the_same_as_images() -> None:
    data = images(4, 6, 3)
    flat = Dataset(np.asarray(data.inputs).reshape(6, -1), data.targets, classes=3)
    pair = problems.resnet(data, **TINY), problems.resnet(flat, **TINY, image_shape=(4, 6, 3))
    theta = quick_jit(pair[0].init)(KEY)
    first, second = (quick_jit(problem.predict)(theta, problem.inputs) for problem in pair)
    np.testing.assert_array_equal(first, second)
    problems.resnet(data, **TINY, image_shape=[4, 6, 3])


def test_without_branches_the_shortcuts_remain() -> None:
    """The stem, subsampled twice, in the first channels; zeros in those that the stages add."""
    problem, theta = tiny()
    silent = jax.tree.map(jnp.zeros_like, [block.norms[1] for block in theta.blocks])
    theta = eqx.tree_at(lambda at: [block.norms[1] for block in at.blocks], theta, silent)
    stem = [normalised(convolution(np.asarray(x)[None], theta.stem, 1), theta.norm, 2) for x in SQUARE.inputs]
    means = np.maximum(stem, 0)[:, :, ::4, ::4].mean(axis=(2, 3))
    expected = means @ np.asarray(theta.dense.weight)[:, :4].T
    np.testing.assert_allclose(
        quick_jit(problem.predict)(theta, SQUARE.inputs), expected, rtol=1e-4, atol=1e-5
    )


# Parameters


def count(theta: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(theta))


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (56, 0.85)])
def test_parameters_are_as_many_as_published(depth: int, millions: float) -> None:
    """He et al. 2016, table 6. A normalisation of either kind has two numbers per channel."""
    found = count(
        jax.eval_shape(problems.resnet(images(32, 32, 3, size=10, classes=10), depth=depth).init, KEY)
    )
    n, w = (depth - 2) // 6, 16
    convolutions = 9 * (3 * w + 2 * n * w**2 + (2 + 4 * (2 * n - 1)) * w**2 + (8 + 16 * (2 * n - 1)) * w**2)
    norms = 2 * (w + 2 * n * (w + 2 * w + 4 * w))
    assert found == convolutions + norms + 10 * (4 * w + 1)
    assert found == {20: 269_722, 56: 853_018}.get(depth, found)
    assert round(found / 1e6, 2) == millions


def test_start() -> None:
    """n⟨w²⟩/σ² follows χ²_n in every layer; scales start at 1, shifts and biases at 0."""
    _, theta = tiny()
    layers = [theta.stem, *(layer for block in theta.blocks for layer in block.convolutions)]
    variances = [2 / math.prod(layer.weight.shape[1:]) for layer in layers] + [1 / 16]
    layers.append(theta.dense)
    for layer, variance in zip(layers, variances, strict=True):
        total = float(np.sum(np.square(layer.weight, dtype=np.float64))) / variance
        law = stats.chi2(layer.weight.size)
        assert min(law.cdf(total), law.sf(total)) > ALARM / (2 * len(layers))
    norms = [theta.norm, *(norm for block in theta.blocks for norm in block.norms)]
    assert all((norm.weight == 1).all() and (norm.bias == 0).all() for norm in norms)
    assert (theta.dense.bias == 0).all()
    assert all(layer.bias is None for layer in layers[:-1])
    weights = [ravel(layer.weight)[:36] for layer in layers]
    assert len(np.unique(np.round(weights, 6))) > 0.99 * np.size(weights), "layers share their draws"


# The finite sum


def test_one_example_knows_nothing_of_the_others() -> None:
    """Batch normalisation would fail here: it is planted, and is seen."""
    problem, theta = tiny()
    x, y = SQUARE.inputs, SQUARE.targets

    @quick_jit
    def influence(losses: Callable[[Any], Any]) -> Any:
        """The largest |∂ℓ_m/∂x_n| for every pair."""
        return jnp.abs(jax.jacrev(losses)(x)).max(axis=(2, 3))

    own = np.eye(len(y), dtype=bool)
    found = np.asarray(influence(lambda inputs: problem.losses(problem.predict(theta, inputs), y)))
    assert (found[~own] == 0).all() and (found[own] > 0).all()

    def of_batch(inputs: Any) -> Any:
        inputs = (inputs - inputs.mean(axis=0)) / jnp.std(inputs, axis=0)
        return problem.losses(problem.predict(theta, inputs), y)

    assert (np.asarray(influence(of_batch))[~own] > 0).any()


def test_losses_follow_their_examples() -> None:
    problem, theta = tiny()
    losses = losses_of(problem, theta, SQUARE.inputs, SQUARE.targets)
    order = np.array([3, 0, 5, 5])
    some = quick_jit(problem.example_losses)(theta, jnp.asarray(order))
    np.testing.assert_allclose(some, np.asarray(losses)[order], rtol=1e-5)


@pytest.mark.script
def test_gradient_is_that_of_finite_differences() -> None:
    """In float64, along one random direction in every array of parameters."""
    with float64():
        problem = problems.resnet(images(8, 8, size=4), **TINY, l2=0.1)
        theta = shaken(quick_jit(problem.init)(KEY))
        leaves, structure = jax.tree.flatten(theta)
        assert all(leaf.dtype == np.float64 for leaf in leaves)
        rng = np.random.default_rng(2)
        directions = [rng.normal(size=leaf.shape) for leaf in leaves]
        step = 1e-6

        @quick_jit
        def slope(number: Any) -> Any:
            ways = [jnp.where(number == i, step, 0.0) * way for i, way in enumerate(directions)]
            ahead, behind = (
                [leaf + s * way for leaf, way in zip(leaves, ways, strict=True)] for s in (1, -1)
            )
            difference = problem.loss(structure.unflatten(ahead)) - problem.loss(structure.unflatten(behind))
            return difference / (2 * step)

        gradient = jax.tree.leaves(quick_jit(problem.gradient)(theta))
        found = [np.sum(np.asarray(g) * way) for g, way in zip(gradient, directions, strict=True)]
        slopes = [float(slope(jnp.asarray(i))) for i in range(len(leaves))]
        np.testing.assert_allclose(found, slopes, rtol=1e-5, atol=1e-7)


def test_inputs_take_the_precision_of_the_parameters() -> None:
    with float64():
        problem = problems.resnet(SQUARE, **TINY)  # its images were made in float32
        shape = jax.eval_shape(problem.predict, jax.eval_shape(problem.init, KEY), SQUARE.inputs)
        assert SQUARE.inputs.dtype == np.float32 and shape.dtype == np.float64


# Training


@pytest.mark.script
def test_chains_learn_digits() -> None:
    """Far below ln 10, what a guess costs, after 60 steps; two chains from two starts."""
    data = digits(300)
    problem = problems.resnet(data, **TINY, image_shape=(8, 8))
    hyper = ss.Hyperparameters(0.1, batch_size=32, momentum=0.9)
    starts = starts_of(problem, jax.random.split(KEY, 2))
    result = ss.run(ss.SGD(problem, hyper), chains=2, steps=60, key=KEY, initial=starts)
    losses = np.asarray(losses_at(problem, result.theta))
    assert losses.shape == (2,) and losses[0] != losses[1]
    assert (losses < 0.5 * math.log(10)).all(), losses


@pytest.mark.parametrize(
    ("dataset", "loss", "outputs"),
    [
        (images(5, 5, classes=2), "cross_entropy", 2),
        (images(5, 5, classes=3), "squared_error", 3),
        (Dataset(np.ones((4, 5, 5)), np.arange(4.0)), "squared_error", 1),
        (Dataset(np.ones((4, 5, 5)), np.ones((4, 2))), "squared_error", 2),
        (SQUARE, lambda outputs, targets: outputs[:, 0] ** 2, 3),
    ],
)
@pytest.mark.script
def test_losses(dataset: Dataset, loss: Any, outputs: int) -> None:
    problem = problems.resnet(dataset, **TINY, loss=loss)
    theta = jax.eval_shape(problem.init, KEY)
    assert theta.dense.weight.shape == (outputs, 16)
    assert jax.eval_shape(problem.example_losses, theta).shape == (dataset.size,)


def test_l2_is_added() -> None:
    problem, theta = tiny()
    decayed = problems.resnet(SQUARE, **TINY, l2=0.5)
    gap = quick_jit(decayed.loss)(theta) - quick_jit(problem.loss)(theta)
    np.testing.assert_allclose(gap, 0.25 * np.sum(ravel(theta) ** 2), rtol=1e-4)


# Refusals

BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: problems.resnet(SQUARE, depth=21), r"depth must be 6n \+ 2, got 21. Take 20 or 26"),
    (lambda: problems.resnet(SQUARE, depth=2), "depth must be an integer >= 8, got 2"),
    (lambda: problems.resnet(SQUARE, depth=20.5), "depth must be an integer >= 8, got 20.5"),
    (lambda: problems.resnet(SQUARE, width=0), "width must be an integer >= 1, got 0"),
    (lambda: problems.resnet(SQUARE, groups=0), "groups must be an integer >= 1, got 0"),
    (lambda: problems.resnet(SQUARE, width=12), "width 12 and groups 8. groups = 4 divides it"),
    (lambda: problems.resnet(class_data(12, 64)), r"image_shape must be \(height.*got \(64,\).*\(8, 8\)"),
    (lambda: problems.resnet(images(2, 2, 2, 2)), r"image_shape must be.*got \(2, 2, 2, 2\)"),
    (lambda: problems.resnet(SQUARE, image_shape=(8, 9)), r"image_shape \(8, 9\) must fit.*\(8, 8\)"),
    (lambda: problems.resnet(SQUARE, image_shape=(4, 16)), r"image_shape \(4, 16\) must fit.*\(8, 8\)"),
    (lambda: problems.resnet(SQUARE, image_shape=64), r"image_shape must be \(height.*got \(64,\)"),
    (lambda: problems.resnet(SQUARE, image_shape=(8, 0)), "image_shape must be an integer >= 1, got 0"),
    (lambda: problems.resnet(SQUARE, image_shape="8x8"), "image_shape must be an integer >= 1, got '8x8'"),
    (lambda: problems.resnet(SQUARE.inputs), "dataset must be a sde_sgd.data.Dataset, got"),
    (lambda: problems.resnet(SQUARE, **TINY, loss="hinge"), "loss must be one of .*, got 'hinge'"),
    (lambda: problems.resnet(SQUARE, **TINY, l2=-1.0), "l2 must be finite and >= 0, got -1"),
]


@pytest.mark.parametrize(("build", "message"), BAD)
def test_bad_values_are_refused(build: Callable[[], Any], message: str) -> None:
    with refused(match=message):
        build()
