"""A run that is resumed with more steps ends with the bits of one that was as long from the start."""

import jax
import pytest
from checkpointed_run import RATES, everything, jobs, position, same_bits, square

import sde_sgd as ss

pytestmark = pytest.mark.filterwarnings("ignore:1 of 15 chains diverged")


def job(name, **change):
    """One of `checkpointed_run`'s, shorter."""
    return {**jobs()[name], "burn_in": 20, **change}


@pytest.mark.parametrize(
    ("name", "lengths"),
    [
        ("sgd", [105]),  # from a sample on
        ("sgd", [63, 110]),  # twice, then from between two samples
        ("stopping", [110]),
        ("chunked", [110]),
    ],
)
def test_more_steps_give_the_bits_of_a_run_as_long(name, lengths, tmp_path):
    """With records, moments, histograms, a chain that diverges, chains that stop, several chunks."""
    for steps in lengths:
        ss.run(**job(name, steps=steps), checkpoint=tmp_path / "run", resume=True)
    longer = ss.run(**job(name, steps=200), checkpoint=tmp_path / "run", resume=True)
    assert longer.steps == 200
    same_bits(everything(ss.run(**job(name, steps=200))), everything(longer))


def test_the_end_of_a_shorter_run_is_forgotten_where_only_the_end_was_looked_at(tmp_path):
    """`every` not given: the longer run looks at its own end only, and finds what diverges or stops there."""
    asked = {"every": None, "burn_in": 0}
    for name in ("sgd", "stopping"):
        ss.run(**job(name, **asked, steps=60), checkpoint=tmp_path / name)
        longer = ss.run(**job(name, **asked, steps=130), checkpoint=tmp_path / name, resume=True)
        whole = ss.run(**job(name, **asked, steps=130))
        assert whole.record_steps.tolist() == [0, 130]
        assert (whole.diverged_at == 130).any()
        same_bits(everything(whole), everything(longer))


def test_a_result_that_was_continued_can_be_continued_longer(tmp_path):
    first = ss.run(**job("sgd", steps=50))
    further = job("sgd", initial=first)
    ss.run(**further | {"steps": 70}, checkpoint=tmp_path / "run")
    longer = ss.run(**further | {"steps": 140}, checkpoint=tmp_path / "run", resume=True)
    same_bits(everything(ss.run(**further | {"steps": 140})), everything(longer))


def test_every_may_be_given_where_it_was_not_if_nothing_was_summed(tmp_path):
    """A sample at the old end is dropped from the record, and cannot be taken out of sums."""
    process = ss.SGD(ss.problems.DoubleWell(), ss.Hyperparameters(RATES, 2))
    plain = {"process": process, "chains": 15, "key": jax.random.key(5), "record": {"x": position}}
    ss.run(**plain, steps=40, checkpoint=tmp_path / "plain")
    longer = ss.run(**plain, steps=100, every=50, checkpoint=tmp_path / "plain", resume=True)
    same_bits(everything(ss.run(**plain, steps=100, every=50)), everything(longer))


def test_what_cannot_be_made_longer_is_refused_with_the_reason(tmp_path):
    ss.run(**job("sgd", steps=105), checkpoint=tmp_path / "run")
    refused = {
        r"steps is 70 here, but the checkpoint is at step 105 already.*not shorter.*steps >= 105": {
            "steps": 70
        },
        r"looked at 15 samples, 7 steps apart, this one at 21 samples, 5 steps apart": {
            "steps": 200,
            "every": 5,
        },
        r"looked at 15 samples, 7 steps apart, this one at no sample": {"steps": 200, "every": None},
        r"burn_in is 30 here, 20 in the checkpoint": {"steps": 200, "burn_in": 30},
        r"recorder.record is 1 entries here, 2": {"steps": 200, "record": {"x": square}},
    }
    for message, change in refused.items():
        with pytest.raises(ss.CheckpointError, match=message):
            ss.run(**job("sgd", **change), checkpoint=tmp_path / "run", resume=True)
    longer = ss.run(**job("sgd", steps=140), checkpoint=tmp_path / "run", resume=True)
    same_bits(everything(ss.run(**job("sgd", steps=140))), everything(longer))


def sweep(folder=None, **change):
    options = {"learning_rate": [0.05, 2.5], "batch_size": [1, 2], "seeds": 2, "record": {"x": position}}
    options |= {"key": jax.random.key(1), "keep_theta": True, "resume": folder is not None}
    return ss.sweep(ss.SGD, ss.problems.DoubleWell(), **options, **change, checkpoint=folder)


@pytest.mark.filterwarnings("ignore:[24] of 8 runs diverged")
@pytest.mark.parametrize(
    ("shorter", "longer"),
    [
        ({"steps": 40, "every": 8}, {"steps": 96, "every": 8}),
        ({"steps": 40}, {"steps": 96}),
        ({"time": 5}, {"time": 15}),
    ],
)
@pytest.mark.script
def test_a_sweep_can_be_made_longer(shorter, longer, tmp_path):
    """Equal steps, with and without samples on the way; equal time, which is other steps for each rate."""
    sweep(tmp_path / "sweep", **shorter)
    found = everything(sweep(tmp_path / "sweep", **longer))
    same_bits(everything(sweep(**longer)), found)


def test_a_sweep_with_a_schedule_is_refused_with_another_length(tmp_path):
    def staged(last):
        schedule = ss.schedules.piecewise([4, last], learning_rate=[0.1, 0.05], batch_size=2, unit="steps")
        options = {"schedule": schedule, "key": jax.random.key(1), "checkpoint": tmp_path, "resume": True}
        return ss.sweep(ss.SGD, ss.problems.DoubleWell(), **options)

    staged(4)
    with pytest.raises(ss.CheckpointError, match=r"clock is Clock\(unit='steps', length=12.0"):
        staged(8)
