"""Two processes that know of each other, as two hosts of a cluster do, on one machine."""

import signal
import socket

import jax
import pytest
from checkpointed_run import STEPS, everything, jobs, load, same_bits
from helpers import launch, same_to_rounding, wait_for

import sde_sgd as ss

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:1 of .* chains diverged")]
EXACT = ("nine", "two_point", "chunked")


def two_hosts(*arguments):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [launch(*arguments, "--hosts", 2, "--host", host, "--port", port) for host in (0, 1)]


def expected(name):
    return everything(ss.run(**jobs()[name], devices=jax.local_devices()[:1]))


@pytest.mark.usefixtures("blocks")
@pytest.mark.script
def test_two_hosts_give_what_one_gives_and_both_have_all_of_it(tmp_path):
    """Two devices each: 9 chains on four, where two hold copies only; and examples shared by all four."""
    names = (*EXACT, "network/4")
    processes = two_hosts(",".join(names), tmp_path / "out.npz", "--devices", 2)
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    found = load(tmp_path / "out.npz")
    other = load(tmp_path / "out.npz.1.npz")
    assert set(found) == set(other) == set(names)
    for name in names:
        same_bits(found[name], other[name])
    for name in EXACT:
        same_bits(expected(name), found[name])
    same_to_rounding(expected("network"), found["network/4"])


@pytest.mark.script
def test_a_signal_to_one_host_stops_both_and_one_alone_goes_on(tmp_path, blocks):
    folder = tmp_path / "run"
    first, second = two_hosts("langevin", tmp_path / "out.npz", "--folder", folder, "--pause", 0.1)
    wait_for(second, "at 147")
    second.send_signal(signal.SIGTERM)
    said = [process.communicate(timeout=120) for process in (first, second)]
    # both act on the signal, unless one learns from JAX before that its partner has gone
    ends = {process.returncode for process in (first, second)}
    assert -signal.SIGTERM in ends <= {-signal.SIGTERM, -signal.SIGABRT}, said
    newest = max(int(path.name) for path in (folder / "chunk-00000").iterdir())
    assert 147 <= newest < STEPS
    for host, (out, err) in enumerate(said):
        assert out.splitlines()[-1] == f"saved {newest}"
        # all have saved, one says so
        assert (f"interrupted: saved at step {newest} of {STEPS}" in err) == (host == 0)
    again = ss.run(**jobs()["langevin"], checkpoint=folder, resume=True)
    assert blocks[0] == newest
    same_bits(expected("langevin"), everything(again))
