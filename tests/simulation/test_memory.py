"""Memory: known before it is taken, refused where it is not there, flat in the number of steps."""

import re
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from checkpointed_run import everything, same_bits
from helpers import finished, launch, refused, some_as_scripts

import sde_sgd as ss

PROCESS = ss.SGD(ss.problems.DoubleWell(), ss.Hyperparameters(0.05, 2))
MILLION = 10**6


def identity(x):
    return x


@pytest.mark.script
def test_a_million_chains_of_a_million_steps_take_less_than_a_gigabyte():
    """And however many steps: only what `record` keeps grows with them, by just its own size."""
    prediction = ss.predict_memory(PROCESS, chains=MILLION, steps=MILLION)
    # what must be there: position and number of every chain, when it diverged and stopped
    assert 16 * MILLION < prediction.total < 1e9
    assert prediction.total == ss.predict_memory(PROCESS, chains=MILLION, steps=1000 * MILLION).total
    assert prediction.records == 0
    gathered = {"moments": {"x": identity}, "histograms": ss.Histogram(-2, 2), "every": 10}
    more = ss.predict_memory(PROCESS, chains=MILLION, steps=MILLION, **gathered)
    assert prediction.total + 8 * MILLION <= more.total < 1e9
    longer = ss.predict_memory(PROCESS, chains=MILLION, steps=1000 * MILLION, **gathered)
    assert (more.total, more.per_chain) == (longer.total, longer.per_chain)
    kept = [
        ss.predict_memory(PROCESS, chains=1000, steps=steps, every=10, record={"x": identity})
        for steps in (10_000, 20_000)
    ]
    # float32 for 1000 chains, held twice while the pieces are joined
    assert [each.records for each in kept] == [2 * 4 * 1000 * 1001, 2 * 4 * 1000 * 2001]
    assert kept[1].total - kept[0].total == 2 * 4 * 1000 * 1000


@pytest.mark.script
def test_it_grows_in_proportion_to_the_chains():
    totals = [ss.predict_memory(PROCESS, chains=n * MILLION).total for n in (1, 2, 4)]
    # what does not grow is a tile of the state and small change
    np.testing.assert_allclose(totals[1] - totals[0], (totals[2] - totals[1]) / 2, rtol=0.01)
    assert totals[2] / totals[1] == pytest.approx(2, rel=0.05)
    wide = ss.SGD(ss.problems.Quadratic(np.eye(50)), ss.Hyperparameters(0.05, 2))
    more = ss.predict_memory(wide, chains=100_000).per_chain
    assert more > 50 * 4
    assert more > 10 * ss.predict_memory(PROCESS, chains=100_000).per_chain


@pytest.mark.script
def test_the_largest_that_is_said_to_fit_fits_and_a_little_more_does_not(key):
    limit = 10_000_000
    with pytest.raises(MemoryError) as refused:
        ss.run(PROCESS, chains=MILLION, steps=2, key=key, memory_limit=limit)
    text = str(refused.value)
    assert re.search(r"1000000 chains at once take \d\d(\.\d+)? MB .*; available: 10 MB\.", text)
    (largest,) = map(int, re.findall(r"run\(\.\.\., chunk=(\d+)\)", text))
    ss.run(PROCESS, chains=largest, steps=2, key=key, memory_limit=limit)
    with pytest.raises(MemoryError):
        ss.run(PROCESS, chains=int(1.05 * largest), steps=2, key=key, memory_limit=limit)
    chunked = ss.run(PROCESS, chains=MILLION, steps=2, key=key, memory_limit=limit, chunk=largest)
    same_bits(everything(ss.run(PROCESS, chains=MILLION, steps=2, key=key)), everything(chunked))


