"""Results of runs saved, read and pickled to the last bit, and what is told of where they come from."""

import copy
import functools
import importlib.metadata
import json
import pickle
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr
from helpers import class_data, float64, refused
from torture import result_files

import sde_sgd as ss
from sde_sgd._platform.files._structure import Node
from sde_sgd._platform.reading import _origin
from sde_sgd.data._known_names import name_of
from sde_sgd.simulation._result import _replaced

WELL = ss.problems.DoubleWell(noise_variance=0.7)
DATA = class_data()
KEY = jax.random.key(3)
BOTH = pytest.mark.parametrize("suffix", [".nc", ".zarr"])


def bits(tree):
    """Dtypes, shapes and bytes of all arrays, and whether they are JAX's."""
    return [
        (str(leaf.dtype), leaf.shape, isinstance(leaf, jax.Array), np.asarray(leaf).tobytes())
        for leaf in jax.tree.leaves(tree)
    ]


def assert_same(found, given):
    assert bits(found.state) == bits(given.state)
    for name in ("record_steps", "diverged_at", "stopped_at", "time"):
        one, other = np.asarray(getattr(found, name)), np.asarray(getattr(given, name))
        assert (one.dtype, one.tobytes()) == (other.dtype, other.tobytes()), name
    assert bits(dict(found.record)) == bits(dict(given.record))
    assert list(found.record) == list(given.record)
    for kind in ("moments", "histograms"):
        assert list(getattr(found, kind)) == list(getattr(given, kind))
        for name, kept in getattr(given, kind).items():
            again = getattr(found, kind)[name]
            for field in kept.__dataclass_fields__:
                one, other = np.asarray(getattr(again, field)), np.asarray(getattr(kept, field))
                assert one.tobytes() == other.tobytes(), (name, field)
    assert (found.steps, found.start, found.seconds) == (given.steps, given.start, given.seconds)
    assert found.key == given.key
    assert found.provenance == given.provenance


@pytest.fixture(scope="module")
def analytic():
    """SGD with momentum and a η for each chain, and names that mean something else in the file."""
    process = ss.SGD(WELL, ss.Hyperparameters(np.linspace(0.02, 0.1, 12), 2, 0.5))
    record = {"loss": WELL.loss, "time": lambda x: x, "v": lambda x: x * jnp.arange(3.0), "v_0": lambda x: x}
    return ss.run(
        process,
        chains=12,
        steps=6,
        every=2,
        key=KEY,
        record={**record, "a/b": lambda x: -x},
        moments={"x": lambda x: x, "step": lambda x: x},
        histograms=ss.Histogram(-1.0, 1.0, 10),
    )


@pytest.fixture(scope="module")
def adam():
    """Adam on shuffled data: a state of named tuples, counters and orders."""
    net = ss.problems.mlp(DATA, hidden=(3,), l2=0.01)
    options = {"sampling": "shuffle", "optimizer": functools.partial(optax.adam, b1=0.8)}
    process = ss.SGD(net, ss.Hyperparameters(0.05, 4), **options)
    return process, ss.run(process, chains=8, steps=4, key=KEY, record={"loss": net.loss})


@BOTH
def test_a_run_comes_back_to_the_last_bit(suffix, analytic, tmp_path):
    path = analytic.save(tmp_path / f"run{suffix}")
    found = ss.read_run(path)
    assert_same(found, analytic)
    assert jax.tree.structure(found.state) == jax.tree.structure(analytic.state)
    assert_same(ss.read_run(found.save(tmp_path / f"again{suffix}")), analytic)
    assert_same(pickle.loads(pickle.dumps(found)), analytic)


@BOTH
def test_xarray_opens_a_saved_run(suffix, analytic, tmp_path):
    path = analytic.save(tmp_path / f"run{suffix}")
    opened = xr.open_dataset(path) if suffix == ".nc" else xr.open_zarr(path, chunks=None)
    with opened:
        assert opened["loss"].dims == ("step", "chain")
        np.testing.assert_array_equal(opened["loss"], analytic.record["loss"])
        np.testing.assert_array_equal(opened["step"], analytic.record_steps)
        np.testing.assert_array_equal(opened["theta"], analytic.theta)
        assert opened["time"].dims == ("step", "chain")
        assert opened.attrs["process"] == "SGD"
    dims = analytic.to_xarray()
    assert dims["v"].dims == ("step", "chain", "v_0_")
    assert dims["record.time"].dims == ("step", "chain")


