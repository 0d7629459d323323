"""Corner plots: marginals of samples and laws, along coordinates and directions, from what users have."""

import collections

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from helpers import refused
from scipy import stats

import sde_sgd as ss

MEAN = np.array([0.0, 1.0, -2.0])
SIGMA = np.array([[1.0, 0.6, 0.0], [0.6, 2.0, 0.3], [0.0, 0.3, 0.5]])
POINTS = np.random.default_rng(0).multivariate_normal(MEAN, SIGMA, 4000)
TURN = np.array([[0.6, 0.8, 0.0], [0.0, 0.0, 2.0]])


def grid_of(figure, count):
    return np.array(figure.axes[: count * count]).reshape(count, count)


def line_of(ax, label):
    (line,) = (line for line in ax.get_lines() if line.get_label() == label)
    return line.get_data()


def test_marginals_are_those_of_the_laws_and_of_the_samples():
    other = ss.theory.GaussianMixture(np.array([0.3, 0.7]), np.stack([MEAN, -MEAN]), np.stack([SIGMA] * 2), 0)
    figure = ss.plot.corner(SGD=POINTS, laws={"exact": (MEAN, SIGMA), "two": other})
    grid = grid_of(figure, 3)
    for i in range(3):
        x, p = line_of(grid[i, i], "exact")
        np.testing.assert_allclose(p, stats.norm.pdf(x, MEAN[i], SIGMA[i, i] ** 0.5), rtol=1e-10)
        x, p = line_of(grid[i, i], "two")
        parts = [stats.norm.pdf(x, sign * MEAN[i], SIGMA[i, i] ** 0.5) for sign in (1, -1)]
        np.testing.assert_allclose(p, 0.3 * parts[0] + 0.7 * parts[1], rtol=1e-10)
        heights, edges, _ = grid[i, i].patches[-1].get_data()
        assert 0.999 < (heights * np.diff(edges)).sum() <= 1 + 1e-9
        counts, _ = np.histogram(POINTS[:, i], edges)
        np.testing.assert_allclose(heights * np.diff(edges), counts / len(POINTS))


def test_along_directions_laws_are_turned_with_the_samples():
    figure = ss.plot.corner(SGD=POINTS, directions=TURN, laws={"exact": (MEAN, SIGMA), "around": SIGMA})
    grid = grid_of(figure, 2)
    for i, row in enumerate(TURN):
        spread = (row @ SIGMA @ row) ** 0.5
        x, p = line_of(grid[i, i], "exact")
        np.testing.assert_allclose(p, stats.norm.pdf(x, row @ MEAN, spread), rtol=1e-10)
        x, p = line_of(grid[i, i], "around")
        np.testing.assert_allclose(p, stats.norm.pdf(x, row @ POINTS.mean(axis=0), spread), rtol=1e-10)
    assert [ax.get_xlabel() for ax in grid[1]] == ["v₁·θ", "v₂·θ"]
    assert grid[1, 0].get_ylabel() == "v₂·θ"


def test_contours_hold_half_and_95_per_cent():
    figure = ss.plot.corner(SGD=POINTS[:, :2], laws={"exact": (MEAN[:2], SIGMA[:2, :2])})
    lines = [
        path
        for drawn in grid_of(figure, 2)[1, 0].collections
        if isinstance(drawn, mpl.contour.ContourSet)
        for path in drawn.get_paths()
    ]
    assert len(lines) == 2
    inverse = np.linalg.inv(SIGMA[:2, :2])
    found = []
    for path in lines:
        away = path.vertices - MEAN[:2]
        distance = np.einsum("ni,ij,nj->n", away, inverse, away)
        # one ellipse, up to what a cell of the picture is wide
        assert np.ptp(distance) < 0.2 * distance.mean()
        found.append(stats.chi2(2).cdf(distance.mean()))
    np.testing.assert_allclose(sorted(found), [0.5, 0.95], atol=0.01)


def test_a_density_in_the_plane_and_a_run():
    bowl = ss.problems.Quadratic(np.diag([1.0, 3.0]))
    hyper = ss.Hyperparameters(0.1)
    run = ss.run(ss.SGD(bowl, hyper), chains=500, steps=100, key=jax.random.key(0))
    gibbs = ss.theory.gibbs(bowl, hyper, bounds=((-1.5, 1.5), (-1.5, 1.5)))
    grid = grid_of(ss.plot.corner(SGD=run, laws={"Gibbs": gibbs}), 2)
    for axis in (0, 1):
        x, p = line_of(grid[axis, axis], "Gibbs")
        np.testing.assert_allclose(p, gibbs.marginal(axis).pdf(x))
    assert [text.get_text() for text in grid[0, 1].get_legend().get_texts()] == ["SGD", "Gibbs"]
    with refused(match="Gibbs must be a law in 2 dimensions"):
        ss.plot.corner(SGD=run, directions=np.eye(2), laws={"Gibbs": gibbs})


