"""Every public object prints its class and its numbers in a few lines; `dir` shows what is public."""

import ast
import functools
import inspect
import types
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import printed_explorer
import pytest
from scipy import stats
from shown_html import shows_itself

import sde_sgd as ss
import sde_sgd.processes as pr
import sde_sgd.statistics as st
from sde_sgd.validity._interval import Interval

KEY = jax.random.key(0)
HYPER = ss.Hyperparameters(0.125, 8, 0.75)
PLAIN = ss.Hyperparameters(0.125, 8)
WELL = ss.problems.DoubleWell(tilt=0.03125, noise_variance=1.5)
DATA = ss.data.Dataset(np.linspace(-1, 1, 12).reshape(6, 2), np.arange(6) % 3, classes=3, name="small")
NET = ss.problems.mlp(DATA, hidden=(4,))
THETA = NET.init(KEY)
X = np.random.default_rng(0).normal(size=40)


@functools.cache
def result() -> Any:
    return ss.run(
        ss.SGD(WELL, PLAIN),
        chains=6,
        steps=4,
        every=2,
        record={"x": lambda x: x},
        moments={"x": lambda x: x},
        histograms=ss.Histogram(-2, 2, 7),
        key=KEY,
        progress=False,
    )


def swept() -> Any:
    import xarray as xr

    axes = {"learning_rate": [0.1, 0.2], "batch_size": [1, 2], "seed": [0, 1]}
    steps = xr.DataArray(np.full((2, 2, 2), -1), axes, list(axes))
    return ss.SweepResult(xr.Dataset({"loss": steps + 1.5, "diverged_at": steps}), seconds=2.5)


def swept_part() -> Any:
    options: dict[str, Any] = {"learning_rate": 0.1, "batch_size": [1, 2], "steps": 2, "seeds": 2, "key": KEY}
    return ss.sweep(ss.SGD, WELL, **options, part=(1, 2))


def filled(kind: Any, **fields: Any) -> Any:
    """An object of a frozen class with these fields, unchecked."""
    made = object.__new__(kind)
    vars(made).update(fields)
    return made


@functools.cache
def mixture() -> Any:
    return ss.theory.laplace_gibbs(ss.problems.DoubleWell(), PLAIN)


@functools.cache
def fitted() -> Any:
    return ss.bayes.map_fit(NET, NET.init(KEY), precision=1.0, tolerance=1e-3)


def cause() -> Any:
    return ss.validity.Cause("step size", "sde", 0.25, 0.1, Interval(0.125, 0.5), "because")


def diagnosed() -> Any:
    return filled(ss.validity.Diagnosis, problem=WELL, hyper=PLAIN, causes=(cause(),))


def change() -> Any:
    """Along one direction, at two multiples."""
    return ss.curvature.Change(*(jnp.asarray(one) for one in (1.0, [0.0, 1.0], 2.0, 3.0, [2.0, 4.0])))


def estimate() -> Any:
    return ss.curvature.Estimate(jnp.float32(12.25), jnp.float32(0.5))


def cell(rows: Any) -> Any:
    import xarray as xr

    return xr.DataArray(
        rows, {"learning_rate": [0.1, 0.2], "batch_size": [1, 2]}, ["learning_rate", "batch_size"]
    )


def largest() -> Any:
    fields = {"value": 42, "low": 40, "high": 44, "breaks_by": "stability", "bounds": {"stability": 42.5}}
    seen = {"learning_rate": 0.5, "sharpness": 2.0, "noise_scale_start": 1.0, "noise_scale": 3.0}
    return filled(ss.validity.LargestBatch, **fields, **seen, hyper=PLAIN, diverged=0)


def diagram() -> Any:
    zero = cell(np.zeros((2, 2)))
    return ss.validity.PhaseDiagram(
        swept(), "loss", zero, zero + 0.1, zero + 3, cell(np.eye(2) > 0), zero + 0.5, 2.0, zero, zero
    )


