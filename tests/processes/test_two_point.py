"""Two-point increments: their law bit by bit, the same bits however a run is cut, and weak order one.

Keys are fixed. Bounds are `bound(count)` standard errors (helpers.py): a correct program fails one
test in a million choices of keys. References are exact: recursions of moments, backward equations
on a grid, and the bits at their documented addresses.
"""

import contextlib

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import (
    assert_agree,
    bound,
    class_data,
    covariance,
    float64,
    ravel,
    ravel_rows,
    refused,
    regression_data,
    some_as_scripts,
)
from scipy import linalg
from scipy.interpolate import CubicSpline

import sde_sgd as ss
from sde_sgd import random
from sde_sgd.random import Stream

KEY = jax.random.key(30)
WELL = ss.problems.DoubleWell()
DATA = ss.problems.linear_regression(regression_data(24), bias=True)
HYPER = ss.Hyperparameters(0.05, 4)
FREE = ss.problems.Quadratic(np.zeros((3, 3)))  # no force: θ is the sum of its increments
UNIT = ss.Hyperparameters(1.0)


def two_point(problem, hyper=HYPER, substeps=1, **options):
    return ss.Langevin(problem, hyper, increments="two_point", substeps=substeps, **options)


def start(process, chains):
    chain = random.chain_numbers(chains)
    if process.problem.dataset_size is None:
        return process.init(jnp.zeros((chains, *process.problem.minima()[0].shape)), chain)
    return process.init(jax.vmap(process.problem.init)(jax.random.split(KEY, chains)), chain)


@jax.jit
def advance(process, state, begin, steps):
    return process.advance(state, start=begin, steps=steps, key=KEY)


def same(one, other, rows=slice(None), tolerance=0.0):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(np.asarray(a)[rows], np.asarray(b)[rows], tolerance, tolerance / 10)


