"""Up to which batch size η in proportion to B keeps the curve, and what breaks it then."""

import math
import textwrap
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Key, PyTree

from sde_sgd import _checks
from sde_sgd._platform._html import Panel
from sde_sgd._platform._shown import Shown
from sde_sgd._platform.reading import _traces
from sde_sgd._types import Sampling
from sde_sgd.curvature._eigenpairs import top_eigenpairs
from sde_sgd.curvature._noise_scale import gradient_noise_scale
from sde_sgd.curvature._operators import operator, parameter_count, parameters_of, precise
from sde_sgd.hyperparameters import Hyperparameters
from sde_sgd.problems._base import Problem
from sde_sgd.processes._base import check_hyper
from sde_sgd.processes._sgd import SGD
from sde_sgd.random import check_key
from sde_sgd.simulation._run import run
from sde_sgd.validity import _panels
from sde_sgd.validity._factors import step_size_factor

STABILITY, STEP_SIZE, NOISE_SCALE, EXAMPLES = "stability", "step size", "noise scale", "examples"
_SAID = {
    STABILITY: "ηλ₁ = 2(1 + m): the sharpest direction is thrown out",
    STEP_SIZE: "finite steps heat the sharp directions: the mean loss at the end is higher by {limit:g} SD",
    NOISE_SCALE: "at the start a step no longer lowers the loss",
    EXAMPLES: "of N examples there are no more, or without replacement noise falls by a tenth",
}
_OPTIONS = ("devices", "data_devices", "chunk", "memory_limit", "progress", "checkpoint", "resume")
_PLACES, _DIRECTIONS, _PROBES = 4, 20, 16
_FRACTION = 0.1
_LEVEL = 0.95


class _Seen(NamedTuple):
    """At one place: curvatures and noise along the sharpest directions, and what is left of tr(HC).

    Attributes:
        curvature, noise: λ_i and e_iᵀCe_i.
        rest: tr(HC) − Σ λ_i e_iᵀCe_i.
        gradient, curved: |∇L|² and ∇Lᵀ H ∇L.
        trace: Tr C.
    """

    curvature: Any
    noise: Any
    rest: Any
    gradient: Any
    curved: Any
    trace: Any


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class LargestBatch(Shown):
    r"""What `largest_batch` found. Print it.

    Attributes:
        value: the largest B that keeps the curve, at least 1.
        low, high: the same with the spread of the runs at either end of its interval, of probability .95.
        learning_rate: η at `value`, in proportion to B.
        breaks_by: what sets it: "stability", "step size", "noise scale", "examples".
        bounds: the B that each of them allows; infinite where it allows any.
        hyper: where the runs were made, whose η/B is kept.
        sharpness: λ₁ at the end, mean over runs.
        noise_scale_start, noise_scale: B_simple = Tr C/|∇L|² where the runs begin and end, a ratio of means.
        loss, spread: mean and standard deviation over seeds at the end.
        limit: how far the mean loss may rise, in `spread`.
        curvature, noise: λ_i and e_iᵀCe_i at the end, mean over runs.
        rest: of tr(HC), beyond those directions.
        diverged: runs that did, and are left out.
        samples: N, None where there is no data set.
    """

    value: int
    low: int
    high: int
    learning_rate: float
    breaks_by: str
    bounds: dict[str, float]
    hyper: Hyperparameters
    sharpness: float
    noise_scale_start: float
    noise_scale: float
    loss: float
    spread: float
    limit: float
    diverged: int
    samples: int | None
    curvature: np.ndarray = field(repr=False)
    noise: np.ndarray = field(repr=False)
    rest: float = field(repr=False)

    def rise(self, batch_size: float) -> float:
        """How far the mean loss at the end is above that at `hyper`, in `spread`; ∞ where unstable."""
        size = float(_checks.scalar("batch_size", batch_size, above=0))
        return _rise(self.hyper, size, self.curvature, self.noise, self.rest) / self.spread

    def _panel(self) -> Panel:
        return _panels.of_batch(self)

    def __str__(self) -> str:
        m, size = float(self.hyper.momentum), self.hyper.batch_size
        ratio = float(self.hyper.effective_learning_rate) / size
        rate, of = float(self.hyper.learning_rate), "" if self.samples is None else f", of N = {self.samples}"
        head = (
            f"η in proportion to B keeps the curve up to B = {self.value} ({self.low} to {self.high}), η = "
            f"{self.learning_rate:.3g}: from there on {self.breaks_by} breaks it"
        )
        seen = (
            f"  seen in runs at η = {rate:.3g}, B = {size}, m = {m:g} (η/(B(1 − m)) = {ratio:.3g}): at the "
            f"end λ₁ = {self.sharpness:.3g}, loss {self.loss:.4g} ± {self.spread:.2g} from run to run"
        )
        scales = (self.noise_scale_start, self.noise_scale)
        bounds = [
            f"  {name}: B = {bound:.3g}, {_SAID[name].format(limit=self.limit)}"
            for name, bound in self.bounds.items()
            if math.isfinite(bound)
        ]
        lines = [
            head,
            *bounds,
            seen,
            "  B_simple = {:.3g} at the start, {:.3g} at the end".format(*scales) + of,
        ]
        if self.diverged:
            lines.append(f"  ! {self.diverged} runs diverged and are left out: start from a smaller η and B")
        if min(self.bounds.values()) < size:
            lines.append("  ! the runs themselves are beyond it: start from a smaller η and B")
        return "\n".join(textwrap.fill(line, 100, subsequent_indent="    ") for line in lines)


