"""SGD of 64 seeds of an MLP on real digits: sde_sgd's ensemble beside a PyTorch loop over seeds."""

from collections.abc import Callable
from typing import Any

import numpy as np

import sde_sgd as ss
from benchmarks._ensemble import runner
from benchmarks._timing import Contender, Effort, Peer, Row, Target, compare, require
from benchmarks._torch import device, thread_text, with_threads

SEEDS, BATCH, LEARNING_RATE, HIDDEN = 64, 32, 0.05, (64, 64)
Run = Callable[[int], None]


def measure(effort: Effort) -> list[Row]:
    """SGD steps per second, summed over seeds."""
    problem = ss.problems.mlp(ss.data.digits(), hidden=HIDDEN)
    process = ss.SGD(problem, ss.Hyperparameters(LEARNING_RATE, BATCH))
    ours = Contender("sde_sgd", runner(process, SEEDS), SEEDS)
    peers = (
        Peer("PyTorch, a loop over seeds", loop_over_seeds, Target(12)),
        Peer("PyTorch, torch.func.vmap over seeds", vmap_over_seeds),
    )
    return compare(f"digits_mlp, {SEEDS} seeds", "steps", ours, peers, effort)


def loop_over_seeds() -> list[Contender]:
    """One seed after the other, so the speed of one seed is the speed summed over seeds."""
    (torch,) = require("torch")
    inputs, targets = _data(torch)
    ways = {"in-place update": _in_place_loop, "torch.optim.SGD": _optimizer_loop}
    return [
        Contender(
            f"PyTorch, a loop over seeds ({way}, {thread_text(threads)})",
            with_threads(torch, threads, make(torch, _model(torch), inputs, targets)),
            1,
        )
        for way, make in ways.items()
        for threads in (1, 2)
    ]


def vmap_over_seeds() -> list[Contender]:
    """All seeds at once by PyTorch's own function transforms."""
    torch, func = require("torch", "torch.func")
    inputs, targets = _data(torch)
    models = [_model(torch) for _ in range(SEEDS)]
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
        for threads in (1, 2)
    ]


def _in_place_loop(torch: Any, model: Any, inputs: Any, targets: Any) -> Run:
    parameters = list(model.parameters())

    def run(steps: int) -> None:
        for _ in range(steps):
            index = torch.randint(0, len(targets), (BATCH,), device=inputs.device)
            loss = torch.nn.functional.cross_entropy(model(inputs[index]), targets[index])
            slopes = torch.autograd.grad(loss, parameters)
            with torch.no_grad():
                for leaf, slope in zip(parameters, slopes, strict=True):
                    leaf.sub_(slope, alpha=LEARNING_RATE)

    return run


def _optimizer_loop(torch: Any, model: Any, inputs: Any, targets: Any) -> Run:
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)

    def run(steps: int) -> None:
        for _ in range(steps):
            index = torch.randint(0, len(targets), (BATCH,), device=inputs.device)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs[index]), targets[index]).backward()
            optimizer.step()

    return run


def _model(torch: Any) -> Any:
    layers: list[Any] = []
    width = 64
    for hidden in HIDDEN:
        layers += [torch.nn.Linear(width, hidden), torch.nn.Tanh()]
        width = hidden
    return torch.nn.Sequential(*layers, torch.nn.Linear(width, 10)).to(device(torch))


def _data(torch: Any) -> tuple[Any, Any]:
    digits = ss.data.digits()
    inputs = torch.tensor(np.asarray(digits.inputs), device=device(torch))
    targets = torch.tensor(np.asarray(digits.targets), dtype=torch.int64, device=device(torch))
    return inputs, targets