def signs(chains, begin, steps, substeps):
    """Sums of ±1 over `steps` × `substeps` of three coordinates, from the bits at their address: 64
    steps are a block, its substep f has bit f % 64 of the two words of group f // 64."""
    total, words = 0, random.stream(KEY, Stream.TWO_POINT)
    for block, group in np.ndindex(-(-steps // 64), substeps):
        here = random.at(random.at(words, begin // 64 + block, group), 0)
        pair = np.stack(random.bits(here, random.chain_numbers(chains), (3,)))
        bits = (pair[:, None] >> np.arange(32, dtype=np.uint32)[:, None, None]) & np.uint32(1)
        left = max(0, min(64, (steps - 64 * block) * substeps - 64 * group))
        total = total + (1.0 - 2.0 * bits.reshape(64, chains, 3)[:left]).sum(axis=0)
    return total


def increments(chains=3000, steps=150):
    """Increments of free motion with dt = 1, shape (steps, chains, 3), in a program of its own."""
    process = two_point(FREE, UNIT)

    def step(state, number):
        moved = process.advance(state, start=number, steps=1, key=KEY)
        return moved, moved.theta - state.theta

    path = jax.jit(lambda at: jax.lax.scan(step, at, jnp.arange(steps))[1])
    return np.asarray(path(start(process, chains)), np.float64)


def check_law(drawn):
    """Null: independent fair ±1. The mean of n has standard error 1/√n, the variance is exact; so
    has the mean product of any two steps, chains or coordinates, over what they have in common."""
    np.testing.assert_array_equal(np.abs(drawn), 1)
    assert_agree(drawn.mean(), 0, drawn.size**-0.5)
    for axis in range(drawn.ndim):
        rows = np.moveaxis(drawn, axis, 0)[:150].reshape(min(150, drawn.shape[axis]), -1)
        products = (rows @ rows.T / rows.shape[1])[np.triu_indices(len(rows), 1)]
        assert_agree(products, np.zeros(len(products)), rows.shape[1] ** -0.5)


def test_increments_are_independent_signs():
    check_law(increments())  # two groups of 64 and a part of a third


@pytest.mark.parametrize("fault", ["one bit for two steps", "variance 2 dt"])
def test_planted_wrong_increments_are_caught(fault, monkeypatch):
    right, twice = random.sign_from_bit, "variance" in fault

    def wrong(pair, number, size, dtype):
        return right(pair, number if twice else number // 2, size * 2**0.5 if twice else size, dtype)

    monkeypatch.setattr(random, "sign_from_bit", wrong)
    with pytest.raises(AssertionError):
        check_law(increments())


@pytest.mark.parametrize(
    ("begin", "steps", "substeps"),
    some_as_scripts([(0, 130, 1), (0, 70, 3), (64 * 10**7, 2, 100), (2**31 - 64, 63, 2)], [(0, 70, 3)]),
)
def test_bits_are_found_at_their_address_in_both_precisions(begin, steps, substeps):
    total = signs(5, begin, steps, substeps) * substeps**-0.5
    for context, atol in ((contextlib.nullcontext(), 2e-4), (float64(), 1e-12)):
        with context:
            problem, hyper = ss.problems.Quadratic(np.zeros((3, 3))), ss.Hyperparameters(1.0)
            process = two_point(problem, hyper, substeps=substeps)
            moved = advance(process, start(process, 5), begin, steps).theta
            np.testing.assert_allclose(moved, total, atol=atol)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_sign_from_bit_in_every_precision(dtype):
    words = np.random.default_rng(0).integers(0, 2**32, (2, 50), np.uint32)
    with float64():
        drawn = [random.sign_from_bit(jnp.asarray(words), n, 0.3, dtype) for n in range(64)]
        drawn, size = np.asarray(drawn, np.float64), float(jnp.asarray(0.3, dtype))
    bits = [(words[n // 32] >> np.uint32(n % 32)) & np.uint32(1) for n in range(64)]
    np.testing.assert_array_equal(drawn, size * (1 - 2.0 * np.array(bits)))


@pytest.mark.parametrize(
    "process",
    [
        two_point(FREE, UNIT, substeps=4),
        two_point(WELL),
        two_point(WELL, substeps=3),
        two_point(DATA),
        two_point(DATA, noise="isotropic"),
        two_point(DATA, noise="diagonal", substeps=2),
        two_point(ss.problems.mlp(class_data(), hidden=[3])),
    ],
    ids=["free", "well", "substeps", "data", "isotropic", "diagonal", "layers"],
)
def test_any_cut_and_step_by_step_give_the_same_chains(process):
    whole = advance(process, start(process, 7), 0, 140)
    state = start(process, 7)
    for begin, steps in ((0, 1), (1, 30), (31, 32), (63, 1), (64, 0), (64, 75), (139, 1)):
        state = advance(process, state, begin, steps)
    same(whole, state)
    # another program may round otherwise, except that sums of halves are exact
    step = jax.jit(lambda state, number: process.step(state, number, process.streams(KEY)))
    state = start(process, 7)
    for number in range(140):
        state = step(state, number)
    same(whole, state, tolerance=0.0 if process.problem is FREE else 2e-5)


@pytest.mark.parametrize(("problem", "substeps"), [(WELL, 1), (WELL, 3), (FREE, 4)], ids=["1", "3", "free"])
@pytest.mark.script
def test_runs_resumed_in_a_group_spread_over_devices_and_in_a_crowd(problem, substeps, one_device):
    process = two_point(problem, UNIT if problem is FREE else HYPER, substeps=substeps)
    whole = ss.run(process, chains=1000, steps=150, key=KEY)
    part = ss.run(process, chains=1000, steps=71, key=KEY, every=10)
    same(whole.state, ss.run(process, chains=1000, steps=79, key=KEY, initial=part).state)
    same(whole.state, ss.run(process, chains=1000, steps=150, key=KEY, devices=one_device).state)
    # XLA may compile a loop over very few chains in another way, so only exact sums are equal there
    few = 10 if problem is FREE else 300
    same(ss.run(process, chains=few, steps=150, key=KEY).state, whole.state, slice(0, few))


@pytest.mark.parametrize("noise", ["problem", "isotropic", "diagonal"])
def test_one_step_on_data_has_the_covariance_of_the_noise(noise):
    """Mean −η∇L with the exact standard error; covariance η²/B times C, (Tr C/d) I or diag C."""
    process, n = two_point(DATA, noise=noise), 100_000
    theta = jax.tree.map(lambda leaf: leaf + 0.5, DATA.init(KEY))
    crowd = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (n, *leaf.shape)), theta)
    moved = advance(process, process.init(crowd, random.chain_numbers(n)), 5, 1).theta
    kick = ravel_rows(moved) - ravel(theta) + 0.05 * ravel(DATA.gradient(theta))
    C = np.asarray(DATA.gradient_covariance(theta), np.float64)
    reshaped = {"isotropic": np.trace(C) / len(C) * np.eye(len(C)), "diagonal": np.diag(np.diag(C))}
    wanted = reshaped.get(noise, C) * 0.05**2 / 4
    assert_agree(kick.mean(axis=0), np.zeros(len(C)), np.sqrt(np.diag(wanted) / n))
    assert_agree(*(part / np.trace(wanted) for part in (covariance(kick)[0], wanted, covariance(kick)[1])))


def quadratic_moments(x, a, size, fourth, steps):
    """E X, E X², E X⁴ after X ← aX + size·ξ, from Eξ = Eξ³ = 0, Eξ² = 1, Eξ⁴ = `fourth`."""
    one, two, four = x, x**2, x**4
    for _ in range(steps):
        four = a**4 * four + 6 * a**2 * size**2 * two + fourth * size**4
        one, two = a * one, a**2 * two + size**2
    return np.array([one, two, four])


def averages(process, steps, n, begin, functions):
    """Sample means of functions of θ and their standard errors."""
    x = ss.run(process, chains=n, steps=steps, key=KEY, initial=begin).samples().astype(np.float64)
    values = np.stack([f(x) for f in functions], axis=-1)
    return values.mean(axis=0), values.std(axis=0) / np.sqrt(n)


FUNCTIONS = (lambda x: x, lambda x: x**2, lambda x: x**4)


def check_slopes(errors, last):
    """log₂ of the ratio of errors at dt and dt/2 is 1 + O(dt): the deviation halves, to below `last`."""
    slopes = np.abs(np.log2(np.array(errors[:-1]) / errors[1:]) - 1)
    assert np.all(slopes[-1] < last)
    assert np.all(slopes[1:] < 0.6 * slopes[:-1] + 0.01)


@pytest.mark.script
def test_moments_in_a_quadratic_well():
    """h = 1, η = .8, B = 1, four steps from x = 1: the recursion holds within sampling error, and
    samples tell its fourth moment from the Gaussian's and see a variance of 2dt. The errors of the
    recursion against the SDE go down with slope 1 + O(dt)."""
    rate, steps, n, errors = 0.8, 4, 200_000, []
    mean, variance = np.exp(-rate * steps), rate / 2 * (1 - np.exp(-2 * rate * steps))
    sde = np.array([mean, mean**2 + variance, mean**4 + 6 * mean**2 * variance + 3 * variance**2])
    for substeps in (1, 2, 4, 16, 32, 64):
        where = (1.0, 1 - rate / substeps, rate * substeps**-0.5)
        exact = quadratic_moments(*where, 1, steps * substeps)
        gaussian = quadratic_moments(*where, 3, steps * substeps)
        errors.append(np.abs(exact - sde))
        for factor, right in ((1.0, True), (2.0, False)) if substeps <= 4 else ():
            problem = ss.problems.Quadratic(1.0, noise_variance=factor)
            process = two_point(problem, ss.Hyperparameters(rate), substeps=substeps)
            found, error = averages(process, steps, n, jnp.asarray(1.0), FUNCTIONS)
            assert np.all(np.abs(found - exact) < bound(9) * error) == right
            assert abs(found[2] - gaussian[2]) > bound(9) * error[2]
    check_slopes(errors[-3:], 0.02)


GRID = np.linspace(-2.5, 2.5, 2001)


def scheme(functions, rate, noise, substeps, steps):
    """E f(X_k) from every start: u(x) ← ½ u(x − η dt L' + s) + ½ u(x − η dt L' − s), by splines."""
    drifted = GRID - rate / substeps * (GRID**3 - GRID)
    value = np.stack([f(GRID) for f in functions], axis=-1)
    for _ in range(steps * substeps):
        u = CubicSpline(GRID, value)
        value = sum(u(np.clip(drifted + s * noise * substeps**-0.5, -2.5, 2.5)) for s in (-1, 1)) / 2
    return value


def diffusion(functions, rate, noise, steps):
    """E f(X_k) of the SDE itself: exp(kQ) f, with Q in detailed balance with exp(−2ηL/noise²)."""
    potential, h = rate * (GRID**2 - 1) ** 2 / 4, GRID[1] - GRID[0]
    weight = np.exp(-(potential - potential.min()) / noise**2)  # the root of the stationary law
    hop = np.full(len(GRID) - 1, noise**2 / 2 / h**2)
    ratio = weight[1:] / weight[:-1]
    out = np.append(hop * ratio, 0) + np.append(0, hop / ratio)
    values, vectors = linalg.eigh_tridiagonal(-out, hop)
    f = np.stack([f(GRID) for f in functions], axis=-1) * weight[:, None]
    return vectors @ (np.exp(steps * values)[:, None] * (vectors.T @ f)) / weight[:, None]


@pytest.mark.script
def test_weak_order_one_in_the_double_well():
    """η = .2, B = 1, x₀ = .4, ten steps. Samples agree with the scheme's own backward equation and
    see its gap to the SDE at dt = 1; the gap closes with slope 1 + O(dt)."""
    rate, steps, n, gaps = 0.2, 10, 400_000, []
    begin = int(np.argmin(np.abs(GRID - 0.4)))
    sde = diffusion(FUNCTIONS, rate, rate, steps)[begin]
    for substeps in (1, 2, 4, 8):
        exact = scheme(FUNCTIONS, rate, rate, substeps, steps)[begin]
        gaps.append(np.abs(exact - sde))
        if substeps < 8:
            process = two_point(WELL, ss.Hyperparameters(rate), substeps=substeps)
            found, error = averages(process, steps, n, jnp.asarray(GRID[begin]), FUNCTIONS)
            assert_agree(found, exact, error, count=9)
        if substeps == 1:
            assert abs(found[1] - sde[1]) > 2 * bound(9) * error[1]
    check_slopes(gaps, 0.1)


def test_stationary_law_in_the_double_well():
    """Gibbs averages of x², x⁴ and L at T = .2, within the scheme's own bias and sampling error. In
    a well of curvature 2 the bias of L is ηh dt/2 of it, 2.5 % at eight substeps."""
    rate, substeps, steps = 0.2, 8, 100
    functions = (lambda x: x**2, lambda x: x**4, lambda x: (x**2 - 1) ** 2 / 4)
    gibbs = np.exp(-2 / rate * functions[2](GRID))
    exact = np.array([f(GRID) @ gibbs for f in functions]) / gibbs.sum()
    bias = scheme(functions, rate, rate, substeps, steps)[len(GRID) // 2] - exact
    assert np.all(np.abs(bias) < 0.03 * exact)
    process = two_point(WELL, ss.Hyperparameters(rate), substeps=substeps)
    found, error = averages(process, steps, 200_000, None, functions)
    assert_agree(found - bias, exact, error)


def test_refusals_and_no_noise():
    flow = ss.Langevin(DATA, HYPER, noise="none", substeps=1)
    same(advance(two_point(DATA, noise="none"), start(flow, 3), 0, 9), advance(flow, start(flow, 3), 0, 9))
    for solver in (diffrax.Heun(), diffrax.ShARK()):
        with refused(match=r"increments='two_point' needs solver=diffrax.Euler\(\), got "):
            two_point(WELL, solver=solver)
    with refused(match="increments must be one of 'gaussian', 'two_point', got 'coin'"):
        ss.Langevin(WELL, HYPER, increments="coin")
