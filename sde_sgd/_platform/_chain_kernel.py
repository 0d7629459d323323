"""Whether many steps of a formula's chains are made in one kernel: off unless asked for."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from sde_sgd import _checks


@dataclass(frozen=True)
class KernelUse:
    """What `chain_kernel` has asked for.

    Attributes:
        interpret: step through the kernel with XLA, on any device.
        throw: refuse what the kernel cannot run.
    """

    interpret: bool
    throw: bool

    def __str__(self) -> str:
        told = {"interpret=True": self.interpret, "throw=False": not self.throw}
        return f"ss.chain_kernel({', '.join(text for text, given in told.items() if given)})"


_ASKED: ContextVar[KernelUse | None] = ContextVar("chain_kernel", default=None)


def chain_kernel(*, interpret: bool = False, throw: bool = True) -> AbstractContextManager[None]:
    """Inside the block `run` and `sweep` make the steps of analytic problems in one kernel of the device.

        with sde_sgd.chain_kernel():
            result = sde_sgd.run(process, chains=10_000, steps=1_000_000, key=key)

    On a GPU a loop over small steps launches kernels for every step, which takes longer than the step.
    This one keeps some chains in registers over all steps between two samples: a Pallas kernel, lowered
    by Triton for GPUs and by Mosaic for TPUs. It is made from the very steps of the process, draws the same
    random numbers, and a run may go on without it from where it got with it: the chains are the same, to
    the rounding of another compiler, which is why it is off by default. On an H200 it was 18 times as fast
    as the loop at 10⁴ chains of the double well and slower (.63) at 10⁷, with two-point increments 410 and 8
    times as fast.

    A process whose steps mix its chains, against its contract, is not told apart from others: in a kernel
    every chain is alone.

    It takes processes whose problem is an `AnalyticProblem` of at most 16 numbers a chain, velocities
    included, whose steps are arithmetic: no sorting, no draws by rejection (as of more than 64 exponential
    numbers), no loop that ends for each chain by itself.

    JAX 0.12 says that its lowering by Triton will be removed, and warns at every compilation.

    Args:
        interpret: step through the kernel with XLA in place of compiling it, on any device, a CPU too, where
            the chains are those of the plain loop, to the last bit where XLA has no choice of what to fuse.
            For tests only: it is slow.
        throw: refuse what the kernel cannot run; else the plain loop runs that.

    Raises:
        ValueError: for anything but flags; and inside the block, in `run` and `sweep` with `throw`, for what
            the kernel cannot run, or on a CPU, where there is none to compile unless it is interpreted.
    """
    return _inside(KernelUse(_checks.flag("interpret", interpret), _checks.flag("throw", throw)))


def asked() -> KernelUse | None:
    """What the innermost `chain_kernel` around this asks for, if there is one."""
    return _ASKED.get()


@contextmanager
def _inside(use: KernelUse) -> Iterator[None]:
    before = _ASKED.set(use)
    try:
        yield
    finally:
        _ASKED.reset(before)
