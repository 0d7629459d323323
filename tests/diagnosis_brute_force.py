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
from pathlib import Path

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from drawn_settings import FAMILIES, SETTINGS, settings

import sde_sgd as ss
from sde_sgd import validity
from sde_sgd.validity._coupled import Coupled

_SAMPLES = 40
_RELAXATIONS = 100
_MOST_STEPS = 5000


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


def run_settings(seed, part=0, parts=1, most=SETTINGS, show=False):
    """Examine a part of the first settings of a seed, as many of every family in each."""
    rows = []
    for number, setting in settings(seed):
        if number >= most or number // len(FAMILIES) % parts != part:
            continue
        row = {"number": number, **examine(setting, 1000 * seed + 10 * number)}
        rows.append(row)
        if show:
            sys.stderr.write(f"{_line(row)} {row['seconds']:.1f} s {wrong(row) or ''}\n")
    return rows


def in_parallel(seed, parts=2, most=SETTINGS, show=False):
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
                    "--most",
                    str(most),
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
    parser.add_argument("--most", type=int, default=SETTINGS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    if args.part is not None:
        part, parts = map(int, args.part.split("/"))
        args.json.write_text(json.dumps(run_settings(args.seed[0], part, parts, args.most, args.show)))
        return
    pieces = []
    for seed in args.seed:
        rows = in_parallel(seed, most=args.most, show=args.show)
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
