"""The explorer's pure function: its numbers are right, bad settings are refused, moves compile nothing."""

import collections
import dataclasses
import re

import jax
import numpy as np
import pytest
from helpers import assert_agree, bound, refused

import sde_sgd as ss
from sde_sgd import explorer
from sde_sgd.explorer import DigitsSettings, WellSettings, _controls
from sde_sgd.explorer._distances import distance

KEY = jax.random.key(0)
EXACT = "exact law of SGD"


@pytest.fixture
def events():
    """What JAX traces, lowers and compiles, by name."""
    counted = collections.Counter()

    def heard(name, *_args, **_more):
        counted[name] += 1

    jax.monitoring.register_event_duration_secs_listener(heard)
    yield counted
    jax.monitoring.unregister_event_duration_listener(heard)


def ks(numbers, *pair):
    return numbers.distances[pair].ks


def test_the_sde_is_gibbs_and_sgd_goes_away_from_it_with_eta():
    # η/B is the same, and so are T, the SDE and Gibbs
    cold, warm = (
        explorer.simulate(WellSettings(learning_rate=rate, batch_size=size), key=KEY)
        for rate, size in ((0.05, 1), (0.4, 8))
    )
    assert cold.temperature == pytest.approx(0.2) == warm.temperature
    # Massart: P(√n KS > x) ≤ 2 exp(−2x²), here a millionth
    limit = (np.log(2 / 1e-6) / 2) ** 0.5 / 4096**0.5
    for numbers in (cold, warm):
        assert numbers.diverged == 0
        assert numbers.time == pytest.approx(20, rel=0.01)
        assert ks(numbers, "SDE", "Gibbs") < limit
        assert ks(numbers, "SGD", EXACT) < limit
    assert ks(warm, "SGD", "Gibbs") > limit
    # without chains: what a finite η adds, O(η)
    ratio = ks(warm, "Gibbs", EXACT) / ks(cold, "Gibbs", EXACT)
    assert 6 < ratio < 30
    # the law of first order is O(η²) from the exact one where there is one
    assert "O(η) law" not in warm.laws
    assert "η is too large for the O(η) law" in warm.notes
    gap = distance(cold.laws["O(η) law"], cold.laws[EXACT]).ks
    assert 0 < gap < ks(cold, "Gibbs", EXACT) / 2


def test_the_laws_are_those_of_theory():
    asked = WellSettings(tilt=0.1)
    numbers = explorer.simulate(asked, key=KEY)
    well, hyper = ss.problems.DoubleWell(tilt=0.1, noise_variance=4.0), ss.Hyperparameters(0.1, 2)
    at = np.linspace(-1.8, 1.8, 37)
    whole = {
        "Gibbs": ss.theory.gibbs(well, hyper),
        "O(η) law": ss.theory.modified_gibbs(well, hyper),
        EXACT: ss.theory.chain_law(well, hyper),
    }
    assert set(numbers.laws) == set(whole)
    for name, law in whole.items():
        np.testing.assert_allclose(numbers.laws[name].cdf(at), law.cdf(at), atol=2e-5, err_msg=name)


def test_a_parabola_has_the_exact_variance_with_momentum():
    asked = WellSettings(well="parabola", momentum=0.5, learning_rate=0.4)
    numbers = explorer.simulate(asked, key=KEY)
    hyper = ss.Hyperparameters(0.4, 2, 0.5)
    exact = ss.theory.discrete_covariance([[1.0]], [[4.0]], hyper)[0, 0]
    assert numbers.laws[EXACT].variance == pytest.approx(exact, rel=1e-6)
    assert numbers.laws["Gibbs"].variance == pytest.approx(numbers.temperature / 2, rel=1e-4)
    for name, variance in (("SGD", exact), ("SDE", numbers.temperature / 2)):
        sample = numbers.samples[name]
        # of the SDE's solver: dt/2 of the curvature, squared
        bias = 0.002 * variance if name == "SDE" else 0.0
        error = variance * (2 / len(sample)) ** 0.5
        assert abs(sample.var() - variance) < bound() * error + bias, name


