"""Settings of the Fokker-Planck equation, and what its laws must hold."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import linalg

import sde_sgd as ss
from sde_sgd.theory._fokker_planck._time import evolve

HYPER = ss.Hyperparameters(0.2)  # with σ² = 1: T = .2, D = .1
D = 0.1
START, TIMES = 0.2, (0.1, 0.4, 1.0, 3.0, 10.0)
PLACE, MOMENTS = np.array([0.1, 0.4]), (0.2, 0.4, 1.0, 2.0, 5.0)


def faults(laws):
    """What is wrong with probabilities at several times, shape `(times, ...)`."""
    wrong = []
    if np.abs(laws.reshape(len(laws), -1).sum(axis=1) - 1).max() > 1e-10:
        wrong.append("mass")
    if laws.min() < 0:
        wrong.append("sign")
    return wrong


def wandering(found, weights):
    """Σ|p − weights| at the last time, from a start in `weights`."""
    with jax.enable_x64(True):
        start, duration = jnp.asarray(weights), jnp.asarray(found.times[-1])
        after = np.asarray(evolve(found.generator.jumps(), start, duration))
    return np.abs(after - weights).sum()


def ornstein_uhlenbeck(H, mean, variance, time, noise=None):
    """Mean and covariance of dθ = −Hθ dt + √(2D) dW."""
    noise = D * np.eye(len(H)) if noise is None else noise
    decay = linalg.expm(-H * time)
    stationary = linalg.solve_continuous_lyapunov(H, 2 * noise)
    return decay @ mean, decay @ (variance * np.eye(len(H)) - stationary) @ decay.T + stationary


def growing(x):
    return 1 + x * x
