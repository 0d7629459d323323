"""The Fokker-Planck solver against closed forms, its own fixed point and ensembles."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ALARM, chi_square_p, refused
from transients import HYPER, MOMENTS, PLACE, START, TIMES, D, faults, growing, ornstein_uhlenbeck, wandering

import sde_sgd as ss
from sde_sgd.theory._fokker_planck import _cells
from sde_sgd.theory._fokker_planck import _generator as scheme
from sde_sgd.theory._fokker_planck._time import evolve

WELL = ss.problems.DoubleWell(tilt=0.05)
MINIMA = ss.problems.TwoMinima(dimension=2, depths=(0.0, 0.05))


def identity(theta):
    return theta


def solve_line(problem=WELL, **options):
    return ss.theory.fokker_planck(problem, HYPER, **{"initial": START, "times": TIMES, **options})


def solve_plane(problem=MINIMA, **options):
    options = {"initial": PLACE, "times": MOMENTS, "cells": 120, **options}
    return ss.theory.fokker_planck(problem, HYPER, **options)


@pytest.fixture(scope="module")
def line():
    return solve_line()


@pytest.fixture(scope="module")
def plane():
    return solve_plane()


@pytest.fixture
def unrefused(monkeypatch):
    """Cells that are too wide, or fluxes so wrong that their laws on two grids differ, are not refused."""
    monkeypatch.setattr(_cells, "REFUSED", np.inf)


def chains(problem, start, times):
    """θ of 10⁵ chains at the times. Heun's method, dt = .01: weak error of order 1e-4."""
    process = ss.Langevin(problem, HYPER, substeps=20, solver=diffrax.Heun())
    steps = np.rint(np.asarray(times) / 0.2).astype(int)
    result = ss.run(
        process,
        chains=100_000,
        steps=int(steps[-1]),
        every=1,
        record={"theta": identity},
        initial=jnp.asarray(start),
        key=jax.random.key(7),
    )
    assert result.diverged == 0
    found = [np.flatnonzero(result.record_steps == step)[0] for step in steps]
    return [np.asarray(result.record["theta"][at], np.float64) for at in found]


# ---------------------------------------------------------------- conservation, positivity, fixed point


@pytest.mark.parametrize("shape", ["line", "plane"])
def test_mass_is_kept_and_nothing_is_negative(shape, request):
    """At five times, after 3·10⁴ to 10⁶ jumps, from a start in one point: |mass − 1| < 1e-10."""
    found = request.getfixturevalue(shape)
    assert not faults(found.probabilities)
    np.testing.assert_array_equal(found.mass, found.probabilities.reshape(5, -1).sum(axis=1))


@pytest.mark.script
def test_mass_is_kept_for_long(line):
    """10⁶ jumps."""
    assert line.generator.rate * 300 > 1e6
    later = solve_line(times=(*TIMES[:4], 300.0))
    assert not faults(later.probabilities)
    assert np.abs(later.probabilities[-1] - line.generator.stationary()).sum() < 1e-2


def by_jumps(jumps, found):
    """The law at the times of `found` by other jump probabilities, made where float64 is enabled."""
    start = jnp.asarray(found.start)
    return np.stack([np.asarray(evolve(jumps, start, jnp.asarray(time))) for time in found.times])


def by_scheme(problem, found, monkeypatch, bernoulli):
    """The law at the times of `found` by other fluxes than the fitted ones."""
    with monkeypatch.context() as patch, jax.enable_x64(True):
        patch.setattr(scheme, "_bernoulli", bernoulli)
        other = scheme.make_generator(problem, HYPER, found.generator.grid, D, found.start)
        return by_jumps(other.jumps(), found)


def test_a_leak_and_a_transposed_generator_are_caught(line):
    """Of the mass in a cell 1e-11 is lost at each jump; or Qᵀ in place of Q, which keeps 1, not Σp."""

    def transposed(jumps):
        up, down = jumps.up[0], jumps.down[0]
        swapped = (jnp.roll(down, -1),), (jnp.roll(up, 1),)
        return eqx.tree_at(lambda j: (j.up, j.down), jumps, swapped)

    with jax.enable_x64(True):
        jumps = line.generator.jumps()
        leaking = eqx.tree_at(lambda j: j.stay, jumps, jumps.stay - 1e-11)
        assert not faults(by_jumps(jumps, line))
        assert faults(by_jumps(leaking, line)) == ["mass"]
        assert "mass" in faults(by_jumps(transposed(jumps), line))


