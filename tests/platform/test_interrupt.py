"""What stops a run in the middle: SIGKILL, Ctrl-C, SIGTERM, a full disk. It can always go on."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest
from checkpointed_run import STEPS, do, everything, load, same_bits, square
from helpers import finished, launch, wait_for

import sde_sgd as ss
from sde_sgd._platform._interrupt import Interrupt
from sde_sgd._platform.checkpoints import _checkpoint
from sde_sgd.simulation import _engine

# what orbax's threads leave behind when a file cannot be written
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]

# python -m pytest -k killed with SDE_SGD_KILLS=30 in the environment is the thorough version
KILLS = int(os.environ.get("SDE_SGD_KILLS", "3"))


def uninterrupted(name, **options):
    with pytest.warns(UserWarning, match="1 of 15 chains|9 of 27 runs"):
        return everything(do(name, **options))


def resumed(name, folder):
    return uninterrupted(name, checkpoint=folder, resume=True)


def steps_in(folder):
    return sorted(int(path.name) for path in (folder / "chunk-00000").iterdir() if path.name.isdigit())


@pytest.mark.script
@pytest.mark.parametrize("name", ["chunked", "sweep"])
def test_what_is_killed_at_random_moments_ends_with_the_bits_of_what_was_not(name, tmp_path, capsys):
    """As often as asked, and each time it is resumed: at its start, and in and between checkpoints."""
    expected = uninterrupted(name)
    rng = np.random.default_rng()
    folder, kills, ends, among = tmp_path / "run0", 0, 0, []
    while True:
        out = tmp_path / "out.npz"
        process = launch(name, out, "--folder", folder, "--resume")
        wait_for(process, "ready")
        if kills < KILLS:
            saves = int(rng.integers(0, 16))
            for _ in range(saves):
                process.stdout.readline()
            # a checkpoint takes about as long as this; the compilation before the first takes longer
            time.sleep(rng.uniform(0, 0.1 if saves else 1.5))
            process.kill()
        _, err = process.communicate()
        if process.returncode == -signal.SIGKILL:
            kills += 1
            among.append(sorted(path.name for path in folder.glob("*-0*/*")))
        else:
            assert process.returncode == 0, err
            same_bits(expected, load(out)[name])
            ends += 1
            folder = tmp_path / f"run{ends}"
            if kills == KILLS:
                break
    assert any(among), "no kill fell where there was a checkpoint"
    if KILLS > 3:
        with capsys.disabled():
            print(f"\n{kills} kills, {ends} runs ended; there was at the kills:", *among, sep="\n")  # noqa: T201


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.script
def test_a_signal_saves_first_and_then_acts(name, tmp_path, blocks):
    number = signal.Signals[name]
    folder, out = tmp_path / "run", tmp_path / "out.npz"
    process = launch("langevin", out, "--folder", folder, "--seconds", 1e9, "--pause", 0.1)
    wait_for(process, "at 147")
    process.send_signal(number)
    said, err = finished(process, returncode=-number)
    (step,) = steps_in(folder)
    assert 147 < step < STEPS
    assert f"interrupted: saved at step {step} of {STEPS}; run the same with resume=True" in err
    assert said.splitlines()[-1] == f"saved {step}"  # and nothing more was computed
    assert ("KeyboardInterrupt" in err) == (name == "SIGINT")
    assert not out.exists()
    again = resumed("langevin", folder)
    assert blocks[0] == step
    same_bits(uninterrupted("langevin"), again)


def test_handlers_are_put_back(key, tmp_path, monkeypatch):
    """They are ours only while a run with checkpoints is at work, however it ends."""

    def mine(*_):
        raise AssertionError

    before = {number: signal.signal(number, mine) for number in (signal.SIGINT, signal.SIGTERM)}
    inside = []

    def look(*args):
        inside.append({signal.getsignal(number) for number in before})
        if len(inside) == 3:
            raise RuntimeError("planted")
        return _next_block(*args)

    _next_block = _engine.next_block
    monkeypatch.setattr(_engine, "next_block", look)
    job = {"process": ss.SGD(ss.problems.DoubleWell(), ss.Hyperparameters(0.05)), "chains": 2, "steps": 1}
    try:
        ss.run(**job, key=key, checkpoint=tmp_path / "run")
        assert {signal.getsignal(number) for number in before} == {mine}
        ss.run(**job, key=key)
        assert mine not in inside[0]
        assert inside[1] == {mine}
        with pytest.raises(RuntimeError, match="planted"):
            ss.run(**job, key=key, checkpoint=tmp_path / "again")
        assert {signal.getsignal(number) for number in before} == {mine}
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_the_second_signal_acts_at_once():
    before = signal.getsignal(signal.SIGINT)
    interrupt = Interrupt(active=True).start()
    try:
        assert interrupt.noted() == 0
        signal.raise_signal(signal.SIGINT)
        assert interrupt.noted() == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        interrupt.close()
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        interrupt.deliver(signal.SIGINT)


def short(**change):
    process = ss.SGD(ss.problems.DoubleWell(), ss.Hyperparameters(0.05, 2))
    return {"process": process, "chains": 4, "steps": 40, "key": jax.random.key(1), **change}


def while_saving(monkeypatch, number):
    """The last checkpoint is met by a signal, before and behind it."""

    def save(part, *args, really=_checkpoint.Part.save):
        signal.raise_signal(number)
        really(part, *args)

    monkeypatch.setattr(_checkpoint.Part, "save", save)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_last_checkpoint_acts_when_that_is_written(number, tmp_path, monkeypatch, caplog):
    """By the handler there was. One that lets it pass is given the result; Ctrl-C alone ends the run."""
    seen = []
    before = signal.signal(number, lambda got, _: seen.append((got, steps_in(tmp_path / "run"))))
    try:
        with monkeypatch.context() as patch:
            while_saving(patch, number)
            result = ss.run(**short(), checkpoint=tmp_path / "run")
        assert seen == [(number, [40])]
        assert "interrupted at the end: all is computed and saved" in caplog.text
        same_bits(everything(ss.run(**short())), everything(result))
    finally:
        signal.signal(number, before)
    if number == signal.SIGINT:
        while_saving(monkeypatch, number)
        with pytest.raises(KeyboardInterrupt):
            ss.run(**short(), checkpoint=tmp_path / "again")
        assert (tmp_path / "again" / "chunk-00000" / "40").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_was_ignored_stays_ignored(number, tmp_path, monkeypatch):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        while_saving(monkeypatch, number)
        assert ss.run(**short(), checkpoint=tmp_path / "run").steps == 40
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_a_signal_acts_though_the_run_ends_with_an_error(tmp_path, monkeypatch):
    def planted(*_):
        signal.raise_signal(signal.SIGINT)
        raise RuntimeError("planted")

    monkeypatch.setattr(_engine, "next_block", planted)
    with pytest.raises(KeyboardInterrupt) as caught:
        ss.run(**short(), checkpoint=tmp_path / "run")
    assert "planted" in str(caught.value.__context__)


def test_a_signal_when_nothing_can_be_written_says_so_and_acts(tmp_path, monkeypatch, caplog):
    def save(_part, *_args):
        raise ss.CheckpointError("there is no room")

    def block(*args, really=_engine.next_block):
        signal.raise_signal(signal.SIGINT)
        return really(*args)

    monkeypatch.setattr(_checkpoint.Part, "save", save)
    monkeypatch.setattr(_engine, "next_block", block)
    with pytest.raises(KeyboardInterrupt):
        ss.run(**short(), checkpoint=tmp_path / "run")
    assert re.search(r"interrupted at step \d+ of 40, and not saved: there is no room", caplog.text)


THREAD = """
import pathlib, signal, sys, threading, time
import jax
import sde_sgd as ss

