"""The cards that set two laws of escape beside each other, and two ways over a saddle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sde_sgd as ss
from paper_checks.diffusion_theory import _circle, rival_laws, saddle


def arm(law, error=0.02, seed=0, unit=6.5):
    """Made-up times over five barriers, by a law of L_s/L*."""
    ratio = rival_laws.RATIOS
    y = 1 + unit * law(ratio) + error * np.random.default_rng(seed).normal(size=len(ratio))
    return rival_laws.Arm(
        "made up", ratio, np.full(len(ratio), unit), y, np.full(len(ratio), error), exits=12_500
    )


def exponential(ratio):
    return ratio - 1


@pytest.mark.parametrize("slope", [0.7, 1.0, 1.4])
def test_either_law_can_win_whatever_its_slope(slope):
    assert rival_laws._compared(arm(lambda ratio: slope * exponential(ratio))).met
    power = rival_laws._compared(arm(lambda ratio: slope * np.log(ratio)))
    assert not power.met and power.estimate < -rival_laws.LEAST


def test_what_cannot_be_told_apart_is_not_taken_for_exponential():
    """Times with errors ten times as large."""
    found = [rival_laws._compared(arm(exponential, 0.2, seed)).met for seed in range(50)]
    assert not any(found)


def test_the_standard_error_of_a_difference_of_aic_is_its_spread():
    found = [rival_laws._difference(arm(exponential, 0.02, seed)) for seed in range(4000)]
    values, errors = np.transpose(found)
    np.testing.assert_allclose(errors.mean(), values.std(), rtol=0.06)


def test_the_projection_is_the_fit():
    made = arm(exponential)
    (constant, slope), _ = rival_laws._fit(made, made.exponential)
    fitted = rival_laws._hat(made, made.exponential) @ made.y
    np.testing.assert_allclose(fitted, constant + slope * made.exponential, atol=1e-9)


def test_the_slope_of_the_power_is_found():
    made = arm(lambda ratio: 0.9 * np.log(ratio) * (1 + 0.5 / 6.5), error=1e-4)
    assert rival_laws._slope(made).estimate == pytest.approx(0.9, abs=1e-3)


@pytest.mark.script
@pytest.mark.parametrize("ratio", [1.4, 2.1])
def test_the_square_loss_about_the_circle(ratio):
    """L = σ²/2 + 1 − cos θ on whitened inputs, stationary at 0 and π; C(0) = σ²."""
    low, high, well, top, noise = (float(one) for one in _circle.measured(_circle.square_loss(ratio)))
    assert high / low == pytest.approx(ratio, rel=1e-3)
    assert high - low == pytest.approx(2, rel=1e-3)
    assert (well, top) == pytest.approx((1, 1), rel=2e-3)
    assert noise == pytest.approx(2 * low, rel=1e-3)
    problem = _circle.square_loss(ratio)
    slopes = [float(problem.gradient(jnp.asarray(at))) for at in (0.0, np.pi)]
    np.testing.assert_allclose(slopes, 0, atol=2e-3)


@pytest.mark.script
def test_the_cross_entropy_about_the_circle():
    """Labels of the model itself: C(0) is the Fisher information, the curvature at 0."""
    problem = _circle.cross_entropy(1.0)
    low, high, well, top, noise = (float(one) for one in _circle.measured(problem))
    assert noise == pytest.approx(well, rel=0.02)
    assert high > low and top > 0
    slopes = [float(problem.gradient(jnp.asarray(at))) for at in (0.0, np.pi)]
    np.testing.assert_allclose(slopes, 0, atol=0.05 * well)
    left = _circle.Left()
    assert [bool(left(jnp.asarray(at))) for at in (0.0, np.pi, -4.5, 4.5)] == [False, False, True, True]


def test_noise_that_is_the_loss_is_that_of_the_curvature_at_the_minimum():
    well = ss.problems.MatchedParabolas(barrier_height=0.1)
    problem = rival_laws._with_loss(well, 0.05)
    for x in (0.0, 0.2, float(well.barrier_position)):
        expected = (float(well.loss(jnp.asarray(x))) + 0.05) / 0.05
        found = float(problem.gradient_covariance(jnp.asarray(x)).reshape(()))
        assert found == pytest.approx(expected, rel=1e-5)
    assert float(problem.gradient_covariance(jnp.zeros(())).reshape(())) == pytest.approx(1)


def over(value, slope, error=0.015, seed=0):
    """Made-up ln of times over Kramers'."""
    x = 1 / saddle.EXPONENTS
    noise = error * np.random.default_rng(seed).normal(size=len(x))
    return saddle.Arm("made up", value + slope * x + noise, np.full(len(x), error), -0.27, 0.8, 40_000)


def test_what_is_of_order_d_is_taken_away():
    """Over 4000 draws: the mean is the value at D = 0, the spread its standard error."""
    found = [over(0.1, 1.5, seed=seed).extrapolated for seed in range(4000)]
    values, errors = np.transpose(found)
    assert values.mean() == pytest.approx(0.1, abs=4 * errors[0] / 4000**0.5)
    assert values.std() == pytest.approx(errors[0], rel=0.05)


def test_two_formulas_are_told_apart():
    value, error = over(0.02, 1.5).extrapolated
    assert saddle._judged("", over(0.02, 1.5), value, error).met
    assert not saddle._judged("", over(0.02, 1.5), value + 0.27, error).met


@pytest.mark.script
def test_the_bent_valley():
    """Its Hessian is constant but for x; a plane through the saddle parts its minima."""
    surface = saddle._valley()
    problem = surface.with_noise(1.0)
    theory = ss.theory.kramers(
        problem,
        ss.Hyperparameters(0.1),
        minimum=saddle._f32(surface.minimum),
        saddle=saddle._f32(surface.saddle),
    )
    assert theory.saddle.loss - theory.minimum.loss == pytest.approx(0.25)
    k, s = np.array(saddle.STIFFNESS), np.array(saddle.SLOPES)
    # shears keep determinants: −1 · Πk at the saddle, 2 · Πk at the minimum
    for point, curvature in ((theory.saddle, -1.0), (theory.minimum, 2.0)):
        assert np.prod(point.eigenvalues) == pytest.approx(curvature * k.prod(), rel=1e-6)
        assert point.eigenvalues.sum() == pytest.approx(curvature + (k * s * s).sum() + k.sum(), rel=1e-6)
    one = saddle._along(problem, surface.minimum, surface.saddle, np.eye(4)[0])
    by_hand = 2 * np.pi / ((2 + (k * s * s).sum()) * abs(-1 + (k * s * s).sum())) ** 0.5
    assert one == pytest.approx(by_hand, rel=1e-5)
    np.testing.assert_allclose(problem.init(jax.random.key(0)), surface.minimum, rtol=1e-6)


def test_a_plane_is_passed_on_one_side():
    past = saddle.Past(jnp.array([0.0, 1.0]), jnp.asarray(0.5))
    assert [bool(past(jnp.array([9.0, y]))) for y in (0.4, 0.6)] == [False, True]
