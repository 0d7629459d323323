"""Is it right there? The core of the tests on the device itself."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

import sde_sgd as ss
from benchmarks.accelerator._step import Found, Skip

# analytic problems may differ from the CPU by so much of the largest parameter: rounding, 200 steps long
_ROUNDING = 1e-4
# products of float32 that are rounded to 10 bits are off by some 1e-3
_PRECISE = 1e-5
# beyond the top of the double well, where hardly a chain falls back
_BORDER = 0.5


def chains_against_cpu(smoke: bool) -> Found:
    """The same chains on the device and on the CPU, step for step, from one key.

    The quadratic pulls chains together, so that what differs is rounding; in the double well a chain at the
    top of the barrier may fall to the other side, so that the share of chains that differ is told too.
    """
    device, processor = jax.devices()[0], jax.devices("cpu")[0]
    chains, steps = (100, 20) if smoke else (10_000, 200)
    lines, facts, right = [], {}, True
    for name, process in _processes(smoke).items():
        theta = [
            np.asarray(
                ss.run(process, chains=chains, steps=steps, key=jax.random.key(1), devices=[where]).theta
            )
            for where in (device, processor)
        ]
        difference = np.abs(theta[0] - theta[1]).reshape(chains, -1).max(axis=1)
        scale = float(np.abs(theta[1]).max())
        share = float((difference > _ROUNDING * scale).mean())
        largest = float(difference.max() / scale)
        facts[name] = {"largest_difference": largest, "share_beyond_rounding": share}
        lines.append(
            f"{name}: largest difference {largest:.1e} of the largest parameter, {100 * share:.3g} % of "
            f"{chains} chains beyond {_ROUNDING:g}"
        )
        right &= share <= (0.0 if "quadratic" in name else 1e-3)
    if device == processor:
        lines.append("the device is the CPU itself")
    return Found(lines, facts, right=right)


def chain_is_its_own(smoke: bool) -> Found:
    """Chain i depends on the key and on i alone: its bits in a small ensemble and in large ones."""
    device = jax.devices()[:1]
    sizes = (64, 1_000) if smoke else (64, 1_000_000)
    lines, facts, right = [], {}, True
    for name, process in _processes(smoke).items():
        theta = [
            np.asarray(
                ss.run(process, chains=size, steps=50, key=jax.random.key(2), devices=device).theta[:64]
            )
            for size in sizes
        ]
        differing = [int((other != theta[0]).sum()) for other in theta[1:]]
        facts[name] = dict(zip(map(str, sizes[1:]), differing, strict=True))
        right &= not any(differing)
        told = "the same bits" if not any(differing) else f"{differing} of {theta[0].size} numbers differ"
        lines.append(f"{name}: the first 64 of {', '.join(f'{size:,}' for size in sizes)} chains: {told}")
    return Found(lines, facts, right=right)


def in_pieces(smoke: bool) -> Found:
    """A run is its pieces: all steps in one call, and the same steps with a sample after each seventh."""
    device = jax.devices()[:1]
    chains, steps = (64, 70) if smoke else (10_000, 203)
    lines, facts, right = [], {}, True
    for name, process in _processes(smoke).items():
        options: dict[str, Any] = {"chains": chains, "key": jax.random.key(7), "devices": device}
        whole = np.asarray(ss.run(process, **options, steps=steps).theta)
        first = ss.run(process, **options, steps=29, record={"sum": jnp.sum}, every=7)
        pieces = np.asarray(ss.run(process, **options, steps=steps - 29, initial=first).theta)
        differing = int((pieces != whole).sum())
        facts[name] = differing
        right &= not differing
        told = "the same bits" if not differing else f"{differing} of {whole.size} numbers differ"
        lines.append(f"{name}: {steps} steps of {chains:,} chains, at once and in pieces: {told}")
    return Found(lines, facts, right=right)


def kernel_against_loop(smoke: bool) -> Found:
    """The chains of `chain_kernel`, lowered for the device, against those of the plain loop on it."""
    device = jax.devices()[:1]
    interpret = device[0].platform == "cpu"
    chains, steps = (100, 20) if smoke else (100_000, 200)
    lines, facts, right = [], {}, True
    for name, process in _processes(smoke).items():
        options: dict[str, Any] = {"chains": chains, "steps": steps, "key": jax.random.key(5)}
        plain = np.asarray(ss.run(process, **options, devices=device).theta)
        with ss.chain_kernel(interpret=interpret):
            difference = np.abs(np.asarray(ss.run(process, **options, devices=device).theta) - plain)
        scale = float(np.abs(plain).max())
        share = float((difference > _ROUNDING * scale).mean())
        facts[name] = {"largest_difference": float(difference.max() / scale), "share_beyond_rounding": share}
        lines.append(f"{name}: largest difference {difference.max() / scale:.1e} of the largest parameter")
        right &= share <= (0.0 if "quadratic" in name else 1e-3)
    if interpret:
        lines.append("a CPU has no kernel to compile: it was interpreted")
    return Found(lines, facts, right=right)


def double_well_law(smoke: bool) -> Found:
    """SGD of the double well against its exact law at this very η, and the SDE against Gibbs."""
    problem, hyper = ss.problems.DoubleWell(noise_variance=2.0), ss.Hyperparameters(0.1, 2)
    chains, steps = (2_000, 600) if smoke else (1_000_000, 600)
    laws = {
        "SGD": (ss.SGD(problem, hyper), ss.theory.chain_law(problem, hyper)),
        "Langevin": (ss.Langevin(problem, hyper), ss.theory.gibbs(problem, hyper)),
    }
    lines, facts, right = [], {}, True
    for name, (process, law) in laws.items():
        x = np.asarray(ss.run(process, chains=chains, steps=steps, key=jax.random.key(3)).theta, np.float64)
        test = ss.statistics.kolmogorov_smirnov(x, law)
        square, error = float((x**2).mean()), float((x**2).std() / chains**0.5)
        exact = float(law.expectation(lambda at: at**2))
        z = (square - exact) / error
        facts[name] = {"ks": test.value, "p": test.p, "square": square, "error": error, "exact": exact}
        moment = f"E x² {square:.5f} ± {error:.5f}, exact {exact:.5f}"
        lines.append(
            f"{name}: KS {test.value:.2e} (p = {test.p:.2g}, wrong below 1e-4); {moment} (wrong from 4 SE)"
        )
        # the solver's own bias is far below what a million chains see, or this is the place to learn it
        right &= test.p > 1e-4 and abs(z) < 4
    return Found(lines, facts, right=right)


def exact_noise(smoke: bool) -> Found:
    """The covariance of the SDE's noise on data against C(θ), entry by entry, in standard errors."""
    problem = ss.problems.logistic_regression(two_groups())
    theta = jax.tree.map(lambda leaf: 0.3 * jnp.ones_like(leaf), problem.init(jax.random.key(0)))
    draws, rate, batch = 20_000 if smoke else 1_000_000, 1e-3, 8
    process = ss.Langevin(problem, ss.Hyperparameters(rate, batch), solver=diffrax.Euler(), substeps=1)
    moved = ss.run(process, chains=draws, steps=1, key=jax.random.key(4), initial=theta).theta
    rows = np.concatenate(
        [np.asarray(leaf, np.float64).reshape(draws, -1) for leaf in jax.tree.leaves(moved)], 1
    )
    found = np.cov(rows.T) * batch / rate**2
    exact = np.asarray(problem.gradient_covariance(theta), np.float64)
    spread = np.sqrt((np.outer(np.diag(exact), np.diag(exact)) + exact**2) / draws)
    z = float(np.abs((found - exact) / spread).max())
    told = f"largest of {exact.size} entries off by {z:.2f} SE, wrong from 5 on"
    lines = [f"covariance of {draws:,} increments against C(θ): {told}"]
    return Found(lines, {"largest_z": z, "entries": exact.size}, right=z < 5)


