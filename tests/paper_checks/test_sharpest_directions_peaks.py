"""What judges the peaks of λ₁, on made-up curves where the answer is known."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy import stats

from paper_checks.sharpest_directions import conditioning, edge, growth, peak_height
from paper_checks.sharpest_directions._exponents import above, dealt, fits
from paper_checks.sharpest_directions._grid import Grid, crossing

RATES, SIZES = np.array([0.08, 0.16, 0.32]), np.array([4, 16, 64])
SEEDS, POINTS = 6, 41


def grid(rng, in_rate, in_size, *, through_loss=False, name="made up", noise=0.1):
    """λ₁ = t e^{1 − t} η^a B^b, or what it is of the loss alone; λ₅ = λ₁ to the power .5."""
    times = np.linspace(0.1, 4.0, POINTS)
    scale = in_rate * np.log(RATES)[:, None] + in_size * np.log(SIZES)
    speed = np.exp(scale)[..., None, None] if through_loss else np.ones((3, 3, 1, 1))
    moved = np.broadcast_to(speed * times / speed.max(), (3, 3, SEEDS, POINTS))
    loss = 2.0 - 0.4 * moved
    logs = np.log(moved) + 1 - moved + noise * rng.normal(size=(3, 3, SEEDS, 1))
    if not through_loss:
        logs = logs + scale[..., None, None]
    top = np.exp(logs[..., None] * np.linspace(1, 0.5, 5))
    return Grid(name, None, RATES, SIZES, times, top, np.exp(logs), loss)


def test_exponents_are_those_of_a_power_law():
    made = grid(np.random.default_rng(0), -0.3, 0.2, noise=0.0)
    found = fits(made.peaks, RATES, SIZES)
    np.testing.assert_allclose(found["η"], -0.3, atol=1e-12)
    np.testing.assert_allclose(found["B"], 0.2, atol=1e-12)


def test_above_holds_its_level():
    """1000 samples at the bound; a false alarm in a million."""
    rng = np.random.default_rng(1)
    calls = sum(above(rng.normal(1.0, 1.0, size=6), 1.0)[2] < 0.05 for _ in range(1000))
    assert stats.binom.isf(1 - 5e-7, 1000, 0.05) < calls < stats.binom.isf(5e-7, 1000, 0.05)


def peaks_of(made):
    return peak_height._judge({one.name: (one, one.peaks) for one in made})


def test_both_exponents_of_the_peak_are_needed():
    rng = np.random.default_rng(2)
    for in_rate, in_size in ((-0.3, 0.2), (-0.3, -0.2), (0.3, 0.2)):
        found = peaks_of([grid(rng, in_rate, in_size), grid(rng, -0.3, 0.2, name="other")])
        assert [one.met for one in found] == [in_rate < 0, in_size > 0], found


def test_settings_dealt_out_anew_keep_each_seed_and_lose_the_exponents():
    made = grid(np.random.default_rng(3), -0.3, 0.2)
    mixed = dealt(made.peaks, jax.random.key(0))
    np.testing.assert_array_equal(np.sort(mixed.reshape(9, -1), 0), np.sort(made.peaks.reshape(9, -1), 0))
    assert not any(one.met for one in peak_height._judge({"": (dataclasses.replace(made), mixed)}))


def test_a_crossing_is_the_first():
    losses, values = np.array([2.0, 1.0, 1.5, 0.5]), np.array([0.0, 1.0, 7.0, 9.0])
    assert crossing(losses, values, 1.25) == pytest.approx(0.75)


def test_what_is_of_the_loss_alone_is_gone_at_equal_loss():
    """Curvature that the noise changes by slower training only."""
    made = grid(np.random.default_rng(4), -0.3, 0.2, through_loss=True, noise=0.0)
    equal = made.at_equal_loss("λ₁")
    # samples are a line apart, at which e^{-t} bends
    assert np.ptp(equal) < 0.02
    assert np.ptp(made.along("λ₁")) > 10 * np.ptp(equal)


def test_conditioning_finds_exponents_of_whole_curves():
    made = grid(np.random.default_rng(5), -0.3, 0.2)
    values = {
        (what, when): {made.name: (made, mean(made, what))}
        for when, mean in conditioning.WHEN.items()
        for what in conditioning.JUDGED
    }
    found = conditioning._judge(values)
    assert all(one.met for one in found)
    np.testing.assert_allclose([one.estimate for one in found], [-0.3, 0.2, -0.15, 0.1] * 2, atol=0.15)


def test_a_peak_is_not_read_where_chance_makes_it_largest():
    """Curves without a peak: their own largest value is far above the mean, that at the others' is not."""
    rng = np.random.default_rng(6)
    curves = np.exp(0.3 * rng.normal(size=(400, 20)))
    error = 0.3 / np.sqrt(400)
    assert abs(np.log(growth.at_peak(curves)).mean()) < 6 * error
    assert np.log(curves.max(axis=1)).mean() > 0.3


def test_growth_tells_a_rise_from_a_start_at_the_peak():
    rng = np.random.default_rng(7)
    times = np.linspace(0.02, 6.0, 40)
    noise = np.exp(0.1 * rng.normal(size=(6, 40)))
    rising, falling = times * np.exp(1 - times) * noise, np.exp(-times) * noise
    found = {name: growth._rise(one) for name, one in {"up": rising, "down": falling}.items()}
    assert growth._least("", {"up": found["up"]}, growth.GROWN).met
    assert not growth._least("", found, growth.GROWN).met
    assert not growth._most({"down": found["down"]}).met
    assert growth._least("", {"up": growth._fall(rising)}, 1.0).met
    assert growth._least("", {"up": growth._drift(rising)}, growth.SETTLED, below=True).met
    grows = times * noise
    assert not growth._least("", {"": growth._drift(grows)}, growth.SETTLED, below=True).met


def test_the_error_of_a_left_out_setting_is_that_of_a_fit_without_it():
    rng = np.random.default_rng(8)
    logs = rng.normal(size=(3, 3))
    rate, size = (one.ravel() for one in np.meshgrid(np.log(RATES), np.log(SIZES), indexing="ij"))
    squares = []
    for point in range(9):
        others = np.arange(9) != point
        line = np.polyfit((rate - size)[others], logs.ravel()[others], 1)
        squares.append((np.polyval(line, (rate - size)[point]) - logs.ravel()[point]) ** 2)
    assert edge.left_out(logs, RATES, SIZES)[edge.NOISE] == pytest.approx(np.sqrt(np.mean(squares)))


@pytest.mark.parametrize(("in_rate", "in_size", "met"), [(-0.3, 0.3, True), (-0.9, 0.0, False)])
def test_the_account_that_is_true_predicts_better(in_rate, in_size, met):
    made = grid(np.random.default_rng(9), in_rate, in_size)
    better, _ = edge._better([made], {made.name: made.peaks})
    assert better.met is met
    errors = edge.left_out(made.peaks.mean(axis=2), RATES, SIZES)
    assert (errors[edge.NOISE] < errors[edge.EDGE]) is met