def test_what_was_read_is_taken_for_a_result(analytic, tmp_path):
    found = ss.read_run(analytic.save(tmp_path / "run.nc"))
    np.testing.assert_array_equal(found.samples(), analytic.samples())
    comparison = ss.statistics.compare(found, ss.theory.gibbs(WELL, ss.Hyperparameters(0.05, 2)))
    assert comparison.n == 12
    assert "both runs have one key" in str(ss.statistics.compare(found, analytic))
    ss.plot.histograms(read=found)
    ss.plot.curves("loss", read=found)
    np.testing.assert_array_equal(found.moments["x"].mean, analytic.moments["x"].mean)
    with refused(match="has no data set, hence no epochs"):
        found.epochs  # noqa: B018


@pytest.mark.script
def test_a_run_that_was_read_goes_on_to_the_same_bits(analytic, adam, tmp_path):
    process, result = adam
    for number, (law, given) in enumerate([(analytic.process, analytic), (process, result)]):
        found = ss.read_run(given.save(tmp_path / f"{number}.nc"))
        options = {"chains": len(given.diverged_at), "steps": 3, "key": KEY}
        assert bits(ss.run(law, initial=found, **options).state) == bits(
            ss.run(law, initial=given, **options).state
        )


def test_nodes_that_files_do_not_know_are_named_until_their_process_is_there(adam, tmp_path):
    process, result = adam
    found = ss.read_run(result.save(tmp_path / "run.nc"))
    assert bits(found.state) == bits(result.state)
    assert jax.tree.structure(found.theta) == jax.tree.structure(result.theta)
    moments = found.state.extra["optimizer"][0]
    assert isinstance(moments, Node)
    np.testing.assert_array_equal(moments.mu[0]["bias"], result.state.extra["optimizer"][0].mu[0]["bias"])
    with pytest.raises(AttributeError, match="ScaleByAdamState read from a file has count, mu, nu"):
        moments.momentum  # noqa: B018
    np.testing.assert_array_equal(found.epochs, result.epochs)
    whole = ss.read_run(tmp_path / "run.nc", process=process)
    assert jax.tree.structure(whole.state) == jax.tree.structure(result.state)
    assert_same(whole, result)
    assert whole.process is process
    with refused(
        match=r"whose state has the arrays float32\[8, 3\], .*; this is the result of SavedProcess\(SGD",
    ):
        found.with_process(ss.SGD(process.problem, process.hyper))
    with refused(match="process must be SGD"):
        found.with_process(found.process)


@pytest.mark.script
def test_equinox_modules_are_read_by_the_names_of_their_arrays(tmp_path):
    problem = ss.problems.from_equinox(lambda key: eqx.nn.Linear(2, 3, key=key), DATA)
    process = ss.SGD(problem, ss.Hyperparameters(0.05, 4))
    result = ss.run(process, chains=8, steps=2, key=KEY)
    found = ss.read_run(result.save(tmp_path / "run.nc"))
    np.testing.assert_array_equal(found.theta.weight, result.theta.weight)
    weight = lambda theta: theta.weight[0, 0]  # noqa: E731
    assert ss.statistics.compare(found, result, observable=weight).n == 8
    assert_same(found.with_process(process), result)


def test_a_process_that_is_only_described_says_so(analytic, tmp_path):
    found = ss.read_run(analytic.save(tmp_path / "run.nc"))
    assert repr(found.process) == "SavedProcess(SGD of DoubleWell)"
    for ask in (
        lambda: ss.run(found.process, chains=12, steps=1, key=KEY),
        lambda: found.process.problem.loss(0.0),
        lambda: ss.run(found.process, chains=12, steps=1, key=KEY, initial=found),
    ):
        with refused(match=r"was read from a file or pickle, in which its .* is described"):
            ask()


def test_numbers_that_are_none_and_small_floats_come_back(analytic, tmp_path):
    payload = np.array([0x7FC00001, 0xFFC00123, 0x7F800001] * 4, np.uint32).view(np.float32)
    odd = {
        "nan": np.stack([payload] * 4),
        "bf16": np.zeros((4, 12), jnp.bfloat16) + np.asarray(np.nan, jnp.bfloat16),
        "half": np.arange(48, dtype=np.float16).reshape(4, 12),
        "wide": np.arange(48.0).reshape(4, 12) / 3,
    }
    given = _replaced(analytic, record=odd, key=jax.random.key(5, impl="rbg"))
    assert_same(ss.read_run(given.save(tmp_path / "odd.nc")), given)
    assert_same(pickle.loads(pickle.dumps(given)), given)


