"""What the exact gradient noise C(θ) costs: a Langevin step beside a full-batch gradient step."""

from functools import partial

import diffrax

import sde_sgd as ss
from benchmarks._ensemble import runner
from benchmarks._rows import Row, Target
from benchmarks._timing import Contender, Effort, Peer, compare

CHAINS = (1, 8)


def measure(effort: Effort) -> list[Row]:
    """Steps per second of the digits MLP (N = 1280), with and without noise."""
    problem = ss.problems.mlp(ss.data.digits())
    hyper = ss.Hyperparameters(0.05, 32)
    rows: list[Row] = []
    for chains in CHAINS:
        noisy = Contender(
            "sde_sgd, step with exact C(θ)", runner(ss.Langevin(problem, hyper, substeps=1), chains), chains
        )
        plain = Contender(
            "sde_sgd, full-batch gradient step",
            runner(ss.Langevin(problem, hyper, noise="none", solver=diffrax.Euler(), substeps=1), chains),
            chains,
        )
        peer = Peer(plain.who, partial(list, [plain]), Target(1.25, "time"))
        name = f"exact_noise_step, {chains} chain{'s' if chains > 1 else ''}"
        rows += compare(name, "chain-steps", noisy, [peer], effort)
    return rows
