"""Where PyTorch computes, and with how many threads."""

from collections.abc import Callable
from typing import Any

import jax


def device(torch: Any) -> str:
    """The accelerator if jax has one and PyTorch can use it, else the processor."""
    return "cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else "cpu"


def with_threads(torch: Any, threads: int, run: Callable[[int], None]) -> Callable[[int], None]:
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
    """The number of threads in words, for the table."""
    return "1 thread" if threads == 1 else f"{threads} threads"
