"""What of an ensemble is written into a checkpoint, and how a run goes on from it."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from sde_sgd._platform._devices import Layout
from sde_sgd._platform.checkpoints._checkpoint import CheckpointError

Arrays = Mapping[str, Any]


def packed(
    state: PyTree, kept: Mapping[str, Any], record: Arrays, steps: np.ndarray, counts: Arrays
) -> dict[str, Any]:
    """All that the rest of a run needs, as named arrays."""
    return {
        **_numbered("state", jax.tree.leaves(state)),
        **_numbered("moments", jax.tree.leaves(kept["moments"])),
        **_numbered("block", jax.tree.leaves(kept["block"])),
        **{name: kept[name] for name in ("count", "merged", "given", "diverged", "stopped")},
        **_numbered("record", list(record.values())),
        "record_steps": steps,
        **_numbered("histograms", list(counts.values())),
    }


def unpacked(
    layout: Layout, shapes: PyTree, empty: Mapping[str, Any], arrays: Arrays
) -> tuple[PyTree, dict[str, Any]]:
    """State and statistics on the host, filled up to the slots of this layout.

    Args:
        layout: which may be another than the one that wrote them.
        shapes: of the state.
        empty: the statistics of no sample.
        arrays: as `packed` names them.

    Raises:
        CheckpointError: for other arrays than such a run keeps.
    """

    def per_chain(leaf: np.ndarray) -> Any:
        return np.array(layout.pad(leaf[: layout.chains]))

    def leaves(name: str, like: PyTree) -> PyTree:
        numbered = (arrays.get(f"{name}.{number}") for number in range(len(arrays)))
        found = [leaf for leaf in numbered if leaf is not None]
        wanted = [(leaf.shape[1:], leaf.dtype) for leaf in jax.tree.leaves(like)]
        if [(leaf.shape[1:], leaf.dtype) for leaf in found] != wanted:
            raise CheckpointError(
                f"the checkpoint's {name} has other arrays than this version of sde_sgd keeps for such a "
                f"run: another version wrote it. Resume with that one, or start in another folder."
            )
        return jax.tree.unflatten(jax.tree.structure(like), [per_chain(leaf) for leaf in found])

    kept = {
        **empty,
        **{name: leaves(name, empty[name]) for name in ("moments", "block")},
        **{name: per_chain(arrays[name]) for name in ("given", "diverged", "stopped")},
        **{name: arrays[name] for name in ("count", "merged")},
    }
    kept["diverged"][layout.chains :] = 0
    return leaves("state", shapes), kept


def check_length(start: int, steps: int, now: Mapping[str, int], facts: Mapping[str, Any]) -> bool:
    """Whether a run may go on from a checkpoint of one that was shorter or longer.

    Args:
        start, steps: of this run.
        now: where it has samples up to where the checkpoint lies, as `Plan.looked` says it.
        facts: of the checkpoint: start, steps, done, and where it has looked: up to there and before.

    Returns:
        False if the checkpoint has a sample too many: at the end of a shorter run, which is no end now.

    Raises:
        CheckpointError: if the run cannot go on from there.
    """
    done, then = int(facts["done"]), dict(facts["looked"])
    if facts["start"] != start:
        raise CheckpointError(
            f"the checkpoint is of a run from step {facts['start']} on, this one begins at {start}; "
            f"nothing was changed. Repeat the run as it was, or name another folder."
        )
    if done > steps:
        raise CheckpointError(
            f"steps is {steps} here, but the checkpoint is at step {done} already (of "
            f"{facts['steps']}); nothing was changed. A run can be made longer, not shorter: give steps >= "
            f"{done}, or name another folder."
        )
    if then == now:
        return True
    if dict(facts["looked_before"]) == now:
        return False
    raise CheckpointError(
        f"by step {done} the run in the checkpoint has looked {_times(then)}, this one {_times(now)} "
        f"(`every`); nothing was changed. A run can be made longer if it looks at the same steps: "
        f"give `every` as it was, or name another folder."
    )


def without_end(
    arrays: Arrays, facts: Mapping[str, Any], start: int
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A checkpoint without the sample of its last step, the end of a shorter run: a longer one passes by.

    Raises:
        CheckpointError: if the sample went into sums with others, where it cannot be taken out.
    """
    # the end of a run whose marks pass it by went into no sums
    gathered = not facts.get("end_alone", False)
    only = gathered and facts["looked"]["samples"] == 1
    sums = ("moments", "block", "count", "merged", "given", "histograms")
    if gathered and not only and any(name.startswith(("block.", "histograms.")) for name in arrays):
        raise CheckpointError(
            f"moments and histograms in the checkpoint hold a sample at step {facts['done']}, the end of a "
            f"run of {facts['steps']} steps, which this run does not take (`every`); nothing was changed. "
            f"Go on from the result instead, run(..., initial=result), or name another folder."
        )
    end = start + int(facts["done"])
    found = dict(arrays)
    for name in arrays:
        kind = name.partition(".")[0]
        if kind in sums and only:
            found[name] = np.zeros_like(arrays[name])
        elif kind in ("diverged", "stopped"):
            found[name] = np.where(arrays[name] == end, np.asarray(-1, arrays[name].dtype), arrays[name])
        elif kind in ("record", "record_steps"):
            found[name] = arrays[name][arrays["record_steps"] != end]
    return found, {**facts, "over": False}


def _times(looked: Mapping[str, int]) -> str:
    count = looked["samples"]
    if not count:
        return "at no sample"
    apart = f", {looked['every']} steps apart" if "every" in looked else ""
    return f"at {count} sample{'s' if count > 1 else ''}{apart}"


def _numbered(name: str, leaves: list[Any]) -> dict[str, Any]:
    return {f"{name}.{number}": leaf for number, leaf in enumerate(leaves)}
