"""Figures hold what they are given, and say what they cannot draw."""

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import refused

import sde_sgd as ss

WELL = ss.problems.DoubleWell()
HYPER = ss.Hyperparameters(0.1, 2)


@pytest.fixture(scope="module")
def result():
    import jax

    return ss.run(
        ss.SGD(WELL, HYPER),
        chains=200,
        steps=40,
        every=10,
        record={"x²": lambda x: x * x, "pair": lambda x: jnp.stack([x, x])},
        histograms=ss.Histogram(-2, 2, 20),
        key=jax.random.key(0),
    )


def test_histograms(result, tmp_path):
    gibbs = ss.theory.gibbs(WELL, HYPER)
    figure = ss.plot.histograms(SGD=result, counted=result.histograms["theta"], Gibbs=gibbs, bins=30)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["SGD", "counted", "Gibbs"]
    assert axes.get_xlabel()
    assert axes.get_ylabel()
    (line,) = axes.get_lines()
    np.testing.assert_allclose(line.get_ydata().max(), gibbs.pdf(gibbs.grid).max())
    heights = [patch.get_data() for patch in axes.patches]
    for values, edges, _ in heights:
        assert 0.9 < (values * np.diff(edges)).sum() <= 1.001
    path = ss.plot.save(figure, tmp_path / "deep" / "figure.png")
    assert path.stat().st_size > 5000


def test_a_figure_is_where_save_says_or_nowhere(tmp_path):
    figure, _ = ss.plot.figure()
    for name, written in (("a", "a.png"), ("b.", "b.png"), ("c.SVG", "c.SVG"), ("d/e.pdf", "d/e.pdf")):
        assert ss.plot.save(figure, tmp_path / name) == tmp_path / written
        assert (tmp_path / written).is_file()
    made = sorted(tmp_path.rglob("*"))
    with refused(match=r"path must be the name of a file, got the folder .*d'; add a name, such as .*d/loss"):
        ss.plot.save(figure, tmp_path / "d")
    with refused(match="path must be the name of a file, got the folder"):
        ss.plot.save(figure, f"{tmp_path}/new/")
    with refused(match=r"path must be where a file can be written, got .*: File exists; give another folder"):
        ss.plot.save(figure, tmp_path / "a.png" / "f.png")
    with refused(match=r"path must be where a file can be written, got .*: Not a directory"):
        ss.plot.save(figure, tmp_path / "a.png" / "deep" / "f.png")
    with refused(match=r"path must end in one of .*, got .*f.xyz"):
        ss.plot.save(figure, tmp_path / "f.xyz")
    assert sorted(tmp_path.rglob("*")) == made


@pytest.mark.parametrize("clock", ["step", "time"])
@pytest.mark.parametrize("band", ["deviation", "error", "none"])
def test_curves(result, clock, band):
    figure = ss.plot.curves("x²", clock=clock, band=band, log=True, SGD=result)
    (line,) = figure.axes[0].get_lines()
    np.testing.assert_allclose(line.get_ydata(), result.record["x²"].mean(axis=1), rtol=1e-5)
    expected = result.record_steps * (0.1 if clock == "time" else 1)
    np.testing.assert_allclose(line.get_xdata(), expected, rtol=1e-6)


def test_landscapes():
    one = ss.plot.landscape(WELL, bounds=(-2, 2), samples=np.linspace(-1, 1, 10), ceiling=2.0)
    assert len(one.axes[0].get_lines()) == 2
    two = ss.plot.landscape(
        ss.problems.MullerBrown(), bounds=((-1.5, 1.2), (-0.3, 2.0)), samples=np.zeros((3, 2))
    )
    assert len(two.axes) == 2  # the surface and its colour bar


def test_heat_maps_of_what_cannot_be_shown():
    """Cells without a number, or without a logarithm, stay grey; a table without any is drawn too."""
    axes = {"learning_rate": [0.1, 0.2], "batch_size": [1, 2]}
    for table, log, shown in (
        ([[1.0, np.nan], [np.inf, 2.0]], False, 2),
        ([[1.0, 0.0], [-1.0, 2.0]], True, 2),
        ([[np.nan, np.nan], [np.nan, np.nan]], False, 0),
        ([[np.nan, np.nan], [0.0, np.nan]], True, 0),
    ):
        figure = ss.plot.heat_map(np.array(table), log=log, **axes)
        assert len(figure.axes[0].texts) == shown
        figure.canvas.draw()
    with refused(match=r"of a SweepResult take one quantity, as result\['loss'\]"):
        ss.plot.heat_map(np.ones((2, 2)))


def test_bad_input(result):
    with refused(match="needs something to draw"):
        ss.plot.histograms()
    with refused(match="was not recorded, but 'x²', 'pair'"):
        ss.plot.curves("loss", SGD=result)
    with refused(match="not one number per chain"):
        ss.plot.curves("pair", SGD=result)
    with refused(match="clock must be one of"):
        ss.plot.curves("x²", clock="hours", SGD=result)
    with refused(match="has no data set"):
        ss.plot.curves("x²", clock="epochs", SGD=result)
    with refused(match="at least one result"):
        ss.plot.curves("x²")
    with refused(match="draws one or two parameters"):
        ss.plot.landscape(ss.problems.StyblinskiTang(3), bounds=(-1, 1))
    with refused(match="for each of 2 axes"):
        ss.plot.landscape(ss.problems.MullerBrown(), bounds=(-1, 1))
