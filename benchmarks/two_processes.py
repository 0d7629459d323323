"""Two processes on two cores, joined by `jax.distributed`, beside one process on one core."""

import atexit
import os
import socket
import subprocess
import sys
from collections.abc import Sequence

from benchmarks._environment import cores
from benchmarks._rows import Row, Target
from benchmarks._timing import Contender, Effort, Missing, Peer, compare

CHAINS = 100_000
# Every worker makes the same calls of `run`; with more than one of them the chains are divided.
_WORKER = """
import os, sys
number, count, port, core = map(int, sys.argv[1:])
os.sched_setaffinity(0, {core})
import jax
jax.config.update("jax_platforms", "cpu")
if count > 1:
    jax.distributed.initialize(f"127.0.0.1:{port}", count, number)
import sde_sgd as ss
process = ss.Langevin(ss.problems.DoubleWell(), ss.Hyperparameters(0.05, 1), substeps=1)
for line in sys.stdin:
    result = ss.run(process, chains=%d, steps=int(line), key=jax.random.key(0), progress=False)
    print("done", flush=True)
"""


def measure(effort: Effort) -> list[Row]:
    """Chain-steps per second of Euler-Maruyama on the double well."""
    if not hasattr(os, "sched_setaffinity") or cores() < 2:
        return []
    two = Contender("2 processes, 2 cores", Workers(2).run, CHAINS)
    return compare(
        "two_processes, 10^5 chains",
        "chain-steps",
        two,
        (Peer("1 process, 1 core", _one, Target(1.6)),),
        effort.long(),
    )


def _one() -> Sequence[Contender]:
    return [Contender("1 process, 1 core", Workers(1).run, CHAINS)]


class Workers:
    """Processes that run an ensemble together, each on a core of its own."""

    def __init__(self, count: int):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        own = sorted(os.sched_getaffinity(0))
        self._workers = [
            subprocess.Popen(
                [sys.executable, "-c", _WORKER % CHAINS, *map(str, (number, count, port, own[number]))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for number in range(count)
        ]
        atexit.register(self.close)

    def run(self, steps: int) -> None:
        """That many steps, in all processes at once."""
        for worker in self._workers:
            assert worker.stdin is not None
            worker.stdin.write(f"{steps}\n")
            worker.stdin.flush()
        for worker in self._workers:
            assert worker.stdout is not None
            # the transport prints there too
            if "done\n" not in iter(worker.stdout.readline, ""):
                raise Missing("the processes could not be joined by jax.distributed")

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.kill()
            worker.wait()
