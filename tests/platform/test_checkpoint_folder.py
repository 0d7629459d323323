"""The folder of checkpoints: whose parts are in it, who uses it, what happens if it cannot be written."""

import json
import logging
import os
import shutil
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
from checkpointed_run import everything, position, same_bits, small

import sde_sgd as ss
from sde_sgd._platform.checkpoints._checkpoint import Part
from sde_sgd._platform.checkpoints._lock import FolderLock
from sde_sgd.simulation import _engine

pytestmark = [
    # what orbax's threads leave behind when a file cannot be written
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    """Ten steps at a time, so that there is something between two checkpoints."""
    block = _engine.next_block
    monkeypatch.setattr(
        _engine,
        "next_block",
        lambda done, steps, every, _pace, room: block(done, steps, every, 10.0, room),
    )


# Whose it is


def test_a_part_of_another_run_is_refused(tmp_path):
    ss.run(**small(), checkpoint=tmp_path / "one")
    ss.run(**small(rate=0.07), checkpoint=tmp_path / "other")
    shutil.rmtree(tmp_path / "one" / "chunk-00000")
    shutil.copytree(tmp_path / "other" / "chunk-00000", tmp_path / "one" / "chunk-00000")
    with pytest.raises(
        ss.CheckpointError, match=r"chunk-00000/40' belongs to another run.*nothing was changed"
    ):
        ss.run(**small(), checkpoint=tmp_path / "one", resume=True)
    assert (tmp_path / "one" / "chunk-00000" / "40").exists()


def test_two_parts_exchanged_are_refused_in_runs_and_sweeps(tmp_path):
    sweep = {"learning_rate": [0.05, 0.1], "batch_size": 2, "steps": 4, "chunk": 1, "key": jax.random.key(1)}
    ss.run(**small(chunk=3), checkpoint=tmp_path / "run")
    ss.sweep(ss.SGD, ss.problems.DoubleWell(), **sweep, checkpoint=tmp_path / "sweep")
    for folder, one, other in (
        (tmp_path / "run", "chunk-00000", "chunk-00001"),
        (tmp_path / "sweep", "job-00000-stage-00", "job-00001-stage-00"),
    ):
        (folder / one).rename(folder / "aside")
        (folder / other).rename(folder / one)
        (folder / "aside").rename(folder / other)
    with pytest.raises(ss.CheckpointError, match="part 'chunk-00001' of this run, not 'chunk-00000'"):
        ss.run(**small(chunk=3), checkpoint=tmp_path / "run", resume=True)
    with pytest.raises(ss.CheckpointError, match="part 'job-00001-stage-00' of this run, not 'job-00000"):
        ss.sweep(ss.SGD, ss.problems.DoubleWell(), **sweep, checkpoint=tmp_path / "sweep", resume=True)


# Who uses it


def test_a_folder_in_use_is_refused_by_the_name_of_who_has_it(tmp_path):
    """The first run is asked for a second one from within."""
    refused = []

    def again(*args, block=_engine.next_block):
        if not refused:
            refused.append(None)
            with pytest.raises(ss.CheckpointError, match="nothing was changed") as caught:
                ss.run(**small(), checkpoint=tmp_path / "run", resume=True)
            refused[0] = str(caught.value)
        return block(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_engine, "next_block", again)
        first = ss.run(**small(), checkpoint=tmp_path / "run", resume=True)
    assert (
        f"this process itself, process {os.getpid()} on host {socket.gethostname()!r} since 2" in refused[0]
    )
    same_bits(everything(first), everything(ss.run(**small(), checkpoint=tmp_path / "run", resume=True)))


HOLD = """
import fcntl, json, sys
file = open(sys.argv[1], "r+")
fcntl.flock(file, fcntl.LOCK_EX)
json.dump({"pid": 1234567, "host": "elsewhere", "since": "2026-01-01 00:00:00"}, file)
file.flush()
print("held", flush=True)
sys.stdin.read()
"""


def test_another_process_holds_a_folder_until_it_is_killed(tmp_path):
    expected = everything(ss.run(**small(), checkpoint=tmp_path / "run"))
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run" / "sde_sgd.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(
            ss.CheckpointError, match="in use by process 1234567 on host 'elsewhere' since 2026"
        ):
            ss.run(**small(), checkpoint=tmp_path / "run", resume=True)
        holder.kill()
        holder.wait()
        same_bits(expected, everything(ss.run(**small(), checkpoint=tmp_path / "run", resume=True)))


def test_a_lock_is_let_go_of_whatever_ends_a_run(tmp_path, monkeypatch):
    def planted(*_args):
        raise RuntimeError("planted")

    with monkeypatch.context() as patch:
        patch.setattr(_engine, "next_block", planted)
        with pytest.raises(RuntimeError, match="planted") as kept:
            ss.run(**small(), checkpoint=tmp_path / "run")
    ss.run(**small(), checkpoint=tmp_path / "run", resume=True)
    assert kept.value.__traceback__ is not None


def test_where_there_are_no_locks_it_says_so_and_goes_on(tmp_path, monkeypatch, caplog):
    def flock(*_args):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("sde_sgd._platform.checkpoints._lock.fcntl.flock", flock)
    with caplog.at_level(logging.WARNING, logger="sde_sgd"):
        assert ss.run(**small(), checkpoint=tmp_path / "run").steps == 40
    assert "cannot be locked ([Errno 38] Function not implemented)" in caplog.text


def test_a_child_does_not_keep_the_lock_of_its_parent(tmp_path):
    lock = FolderLock(tmp_path / "lock")
    assert lock.take()
    assert not FolderLock(tmp_path / "lock").take()
    lock.release()
    again = FolderLock(tmp_path / "lock")
    assert again.take()
    again._forget()  # what a forked child does with its copy
    assert FolderLock(tmp_path / "lock").take()


# What cannot be written


def before_save(monkeypatch, do):
    """Call `do(number of the save)` before every save."""
    count = []

    def save(part, *args, really=Part.save):
        count.append(1)
        do(len(count))
        really(part, *args)

    monkeypatch.setattr(Part, "save", save)


def test_a_folder_that_vanishes_is_made_again_with_its_marker(tmp_path, monkeypatch, caplog):
    folder = tmp_path / "run"
    expected = everything(ss.run(**small()))
    with monkeypatch.context() as patch:
        before_save(patch, lambda number: shutil.rmtree(folder) if number == 3 else None)
        with caplog.at_level(logging.WARNING, logger="sde_sgd"):
            found = ss.run(**small(), checkpoint=ss.Checkpoint(folder, seconds=0))
    assert caplog.text.count("had vanished and is made again") == 1
    same_bits(expected, everything(found))
    same_bits(expected, everything(ss.run(**small(), checkpoint=folder, resume=True)))


def test_nothing_is_written_under_the_marker_of_another_run(tmp_path, monkeypatch):
    """The folder was taken away, and is another run's when this one saves again."""
    folder = tmp_path / "run"
    ss.run(**small(rate=0.07), checkpoint=tmp_path / "other")

    def exchange(number):
        if number == 3:
            shutil.rmtree(folder)
            shutil.copytree(tmp_path / "other", folder)

    with monkeypatch.context() as patch:
        before_save(patch, exchange)
        with pytest.raises(
            ss.CheckpointError, match=r"holds another sde_sgd\.json than at the start"
        ) as caught:
            ss.run(**small(), checkpoint=ss.Checkpoint(folder, seconds=0))
    same_bits(everything(ss.run(**small())), everything(caught.value.result))
    again = ss.run(**small(rate=0.07), checkpoint=folder, resume=True)
    same_bits(everything(ss.run(**small(rate=0.07))), everything(again))


class Full:
    """A disk that is full for some saves: orbax raises what the system does."""

    def __init__(self, monkeypatch, saves):
        self.saves, self.count = saves, 0
        from orbax.checkpoint import CheckpointManager

        def save(manager, *args, really=CheckpointManager.save, **options):
            self.count += 1
            if self.count in self.saves:
                raise OSError(28, "No space left on device")
            return really(manager, *args, **options)

        monkeypatch.setattr(CheckpointManager, "save", save)


def test_a_checkpoint_that_cannot_be_written_stops_nothing(tmp_path, monkeypatch, caplog):
    expected = everything(ss.run(**small()))
    full = Full(monkeypatch, {2, 3})
    with caplog.at_level(logging.WARNING, logger="sde_sgd"):
        found = ss.run(**small(), checkpoint=ss.Checkpoint(tmp_path / "run", seconds=0))
    assert full.count > 4
    same_bits(expected, everything(found))
    # said once when it begins, and once when it is over
    (first, last) = [entry.getMessage() for entry in caplog.records if entry.name == "sde_sgd"]
    assert "could not be written" in first
    assert "No space left on device" in first
    assert "goes on and tries again" in first
    assert "can be written again" in last
    same_bits(expected, everything(ss.run(**small(), checkpoint=tmp_path / "run", resume=True)))


def test_the_result_is_in_the_error_where_only_the_last_checkpoint_could_not_be_written(
    tmp_path, monkeypatch
):
    expected = everything(ss.run(**small()))
    with monkeypatch.context() as patch:
        Full(patch, range(3, 100))
        with pytest.raises(
            ss.CheckpointError, match=r"finished Result.*error.result.*could not be wr"
        ) as caught:
            ss.run(**small(), checkpoint=ss.Checkpoint(tmp_path / "run", seconds=0))
    assert "is untouched. Make room and run the same again with resume=True" in str(caught.value)
    same_bits(expected, everything(caught.value.result))
    same_bits(expected, everything(ss.run(**small(), checkpoint=tmp_path / "run", resume=True)))


@pytest.mark.parametrize("devices", [1, 2])
def test_the_sweep_is_in_the_error_too(tmp_path, monkeypatch, devices):
    """One job after the other, and side by side."""
    sweep = {"learning_rate": 0.05, "batch_size": [1, 2], "steps": 8, "record": {"x": position}}
    sweep |= {"key": jax.random.key(1), "devices": jax.local_devices()[:devices]}
    well = ss.problems.DoubleWell()
    expected = ss.sweep(ss.SGD, well, **sweep)
    with monkeypatch.context() as patch:
        Full(patch, range(1, 100))
        with pytest.raises(ss.CheckpointError, match=r"finished SweepResult.*\(2 parts were not") as caught:
            ss.sweep(ss.SGD, well, **sweep, checkpoint=tmp_path / "sweep")
    np.testing.assert_array_equal(caught.value.result["x"], expected["x"])
    again = ss.sweep(ss.SGD, well, **sweep, checkpoint=tmp_path / "sweep", resume=True)
    np.testing.assert_array_equal(again["x"], expected["x"])


def test_an_error_that_is_no_end_has_no_result(tmp_path):
    ss.run(**small(), checkpoint=tmp_path / "run")
    with pytest.raises(ss.CheckpointError) as caught:
        ss.run(**small(), checkpoint=tmp_path / "run")
    assert caught.value.result is None


def test_a_marker_that_holds_other_things_is_damaged(tmp_path):
    ss.run(**small(), checkpoint=tmp_path / "run")
    marker = tmp_path / "run" / "sde_sgd.json"
    for content in (
        {"config": 3, "format": 2, "libraries": {}},
        {"config": {}, "format": 2, "libraries": []},
    ):
        marker.write_text(json.dumps(content))
        with pytest.raises(ss.CheckpointError, match="is damaged"):
            ss.run(**small(), checkpoint=tmp_path / "run", resume=True)


def test_a_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    ss.run(**small(), checkpoint="~/run")
    assert (tmp_path / "run" / "sde_sgd.json").exists()
