"""SGD of 64 seeds of an MLP on real digits: sde_sgd's ensemble beside a PyTorch loop over seeds."""

from functools import partial
from typing import Any

import sde_sgd as ss
from benchmarks._ensemble import runner
from benchmarks._rows import Row, Target
from benchmarks._timing import Contender, Effort, Peer, compare, require
from benchmarks._torch import digits, loop_over_seeds, mlp, thread_counts, thread_text, with_threads

SEEDS, BATCH, LEARNING_RATE, HIDDEN = 64, 32, 0.05, (64, 64)


def measure(effort: Effort) -> list[Row]:
    """SGD steps per second, summed over seeds."""
    peers = (
        Peer(
            "PyTorch, a loop over seeds",
            partial(loop_over_seeds, HIDDEN, BATCH, LEARNING_RATE),
            Target(12),
        ),
        Peer("PyTorch, torch.func.vmap over seeds", vmap_over_seeds),
    )
    return compare(f"digits_mlp, {SEEDS} seeds", "steps", ours(), peers, effort)


def ours(seeds: int = SEEDS) -> Contender:
    """All seeds in one ensemble."""
    problem = ss.problems.mlp(ss.data.digits(), hidden=HIDDEN)
    process = ss.SGD(problem, ss.Hyperparameters(LEARNING_RATE, BATCH))
    return Contender("sde_sgd", runner(process, seeds), seeds)


def vmap_over_seeds() -> list[Contender]:
    """All seeds at once by PyTorch's own function transforms."""
    torch, func = require("torch", "torch.func")
    inputs, targets = digits(torch)
    models = [mlp(torch, HIDDEN) for _ in range(SEEDS)]
    skeleton = models[0]

    def loss(parameters: Any, x: Any, y: Any) -> Any:
        outputs = func.functional_call(skeleton, parameters, (x,))
        return torch.nn.functional.cross_entropy(outputs, y)

    gradients = func.vmap(func.grad(loss))
    stacked, _ = func.stack_module_state(models)
    parameters = {name: leaf.detach() for name, leaf in stacked.items()}

    def run(steps: int) -> None:
        for _ in range(steps):
            index = torch.randint(0, len(targets), (SEEDS, BATCH), device=inputs.device)
            slopes = gradients(parameters, inputs[index], targets[index])
            for name, leaf in parameters.items():
                leaf.sub_(slopes[name], alpha=LEARNING_RATE)

    return [
        Contender(
            f"PyTorch, torch.func.vmap over seeds ({thread_text(threads)})",
            with_threads(torch, threads, run),
            SEEDS,
        )
        for threads in thread_counts()
    ]
