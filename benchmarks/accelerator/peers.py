"""Other libraries, as far as they are installed, at the same work in the same run."""

from functools import partial

import jax

from benchmarks import digits_mlp, double_well
from benchmarks._ensemble import runner
from benchmarks._rows import Row
from benchmarks._timing import Contender, Peer, compare
from benchmarks.accelerator._step import Found
from benchmarks.accelerator.speed import effort, found
from benchmarks.double_well import LEARNING_RATE, process
from benchmarks.double_well_diffrax import one_path, vmapped
from benchmarks.double_well_scan import scan
from benchmarks.double_well_torchsde import sdeint


def of_the_double_well(smoke: bool) -> Found:
    """Euler-Maruyama by diffrax, torchsde and a plain scan, at 10⁴ and 10⁷ chains."""
    key = jax.random.key(0)
    rows: list[Row] = []
    for chains in (1_000,) if smoke else (10_000, 10_000_000):
        peers = [
            Peer("jax.lax.scan", partial(scan, chains, LEARNING_RATE, key)),
            Peer("diffrax, one path for all chains", partial(one_path, chains, LEARNING_RATE, key)),
            Peer("diffrax, vmapped over chains", partial(vmapped, chains, LEARNING_RATE, key)),
            Peer("torchsde", partial(sdeint, chains, LEARNING_RATE)),
            Peer(double_well.CEILING, partial(double_well.random_numbers, chains)),
        ]
        ours = Contender("sde_sgd", runner(process(), chains), chains)
        rows += compare(f"double_well, {chains:,} chains", "chain-steps", ours, peers, effort(smoke))
    return found(rows)


def of_the_network(smoke: bool) -> Found:
    """SGD of 64 seeds of the digits MLP by PyTorch: one seed after the other, and `torch.func.vmap`."""
    return found(digits_mlp.measure(effort(smoke)))