# how to make one of each, and what its print must say
EXAMPLES: dict[type, tuple[Any, list[str]]] = {
    ss.Checkpoint: (lambda: ss.Checkpoint("folder", seconds=60), ["'folder'", "60", "keep=2"]),
    ss.CheckpointError: (lambda: ss.CheckpointError("no folder"), ["no folder"]),
    ss.FileError: (lambda: ss.FileError("no file"), ["no file"]),
    ss.bayes.Evidence: (
        lambda: ss.bayes.log_evidence(NET, fitted().theta, precision=1.0, tolerance=1e-3),
        ["value=", "standard_error=", "occam=", "effective_parameters=", "samples="],
    ),
    ss.bayes.Fit: (fitted, ["theta=", "gradient_norm=", "steps="]),
    ss.bayes.LearningCoefficient: (
        lambda: ss.bayes.local_learning_coefficient(
            ss.problems.Quadratic(np.eye(1)),
            jnp.zeros(1),
            key=KEY,
            learning_rate=0.1,
            steps=20,
            chains=4,
            samples=100,
        ),
        ["value=", "standard_error=", "temperature_ratio=", "samples=100", "chains=4"],
    ),
    ss.bayes.NoiseScale: (
        lambda: ss.bayes.gradient_noise_scale(NET, THETA),
        ["value=", "low=", "high=", "trace=", "resolved=True"],
    ),
    ss.Citation: (lambda: ss.citation(WELL), ["DoubleWell", "0 references", "4 programs"]),
    ss.CPUUse: (lambda: ss.CPUUse(2, 512), ["devices=2", "vector_bits=512"]),
    ss.MemoryPrediction: (
        lambda: ss.MemoryPrediction(10, 2000, 100.0, 30, None),
        ["10 chains", "2 kB", "100 bytes", "30 bytes"],
    ),
    ss.Histogram: (lambda: ss.Histogram(-2, 2.5, 7), ["low=-2", "high=2.5", "bins=7"]),
    ss.HistogramCounts: (lambda: result().histograms["theta"], ["counts=[", "below=", "not_a_number=0"]),
    ss.Moments: (lambda: result().moments["x"], ["mean ", " ± ", "variance", "6 chains", "2 samples"]),
    ss.Result: (
        result,
        ["SGD on DoubleWell", "0.125", "6 chains", "0 diverged", "steps 0 to 4", "'x': float32[3, 6]"],
    ),
    ss.SweepPart: (swept_part, ["part=(1, 2)", "chain: 2", "step: 2", "loss", "0 runs diverged"]),
    ss.SweepResult: (swept, ["learning_rate: 2", "batch_size: 2", "seed: 2", "loss", "0 runs diverged"]),
    ss.Hyperparameters: (lambda: HYPER, ["learning_rate=0.125", "batch_size=8", "momentum=0.75"]),
    ss.SGD: (
        lambda: ss.SGD(WELL, PLAIN, optimizer=functools.partial(optax.sgd, nesterov=True)),
        ["tilt=0.03125", "learning_rate=0.125", "partial(sgd, nesterov=True)", "'replacement'"],
    ),
    ss.SGLD: (lambda: ss.SGLD(WELL, PLAIN, temperature=0.5), ["temperature=0.5", "batch_size=8"]),
    ss.SVAG: (lambda: ss.SVAG(WELL, PLAIN, l=4), ["l=4", "learning_rate=0.125"]),
    ss.CentralFlow: (lambda: ss.CentralFlow(WELL, PLAIN), ["k=1", "substeps=4", "learning_rate=0.125"]),
    ss.ChainState: (lambda: result().state, ["theta=[", "chain=[0, 1, 2, 3, 4, 5]"]),
    ss.Langevin: (lambda: ss.Langevin(WELL, HYPER), ["learning_rate=0.125", "momentum=0.75", "substep"]),
    ss.LeimkuhlerMatthews: (ss.LeimkuhlerMatthews, []),
    ss.SecondOrderLangevin: (
        lambda: ss.SecondOrderLangevin(WELL, PLAIN, fixed="ratio"),
        ["fixed='ratio'", "0.125"],
    ),
    ss.UnderdampedLangevin: (lambda: ss.UnderdampedLangevin(WELL, HYPER), ["substeps=", "momentum=0.75"]),
    ss.WhiteNoiseGD: (lambda: ss.WhiteNoiseGD(WELL, PLAIN, temperature=0.5), ["temperature=0.5"]),
    ss.problems.EmpiricalRisk: (lambda: NET, ["sizes=(2, 4, 3)", "float32[6, 2]", "size=6"]),
    ss.problems.Isotropic: (lambda: ss.problems.Isotropic(1.5), ["1.5"]),
    ss.problems.Diagonal: (lambda: ss.problems.Diagonal([1.5, 2.5]), ["[1.5, 2.5]"]),
    ss.problems.Full: (lambda: ss.problems.Full(np.diag([4.0, 9.0])), ["[[2, 0], [0, 3]]"]),
    ss.problems.PositionDependent: (lambda: ss.problems.PositionDependent(jnp.square), ["square"]),
    ss.problems.TiltedNoiseData: (
        lambda: ss.problems.TiltedNoiseData(WELL, dataset_size=8, key=KEY),
        ["size=8", "tilt=0.03125", "of 8"],
    ),
    ss.problems.DoubleWell: (lambda: WELL, ["tilt=0.03125", "1.5", "'gaussian'"]),
    ss.problems.MatchedParabolas: (ss.problems.MatchedParabolas, ["noise=Isotropic("]),
    ss.problems.CurvatureNoise: (
        lambda: ss.problems.with_curvature_noise(ss.problems.DoubleWell(), clip=0.5).noise,
        ["loss_of=DoubleWell(", "clip=0.5"],
    ),
    ss.problems.MullerBrown: (ss.problems.MullerBrown, ["noise=Isotropic("]),
    ss.problems.Quadratic: (lambda: ss.problems.Quadratic(2.5), ["2.5"]),
    ss.problems.StyblinskiTang: (lambda: ss.problems.StyblinskiTang(3), ["3"]),
    ss.problems.TwoMinima: (lambda: ss.problems.TwoMinima(curvatures=(4.5, 1.5)), ["4.5", "1.5"]),
    ss.problems.NotKnownError: (lambda: ss.problems.NotKnownError("no minima"), ["no minima"]),
    ss.data.Dataset: (lambda: DATA, ["float32[6, 2]", "[0, 1, 2, 0, 1, 2]", "classes=3", "'small'"]),
    ss.schedules.Stage: (lambda: ss.schedules.Stage(2.5, 0.125, 8), ["2.5", "0.125", "8"]),
    ss.schedules.Schedule: (
        lambda: ss.schedules.piecewise([1.5, 2.5], learning_rate=0.125, batch_size=[4, 8]),
        ["1.5", "2.5", "batch_size=8", "'epochs'"],
    ),
    ss.random.Stream: (lambda: ss.random.Stream.BROWNIAN, ["BROWNIAN"]),
    st.Comparison: (
        lambda: st.compare(X, stats.norm()),
        ["not distinguishable", "KS distance", "±", "n = 40"],
    ),
    st.HypothesisTest: (lambda: st.kolmogorov_smirnov(X, stats.norm()), ["±", "p = ", "n = 40"]),
    st.CurveTest: (
        lambda: st.curve_test(X.reshape(8, 5), X.reshape(8, 5) + 1, key=KEY),
        ["±", "p = ", "8 and 8"],
    ),
    st.EquivalenceTest: (lambda: st.equivalence(X, stats.norm(), margin=0.5), ["difference of means", "±"]),
    st.Family: (lambda: st.holm({"first": 0.001, "second": 0.5}), ["1 of 2 rejected", "first: 0.002"]),
    st.SlopeTest: (lambda: st.slope(np.arange(40), X, key=KEY), ["slope", "±", "n = 40"]),
    st.TemperatureTest: (lambda: st.temperature_test(X, X, 2.0), ["±", "p = ", "n = 40"]),
    st.TailIndex: (lambda: st.TailIndex(1.5, 0.125, 8, 64), ["alpha=1.5", "standard_error=0.125", "n=64"]),
    st.TimeAverage: (lambda: st.time_average(X.reshape(2, 20)), ["time average", "±"]),
    ss.theory.Density1D: (
        lambda: ss.theory.gibbs(WELL, PLAIN),
        ["'Gibbs'", "mean -", "variance 0.", "error "],
    ),
    ss.theory.Density2D: (
        lambda: ss.theory.Density2D(
            np.linspace(-5, 5, 51), np.linspace(-4, 4, 41), np.zeros((51, 41)), "flat"
        ),
        ["'flat'", "[-5, 5]", "51 x 41", "error "],
    ),
    ss.theory.Pushforward: (
        lambda: ss.theory.Pushforward(np.array([-1.5, 2.5]), np.array([0.0, 1.0]), 0.5, 4 / 3, 1e-4, "sum"),
        ["'sum' on -1.5 to 2.5", "mean 0.5", "variance 1.333", "error 0.0001"],
    ),
    ss.theory.EffectiveTemperature: (
        lambda: ss.theory.effective_temperature(np.eye(2), np.eye(2), PLAIN),
        ["curvatures=[1, 1]", "temperatures=[0.01667, 0.01667]"],
    ),
    ss.theory.FokkerPlanck: (
        lambda: filled(
            ss.theory.FokkerPlanck,
            times=np.array([0.5]),
            steps=np.array([4.0]),
            probabilities=np.full((1, 200), 1 / 200),
            generator=types.SimpleNamespace(grid=types.SimpleNamespace(shape=(200,))),
            error=1e-3,
        ),
        ["times=[0.5]", "steps=[4]", "200", "mass=[1]", "error=0.001"],
    ),
    ss.theory.PassageTime: (
        lambda: ss.theory.PassageTime(729.7, 7297.0, -1.0, 1.0, 1e-10),
        ["time=729.7", "steps=7297", "start=-1", "target=1", "error=1e-10"],
    ),
    ss.theory.PassageLaw: (
        lambda: filled(
            ss.theory.PassageLaw,
            **dict(
                zip(("time", "steps", "cv", "rate", "start", "target", "error"), range(1, 8), strict=True)
            ),
        ),
        ["time=1", "steps=2", "cv=3", "rate=4", "start=5", "target=6", "error=7"],
    ),
    ss.theory.StationaryPoint: (
        lambda: ss.theory.StationaryPoint(np.zeros(2), 0.25, np.array([-1.0, 3.0]), np.eye(2)[0]),
        ["theta=[0, 0]", "loss=0.25", "eigenvalues=[-1, 3]"],
    ),
    ss.theory.KramersTime: (
        lambda: ss.theory.kramers(ss.problems.DoubleWell(), PLAIN, minimum=-1.0, saddle=0.0),
        ["prefactor=4.443", "exponent=", "minimum=StationaryPoint(theta=-1", "eigenvalues=[-1]", "error=0"],
    ),
    ss.theory.QuasiPotential: (
        lambda: ss.theory.quasi_potential(np.diag([1.0, 2.0]), np.eye(2), PLAIN),
        ["covariance=[[", "diffusion=0.007813", "direction=[", "irreversibility=0"],
    ),
    ss.theory.PowerLawEscape: (
        lambda: ss.theory.PowerLawEscape(5.0, 4.5, 188.0, 940.0, 2.5),
        ["density_power=5", "power=4.5", "time=188", "steps=940", "prefactor=2.5"],
    ),
    ss.theory.DiffusionTheory: (
        lambda: ss.theory.DiffusionTheory(8.5, 0.2, 188.0, 940.0, 47.0, 235.0),
        ["exponent=8.5", "switch_fraction=0.2", "printed_time=188", "ito_steps=235"],
    ),
    ss.theory.KrylovVariance: (lambda: ss.theory.KrylovVariance(0.25, 1e-9, 3), ["0.25", "1e-09", "order=3"]),
    ss.theory.GaussianMixture: (mixture, ["gaussians=2", "weights=[0.5, 0.5]", "log_normaliser="]),
    ss.theory.RegressionLaw: (
        lambda: ss.theory.RegressionLaw(np.ones(2), np.zeros(2), np.eye(2), np.zeros((2, 2))),
        ["minimum=[1, 1]", "[[1, 0], [0, 1]]"],
    ),
    ss.curvature.Block: (
        lambda: ss.curvature.Block(jnp.array([1.5]), jnp.array([1e-5]), estimate(), 12),
        ["eigenvalues=[1.5]", "trace=Estimate(12.25 ± 0.5)", "size=12"],
    ),
    ss.curvature.Estimate: (estimate, ["12.25 ± 0.5"]),
    ss.curvature.Eigenpairs: (
        lambda: ss.curvature.Eigenpairs(jnp.array([1.5, 0.5]), THETA, jnp.array([0.25, 0.125])),
        ["[1.5, 0.5] ± [0.25, 0.125]", "4 arrays"],
    ),
    ss.curvature.Nudged: (
        lambda: ss.curvature.Nudged((), jnp.int32(7), jnp.ones((3, 8)), None),
        ["number=7", "directions=float32[3, 8]"],
    ),
    ss.curvature.Alignment: (
        lambda: ss.curvature.Alignment(estimate(), *(jnp.array([1.5, k]) for k in range(5))),
        ["cosine=Estimate(12.25", "ratios=[1.5, 3]"],
    ),
    ss.curvature.SpectralDensity: (
        lambda: ss.curvature.SpectralDensity(*(jnp.linspace(-1, k, 401) for k in range(3)), jnp.float32(0.5)),
        ["grid=[-1", "of 401", "width=0.5"],
    ),
    ss.curvature.Line: (
        lambda: ss.curvature.Line(jnp.linspace(-0.5, 1, 41), jnp.ones(41)),
        ["alphas=[-0.5", "of 41"],
    ),
    ss.curvature.Plane: (
        lambda: ss.curvature.Plane(jnp.linspace(-1, 1, 3), jnp.ones((3, 3)), (THETA, THETA)),
        ["[-1, 0, 1]", "float32[3, 3]"],
    ),
    ss.curvature.Change: (
        change,
        ["length=", "exact=[0, 1]", "slope=2"],
    ),
    ss.curvature.StepEffect: (
        lambda: ss.curvature.StepEffect(jnp.array([0.5, 1.0]), *[change()] * 5),
        ["multiples=[0.5, 1]", "top=Change(length="],
    ),
    ss.curvature.Saturation: (
        lambda: ss.curvature.Saturation(jnp.array(0.25), jnp.array([0.5, 0.0]), jnp.array([0.5, 0.0])),
        ["fraction=0.25", "layers=[0.5, 0]", "always="],
    ),
    ss.curvature.Observable: (
        lambda: ss.curvature.Observable(ss.curvature.trace, NET, key=KEY, samples=4),
        ["trace", "'samples': 4"],
    ),
    ss.curvature.Sharpness: (lambda: ss.curvature.Sharpness(NET, 2), ["k=2", "products=15"]),
    ss.escape.EscapeRate: (
        lambda: ss.escape.EscapeRate(
            rate=0.25,
            interval=(0.125, 0.5),
            exits=9,
            exposure=36,
            level=0.9,
            exponential=None,
            learning_rate=0.1,
        ),
        ["0.25 a step", "0.125 to 0.5 (90%)", "9 exits"],
    ),
    ss.escape.FirstExits: (
        lambda: ss.escape.FirstExits(
            steps=np.array([3, -1, 5]), points=np.ones(2), start=jnp.zeros(()), horizon=8, level=0.95
        ),
        ["0.125 a step", "2 exits", "1 censored"],
    ),
    ss.escape.SplittingRate: (
        lambda: ss.escape.SplittingRate(
            rate=1e-9,
            standard_error=1e-10,
            interval=(8e-10, 1.25e-9),
            replicas=np.ones(4),
            levels=np.ones(3),
            shares=np.ones(3),
            level=0.95,
            chain_steps=1000,
            learning_rate=0.1,
        ),
        ["1e-09 a step", "8e-10 to 1.25e-09 (95%)", "3 levels", "4 replicas"],
    ),
    ss.escape.Renewal: (
        lambda: ss.escape.Renewal(ss.SGD(WELL, PLAIN), start=-1.0, outside=0.125, burn_in=5),
        ["process=SGD(", "start=-1", "burn_in=5"],
    ),
    ss.escape.Well: (lambda: ss.escape.Well(WELL, -1.0, 0.125), ["DoubleWell", "start=-1", "outside=0.125"]),
    ss.validity.Cause: (cause, ["'step size': 0.25", "from 0.12 to 0.5", "beyond the limit 0.1"]),
    ss.validity.Diagnosis: (
        diagnosed,
        ["SGD follows its SDE: no", "'step size': 0.25", "learning_rate=0.125"],
    ),
    ss.validity.LargestBatch: (
        largest,
        ["value=42", "breaks_by='stability'", "'stability': 42.5", "learning_rate=0.125"],
    ),
    ss.validity.PhaseDiagram: (diagram, ["'loss'", "2 x 2", "limit 2"]),
    ss.validity.WeakError: (
        lambda: ss.validity.WeakError(
            ("loss",),
            np.array([0.25]),
            np.array([0.5]),
            np.ones(1),
            np.ones(1),
            9,
            0,
            "Langevin",
            0.1,
            1.0,
            10,
        ),
        ["Langevin", "loss: 0.25 ± 0.50", "n = 9"],
    ),
    **printed_explorer.EXAMPLES,
}
PACKAGES = [ss, *(value for name, value in inspect.getmembers(ss) if inspect.ismodule(value))]


