"""The mean map of one shuffled epoch on a quadratic whose examples differ in curvature."""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from sde_sgd.theory._setting import Setting

# how many transitions between sets of used examples are still enumerated
_ENUMERATED = 60_000
_GROUPS = 20
_BLOCK = 2_000_000


@dataclass(frozen=True)
class Examples:
    """Gradients ∇ℓ_n = H_n e + ξ_n around the minimum, e = θ − θ*, Σ ξ_n = 0.

    Attributes:
        hessians: H_n, shape `(N, d, d)`.
        gradients: ξ_n, shape `(N, d)`.
    """

    hessians: np.ndarray
    gradients: np.ndarray

    @property
    def size(self) -> int:
        """N."""
        return len(self.gradients)

    @property
    def hessian(self) -> np.ndarray:
        """H, the mean of all."""
        return np.asarray(self.hessians.mean(axis=0))

    @property
    def covariance(self) -> np.ndarray:
        """C at the minimum."""
        result: np.ndarray = self.gradients.T @ self.gradients / self.size
        return result


def batch_sizes(size: int, batch: int, *, every_one: bool) -> list[int]:
    """How an epoch is cut: what is left of N by whole batches sits out, or, with `every_one`, is the last."""
    sizes, rest = [batch] * (size // batch), size % batch
    return [*sizes, rest] if every_one and rest else sizes


def epoch_operators(
    examples: Examples,
    setting: Setting,
    orders: int | None,
    generator: np.random.Generator,
    *,
    every_one: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    r"""E[G ⊗ G] for z ← G z over an epoch, z = (e, v, 1) or (e, 1), over the random order of the data.

    Exact if there are few examples and `orders` is None. Else averaged over random orders, in
    groups, with what the same orders do to examples of equal Hessian as a control variate. With `every_one`
    the rest of the examples is a last, smaller batch.

    Returns:
        Shape `(groups, p², p²)`; one group if exact. And where (e, v) are taken from: their mean at the end
        of an epoch if exact, else 0.
    """
    sizes = batch_sizes(examples.size, setting.batch, every_one=every_one)
    about = np.zeros(examples.gradients.shape[1] * (2 if setting.momentum else 1))
    used = [sum(sizes[:j]) for j in range(len(sizes))]
    steps = sum(
        math.comb(examples.size, done) * math.comb(examples.size - done, count)
        for done, count in zip(used, sizes, strict=True)
    )
    if orders is None and steps <= _ENUMERATED:
        mean = _enumerated(examples, setting, sizes, about, squared=False)
        about = np.linalg.solve(np.eye(len(about)) - mean[:-1, :-1], mean[:-1, -1])
        return _enumerated(examples, setting, sizes, about)[None], about
    count = max(_GROUPS, (20_000 if orders is None else orders) // _GROUPS * _GROUPS)
    per_group = count // _GROUPS
    groups = [_sampled(examples, setting, per_group, generator, every_one=every_one) for _ in range(_GROUPS)]
    return np.stack(groups), about


def step_maps(hessians: np.ndarray, gradients: np.ndarray, setting: Setting) -> np.ndarray:
    """One step as a matrix on (e, v, 1), or (e, 1) without momentum; leading axes are kept."""
    rate, momentum = setting.rate, setting.momentum
    dimension = gradients.shape[-1]
    size = (2 if momentum else 1) * dimension
    maps = np.zeros((*gradients.shape[:-1], size + 1, size + 1))
    maps[..., :dimension, :dimension] = np.eye(dimension) - rate * hessians
    maps[..., :dimension, size] = -rate * gradients
    maps[..., size, size] = 1.0
    if momentum:
        maps[..., :dimension, dimension:size] = -rate * momentum * np.eye(dimension)
        maps[..., dimension:size, :dimension] = hessians
        maps[..., dimension:size, dimension:size] = momentum * np.eye(dimension)
        maps[..., dimension:size, size] = gradients
    return maps


def _enumerated(
    examples: Examples, setting: Setting, sizes: list[int], about: np.ndarray, *, squared: bool = True
) -> np.ndarray:
    """E[G ⊗ G], or E[G], over all orders at once, by the set of examples already used.

    z is taken from `about`; without momentum, inside an epoch, also from where the gradients at the minimum
    lead, −(η/B) Σ ξ_n over the examples used. They cancel over an epoch, and what is left is small and would
    drown in rounding.
    """
    size, used = examples.size, 0

    def place(done: frozenset[int]) -> np.ndarray:
        if setting.momentum or len(done) == sum(sizes):
            return about
        moved: np.ndarray = about - setting.rate / sizes[0] * examples.gradients[list(done)].sum(axis=0)
        return moved

    maps = {
        chosen: step_maps(
            examples.hessians[list(chosen)].mean(axis=0),
            examples.gradients[list(chosen)].mean(axis=0),
            setting,
        )
        for batch in set(sizes)
        for chosen in itertools.combinations(range(size), batch)
    }
    side = len(about) + 1
    states = {frozenset[int](): np.eye(side * side if squared else side)}
    for batch in sizes:
        ways = math.comb(size - used, batch)
        following: dict[frozenset[int], np.ndarray] = {}
        for done, operator in states.items():
            here = place(done)
            left = [n for n in range(size) if n not in done]
            for chosen in itertools.combinations(left, batch):
                then, one = done | frozenset(chosen), maps[chosen].copy()
                one[:-1, -1] += one[:-1, :-1] @ here - place(then)
                if squared:
                    one = (one[:, None, :, None] * one[None, :, None, :]).reshape(side * side, side * side)
                moved = one @ operator / ways
                following[then] = following[then] + moved if then in following else moved
        states, used = following, used + batch
    return np.asarray(sum(states.values()))


def _sampled(
    examples: Examples,
    setting: Setting,
    count: int,
    generator: np.random.Generator,
    *,
    every_one: bool = False,
) -> np.ndarray:
    """Over random orders, with the examples of equal Hessian, whose answer is known, as control."""
    size, batch = examples.size, setting.batch
    dimension = examples.gradients.shape[1]
    sizes = batch_sizes(size, batch, every_one=every_one)
    mean = examples.hessian
    side = step_maps(mean, examples.gradients[0], setting).shape[0]
    total, control = np.zeros((side * side, side * side)), np.zeros((side * side, side * side))
    block = max(1, _BLOCK // max(size, batch * dimension**2, side**2))
    for begin in range(0, count, block):
        rows = min(block, count - begin)
        order = generator.permuted(np.tile(np.arange(size), (rows, 1)), axis=1)
        varied = np.tile(np.eye(side), (rows, 1, 1))
        equal = varied.copy()
        for j, held in enumerate(sizes):
            chosen = order[:, j * batch : j * batch + held]
            gradients = examples.gradients[chosen].mean(axis=1)
            hessians = examples.hessians[chosen].mean(axis=1)
            varied = step_maps(hessians, gradients, setting) @ varied
            equal = step_maps(np.broadcast_to(mean, hessians.shape), gradients, setting) @ equal
        total += _pairs(varied)
        control += _pairs(equal)
    result: np.ndarray = (total - control) / count + _control(examples, setting, sizes)
    return result


def _pairs(maps: np.ndarray) -> np.ndarray:
    """Σ G ⊗ G over the leading axis."""
    rows, side, _ = maps.shape
    flat = maps.reshape(rows, side * side)
    product = (flat.T @ flat).reshape(side, side, side, side)
    result: np.ndarray = product.transpose(0, 2, 1, 3).reshape(side * side, side * side)
    return result


def _control(examples: Examples, setting: Setting, sizes: list[int]) -> np.ndarray:
    """E[G ⊗ G] where every example has the mean Hessian: A^n on both, and the noise of an epoch."""
    size = examples.size
    cross = -1 / max(size - 1, 1)
    drift = step_maps(examples.hessian, np.zeros_like(examples.gradients[0]), setting)
    side = len(drift)
    values, vectors = np.linalg.eigh(examples.covariance)
    columns = (vectors * np.sqrt(np.clip(values, 0, None))).T
    kicks = step_maps(np.zeros_like(examples.hessian), columns, setting)[:, :-1, -1]
    inner, power = drift[:-1, :-1], np.eye(side - 1)
    single, weighted = np.zeros((side - 1, side - 1)), np.zeros((side - 1, side - 1))
    together = np.zeros((len(columns), side - 1))
    for held in reversed(sizes):  # what the last batch does is not moved on any more
        here = kicks @ power.T
        single += here.T @ here
        weighted += (size - held) / (held * max(size - 1, 1)) * (here.T @ here)
        together += here
        power = inner @ power
    noise = weighted + cross * (together.T @ together - single)
    whole = np.zeros((side, side))
    whole[:-1, :-1], whole[-1, -1] = power, 1.0
    result = np.kron(whole, whole).reshape(side, side, side, side)
    # the noise takes the 1 of both factors to their parameters
    result[:-1, :-1, -1, -1] += noise
    return result.reshape(side * side, side * side)