def test_what_will_never_fit_is_refused_at_once(key):
    """Before anything of that size is made, on the host or on a device."""

    def resident():
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024

    began, before = time.monotonic(), resident()
    for chains in (2 * 10**9, 10**10, 10**12):
        with pytest.raises(MemoryError, match=rf"{chains} chains at once .* GB.*run\(\.\.\., chunk=\d+\)"):
            ss.run(PROCESS, chains=chains, steps=1, key=key, memory_limit=10**9)
    assert time.monotonic() - began < 60  # making so many takes hours
    assert resident() - before < 2 * 10**9
    with pytest.raises(MemoryError, match=r"Not even one chain fits: .* EmpiricalRisk a `block`"):
        ss.run(PROCESS, chains=2, steps=1, key=key, memory_limit=1)
    with refused(match="memory_limit must be an integer >= 1"):
        ss.run(PROCESS, chains=2, steps=1, key=key, memory_limit=0)


def test_records_are_refused_too(key):
    record = {"x": identity}
    ss.run(PROCESS, chains=1000, steps=10, key=key, memory_limit=10**7)
    with pytest.raises(MemoryError, match=r"800 GB for records"):
        ss.run(PROCESS, chains=1000, steps=10**8, every=1, record=record, key=key, memory_limit=10**9)