def escape_rates(smoke: bool) -> Found:
    """Rates of escape from the double well, by counting and by splitting, against the exact chain's."""
    chains, exits, paths, rare = (1_000, 200, 1_024, 0.03) if smoke else (100_000, 20_000, 65_536, 0.0125)
    problem = ss.problems.DoubleWell(noise_variance=2.0)
    lines, facts, right = [], {}, True
    for name, rate in {"counting": 0.05, "splitting": rare}.items():
        hyper = ss.Hyperparameters(rate)
        process, key = ss.SGD(problem, hyper), jax.random.key(6)
        exact = 1 / ss.theory.chain_passage_time(problem, hyper, target=_BORDER, start=-1.0).steps
        if name == "counting":
            counted = ss.escape.by_renewal(
                process, start=-1.0, outside=_beyond, chains=chains, exits=exits, key=key
            )
            measured, error = counted.rate, exact * counted.relative_error
        else:
            split = ss.escape.by_splitting(
                process, start=-1.0, outside=_beyond, climb=jnp.asarray, chains=paths, key=key
            )
            measured, error = split.rate, split.standard_error
        z = (measured - exact) / error
        facts[name] = {"rate": measured, "error": error, "exact": exact}
        lines.append(f"{name}: {measured:.4g} ± {error:.2g} a step, exact {exact:.4g} (wrong from 4.5 SE)")
        right &= abs(z) < 4.5
    return Found(lines, facts, right=right)


