"""Results of sweeps: named dimensions, selection by value and by ratio, files, the log of what diverged."""

import jax
import numpy as np
import pytest
import xarray as xr
from helpers import bare, refused

import sde_sgd as ss
from sde_sgd.simulation._sweep_result import build_dataset

WELL = ss.problems.DoubleWell()


def made(axes, seeds=2, samples=3, extra=()):
    """A result whose loss tells point, seed and sample apart."""
    points = int(np.prod([len(values) for values in axes.values()]))
    shape = (points, seeds, samples, *extra)
    grid = np.meshgrid(*(np.asarray(values) for values in axes.values()), indexing="ij")
    named = dict(zip(axes, (values.ravel() for values in grid), strict=True))
    rate, size = named.get("learning_rate", np.full(points, 0.1)), named.get("batch_size", np.full(points, 2))
    per_point = {"learning_rate": rate, "batch_size": size, "ratio": rate / size}
    per_point["updates"] = np.arange(points * samples).reshape(points, samples)
    variables = {"loss": np.arange(np.prod(shape), dtype=float).reshape(shape)}
    variables["diverged_at"] = np.full((points, seeds), -1)
    times = ("epoch", np.arange(samples) * 0.5)
    attributes = {"created_by": "test", "seconds": 1.5}
    return ss.SweepResult(build_dataset(axes, seeds, times, variables, per_point, attributes), seconds=1.5)


GRID = {"problem": ["clean", "noisy ½"], "learning_rate": [0.1, 0.2, 0.4], "batch_size": [2, 4]}


def test_dimensions_are_the_axes_then_seeds_then_samples():
    result = made(GRID, extra=(5,))
    assert result["loss"].dims == ("problem", "learning_rate", "batch_size", "seed", "epoch", "loss_0")
    assert result["updates"].dims == ("problem", "learning_rate", "batch_size", "epoch")
    assert result.dataset["ratio"].dims == ("problem", "learning_rate", "batch_size")
    assert result.dataset["problem"].values.tolist() == ["clean", "noisy ½"]
    assert result.dataset["epoch"].values.tolist() == [0, 0.5, 1]
    assert result.to_xarray() is result.dataset
    point = result["loss"].sel(problem="noisy ½", learning_rate=0.2, batch_size=4, seed=1, epoch=0.5)
    number = (1 * 3 + 1) * 2 + 1
    np.testing.assert_array_equal(point, np.arange(5) + 5 * ((number * 2 + 1) * 3 + 1))


def test_selection_by_an_axis_drops_it():
    result = made(GRID)
    chosen = result.sel(batch_size=4, problem="clean", seed=1)
    assert chosen["loss"].dims == ("learning_rate", "epoch")
    assert int(chosen["batch_size"]) == 4
    np.testing.assert_array_equal(chosen["loss"], result["loss"].values[0, :, 1, 1])
    assert result.sel(learning_rate=0.2 * (1 + 5e-6))["loss"].dims[1] == "batch_size"
    assert result.sel(epoch=0)["loss"].dims[-1] == "seed"


def test_selection_by_the_ratio_of_a_grid_puts_its_points_in_a_row():
    result = made(GRID)
    row = result.sel(ratio=0.1)
    assert row["loss"].dims == ("run", "seed", "epoch")
    assert row["problem"].values.tolist() == ["clean", "clean", "noisy ½", "noisy ½"]
    pairs = list(zip(row["learning_rate"].values, row["batch_size"].values, strict=True))
    assert pairs == [(0.2, 2), (0.4, 4)] * 2
    for number, name in enumerate(row["problem"].values):
        rate, size = pairs[number]
        one = result.dataset.sel(problem=name, learning_rate=rate, batch_size=size)
        np.testing.assert_array_equal(row["loss"].isel(run=number), one["loss"])
        np.testing.assert_array_equal(row["updates"].isel(run=number), one["updates"])
    assert result.sel(ratio=0.1, batch_size=4)["learning_rate"].values.tolist() == [0.4, 0.4]
    assert result.sel(batch_size=4, ratio=0.1)["learning_rate"].values.tolist() == [0.4, 0.4]


def test_selection_of_several_values():
    """By a list or a slice, both ends of which count; one value drops an axis and a list of one does not."""
    result = made(GRID)
    rates = result.dataset["learning_rate"].values
    assert result.sel(learning_rate=list(rates[:1]))["loss"].sizes["learning_rate"] == 1
    np.testing.assert_array_equal(result.sel(learning_rate=list(rates))["loss"], result["loss"])
    some = result.sel(epoch=slice(0.5, None))
    np.testing.assert_array_equal(some["epoch"], [0.5, 1])
    np.testing.assert_array_equal(result.sel(epoch=slice(0, 0.5 * (1 + 5e-6)))["epoch"], [0, 0.5])
    assert set(result.sel(ratio=[0.1, 0.2])["ratio"].values) == {0.1, 0.2}
    assert set(result.sel(ratio=slice(0.08, 0.3))["ratio"].values) == {0.1, 0.2}
    np.testing.assert_array_equal(result.sel(learning_rate=slice(0.4, 0.1))["loss"], result["loss"])
    assert result.sel(problem=["clean", "noisy ½"])["loss"].sizes["problem"] == 2
    assert "loss" in result and "ratio" not in list(result) and {"loss", "updates"} <= set(result)


