"""A well on the line: SGD, its SDE, their laws, and how far they are apart."""

import functools
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from sde_sgd._platform._shown import Shown, described
from sde_sgd.explorer._distances import Distance, Law, distance
from sde_sgd.explorer._settings import EXAMPLES, FRESH, WellSettings
from sde_sgd.hyperparameters import Hyperparameters, finite_population_factor
from sde_sgd.problems._analytic import AnalyticProblem
from sde_sgd.problems._base import Problem
from sde_sgd.problems._tilted_noise import TiltedNoiseData
from sde_sgd.problems._wells import DoubleWell, Quadratic, TwoMinima
from sde_sgd.processes._langevin import Langevin
from sde_sgd.processes._sgd import SGD
from sde_sgd.simulation._result import Result
from sde_sgd.simulation._run import run
from sde_sgd.theory._chain._law import law_inside
from sde_sgd.theory._density import Density1D
from sde_sgd.theory._fokker_planck._solution import relaxation_time
from sde_sgd.theory._gibbs import gibbs
from sde_sgd.theory._line import Line
from sde_sgd.theory._linear._covariance import discrete_covariance
from sde_sgd.theory._modified import modified_gibbs
from sde_sgd.theory._setting import Setting, one_setting

EXACT = "exact law of SGD"
# on a parabola the variance is exact for any noise, the shape for Gaussian noise only
VARIANCE = "Gaussian, SGD's variance"
# the clock of the SDE, which knows nothing of η: two solver steps of .05 each
_CLOCK, _SUBSTEPS = 0.1, 2
# points of the laws: an error of 1e-6 does not show, and each costs time
_POINTS, _SHOWN = 2001, 801
# from −110 to 110, and close to each other around the wells
_WIDE = np.sinh(np.linspace(-7, 7, 4001)) / 5
# what is left of a start without velocities; and steps to wait for that at most
_AT_REST, _SETTLING = 0.05, 100
# in ends of the range that the law is known on: a chain beyond is on its way to infinity
_FAR = 1e3
# of 2ΔL/T: beyond, float64 knows no passage
_DEEPEST = 30.0
# chain-steps at most, in units of a step with Gaussian noise
_MOST = 3e7
# what a step of a chain costs in these units, and what each of the B draws or examples adds
_COSTS = {
    "gaussian": (1.0, 0.0),
    "rademacher": (1.5, 0.02),
    "exponential": (1.0, 1.0),
    "replacement": (1.0, 1.0),
    "subset": (10.0, 5.0),
    "shuffle": (10.0, 40.0),
}
_CHAINS = {"replacement": 4096, "subset": 2048, "shuffle": 1024}


@dataclass(frozen=True, repr=False, eq=False)
class WellNumbers(Shown):
    """What SGD and its SDE did on a well.

    Attributes:
        settings: what was asked.
        temperature: T = η'σ²/B, with (N − B)/(N − 1) of it for subsets.
        steps, time: how long SGD went: at most as long as asked, less where that would take too long.
        samples: "SGD", "SDE" → sorted ends of the chains that did not diverge.
        diverged: how many of SGD's did.
        laws: "Gibbs", and where they are known "O(η) law" and "exact law of SGD"; on a parabola without
            Gaussian noise "Gaussian, SGD's variance", whose mean and variance are exact.
        distances: pairs of these names → `Distance`.
        notes: what to know of these numbers, a line each.
    """

    settings: WellSettings
    temperature: float
    steps: int
    time: float
    samples: Mapping[str, np.ndarray]
    diverged: int
    laws: Mapping[str, Density1D]
    distances: Mapping[tuple[str, str], Distance]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        ks = {" to ".join(pair): found.ks for pair, found in self.distances.items()}
        return described(self, {"temperature": self.temperature, "time": self.time, "ks": ks})