def _beyond(x: jax.Array) -> jax.Array:
    return jnp.greater(x, _BORDER)


def precision(smoke: bool) -> Found:
    """Where products of float32 keep all their bits: curvature does; and what training itself does."""
    del smoke
    device, processor = jax.devices()[0], jax.devices("cpu")[0]
    if device == processor:
        raise Skip("a CPU has one precision of float32 products")
    problem = ss.problems.mlp(two_groups(), hidden=(64, 64))
    theta = problem.init(jax.random.key(0))
    facts, lines = {}, []
    for name, function in _measured(problem).items():
        here, there = (
            np.asarray(function(jax.device_put(theta, where)), np.float64) for where in (device, processor)
        )
        off = float(np.abs(here - there).max() / np.abs(there).max())
        facts[name] = off
        lines.append(f"{name}: {off:.1e} from the CPU's")
    lines.append("training takes JAX's default_matmul_precision, which may round factors to 10 bits")
    return Found(lines, facts, right=facts["largest eigenvalue of the Hessian"] < 10 * _PRECISE)


def _measured(problem: ss.problems.Problem) -> dict[str, Any]:
    def eigenvalue(theta: Any) -> Any:
        return ss.curvature.top_eigenpairs(problem, theta, key=jax.random.key(0), products=30).values

    def gradient(theta: Any) -> Any:
        return jax.flatten_util.ravel_pytree(jax.jit(problem.gradient)(theta))[0]

    def precise(theta: Any) -> Any:
        with jax.default_matmul_precision("float32"):
            return gradient(theta)

    return {
        "largest eigenvalue of the Hessian": eigenvalue,
        "gradient, default precision": gradient,
        "gradient, precision float32": precise,
    }


def _processes(smoke: bool) -> dict[str, ss.Process]:
    hyper = ss.Hyperparameters(0.05, 2)
    quadratic, well = ss.problems.Quadratic(2.0), ss.problems.DoubleWell()
    plane = ss.problems.MullerBrown(noise_variance=0.1)
    few: dict[str, ss.Process] = {
        "SGD, quadratic": ss.SGD(quadratic, hyper),
        "SGD, double well": ss.SGD(well, hyper),
    }
    if smoke:
        return few
    return few | {
        "Langevin, quadratic": ss.Langevin(quadratic, hyper),
        "SGD with momentum, quadratic": ss.SGD(quadratic, ss.Hyperparameters(0.05, 2, 0.9)),
        "two-point increments, double well": ss.Langevin(
            well, hyper, solver=diffrax.Euler(), substeps=1, increments="two_point"
        ),
        "SGD, Müller-Brown": ss.SGD(plane, ss.Hyperparameters(0.002, 2)),
    }


def two_groups() -> ss.data.Dataset:
    """Two overlapping clouds in eight dimensions, made on the spot."""
    rng = np.random.default_rng(0)
    labels = np.arange(256) % 2
    inputs = rng.normal(size=(256, 8)) + 0.8 * labels[:, None]
    return ss.data.Dataset(inputs, labels, classes=2)