def largest_batch(
    problem: Problem,
    hyper: Hyperparameters,
    *,
    key: Key[Array, ""],
    epochs: float | None = None,
    steps: int | None = None,
    seeds: int = 16,
    limit: float = 2.0,
    sampling: Sampling = "replacement",
    **options: Any,
) -> LargestBatch:
    r"""Up to which batch size does η ∝ B keep the curve of the loss over time ηk, and what breaks it then?

        print(largest_batch(net, Hyperparameters(0.02, 2), epochs=20, key=jax.random.key(0)))

    Runs of SGD at a small η and B are looked at where they begin and end. For another B, with
    r = η/((1 − m)B) as it is:

    - *stability*: η λ₁ < 2(1 + m), what a quadratic of the largest curvature can bear;
    - *step size*: along e_i the variance of SGD is f_i = 2(1 + m)/(2(1 + m) − ηλ_i) times that of the SDE,
      which lifts the mean loss above that of the runs by ¼ r Σ e_iᵀCe_i (f_i(B) − f_i(B₀)); it is held
      against the spread of the loss over seeds. The sharpest directions are summed one by one, the others to
      first order, by tr(HC);
    - *noise scale*: a step lowers the loss by η|∇L|²(1 − ½ rκ(sB + B_noise)), κ = ∇LᵀH∇L/|∇L|²,
      B_noise = tr(HC)/∇LᵀH∇L and s = (1 − m)/(1 + m): B takes from it beside B_noise. The bound is where
      nothing is left of it at the start; where noise alone takes all of it there is none;
    - *examples*: batches without replacement have less noise, by (N − B)/(N − 1): B ≤ N/10 there. With
      replacement any B ≤ N will do.

    The smallest of the four is the answer. It is a prediction from two places, as on a quadratic: where
    curvature falls under larger steps, as in classifiers, it is too small. On logistic regression, softmax
    regression and a small network it was within a factor 2 of where curves were measured to part.

    Args:
        problem: any problem.
        hyper: η, B and m of the runs, one number each; a small η.
        key: of the runs.
        epochs, steps: how long they are, one of the two.
        seeds: runs, at least 4.
        limit: how far the mean loss may rise, in standard deviations over seeds.
        sampling: as for `SGD`.
        **options: to `run`: devices, data_devices, chunk, memory_limit, progress, checkpoint, resume.

    Returns:
        `LargestBatch`.

    Raises:
        ValueError: for arguments out of range, if fewer than 4 runs end with a finite loss, or if all
            end with the same.

    Source: the variance of a quadratic under finite steps (`theory.discrete_covariance`); McCandlish, Kaplan,
    Amodei 2018 (arXiv:1812.06162), section 2, for the noise scale; Smith, Kindermans, Ying, Le 2018
    (arXiv:1711.00489) for B ≪ N.
    """
    check_hyper(problem, hyper)
    check_key(key)
    for name in ("learning_rate", "momentum"):
        if getattr(hyper, name).ndim:
            raise ValueError(f"{name} must be one number, got shape {getattr(hyper, name).shape}.")
    seeds = _checks.integer("seeds", seeds, at_least=4, hint="The limit is told in their spread.")
    limit = float(_checks.scalar("limit", limit, above=0))
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise ValueError(
            f"options to run may be {', '.join(_OPTIONS)}, got {', '.join(unknown)}: the runs begin at the "
            f"problem's own start, as many as seeds."
        )
    process = SGD(problem, hyper, sampling=sampling)
    keys = jax.random.split(key, 3)
    result = run(process, chains=seeds, epochs=epochs, steps=steps, key=keys[0], record=["loss"], **options)
    losses = np.asarray(result.record["loss"][-1], np.float64)
    sound = np.flatnonzero(np.isfinite(losses) & result.alive)
    if len(sound) < 4:
        raise ValueError(
            f"learning_rate must be small enough for runs to stay finite, got "
            f"{float(hyper.learning_rate):g}: {seeds - len(sound)} of {seeds} diverged. Start from a smaller "
            f"one."
        )
    chosen = sound[np.linspace(0, len(sound) - 1, _PLACES).astype(int)]
    begins = jax.vmap(problem.init)(jax.random.split(keys[1], _PLACES))
    ends = jax.tree.map(lambda leaf: leaf[chosen], result.theta)
    count = min(_DIRECTIONS, parameter_count(parameters_of(problem)))
    start, end = (
        jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), _look(problem, places, keys[2], count))
        for places in (begins, ends)
    )
    curvature, noise, rest = end.curvature.mean(axis=0), end.noise.mean(axis=0), float(end.rest.mean())
    spread = float(losses[sound].std(ddof=1))
    if not spread > 0:
        raise ValueError(
            f"problem must have noise for the limit to be told in: all {len(sound)} runs end with the loss "
            f"{losses[sound][0]:.4g}."
        )
    bounds = {
        STABILITY: _stable(hyper, float(curvature[0])),
        STEP_SIZE: math.inf,
        NOISE_SCALE: _of_noise_scale(hyper, start),
        EXAMPLES: _of_examples(problem.dataset_size, sampling),
    }
    freedom = len(sound) - 1
    tails = [scipy.stats.chi2.ppf((1 + sign * _LEVEL) / 2, freedom) for sign in (1, -1)]
    values = []
    for scale in (1.0, *(math.sqrt(freedom / tail) for tail in tails)):
        heat = _heated(hyper, bounds[STABILITY], curvature, noise, rest, scale * limit * spread)
        values.append(min({**bounds, STEP_SIZE: heat}.values()))
        bounds[STEP_SIZE] = heat if len(values) == 1 else bounds[STEP_SIZE]
    value, low, high = (max(1, math.floor(min(one, 2**31 - 1))) for one in values)
    return LargestBatch(
        value=value,
        low=low,
        high=high,
        learning_rate=float(hyper.learning_rate) * value / hyper.batch_size,
        breaks_by=min(bounds, key=lambda name: bounds[name]),
        bounds=bounds,
        hyper=hyper,
        sharpness=float(curvature[0]),
        noise_scale_start=_noise_scale(start),
        noise_scale=_noise_scale(end),
        loss=float(losses[sound].mean()),
        spread=spread,
        limit=limit,
        diverged=seeds - len(sound),
        samples=problem.dataset_size,
        curvature=curvature,
        noise=noise,
        rest=rest,
    )