def simulate_well(settings: WellSettings, key: Key[Array, ""]) -> WellNumbers:
    """Run both, and compare."""
    hyper = Hyperparameters(settings.learning_rate, settings.batch_size, settings.momentum, has_momentum=True)
    variance = settings.noise_variance * _left_of_noise(settings)
    temperature = float(hyper.temperature(variance))
    if not temperature > 0:
        raise ValueError(
            f"batch_size must be < {EXAMPLES} with sampling='subset', got {settings.batch_size}: a batch of "
            f"all examples has no noise."
        )
    steps = _steps(settings)
    time = float(hyper.time(steps))
    # all that the SDE knows is T: one clock for all η keeps its error and its cost the same
    sde_steps = max(1, math.ceil(time / _CLOCK - 1e-6))
    tick = time / sde_steps
    cold = _well(settings, temperature / tick)
    clock = Hyperparameters(tick, 1)
    line = Line(cold, "the explorer")
    loss, slope, curvature = line.derivatives(_WIDE)
    low, high = _bounds(loss, slope, curvature, line.minima(), temperature, 0.0, 40.0)
    try:
        boltzmann = gibbs(cold, clock, bounds=(low, high), points=_POINTS)
    except ValueError as error:
        raise ValueError(
            f"T = {temperature:.3g} is too small to be drawn here. Raise the learning rate, the noise or the "
            f"momentum, or lower the batch size."
        ) from error
    assert isinstance(boltzmann, Density1D)
    laws, notes = _laws(settings, hyper, variance, (loss, slope, curvature), (low, high))
    keys = jax.random.split(key, 4)
    process = SGD(_problem(settings), hyper, sampling=_sampling(settings))
    sde = Langevin(cold, clock, substeps=_SUBSTEPS)
    with warnings.catch_warnings():
        # how many diverged is told beside the picture
        warnings.filterwarnings("ignore", message=".*chains diverged")
        options: Any = {"chains": _chains(settings), "progress": False}
        # from the law that is known best
        begin = _start(settings, [boltzmann, *laws.values()][-1], keys[0])
        found = run(process, steps=steps, initial=begin, key=keys[1], **options)
        begin = _start(settings, boltzmann, keys[2])
        other = run(sde, steps=sde_steps, initial=begin, key=keys[3], **options)
    (ends, lost), (sde_ends, sde_lost) = (_ends(result, boltzmann) for result in (found, other))
    samples = {"SGD": ends, "SDE": sde_ends}
    if time < 0.95 * settings.time:
        notes.append(f"run to t = {time:.3g} of {settings.time:g}, to keep the picture quick")
    if _chains(settings) < settings.chains:
        notes.append(f"{_chains(settings)} chains, as batches of a data set take longer")
    if lost:
        notes.append(f"{lost} of {_chains(settings)} chains of SGD diverged")
    if sde_lost:
        notes.append(f"{sde_lost} of {_chains(settings)} chains of the SDE's solver diverged")
    if settings.momentum**steps > _AT_REST:
        notes.append("SGD begins at rest, and its velocities have not settled yet")
    if settings.start == "spread" and settings.well != "parabola":
        notes.append(_relaxation(cold, clock))
    known: dict[str, Law] = {**samples, "Gibbs": boltzmann, **laws}
    return WellNumbers(
        settings,
        temperature,
        steps,
        time,
        samples,
        lost,
        {"Gibbs": boltzmann, **laws},
        {pair: distance(known[pair[0]], known[pair[1]]) for pair in _pairs(known)},
        tuple(notes),
    )


def _ends(result: Result, law: Density1D) -> tuple[np.ndarray, int]:
    """Ends of chains, sorted, and how many diverged: not finite any more, or on a way that ends there."""
    ends = result.samples()
    near = np.abs(ends) <= _FAR * np.abs(law.grid).max()
    return np.sort(ends[near]), int(result.diverged + (~near).sum())


def _pairs(known: Mapping[str, Law]) -> list[tuple[str, str]]:
    """What is compared: samples of 8 values or more, and laws."""
    laws = [name for name, law in known.items() if name != "Gibbs" and isinstance(law, Density1D)]
    pairs = [("SGD", "Gibbs"), ("SDE", "Gibbs"), ("SGD", "SDE"), *(("SGD", law) for law in laws)]
    pairs += [("Gibbs", law) for law in laws]
    few = {name for name, law in known.items() if not isinstance(law, Density1D) and len(law) < 8}
    return [pair for pair in pairs if not few & set(pair)]


