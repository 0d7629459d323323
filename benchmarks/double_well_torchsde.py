"""The double well in torchsde."""

import warnings
from typing import Any

from benchmarks._timing import Contender, require
from benchmarks._torch import device, thread_counts, thread_text, with_threads


class Well:
    """The SDE as torchsde wants it, on the clock of steps: dt = 1."""

    sde_type = "ito"

    def __init__(self, rate: float, noise_type: str, diffusion: Any) -> None:
        self.rate = rate
        self.noise_type = noise_type
        self.diffusion = diffusion

    def f(self, t: Any, y: Any) -> Any:
        """−η∇L."""
        return -self.rate * (y * y * y - y)

    def g(self, t: Any, y: Any) -> Any:
        """ησ, the same everywhere."""
        return self.diffusion


def sdeint(chains: int, rate: float) -> list[Contender]:
    """`torchsde.sdeint` with its Euler method and its own Brownian motion, chains as the batch."""
    torch, torchsde = require("torch", "torchsde")
    start = torch.zeros((chains, 1), device=device(torch))

    def contender(noise_type: str, shape: tuple[int, ...], threads: int) -> Contender:
        well = Well(rate, noise_type, torch.full(shape, rate, device=device(torch)))

        def run(steps: int) -> None:
            ends = torch.tensor([0.0, float(steps)], device=device(torch))
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torchsde.sdeint(well, start, ends, method="euler", dt=1.0, adaptive=False)

        timed = with_threads(torch, threads, run)
        return Contender(f"torchsde ({noise_type} noise, {thread_text(threads)})", timed, chains)

    return [
        contender(noise_type, shape, threads)
        for noise_type, shape in (("diagonal", (chains, 1)), ("scalar", (chains, 1, 1)))
        for threads in thread_counts()
    ]