@pytest.mark.usefixtures("unrefused")
def test_central_differences_are_caught(monkeypatch):
    """Fluxes of second order that are not fitted go negative where cells are wide for the slope."""
    wide = {"initial": -2.0, "std": 0.2, "cells": 50, "bounds": (-3.4, 2.4), "reflecting": True}
    found = solve_line(times=(0.2, 0.4, 0.6, 0.8, 1.0), **wide)
    assert not faults(found.probabilities)
    assert "sign" in faults(by_scheme(WELL, found, monkeypatch, lambda u: 1 - u / 2))


def weights_of(found, problem):
    """exp(−L/D) at the centres, normalised, with L in float64 by hand-written NumPy."""
    X = found.generator.grid.points()
    if problem is WELL:
        loss = (X[..., 0] ** 2 - 1) ** 2 / 4 + float(WELL.tilt) * X[..., 0]
    else:
        wells = [
            float(depth)
            + 0.5 * ((X - np.asarray(centre, np.float64)) ** 2 @ np.asarray(curvature, np.float64))
            for depth, centre, curvature in zip(MINIMA.depths, MINIMA.centres, MINIMA.curvatures, strict=True)
        ]
        width = float(MINIMA.smoothing)
        loss = -width * np.logaddexp(-wells[0] / width, -wells[1] / width)
    weights = np.exp(-2 * (loss - loss.min()) / ss.theory.temperature(problem, HYPER))
    return weights / weights.sum()


@pytest.mark.parametrize("shape", ["line", "plane"])
def test_gibbs_on_the_cells_is_left_alone(shape, request, monkeypatch):
    """Started in exp(−2L/T) at the centres it stays there to 1e-12, and so does the matrix."""
    found = request.getfixturevalue(shape)
    problem, solve = (WELL, solve_line) if shape == "line" else (MINIMA, solve_plane)
    weights = weights_of(found, problem)
    assert np.abs(found.generator.stationary() - weights).sum() < 1e-12
    assert wandering(found, weights) < 1e-12
    matrix = found.generator.matrix()
    assert np.abs(matrix @ weights.ravel()).sum() < 1e-14 * found.generator.rate
    assert np.abs(matrix.sum(axis=0)).max() < 1e-14 * found.generator.rate

    # twins: positive fluxes of second order that are not fitted; T for T/2
    monkeypatch.setattr(scheme, "_bernoulli", lambda u: 1 - u / 2 + u * u / 8)
    assert wandering(solve(), weights) > 1e-6
    assert wandering(found, weights**0.5 / (weights**0.5).sum()) > 1e-2


def test_the_stationary_density_is_gibbs(line, plane):
    exact = ss.theory.gibbs(WELL, HYPER)
    grid = np.linspace(-1.8, 1.8, 37)
    np.testing.assert_allclose(line.stationary.cdf(grid), exact.cdf(grid), atol=2e-5)
    exact = ss.theory.gibbs(MINIMA, HYPER).marginal(0)
    np.testing.assert_allclose(plane.stationary.marginal(0).cdf(grid), exact.cdf(grid), atol=2e-4)


# ---------------------------------------------------------------------------------- order in space


def quadratic_error(found, H, mean, std):
    """Half of Σ|p − exact| at each time."""
    X, errors = found.generator.grid.points(), []
    for time, law in zip(found.times, found.probabilities, strict=True):
        centre, covariance = ornstein_uhlenbeck(H, mean, std**2, time)
        form = np.einsum("...i,ij,...j", X - centre, np.linalg.inv(covariance), X - centre)
        exact = np.exp(-form / 2) / np.sqrt(np.linalg.det(2 * np.pi * covariance))
        errors.append(np.abs(law - exact * found.generator.grid.volume).sum() / 2)
    return np.array(errors)