def public_classes() -> set[type]:
    offered = (getattr(module, name) for module in PACKAGES for name in dir(module))
    return {one for one in offered if isinstance(one, type) and not inspect.isabstract(one)}


def test_all_public_classes_are_here():
    abstract = {ss.Process, pr.Diffusion, ss.problems.GradientNoise, ss.problems.FiniteSumProblem}
    assert public_classes() - abstract - set(EXAMPLES) == set()


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_objects_print_their_numbers_in_few_lines(kind):
    make, wanted = EXAMPLES[kind]
    thing = make()
    assert type(thing) is kind
    text = repr(thing)
    assert kind.__name__ in text
    assert [words for words in wanted if words not in text] == [], text
    assert len(text) < 640, text
    assert text.count("\n") < 6
    for machine in ("object at 0x", "Array(", "array(", "dtype=", "<function", "f32["):
        assert machine not in text
    # these have a report of their own, tested elsewhere
    assert kind in (ss.validity.Diagnosis, ss.validity.LargestBatch) or str(thing)
    shows_itself(thing)


def html(thing: Any) -> str:
    return getattr(thing, "_repr_html_", thing.__repr__)()


@pytest.mark.parametrize(
    "kind", [kind for kind in EXAMPLES if issubclass(kind, eqx.Module)], ids=lambda kind: kind.__name__
)
def test_objects_print_where_their_arrays_cannot_be_seen(kind):
    """Inside a transformed program, after their arrays were given away, and as mere shapes."""
    thing = EXAMPLES[kind][0]()
    name = kind.__name__
    seen = []

    def look(arrays: Any) -> Any:
        traced = eqx.combine(arrays, rest)
        seen.extend([repr(traced), str(traced), html(traced)])
        return jax.tree.map(lambda leaf: 0, arrays)

    arrays, rest = eqx.partition(thing, lambda leaf: isinstance(leaf, jax.Array | np.ndarray))
    jax.jit(look)(arrays)
    copies = jax.tree.map(lambda leaf: jnp.array(leaf) if isinstance(leaf, jax.Array) else leaf, arrays)
    deleted = eqx.combine(copies, rest)
    for leaf in jax.tree.leaves(copies):
        if isinstance(leaf, jax.Array):
            leaf.delete()
    shapes = eqx.combine(
        jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), arrays), rest
    )
    others = [
        eqx.combine(jax.tree.map(lambda _, other=other: other, arrays), rest)
        for other in (True, 1, "other", object())
    ]
    nothing = jax.tree.map(lambda _: None, thing)
    for one in (deleted, shapes, *others, nothing):
        seen.extend([repr(one), str(one), html(one)])
    assert all(name in text or kind is ss.curvature.Estimate for text in seen)


