"""Wells and minima against published points, closed forms and numbers by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import facts, float64, losses_at

from sde_sgd.problems import DoubleWell, MatchedParabolas, MullerBrown, StyblinskiTang, TwoMinima

KEY = jax.random.key(11)


def test_double_well_by_hand() -> None:
    problem = DoubleWell()
    np.testing.assert_allclose(problem.minima(), [-1, 1])
    losses, slopes, curvatures = facts(problem, jnp.asarray([-1.0, 1.0, 0.0, 2.0]))
    np.testing.assert_allclose(losses, [0, 0, 0.25, 2.25])
    np.testing.assert_allclose(slopes, [0, 0, 0, 6])
    np.testing.assert_allclose(np.ravel(curvatures), [2, 2, -1, 11])
    np.testing.assert_allclose(DoubleWell(tilt=0.1).loss(jnp.asarray(2.0)), 2.45)


@pytest.mark.parametrize(("tilt", "wells"), [(0.0, 2), (0.384, 2), (-0.384, 2), (0.386, 1), (-1.0, 1)])
def test_a_large_tilt_leaves_one_well(tilt: float, wells: int) -> None:
    minima = DoubleWell(tilt=tilt).minima()
    assert len(minima) == wells
    deepest = min(minima, key=DoubleWell(tilt=tilt).loss)
    assert float(deepest) * tilt <= 0


def test_two_minima_are_the_wells_they_were_asked_to_be() -> None:
    with float64():
        problem = TwoMinima(curvatures=(6.0, (1.0, 2.0)), depths=(0.3, 0.4), dimension=2)
        left, right = problem.minima()
        np.testing.assert_allclose(left, [-0.45, 0])
        np.testing.assert_allclose(right, [0.45, 0])
        losses, _, hessians = facts(problem, jnp.stack([left, right]))
        np.testing.assert_allclose(losses, [0.3, 0.4], rtol=1e-9)
        np.testing.assert_allclose(hessians[0], np.diag([6.0, 6.0]), atol=1e-6)
        np.testing.assert_allclose(hessians[1], np.diag([1.0, 2.0]), atol=1e-6)
        assert int(problem.well(left)) == 0
        assert int(problem.well(right)) == 1


def test_two_minima_lie_just_below_the_lower_parabola() -> None:
    """−w ln(e^{−a/w} + e^{−b/w}) is within w ln 2 of min(a, b), and equals it far from the ridge."""
    with float64():
        problem = TwoMinima(smoothing=0.02)
        x = np.linspace(-2, 2, 2001)
        left, right = 3 * (x + 0.45) ** 2, 0.1 + 0.5 * (x - 0.45) ** 2
        loss = np.asarray(losses_at(problem, jnp.asarray(x)))
        exact = -0.02 * np.logaddexp(-left / 0.02, -right / 0.02)
        np.testing.assert_allclose(loss, exact, rtol=1e-12, atol=1e-14)
        gap = np.minimum(left, right) - loss
        assert gap.min() >= -1e-14
        assert gap.max() <= 0.02 * np.log(2) + 1e-14
        # far away, where e^{−q/w} has long underflowed, slope and loss are still finite
        assert all(np.isfinite(part).all() for part in facts(problem, jnp.asarray([-1e3, 1e3])))


def test_two_minima_in_one_dimension_are_a_scalar_problem() -> None:
    scalar, vector = TwoMinima(), TwoMinima(dimension=2)
    assert scalar.init(KEY).shape == ()
    assert vector.init(KEY).shape == (2,)
    on_axis = vector.loss(jnp.asarray([0.2, 0.0]))
    np.testing.assert_allclose(scalar.loss(jnp.asarray(0.2)), on_axis, rtol=1e-6)


@pytest.mark.parametrize(("well", "barrier", "height"), [(4.0, 1.0, 0.25), (1.0, 3.0, 0.1), (1.0, 1.0, 2.0)])
def test_matched_parabolas(well: float, barrier: float, height: float) -> None:
    with float64():
        problem = MatchedParabolas(well_curvature=well, barrier_curvature=barrier, barrier_height=height)
        s, top = float(problem.switch_fraction), float(problem.barrier_position)
        assert s == pytest.approx(barrier / (well + barrier), rel=1e-14)
        assert height == pytest.approx(0.5 * well * s * top**2, rel=1e-14)
        joins = np.array([s * top, (2 - s) * top, top])
        curved = {
            well: [0.0, -3.0, 0.9 * s * top, 2 * top, 3 * top],
            -barrier: [(0.1 + 0.9 * s) * top, 0.999 * top, 1.001 * top],
        }
        line = np.linspace(-1, 1, 21) * 2 * top
        places = [[top], joins - 1e-9, joins + 1e-9, *curved.values(), line, 2 * top - line]
        losses, slopes, curvatures = facts(problem, jnp.asarray(np.concatenate(places)))
        ends = np.cumsum([len(place) for place in places])[:-1]
        at_top, below, above, _, _, left, right = np.split(np.asarray(losses), ends)
        np.testing.assert_allclose(at_top, height, rtol=1e-14)
        np.testing.assert_allclose(below, above, atol=1e-8)
        np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-12)
        at_top, below, above, *_ = np.split(np.asarray(slopes), ends)
        np.testing.assert_allclose(at_top, 0, atol=1e-14)
        np.testing.assert_allclose(below, above, atol=1e-7)
        _, _, _, up, down, *_ = np.split(np.ravel(curvatures), ends)
        np.testing.assert_allclose(up, well, rtol=1e-12)
        np.testing.assert_allclose(down, -barrier, rtol=1e-12)
        np.testing.assert_allclose(problem.minima(), [0, 2 * top], rtol=1e-14)


@pytest.mark.parametrize("dimension", [1, 2, 7])
def test_styblinski_tang_minimum(dimension: int) -> None:
    with float64():
        problem = StyblinskiTang(dimension)
        (theta,) = problem.minima()
        assert theta.shape == (dimension,)
        losses, slopes, _ = facts(problem, jnp.stack([theta, jnp.full(dimension, 2.7468)]))
        np.testing.assert_allclose(losses[0], -39.16616570377142 * dimension, rtol=1e-14)
        np.testing.assert_allclose(slopes[0], np.zeros(dimension), atol=1e-12)
        assert float(losses[1]) > float(losses[0])  # the other well of each coordinate is higher


MINIMA = [
    ((-0.558224, 1.441726), -146.69952),
    ((0.623499, 0.028038), -108.16672),
    ((-0.050011, 0.466694), -80.76782),
]
SADDLES = [((-0.822002, 0.624313), -40.66484), ((0.212487, 0.292988), -72.24894)]


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_muller_brown_published_points(scale: float) -> None:
    """Positions to the six digits and values to the five decimals that are published."""
    with float64():
        problem = MullerBrown(scale=scale)
        points, values = zip(*MINIMA, *SADDLES, strict=True)
        np.testing.assert_allclose(problem.minima(), points[:3], atol=1e-12)
        losses, slopes, hessians = facts(problem, jnp.asarray(points))
        np.testing.assert_allclose(losses / scale, values, atol=6e-6)
        gaps = np.linalg.solve(np.asarray(hessians), np.asarray(slopes)[:, :, None])
        assert np.abs(gaps).max() < 1e-6
        signs = np.sign(np.linalg.eigvalsh(np.asarray(hessians)))
        np.testing.assert_array_equal(signs, [[1, 1]] * 3 + [[-1, 1]] * 2)