def orders(shape):
    """The fitted power of h at five times, and the errors with the finest cells."""
    # with walls that reflect, so that a wrong scheme is seen to be wrong, not refused (see `unrefused`)
    if shape == "line":
        H, mean, std, sizes = np.array([[2.0]]), np.array([0.8]), 0.2, (50, 100, 200)
        problem, options = ss.problems.Quadratic(2.0), {"bounds": (-2.2, 2.2)}
    else:
        H, mean, std, sizes = np.array([[2.0, 0.6], [0.6, 1.0]]), np.array([0.6, -0.5]), 0.25, (30, 60, 120)
        problem, options = ss.problems.Quadratic(H), {"bounds": ((-2.4, 2.4), (-2.7, 2.7))}
    H = np.asarray(problem.matrix, np.float64).reshape(H.shape)
    errors = []
    for cells in sizes:
        options |= {"initial": mean, "std": std, "times": (0.1, 0.3, 0.6, 1.2, 3.0), "reflecting": True}
        found = ss.theory.fokker_planck(problem, HYPER, cells=cells, **options)
        assert not faults(found.probabilities)
        errors.append(quadratic_error(found, H, mean, std))
    return np.polyfit(-np.log(sizes), np.log(errors), 1)[0], errors[-1]


@pytest.mark.usefixtures("unrefused")
@pytest.mark.parametrize(
    ("shape", "finest"), [("line", 1.5e-3), pytest.param("plane", 2.5e-3, marks=pytest.mark.script)]
)
def test_second_order_in_space(shape, finest):
    """Against the exact Gaussian of an Ornstein-Uhlenbeck transient, with coupled axes in the plane."""
    power, error = orders(shape)
    assert ((power > 1.85) & (power < 2.15)).all(), power
    assert error.max() < finest


@pytest.mark.script
@pytest.mark.usefixtures("unrefused")
def test_upwind_fluxes_are_seen_to_be_of_first_order(monkeypatch):
    monkeypatch.setattr(scheme, "_bernoulli", lambda u: 1 + np.maximum(-u, 0))
    power, _ = orders("line")
    assert (power < 1.3).all(), power


# -------------------------------------------------------------------------------- against ensembles


def line_p(found, samples):
    """Kolmogorov-Smirnov p-values at five times."""
    pairs = zip(samples, found.densities, strict=True)
    return np.array([ss.statistics.compare(sample, density).ks_p for sample, density in pairs])


def plane_p(found, samples):
    """p-values at five times: χ² of counts in blocks of cells with more than 10 expected."""
    grid, values = found.generator.grid, []
    edges = [np.linspace(low, high, 25) for low, high in zip(grid.low, grid.high, strict=True)]
    for sample, law in zip(samples, found.probabilities, strict=True):
        counts = np.histogram2d(*sample.T, bins=edges)[0].ravel()
        expected = len(sample) * law.reshape(24, 5, 24, 5).sum(axis=(1, 3)).ravel()
        few = expected < 20
        counts = np.append(counts[~few], counts[few].sum() + len(sample) - counts.sum())
        expected = np.append(expected[~few], expected[few].sum())
        values.append(chi_square_p(counts, expected))
    return np.array(values)


@pytest.fixture(scope="module")
def line_chains():
    return chains(WELL, np.float32(START), (0.2, 0.4, 1.0, 3.0, 10.0))


@pytest.fixture(scope="module")
def plane_chains():
    return chains(MINIMA, PLACE.astype(np.float32), MOMENTS)


def test_ensemble_on_the_line(line_chains):
    """10⁵ chains that leave the ridge of the double well: KS at five times, false alarm 1e-6 in all.

    A distance above .008 would be seen; the solver's own is below 1e-4.
    """
    found = solve_line(times=(0.2, 0.4, 1.0, 3.0, 10.0))
    assert (line_p(found, line_chains) > ALARM / 5).all()
    # twins: T for T/2 is noise of twice the variance; a wrong sign of the drift climbs
    hot = solve_line(ss.problems.DoubleWell(tilt=0.05, noise_variance=2.0), times=found.times)
    assert (line_p(hot, line_chains) < ALARM / 5).all()


