"""How two modes of a quadratic answer to the noise of SGD, momentum and epochs included."""

import numpy as np

from sde_sgd.theory._setting import BatchNoise, Setting

# pairs of modes at a time: each takes a 4 × 4 system
_PAIRS = 200_000


def sde_response(first: np.ndarray, second: np.ndarray, noise: BatchNoise, setting: Setting) -> np.ndarray:
    """K = η'·own/(λ + μ): the SDE's covariance of two modes is K·C."""
    result: np.ndarray = setting.effective_rate * noise.own / (first + second)
    return result


def sgd_response(
    first: np.ndarray, second: np.ndarray, noise: BatchNoise, setting: Setting, *, average: bool = False
) -> np.ndarray:
    r"""K for SGD itself: along eigenvectors of H with curvatures λ and μ, Σ_λμ = K(λ, μ) C_λμ exactly.

    Modes of a quadratic do not mix, so their covariance depends on nothing else. With
    A = [[1 − ηλ, −ηm], [λ, m]] acting on (θ, v), b = (−η, 1) and u_l = A^l b, an epoch of n batches
    gives X ← A_λⁿ X A_μⁿᵀ + own·P + cross·(s sᵀ − P) with P = Σ u_l u_lᵀ, s = Σ u_l. White noise is
    n = 1. Where the last batch has another variance, that is the factor of its term u_0 u_0ᵀ.

    Args:
        first, second: λ and μ, arrays of one shape.
        noise: of the batches.
        setting: η and m.
        average: over the steps of an epoch, in place of its end.

    Returns:
        K, of the same shape.
    """
    shape = np.broadcast_shapes(np.shape(first), np.shape(second))
    one, other = (np.broadcast_to(values, shape).ravel() for values in (first, second))
    found = [
        _response(one[at : at + _PAIRS], other[at : at + _PAIRS], noise, setting, average)
        for at in range(0, one.size, _PAIRS)
    ]
    # what is 0 has no sign
    return np.concatenate(found).reshape(shape) + 0.0


def _response(
    first: np.ndarray, second: np.ndarray, noise: BatchNoise, setting: Setting, average: bool
) -> np.ndarray:
    maps = _step(first, setting), _step(second, setting)
    power, added = _identity(first), np.zeros((first.size, 2, 2))
    powers = [power, power.copy()]
    kicks = [np.tile([-setting.rate, 1.0], (first.size, 1)) for _ in maps]
    sums = [np.zeros_like(kick) for kick in kicks]
    own = np.zeros_like(added)
    within = []
    newest = kicks[0][:, :, None] * kicks[1][:, None, :]
    for number in range(noise.batches):
        own += kicks[0][:, :, None] * kicks[1][:, None, :]
        sums = [total + kick for total, kick in zip(sums, kicks, strict=True)]
        added = noise.own * own + noise.cross * (sums[0][:, :, None] * sums[1][:, None, :] - own)
        added = added + (noise.of(number) - noise.own) * newest
        kicks = [np.einsum("pij,pj->pi", a, kick) for a, kick in zip(maps, kicks, strict=True)]
        powers = [a @ power for a, power in zip(maps, powers, strict=True)]
        if average:
            within.append((powers[0][:, 0], powers[1][:, 0], added[:, 0, 0]))
    product = np.einsum("pij,pkl->pikjl", powers[0], powers[1]).reshape(-1, 4, 4)
    state = np.linalg.solve(np.eye(4) - product, added.reshape(-1, 4, 1)).reshape(-1, 2, 2)
    if not average:
        return state[:, 0, 0]
    steps = [np.einsum("pi,pij,pj->p", left, state, right) + kick for left, right, kick in within]
    result: np.ndarray = np.mean(steps, axis=0)
    return result


def _step(curvature: np.ndarray, setting: Setting) -> np.ndarray:
    """One step of (θ, v) along a mode."""
    rate, momentum = setting.rate, np.full_like(curvature, setting.momentum)
    rows = [[1 - rate * curvature, -rate * momentum], [curvature, momentum]]
    return np.moveaxis(np.asarray(rows), -1, 0)


def _identity(values: np.ndarray) -> np.ndarray:
    return np.tile(np.eye(2), (values.size, 1, 1))