def test_what_is_available_is_read_from_the_system(monkeypatch, tmp_path):
    from sde_sgd.simulation import _memory

    known = ss.predict_memory(PROCESS, chains=10).available
    assert known is not None and 10**6 < known < 10**15
    (tmp_path / "memory.max").write_text("5000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    monkeypatch.setattr(_memory, "_CGROUP", tmp_path)
    confined = ss.predict_memory(PROCESS, chains=MILLION)
    assert confined.available == int(0.9 * 4_000_000)
    assert not confined.fits
    (tmp_path / "memory.max").write_text("max\n")
    assert ss.predict_memory(PROCESS, chains=10).available > 10**6


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux")
@pytest.mark.script
def test_the_prediction_is_what_a_run_takes():
    """Within a factor of two of the true growth, and a million chains stay below a gigabyte in all."""
    out, _ = finished(launch(MILLION, script="memory_of_a_run.py"))
    predicted, growth, peak = map(int, out.split())
    assert predicted / 2 < growth < 2 * predicted
    assert peak < 1e9


HYPER = ss.Hyperparameters(np.linspace(0.02, 0.08, 11), 2)


def chunked_job(key):
    return {
        "process": ss.SGD(ss.problems.DoubleWell(), HYPER),
        "chains": 11,
        "steps": 30,
        "every": 4,
        "burn_in": 8,
        "initial": np.linspace(-1, 1, 11),
        "record": {"x": identity},
        "moments": {"x": identity},
        "histograms": ss.Histogram(-2, 2, 16),
        "key": key,
    }


@pytest.mark.same_bits
@pytest.mark.parametrize("chunk", some_as_scripts([1, 4, 10, 11, 100], [4, 11]))
def test_chunks_of_chains_give_the_same(chunk, key):
    """Rates and starting points of each chain go with it; so does all that it is continued from."""
    job = chunked_job(key)
    whole = ss.run(**job)
    cut = ss.run(**job, chunk=chunk)
    same_bits(everything(whole), everything(cut))
    if chunk == 4:
        again = ss.run(**{**job, "initial": cut}, chunk=chunk)
        same_bits(everything(ss.run(**{**job, "initial": whole})), everything(again))


def test_chunks_are_run_one_after_the_other(key, monkeypatch):
    from sde_sgd.simulation import _engine

    seen = []

    def simulate(task, *args, whole=_engine.simulate, **options):
        seen.append(task.layout.chains)
        return whole(task, *args, **options)

    monkeypatch.setattr("sde_sgd.simulation._run.simulate", simulate)
    ss.run(**chunked_job(key), chunk=4)
    assert seen == [4, 4, 3]
    with refused(match="chunk must be an integer >= 1"):
        ss.run(**chunked_job(key), chunk=0)


def stopping(key, **change):
    well = ss.problems.DoubleWell()
    rates = np.where(np.arange(8) == 3, 2.5, np.linspace(0.02, 0.09, 8))
    job = {
        "process": ss.Langevin(well, ss.Hyperparameters(rates, 2)),
        "chains": 8,
        "steps": 5000,
        "every": 5,
        "record": {"x": identity, "loss": well.loss},
        "moments": {"x": identity},
        "histograms": ss.Histogram(-2, 2, 16),
        "key": key,
    }
    with pytest.warns(UserWarning, match="1 of 8 chains diverged"):
        return ss.run(**{**job, **change})


@pytest.mark.filterwarnings("ignore:moments of .* chains stopped before the first")
def test_chains_stay_where_the_loss_is_reached(key):
    """Up to there they are those of a run without the stop; one that diverges does not hold up the end."""
    free = stopping(key)
    stopped = stopping(key, stop_loss=1e-4)
    reached = free.record["loss"] <= 1e-4
    assert (reached.any(axis=0) == (np.arange(8) != 3)).all()
    first = np.where(reached.any(axis=0), 5 * reached.argmax(axis=0), -1)
    np.testing.assert_array_equal(stopped.stopped_at, first)
    assert stopped.diverged_at[3] == free.diverged_at[3] > 0
    last = max(first.max(), stopped.diverged_at[3])
    assert last < 5000
    np.testing.assert_array_equal(stopped.record_steps, np.arange(0, last + 1, 5))
    for chain in set(range(8)) - {3}:
        until = first[chain] // 5
        np.testing.assert_array_equal(
            stopped.record["x"][: until + 1, chain], free.record["x"][: until + 1, chain]
        )
        assert (stopped.record["x"][until:, chain] == free.record["x"][until, chain]).all()
        assert stopped.theta[chain] == free.record["x"][until, chain]
        # the start is no sample of the statistics, the stop is their last
        mean = free.record["x"][1 : until + 1, chain].astype(np.float64)
        if until:
            np.testing.assert_allclose(stopped.moments["x"].mean_per_chain[chain], mean.mean(), atol=1e-5)
            np.testing.assert_allclose(stopped.moments["x"].variance_per_chain[chain], mean.var(), atol=1e-5)
    lost = stopped.diverged_at[3] // 5
    assert stopped.histograms["theta"].total == (first[first >= 0] // 5).sum() + lost - 1


@pytest.mark.same_bits
@pytest.mark.filterwarnings("ignore:moments of .* chains stopped before the first")
@pytest.mark.parametrize("change", [{"chunk": 3}, {"pace": 1.0}, {"pace": 1e9}])
def test_what_a_stopped_run_leaves_does_not_depend_on_how_it_was_cut(change, key, monkeypatch):
    """The last chunk of steps goes on beyond the last stop by chance: nothing of that is kept."""
    from sde_sgd.simulation import _engine

    expected = everything(stopping(key, stop_loss=1e-4))
    pace = change.pop("pace", None) if "pace" in change else None
    if pace is not None:
        monkeypatch.setattr(
            _engine,
            "next_block",
            lambda done, steps, every, _pace, room, block=_engine.next_block: block(
                done, steps, every, pace, room
            ),
        )
    same_bits(expected, everything(stopping(key, stop_loss=1e-4, **change)))


def test_a_loss_that_is_there_from_the_start(key):
    problem = ss.problems.DoubleWell()
    job = {"chains": 3, "steps": 1000, "every": 10, "key": key, "initial": 1.0, "record": {"x": identity}}
    result = ss.run(ss.SGD(problem, ss.Hyperparameters(0.05)), **job, stop_loss=0.5)
    np.testing.assert_array_equal(result.stopped_at, [0, 0, 0])
    np.testing.assert_array_equal(result.record_steps, [0])
    np.testing.assert_array_equal(result.theta, [1.0, 1.0, 1.0])
    with refused(match="stop_loss"):
        ss.run(ss.SGD(problem, ss.Hyperparameters(0.05)), **job, stop_loss=float("nan"))


@pytest.mark.filterwarnings("ignore:moments of .* chains stopped before the first")
def test_the_same_stops_on_two_devices(key, one_device):
    one = stopping(key, stop_loss=1e-4, devices=one_device)
    two = stopping(key, stop_loss=1e-4, devices=jax.local_devices()[:2])
    same_bits(everything(one), everything(two))
