"""Steps in one kernel, stepped through on a CPU: the chains of the plain loop, bit by bit.

XLA fuses a product with a sum where it likes, in another program elsewhere, so where a formula leaves it
the choice the last bit may differ: the problems here leave none.
"""

import itertools
import re
import warnings

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import class_data, float64, refused, some_as_scripts

import sde_sgd as ss
from sde_sgd._platform._chain_kernel import KernelUse
from sde_sgd.simulation import _program
from sde_sgd.simulation._kernel import _choice, _launch

KEY = jax.random.key(3)
HYPER = ss.Hyperparameters(0.05, 2)
PROBLEMS = {
    "double well": ss.problems.DoubleWell,
    "quadratic": ss.problems.Quadratic,
    "two minima": ss.problems.TwoMinima,
}
WELL = ss.problems.DoubleWell()


def langevin(problem, increments="gaussian", **options):
    return ss.Langevin(problem, HYPER, increments=increments, substeps=1, **options)


INCREMENTS = ("gaussian", "two_point")


@pytest.fixture
def launched(monkeypatch):
    """How many chains each kernel that was traced had."""
    sizes = []

    def noted(chain, inputs, chains, platform, **options):
        sizes.append(chains)
        return _launch.launch(chain, inputs, chains, platform, **options)

    monkeypatch.setattr(_choice, "launch", noted)
    monkeypatch.setattr(_program, "_PROGRAMS", type(_program._PROGRAMS)())
    return sizes


def by_kernel(process, throw=True, **options):
    with ss.chain_kernel(interpret=True, throw=throw):
        return ss.run(process, key=KEY, **options)


def same(one, other):
    for a, b in zip(jax.tree.leaves(one.state), jax.tree.leaves(other.state), strict=True):
        np.testing.assert_array_equal(a, b)
    for name, values in one.record.items():
        np.testing.assert_array_equal(values, other.record[name])


@pytest.mark.parametrize(
    ("problem", "increments", "chains"),
    some_as_scripts(
        itertools.product(PROBLEMS, INCREMENTS, (5, 300, 512)),
        at_once=[("double well", "gaussian", 300), ("quadratic", "two_point", 5)],
    ),
)
def test_the_chains_are_those_of_the_plain_loop(problem, increments, chains, launched):
    """A part of a tile; on each of two devices a tile and a part of another; and two whole tiles."""
    made = langevin(PROBLEMS[problem](), increments)
    options = {"chains": chains, "steps": 70, "every": 9, "record": ["loss"], "moments": ["loss"]}
    plain = ss.run(made, key=KEY, **options)
    assert not launched
    kernel = by_kernel(made, **options)
    assert launched
    same(kernel, plain)
    np.testing.assert_array_equal(kernel.moments["loss"].mean, plain.moments["loss"].mean)


@pytest.mark.script
@pytest.mark.parametrize(
    "process",
    [
        ss.SGD(WELL, ss.Hyperparameters(np.linspace(0.01, 0.1, 300), 4, np.linspace(0.0, 0.9, 300))),
        ss.SGD(ss.problems.DoubleWell(noise_law="rademacher"), HYPER),
        ss.SGD(WELL, HYPER, schedule=lambda step: 1 / (1 + 0.01 * step.astype(float))),
        ss.SGD(ss.problems.DoubleWell(noise_law="exponential"), HYPER),
        ss.SGD(ss.problems.StyblinskiTang(2), HYPER),
        langevin(WELL, solver=diffrax.Euler()),
        ss.Langevin(WELL, HYPER, increments="two_point", substeps=3),
    ],
    ids=["each its own", "two-point SGD", "schedule", "exponential", "two coordinates", "Euler", "substeps"],
)
def test_other_processes_too(process):
    same(by_kernel(process, chains=300, steps=70), ss.run(process, chains=300, steps=70, key=KEY))


