"""Sweeps in pictures: one line or one cell for each setting, the mean over the seeds that are left."""

import itertools

import jax
import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from helpers import refused

import sde_sgd as ss

RATES, SIZES, EPOCHS = [0.1, 0.2], [2, 4, 8], [0.0, 1.0, 2.0, 3.0]
DIMS = ("learning_rate", "batch_size", "seed", "epoch")


def swept(axes=("learning_rate", "batch_size"), values=(RATES, SIZES), seeds=3):
    """A sweep whose numbers are known: loss and accuracy at random, a run that diverged."""
    rng = np.random.default_rng(0)
    shape = (*map(len, values), seeds)
    diverged = np.full(shape, -1)
    diverged[0, 1, 2] = 7
    loss = rng.uniform(1, 2, (*shape, len(EPOCHS)))
    loss[0, 1, 2, 2:] = np.inf
    named = dict(zip(axes, values, strict=True))
    data = {
        "loss": ((*axes, "seed", "epoch"), loss),
        "accuracy": ((*axes, "seed", "epoch"), loss / 2),
        "diverged_at": ((*axes, "seed"), diverged),
        "updates": (
            (*axes, "epoch"),
            np.arange(4) * np.arange(1, 1 + np.prod(shape[:2])).reshape(*shape[:2], 1),
        ),
    }
    if "ratio" in axes:
        outer = np.multiply.outer(values[0], values[1])
        named["learning_rate"] = (axes, outer)
    return ss.SweepResult(xr.Dataset(data, {**named, "seed": range(seeds), "epoch": EPOCHS}))


SWEEP = swept()


def kept(rate, size):
    """The losses of one setting, without the run that diverged."""
    runs = SWEEP.dataset["loss"].values[rate, size]
    return runs[:2] if (rate, size) == (0, 1) else runs


@pytest.mark.parametrize("band", ["deviation", "error"])
def test_a_sweep_is_a_line_for_each_setting(band):
    (axes,) = ss.plot.curves("loss", band=band, SGD=SWEEP).axes
    lines = axes.get_lines()
    assert len(lines) == 6
    assert axes.get_xlabel() == "epochs"
    for number, line in enumerate(lines):
        where = divmod(number, 3)
        runs = kept(*where)
        assert line.get_label() == f"SGD, η = {RATES[where[0]]}, B = {SIZES[where[1]]}"
        np.testing.assert_allclose(line.get_xdata(), EPOCHS)
        np.testing.assert_allclose(line.get_ydata(), runs.mean(axis=0))
        width = runs.std(axis=0, ddof=1) / (len(runs) ** 0.5 if band == "error" else 1)
        corners = axes.collections[number].get_paths()[0].vertices
        at_one = corners[corners[:, 0] == 1.0, 1]
        np.testing.assert_allclose(np.ptp(at_one), 2 * width[1], rtol=1e-6)


def test_parts_of_a_sweep_are_drawn_too():
    one = SWEEP.sel(batch_size=4)
    (axes,) = ss.plot.curves("loss", clock="step", SGD=one, ODE=SWEEP.sel(batch_size=8)).axes
    assert [line.get_label() for line in axes.get_lines()][:2] == ["SGD, η = 0.1", "SGD, η = 0.2"]
    np.testing.assert_allclose(axes.get_lines()[1].get_xdata(), 5 * np.arange(4))
    # of a DataArray it is not known what diverged, only what is not finite
    (axes,) = ss.plot.curves("loss", SGD=SWEEP["loss"]).axes
    np.testing.assert_allclose(axes.get_lines()[1].get_ydata(), kept(0, 1).mean(axis=0))
    (axes,) = ss.plot.curves("loss", SGD=SWEEP["loss"].mean("seed")).axes
    assert len(axes.get_lines()) == 6


def _looks(axes):
    """Colours, how light they are, and strokes."""
    lines = axes.get_lines()
    colours = np.array([mpl.colors.to_rgb(line.get_color()) for line in lines])
    return colours, colours @ [0.299, 0.587, 0.114], [str(line._dash_pattern) for line in lines]


def test_a_setting_has_one_colour_in_all_sweeps_and_each_sweep_a_stroke():
    part = SWEEP.dataset.isel(batch_size=[1, 2], learning_rate=[1])
    for whole, places in ((SWEEP, [4, 5]), (SWEEP.sel(learning_rate=0.2), [1, 2])):
        (axes,) = ss.plot.curves("loss", SGD=whole, SDE=part).axes
        colours, _, strokes = _looks(axes)
        first = len(colours) - 2
        np.testing.assert_array_equal(colours[first:], colours[places])
        assert len(set(map(tuple, colours[:first]))) == first
        assert len(set(strokes[:first])) == len(set(strokes[first:])) == 1
        assert strokes[0] != strokes[-1]
    # along axes of the user's own the labels tell settings apart
    own = xr.concat([SWEEP["loss"].isel(learning_rate=0, batch_size=0)] * 2, xr.Variable("width", [8, 16]))
    colours, _, _ = _looks(ss.plot.curves("loss", a=own, b=own).axes[0])
    np.testing.assert_array_equal(colours[:2], colours[2:])
    assert tuple(colours[0]) != tuple(colours[1])
    # what is of no setting has a colour of its own, and where strokes are too few no two lines are alike
    both = {name: ([0, 1], [0, 1]) for name in ("a", "b")}
    colours, _, _ = _looks(ss.plot.curves("loss", **both, clock="epochs", SGD=SWEEP).axes[0])
    assert len(set(map(tuple, colours))) == 8
    colours, _, strokes = _looks(ss.plot.curves("loss", **{f"s{k}": part for k in range(5)}).axes[0])
    assert len({(*colour, stroke) for colour, stroke in zip(colours, strokes, strict=True)}) == 10