@pytest.mark.parametrize("several", [list, tuple, np.asarray, jax.numpy.asarray, xr.DataArray])
def test_several_values_may_be_a_sequence_of_any_library(several):
    result = made(GRID)
    assert result.sel(batch_size=several([4]))["loss"].sizes["batch_size"] == 1
    xr.testing.assert_identical(result.sel(batch_size=several([2, 4])), result.dataset)
    assert set(result.sel(ratio=several([0.1, 0.2]))["ratio"].values) == {0.1, 0.2}
    if several is not jax.numpy.asarray:  # which has no texts
        xr.testing.assert_identical(result.sel(problem=several(["clean", "noisy ½"])), result.dataset)


def test_an_axis_comes_in_the_order_asked_for_and_a_row_in_that_of_the_sweep():
    result = made(GRID)
    chosen = result.sel(learning_rate=[0.4, 0.1, 0.4], problem=["noisy ½", "clean"])
    expected = result.dataset.sel(learning_rate=[0.4, 0.1], problem=["noisy ½", "clean"])
    xr.testing.assert_identical(chosen, expected)
    assert result.sel(learning_rate=slice(0.4, 0.2))["learning_rate"].values.tolist() == [0.2, 0.4]
    xr.testing.assert_identical(result.sel(ratio=[0.2, 0.1]), result.sel(ratio=[0.1, 0.2]))
    pairs = [(0.2, 2), (0.4, 4), (0.4, 2)]
    runs = {"learning_rate": np.array([rate for rate, _ in pairs]), "batch_size": np.array([2, 4, 2])}
    loss = {"loss": np.zeros((3, 1, 1))}
    row = ss.SweepResult(build_dataset({"run": [0, 1, 2]}, 1, ("step", np.zeros(1)), loss, runs, {}))
    assert row.sel(learning_rate=[0.4, 0.2])["run"].values.tolist() == [0, 1, 2]
    assert row.sel(run=[2, 0])["run"].values.tolist() == [2, 0]


def test_one_value_may_be_a_number_of_any_library():
    result = made(GRID)
    expected = result.sel(batch_size=4)
    assert "batch_size" not in expected["loss"].dims
    for one in (np.int32(4), np.asarray(4), jax.numpy.asarray(4), xr.DataArray(4.0)):
        xr.testing.assert_identical(result.sel(batch_size=one), expected)
    assert "problem" not in result.sel(problem=np.asarray("clean"))["loss"].dims
    xr.testing.assert_identical(result.sel(batch_size=range(2, 5, 2)), result.dataset)
    together = result.sel(batch_size=[np.asarray(2), jax.numpy.asarray(4)])
    xr.testing.assert_identical(together, result.dataset)


def test_selection_by_a_ratio_that_is_an_axis_or_belongs_to_a_list():
    axis = ss.SweepResult(made({"ratio": [0.01, 0.02], "batch_size": [2, 4]}).dataset)
    assert axis.sel(ratio=0.02)["loss"].dims == ("batch_size", "seed", "epoch")
    listed = build_dataset(
        {"run": [0, 1, 2]},
        2,
        ("step", np.arange(2)),
        {"loss": np.zeros((3, 2, 2))},
        {"ratio": np.array([1.0, 2.0, 1.0])},
        {},
    )
    assert ss.SweepResult(listed).sel(ratio=1)["run"].values.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ratio": 0.3}, r"no run has ratio = 0.3; there are 0.025, 0.05, 0.1, 0.2\."),
        ({"ratio": [0.1, 0.3]}, r"no run has ratio = 0.3; there are"),
        ({"ratio": []}, r"ratio must hold at least one value"),
        ({"ratio": slice(1, 2)}, r"no run has ratio = slice\(1, 2, None\); there are"),
        ({"problem": slice(1, 2)}, r"problem must be values or a slice of two numbers"),
        ({"method": "nearest"}, r"Options of xarray go to \.dataset\.sel"),
        ({"ratio": 0.1001}, "no run has ratio"),
        ({"problem": "dirty"}, r"no run has problem = 'dirty'; there are 'clean', 'noisy ½'\."),
        ({"problem": 3}, "no run has problem = 3"),
        ({"nothing": 1}, r"'nothing' is no coordinate of this sweep; there are \['batch_size', 'epoch'"),
        (
            {"batch_size": [[2, 4]]},
            r"batch_size must be one value, a list of values .* got \[\[2, 4",
        ),
        ({"batch_size": [[2, 4], [4]]}, r"batch_size must be one value, .*, got \[\[2, 4\], \[4\]\]\."),
        ({"problem": ["clean", ["noisy ½"]]}, r"problem must be one value, a list of values or a slice"),
        ({"batch_size": [np.ones((2, 2)), np.ones((2, 3))]}, "batch_size must be one value, a list"),
        ({"batch_size": jax.numpy.zeros(0)}, "batch_size must hold at least one value"),
        ({"batch_size": True}, "batch_size must be a real number"),
        ({"problem": ["clean", "dirty"]}, "no run has problem = 'dirty'"),
        ({"batch_size": "two"}, "batch_size must be a real number"),
    ],
)
def test_selections_of_nothing(values, message):
    with refused(match=message):
        bare(ss.SweepResult.sel)(made(GRID), **values)