def ctrl_c():
    # to the main thread, as the kernel has it: where orbax starts threads all the time, and with a signal
    # for the whole process, one of them may take it, and a main thread that waits would not wake up
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it starts with &

def work():
    process = ss.SGD(ss.problems.DoubleWell(), ss.Hyperparameters(.05, 2))
    try:
        ss.run(process, chains=200, steps=int(sys.argv[2]), every=1000, key=jax.random.key(1),
               checkpoint=ss.Checkpoint(sys.argv[1], seconds=0))
        print("through", flush=True)
    except KeyboardInterrupt:
        print("stopped", flush=True)

thread = threading.Thread(target=work)
thread.start()
while not list(pathlib.Path(sys.argv[1]).glob("chunk-00000/*")):
    time.sleep(.01)
if sys.argv[3] == "Ctrl-C":
    threading.Timer(.5, ctrl_c).start()
    thread.join()
"""


@pytest.mark.script
@pytest.mark.skipif(
    sys.version_info[:2] == (3, 12), reason="Python 3.12 starts no thread at its end, and orbax asks for some"
)
@pytest.mark.parametrize("ends", ["Ctrl-C", "its end"])
def test_a_run_in_a_thread_is_saved_when_ctrl_c_ends_the_main_thread(ends, tmp_path):
    """And goes to its end, checkpoints and all, when the main thread has ended of itself."""
    steps = 200_000_000 if ends == "Ctrl-C" else 20_000
    command = [sys.executable, "-W", "ignore", "-c", THREAD, str(tmp_path / "run"), str(steps), ends]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said, err = finished(process, -signal.SIGINT if ends == "Ctrl-C" else 0, seconds=300)
    assert said.split() == ["stopped" if ends == "Ctrl-C" else "through"], err
    newest = steps_in(tmp_path / "run")[-1]
    assert 0 < newest < steps if ends == "Ctrl-C" else newest == steps
    assert ("interrupted: saved at step" in err) == (ends == "Ctrl-C")


def test_outside_the_main_thread_signals_are_left_alone(key, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work():
        process = ss.SGD(ss.problems.DoubleWell(), ss.Hyperparameters(0.05))
        with_store = {"checkpoint": tmp_path / "run"}
        seen.append(ss.run(process, chains=2, steps=1, key=key, **with_store))
        interrupt = Interrupt(active=True).start()
        seen.append(signal.getsignal(signal.SIGINT))
        interrupt.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert isinstance(seen[0], ss.Result)
    assert seen[1] is before


@pytest.mark.script
def test_a_file_that_cannot_grow(tmp_path, blocks):
    """The operating system refuses files beyond a size, as a quota does: the checkpoint before stays.

    The run goes on to its end, and the error says that all is computed.
    """
    folder, out = tmp_path / "run", tmp_path / "out.npz"
    limited = launch("langevin", out, "--folder", folder, "--largest-file", 6000)
    said, err = finished(limited, returncode=1)
    assert "CheckpointError: all is computed, and the `result` of this error is the finished Result" in err
    assert f"But the checkpoint of step {STEPS}" in err
    assert "could not be written" in err
    assert "run the same again with resume=True" in err
    last = int(said.splitlines()[-1].removeprefix("saved "))
    assert 0 < last < STEPS
    assert f"The one of step {last} is untouched" in err
    assert steps_in(folder)[-1] == last
    again = resumed("langevin", folder)
    assert blocks[0] == last
    same_bits(uninterrupted("langevin"), again)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own of 300 kB; the function it comes with makes room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    command = [mount, "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if mount is None or os.geteuid() != 0 or subprocess.run(command, check=False).returncode:
        pytest.skip("only root may mount a small disk, and not everywhere")
    yield disk, lambda: subprocess.run([mount, "-o", "remount,size=50m", str(disk)], check=True)
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.usefixtures("blocks")
@pytest.mark.script
def test_a_full_disk(small_disk):
    disk, make_room = small_disk
    process = ss.Langevin(ss.problems.DoubleWell(), ss.Hyperparameters(0.05))
    job = {"process": process, "chains": 300, "steps": 600, "every": 5, "key": jax.random.key(3)}
    job |= {"record": {"x²": square}}
    expected = everything(ss.run(**job))
    assert expected["record x²"].nbytes < 300e3  # one checkpoint would fit, but not with those before it
    options = {"checkpoint": ss.Checkpoint(disk / "run", seconds=0)}
    with pytest.raises(ss.CheckpointError, match=r"could not be written .* MB free\).*untouched") as caught:
        ss.run(**job, **options)
    same_bits(expected, everything(caught.value.result))
    kept = steps_in(disk / "run")
    assert kept and kept[-1] < 600
    make_room()
    same_bits(expected, everything(ss.run(**job, **options, resume=True)))


def test_a_disk_that_was_full_from_the_start(small_disk):
    disk, make_room = small_disk
    (disk / "rubbish").write_bytes(bytes(300 * 1024))
    process = ss.Langevin(ss.problems.DoubleWell(), ss.Hyperparameters(0.05))
    job = {"process": process, "chains": 3, "steps": 6, "key": jax.random.key(3), "checkpoint": disk / "run"}
    with pytest.raises(ss.CheckpointError, match=r"cannot be used: .*No space|could not be written"):
        ss.run(**job)
    make_room()
    assert ss.run(**job, resume=True).steps == 6
