"""Two processes on two cores, joined by `jax.distributed`, beside one process on one core."""

import os
import socket
import sys

import jax

import sde_sgd as ss
from benchmarks._environment import cores
from benchmarks._rows import Row, Target
from benchmarks._timing import Contender, Effort, Missing, Peer, compare
from benchmarks._workers import Workers, serve

CHAINS = 100_000
NAME, TWO, ONE = "two_processes, 10^5 chains", "2 processes, 2 cores", "1 process, 1 core"


def measure(effort: Effort) -> list[Row]:
    """Chain-steps per second of Euler-Maruyama on the double well."""
    if not hasattr(os, "sched_setaffinity") or cores() < 2:
        return []
    try:
        with _workers(2) as two, _workers(1) as one:
            peer = Peer(ONE, lambda: [one.contender(ONE)], Target(1.6))
            return compare(NAME, "chain-steps", two.contender(TWO), [peer], effort.long())
    except Missing as reason:
        return [Row(NAME, TWO, "chain-steps", note=str(reason))]


def _workers(count: int) -> Workers:
    """Processes that run an ensemble together, each on a core of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = sorted(os.sched_getaffinity(0))
    arguments = [(number, count, port, own[number]) for number in range(count)]
    fault = "the processes could not be joined by jax.distributed"
    return Workers("benchmarks.two_processes", *arguments, fault=fault)


def _work(number: int, count: int, port: int, core: int) -> Contender:
    """Every process makes the same calls of `run`; with more than one of them the chains are divided."""
    os.sched_setaffinity(0, {core})
    if count > 1:
        jax.distributed.initialize(f"127.0.0.1:{port}", count, number)
    process = ss.Langevin(ss.problems.DoubleWell(), ss.Hyperparameters(0.05, 1), substeps=1)

    def run(steps: int) -> ss.Result:
        return ss.run(process, chains=CHAINS, steps=steps, key=jax.random.key(0), progress=False)

    return Contender(TWO, run, CHAINS)


if __name__ == "__main__":
    serve(lambda _: _work(*map(int, sys.argv[1:])))
