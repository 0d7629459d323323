"""Pilots and orbits whose temperatures are known, and what a diagnosis makes of them."""

import dataclasses

import numpy as np

import sde_sgd as ss
from sde_sgd.validity import _causes as causes
from sde_sgd.validity._orbit import Orbit
from sde_sgd.validity._pilot import Pilot


def standard(shape, seed=0):
    """Normal numbers whose mean over chains is 0 and whose variance is 1, exactly, at each time."""
    values = np.random.default_rng(seed).normal(size=shape)
    values -= values.mean(axis=1, keepdims=True)
    return values / values.std(axis=1, ddof=1, keepdims=True)


def orbit(theta, slope, *, noise=2.0, time=None, ratio=0.5, step=0.1, factor=1.0):
    """Arrays of shape (samples, chains, k) as an `Orbit` with C_ii = noise."""
    noise = np.broadcast_to(np.asarray(noise, np.float64), theta.shape)
    time = np.arange(len(theta), dtype=float) if time is None else time
    return Orbit(theta, slope, noise, time, ratio, step, factor)


def pilot(**changes):
    """A pilot in which all is well, along two directions of curvature 1 and .5, but for the changes."""
    rng = np.random.default_rng(3)
    theta = rng.normal(size=(30, 64, 2))
    slope = np.array([1.0, 0.5]) * theta
    # 2 Cov = T along both
    own = orbit(theta, slope, noise=np.array([4.0, 2.0]), ratio=0.5, step=0.001)
    fields = {
        "steps": 30,
        "chains": 64,
        "diverged": 0,
        "curvature": np.array([1.0, 0.5]),
        "curvatures": np.tile([1.0, 0.5], (5, 1)),
        "sharpest": np.ones(4),
        "noise_covariance": np.diag([3.3, 2.7]),
        "noise_error": np.zeros((2, 2)),
        "noise_skewness": np.zeros(2),
        "noise_skewness_error": np.zeros(2),
        "mean_noise_variance": (3.0, 0.0),
        "temperature": own.temperature().value,
        "temperature_error": own.temperature().standard_error,
        "skewness": np.zeros(2),
        "skewness_error": np.zeros(2),
        "step": np.arange(30),
        "loss": np.ones((30, 64)),
        "sgd": own,
        "finer": dataclasses.replace(own, step=0.0),
        "finer_name": "small steps",
        "gaussian": None,
        "gaussian_skewness": np.zeros(2),
        "gaussian_skewness_error": np.zeros(2),
        "finer_loss": np.ones(64),
    }
    return Pilot(**{**fields, **changes})


def judged(changed=None, hyper=None, *, sampling="replacement", size=None, steps=1000):
    """Name → cause."""
    found = causes.causes(changed or pilot(), hyper or ss.Hyperparameters(0.001, 1), sampling, size, steps)
    return {cause.name: cause for cause in found}
