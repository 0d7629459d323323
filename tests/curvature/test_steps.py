"""What the parts of a step do to the loss: by hand on quadratics, and on a regression."""

import functools

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sde_sgd as ss
from sde_sgd import curvature

KEY = jax.random.key(3)
SPECTRUM = np.array([8.0, 4.0, 1.0, 0.5])
BOWL = ss.problems.Quadratic(np.diag(SPECTRUM))
AXES = np.eye(4, dtype=np.float32)
PAIRS = curvature.Eigenpairs(jnp.ones(2), AXES[:2], jnp.zeros(2))


def change(theta, part, alphas):
    """L(θ + αs) − L(θ) of ½ Σ h θ² by hand, its slope and its curvature."""
    slope, bent = part @ (SPECTRUM * theta), part @ (SPECTRUM * part)
    return slope * alphas + 0.5 * bent * alphas**2, slope, bent


def test_every_part_on_a_quadratic():
    """Exact and quadratic agree there, along each axis, along both, across and along the whole step."""
    theta, alphas = np.array([1.0, -2.0, 3.0, 0.5]), np.array([0.5, 1.0, 3.0])
    step = -0.3 * SPECTRUM * theta
    effect = curvature.step_effect(
        BOWL, jnp.float32(theta), jnp.float32(step), AXES[:2], multiples=alphas, samples=3, key=KEY
    )
    np.testing.assert_array_equal(effect.multiples, alphas.astype(np.float32))
    parts = {
        "top": step * [1, 1, 0, 0],
        "rest": step * [0, 0, 1, 1],
        "whole": step,
    }
    found = [getattr(effect, name) for name in parts]
    wanted = list(parts.values())
    for number in range(2):
        found.append(curvature.Change(*(entry[number] for entry in effect.each)))
        wanted.append(step * AXES[number])
    for one, part in zip(found, wanted, strict=True):
        rise, slope, bent = change(theta, part, alphas)
        np.testing.assert_allclose(one.exact, rise, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(one.quadratic, rise, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose([one.slope, one.curvature], [slope, bent], rtol=1e-5)
        np.testing.assert_allclose(one.length, np.linalg.norm(part), rtol=1e-6)


def test_random_directions_are_as_long_as_the_top_and_point_anywhere():
    """Over 4000 of them the mean of sᵀHs is |s|² Tr H/d."""
    theta = jnp.ones(4)
    step = -0.1 * jnp.float32(SPECTRUM)
    random = curvature.step_effect(BOWL, theta, step, AXES[:2], samples=4000, key=KEY).random
    squared = 0.01 * (8.0**2 + 4.0**2)
    np.testing.assert_allclose(random.length, squared**0.5, rtol=1e-5)
    spread = float(random.curvature.std()) / 4000**0.5
    assert abs(float(random.curvature.mean()) - squared * SPECTRUM.mean()) < 4 * spread
    assert abs(float(random.slope.mean())) < 4 * float(random.slope.std()) / 4000**0.5


def test_a_step_of_two_over_the_curvature_is_a_wall_to_wall_step():
    """η = 2/h along e: the loss is what it was; half of it is the minimum."""
    theta = jnp.array([1.0, 0.0, 0.0, 0.0])
    step = -(2 / 8.0) * BOWL.gradient(theta)
    effect = curvature.step_effect(BOWL, theta, step, AXES[:1], multiples=[0.5, 1.0, 2.0], key=KEY)
    np.testing.assert_allclose(effect.top.exact, [-4.0, 0.0, 32.0], atol=1e-5)


@functools.cache
def regression():
    net = ss.problems.softmax_regression(ss.data.teacher(64, key=KEY, inputs=4, classes=3))
    return net, net.init(KEY)


@pytest.mark.script
def test_on_a_regression_with_its_own_batch_and_nested_parameters():
    """The quadratic is what the exact change tends to; a batch's loss is the batch's."""
    net, theta = regression()
    batch = jnp.arange(8)
    slope = jax.grad(lambda at: net.example_losses(at, batch).mean())(theta)
    step = jax.tree.map(lambda leaf: -0.1 * leaf, slope)
    pairs = curvature.top_eigenpairs(net, theta, 3, key=KEY)
    own = curvature.step_effect(net, theta, step, pairs.vectors, subset=batch, key=KEY)
    whole = float(net.example_losses(jax.tree.map(jnp.add, theta, step), batch).mean())
    assert float(own.whole.exact[2]) == pytest.approx(
        whole - float(net.example_losses(theta, batch).mean()), abs=1e-6
    )
    assert float(own.whole.slope) == pytest.approx(-(float(own.whole.length) ** 2) / 0.1, rel=1e-4)
    for part in (own.each, own.top, own.rest, own.whole, own.random):
        near, far = (np.abs(part.exact - part.quadratic)[..., at].max() for at in (0, -1))
        assert near < 1e-4 and near <= far + 1e-6
    full = curvature.step_effect(net, theta, step, pairs.vectors, key=KEY)
    assert float(full.whole.slope) > float(own.whole.slope)
    np.testing.assert_allclose(full.each.curvature, pairs.values * full.each.length**2, rtol=1e-2, atol=1e-6)


@pytest.mark.script
def test_it_can_be_mapped_over_an_ensemble():
    thetas = jnp.stack([jnp.ones(4), 2 * jnp.ones(4)])

    def one(theta):
        return curvature.step_effect(BOWL, theta, -0.1 * BOWL.gradient(theta), AXES[:2], key=KEY)

    mapped = jax.vmap(one)(thetas)
    assert mapped.each.exact.shape == (2, 2, 5)
    np.testing.assert_allclose(mapped.whole.exact[1], one(thetas[1]).whole.exact, rtol=1e-5)


def test_cosines_by_hand():
    vector = {"a": jnp.array([3.0, 0.0]), "b": jnp.array(4.0)}
    vectors = {"a": jnp.array([[1.0, 0.0], [0.0, 2.0]]), "b": jnp.array([0.0, 0.0])}
    np.testing.assert_allclose(curvature.cosines(vector, vectors), [0.6, 0.0], atol=1e-6)
    assert np.isnan(curvature.cosines(jnp.zeros(4), AXES[:2])).all()


def test_overlap_of_subspaces():
    """The same however they are turned, none, and that of random ones: k/d."""
    turned = np.float32([[0.6, 0.8, 0, 0], [-0.8, 0.6, 0, 0]])
    assert float(curvature.subspace_overlap(AXES[:2], turned)) == pytest.approx(1)
    assert float(curvature.subspace_overlap(AXES[:2], AXES[2:])) == 0
    assert float(curvature.subspace_overlap(AXES[:2], AXES[1:3])) == pytest.approx(0.5)
    rng = np.random.default_rng(0)
    drawn = [np.linalg.qr(rng.normal(size=(4, 2)))[0].T.astype(np.float32) for _ in range(800)]
    overlap = jax.vmap(curvature.subspace_overlap)(jnp.stack(drawn[::2]), jnp.stack(drawn[1::2]))
    assert float(overlap.mean()) == pytest.approx(0.5, abs=4 * float(overlap.std()) / 20)


def effect(**options):
    given = {"problem": BOWL, "theta": jnp.ones(4), "step": jnp.ones(4), "vectors": AXES[:2], "key": KEY}
    return curvature.step_effect(**given | options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": jnp.ones(3)}, "step must be the parameters of one chain"),
        ({"vectors": AXES[0]}, "vectors must be shaped as the parameters, .* with one more axis in front"),
        ({"vectors": 2 * AXES[:2]}, "vectors must be orthonormal, got products .* off by 3"),
        ({"vectors": np.full((1, 4), np.nan, np.float32)}, "vectors must be orthonormal, .* off by nan"),
        ({"multiples": 1.0}, "multiples must be a list of numbers"),
        ({"multiples": []}, "multiples must"),
        ({"samples": 0}, "samples must be"),
        ({"subset": 3}, "subset must be None for Quadratic"),
    ],
)
def test_wrong_arguments(options, message):
    with helpers.refused(message):
        effect(**options)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (curvature.subspace_overlap, (AXES[:2], AXES[:1]), "others must be as many as vectors, 2, got 1"),
        (curvature.subspace_overlap, (AXES[:1], 0.5 * AXES[:1]), "others must be orthonormal"),
        (curvature.cosines, (AXES[0], AXES[:2, :3]), "vectors must be shaped as the parameters"),
        (curvature.cosines, (AXES[0], PAIRS), r"got Eigenpairs; pass its \.vectors"),
        (curvature.subspace_overlap, (PAIRS, PAIRS), r"got Eigenpairs; pass its \.vectors"),
    ],
)
def test_wrong_vectors(function, arguments, message):
    with helpers.refused(message):
        function(*arguments)
