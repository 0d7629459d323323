"""Power of every test of `sde_sgd.statistics` against a temperature 5 % too high.

    python tests/measure_power.py [NAME ...] [--replicates 400] [--seed 0]

The numbers in the docstrings are from here. The ensemble is at equilibrium in L = θ²/2, so that
θ ~ N(0, T/2), with T = 2 expected and T = 2.1 true; n = 2·10⁴ chains in all, or for each of two samples.
"""

import argparse
import functools
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special
from scipy.signal import lfilter

import sde_sgd.statistics as st

CHAINS = 20_000
HOT = 1.05
LEVEL = 0.05


def normal(rng, *shape, hot=1.0):
    return rng.normal(0, np.sqrt(hot), shape)


def mean_square(rng, seeds, points, chains, hot=1.0):
    """⟨θ²⟩ over `chains` independent chains, for each seed and point."""
    return hot * rng.chisquare(chains, (seeds, points)) / chains


def autoregressive(rng, chains, draws, correlation, hot):
    """Stationary AR(1) chains of variance `hot`."""
    first = normal(rng, chains, 1) / np.sqrt(1 - correlation**2)
    rest = normal(rng, chains, draws - 1)
    noise = np.concatenate([first, rest], axis=1) * np.sqrt(hot * (1 - correlation**2))
    return lfilter([1.0], [1.0, -correlation], noise, axis=1)


def one(test, **options):
    def p(rng, key, hot):
        more = {"key": key} if options.get("keyed") else {}
        return test(normal(rng, CHAINS, hot=hot), special.ndtr, **more).p

    return p


def two(test, n=CHAINS, d=1, keyed=False):
    def p(rng, key, hot):
        shape = (n,) if d == 1 else (n, d)
        more = {"key": key} if keyed else {}
        return test(normal(rng, *shape, hot=hot), normal(rng, *shape), **more).p

    return p


@jax.jit
def _energy(x, y):
    """The statistic of `st.energy`, blocks of rows at a time."""
    points = jnp.concatenate([x, y])
    points /= points.std(axis=0)
    weights = np.repeat([1 / len(x), -1 / len(y)], [len(x), len(y)])

    def row(point):
        return jnp.sqrt(((points - point) ** 2).sum(axis=1)) @ weights

    return -weights @ jax.lax.map(row, points, batch_size=100)


def energies(rng, replicates, n, d, hot):
    with jax.enable_x64(True):
        return np.array(
            [float(_energy(normal(rng, n, d, hot=hot), normal(rng, n, d))) for _ in range(replicates)]
        )


@functools.cache
def null_energies(n, d, replicates=200):
    return energies(np.random.default_rng(99), replicates, n, d, 1.0)


def energy_in_space(n, d):
    """For many points: p from draws of the null law itself; permutations of each pair would take days."""

    def p(rng, _key, hot):
        null = null_energies(n, d)
        return (1 + (null >= energies(rng, 1, n, d, hot)[0]).sum()) / (1 + len(null))

    return p


def temperature(d=1, n=CHAINS):
    def p(rng, _key, hot):
        theta = normal(rng, n, d, hot=hot)
        return st.temperature_test(theta, theta, 2.0).p

    return p


def same(quantity, margin):
    def p(rng, _key, hot):
        reference = normal(rng, CHAINS)
        return st.equivalence(normal(rng, CHAINS, hot=hot), reference, margin=margin, quantity=quantity).p

    return p


def curves(rng, key, hot):
    groups = mean_square(rng, 10, 10, CHAINS // 20, hot), mean_square(rng, 10, 10, CHAINS // 20)
    return st.curve_test(*groups, key=key).p


def averages(rng, _key, hot):
    return st.time_average(autoregressive(rng, 20, CHAINS // 20, 0.9, hot) ** 2, expected=1.0).p


def slopes(logarithmic):
    def p(rng, key, hot):
        ratio = np.array([0.01, 0.02, 0.04, 0.08, 0.16])
        measured = ratio * mean_square(rng, 20, 5, CHAINS // 100, hot)
        return st.slope(ratio, measured, key=key, expected=1.0, logarithmic=logarithmic, resamples=99).p

    return p


# name → p-value of one replicate at T times the third argument
CASES = {
    "temperature_test": temperature(),
    "temperature_test, 10 coordinates, 2000 chains": temperature(10, CHAINS // 10),
    "kolmogorov_smirnov, one sample": one(st.kolmogorov_smirnov),
    "kolmogorov_smirnov, two samples": two(st.kolmogorov_smirnov),
    "cramer_von_mises, one sample": one(st.cramer_von_mises),
    "cramer_von_mises, two samples": two(st.cramer_von_mises),
    "anderson_darling, one sample": one(st.anderson_darling),
    "anderson_darling, two samples": two(st.anderson_darling),
    "wasserstein, one sample": one(st.wasserstein, keyed=True),
    "wasserstein, two samples": two(st.wasserstein, keyed=True),
    "energy, two samples": two(st.energy, keyed=True),
    "energy, 3 coordinates, 500 points each": two(st.energy, 500, 3, keyed=True),
    "energy, 3 coordinates": energy_in_space(CHAINS, 3),
    "equivalence, variance within 1.04": same("variance", 1.04),
    "equivalence, law within .02": same("law", 0.02),
    "equivalence, mean within .03": same("mean", 0.03),
    "curve_test, 10 and 10 seeds, 10 points": curves,
    "time_average, 20 chains, 1000 draws": averages,
    "slope": slopes(False),
    "slope, logarithmic": slopes(True),
}


def power(name, replicates, seed=0, hot=HOT):
    """The share of `replicates` with p ≤ .05."""
    rng = np.random.default_rng(seed)
    keys = jax.random.split(jax.random.key(seed), replicates)
    return float(np.mean([CASES[name](rng, key, hot) <= LEVEL for key in keys]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", help="cases whose name begins so; all by default")
    parser.add_argument("--replicates", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    write = sys.stdout.write
    write(f"{'':48} T + 5 %       T as expected\n")
    for name in CASES:
        if given.names and not name.startswith(tuple(given.names)):
            continue
        begun = time.perf_counter()
        hit, null = (power(name, given.replicates, given.seed, hot) for hot in (HOT, 1.0))
        errors = [np.sqrt(max(p * (1 - p), 1 / given.replicates) / given.replicates) for p in (hit, null)]
        seconds = time.perf_counter() - begun
        write(f"{name:48} {hit:.3f} ± {errors[0]:.3f} {null:.3f} ± {errors[1]:.3f}  {seconds:5.0f} s\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
