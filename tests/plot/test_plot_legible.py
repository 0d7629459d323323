"""What is drawn can be read: no line through a number, round ticks, words beside the limit, names on axes."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from helpers import refused

import sde_sgd as ss
from sde_sgd.plot._ticks import round_ticks

RATES, SIZES = 0.01 * 2.0 ** np.arange(5), 2.0 ** np.arange(1, 6)
LOSSES = np.exp(np.random.default_rng(0).normal(size=(5, 5)))


def crossed(figure, axes):
    """Numbers in the picture that a line strikes through: not behind a patch of the number's own cell."""
    figure.draw_without_rendering()
    found = []
    for text in axes.texts:
        patch = text.get_bbox_patch()
        box = text.get_window_extent()
        covered = patch is not None and patch.get_alpha() in (None, 1) and patch.get_facecolor()[3] == 1
        covered = covered and patch.get_window_extent().containsx(box.x0) and text.get_zorder() > 2
        for line in axes.lines:
            on_screen = mpl.path.Path(line.get_transform().transform(line.get_xydata()))
            if on_screen.intersects_bbox(box, filled=False) and not (
                covered and line.get_zorder() < text.get_zorder()
            ):
                found.append(text.get_text())
    return found


@pytest.mark.parametrize("log", [True, False])
def test_no_line_strikes_through_a_number_of_a_heat_map(log):
    figure = ss.plot.heat_map(LOSSES, learning_rate=RATES, batch_size=SIZES, log=log)
    axes = figure.axes[0]
    assert len(axes.lines) == 9
    assert crossed(figure, axes) == []
    # the patch has the colour of the cell, so that nothing is seen of it
    (cells,) = axes.collections
    for text, colour in zip(axes.texts, cells.get_facecolor(), strict=True):
        np.testing.assert_allclose(text.get_bbox_patch().get_facecolor(), colour)
    for text in axes.texts:
        text.get_bbox_patch().set_facecolor("none")
    assert len(crossed(figure, axes)) == 25


@pytest.mark.parametrize(
    ("table", "digits"),
    [
        (np.linspace(1.19, 1.44, 25), 3),
        (np.linspace(100.1, 100.4, 25), 4),
        (1 + 1e-6 * np.arange(25), 4),
        (np.linspace(0, 9, 25), 2),
        (np.ones(25), 2),
        (np.r_[1.2, 1.2001, np.linspace(3, 9, 23)], 2),
        (np.full(25, np.nan), 2),
    ],
)
def test_numbers_have_as_many_digits_as_the_colours_tell_apart(table, digits):
    where = {"learning_rate": RATES, "batch_size": SIZES}
    table = table.reshape(5, 5)
    words = [text.get_text() for text in ss.plot.heat_map(table, **where).axes[0].texts]
    assert words == [f"{value:.{digits}g}" for value in table.ravel() if np.isfinite(value)]
    plain = ss.plot.heat_map(table, numbers="{:.1f}", **where).axes[0].texts
    assert [text.get_text() for text in plain] == [f"{one:.1f}" for one in table.ravel() if np.isfinite(one)]


@pytest.mark.parametrize(
    ("low", "high", "log", "ticks"),
    [
        (-0.833, 1.61, False, [-0.5, 0, 0.5, 1, 1.5]),
        (0.54, 5.2, True, [1, 2, 5]),
        (1.23, 1.69, True, [1.3, 1.4, 1.5, 1.6]),
        (1e-4, 2e3, True, 10.0 ** np.arange(-4, 4)),
        (0, 0.3, False, [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]),
        (2.0, 2.0, False, [2.0]),
    ],
)
def test_ticks_are_round(low, high, log, ticks):
    np.testing.assert_allclose(round_ticks(low, high, log=log), ticks, atol=1e-12)


def test_ticks_of_colour_bars_are_round_and_inside():
    plane = ss.problems.MullerBrown()
    figures = [
        ss.plot.landscape(plane, bounds=((-1.5, 1.2), (-0.3, 2.0))),
        ss.plot.landscape(plane, bounds=((-1.8, 0.9), (-0.5, 2.0)), ceiling=1.6),
        ss.plot.heat_map(LOSSES, learning_rate=RATES, batch_size=SIZES, log=True),
        ss.plot.heat_map(LOSSES - 1, learning_rate=RATES, batch_size=SIZES),
    ]
    for figure in figures:
        figure.draw_without_rendering()
        axes = figure.axes[1].yaxis
        words = [label.get_text().replace("\N{MINUS SIGN}", "-") for label in axes.get_ticklabels()]
        assert len(words) >= 3
        assert "-0" not in words
        low, high = figure.axes[1].get_ylim()
        for word, tick in zip(words, axes.get_ticklocs(), strict=True):
            assert float(word) == pytest.approx(tick)
            assert low <= tick <= high
            assert len(word.strip("-0.").replace(".", "")) <= 2, word