@pytest.mark.script
def test_float64_stays_where_jax_has_it_not(tmp_path):
    with float64():
        well = ss.problems.DoubleWell()
        process = ss.SGD(well, ss.Hyperparameters(0.1, 1))
        result = ss.run(process, chains=3, steps=2, key=KEY, record={"loss": well.loss})
        assert result.theta.dtype == np.float64
        path = result.save(tmp_path / "run.nc")
        assert_same(ss.read_run(path), result)
        data = pickle.dumps(result)
    for found in (ss.read_run(path), pickle.loads(data)):
        assert type(found.theta) is np.ndarray
        assert found.theta.tobytes() == np.asarray(result.theta).tobytes()
        assert found.process.hyper.learning_rate.dtype == np.float64
        assert found.record["loss"].dtype == np.float64


def test_results_pickle_with_their_process_where_it_can(analytic, adam):
    found = pickle.loads(pickle.dumps(analytic))
    assert_same(found, analytic)
    assert type(found.process) is ss.SGD
    assert float(found.process.problem.loss(jnp.zeros(()))) == 0.25
    process, result = adam
    again = pickle.loads(pickle.dumps(result))
    assert_same(again, result)
    assert_same(again.with_process(process), result)
    assert_same(copy.copy(result), result)
    assert_same(copy.deepcopy(result), result)
    assert copy.deepcopy(result).record["loss"] is not result.record["loss"]


def test_sweeps_pickle():
    """Parameters in a module with a function that has no pickle."""
    numbers = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    layer = eqx.tree_at(lambda at: at.layers[0].weight, eqx.nn.MLP(1, 1, 1, 1, jnp.tanh, key=KEY), numbers)
    swept = ss.SweepResult(result_files.made(0).dataset, eqx.filter(layer, eqx.is_array), 2.5)
    again = pickle.loads(pickle.dumps(swept))
    xr.testing.assert_identical(again.dataset, swept.dataset)
    assert bits(again.theta) == bits(swept.theta)
    assert again.seconds == swept.seconds


def test_the_call_repeats_the_run(analytic):
    process = ss.Langevin(WELL, ss.Hyperparameters(0.05, 2, 0.1), noise="isotropic", substeps=2)
    given = {"record": {"loss": WELL.loss}, "histograms": ss.Histogram(-1.0, 1.0, 10), "every": 2}
    result = ss.run(process, chains=5, steps=4, key=jax.random.key(11), burn_in=1, **given)
    call = result.provenance["call"]
    assert "not written" not in call
    names: dict[str, ss.Result] = {}
    exec(call, names)
    assert bits(names["result"].state) == bits(result.state)
    assert bits(names["result"].record) == bits(result.record)
    assert names["result"].histograms["theta"].counts.tolist() == result.histograms["theta"].counts.tolist()
    told = analytic.provenance["call"]
    assert "# not written, give it again: record['v']: a function" in told
    assert "record={'loss': problem.loss, 'time': ..." in told


def test_provenance_is_of_the_run_and_not_of_the_moment_it_is_read():
    with jax.enable_x64(True):
        well = ss.problems.DoubleWell()
        result = ss.run(ss.SGD(well, ss.Hyperparameters(0.05)), chains=2, steps=1, key=jax.random.key(0))
        inside = result.provenance
    assert result.provenance == inside
    assert inside["x64"]
    assert "jax_enable_x64" in inside["call"]
    assert "not written" not in inside["call"]


@pytest.mark.script
def test_a_result_to_go_on_from_is_told_and_not_written_out(key):
    """Of more samples and chains than arrays that are written out have entries."""
    process = ss.SGD(WELL, ss.Hyperparameters(0.05))
    first = ss.run(process, chains=70, steps=70, every=1, key=key, record=["loss"])
    call = ss.run(process, chains=70, steps=2, key=key, initial=first).provenance["call"]
    assert "# not written, give it again: initial: the Result that ended at step 70" in call
    assert len(call) < 1000


