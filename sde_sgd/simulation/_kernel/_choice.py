"""Whether an ensemble has a kernel, and why not."""

import importlib.util
from dataclasses import dataclass

import jax
from jaxtyping import Array, Int, Key

from sde_sgd._platform._chain_kernel import KernelUse
from sde_sgd._platform.files._files import first_line
from sde_sgd.problems._analytic import AnalyticProblem
from sde_sgd.processes._base import ChainState, Process
from sde_sgd.simulation._kernel import _lanes
from sde_sgd.simulation._kernel._launch import launch
from sde_sgd.simulation._kernel._one_chain import OneChain, given, one_chain

# numbers of a chain that fit into registers, with what is made of them in a step
_MOST_NUMBERS = 16
# where there is something to compile a kernel with
_PLATFORMS = ("gpu", "tpu")
_TRITON = "jax.experimental.pallas.triton"


@dataclass(frozen=True)
class Kernel:
    """The steps of a process as a kernel.

    Attributes:
        chain: the steps of one chain.
        platform: of the devices, as JAX calls it.
        interpret: step through it with XLA.
    """

    chain: OneChain
    platform: str
    interpret: bool

    def advance(
        self,
        process: Process,
        state: ChainState,
        begin: Int[Array, ""],
        block: Int[Array, ""],
        key: Key[Array, ""],
    ) -> ChainState:
        """`block` steps of all chains from `begin`."""
        inputs = jax.tree.leaves(given(process, state, begin, begin + block, process.streams(key)))
        moved = launch(self.chain, inputs, state.chain.shape[0], self.platform, interpret=self.interpret)
        structure = jax.tree.structure((state.theta, state.extra))
        theta, extra = jax.tree.unflatten(structure, moved)
        return ChainState(theta, state.chain, extra)


def kernel_of(asked: KernelUse | None, process: Process, state: ChainState, platform: str) -> Kernel | None:
    """The kernel for an ensemble, or None where none was asked for, or the plain loop may do.

    Args:
        asked: what `chain_kernel` has asked for.
        process: what is run.
        state: the shapes of its ensemble.
        platform: of the devices, as JAX calls it.

    Raises:
        ValueError: if there is no kernel for it, and `chain_kernel` was not told to do without.
    """
    if asked is None:
        return None
    obstacle = _on(platform, asked.interpret) or _of(process, state)
    if not obstacle:
        try:
            return Kernel(one_chain(process, state), platform, asked.interpret)
        except _lanes.NoLanesError as error:
            obstacle = f"its steps use {error}, which is not done to numbers in registers"
        except Exception as error:  # noqa: BLE001 - what else there is to do without a number, or with a key
            obstacle = (
                f"its steps cannot be made number by number: {type(error).__name__}: {first_line(error)}"
            )
    if asked.throw:
        raise ValueError(
            f"chain_kernel has no kernel for {type(process).__name__} of {type(process.problem).__name__}: "
            f"{obstacle}. Run it outside the block, or give chain_kernel(throw=False), which leaves such "
            f"runs to the plain loop."
        )
    return None


def _on(platform: str, interpret: bool) -> str:
    """What is missing on a platform, or nothing."""
    if interpret:
        return ""
    if platform == "gpu" and importlib.util.find_spec(_TRITON) is None:
        return "this release of JAX lowers no Pallas kernel by Triton"
    if platform in _PLATFORMS:
        return ""
    return f"on a {platform} there is none to compile (interpret=True steps through it, slowly, for tests)"


def _of(process: Process, state: ChainState) -> str:
    """What keeps a process from having a kernel before its steps are looked at, or nothing."""
    if not isinstance(process.problem, AnalyticProblem):
        return "its loss is no formula, an AnalyticProblem"
    if type(process).advance is not Process.advance:
        return "it has an advance of its own"
    numbers = sum(leaf.size // leaf.shape[0] for leaf in jax.tree.leaves((state.theta, state.extra)))
    if numbers > _MOST_NUMBERS:
        return f"a chain is {numbers} numbers, of which {_MOST_NUMBERS} fit into registers"
    return ""