def _well(settings: WellSettings, variance: float, law: Any = "gaussian") -> AnalyticProblem:
    noise: Any = {"noise_variance": variance, "noise_law": law}
    if settings.well == "double well":
        return DoubleWell(tilt=settings.tilt, **noise)
    if settings.well == "parabola":
        return Quadratic(1.0, **noise)
    return TwoMinima(
        curvatures=(4.0, 1.0),
        depths=(0.0, settings.tilt),
        dimension=1,
        half_distance=0.8,
        smoothing=0.25,
        **noise,
    )


def _problem(settings: WellSettings) -> Problem:
    if settings.sampling == FRESH:
        return _well(settings, settings.noise_variance, settings.noise_law)
    whole = _data()
    variance = jnp.asarray(settings.noise_variance, float)
    found: Problem = eqx.tree_at(
        lambda data: (data.loss_of, data.tilts, data.sigma_squared),
        whole,
        (_well(settings, 1.0), whole.tilts * jnp.sqrt(variance), variance),
    )
    return found


@functools.cache
def _data() -> TiltedNoiseData:
    """Examples whose gradients have variance 1: those of any other are multiples of these."""
    return TiltedNoiseData(DoubleWell(), dataset_size=EXAMPLES, key=jax.random.key(0))


def _sampling(settings: WellSettings) -> Any:
    return "replacement" if settings.sampling == FRESH else settings.sampling


def _left_of_noise(settings: WellSettings) -> float:
    """(N − B)/(N − 1) for subsets; for shuffled epochs there is no SDE, and that of replacement is shown."""
    return finite_population_factor(settings.batch_size, EXAMPLES) if settings.sampling == "subset" else 1.0


def _chains(settings: WellSettings) -> int:
    """How many there are: fewer where drawing a batch takes longer."""
    return min(settings.chains, _CHAINS.get(settings.sampling, settings.chains))


def _steps(settings: WellSettings) -> int:
    """Of SGD: the time that is asked, as far as it can be had at once; whole epochs if shuffled."""
    asked = settings.time * (1 - settings.momentum) / settings.learning_rate
    once, each = _COSTS[settings.noise_law if settings.sampling == FRESH else settings.sampling]
    draws = settings.batch_size
    if settings.sampling == FRESH and settings.noise_law == "exponential" and draws > 64:
        draws = 1  # one draw of a Gamma law
    steps = max(1, round(min(asked, _MOST / _chains(settings) / (once + each * draws))))
    if settings.start == "law":
        steps = max(steps, settling(settings.momentum))
    epoch = EXAMPLES // settings.batch_size if settings.sampling == "shuffle" else 1
    return max(1, round(steps / epoch)) * epoch


def settling(momentum: float) -> int:
    """After so many steps velocities that were 0 are as large as they stay: before, θ has another law."""
    return min(_SETTLING, math.ceil(math.log(_AT_REST) / math.log(momentum))) if momentum else 1


def _start(settings: WellSettings, law: Density1D, key: Key[Array, ""]) -> Any:
    if settings.start == "law":
        return law.sample(_chains(settings), key=key)
    return jnp.asarray(jax.random.uniform(key, (_chains(settings),), minval=-1.5, maxval=1.5), float)


def _relaxation(cold: AnalyticProblem, clock: Hyperparameters) -> str:
    try:
        return f"the shares of the wells settle within t = {relaxation_time(cold, clock):.3g}"
    except ValueError:
        return "the shares of the wells do not settle: the wells are too deep for this temperature"