def test_a_result_is_saved_below_home(analytic, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert analytic.save("~/run.nc") == tmp_path / "run.nc"
    assert ss.read_run("~/run.nc").steps == analytic.steps


@pytest.mark.script
def test_the_call_repeats_the_sweep(key):
    make = functools.partial(ss.Langevin, noise="isotropic")
    options = {"learning_rate": [0.1, 0.2], "batch_size": np.array([1, 2]), "seeds": 2, "steps": 3}
    swept = ss.sweep(make, WELL, key=key, record=["loss"], **options)
    call = swept.dataset.attrs["call"]
    assert "not written" not in call
    names: dict[str, ss.SweepResult] = {}
    exec(call, names)
    xr.testing.assert_equal(names["result"].dataset, swept.dataset)


@pytest.mark.script
def test_a_saved_sweep_says_what_it_was(key, tmp_path):
    net = ss.problems.mlp(DATA, hidden=(3,), l2=0.01)
    makes = {
        "partial(SGD, sampling='shuffle')": functools.partial(ss.SGD, sampling="shuffle"),
        "partial(SGD, optimizer=optax.adam)": functools.partial(ss.SGD, optimizer=optax.adam),
        "partial(Langevin, noise='isotropic', substeps=1)": functools.partial(
            ss.Langevin, noise="isotropic", substeps=1
        ),
    }
    told = []
    for text, make in makes.items():
        swept = ss.sweep(make, net, learning_rate=0.1, batch_size=4, steps=1, key=key)
        attributes = ss.read_sweep(swept.save(tmp_path / "sweep.nc", overwrite=True)).dataset.attrs
        assert attributes["process"] == text
        told.append(json.loads(attributes["provenance"]))
    assert [one["process"]["class"] for one in told] == ["SGD", "SGD", "Langevin"]
    assert told[0]["process"]["sampling"] == "shuffle"
    assert told[1]["process"]["optimizer"] == "optax.adam"
    assert (told[2]["process"]["noise"], told[2]["process"]["sampling"]) == ("isotropic", "replacement")
    assert told[2]["process"]["solver"] == "diffrax.Euler()"
    for one in told:
        assert one["problem"]["predict"] == {
            "class": "DenseNetwork",
            "sizes": [2, 3, 3],
            "activation": "tanh",
            "bias": True,
            "gain": 1.0,
        }
        assert one["problem"]["l2"] == pytest.approx(0.01)
        assert one["data"]["N"] == 12
        assert "with checksum" in one["data"]["inputs"]
        assert one["data"]["classes"] == 3
        assert one["versions"]["jax"] == jax.__version__
        assert "mlp(..., hidden=(3,)" in one["call"]


def test_provenance_of_a_run_names_what_sets_it(adam):
    process, result = adam
    told = result.provenance
    assert told["hyperparameters"]["batch_size"] == 4
    assert told["process"]["sampling"] == "shuffle"
    assert told["process"]["optimizer"] == "functools.partial(optax.adam, b1=0.8)"
    assert told["parameters"]["[0]['weight']"] == [2, 3]
    assert (told["data"]["N"], told["data"]["name"]) == (12, DATA.name)
    assert told["key"] == {"generator": "threefry2x32", "words": [0, 3]}
    assert (told["start"], told["steps"], told["chains"]) == (0, 4, 8)
    assert json.loads(json.dumps(told)) == told
    more = ss.run(process, chains=8, steps=1, key=KEY, initial=result)
    assert "not written, give it again: initial: the Result that ended at step 4" in more.provenance["call"]


def test_a_data_set_is_known_by_its_own_name():
    clean = class_data(seed=5)
    noisy = ss.data.with_label_noise(clean, 0.5, key=KEY)
    assert name_of(clean.inputs, clean.targets) == "data"
    assert name_of(noisy.inputs, noisy.targets) == "data, 50 % random labels"
    assert name_of(clean.inputs, noisy.targets + 0) is None
    same = ss.data.Dataset(noisy.inputs, noisy.targets, classes=3, name="mine")
    assert name_of(same.inputs, same.targets) == "mine"
    assert name_of(noisy.inputs, noisy.targets) == "data, 50 % random labels"


def test_a_sweep_is_not_a_run(analytic, tmp_path):
    path = analytic.save(tmp_path / "run.nc")
    with pytest.raises(ss.FileError, match=r"run\.nc' is not a sweep: it holds a run; read it with read_run"):
        ss.read_sweep(path)
    with refused(match=r"path must be an existing \.nc file"):
        ss.read_run(tmp_path / "none.nc")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ss.FileError, match="is damaged"):
        ss.read_run(path)