@_traces.jit
def _look(problem: Problem, places: PyTree, key: Key[Array, ""], count: int) -> _Seen:
    """At every place, along `count` directions."""

    def one(theta: PyTree) -> _Seen:
        with precise():
            hessian, covariance = (operator(problem, theta, which) for which in ("hessian", "covariance"))
            size = hessian.origin.size
            pairs = top_eigenpairs(problem, theta, count, products=min(size, 2 * count + 10), key=key)
            vectors = jax.vmap(lambda each: ravel_pytree(each)[0])(pairs.vectors)
            noise = lax.map(lambda e: e @ covariance.product(e), vectors)
            signs = jax.random.rademacher(key, (_PROBES, size), vectors.dtype)
            # of vectors at right angles to the directions: what is along these is known
            rest = signs - (signs @ vectors.T) @ vectors
            products = lax.map(lambda z: hessian.product(z) @ covariance.product(z), rest)
            slope, _ = ravel_pytree(problem.gradient(theta))
            scale = gradient_noise_scale(problem, theta)
            return _Seen(
                pairs.values,
                noise,
                jnp.mean(products),
                slope @ slope,
                slope @ hessian.product(slope),
                scale.trace,
            )

    seen: _Seen = lax.map(one, places)
    return seen


def _at(hyper: Hyperparameters, batch_size: float) -> tuple[float, float, float]:
    """η at this B, the momentum and r = η/((1 − m)B)."""
    rate, m = float(hyper.learning_rate), float(hyper.momentum)
    return rate * batch_size / hyper.batch_size, m, rate / ((1 - m) * hyper.batch_size)