def test_a_hundred_numbers_are_shortened():
    rates = np.linspace(0.125, 0.25, 100)
    assert repr(ss.Hyperparameters(rates, 8)).startswith(
        "Hyperparameters(learning_rate=[0.125, 0.1263, …, 0.25] of 100, batch_size=8"
    )
    assert "of 100" in repr(ss.SGD(WELL, ss.Hyperparameters(rates, 8)))


def written_down(path: Path) -> set[str]:
    """The names that `X as X` says are public."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found |= {alias.name for alias in node.names if alias.asname == alias.name}
    return found


@pytest.mark.parametrize("module", PACKAGES, ids=lambda module: module.__name__)
def test_dir_shows_what_is_public_and_nothing_else(module):
    shown, where = dir(module), Path(module.__file__)
    assert shown == sorted(shown)
    assert all(hasattr(module, name) for name in shown)
    assert not [name for name in shown if name.startswith("_")]
    if where.name == "__init__.py":
        extra = {"processes"} if module is ss else set()
        assert set(shown) - extra == written_down(where)
    else:
        own = {
            name
            for name, value in vars(module).items()
            if getattr(value, "__module__", "") == module.__name__
        }
        assert set(shown) == {name for name in own if not name.startswith("_")}
    foreign = [getattr(module, name) for name in shown]
    assert not [one for one in foreign if isinstance(one, types.ModuleType) and "sde_sgd" not in one.__name__]
