"""Figures show the numbers they should: bands, chains left out, cells around their centres, densities."""

import equinox as eqx
import jax
import numpy as np
import pytest

import sde_sgd as ss


@pytest.fixture(scope="module")
def result():
    """Five chains, two of which have diverged."""
    made = ss.run(
        ss.SGD(ss.problems.Quadratic(1.0), ss.Hyperparameters(0.1)),
        chains=5,
        steps=3,
        every=1,
        record={"θ": lambda x: x},
        key=jax.random.key(0),
    )
    return eqx.tree_at(lambda at: at.diverged_at, made, np.array([-1, 2, -1, -1, 3]))


@pytest.mark.parametrize(("band", "width"), [("deviation", 1.0), ("error", 3**-0.5), ("none", None)])
def test_bands_are_of_the_chains_that_did_not_diverge(band, width, result):
    (axes,) = ss.plot.curves("θ", band=band, SGD=result).axes
    kept = np.asarray(result.record["θ"], np.float64)[:, [0, 2, 3]]
    np.testing.assert_allclose(axes.get_lines()[0].get_ydata(), kept.mean(axis=1), rtol=1e-5)
    if width is None:
        assert not axes.collections
        return
    corners = axes.collections[0].get_paths()[0].vertices
    for step, (middle, deviation) in enumerate(zip(kept.mean(axis=1), kept.std(axis=1, ddof=1), strict=True)):
        here = corners[corners[:, 0] == step, 1]
        np.testing.assert_allclose(here.max(), middle + width * deviation, rtol=1e-5)
        np.testing.assert_allclose(here.min(), middle - width * deviation, rtol=1e-5)


def test_cells_lie_around_their_centres():
    (axes, _) = ss.plot.heat_map(np.eye(2), learning_rate=[0.1, 0.4], batch_size=[2, 8]).axes
    corners = axes.collections[0].get_coordinates()
    np.testing.assert_allclose(corners[0, :, 0], [1, 4, 16], rtol=1e-6)
    np.testing.assert_allclose(corners[:, 0, 1], [0.05, 0.2, 0.8], rtol=1e-6)


def test_bars_hold_all_of_the_probability_and_lines_reach_into_the_tails():
    values = np.random.default_rng(0).normal(size=1000)
    gibbs = ss.theory.gibbs(ss.problems.Quadratic(1.0), ss.Hyperparameters(0.2))
    (axes,) = ss.plot.histograms(values=values, Gibbs=gibbs, bins=20).axes
    heights, edges, _ = axes.patches[-1].get_data()
    assert 0.995 < (heights * np.diff(edges)).sum() <= 1 + 1e-9
    at, height = (np.asarray(x) for x in axes.get_lines()[0].get_data())
    # down to 1e-4 of the peak: ln 10⁴ = x²/2σ² with σ² = T/2 = .1
    np.testing.assert_allclose(at[[0, -1]], np.sqrt(0.2 * np.log(1e4)) * np.array([-1, 1]), rtol=1e-2)
    np.testing.assert_allclose(height.max(), (2 * np.pi * 0.1) ** -0.5, rtol=1e-4)