def _laws(
    settings: WellSettings,
    hyper: Hyperparameters,
    variance: float,
    wide: tuple[np.ndarray, np.ndarray, np.ndarray],
    bounds: tuple[float, float],
) -> tuple[dict[str, Density1D], list[str]]:
    """What is known of SGD's own law, the best last, and why not more is."""
    notes = []
    if settings.sampling == "shuffle":
        notes.append("no white-noise SDE matches shuffled epochs: this one has the noise of replacement")
    if settings.well == "parabola":
        name = EXACT if settings.sampling == FRESH and settings.noise_law == "gaussian" else VARIANCE
        return {name: _gaussian(settings, hyper, name)}, notes
    if settings.momentum or settings.sampling == "shuffle":
        notes.append("SGD's own law is known without momentum and shuffling only")
        return {}, notes
    laws = {}
    well = _well(settings, variance)
    line, setting = Line(well, "the explorer"), one_setting(hyper)
    try:
        temperature = setting.effective_rate * variance / setting.batch
        edges = _bounds(*wide, line.minima(), temperature, setting.rate, 40.0)
        laws["O(η) law"] = modified_gibbs(well, hyper, bounds=edges, points=_POINTS)
        if settings.sampling == FRESH and settings.noise_law == "exponential":
            notes.append("the O(η) law knows no skewness, which moves chains from well to well at any η")
    except ValueError:
        notes.append("η is too large for the O(η) law")
    if settings.sampling == FRESH and settings.noise_law == "gaussian":
        temperature = setting.effective_rate * variance / setting.batch
        deep = _barrier(wide[0], line.minima()) / temperature > _DEEPEST
        exact = None if deep else _exact(line, setting, *bounds)
        if deep:
            notes.append("the exact law of SGD is not known here: rounding sets its shares of wells so deep")
        elif exact is None:
            notes.append("SGD has no stationary law: its chains escape")
        else:
            laws[EXACT] = exact
    return laws, notes


def _barrier(loss: np.ndarray, minima: np.ndarray) -> float:
    """2ΔL out of the shallower well, 0 for one well."""
    first, last = np.searchsorted(_WIDE, minima[[0, -1]])
    inside = loss[first : last + 1]
    return float(2 * (inside.max() - max(inside[0], inside[-1])))


def _exact(line: Line, setting: Setting, low: float, high: float) -> Density1D | None:
    """SGD's law where Gibbs is, or on more of the line if that cuts it off, or none: then chains escape."""
    for margin in (0.0, 0.15):
        wider = margin * (high - low)
        try:
            return law_inside(line, setting, low - wider, high + wider, _SHOWN)
        except ValueError:
            continue
    return None


def _bounds(
    loss: np.ndarray,
    slope: np.ndarray,
    curvature: np.ndarray,
    minima: np.ndarray,
    temperature: float,
    rate: float,
    depth: float,
) -> tuple[float, float]:
    """Where the O(η) law, or Gibbs at η = 0, is e^-depth of its peak, or turns round before that.

    On one grid for all settings: `gibbs` and `modified_gibbs` would look for it in many steps.
    """
    exponents = (2 * loss - rate / 2 * slope**2) / temperature + rate / 2 * curvature
    first, last = np.searchsorted(_WIDE, minima[[0, -1]])
    lowest = exponents[first - 1 : last + 1].min()
    right = _reach(exponents[last:] - lowest, depth)
    left = _reach(exponents[first::-1] - lowest, depth)
    return float(_WIDE[first - left]), float(_WIDE[last + right])


def _reach(rising: np.ndarray, depth: float) -> int:
    """How far outward the exponent has risen to a depth, or is highest before it falls by one."""
    highest = np.maximum.accumulate(rising)
    ends = np.flatnonzero((rising > depth) | (highest - rising > 1))
    end = int(ends[0]) if len(ends) else len(rising) - 1
    return int(rising[: end + 1].argmax())


def _gaussian(settings: WellSettings, hyper: Hyperparameters, name: str) -> Density1D:
    """On x²/2 the Gaussian of SGD's variance, which is exact for any noise."""
    size = None if settings.sampling == FRESH else EXAMPLES
    covariance = [[settings.noise_variance]]
    found = discrete_covariance([[1.0]], covariance, hyper, sampling=_sampling(settings), dataset_size=size)
    return normal(float(found[0, 0]), name)


def normal(variance: float, name: str) -> Density1D:
    """N(0, variance), out to nine standard deviations."""
    grid = np.linspace(-9, 9, _POINTS) * variance**0.5
    return Density1D(grid, -(grid**2) / (2 * variance), name)
