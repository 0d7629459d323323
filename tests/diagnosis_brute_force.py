"""Does `diagnose` say what ensembles of SGD and of its SDE show? On settings that a generator draws.

    python tests/diagnosis_brute_force.py --seed 5 1 --out docs/diagnosis_brute_force.md

For every setting SGD and its SDE (Euler's method in steps of .02 relaxation times of the sharpest
direction, or Heun's in .1 where the noise is additive) go from the same minimum. What counts as true is

    ratio: Var θ_i of SGD over that of the SDE, over chains and the last two thirds of the run, in the
    direction i where it is furthest from 1, of those of the (at most four) sharpest eigenvectors at the
    minimum with λ_i ≥ λ₁/10. In problems with several wells only samples in the first one count.

Beside it stand the same for the mean squares on either side of the mean ("sides"), which skewness moves,
and mean losses above that of the minimum. Then `diagnose` is asked, with a key and a start of its own choice.
The settings of seed 5 were first looked at when the method was finished, those of seed 1 before.

What is wrong: "yes" where the ratio is beyond 1.3 by more than its standard error; "no" where it is within
1.05, and for skewness, which a variance does not show, where the sides are within 1.05 as well; a cause named
first without which neither the ratio is within a tenth nor its logarithm halved, by more than its standard
error. Steps are taken away by SVAG in so small ones that they and their skewness count no more, for at most
80,000 of them.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import sde_sgd as ss
from sde_sgd import validity
from sde_sgd.validity._coupled import Coupled

SETTINGS = 40
FAMILIES = ("well", "quadratic", "logistic", "network")
_SAMPLES = 40
_RELAXATIONS = 100
_MOST_STEPS = 5000


@dataclass
class Setting:
    """One question: all that `diagnose` is told, and how to know the first well."""

    name: str
    problem: object
    hyper: ss.Hyperparameters
    sampling: str
    start: object
    share: float
    inside: object = None


def _settings(seed):
    """The settings of a seed, family after family; nothing in here knows what comes out."""
    for number in range(SETTINGS):
        rng = np.random.default_rng([seed, number])
        yield (
            number,
            {"well": _well, "quadratic": _quadratic, "logistic": _logistic, "network": _network}[
                FAMILIES[number % 4]
            ](rng),
        )


def _numbers(rng, sharpest, batches=(1, 2, 4, 8, 16, 32)):
    """η, B, m: η from 1 % to 90 % of the stable range, evenly in its logarithm."""
    momentum = float(rng.choice([0.0, 0.5, 0.9]))
    share = float(np.exp(rng.uniform(np.log(0.01), np.log(0.9))))
    rate = share * 2 * (1 + momentum) / sharpest
    return ss.Hyperparameters(rate, int(rng.choice(batches)), momentum), share


def _law(rng):
    return str(rng.choice(["gaussian", "gaussian", "rademacher", "exponential"]))


def _well(rng):
    """A well whose barrier is 6 to 25 D high."""
    kind = str(rng.choice(["double well", "tilted well", "two minima", "Müller-Brown", "Styblinski-Tang"]))
    law, high = _law(rng), float(rng.uniform(6, 25))
    tilt = float(rng.uniform(0.05, 0.2))
    curvatures = tuple(float(value) for value in np.exp(rng.uniform(0, np.log(8), 2)))

    def made(variance):
        noise = {"noise_variance": variance, "noise_law": law}
        if kind == "double well":
            return ss.problems.DoubleWell(**noise)
        if kind == "tilted well":
            return ss.problems.DoubleWell(tilt=tilt, **noise)
        if kind == "two minima":
            return ss.problems.TwoMinima(
                curvatures=curvatures, depths=(0.0, 0.0), half_distance=1.0, smoothing=0.1, **noise
            )
        return ss.problems.MullerBrown(**noise) if kind[0] == "M" else ss.problems.StyblinskiTang(2, **noise)

    problem = made(1.0)
    start = ss.theory.refine_minimum(problem, problem.minima()[0], steps=20)
    sharpest = float(np.linalg.eigvalsh(np.atleast_2d(np.asarray(problem.hessian(start))))[-1])
    hyper, share = _numbers(rng, sharpest)
    if kind[0] == "M":
        barrier, inside = 1.06, lambda theta: theta[..., 1] > 0.62
    elif kind[0] == "S":
        barrier, inside = 39.3, lambda theta: (theta < 0.157).all(axis=-1)
    else:
        grid = np.linspace(float(start), -float(start), 4001)
        heights = np.asarray(jax.vmap(problem.loss)(jnp.asarray(grid, dtype=float)))
        top = int(heights[:3000].argmax())
        barrier, side = float(heights[top] - heights[0]), float(np.sign(grid[0] - grid[top]))
        where = float(grid[top])
        inside = lambda theta: side * (theta[..., 0] - where) > 0  # noqa: E731
    # D = η'σ²/(2B)
    variance = 2 * barrier / high * hyper.batch_size / float(hyper.effective_learning_rate)
    return Setting(f"{kind}, {law}", made(variance), hyper, "replacement", start, share, inside)


def _quadratic(rng):
    kind = str(rng.choice(["isotropic", "diagonal", "full", "position", "data"]))
    size = 1 if kind == "position" else int(rng.choice([1, 2, 4, 8]))
    law = _law(rng)
    values = np.exp(rng.uniform(np.log(0.05), np.log(2.0), size))
    turn = np.linalg.qr(rng.normal(size=(size, size)))[0]
    hessian = turn @ np.diag(values) @ turn.T
    hyper, share = _numbers(rng, values.max())
    own = np.exp(rng.uniform(-1, 1, size))
    sampling = "replacement"
    if kind == "position":
        # far below where the second moment of the SDE ceases to exist, (η'/B) growth = 2h
        growth = float(rng.uniform(0.05, 0.4)) * 2 * values.max() / float(hyper.ratio)
        problem = ss.problems.Quadratic(
            float(values[0]), noise=ss.problems.PositionDependent(_growing(growth)), noise_law=law
        )
    elif kind == "data":
        well = ss.problems.Quadratic(hessian)
        problem = ss.problems.TiltedNoiseData(
            well, dataset_size=128, key=jax.random.key(int(rng.integers(1e6)))
        )
        sampling = str(rng.choice(["replacement", "subset", "shuffle"]))
    else:
        mixed = turn @ np.diag(own) @ turn.T if size > 1 else own[:, None]
        noise = {
            "isotropic": ss.problems.Isotropic(float(own[0])),
            "diagonal": ss.problems.Diagonal(own),
            "full": ss.problems.Full(mixed),
        }[kind]
        problem = ss.problems.Quadratic(hessian, noise=noise, noise_law=law)
    start = problem.minima()[0]
    label = law if kind != "data" else "N = 128"
    return Setting(f"quadratic, d = {size}, {kind}, {label}", problem, hyper, sampling, start, share)


def _growing(growth):
    return lambda theta: 1.0 + growth * theta * theta


def _logistic(rng):
    l2 = float(np.exp(rng.uniform(np.log(0.01), np.log(0.2))))
    which = str(rng.choice(["breast cancer", "wine"]))
    make = {
        "breast cancer": lambda: ss.problems.logistic_regression(ss.data.breast_cancer(), l2=l2),
        "wine": lambda: ss.problems.softmax_regression(ss.data.wine(), l2=l2),
    }[which]
    problem = make()
    zero = jax.tree.map(jnp.zeros_like, problem.init(jax.random.key(0)))
    start = ss.theory.refine_minimum(problem, zero, steps=30)
    return _of_data(rng, f"{which}, l2 = {l2:.2g}", problem, start)


def _network(rng):
    l2 = float(np.exp(rng.uniform(np.log(0.01), np.log(0.05))))
    hidden = int(rng.choice([4, 8]))
    problem = ss.problems.mlp(ss.data.wine(), hidden=(hidden,), l2=l2)
    key = jax.random.key(int(rng.integers(1e6)))
    flow = ss.run(
        ss.SGD(problem, ss.Hyperparameters(0.3, 128), sampling="subset"), chains=1, steps=3000, key=key
    )
    start = jax.tree.map(lambda leaf: leaf[0], flow.samples())
    return _of_data(rng, f"wine, {hidden} hidden, l2 = {l2:.2g}", problem, start)


def _of_data(rng, name, problem, start):
    sharpest = ss.curvature.top_eigenpairs(problem, start, 1, products=15, key=jax.random.key(0)).values[0]
    hyper, share = _numbers(rng, float(sharpest))
    sampling = str(rng.choice(["replacement", "replacement", "subset", "shuffle"]))
    return Setting(name, problem, hyper, sampling, start, share)


class Law:
    """An ensemble along the directions: samples of shape (samples, chains, k), and losses."""

    def __init__(self, process, setting, frame, *, units=1, seed):
        directions, steps, chains = frame
        every = max(1, steps // (_SAMPLES * 3 // 2))
        if setting.sampling == "shuffle" and isinstance(process, ss.SGD):
            epoch = setting.problem.dataset_size // setting.hyper.batch_size
            every = next(n for n in range(every, every + epoch + 1) if math.gcd(n, epoch) == 1)
        record = {"at": _Along(directions), "loss": _Loss(setting.problem)}
        if setting.inside is not None:
            record["inside"] = _Inside(setting.inside)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*chains diverged")
            result = ss.run(
                process,
                chains=chains,
                steps=(steps - steps % every) * units,
                every=every * units,
                initial=setting.start,
                record=record,
                key=jax.random.key(seed),
                progress=False,
            )
        self.steps, self.lost = steps, result.diverged / chains
        late = result.record_steps >= result.record_steps[-1] / 3
        kept = result.alive if result.alive.any() else slice(None)
        self.at = np.asarray(result.record["at"], np.float64)[late][:, kept]
        self.loss = np.asarray(result.record["loss"], np.float64)[late][:, kept]
        self.weight = np.ones(self.at.shape[:2])
        if setting.inside is not None:
            self.weight = np.asarray(result.record["inside"], np.float64)[late][:, kept]

    def mean(self, values):
        """Over samples and chains, and its standard error by the spread of the chains."""
        weight = self.weight if values.ndim == 2 else self.weight[..., None]
        total = (weight * values).sum(axis=0), weight.sum(axis=0)
        mean = total[0].sum(axis=0) / total[1].sum(axis=0)
        spread = (total[0] - mean * total[1]).std(axis=0, ddof=1) * len(total[0]) ** 0.5
        return mean, spread / total[1].sum(axis=0)

    def squares(self):
        """Of both sides and of either, 3 × k, with errors."""
        apart = self.at - self.mean(self.at)[0]
        found = [
            self.mean(which) for which in (apart**2, 2 * apart**2 * (apart > 0), 2 * apart**2 * (apart < 0))
        ]
        return np.stack([one for one, _ in found]), np.stack([error for _, error in found])


def _of_sgd(theta):
    return theta["sgd"] if isinstance(theta, dict) and "sgd" in theta else theta


class _Loss(eqx.Module):
    problem: ss.problems.Problem

    def __call__(self, theta):
        return self.problem.loss(_of_sgd(theta))


class _Along(eqx.Module):
    directions: jax.Array

    def __call__(self, theta):
        theta = _of_sgd(theta)
        return self.directions @ jax.flatten_util.ravel_pytree(theta)[0]


class _Inside(eqx.Module):
    test: object

    def __call__(self, theta):
        return jnp.asarray(self.test(jnp.atleast_1d(_of_sgd(theta))), dtype=float)


def compared(one, other):
    """Ratios of squares and their errors, in logarithms, 3 × k."""
    (first, error), (second, more) = one.squares(), other.squares()
    return np.log(first / second), np.hypot(error / first, more / second)


def worst(logs, errors, rows):
    """Of all directions and the rows given: the ratio furthest from 1, and its error."""
    part, spread = logs[rows], errors[rows]
    place = np.unravel_index(np.argmax(np.abs(part)), part.shape)
    return float(np.exp(part[place])), float(np.exp(part[place]) * spread[place])


def examine(setting, seed):
    """The truth, what `diagnose` says, and what becomes of the ratio without the cause it names."""
    problem, hyper = setting.problem, setting.hyper
    analytic = problem.dataset_size is None
    size = sum(leaf.size for leaf in jax.tree.leaves(setting.start))
    found = ss.curvature.top_eigenpairs(
        problem, setting.start, min(4, size), products=min(size, 40), key=jax.random.key(0)
    )
    values = np.asarray(found.values)
    vectors = jax.vmap(lambda one: jax.flatten_util.ravel_pytree(one)[0])(found.vectors)
    directions = vectors[values >= values[0] / 10]
    fast = float(hyper.effective_learning_rate) * float(values[0])
    memory = 1 / (1 - float(hyper.momentum))
    steps = int(min(_MOST_STEPS, max(60, _RELAXATIONS / fast, 30 * memory)))
    frame = directions, steps, 1024 if analytic else 128
    sgd = Law(ss.SGD(problem, hyper, sampling=setting.sampling), setting, frame, seed=seed)
    heun = analytic and problem.noise.is_additive
    substeps = 2 ** max(1, math.ceil(math.log2(fast / (0.1 if heun else 0.02))))
    solver = diffrax.Heun() if heun else diffrax.Euler()
    # where one step is many relaxation times the SDE is at rest long before SGD's momentum is
    short = max(60, math.ceil(min(steps, 40_000 / substeps)))
    sde = Law(
        ss.Langevin(problem, hyper, substeps=substeps, solver=solver),
        setting,
        (directions, min(steps, short), frame[2]),
        seed=seed + 1,
    )
    logs, errors = compared(sgd, sde)
    ratio, ratio_error = worst(logs, errors, slice(0, 1))
    sides, sides_error = worst(logs, errors, slice(1, 3))
    if sgd.lost:
        ratio = sides = math.inf
        ratio_error = sides_error = 0.0
    lowest = float(problem.loss(setting.start))
    excess = [law.mean(law.loss - lowest) for law in (sgd, sde)]
    began, cpu = time.time(), time.process_time()
    said = validity.diagnose(
        problem,
        hyper,
        steps=steps,
        sampling=setting.sampling,
        initial=setting.start,
        key=jax.random.key(seed + 2),
    )
    cause = said.worst("sde")
    row = {
        "name": setting.name,
        "rate": float(hyper.learning_rate),
        "batch": hyper.batch_size,
        "momentum": float(hyper.momentum),
        "share": setting.share,
        "sampling": setting.sampling,
        "steps": steps,
        "ratio": ratio,
        "ratio_error": ratio_error,
        "sides": sides,
        "sides_error": sides_error,
        "lost": sgd.lost,
        "loss": [float(excess[0][0]), float(excess[0][1]), float(excess[1][0]), float(excess[1][1])],
        "verdict": said.verdict,
        "cause": cause.name if cause else None,
        "undecided": [one.name for one in said.undecided("sde")],
        "causes": {one.name: [one.effect, *one.interval] for one in said.causes},
        "seconds": time.time() - began,
        "cpu": time.process_time() - cpu,
        "without": None,
    }
    if cause is not None:
        row["without"] = _without(cause.name, setting, frame, sde, seed + 3)
    return row


def _without(cause, setting, frame, sde, seed):
    """The worst ratio (of variances; of sides for skewness) once the cause is taken away."""
    problem, hyper = setting.problem, setting.hyper
    directions, steps, chains = frame
    rows = slice(1, 3) if cause == "skewness" else slice(0, 1)
    top = ss.curvature.top_eigenpairs(problem, setting.start, 1, key=jax.random.key(0))
    fast = float(hyper.effective_learning_rate) * float(top.values[0])
    if cause == "step size":
        plain = ss.Hyperparameters(float(hyper.effective_learning_rate), hyper.batch_size)
        smaller = 2 ** max(3, math.ceil(math.log2(4 * fast)))
        if problem.dataset_size is not None or problem.noise_law != "gaussian":
            smaller *= 8  # of SVAG-l itself the third and fourth cumulants of the noise fall as 1/l only
        process = ss.SVAG(problem, plain, l=smaller)
        # as long as the SDE it is held against, for a network is nowhere at rest, if that can be had
        frame = directions, min(sde.steps, max(60, 80_000 // smaller)), chains
    elif cause == "sampling":
        process = ss.SGD(problem, hyper)
    elif cause == "skewness":
        # SGD, momentum and all, whose noise is the sum of Gaussian increments; the SDE beside it is not used
        substeps = 2 ** max(1, math.ceil(math.log2(fast)))
        process = Coupled(ss.Langevin(problem, hyper, substeps=substeps, solver=diffrax.Euler()), False)
    elif cause == "momentum":
        process, frame = ss.SGD(problem, hyper, sampling=setting.sampling), (directions, 4 * steps, chains)
    else:
        return None
    return worst(*compared(Law(process, setting, frame, seed=seed), sde), rows)


def brings_back(row):
    """Whether the ratio is within a tenth, or its logarithm is halved, once the cause named is taken away.

    Not only if it is further off by more than its standard error.
    """
    if row["without"] is None:
        return False
    before = row["sides"] if row["cause"] == "skewness" else row["ratio"]
    ratio, error = row["without"]
    after = abs(math.log(ratio)) - error / ratio
    return after < math.log(1.1) or after < abs(math.log(before)) / 2


def wrong(row):
    """What is wrong with a row, or None.

    "yes" where the ratio is beyond 1.3 by more than its standard error; "no" where it is within 1.05, and
    for skewness, which a variance does not show, where the sides are within 1.05 as well; a cause named first
    without which the ratio does not come back, by more than its standard error.
    """
    away = max(row["ratio"], 1 / row["ratio"])
    error = row["ratio_error"] / row["ratio"] * away if math.isfinite(away) else 0.0
    if row["verdict"] == "yes" and away - error > 1.3:
        return "yes beyond 1.3"
    if row["verdict"] == "no":
        beside = max(row["sides"], 1 / row["sides"]) if row["cause"] == "skewness" else away
        if max(away, beside) < 1.05:
            return "no within 1.05"
        if not brings_back(row):
            return "wrong cause"
    return None


def run_settings(seed, part=0, parts=1, show=False):
    """Examine every `parts`-th setting of a seed."""
    rows = []
    for number, setting in _settings(seed):
        if number % parts != part:
            continue
        row = {"number": number, **examine(setting, 1000 * seed + 10 * number)}
        rows.append(row)
        if show:
            sys.stderr.write(f"{_line(row)} {row['seconds']:.1f} s {wrong(row) or ''}\n")
    return rows


def in_parallel(seed, parts=2, show=False):
    """`run_settings` in some processes side by side."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{part}.json" for part in range(parts)]
        jobs = [
            subprocess.Popen(
                [
                    sys.executable,
                    __file__,
                    "--seed",
                    str(seed),
                    "--part",
                    f"{part}/{parts}",
                    "--json",
                    str(file),
                ]
                + (["--show"] if show else [])
            )
            for part, file in enumerate(files)
        ]
        codes = [job.wait() for job in jobs]
        if any(codes):
            raise RuntimeError("a part of the settings failed; see its output")
        rows = [row for file in files for row in json.loads(file.read_text())]
    return sorted(rows, key=lambda row: row["number"])


