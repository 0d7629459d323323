"""What stops a run in the middle: SIGKILL, Ctrl-C, SIGTERM, a full disk. It can always go on."""

import os
import shutil
import signal
import subprocess
import threading
import time

import jax
import numpy as np
import pytest
from checkpointed_run import STEPS, do, everything, load, same_bits, square
from helpers import finished, launch, wait_for

import sde_sgd as ss
from sde_sgd import _engine
from sde_sgd._interrupt import Interrupt

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


def test_a_file_that_cannot_grow(tmp_path, blocks):
    """The operating system refuses files beyond a size, as a quota does: the checkpoint before stays."""
    folder, out = tmp_path / "run", tmp_path / "out.npz"
    limited = launch("langevin", out, "--folder", folder, "--largest-file", 6000)
    said, err = finished(limited, returncode=1)
    assert "CheckpointError: the checkpoint of step" in err
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
def test_a_full_disk(small_disk):
    disk, make_room = small_disk
    process = ss.Langevin(ss.problems.DoubleWell(), ss.Hyperparameters(0.05))
    job = {"process": process, "chains": 300, "steps": 600, "every": 5, "key": jax.random.key(3)}
    job |= {"record": {"x²": square}}
    expected = everything(ss.run(**job))
    assert expected["record x²"].nbytes < 300e3  # one checkpoint would fit, but not with those before it
    options = {"checkpoint": ss.Checkpoint(disk / "run", seconds=0)}
    with pytest.raises(ss.CheckpointError, match=r"could not be written .* MB free\).*untouched"):
        ss.run(**job, **options)
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