def _rise(
    hyper: Hyperparameters, batch_size: float, curvature: np.ndarray, noise: np.ndarray, rest: float
) -> float:
    """¼ r Σ e_iᵀCe_i (f_i(B) − f_i(B₀)), and r (η − η₀) tr(HC)/(8(1 + m)) of what is beyond."""
    rate, m, ratio = _at(hyper, batch_size)
    now, before = (
        step_size_factor(curvature, Hyperparameters(one, 1, m)) for one in (rate, float(hyper.learning_rate))
    )
    heat = float(np.sum(ratio / 4 * noise * (now - before)))
    return heat + ratio * (rate - float(hyper.learning_rate)) * rest / (8 * (1 + m))


def _stable(hyper: Hyperparameters, sharpness: float) -> float:
    """B with ηλ₁ = 2(1 + m)."""
    if sharpness <= 0:
        return math.inf
    return 2 * (1 + float(hyper.momentum)) / sharpness / float(hyper.learning_rate) * hyper.batch_size


def _heated(
    hyper: Hyperparameters,
    most: float,
    curvature: np.ndarray,
    noise: np.ndarray,
    rest: float,
    allowed: float,
) -> float:
    """B at which the mean loss has risen by so much: between that of the runs and the edge of stability."""
    if not math.isfinite(most):
        return math.inf

    def beyond(batch_size: float) -> float:
        return _rise(hyper, batch_size, curvature, noise, rest) - allowed

    low, high = float(hyper.batch_size), min(most, 2.0**31) * (1 - 1e-9)
    if low >= high or beyond(low) >= 0:
        return low
    return float(scipy.optimize.brentq(beyond, low, high)) if beyond(high) > 0 else most


def _of_noise_scale(hyper: Hyperparameters, start: _Seen) -> float:
    """B at which a step no longer lowers the loss; infinite where noise alone takes all of it."""
    _, m, ratio = _at(hyper, 1.0)
    curved, gradient = float(start.curved.mean()), float(start.gradient.mean())
    heat = float(np.sum(start.curvature * start.noise, axis=1).mean() + start.rest.mean())
    share = (1 - m) / (1 + m)
    left = 2 * gradient - ratio * heat
    return left / (ratio * curved * share) if left > 0 and curved > 0 else math.inf


def _noise_scale(seen: _Seen) -> float:
    """Tr C/|∇L|² of means over places; infinite where there is no gradient."""
    gradient = float(seen.gradient.mean())
    return float(seen.trace.mean()) / gradient if gradient > 0 else math.inf


def _of_examples(samples: int | None, sampling: str) -> float:
    if samples is None:
        return math.inf
    return float(samples) if sampling == "replacement" else max(1.0, _FRACTION * samples)
