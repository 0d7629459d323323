"""The SDE with exact gradient noise, 64 seeds of an MLP on digits, beside the same step in PyTorch."""

from typing import Any

import sde_sgd as ss
from benchmarks._ensemble import runner
from benchmarks._rows import Row
from benchmarks._timing import Contender, Effort, Peer, compare, require
from benchmarks._torch import Run, digits, mlp, thread_counts, thread_text, with_threads
from benchmarks.digits_mlp import BATCH, HIDDEN, LEARNING_RATE, SEEDS


def measure(effort: Effort) -> list[Row]:
    """Euler-Maruyama steps per second, summed over seeds."""
    problem = ss.problems.mlp(ss.data.digits(), hidden=HIDDEN)
    process = ss.Langevin(problem, ss.Hyperparameters(LEARNING_RATE, BATCH), substeps=1)
    ours = Contender("sde_sgd", runner(process, SEEDS), SEEDS)
    peer = Peer("PyTorch, a loop over seeds", loop_over_seeds)
    return compare(f"digits_mlp_sde, exact C(θ), {SEEDS} seeds", "steps", ours, [peer], effort)


def loop_over_seeds() -> list[Contender]:
    """One seed after the other, so the speed of one seed is the speed summed over seeds."""
    (torch,) = require("torch")
    return [
        Contender(
            f"PyTorch, a loop over seeds ({thread_text(threads)})",
            with_threads(torch, threads, _loop(torch, mlp(torch, HIDDEN))),
            1,
        )
        for threads in thread_counts()
    ]


def _loop(torch: Any, model: Any) -> Run:
    """θ ← θ − Σ_n w_n ∇ℓ_n with w_n = η/N + η (ξ_n − ξ̄)/√(BN), in one backward pass."""
    inputs, targets = digits(torch)
    parameters = list(model.parameters())
    size = len(targets)
    drift, diffusion = LEARNING_RATE / size, LEARNING_RATE / (BATCH * size) ** 0.5

    def run(steps: int) -> None:
        for _ in range(steps):
            noise = torch.randn(size, device=inputs.device)
            weights = drift + diffusion * (noise - noise.mean())
            losses = torch.nn.functional.cross_entropy(model(inputs), targets, reduction="none")
            slopes = torch.autograd.grad(weights @ losses, parameters)
            with torch.no_grad():
                for leaf, slope in zip(parameters, slopes, strict=True):
                    leaf.sub_(slope)

    return run