def test_distances_are_those_of_statistics():
    numbers = explorer.simulate(WellSettings(), key=KEY)
    pairs = {("SGD", "Gibbs"): numbers.laws["Gibbs"], ("SGD", "SDE"): numbers.samples["SDE"]}
    for pair, other in pairs.items():
        found = numbers.distances[pair]
        one = ss.statistics.kolmogorov_smirnov(numbers.samples["SGD"], other)
        assert found.ks == pytest.approx(one.value, rel=1e-6)
        assert found.ks_error == pytest.approx(one.standard_error, rel=1e-6)
        two = ss.statistics.wasserstein(numbers.samples["SGD"], other, key=KEY, draws=19)
        assert found.w1 == pytest.approx(two.value, rel=1e-3)
        assert found.w1_error == pytest.approx(two.standard_error, rel=1e-2)


@pytest.mark.script
def test_sgd_on_digits_has_the_covariance_that_is_exact_at_its_eta():
    # cold: there the loss is a parabola, and the exact covariance is exact
    asked = DigitsSettings(learning_rate=0.5, batch_size=64, sampling="subset")
    numbers = explorer.simulate(asked, key=KEY)
    sharp = numbers.directions[0]
    assert numbers.size == 379
    assert sharp.curvature == max(one.curvature for one in numbers.directions) < numbers.edge == 4.0
    ratio = sharp.exact.variance / sharp.sde.variance
    assert ratio > 2  # 1/(1 − ηλ/2)
    assert sharp.to_exact.ks < 0.5 * sharp.to_sde.ks
    assert sharp.sample.var() / sharp.exact.variance == pytest.approx(1, abs=0.25)
    # there is no noise without which the other directions would not move
    assert all(len(one.sample) == 1024 and one.sample.std() > 0 for one in numbers.directions)


def test_shuffled_epochs_are_colder_and_told_of():
    asked = DigitsSettings(batch_size=32, sampling="shuffle")
    numbers = explorer.simulate(asked, key=KEY)
    flat = numbers.directions[-1]
    assert flat.exact.variance < 0.8 * flat.sde.variance
    assert numbers.steps % (numbers.size // 32) == 0
    assert "no white-noise SDE" in numbers.notes[0]


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        (WellSettings, {}),
        pytest.param(WellSettings, {"well": "two minima", "sampling": "subset"}, marks=pytest.mark.script),
        (DigitsSettings, {}),
    ],
    ids=["well", "batches", "digits"],
)
def test_no_move_of_a_slider_traces_or_compiles(events, kind, base):
    """Not a program of a run, nor one of theory, nor a single operation of JAX: nothing at all."""
    moved = {
        "learning_rate": (0.02, 0.05, 0.2),
        "noise_variance": (1.0, 2.0),
        "tilt": (-0.2, 0.1),
        "momentum": (0.5, 0.9),
        "time": (5.0, 40.0),
    }
    fields = {field.name for field in dataclasses.fields(kind)}
    moves = [{name: value} for name, values in moved.items() if name in fields for value in values]
    # the second finds arrays that the first has made
    for first in ({}, {"learning_rate": 0.03}):
        explorer.simulate(kind(**base, **first), key=KEY)
    events.clear()
    for move in moves:
        explorer.simulate(kind(**base, **move), key=KEY)
    assert not events, events
    # and the counting counts: a new B is compiled, once
    explorer.simulate(kind(**base, batch_size=3), key=KEY)
    assert any("compile" in name for name in events)
    events.clear()
    explorer.simulate(kind(**base, batch_size=3, learning_rate=0.05), key=KEY)
    assert not events, events


WRONG = {
    "learning_rate": (0.0, -1.0, np.nan, "fast", [0.1, 0.2]),
    "batch_size": (0, 1.5, "all"),
    "momentum": (1.0, -0.1),
    "chains": (8, 1.5, 10**9),
    "sampling": ("with", None),
    "noise_variance": (0.0, np.inf),
    "noise_law": ("cauchy",),
    "well": ("hole",),
    "tilt": (0.5, -0.39, "left"),
    "time": (0.0,),
    "start": ("here",),
}