@pytest.mark.usefixtures("unrefused")
def test_a_wrong_sign_of_the_drift_is_caught(line_chains, monkeypatch):
    right = scheme._bernoulli
    monkeypatch.setattr(scheme, "_bernoulli", lambda u: right(-u))
    uphill = solve_line(times=(0.2, 0.4, 1.0, 3.0, 10.0), bounds=(-3, 3), cells=600, reflecting=True)
    assert (line_p(uphill, line_chains) < ALARM / 5).all()


@pytest.mark.script
def test_ensemble_in_the_plane(plane, plane_chains):
    """10⁵ chains between two wells: χ² of counts in blocks at five times, false alarm 1e-6 in all."""
    assert (plane_p(plane, plane_chains) > ALARM / 5).all()
    for axis in (0, 1):
        for sample, density in zip(plane_chains, plane.densities, strict=True):
            assert ss.statistics.compare(sample[:, axis], density.marginal(axis)).ks_p > ALARM / 10
    box = np.stack([plane.generator.grid.low, plane.generator.grid.high], axis=1)
    hot = solve_plane(
        ss.problems.TwoMinima(dimension=2, depths=(0.0, 0.05), noise_variance=2.0),
        bounds=box,
        reflecting=True,
    )
    assert (plane_p(hot, plane_chains) < ALARM / 5).all()


# -------------------------------------------------------------------------------------- relaxation time


def test_relaxation_time_of_quadratics():
    """1/(smallest eigenvalue of H); with T for T/2 too, so the well below sees the temperature."""
    H = np.array([[2.0, 0.6], [0.6, 1.0]])
    np.testing.assert_allclose(ss.theory.relaxation_time(ss.problems.Quadratic(0.5), HYPER), 2.0, rtol=1e-3)
    plane = ss.theory.relaxation_time(ss.problems.Quadratic(H), HYPER, cells=100)
    np.testing.assert_allclose(plane, 1 / np.linalg.eigvalsh(H)[0], rtol=5e-3)


def test_relaxation_time_of_wells(line):
    """It is how the last deviation decays, and tends to half of Kramers' time between equal wells."""
    slow = ss.theory.relaxation_time(WELL, HYPER, cells=600)
    rest = line.stationary.mean
    late = [line.at(time).mean - rest for time in (40.0, 60.0)]
    np.testing.assert_allclose(np.log(late[0] / late[1]), 20 / slow, rtol=1e-3)
    ratios = []
    for diffusion in (0.04, 0.03, 0.02):
        well = ss.problems.DoubleWell(noise_variance=diffusion * 10)
        kramers = 2 * np.pi / np.sqrt(2.0) * np.exp(0.25 / diffusion)
        ratios.append(ss.theory.relaxation_time(well, HYPER) / (kramers / 2))
    excess = np.array(ratios) - 1
    np.testing.assert_allclose(excess / excess[-1], [2.0, 1.5, 1.0], rtol=0.2)  # of order D


# ------------------------------------------------------------------------------- results, starts, input


@pytest.mark.parametrize(("temperature", "tilt"), [(0.02, 0.3), (0.01, 0.3), (0.02, 0.2)])
def test_relaxation_time_of_a_well_that_is_hardly_visited(temperature, tilt):
    """The passage out of it is the slowest of all, though at equilibrium it is as good as empty."""
    well = ss.problems.DoubleWell(tilt=tilt, noise_variance=temperature)
    hyper = ss.Hyperparameters(learning_rate=1.0)
    deep, shallow = (float(point) for point in well.minima())
    passage = ss.theory.mean_passage_time(well, hyper, start=shallow, target=deep)
    assert ss.theory.relaxation_time(well, hyper) == pytest.approx(passage.time, rel=0.1)