@pytest.mark.script
def test_matrix_products_and_exponentials_agree_to_rounding():
    """A relative error of some float32 roundings a step, in wells that do not blow it up."""
    for problem in (ss.problems.MullerBrown(), ss.problems.Quadratic([[1.0, 0.5], [0.5, 2.0]])):
        process = langevin(problem)
        kernel = by_kernel(process, chains=20, steps=30).samples()
        plain = ss.run(process, chains=20, steps=30, key=KEY).samples()
        np.testing.assert_allclose(kernel, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.script
def test_in_float64():
    with float64():
        process = ss.SGD(ss.problems.DoubleWell(), ss.Hyperparameters(0.05, 2))
        kernel = by_kernel(process, chains=20, steps=30)
        assert kernel.samples().dtype == np.float64
        np.testing.assert_allclose(
            kernel.samples(), ss.run(process, chains=20, steps=30, key=KEY).samples(), rtol=1e-12
        )


@pytest.mark.script
@pytest.mark.parametrize("first", ["kernel", "plain loop"])
def test_runs_go_on_with_the_kernel_and_without(first, launched, tmp_path):
    """Also from a checkpoint, which belongs to the run and not to what has made its steps."""
    process, options = langevin(WELL), {"chains": 40, "every": 10, "record": ["loss"]}
    whole = ss.run(process, steps=50, key=KEY, **options)

    def stretch(steps, kernel):
        run = by_kernel if kernel else lambda *args, **rest: ss.run(*args, key=KEY, **rest)
        return run(process, steps=steps, checkpoint=tmp_path, resume=True, **options)

    stretch(20, first == "kernel")
    before = len(launched)
    same(stretch(50, first != "kernel"), whole)
    assert (len(launched) > before) == (first != "kernel")


@pytest.mark.script
def test_sweeps_use_it_in_jobs_side_by_side(launched):
    options = {"learning_rate": [0.02, 0.05], "batch_size": [1, 2], "seeds": 2, "steps": 30, "key": KEY}
    plain = ss.sweep(ss.SGD, WELL, **options)
    assert not launched
    with ss.chain_kernel(interpret=True):
        kernel = ss.sweep(ss.SGD, WELL, **options)
    assert launched
    for name, values in plain.to_xarray().data_vars.items():
        if name != "seconds":
            np.testing.assert_array_equal(kernel.to_xarray()[name], values)


@pytest.mark.script
def test_the_provenance_tells_it_and_repeats_the_run():
    process = langevin(WELL)
    plain, kernel = ss.run(process, chains=5, steps=3, key=KEY), by_kernel(process, chains=5, steps=3)
    assert "chain_kernel" not in plain.provenance["call"]
    call = kernel.provenance["call"]
    assert "with ss.chain_kernel(interpret=True):\n    result = ss.run(process, " in call
    names: dict = {}
    exec(call, names)
    same(names["result"], kernel)
    assert (
        "ss.chain_kernel(interpret=True, throw=False)"
        in by_kernel(process, throw=False, chains=5, steps=3).provenance["call"]
    )


class Stepping(ss.Langevin):
    """A process with a way of its own to make many steps."""

    def advance(self, state, *, start, steps, key):
        return super().advance(state, start=start, steps=steps, key=key)


class Sorting(ss.problems.AnalyticProblem):
    """L = ½ Σ i x_(i)² over the sorted coordinates."""

    noise: ss.problems.GradientNoise = ss.problems.Isotropic()
    noise_law: str = "gaussian"

    def init(self, key):
        return jax.random.normal(key, (3,))

    def loss(self, theta):
        return 0.5 * jnp.sum(jnp.sort(theta) ** 2 * jnp.arange(3.0))


@pytest.mark.parametrize(
    ("process", "told"),
    [
        (
            ss.SGD(ss.problems.mlp(class_data(), hidden=[3]), HYPER),
            "SGD of EmpiricalRisk: its loss is no form",
        ),
        (
            ss.SGD(ss.problems.StyblinskiTang(17), HYPER),
            "of StyblinskiTang: a chain is 17 numbers, of which 16",
        ),
        (
            ss.SGD(ss.problems.StyblinskiTang(9), ss.Hyperparameters(0.05, 2, 0.9)),
            "a chain is 18 numbers, of which 16 fit into registers",
        ),
        (Stepping(WELL, HYPER), "Stepping of DoubleWell: it has an advance of its own"),
        (
            ss.SGD(Sorting(), HYPER),
            "SGD of Sorting: its steps use sort, which is not done to numbers in regi",
        ),
    ],
    ids=["data", "coordinates", "velocities", "advance", "sort"],
)
def test_what_has_no_kernel_is_refused_by_name_or_left_to_the_plain_loop(process, told, launched):
    with refused(match=f"chain_kernel has no kernel for .*{told}.* or give chain_kernel\\(throw=False\\)"):
        by_kernel(process, chains=4, steps=2)
    left = by_kernel(process, throw=False, chains=4, steps=2)
    assert not launched
    same(left, ss.run(process, chains=4, steps=2, key=KEY))


def test_a_cpu_has_no_kernel_to_compile():
    with (
        refused(
            match="on a cpu there is none to compile \\(interpret=True steps through it, slowly, for tests"
        ),
        ss.chain_kernel(),
    ):
        ss.run(langevin(WELL), chains=4, steps=2, key=KEY)
    for name in ("interpret", "throw"):
        with refused(match=f"{name} must be True or False, got 'yes'"):
            ss.chain_kernel(**{name: "yes"})


def test_a_release_without_the_lowering_says_so(monkeypatch):
    monkeypatch.setattr(_choice, "_TRITON", "jax.experimental.pallas.no_triton")
    process = langevin(WELL)
    state = process.init(jnp.zeros(4), ss.random.chain_numbers(4))
    with refused(
        match="of DoubleWell: this release of JAX lowers no Pallas kernel by Triton\\. Run it outside"
    ):
        _choice.kernel_of(KernelUse(interpret=False, throw=True), process, state, "gpu")


@pytest.mark.parametrize("chains", some_as_scripts([1000, 2**18], [1000]))
@pytest.mark.parametrize("increments", INCREMENTS)
@pytest.mark.parametrize(("platform", "target"), [("cuda", "xla.gpu.triton"), ("tpu", "tpu_custom_call")])
def test_it_is_lowered_for_gpus_and_tpus(platform, target, increments, chains):
    """As far as this can be done without one: in some releases of JAX the lowering asks the device."""
    made = langevin(WELL, increments)
    state = made.init(jnp.zeros(chains), ss.random.chain_numbers(chains))
    name = "gpu" if platform == "cuda" else platform
    kernel = _choice.kernel_of(KernelUse(interpret=False, throw=True), made, state, name)

    def steps(state, begin, block):
        return kernel.advance(made, state, begin, block, KEY)

    traced = jax.jit(steps).trace(state, jnp.int32(0), jnp.int32(3))
    warnings.simplefilter("ignore", DeprecationWarning)  # JAX 0.12 will not lower by Triton for ever
    try:
        text = traced.lower(lowering_platforms=(platform,)).as_text()
    except (RuntimeError, ValueError) as error:
        if not re.search("No supported GPU devices|Unsupported TPU device kind: cpu", str(error)):
            raise
        pytest.skip(str(error))
    assert target in text and "stablehlo.while" not in text