SETTINGS = [
    (kind, field.name) for kind in (WellSettings, DigitsSettings) for field in dataclasses.fields(kind)
]


@pytest.mark.parametrize(("kind", "name"), SETTINGS, ids=lambda one: getattr(one, "__name__", one))
def test_a_bad_setting_is_named(kind, name):
    for value in WRONG[name]:
        with refused(f"^{name} must be"):
            kind(**{name: value})


def test_what_cannot_be_run_is_refused_in_words():
    with refused("batch_size must be <= 128, the size of the data set"):
        WellSettings(sampling="subset", batch_size=256)
    with refused("SGD is unstable. Use a learning rate below"):
        explorer.simulate(DigitsSettings(learning_rate=2.0), key=KEY)
    with refused("settings must be WellSettings or DigitsSettings, got"):
        explorer.simulate({"learning_rate": 0.1}, key=KEY)
    with refused("key must be"):
        explorer.simulate(WellSettings(), key=0)


def test_chains_that_diverge_are_counted_and_left_out():
    asked = WellSettings(learning_rate=0.4, batch_size=1, noise_variance=8.0, start="spread")
    numbers = explorer.simulate(asked, key=KEY)
    assert 0 < numbers.diverged == 4096 - len(numbers.samples["SGD"])
    assert f"{numbers.diverged} of 4096 chains of SGD diverged" in numbers.notes
    # those on their way to infinity are among them: one of 10²² would be all that a distance tells
    few = explorer.simulate(WellSettings(learning_rate=0.2, batch_size=4, momentum=0.9), key=KEY)
    assert 0 < few.diverged < 40 and few.distances["SGD", "Gibbs"].w1 < 10
    assert "SGD has no stationary law: its chains escape" in numbers.notes
    explorer.picture(numbers)


def test_what_the_controls_offer_is_valid_and_begins_at_the_default():
    for kind in _controls.TABS.values():
        offered = _controls.controls(kind)
        assert {one.name for one in offered} == {field.name for field in dataclasses.fields(kind)}
        assert kind(**{one.name: one.value for one in offered}) == kind()
        for one in offered:
            assert one.value in one.options
            for option in one.options:
                kind(**{one.name: option})


@pytest.mark.script
def test_time_is_cut_where_batches_take_long():
    asked = WellSettings(sampling="shuffle", batch_size=32, chains=16384, time=80.0, learning_rate=0.01)
    numbers = explorer.simulate(asked, key=KEY)
    assert numbers.time < 80
    assert numbers.steps % 4 == 0
    told = " ".join(numbers.notes)
    assert re.search(r"run to t = [\d.]+ of 80", told)
    assert "1024 chains" in told
    assert_agree(len(numbers.samples["SGD"]), 1024, 0.0)


@pytest.mark.parametrize("noise_law", ["rademacher", "exponential"])
def test_a_law_is_called_exact_only_where_it_is(noise_law):
    numbers = explorer.simulate(
        WellSettings(well="parabola", noise_law=noise_law, learning_rate=0.4, batch_size=1), key=KEY
    )
    # its variance is, its shape is not
    assert EXACT not in numbers.laws
    assert ks(numbers, "SGD", "Gaussian, SGD's variance") > 0.04


@pytest.mark.script
def test_velocities_have_settled():
    """After one step from rest the variance would be .4 of what it stays at."""
    numbers = explorer.simulate(
        WellSettings(well="parabola", momentum=0.9, learning_rate=0.4, batch_size=1, time=5.0), key=KEY
    )
    assert ks(numbers, "SGD", EXACT) < 0.05
    numbers = explorer.simulate(DigitsSettings(momentum=0.9, batch_size=64, chains=512), key=KEY)
    assert 0.9**numbers.steps < 0.05


def test_what_is_too_cold_is_said_in_words():
    with refused("T = 7.81e-05 is too small to be drawn here"):
        explorer.simulate(WellSettings(learning_rate=0.01, batch_size=64, noise_variance=0.5), key=KEY)
    with refused("a batch of all examples has no noise"):
        explorer.simulate(WellSettings(sampling="subset", batch_size=128), key=KEY)