def test_results(line):
    assert line.times.tolist() == list(TIMES)
    np.testing.assert_allclose(line.steps, np.asarray(TIMES) / 0.2, rtol=1e-6)
    assert [density.name for density in line.densities][-1] == "Fokker-Planck, t = 10"
    assert not jax.config.jax_enable_x64
    grid = np.linspace(-1.5, 1.5, 31)
    for number, time in enumerate(TIMES):
        np.testing.assert_allclose(line.at(time).cdf(grid), line.densities[number].cdf(grid), atol=1e-12)
    between = solve_line(times=(0, 0.05, 0.7, 1.0, 3.0, 10.0))
    np.testing.assert_array_equal(between.probabilities[0], line.start)
    np.testing.assert_allclose(line.at(0.7).cdf(grid), between.densities[2].cdf(grid), atol=1e-12)
    np.testing.assert_allclose(line.at(0.05).cdf(grid), between.densities[1].cdf(grid), atol=1e-12)


def test_momentum_is_in_the_clock_and_in_the_temperature(line):
    """η = .02 with m = .9 has η' = .2: the same laws at the same SDE times and the same steps."""
    slow = ss.theory.fokker_planck(WELL, ss.Hyperparameters(0.02, momentum=0.9), initial=START, times=TIMES)
    np.testing.assert_allclose(slow.probabilities, line.probabilities, atol=1e-6)
    np.testing.assert_allclose(slow.steps, line.steps, rtol=1e-5)


def test_starts(line, plane):
    """Points, narrow Gaussians and wide ones keep their mean; a density goes on where another stopped."""
    (x,), h = line.generator.grid.axes, line.generator.grid.widths[0]
    box = {"bounds": (-2.5, 2.5), "times": TIMES, "cells": 600}
    for mean, std in ((0.2034, 0.0), (0.2034, 0.003), (0.2034, 0.1)):
        start = solve_line(**{**box, "initial": mean, "std": std}).start
        assert not faults(start[None])
        (x,), h = np.linspace(-2.5, 2.5, 600, endpoint=False)[None] + 2.5 / 600, 5 / 600
        np.testing.assert_allclose(start @ x, mean, atol=1e-8)
        assert std**2 - 1e-12 < start @ (x - mean) ** 2 < std**2 + h**2 / 4 + 1e-12
    onward = solve_line(initial=line.densities[2], times=(2.0, 9.0), bounds=(-2.5, 2.5))
    grid = np.linspace(-1.5, 1.5, 31)
    np.testing.assert_allclose(onward.densities[1].cdf(grid), line.densities[4].cdf(grid), atol=1e-4)
    further = solve_plane(initial=plane.densities[2], times=(4.0,))
    np.testing.assert_allclose(
        further.densities[0].marginal(0).cdf(grid), plane.densities[4].marginal(0).cdf(grid), atol=1e-3
    )
    shaped = ss.problems.Quadratic(np.array([[2.0]]))
    found = ss.theory.fokker_planck(shaped, HYPER, initial=[0.5], times=(0.0, 40.0))
    np.testing.assert_allclose(found.densities[1].variance, 0.05, rtol=1e-3)


def test_corners_nobody_visits_do_not_set_the_cost(monkeypatch):
    """The Müller-Brown surface rises by e¹⁰ and more in the corners of a box around its minima."""
    surface = ss.problems.MullerBrown(noise_variance=1.0)
    found = solve_plane(surface, initial=[-0.05, 0.467], times=0.0)
    assert not faults(found.probabilities)
    weights = found.generator.stationary()
    assert found.generator.rate < 1e4
    monkeypatch.setattr(scheme, "_NEGLIGIBLE", np.inf)
    steep = solve_plane(surface, initial=[-0.05, 0.467], times=0.0).generator
    assert steep.rate > 1e6
    assert np.abs(steep.stationary() - weights).sum() < 1e-12