def test_runs_in_a_row_are_told_by_what_differs():
    runs = [{"learning_rate": 0.01, "batch_size": 1, "momentum": m} for m in (0.0, 0.9)]
    key = jax.random.key(0)
    listed = ss.sweep(ss.SGD, ss.problems.DoubleWell(), runs=runs, steps=2, every=1, key=key)
    lines = ss.plot.curves("loss", A=listed).axes[0].get_lines()
    assert [line.get_label() for line in lines] == [f"A, η = 0.01, B = 1, m = {m}" for m in ("0", "0.9")]
    wells = {"flat": ss.problems.Quadratic(0.5), "sharp": ss.problems.Quadratic(2.0)}
    axes = {"learning_rate": [0.01, 0.02], "batch_size": [1, 2]}
    both = ss.sweep(ss.SGD, wells, **axes, steps=2, every=1, key=key).sel(ratio=0.01)
    lines = ss.plot.curves("loss", A=both).axes[0].get_lines()
    assert len({line.get_label() for line in lines}) == 4
    assert lines[0].get_label() == "A, problem = flat, η = 0.01, B = 1"


def test_styles_are_matplotlibs_by_any_of_their_names():
    (axes,) = ss.plot.curves("loss", SGD=SWEEP, styles={"SGD": {"ls": ":", "c": "red", "linewidth": 3}}).axes
    line = axes.get_lines()[0]
    assert (line.get_linestyle(), line.get_color(), line.get_linewidth()) == (":", "red", 3)


def test_lines_beyond_the_palette_have_colours_in_order():
    (axes,) = ss.plot.curves("loss", SGD=swept(values=([0.1, 0.2, 0.3], SIZES))).axes
    _, light, strokes = _looks(axes)
    assert (np.diff(light) > 0.03).all()
    assert all(first != second for first, second in itertools.pairwise(strokes))


def test_the_end_of_a_sweep_is_a_cell_for_each_setting():
    for given in (SWEEP, SWEEP.dataset, SWEEP["loss"]):
        (axes, bar) = ss.plot.heat_map(given).axes
        table = np.asarray(axes.collections[0].get_array()).reshape(2, 3)
        wanted = [[kept(rate, size)[:, -1].mean() for size in range(3)] for rate in range(2)]
        np.testing.assert_allclose(table, wanted)
        assert bar.get_ylabel() == "loss"
    (axes, bar) = ss.plot.heat_map(SWEEP, "accuracy").axes
    np.testing.assert_allclose(
        np.asarray(axes.collections[0].get_array()).reshape(2, 3), np.divide(wanted, 2)
    )


def test_a_sweep_over_ratios_has_cells_where_it_has_runs():
    sweep = swept(("ratio", "batch_size"), ([0.01, 0.02], SIZES))
    (axes, _) = ss.plot.heat_map(sweep).axes
    table = np.ma.masked_invalid(np.asarray(axes.collections[0].get_array()).reshape(4, 3))
    # η from .02 to .16; each batch size has two of them
    np.testing.assert_array_equal(~np.ma.getmaskarray(table), [[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]])
    ends = sweep.dataset["loss"].values[..., -1]
    np.testing.assert_allclose(table[2, 1], ends[1, 1].mean())


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: ss.plot.curves("los", SGD=SWEEP), "'los' was not recorded in SGD, but 'loss', 'accuracy'"),
        (lambda: ss.plot.curves("loss", SGD=SWEEP["accuracy"]), "'loss' was asked for, SGD holds 'accuracy'"),
        (lambda: ss.plot.curves("loss", clock="time", SGD=SWEEP), "clock must be 'epochs' or 'step'"),
        (lambda: ss.plot.curves("loss", clock="step", SGD=SWEEP["loss"]), "the whole SweepResult"),
        (lambda: ss.plot.curves("loss", **{f"x{k}": SWEEP for k in range(5)}), "at most 24 lines, got 30"),
        (
            lambda: ss.plot.curves("loss", SGD=SWEEP["loss"].isel(epoch=0)),
            "epoch, time, step for its samples",
        ),
        (
            lambda: ss.plot.heat_map(SWEEP.dataset.expand_dims(momentum=[0.0, 0.9])),
            r"got momentum = 0, 0.9; select one, as by result.sel\(momentum=0.0\)",
        ),
        (lambda: ss.plot.heat_map(SWEEP["loss"].isel(batch_size=[0])), "batch_size must be at least two"),
        (lambda: ss.plot.heat_map(SWEEP.dataset.expand_dims(width=[8, 16])), r"select one of \['width'\]"),
        (lambda: ss.plot.heat_map(SWEEP, "updates"), "which values tells of its runs"),
        (
            lambda: ss.plot.heat_map(SWEEP, numbers=".3g"),
            r"numbers must be 'auto', None or a format of a float such as",
        ),
        (
            lambda: ss.plot.heat_map(SWEEP, numbers=3),
            "numbers must be 'auto', None or a format of a float such as",
        ),
        (lambda: ss.plot.heat_map(SWEEP, norm="log"), "norm must be a Normalize of matplotlib, got 'log'"),
        (lambda: ss.plot.curves("loss", SGD=SWEEP, styles={"SDG": {}}), r"styles must .*\['SGD'\], got"),
        (
            lambda: ss.plot.heat_map(SWEEP["loss"].assign_coords(momentum=("learning_rate", [0.0, 0.9]))),
            "got momentum = 0, 0.9",
        ),
        (
            lambda: ss.plot.heat_map(np.eye(2), "loss", learning_rate=RATES, batch_size=[1, 2]),
            "observable is for",
        ),
    ],
    ids=itertools.count(),
)
def test_what_cannot_be_drawn_is_named(draw, words):
    with refused(match=words):
        draw()