def test_figures_and_subfigures_take_what_is_drawn(tmp_path):
    """What is given as `ax` is drawn into, in a subfigure too, and `save` takes axes for their figure."""
    whole, _ = ss.plot.figure()
    whole.clear()
    left, right = whole.subfigures(1, 2)
    for part, draw in (
        (left, lambda ax: ss.plot.histograms(x=np.arange(20.0), ax=ax)),
        (right, lambda ax: ss.plot.heat_map(LOSSES, learning_rate=RATES, batch_size=SIZES, ax=ax)),
    ):
        ax = part.subplots()
        assert draw(ax) is whole
        assert ax.get_xlabel()
        assert ax.get_ylabel()
    assert ss.plot.save(ax, tmp_path / "axes.png").stat().st_size > 5000


def test_curves_of_arrays():
    values = np.random.default_rng(1).normal(size=(4, 30))
    steps = np.array([0, 10, 20, 40])
    figure = ss.plot.curves(
        "loss", clock="epochs", band="error", mine=(steps, values), one=(steps, values[:, 0])
    )
    axes = figure.axes[0]
    first, second = axes.get_lines()
    np.testing.assert_array_equal(first.get_xdata(), steps)
    np.testing.assert_allclose(first.get_ydata(), values.mean(axis=1))
    np.testing.assert_allclose(second.get_ydata(), values[:, 0])
    corners = axes.collections[0].get_paths()[0].vertices
    width = np.ptp(corners[corners[:, 0] == 10, 1])
    np.testing.assert_allclose(width, 2 * values[1].std(ddof=1) / 30**0.5)
    assert axes.get_xlabel() == "epochs"
    with refused(match=r"mine must be a pair \(x, values\)"):
        ss.plot.curves("loss", mine=(steps[:3], values))


def test_histograms_and_landscapes_of_xarray():
    x = xr.DataArray(np.linspace(-1, 1, 50), dims="chain")
    (axes,) = ss.plot.histograms(x=x, bins=10).axes
    (plain,) = ss.plot.histograms(x=x.values, bins=10).axes
    np.testing.assert_array_equal(axes.patches[-1].get_data()[0], plain.patches[-1].get_data()[0])
    drawn = ss.plot.landscape(ss.problems.DoubleWell(), bounds=(-2, 2), samples=x).axes[0]
    np.testing.assert_allclose(drawn.get_lines()[1].get_xdata(), x.values)


def many(count, **options):
    lines = {f"a rather long name, {k}": (np.arange(4), np.arange(4.0) + k) for k in range(count)}
    return ss.plot.curves("loss", band="none", **options, **lines)


def test_of_lines_on_each_other_all_are_seen():
    """Those after the first have gaps, and no two of 24 have one colour and one stroke."""
    first, *others = many(24).axes[0].get_lines()
    assert first.get_linestyle() == "-"
    assert "-" not in [line.get_linestyle() for line in others]
    looks = {(line.get_color(), str(line._unscaled_dash_pattern)) for line in (first, *others)}
    assert len(looks) == 24
    same = ss.plot.curves(
        "x", SGD=(np.arange(2), np.ones(2)), SDE=(np.arange(2), np.ones(2)), styles={"SDE": {"ls": "-"}}
    )
    assert same.axes[0].get_lines()[1].get_linestyle() == "-"


@pytest.mark.parametrize("count", [9, 24])
def test_many_names_are_beside_the_curves(count):
    figure = many(count)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    box, inside = axes.get_legend().get_window_extent(), axes.get_window_extent()
    assert box.x0 >= inside.x1
    assert figure.bbox.x1 >= box.x1
    assert inside.y1 + 1 >= box.y1
    assert box.y0 >= 0
    assert inside.width > figure.bbox.width / 3
    # where no layout makes room they stay inside
    plain = mpl.figure.Figure().subplots()
    many(count, ax=plain)
    plain.figure.draw_without_rendering()
    assert plain.get_legend().get_window_extent().x1 <= plain.get_window_extent().x1


@pytest.mark.parametrize(("word", "label"), [("steps", "SGD steps"), ("epoch", "epochs")])
def test_clocks_go_by_the_words_of_a_run_too(word, label):
    assert many(2, clock=word).axes[0].get_xlabel() == label
