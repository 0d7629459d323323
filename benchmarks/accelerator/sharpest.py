"""Steps along the sharpest directions there: are they right, and what they cost."""

import functools
from typing import Any

import jax
import numpy as np
import optax

import sde_sgd as ss
from benchmarks import sharpest_directions
from benchmarks.accelerator._step import Found
from benchmarks.accelerator.right import two_groups
from benchmarks.accelerator.speed import effort, found
from benchmarks.digits_mlp import HIDDEN

_K, _BATCH = 5, 16
# an angle in radians, as asked of a refresh; rounding of products moves eigenvectors by less
_ANGLE = 1e-2
# of what is the same but for rounding
_CLOSE = 1e-3


def directions(smoke: bool) -> Found:
    """Eigenvectors in the optimizer's state at each refresh, against Lanczos' with many products; γ = 1."""
    net = ss.problems.mlp(ss.data.digits(), hidden=HIDDEN)
    chains, epochs, epoch = (3, 1, 40) if smoke else (64, 5, net.dataset_size // _BATCH)
    process = _nudged(net, epoch, 0.01)
    options: dict[str, Any] = {"chains": chains, "key": jax.random.key(0), "devices": jax.devices()[:1]}
    before = ss.run(process, **options, steps=epoch)
    angles = []
    for _ in range(epochs):
        theta = before.theta
        after = ss.run(process, **options, steps=1, initial=before)
        rows = np.asarray(after.state.extra["optimizer"].directions, np.float64)
        exact = _exact(net, theta)
        outside = rows - rows @ exact.transpose(0, 2, 1) @ exact
        angles.append(np.linalg.norm(outside, 2, axis=(1, 2)))
        before = ss.run(process, **options, steps=epoch - 1, initial=after)
    largest, median = np.max(angles, axis=1), np.median(angles, axis=1)
    steps = epoch
    plain, same = (
        np.concatenate(
            [np.ravel(leaf) for leaf in jax.tree.leaves(ss.run(one, **options, steps=steps).theta)]
        )
        for one in (_plain(net), _nudged(net, epoch, 1.0))
    )
    differing, off = int((plain != same).sum()), float(np.abs(plain - same).max() / np.abs(plain).max())
    told = "the same bits" if not differing else f"off by {off:.1e} of the largest parameter"
    lines = [
        f"{_K} directions of {chains} chains against the exact ones, at {epochs} refreshes",
        f"median angle {_listed(median)} (wrong above {_ANGLE:g})",
        f"largest {_listed(largest)}, where eigenvalues {_K} and {_K + 1} may be next to each other",
        f"γ = 1 beside plain SGD after {steps} steps: {told}",
    ]
    facts = {"median": median.tolist(), "largest": largest.tolist(), "differing": differing, "off": off}
    # two programs of one arithmetic, for whose products a GPU chooses kernels anew
    return Found(lines, facts, right=bool(median.max() < _ANGLE) and off < _CLOSE)


def central_flow(smoke: bool) -> Found:
    """The central flow to the edge of stability and along it, on the device and on the CPU."""
    rate, chains, steps = 0.8, *((2, 3) if smoke else (4, 60))
    net = ss.problems.mlp(two_groups(), hidden=(8,), loss="squared_error")
    size = net.dataset_size
    flow = ss.CentralFlow(net, ss.Hyperparameters(rate, size), k=2)
    found_at = []
    for where in (jax.devices()[0], jax.devices("cpu")[0]):
        done = ss.run(flow, chains=chains, steps=steps, key=jax.random.key(1), devices=[where])
        theta = np.concatenate(
            [np.asarray(leaf, np.float64).reshape(chains, -1) for leaf in jax.tree.leaves(done.theta)], 1
        )
        found_at.append((theta, np.asarray(done.state.extra["values"], np.float64)))
    (theta, values), (reference, _) = found_at
    off = float(np.abs(theta - reference).max() / np.abs(reference).max())
    ends = rate / 2 * values[:, 0]
    lines = [
        f"{chains} chains, {steps} steps: {off:.1e} of the largest parameter off (wrong above {_CLOSE:g})",
        f"λ₁ over 2/η at the end: {ends.min():.4f} to {ends.max():.4f}",
    ]
    return Found(lines, {"largest_difference": off}, right=off < _CLOSE)


def costs(smoke: bool) -> Found:
    """Looking at λ₁ to λ₅ and nudging, many chains at once, beside plain SGD."""
    return found(sharpest_directions.measure(effort(smoke), 2 if smoke else 64))


def _listed(angles: np.ndarray) -> str:
    return ", ".join(f"{angle:.1e}" for angle in angles)


def _plain(net: ss.problems.EmpiricalRisk) -> ss.SGD:
    return ss.SGD(net, ss.Hyperparameters(0.1, _BATCH))


def _nudged(net: ss.problems.EmpiricalRisk, every: int, factor: float) -> ss.SGD:
    optimizer = ss.curvature.nudged(optax.sgd, net, _K, every=every, factor=factor)
    return ss.SGD(net, ss.Hyperparameters(0.1, _BATCH), optimizer=optimizer)


def _exact(net: ss.problems.EmpiricalRisk, thetas: Any) -> np.ndarray:
    """Eigenvectors of each chain as rows, by as many products as leave no doubt."""
    search = functools.partial(ss.curvature.top_eigenpairs, net, k=_K, key=jax.random.key(9), products=100)
    pairs = jax.jit(jax.vmap(search))(thetas)
    count = len(pairs.values)
    vectors = [np.asarray(leaf, np.float64).reshape(count, _K, -1) for leaf in jax.tree.leaves(pairs.vectors)]
    return np.concatenate(vectors, axis=-1)
