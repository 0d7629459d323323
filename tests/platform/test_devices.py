"""The same chains on 1, 2 and 8 devices, and with the batches of one chain shared among them."""

import equinox as eqx
import jax
import numpy as np
import pytest
from checkpointed_run import everything, fixed_pace, jobs, load, same_bits
from helpers import class_data, finished, launch, refused, same_to_rounding, some_as_scripts

import sde_sgd as ss
from sde_sgd._platform import _devices
from sde_sgd.simulation import _engine

EXACT = ("sgd", "two_point", "nine")


def expected(name):
    return everything(ss.run(**jobs()[name], devices=jax.local_devices()[:1]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:1 of .* chains diverged")
@pytest.mark.script
def test_eight_devices_give_what_one_gives(tmp_path, monkeypatch):
    """Chains that the devices do not divide: 15 and 9 on two of them, 60 on all, 5 whose data are shared."""
    monkeypatch.setattr(_engine, "next_block", fixed_pace)
    names = (*EXACT, "network/8")
    said, _ = finished(launch(",".join(names), tmp_path / "out.npz", "--devices", 8))
    found = load(tmp_path / "out.npz")
    assert set(found) == set(names)
    assert [line for line in said.splitlines() if line.startswith("groups")] == [
        f"groups {count}" for count in (2, 8, 2, 1)
    ]
    for name in EXACT:
        same_bits(expected(name), found[name])
    network = expected("network")
    same_to_rounding(network, found["network/8"])
    assert not np.array_equal(network["record loss"][0], network["record loss"][-1])


@pytest.fixture
def quick():
    """For programs that run for a few steps only: compiling is all their time."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def data():
    return class_data(size=24, features=3)


def processes():
    problem = ss.problems.softmax_regression(data(), l2=0.01)
    hyper = ss.Hyperparameters(0.1, 6)
    made = {
        f"SGD, {how}": ss.SGD(problem, hyper, sampling=how) for how in ("replacement", "subset", "shuffle")
    }
    # batches of 10, 10 and 4: the last is all on one device
    made["SGD, shuffle_all"] = ss.SGD(problem, ss.Hyperparameters(0.1, 10), sampling="shuffle_all")
    for noise in ("problem", "isotropic", "diagonal", "none"):
        made[f"Langevin, {noise}"] = ss.Langevin(problem, hyper, noise=noise, substeps=2)
    return made


AT_ONCE = [f"SGD, {how}" for how in ("replacement", "subset", "shuffle", "shuffle_all")] + [
    "Langevin, problem"
]


def watched(problem):
    return {
        "loss": problem.loss,
        "accuracy": problem.accuracy,
        "training_accuracy": problem.training_accuracy,
        "test_loss": problem.test_loss,
    }


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", some_as_scripts(processes(), AT_ONCE))
def test_two_devices_share_the_batches_of_every_process(name, key, one_device):
    process = processes()[name]
    job = {"chains": 3, "steps": 12, "every": 3, "key": key}
    if name in ("SGD, replacement", "Langevin, problem"):
        job["record"] = watched(process.problem)
    one = ss.run(process, **job, devices=one_device)
    two = ss.run(process, **job, devices=jax.local_devices()[:2], data_devices=2)
    same_to_rounding(everything(one), everything(two))
    for leaf in jax.tree.leaves(two.theta):
        assert len(leaf.sharding.device_set) == 2 and leaf.sharding.is_fully_replicated


class GradientNorm(eqx.Module):
    """An observable that holds the problem and differentiates it itself."""

    problem: ss.problems.EmpiricalRisk

    def __call__(self, theta):
        slope = jax.grad(self.problem.loss)(theta)
        return sum((leaf**2).sum() for leaf in jax.tree.leaves(slope))


@pytest.mark.script
@pytest.mark.usefixtures("quick")
def test_what_an_observable_makes_of_the_problem_sees_all_examples(key, one_device):
    process = processes()["SGD, replacement"]
    job = {"chains": 3, "steps": 6, "every": 3, "key": key}
    job["record"] = {"norm": GradientNorm(process.problem), "loss": process.problem.loss}
    one = ss.run(process, **job, devices=one_device)
    two = ss.run(process, **job, devices=jax.local_devices()[:2], data_devices=2)
    same_to_rounding(everything(one), everything(two))


@pytest.mark.script
@pytest.mark.usefixtures("quick")
def test_a_batch_that_is_shared_wrongly_is_seen(key, one_device, monkeypatch):
    """The twin: with the gradient of only one device's examples the chains are others."""
    process = processes()["SGD, replacement"]
    job = {"chains": 3, "steps": 12, "key": key}
    one = ss.run(process, **job, devices=one_device)
    monkeypatch.setattr(jax.lax, "pmean", lambda value, _axis: value)
    wrong = ss.run(process, **job | {"chains": 5}, devices=jax.local_devices()[:2], data_devices=2)
    pairs = zip(jax.tree.leaves(one.samples()), jax.tree.leaves(wrong.samples()), strict=True)
    gap = [np.abs(right - other[:3]).max() for right, other in pairs]
    assert max(gap) > 1e-2


@pytest.mark.usefixtures("quick")
@pytest.mark.script
def test_the_residual_network_is_shared(key, one_device):
    digits = ss.data.digits(train_size=32)
    problem = ss.problems.resnet(digits, depth=8, width=4, groups=2, image_shape=(8, 8))
    job = {"chains": 2, "steps": 3, "key": key, "initial": problem.init(key)}
    process = ss.SGD(problem, ss.Hyperparameters(0.05, 8, momentum=0.9))
    one = ss.run(process, **job, devices=one_device)
    two = ss.run(process, **job, devices=jax.local_devices()[:2], data_devices=2)
    same_to_rounding(everything(one), everything(two))


def test_every_device_holds_its_part_of_the_examples(key, monkeypatch):
    from sde_sgd._platform import _devices
    from sde_sgd.simulation._program import Ensemble

    monkeypatch.setattr(_devices, "_LITTLE", 0)  # so few stay on the host until the program divides them
    seen = []

    def call(self, *args, whole=Ensemble.call):
        found = whole(self, *args)
        seen.extend(leaf for leaf in self._placed[0] if leaf.shape == problem.inputs.shape)
        return found

    monkeypatch.setattr(Ensemble, "call", call)
    problem = ss.problems.mlp(data(), hidden=(6,))
    process = ss.SGD(problem, ss.Hyperparameters(0.1, 6))
    ss.run(process, chains=2, steps=1, key=key, data_devices=2)
    shards = seen[0].addressable_shards
    assert [shard.data.shape for shard in shards] == [(12, 3), (12, 3)]
    np.testing.assert_array_equal(np.concatenate([shard.data for shard in shards]), problem.inputs)


def test_what_cannot_be_shared_is_refused(key):
    problem = ss.problems.mlp(data(), hidden=(6,))

    def ask(problem, batch=6, **options):
        ss.run(ss.SGD(problem, ss.Hyperparameters(0.1, batch)), chains=2, steps=1, key=key, **options)

    odd = ss.problems.mlp(class_data(size=15), hidden=(6,))
    for problem_, batch, message in (
        (problem, 5, r"data_devices must divide batch_size = 5, got 2"),
        (odd, 6, r"data_devices must divide dataset_size = 15, got 2"),
        (ss.problems.DoubleWell(), 6, r"data_devices must be 1 for DoubleWell, got 2"),
    ):
        with refused(match=message):
            ask(problem_, batch, data_devices=2)
    with refused(match="data_devices must divide the number of devices, 2, got 3"):
        ask(problem, data_devices=3)
    with refused(match="data_devices must be an integer >= 1, got 0"):
        ask(problem, data_devices=0)


@pytest.mark.same_bits
@pytest.mark.script
@pytest.mark.parametrize("name", ["sgd", "langevin"])
def test_a_chain_has_the_same_bits_among_any_number(name, one_device):
    """What the vectors of a CPU leave over is computed by other instructions, so nothing is left over."""
    job = jobs()[name]

    def bits(chains):
        rates = np.linspace(0.02, 0.08, 40)[:chains]
        hyper = ss.Hyperparameters(rates, 2, momentum=0.3 * (name == "sgd"))
        process = type(job["process"])(job["process"].problem, hyper)
        options = {**job, "process": process, "chains": chains, "devices": one_device}
        return everything(ss.run(**options))["record x"]

    all_of_them = bits(40)
    for chains in (1, 2, 7, 9, 12, 15, 17):
        np.testing.assert_array_equal(bits(chains), all_of_them[:, :chains])


@pytest.mark.parametrize(("chains", "count"), [(1, 2), (2, 2), (7, 2), (1000, 2), (3, 1)])
def test_chains_are_spread_evenly(chains, count):
    layout = _devices.layout(chains, jax.local_devices()[:count])
    assert layout.groups == min(chains, count)
    assert layout.slots % layout.groups == 0
    assert 0 <= layout.slots - chains < layout.slots / layout.groups
    padded = layout.pad(np.arange(chains))
    assert padded.shape == (layout.slots,)
    np.testing.assert_array_equal(layout.to_host(padded), np.arange(chains))
    whole = _devices.layout(chains, jax.local_devices()[:count], 1, 8)
    assert whole.slots >= chains
    assert whole.slots % (8 * whole.groups) == 0
    assert (np.asarray(padded)[chains:] == chains - 1).all()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("block", [5, 8, 100])
@pytest.mark.script
def test_losses_and_gradients_do_not_depend_on_the_block(block, key):
    """Neither where blocks divide the examples nor where they do not."""
    whole, cut = (
        ss.problems.EmpiricalRisk(
            lambda theta, x: jax.numpy.tanh(x @ theta["a"]) @ theta["b"],
            data(),
            init=lambda key: {"a": jax.random.normal(key, (3, 5)), "b": jax.random.normal(key, (5, 3))},
            l2=0.1,
            block=size,
        )
        for size in (None, block)
    )
    theta = whole.init(key)
    weights = jax.random.normal(key, (24,))
    facts = [
        {
            "losses": problem.example_losses(theta),
            "test": problem.test_loss(theta),
            "accuracy": problem.accuracy(theta),
            "fitted": problem.training_accuracy(theta),
            "loss": problem.loss(theta),
            **{f"gradient {name}": leaf for name, leaf in problem.gradient(theta).items()},
            **{f"weighted {name}": leaf for name, leaf in problem.weighted_gradient(theta, weights).items()},
        }
        for problem in (whole, cut)
    ]
    same_to_rounding(*facts)


@pytest.mark.script
def test_a_block_takes_less_memory(key):
    """The activations of 16 examples in place of 4096, in the gradient too."""
    big = class_data(size=4096, features=4)
    whole, cut = (
        ss.problems.EmpiricalRisk(
            lambda theta, x: jax.numpy.tanh(jax.numpy.sin(x @ theta["a"])) @ theta["b"],
            big,
            init=lambda key: {"a": jax.random.normal(key, (4, 64)), "b": jax.random.normal(key, (64, 3))},
            block=size,
        )
        for size in (None, 16)
    )
    theta = whole.init(key)

    def peak(problem):
        compiled = jax.jit(type(problem).gradient).lower(problem, theta).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    activations = 4096 * 64 * 4
    assert peak(whole) > activations
    assert peak(cut) < activations / 4