@pytest.mark.parametrize(
    ("problem", "options", "message"),
    [
        (WELL, {"bounds": (-1, 1)}, "cut off probability"),
        (WELL, {"bounds": (-0.5, 3)}, "cut off probability"),
        (WELL, {"bounds": (-3, 3), "initial": 2.9, "std": 0.1}, "cut off part of initial"),
        (WELL, {"bounds": (-3, 3), "initial": 3.2}, "cut off part of initial"),
        (WELL, {"bounds": (1, -1)}, "low < high"),
        (WELL, {"bounds": (-1, float("nan"))}, "bounds must be finite"),
        (WELL, {"cells": 4}, "cells must be an integer >= 8"),
        (WELL, {"cells": 10}, "too wide"),
        (WELL, {"times": (1.0, 1e-5), "cells": 50}, "times must increase"),
        (WELL, {"times": (1e-5,), "cells": 50}, "the law at t = 1e-05 occupies"),
        (WELL, {"times": (-1.0, 2.0)}, "times must be finite and >= 0"),
        (WELL, {"times": ()}, "times must not be empty"),
        (WELL, {"times": np.ones((2, 2))}, "times must increase"),
        (WELL, {"initial": [0.1, 0.2]}, "initial must be a Density1D or a point of 1"),
        (WELL, {"initial": None}, "initial must be"),
        (WELL, {"std": -1.0}, "std must be finite and >= 0"),
        (WELL, {"std": [1.0, 2.0]}, "std must be one number"),
        (MINIMA, {"initial": 0.1}, "initial must be a Density2D or a point of 2"),
        (MINIMA, {"initial": PLACE, "bounds": (-1, 1)}, r"\(\(low, high\), \(low, high\)\)"),
        (MINIMA, {"initial": PLACE, "bounds": ((-3, 3), (-0.5, 0.5))}, "cut off"),
        (ss.problems.StyblinskiTang(3), {}, "one or two dimensions"),
        (ss.problems.DoubleWell(noise_variance=0.0), {}, "temperature must be > 0"),
        (ss.problems.Quadratic(np.zeros((1, 1))), {"initial": [0.1]}, "does not grow at infinity"),
        (ss.problems.Quadratic(1.0, noise=ss.problems.PositionDependent(growing)), {}, "give bounds"),
        (
            ss.problems.Quadratic(1.0, noise=ss.problems.PositionDependent(jnp.square)),
            {"bounds": (-1, 1), "cells": 51},
            "must be finite and > 0 all over the box",
        ),
        (
            ss.problems.Quadratic(np.eye(2), noise=ss.problems.Full([[1.0, 0.5], [0.5, 1.0]])),
            {"initial": PLACE, "bounds": ((-3, 3), (-3, 3)), "cells": 30},
            "correlated between",
        ),
        ("well", {}, "problem must be"),
    ],
)
def test_bad_input(problem, options, message):
    with refused(match=message):
        solve_line(problem, **options)


def test_more_bad_input(line, plane):
    with refused(match="one for each chain"):
        ss.theory.fokker_planck(WELL, ss.Hyperparameters([0.1, 0.2]), initial=0.0, times=1.0)
    with refused(match="initial must be a Density1D"):
        solve_line(initial=plane.densities[0])
    with refused(match="of initial, whose own grid spans"):
        solve_line(initial=ss.theory.gibbs(ss.problems.Quadratic(1.0), HYPER), bounds=(-1, 3))
    with refused(match="too wide for initial"):
        solve_line(initial=ss.theory.gibbs(ss.problems.Quadratic(1e4), HYPER), cells=50)
    with refused(match="time must be finite and >= 0"):
        line.at(-1.0)
    noise = ss.problems.PositionDependent(growing)
    with refused(match=r"bounds from .* cut off probability"):
        solve_line(ss.problems.Quadratic(0.01, noise=noise), bounds=(-1, 1))
    kept = solve_line(ss.problems.Quadratic(0.01, noise=noise), bounds=(-1, 1), reflecting=True)
    assert not faults(kept.probabilities)
    flat = ss.problems.Quadratic(np.eye(2), noise=ss.problems.Diagonal([1.0, 2.0]))
    with refused(match=r"has reached the edge of the box by t = 0\.4"):
        solve_plane(flat, initial=[0.0, 0.0], times=(0.01, 0.4), bounds=((-1, 1), (-1, 1)))
    with refused(match="cannot tell from for ever"):
        ss.theory.relaxation_time(ss.problems.DoubleWell(noise_variance=0.05), HYPER)
