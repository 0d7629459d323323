"""The quasi-potential of Ornstein-Uhlenbeck processes, against the least action and special cases."""

import numpy as np
import pytest
from helpers import refused
from scipy import linalg

import sde_sgd as ss

theory = ss.theory
HYPER = ss.Hyperparameters(0.1, 4)
H = np.array([[2.0, 0.5], [0.5, 1.0]])
C = np.array([[0.3, -0.4], [-0.4, 3.0]])


def action(rate, x, strength):
    """½ ∫ (ẋ + Hx)ᵀ(εC)⁻¹(ẋ + Hx) dt on the way ẋ = Rx that ends at x, backwards by even steps of time."""
    times = np.linspace(0, 60, 60_001)
    back = linalg.expm(-rate * times[1])
    path = [x]
    for _ in times[1:]:
        path.append(back @ path[-1])
    force = np.stack(path) @ (rate + H).T
    integrand = 0.5 * np.sum(force * np.linalg.solve(strength * C, force.T).T, axis=1)
    return np.trapezoid(integrand, times)


def test_it_is_the_least_action():
    """On the way ẋ = ΣHΣ⁻¹x; uphill against the gradient it takes more."""
    found = theory.quasi_potential(H, C, HYPER)
    x = np.array([0.3, -0.2])
    likeliest = found.covariance @ H @ np.linalg.inv(found.covariance)
    np.testing.assert_allclose(action(likeliest, x, 0.1 / 4), found.at(x), rtol=1e-5)
    assert action(H, x, 0.1 / 4) > 1.1 * found.at(x)
    assert not found.detailed_balance
    assert 0.1 < found.irreversibility < 1


def test_the_lowest_of_a_level_by_looking_everywhere():
    found = theory.quasi_potential(H, C, HYPER)
    angle = np.linspace(0, 2 * np.pi, 100_001)
    around = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    level = around * np.sqrt(2 * 0.7 / np.einsum("ni,ij,nj->n", around, H, around))[:, None]
    values = found.at(level)
    np.testing.assert_allclose(values.min(), found.barrier(0.7), rtol=1e-6)
    point = found.exit_point(0.7)
    np.testing.assert_allclose([found.at(point), found.at(-point)], found.barrier(0.7), rtol=1e-12)
    np.testing.assert_allclose(0.5 * point @ H @ point, 0.7, rtol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(found.direction), 1, rtol=1e-12)
    best = level[values.argmin()]
    assert abs(best @ found.direction) > (1 - 1e-8) * np.linalg.norm(best)


def test_isotropic_noise_has_one_temperature():
    """V = L/D with D = η'σ²/(2B), everywhere."""
    found = theory.quasi_potential(H, 3.0 * np.eye(2), HYPER.matching(momentum=0.5))
    x = np.random.default_rng(0).normal(size=(4, 5, 2))
    losses = 0.5 * np.einsum("...i,ij,...j->...", x, H, x)
    np.testing.assert_allclose(found.at(x), losses / (0.1 * 3 / 8), rtol=1e-5)
    np.testing.assert_allclose(found.diffusion, 0.1 * 3 / 8, rtol=1e-6)
    assert found.detailed_balance


def test_noise_of_the_curvature_leaves_along_the_sharpest_direction():
    found = theory.quasi_potential(H, H, HYPER)
    values, vectors = np.linalg.eigh(H)
    np.testing.assert_allclose(found.covariance, 0.1 / 8 * np.eye(2), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(np.abs(found.direction @ vectors[:, 1]), 1, rtol=1e-9)
    assert found.detailed_balance
    same = theory.diffusion_theory(
        HYPER, well_curvature=values[1], barrier_curvature=values[1], barrier_height=0.3
    )
    np.testing.assert_allclose(found.barrier(0.3), same.exponent, rtol=1e-6)


def test_the_law_of_subsets():
    options = {"sampling": "subset", "dataset_size": 10}
    fewer, all_of = theory.quasi_potential(H, C, HYPER, **options), theory.quasi_potential(H, C, HYPER)
    np.testing.assert_allclose(fewer.diffusion, all_of.diffusion * 6 / 9, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_is_no_current(dtype):
    vectors = linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    both = np.arange(1, 7), np.array([6, 2, 9, 1, 4, 3])
    measured = [(vectors * values @ vectors.T).astype(dtype) for values in both]
    assert theory.quasi_potential(*measured, HYPER).detailed_balance


def test_bad_input():
    with refused(match="hessian must be symmetric"):
        theory.quasi_potential([[1.0, 0.5], [0.0, 1.0]], C, HYPER)
    with refused(match="hessian must be positive definite"):
        theory.quasi_potential(np.diag([1.0, 0.0]), C, HYPER)
    with refused(match="gradient_covariance must make noise in every direction, .* from 0 to 0.0125"):
        theory.quasi_potential(np.eye(2), np.diag([0.0, 1.0]), HYPER)
    found = theory.quasi_potential(H, C, HYPER)
    with refused(match=r"displacement must have 2 entries on its last axis, .* got shape \(3,\)"):
        found.at(np.ones(3))
    with refused(match="barrier_height must be finite and > 0, got 0"):
        found.barrier(0.0)
    with refused(match="barrier_height must be finite and > 0, got -1"):
        found.exit_point(-1.0)
