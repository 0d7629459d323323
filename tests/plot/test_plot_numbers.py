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


def test_a_band_of_what_is_positive_ends_at_the_smallest_value():
    def lower(values, band="deviation"):
        (area,) = ss.plot.curves("x", band=band, x=([0, 1], values)).axes[0].collections
        corners = area.get_paths()[0].vertices
        return [corners[corners[:, 0] == at, 1].min() for at in (0, 1)]

    wide, narrow = np.array([1.0, 1.0, 1.0, 9.0]), np.array([2.0, 3.0, 4.0, 3.0])
    np.testing.assert_allclose(lower(np.stack([wide, narrow])), [1, narrow.mean() - narrow.std(ddof=1)])
    # without a deviation as large as the mean, or with a value below 0, it is as wide as above
    np.testing.assert_allclose(lower(np.stack([wide, narrow]), "error"), [1, 3 - narrow.std(ddof=1) / 2])
    np.testing.assert_allclose(lower(np.stack([wide - 2, wide])), [-3, 1])


def test_laws_differ_in_strokes_and_few_chains_share_few_bins():
    laws = {
        name: ss.theory.gibbs(ss.problems.DoubleWell(), ss.Hyperparameters(rate))
        for name, rate in (("cold", 0.1), ("warm", 0.2))
    }
    lines = ss.plot.histograms(**laws).axes[0].get_lines()
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 2
    assert lines[0].get_color() == "black"
    rng = np.random.default_rng(0)
    for count, bins in ((100_000, 80), (8000, 80), (400, 29), (8, 10)):
        (bars, _) = ss.plot.histograms(x=rng.normal(size=count)).axes[0].patches
        assert len(bars.get_data().values) == bins
    (bars, _) = ss.plot.histograms(x=rng.normal(size=8), bins=33).axes[0].patches
    assert len(bars.get_data().values) == 33
    few = ss.plot.corner(x=rng.normal(size=(400, 2))).axes[0].patches
    assert len(few[0].get_data().values) == 15


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


EXPLODED = np.r_[np.random.default_rng(1).normal(size=4000), -8.9e21, 471.0, 3e7]


@pytest.mark.parametrize("draw", [ss.plot.histograms, ss.plot.corner])
def test_chains_on_their_way_to_infinity_are_counted_and_not_drawn(draw):
    """Bars are over the others, of the right height; what ran as far as rare chains do is drawn as before."""
    axes = draw(SGD=EXPLODED, still=EXPLODED[:4000]).axes[0]
    words = [text.get_text() for text in axes.get_legend().get_texts()]
    assert words == ["SGD (3 of 4003 beyond)", "still"]
    assert -8 < axes.get_xlim()[0] < -3.3 < 3.3 < axes.get_xlim()[1] < 8
    heights, edges, _ = axes.patches[1].get_data()
    assert (heights * np.diff(edges)).sum() == pytest.approx(4000 / 4003)
    # so few that all others are but the innermost nine tenths
    few = draw(SGD=np.r_[EXPLODED[:7], 1e20]).axes[0]
    assert few.get_xlim()[1] < 10
    law = ss.theory.gibbs(ss.problems.Quadratic(0.01), ss.Hyperparameters(0.2))
    if draw is ss.plot.histograms:
        *_, bars = draw(SGD=EXPLODED, law=law).axes[0].patches
        assert bars.get_data()[1][0] < law.grid[law.pdf(law.grid) > 1e-4 * law.pdf(law.grid).max()][0]
    for rare in (20.0, 200.0):
        (axes, *_) = draw(SGD=np.r_[EXPLODED[:4000], np.full(20, rare)]).axes
        assert axes.get_xlim()[1] > rare
        assert axes.get_legend().get_texts()[0].get_text() == "SGD"