def test_what_users_have():
    """Arrays, dictionaries and xarray show the same numbers, and bring their names."""
    named = {"bias": POINTS[:, 0], "weight": POINTS[:, 1]}
    table = xr.DataArray(POINTS[:, :2], dims=("chain", "of"), coords={"of": ["bias", "weight"]})
    heights = []
    for given in (named, table, xr.Dataset({key: ("chain", column) for key, column in named.items()})):
        grid = grid_of(ss.plot.corner(SGD=given), 2)
        assert [ax.get_xlabel() for ax in grid[1]] == ["bias", "weight"]
        heights.append(grid[1, 1].patches[-1].get_data()[0])
    plain = grid_of(ss.plot.corner(SGD=POINTS[:, :2]), 2)
    assert [ax.get_xlabel() for ax in plain[1]] == ["θ₁", "θ₂"]
    for found in heights:
        np.testing.assert_array_equal(found, plain[1, 1].patches[-1].get_data()[0])


def test_directions_and_a_mean_may_be_parameters():
    theta = {"a": jnp.asarray(MEAN[:1], float), "b": jnp.asarray(MEAN[1:], float)}
    vectors = {"a": TURN[:, :1], "b": TURN[:, 1:]}
    ensemble = {"a": POINTS[:, :1], "b": POINTS[:, 1:]}
    grid = grid_of(ss.plot.corner(SGD=ensemble, directions=vectors, laws={"exact": (theta, SIGMA)}), 2)
    x, p = line_of(grid[0, 0], "exact")
    np.testing.assert_allclose(p, stats.norm.pdf(x, TURN[0] @ MEAN, (TURN[0] @ SIGMA @ TURN[0]) ** 0.5))


@pytest.mark.parametrize("made", [dict, collections.OrderedDict], ids=["numbers", "ordered"])
def test_columns_have_the_names_of_their_keys(made):
    rng = np.random.default_rng(0)
    # as words 10 lies before 2; an OrderedDict keeps its order
    keys = (2, 10) if made is dict else ("z", "a")
    columns = made(zip(keys, (rng.normal(5, 0.1, 50), rng.normal(-5, 0.1, 50)), strict=True))
    figure = ss.plot.corner(A=columns)
    for ax in figure.axes[2:]:
        low, _ = ax.get_xlim()
        assert ax.get_xlabel() == str(keys[0] if low > 0 else keys[1])
    with refused("ensembles must name the same coordinates"):
        ss.plot.corner(A={"x": np.zeros(9), "y": np.ones(9)}, B={"y": np.ones(9), "z": np.zeros(9)})


def test_the_mean_of_a_law_may_be_a_dictionary_of_one_array():
    points = POINTS[:, :2]
    figure = ss.plot.corner(A={"w": points}, laws={"law": ({"w": np.zeros(2)}, np.eye(2))})
    x, p = line_of(figure.axes[0], "law")
    np.testing.assert_allclose(p, stats.norm.pdf(x), rtol=1e-6)


def test_axes_are_taken_and_told():
    """Every panel has what its numbers are, and nothing is drawn on axes that were not given."""
    whole, given = ss.plot.figure(2, 2)
    made = ss.plot.corner(SGD=POINTS[:, :2], SDE=POINTS[:1000, :2], axes=given, names=["a", "b"])
    assert made is whole
    assert len(made.axes) == 4
    assert not given[0, 1].axison
    assert given[0, 0].get_ylabel() == given[1, 1].get_ylabel() == "density"
    assert (given[1, 0].get_xlabel(), given[1, 0].get_ylabel()) == ("a", "b")
    alone = ss.plot.corner(SGD=POINTS[:, :1])
    assert len(alone.axes) == 1
    assert alone.axes[0].get_legend() is not None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "at least one ensemble"),
        ({"SGD": np.zeros((20, 9))}, "at most 8 dimensions, SGD has 9; give directions="),
        ({"SGD": POINTS, "SDE": POINTS[:, :2]}, "as many coordinates each"),
        ({"SGD": POINTS, "directions": np.eye(2)}, "rows of 3 numbers"),
        ({"SGD": POINTS, "names": ["a", "b"]}, "names must be 3 words"),
        ({"SGD": POINTS, "laws": {"exact": np.eye(2)}}, r"exact must have a covariance of shape \(3, 3\)"),
        ({"SGD": POINTS, "laws": {"exact": "N(0, 1)"}}, "exact must be a GaussianMixture"),
        ({"SGD": POINTS, "laws": np.eye(3)}, "laws must be a mapping"),
        ({"SGD": POINTS, "axes": ss.plot.figure()[1]}, "axes must be 3 x 3 of them"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, words):
    with refused(match=words):
        ss.plot.corner(**options)
