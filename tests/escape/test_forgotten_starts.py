"""Rates from chains that have not forgotten their start, and what else would be a wrong number in silence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import refused

import sde_sgd as ss
from sde_sgd import escape
from sde_sgd.escape._by_renewal import _moved

KEY = jax.random.key(3)
WELL = ss.problems.DoubleWell(noise_variance=2.0)
SGD = ss.SGD(WELL, ss.Hyperparameters(0.05, 1))
BORDER = 0.5


def outside(x):
    return x > BORDER


@pytest.mark.script
def test_with_many_chains_the_pilot_is_as_long_as_the_well_remembers():
    """50 exits of 40 000 chains come within a fifth of the time that the well takes to be forgotten."""
    hot = ss.problems.DoubleWell(noise_variance=80.0)
    hyper = ss.Hyperparameters(0.002, 1)
    found = escape.by_renewal(
        ss.SGD(hot, hyper), start=-1.0, outside=outside, chains=40_000, exits=200, key=KEY, progress=False
    )
    exact = ss.theory.chain_passage_time(hot, hyper, target=BORDER, start=-1.0).steps
    assert abs(found.rate * exact - 1) < 5 * found.relative_error < 0.15


@pytest.mark.script
def test_steps_that_are_too_few_are_told():
    """Before it has come to the border a well says nothing about how it is left."""
    for steps, words in (
        (20, "steps may be too few to forget the start: the mean loss"),
        (200, "or steps may be too few"),
    ):
        with pytest.warns(UserWarning, match=words):
            escape.by_renewal(
                SGD, start=-1.0, outside=outside, chains=100_000, steps=steps, key=KEY, progress=False
            )


@pytest.mark.script
def test_a_start_on_the_saddle_is_told():
    """Its exits come in bursts, and those at the beginning are not taken for the rate."""
    with pytest.warns(UserWarning, match="start next to it"):
        found = escape.by_renewal(
            SGD, start=0.0, outside=outside, chains=2000, exits=1000, key=KEY, progress=False
        )
    # 1.54e-4 by a loop in NumPy; the interval is that of a Poisson number, too short here
    assert 1.2e-4 < found.rate < 1.9e-4


@pytest.mark.parametrize(("noise", "some"), [(2.0, "some"), (0.1, "more than")])
def test_exits_that_most_steps_cut_short_are_told(noise, some):
    sgd = ss.SGD(ss.problems.DoubleWell(noise_variance=noise), SGD.hyper)
    options = {"start": -1.0, "outside": outside, "chains": 100, "most_steps": 1000, "key": KEY}
    words = f"of 400: most_steps=1000 ended the run after [0-9]+ steps of each of 100 chains, .* take {some}"
    with pytest.warns(UserWarning, match=words):
        found = escape.by_renewal(sgd, exits=400, progress=False, **options)
    assert (found.exits > 0) == (some == "some") and found.exits < 200


def test_few_chains_say_nothing_about_the_mean_loss():
    short = ss.run(SGD, chains=4, steps=1, key=KEY, initial=-1.0, progress=False)
    assert _moved(short, ss.run(SGD, chains=4, steps=9, key=KEY, initial=-1.0, progress=False)) == 0
    many = [ss.run(SGD, chains=64, steps=n, key=KEY, initial=-1.0, progress=False) for n in (1, 30)]
    assert _moved(*many) > 3


def test_chains_that_were_stopped_are_not_waited_for():
    renewal = escape.Renewal(SGD, start=-1.0, outside=outside)
    result = ss.run(
        renewal, chains=50, steps=100, key=KEY, initial=-1.0, stop=lambda x: x > -0.5, every=1, progress=False
    )
    with refused(match="result must be of a run without stop and stop_loss"):
        escape.rate(result)


def test_a_loss_that_is_no_number_is_outside():
    level = escape._outside.outside_of(SGD, 2.0)
    assert level(jnp.array([-1.0, 3.0, jnp.nan])).tolist() == [False, True, True]
    hole = escape._outside.Outside(None, lambda x: jnp.where(x > 1.2, jnp.nan, 0.5 * x * x), jnp.asarray(2.0))
    assert hole(jnp.array([1.0, 1.3, 2.5])).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"parameters": {"rate": [1.0]}}, "none called as what the dataset holds, .* rate"),
        ({"learning_rate": []}, "learning_rate must be one value or several, got none"),
        ({"batch_size": []}, "batch_size must be one value or several, got none"),
        ({"start": 0.0}, "options must be among .* got start; start, outside and climb belong to the Well"),
        ({"by": "splitting"}, "options must be among .* by='splitting', got exits"),
    ],
)
def test_a_grid_is_refused_before_it_is_run(changed, message):
    well = escape.Well(WELL, -1.0, outside)
    given = {"learning_rate": 0.05, "chains": 64, "exits": 10, "key": KEY}
    with refused(match=message):
        escape.rates(ss.SGD, well, **given | changed)


def of_data(loss, shape=()):
    data = ss.data.Dataset(np.tile([[1.0], [-1.0]], (100, 1)), np.zeros(200))
    return ss.problems.from_loss(lambda t, x, y: loss(t, x[0]), data, init=lambda key: jnp.zeros(shape))


@pytest.mark.parametrize(
    ("loss", "guess"),
    [(lambda t, x: t**3, -0.01), (lambda t, x: t**6 / 3 - t**4, 0.01)],
    ids=["inflection", "quartic"],
)
def test_a_point_without_curvature_is_no_saddle(loss, guess):
    """Eigenvalues of 1e-43 are 0."""
    with refused(match="guess must lie near a stationary point with a curvature"):
        ss.theory.find_saddle(of_data(loss), jnp.asarray(guess))


def test_a_guess_may_be_a_number():
    with refused(match="guess must lie near a saddle .*, got -1: .* a minimum with eigenvalues"):
        ss.theory.find_saddle(WELL, -1.0)
    with refused(match="minimum must lie near a minimum, got 0"):
        ss.theory.kramers(WELL, ss.Hyperparameters(0.05), minimum=0.0, saddle=0.0)


def test_noise_of_data_that_is_lost_to_rounding_far_out_does_not_matter():
    """C = 2 of ± examples: at |θ| of 1e5 their gradients are one number, where no probability is."""
    own = of_data(lambda t, x: 0.25 * (t * t - 1) ** 2 + 2**0.5 * t * x)
    hyper = ss.Hyperparameters(0.05)
    found = ss.theory.mean_passage_time(own, hyper, target=0.7, start=-1.0).time
    assert found == pytest.approx(
        ss.theory.mean_passage_time(WELL, hyper, target=0.7, start=-1.0).time, rel=1e-5
    )


def test_values_on_one_side_have_no_index():
    drawn = np.random.default_rng(0).normal(size=400)
    for values in (np.ones(400), 5 + drawn, np.abs(drawn)):
        with refused(match="values must be symmetric about 0, but 400 of 400 are above it"):
            ss.statistics.tail_index(values)
    assert ss.statistics.tail_index(drawn).alpha > 1.4


def test_one_step_without_a_burn_in_is_a_run():
    found = escape.by_renewal(
        SGD, start=-1.0, outside=outside, chains=64, steps=1, burn_in=0, key=KEY, progress=False
    )
    assert (found.exits, found.exposure) == (0, 64)
