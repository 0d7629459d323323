"""Jobs on devices: shared out by cost, side by side with the bits of one device, errors, Ctrl-C; resuming."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest
from helpers import refused

import sde_sgd as ss
from sde_sgd._platform._interrupt import Interrupt, Interrupted
from sde_sgd._platform._progress import Progress
from sde_sgd._platform.checkpoints import _checkpoint
from sde_sgd._platform.checkpoints._session import Session
from sde_sgd.simulation import _engine
from sde_sgd.simulation._packing import do_jobs, pack

WELL = ss.problems.DoubleWell()
TWO = jax.devices()[:2]


def position(x):
    return x


# Shared out by cost


def best(costs, bins):
    """The least that the fullest bin can hold, by trying all divisions."""
    every = itertools.product(range(bins), repeat=len(costs))
    return min(max(np.bincount(which, costs, minlength=bins)) for which in every)


@pytest.mark.parametrize("bins", [1, 2, 3])
def test_packing_is_within_four_thirds_of_the_best(bins):
    """Graham's bound for the longest first, by brute force; and every job is done once."""
    rng = np.random.default_rng(bins)
    worst = 0.0
    for _ in range(60):
        costs = rng.integers(1, 20, size=rng.integers(1, 8)).tolist()
        filled = pack(costs, bins)
        assert len(filled) == bins
        assert sorted(job for jobs in filled for job in jobs) == list(range(len(costs)))
        most = max(sum(costs[job] for job in jobs) for jobs in filled)
        worst = max(worst, most / best(costs, bins))
    assert worst <= 4 / 3 - 1 / (3 * bins) + 1e-12
    tight = [2 * bins - 1 - number // 2 for number in range(2 * bins)] + [bins]
    fullest = max(sum(tight[job] for job in jobs) for jobs in pack(tight, bins))
    assert fullest == 4 * bins - 1  # Graham's example, where the bound is reached
    assert best(tight, bins) == 3 * bins


# Side by side


@pytest.fixture
def placed(monkeypatch):
    """Which thread ran what on which devices."""
    seen = []

    def noted(task, *args, really=_engine.simulate, **kwargs):
        devices = frozenset(device.id for device in task.layout.mesh.devices.flat)
        seen.append((threading.current_thread().name, devices, task.process.hyper.batch_size))
        return really(task, *args, **kwargs)

    monkeypatch.setattr("sde_sgd.simulation._sweep_job.simulate", noted)
    return seen


FEW = {"learning_rate": 0.05, "batch_size": [1, 2, 4], "steps": 60, "every": 20}


@pytest.mark.parametrize("process", [ss.SGD, ss.Langevin])
@pytest.mark.script
def test_jobs_of_one_run_go_side_by_side_and_give_the_bits_of_one_device(process, key, placed):
    options = {**FEW, "record": {"x": position}, "keep_theta": True, "key": key}
    both = ss.sweep(process, WELL, **options, devices=TWO)
    teams = {(thread, devices) for thread, devices, _ in placed}
    assert len(teams) == 2
    assert {devices for _, devices in teams} == {frozenset([device.id]) for device in TWO}
    alone = [size for thread, _, size in placed if thread == next(t for t, _, s in placed if s == 4)]
    assert alone == [4]  # it costs more than the other two together
    placed.clear()
    one = ss.sweep(process, WELL, **options, devices=TWO[:1])
    assert {thread for thread, _, _ in placed} == {threading.current_thread().name}
    np.testing.assert_array_equal(both["x"], one["x"])
    np.testing.assert_array_equal(both.theta, one.theta)


def test_jobs_of_many_runs_fill_all_devices_one_after_the_other(key, placed):
    ss.sweep(ss.SGD, WELL, **FEW, seeds=9, key=key, devices=TWO)
    assert [devices for _, devices, _ in placed] == [frozenset(device.id for device in TWO)] * 3
    assert len({thread for thread, _, _ in placed}) == 1


@pytest.mark.script
def test_settings_of_this_thread_hold_in_the_others(key):
    with jax.enable_x64(True):
        well = ss.problems.DoubleWell()
        both = ss.sweep(ss.SGD, well, **FEW, record={"x": position}, key=key, devices=TWO)
        one = ss.sweep(ss.SGD, well, **FEW, record={"x": position}, key=key, devices=TWO[:1])
    assert both["x"].dtype == np.float64
    np.testing.assert_array_equal(both["x"], one["x"])


def test_a_bar_counts_every_example_once_whatever_the_threads(key, capsys):
    ss.sweep(ss.SGD, WELL, **FEW, key=key, devices=TWO, progress=True)
    shown = capsys.readouterr().err
    assert "sweep: 100%" in shown
    assert "420/420" in shown
    assert shown.count("sweep:") == shown.count("\r") > 0


class Planted(Exception):
    """Thrown in the middle of a job."""


def session(listening=False):
    interrupt = Interrupt(active=listening).start()
    return Session(Progress(1, "", False), interrupt, None)


def endless(started):
    """Work that goes on until it is told that it is over, as a run is after each of its blocks."""

    def work(_job, _devices, inner):
        started.append(threading.current_thread().name)
        begun = time.monotonic()
        while time.monotonic() - begun < 20:
            number = inner.interrupt.noted()
            if number:
                raise Interrupted(number)
            time.sleep(0.005)

    return work


@pytest.mark.parametrize("error", [Planted, KeyboardInterrupt, MemoryError])
def test_an_error_of_one_ends_the_others_and_reaches_the_caller(error):
    """Jobs that were not begun stay so."""
    started = []
    going = endless(started)

    def work(job, devices, inner):
        if job == "bad":
            while not started:
                time.sleep(0.005)
            raise error("planted")
        going(job, devices, inner)

    begun = time.monotonic()
    with pytest.raises(error, match="planted"):
        do_jobs(["bad", "good", "later", "last"], [4, 3, 2, 1], 1, TWO, session(), work)
    assert time.monotonic() - begun < 10
    assert len(started) == 1


def test_ctrl_c_ends_all_of_them_with_and_without_checkpoints():
    """Without checkpoints it strikes the caller at once; with them all jobs are told its number."""
    for listening, outcome in ((False, KeyboardInterrupt), (True, Interrupted)):
        started = []
        inner = session(listening)
        strike = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
        begun = time.monotonic()
        strike.start()
        try:
            with pytest.raises(outcome) as caught:
                do_jobs(["a", "b"], [1, 1], 1, TWO, inner, endless(started))
        finally:
            # one that was only noted acts now
            with pytest.raises(KeyboardInterrupt) if listening else contextlib.nullcontext():
                inner.interrupt.close()
            strike.join()
        assert time.monotonic() - begun < 10
        assert len(started) == 2
        assert not listening or caught.value.number == signal.SIGINT


def test_an_error_in_a_block_of_one_run_stops_the_whole_sweep(key, monkeypatch):
    """The other job would take hours."""

    def chunk(self, block, size, *, keep, really=_engine._Loop._chunk):
        if self.task.process.hyper.batch_size == 2 and self.done:
            raise Planted
        really(self, block, size, keep=keep)

    monkeypatch.setattr(_engine._Loop, "_chunk", chunk)
    with pytest.raises(Planted):
        ss.sweep(ss.SGD, WELL, learning_rate=0.05, batch_size=[1, 2], steps=2 * 10**9, key=key, devices=TWO)


# Checkpoints


JOB = {"learning_rate": [0.05, 0.1], "batch_size": [1, 2], "steps": 30, "every": 10, "seeds": 2}
JOB |= {"record": {"x": position}, "devices": TWO[:1], "key": jax.random.key(4), "keep_theta": True}


@pytest.fixture
def blocks(monkeypatch):
    """A list that grows by one for each block of steps."""
    done = []

    def chunk(self, block, size, *, keep, really=_engine._Loop._chunk):
        if block:
            done.append(block * size)
        really(self, block, size, keep=keep)

    monkeypatch.setattr(_engine._Loop, "_chunk", chunk)
    return done


def same(one, other):
    np.testing.assert_array_equal(one["x"], other["x"])
    np.testing.assert_array_equal(one.theta, other.theta)
    np.testing.assert_array_equal(one["diverged_at"], other["diverged_at"])


def test_a_finished_sweep_is_read_and_not_run_again(tmp_path, blocks):
    plain = ss.sweep(ss.SGD, WELL, **JOB)
    first = ss.sweep(ss.SGD, WELL, **JOB, checkpoint=tmp_path / "sweep")
    blocks.clear()
    again = ss.sweep(ss.SGD, WELL, **JOB, checkpoint=tmp_path / "sweep", resume=True)
    assert blocks == []
    same(plain, first)
    same(plain, again)


@pytest.mark.parametrize("saves", [1, 2, 3])
def test_a_sweep_interrupted_between_or_within_jobs_ends_with_the_same_bits(
    tmp_path, blocks, saves, monkeypatch
):
    """Two jobs of two stages: what is finished is not done again."""
    schedules = {
        name: ss.schedules.piecewise([10, 20], learning_rate=[0.1, 0.05], batch_size=sizes, unit="steps")
        for name, sizes in (("up", [1, 2]), ("down", [2, 1]))
    }
    job = {name: value for name, value in JOB.items() if name not in ("learning_rate", "batch_size", "steps")}
    job |= {"schedule": schedules, "momentum": None}
    whole = ss.sweep(ss.SGD, WELL, **job)
    total = sum(blocks)
    blocks.clear()
    count = []

    def save(part, *args, really=_checkpoint.Part.save):
        really(part, *args)
        count.append(1)
        if len(count) == saves:
            raise Planted

    with monkeypatch.context() as patch:
        patch.setattr(_checkpoint.Part, "save", save)
        with pytest.raises(Planted):
            ss.sweep(ss.SGD, WELL, **job, checkpoint=tmp_path / "sweep")
    assert 0 < sum(blocks) < total
    again = ss.sweep(ss.SGD, WELL, **job, checkpoint=tmp_path / "sweep", resume=True)
    assert sum(blocks) == total
    same(whole, again)


def test_checkpoints_of_another_sweep_are_refused_by_name(tmp_path):
    ss.sweep(ss.SGD, WELL, **JOB, checkpoint=tmp_path / "sweep")

    def times():
        files = [path for path in (tmp_path / "sweep").rglob("*") if path.name != "sde_sgd.lock"]
        return {path: path.stat().st_mtime_ns for path in files}

    before = times()
    changes = {
        r"points\[2\]\['learning_rate'\] is 0.2 here, 0.1 in": {"learning_rate": [0.05, 0.2]},
        r"points\[1\]\['stages'\]\[0\]\['batch_size'\] is 3 here, 2 in": {"batch_size": [1, 3]},
        r"points\[0\]\['momentum'\] is 0.5 here, 0.0 in": {"momentum": 0.5},
        "key is .* here": {"key": jax.random.key(5)},
        r"record\['y'\] is as record\['x'\] here, not set in": {"record": {"x": position, "y": position}},
        "seeds is 3 here, 2 in": {"seeds": 3},
        r"steps is 20 here, but the checkpoint is at step 30 already": {"steps": 20},
        r"by step 30 the run in the checkpoint has looked at 3 samples, 10 .* at 2 samples, 15": {
            "every": 15
        },
        r"clock is time here, steps in": {"steps": None, "time": 1.5, "every": 0.5},
        "process is Langevin here, SGD in": {"process": ss.Langevin},
        r"problem\[''\]\.tilt is 0\.1": {"problem": ss.problems.DoubleWell(tilt=0.1)},
    }
    for message, change in changes.items():
        options = {"process": ss.SGD, "problem": WELL, **JOB, **change, "checkpoint": tmp_path / "sweep"}
        process, problem = options.pop("process"), options.pop("problem")
        with pytest.raises(ss.CheckpointError, match=message):
            ss.sweep(process, problem, **options, resume=True)
    with pytest.raises(ss.CheckpointError, match="Pass resume=True"):
        ss.sweep(ss.SGD, WELL, **JOB, checkpoint=tmp_path / "sweep")
    assert times() == before


# Compiled programs kept


CACHED = """
import json, sys, jax
import sde_sgd as ss
found = []
jax.monitoring.register_event_listener(lambda event, **_: found.append(event.split("/")[-1]))
folder = ss.compilation_cache(sys.argv[1])
process = ss.SGD(ss.problems.DoubleWell(), ss.Hyperparameters(float(sys.argv[2]), 2))
result = ss.run(process, chains=3, steps=5, key=jax.random.key(0))
files = sorted(path.name for path in folder.iterdir() if not path.name.endswith("atime"))
print(json.dumps([found.count("cache_hits"), found.count("cache_misses"), files, result.theta.tolist()]))
"""


@pytest.mark.script
def test_programs_are_found_by_the_next_session(tmp_path):
    """Another η is another number, not another program; and what is found computes the same."""
    told = []
    for rate in (0.05, 0.1):
        command = [sys.executable, "-c", CACHED, str(tmp_path / "a" / "cache"), str(rate)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        told.append(json.loads(done.stdout.splitlines()[-1]))
    hits, misses, files, theta = zip(*told, strict=True)
    assert misses[0] > 0 and hits[0] == 0
    assert misses[1] == 0 and hits[1] == misses[0]
    assert files[0] == files[1] != []
    for rate, found in zip((0.05, 0.1), theta, strict=True):
        process = ss.SGD(WELL, ss.Hyperparameters(rate, 2))
        here = ss.run(process, chains=3, steps=5, key=jax.random.key(0), devices=TWO[:1])
        np.testing.assert_array_equal(np.asarray(found, np.float32), here.theta)


def test_a_file_is_no_cache(tmp_path):
    (tmp_path / "file").write_text("")
    before = jax.config.jax_compilation_cache_dir
    with refused(match="directory must be a folder, got the file"):
        ss.compilation_cache(tmp_path / "file")
    assert jax.config.jax_compilation_cache_dir == before