def _line(row):
    loss = row["loss"]
    apart = loss[0] / loss[2] if loss[2] > 0 else math.nan
    without = "" if row["without"] is None else f"{row['without'][0]:.2f}"
    answer = row["verdict"] + (f": {row['cause']}" if row["cause"] else "")
    if row["verdict"] == "cannot tell":
        answer += f" ({', '.join(row['undecided'])})"
    return (
        f"| {row['number'] + 1} | {row['name']} | {row['rate']:.3g} | {row['batch']} | {row['momentum']:g} "
        f"| {row['sampling']} | {row['share']:.0%} | {row['ratio']:.2f} ± {row['ratio_error']:.2f} "
        f"| {row['sides']:.2f} | {apart:.2f} | {answer} | {without} |"
    )


def summary(rows):
    """Counts of what is asked for."""
    verdicts = [row["verdict"] for row in rows]
    bad = [f"{row['number'] + 1} ({wrong(row)})" for row in rows if wrong(row)]
    return (
        f"{len(rows)} settings: {verdicts.count('yes')} yes, {verdicts.count('no')} no, "
        f"{verdicts.count('cannot tell')} cannot tell; wrong: {', '.join(bad) or 'none'}. "
        f"A diagnosis took {np.median([row['seconds'] for row in rows]):.1f} s in the median, "
        f"{max(row['seconds'] for row in rows):.1f} s at most."
    )


def table(rows):
    """In Markdown."""
    head = (
        "| | problem | η | B | m | sampling | of the stable range | ratio | sides | mean loss | diagnose "
        "| without the cause |"
    )
    rule = "|" + "---|" * 12
    return "\n".join([head, rule, *map(_line, rows)])


def main():
    """Write the table of some seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, nargs="+", default=[1])
    parser.add_argument("--part", default=None)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    if args.part is not None:
        part, parts = map(int, args.part.split("/"))
        args.json.write_text(json.dumps(run_settings(args.seed[0], part, parts, args.show)))
        return
    pieces = []
    for seed in args.seed:
        rows = in_parallel(seed, show=args.show)
        if args.json:
            args.json.write_text(json.dumps(rows))
        pieces.append(f"## Seed {seed}\n\n{summary(rows)}\n\n{table(rows)}\n")
        sys.stdout.write(f"{summary(rows)}\n")
    if args.out:
        args.out.write_text(f"# `diagnose` against brute force\n\n{_about()}\n\n" + "\n".join(pieces))


def _about():
    text = __doc__.split("\n\n", 2)[2]
    return f"Made by `make brute-force`.\n\n{text.strip()}"


if __name__ == "__main__":
    main()
