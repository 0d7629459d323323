"""Whether SGD stays where it starts at all."""

from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from sde_sgd.curvature import top_eigenpairs
from sde_sgd.processes._base import Process
from sde_sgd.processes._minibatch import MinibatchProcess

_PRODUCTS = 15


def refuse_unstable(process: Process, start: PyTree) -> None:
    """Refuse an η at which gradient descent leaves any minimum of the curvature at the start.

    Raises:
        ValueError: for SGD whose η is above 2(1 + m)/λ₁ there.
    """
    if not isinstance(process, MinibatchProcess) or getattr(process, "optimizer", None) is not None:
        return
    size = sum(leaf.size for leaf in jax.tree.leaves(start))
    pairs = top_eigenpairs(process.problem, start, products=min(_PRODUCTS, size), key=jax.random.key(0))
    sharpness = float(np.asarray(pairs.values)[0])
    rate = np.asarray(process.hyper.learning_rate)
    excess: Any = sharpness / np.asarray(process.hyper.edge_of_stability)
    if sharpness > 0 and excess.max() > 1:
        raise ValueError(
            f"learning_rate must be < {float(rate.max() / excess.max()):.3g} at start, where λ₁ = "
            f"{sharpness:.3g}, got {float(rate.max()):g}: SGD is unstable there and leaves at once, with no "
            f"barrier to cross."
        )