PROGRAM = """
import pickle, sys
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        result = pickle.load(file)
    loss, call = result.record["loss"].sum(), result.provenance["call"]
    print(type(result.process).__name__, float(loss), len(call) > 100)
"""


@pytest.mark.script
def test_results_are_unpickled_in_a_fresh_process(analytic, adam, tmp_path):
    said = []
    for name, result in (("analytic", analytic), ("adam", adam[1])):
        (tmp_path / name).write_bytes(pickle.dumps(result))
        kind = type(pickle.loads(pickle.dumps(result)).process).__name__
        said.append(f"{kind} {float(result.record['loss'].sum())} True")
    paths = [str(tmp_path / name) for name in ("analytic", "adam")]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *paths],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.splitlines() == said


def test_only_what_held_such_data_is_replaced(tmp_path, key):
    """A folder of somebody's own stays, whatever it is called."""
    result = ss.run(ss.SGD(ss.problems.DoubleWell(), ss.Hyperparameters(0.1, 1)), chains=2, steps=2, key=key)
    for name in ("mine.nc", "mine.zarr"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "thesis.txt").write_text("years")
        with refused(match=f"{name}' is a folder that is not .* not replaced"):
            result.save(folder, overwrite=True)
        assert (folder / "thesis.txt").read_text() == "years"
    file = tmp_path / "file.zarr"
    file.write_text("years")
    with refused(match="is a file that is not a Zarr folder"):
        result.save(file, overwrite=True)
    assert file.read_text() == "years"
    (tmp_path / "empty.zarr").mkdir()
    result.save(tmp_path / "empty.zarr", overwrite=True)
    result.save(tmp_path / "empty.zarr", overwrite=True)
    assert_same(ss.read_run(tmp_path / "empty.zarr"), result)


def test_another_process_is_put_back_with_a_word(tmp_path, key):
    well = ss.problems.DoubleWell()
    result = ss.run(ss.SGD(well, ss.Hyperparameters(0.1, 1)), chains=2, steps=2, key=key)
    result.save(tmp_path / "run.nc")
    others = {
        "process.class is Langevin here, SGD there": ss.Langevin(well, ss.Hyperparameters(0.1, 1)),
        "hyperparameters.learning_rate is 0.4": ss.SGD(well, ss.Hyperparameters(0.4, 1)),
        "problem.noise.sigma_squared is 9.0 here, 1.0 there": ss.SGD(
            ss.problems.DoubleWell(noise_variance=9.0), ss.Hyperparameters(0.1, 1)
        ),
    }
    for words, other in others.items():
        with pytest.warns(UserWarning, match=words):
            ss.read_run(tmp_path / "run.nc", process=other)
    assert ss.read_run(tmp_path / "run.nc", process=result.process).time[-1] == result.time[-1]


def test_a_file_of_the_other_kind_is_not_called_damaged(tmp_path, key):
    ss.sweep(ss.SGD, ss.problems.DoubleWell(), learning_rate=0.1, batch_size=1, steps=2, key=key).save(
        tmp_path / "sweep.nc"
    )
    with pytest.raises(ss.FileError, match="is not a run: it holds a sweep; read it with read_sweep") as told:
        ss.read_run(tmp_path / "sweep.nc")
    assert "Restore" not in str(told.value)


def test_a_copy_that_is_not_installed_says_so(tmp_path, key, monkeypatch):
    def version(name):
        if name == "sde_sgd":
            raise importlib.metadata.PackageNotFoundError(name)
        return importlib.metadata.version(name)

    monkeypatch.setattr(_origin, "_installed", version)
    well = ss.problems.DoubleWell()
    result = ss.sweep(ss.SGD, well, learning_rate=0.1, batch_size=1, steps=2, key=key)
    assert result.dataset.attrs["created_by"].startswith("sde_sgd not installed, jax ")
    result.save(tmp_path / "sweep.nc")
    assert ss.read_sweep(tmp_path / "sweep.nc").dataset.identical(result.dataset)
    run = ss.run(ss.SGD(well, ss.Hyperparameters(0.1, 1)), chains=2, steps=2, key=key)
    assert run.provenance["versions"]["sde_sgd"] == "not installed"
