"""PyTorch: where it computes, with how many threads, and the MLP on digits in it."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

import sde_sgd as ss
from benchmarks._environment import cores
from benchmarks._timing import Contender, require

Run = Callable[[int], None]


def device(torch: Any) -> str:
    """The accelerator if jax has one and PyTorch can use it, else the processor."""
    return "cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else "cpu"


def with_threads(torch: Any, threads: int, run: Run) -> Run:
    """`run` with PyTorch set to that many threads, waiting for the device at the end."""
    on_accelerator = device(torch) == "cuda"

    def timed(steps: int) -> None:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        run(steps)
        if on_accelerator:
            torch.cuda.synchronize()

    return timed


def thread_text(threads: int) -> str:
    """The number of threads in words, for the table; on an accelerator it does not matter."""
    if jax.default_backend() != "cpu":
        return "with TF32 on the same device"
    return "1 thread" if threads == 1 else f"{threads} threads"


def thread_counts() -> list[int]:
    """One thread and all of them, of which the faster counts; one where they have nothing to compute."""
    return [1] if jax.default_backend() != "cpu" else sorted({1, cores()})


def mlp(torch: Any, hidden: Sequence[int]) -> Any:
    """The network of `sde_sgd.problems.mlp` on digits."""
    # as jax.default_matmul_precision does on a GPU that has it
    torch.set_float32_matmul_precision("high")
    layers: list[Any] = []
    width = 64
    for wide in hidden:
        layers += [torch.nn.Linear(width, wide), torch.nn.Tanh()]
        width = wide
    return torch.nn.Sequential(*layers, torch.nn.Linear(width, 10)).to(device(torch))


def digits(torch: Any) -> tuple[Any, Any]:
    """Training inputs and targets."""
    data = ss.data.digits()
    inputs = torch.tensor(np.asarray(data.inputs), device=device(torch))
    targets = torch.tensor(np.asarray(data.targets), dtype=torch.int64, device=device(torch))
    return inputs, targets


def loop_over_seeds(hidden: Sequence[int], batch: int, rate: float, *, work: float = 1) -> list[Contender]:
    """SGD of one seed after the other, so the speed of one seed is the speed summed over seeds."""
    (torch,) = require("torch")
    ways = {"in-place update": _in_place_loop, "torch.optim.SGD": _optimizer_loop}
    return [
        Contender(
            f"PyTorch, a loop over seeds ({way}, {thread_text(threads)})",
            with_threads(torch, threads, make(torch, mlp(torch, hidden), batch, rate)),
            work,
        )
        for way, make in ways.items()
        for threads in thread_counts()
    ]


def _in_place_loop(torch: Any, model: Any, batch: int, rate: float) -> Run:
    inputs, targets = digits(torch)
    parameters = list(model.parameters())

    def run(steps: int) -> None:
        for _ in range(steps):
            index = torch.randint(0, len(targets), (batch,), device=inputs.device)
            loss = torch.nn.functional.cross_entropy(model(inputs[index]), targets[index])
            slopes = torch.autograd.grad(loss, parameters)
            with torch.no_grad():
                for leaf, slope in zip(parameters, slopes, strict=True):
                    leaf.sub_(slope, alpha=rate)

    return run


def _optimizer_loop(torch: Any, model: Any, batch: int, rate: float) -> Run:
    inputs, targets = digits(torch)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)

    def run(steps: int) -> None:
        for _ in range(steps):
            index = torch.randint(0, len(targets), (batch,), device=inputs.device)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs[index]), targets[index]).backward()
            optimizer.step()

    return run