@pytest.fixture(scope="module")
def swept():
    """A sweep over named problems and batch sizes, with a vector recorded."""
    key = jax.random.key(3)
    problems = {
        name: ss.problems.TiltedNoiseData(WELL, dataset_size=8, noise_variance=v, key=key)
        for name, v in (("σ² = 1", 1.0), ("σ² = 2", 2.0))
    }
    record = {"x": lambda x: x, "powers": lambda x: x ** np.arange(1.0, 4.0, dtype=np.float32)}
    options = {"learning_rate": 0.05, "batch_size": [2, 4], "seeds": 3, "epochs": 2, "every": 1}
    return ss.sweep(ss.SGD, problems, **options, record=record, keep_theta=True, key=key)


@pytest.mark.parametrize("name", ["result.nc", "folder/result.zarr"])
def test_what_is_saved_is_read_back_whole(name, swept, tmp_path):
    path = swept.save(tmp_path / name)
    assert path.exists()
    again = ss.read_sweep(path)
    xr.testing.assert_identical(again.dataset, swept.dataset)
    assert dict(again.dataset.attrs) == dict(swept.dataset.attrs)
    assert again.dataset.attrs["process"] == "SGD"
    assert again.dataset.attrs["length"] == "2 epochs"
    for variable in swept.dataset.variables:
        assert again.dataset[variable].dtype == swept.dataset[variable].dtype
    assert again.seconds == swept.seconds > 0
    assert again.theta is None
    assert again.sel(problem="σ² = 2", ratio=0.025)["powers"].dims[-1] == "powers_0"
    path.parent.rename(tmp_path.parent / f"moved {tmp_path.name}")  # nothing is read from the file any more
    np.testing.assert_array_equal(again["powers"], swept["powers"])


@pytest.mark.parametrize("name", ["result.nc", "result.zarr"])
def test_nothing_is_overwritten_unasked(name, swept, tmp_path):
    path = made(GRID).save(tmp_path / name)
    with refused(match="exists; pass overwrite=True or another path"):
        swept.save(path)
    xr.testing.assert_identical(ss.read_sweep(path).dataset, made(GRID).dataset)
    swept.save(path, overwrite=True)
    xr.testing.assert_identical(ss.read_sweep(path).dataset, swept.dataset)


def test_other_files_are_refused(swept, tmp_path):
    with refused(match=r"path must end in \.nc .* or \.zarr, got 'result\.csv'"):
        swept.save("result.csv")
    for name in ("missing.nc", "missing.zarr", "result.csv"):
        with refused(match=r"path must be an existing \.nc file or \.zarr folder"):
            ss.read_sweep(tmp_path / name)


def test_kept_parameters_have_the_axes_in_front(swept):
    assert swept.theta.shape == (2, 2, 3)
    np.testing.assert_array_equal(swept.theta, swept["x"].isel(epoch=-1))


def test_the_log_lists_what_diverged_and_nothing_else(key):
    """ηh = 5 at the minima is unstable, ηh = .1 is not."""
    options = {"learning_rate": [0.05, 2.5], "batch_size": [1, 2], "seeds": 3, "steps": 400, "every": 100}
    with pytest.warns(UserWarning, match=r"6 of 12 runs diverged; SweepResult\.diverged\(\) lists them"):
        result = ss.sweep(ss.SGD, WELL, **options, key=key)
    log = result.diverged()
    assert {(one["learning_rate"], one["batch_size"], one["seed"]) for one in log} == {
        (2.5, size, seed) for size in (1, 2) for seed in range(3)
    }
    for one in log:
        assert one["step"] in (100, 200, 300, 400)
        assert one["ratio"] == 2.5 / one["batch_size"]
        here = result["loss"].sel({name: one[name] for name in ("learning_rate", "batch_size", "seed")})
        assert not np.isfinite(here.sel(step=one["step"]))
        assert np.isfinite(here.sel(step=slice(None, one["step"] - 1))).all()
    calm = ss.sweep(ss.SGD, WELL, **{**options, "learning_rate": [0.05, 0.02]}, key=key)
    assert calm.diverged() == []
    np.testing.assert_array_equal(
        calm["loss"].sel(learning_rate=0.05), result["loss"].sel(learning_rate=0.05)
    )


def test_a_list_of_runs_names_their_problems(key):
    runs = [{"problem": name, "learning_rate": 0.1, "batch_size": 2} for name in ("b", "a")]
    result = ss.sweep(ss.SGD, {"a": WELL, "b": ss.problems.DoubleWell(tilt=0.1)}, runs=runs, steps=2, key=key)
    assert result.dataset["problem"].values.tolist() == ["b", "a"]
    assert result.sel(problem="a")["run"].values.tolist() == [1]
