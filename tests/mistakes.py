"""What new users get wrong, one line of code each, and what the message must hold.

python tests/mistakes.py --out docs/mistakes.md
"""

import argparse
import io
import re
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from helpers import untyped
from scipy import stats

import sde_sgd as ss

HEAD = """# Mistakes of a first day

Every line of code below is wrong, and says so: the message names what was given, its value and the way out.
Made by `python tests/mistakes.py --out docs/mistakes.md`; a test runs all of them.
"""


@dataclass(frozen=True)
class Mistake:
    """A wrong call.

    Attributes:
        code: an expression over `names()`.
        wrong: what is wrong with it.
        error: the type of the error.
        argument, value, way_out: what the message must hold.
    """

    code: str
    wrong: str
    argument: str
    value: str
    way_out: str
    error: type[Exception] = ValueError


def names() -> dict[str, Any]:
    """What the lines of code may use."""
    x = np.linspace(-1, 1, 60).reshape(20, 3)
    y = np.arange(20) % 3
    data = ss.data.Dataset(x, y, classes=3)
    return {
        "ss": ss,
        "jax": jax,
        "jnp": jnp,
        "np": np,
        "optax": optax,
        "stats": stats,
        "x": x,
        "y": y,
        "data": data,
        "key": jax.random.key(0),
        "hyper": ss.Hyperparameters(0.1, 4),
        "well": ss.problems.DoubleWell(),
        "bowl": ss.problems.Quadratic(np.eye(2)),
        "plane": ss.problems.TwoMinima(dimension=2),
        "net": ss.problems.mlp(data, hidden=(4,)),
        "sgd": ss.SGD(ss.problems.DoubleWell(), ss.Hyperparameters(0.1, 4)),
        "values": np.linspace(-1, 1, 50),
        "Tensor": Tensor,
    }


class Tensor:
    """Stands for a tensor of another library that NumPy cannot read, as one with a gradient is."""

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape

    def __array__(self, *_args: Any, **_options: Any) -> Any:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")

    def __repr__(self) -> str:
        return f"Tensor{self.shape}"


MISTAKES = (
    Mistake(
        "ss.problems.mlp((x, y), hidden=(4,))",
        "a pair of arrays where a data set is meant",
        "dataset",
        "tuple",
        "Dataset(",
    ),
    Mistake(
        "ss.data.Dataset(x, np.eye(3)[y], classes=3)",
        "labels one-hot",
        "targets",
        "(20, 3)",
        "argmax",
    ),
    Mistake(
        "ss.data.Dataset(x, y[:10], classes=3)",
        "fewer labels than inputs",
        "targets",
        "(10,)",
        "number of rows",
    ),
    Mistake("ss.data.Dataset(x, y + 1, classes=3)", "labels from 1 on", "targets", "from 1 to 3", "0..2"),
    Mistake(
        "ss.data.Dataset(Tensor((20, 3)), y, classes=3)",
        "a tensor with a gradient",
        "inputs",
        "Tensor",
        "array of numbers",
    ),
    Mistake("ss.Hyperparameters('0.1', 4)", "η as text", "learning_rate", "'0.1'", "number"),
    Mistake("ss.Hyperparameters(-0.1, 4)", "η below 0", "learning_rate", "-0.1", "> 0"),
    Mistake("ss.Hyperparameters(0.1, 4, momentum=1.0)", "momentum 1", "momentum", "got 1", "momentum=0"),
    Mistake(
        "ss.Hyperparameters(0.1, 0.5)", "half an example in a batch", "batch_size", "0.5", "integer >= 1"
    ),
    Mistake(
        "ss.Hyperparameters(optax.cosine_decay_schedule(0.1, 100), 4)",
        "a schedule for η",
        "learning_rate",
        "schedule",
        "schedule=",
    ),
    Mistake(
        "ss.SGD(net, ss.Hyperparameters(0.1, 64), sampling='shuffle')",
        "a batch larger than the data",
        "batch_size",
        "64",
        "sampling='replacement'",
    ),
    Mistake(
        "ss.SGD(net, hyper, sampling='epoch')",
        "a sampling of another name",
        "sampling",
        "'epoch'",
        "'shuffle'",
    ),
    Mistake(
        "ss.SGD(net, hyper, optimizer=optax.adam(1e-3))",
        "an optimiser with its own η",
        "optimizer",
        "GradientTransformation",
        "optax.adam, not",
    ),
    Mistake(
        "ss.SGD(net, ss.Hyperparameters(0.1, 4, 0.9), optimizer=optax.adam)",
        "momentum twice",
        "momentum",
        "optimizer",
        "leave hyper.momentum 0",
    ),
    Mistake(
        "ss.SGD(net, hyper, schedule=0.5)",
        "a number as a schedule",
        "schedule",
        "0.5",
        "optax.cosine_decay_schedule",
    ),
    Mistake(
        "ss.SGD(well, 0.1)", "η without Hyperparameters", "hyper", "0.1", "Hyperparameters(learning_rate"
    ),
    Mistake("ss.run(sgd, chains=10, steps=10, key=0)", "a seed for a key", "key", "got 0", "jax.random.key"),
    Mistake(
        "ss.run(sgd, chains=10, steps=10, key=jax.random.PRNGKey(0))",
        "an old key",
        "key",
        "uint32",
        "jax.random.wrap_key_data",
    ),
    Mistake(
        "ss.run(sgd, chains=1e6 + 0.5, steps=10, key=key)",
        "chains not whole",
        "chains",
        "1000000.5",
        "integer",
    ),
    Mistake(
        "ss.run(sgd, chains=10, steps=10, every=0, key=key)",
        "a sample every 0 steps",
        "every",
        "0",
        "integer >= 1",
    ),
    Mistake(
        "ss.run(sgd, chains=10, steps=10, every=5, record=['los'], key=key)",
        "an observable misspelt",
        "record",
        "'los'",
        "'loss'",
    ),
    Mistake(
        "ss.run(sgd, chains=10, steps=10, initial=np.zeros((1, 10)), key=key)",
        "chains along the wrong axis",
        "initial",
        "(1, 10)",
        "leading axis of 10 chains",
    ),
    Mistake(
        "ss.run(well, chains=10, steps=10, key=key)",
        "a problem where a process is meant",
        "process",
        "DoubleWell",
        "SGD(",
    ),
    Mistake(
        "ss.sweep(ss.SGD, net, learning_rate=[0.1], batch_size=[4], key=key)",
        "no length",
        "epochs",
        "",
        "time",
    ),
    Mistake(
        "ss.sweep(sgd, net, learning_rate=[0.1], batch_size=[4], epochs=1, key=key)",
        "a process where its class is meant",
        "process",
        "SGD",
        "function",
    ),
    Mistake(
        "ss.sweep(ss.SGD, net, learning_rate=[0.1], batch_size=[4], epochs=1, part=(5, 5), key=key)",
        "parts counted from 1",
        "part",
        "(5, 5)",
        "(0, 5) to (4, 5)",
    ),
    Mistake(
        "ss.merge_sweeps('results/none')",
        "a folder without parts",
        "parts",
        "'results/none'",
        "checkpoint=folder",
    ),
    Mistake(
        "ss.theory.gibbs(net, hyper)",
        "the Gibbs law of a network",
        "noise",
        "EmpiricalRisk",
        "TiltedNoiseData",
        error=ss.problems.NotKnownError,
    ),
    Mistake(
        "ss.theory.gibbs(plane, hyper, bounds=(-1, 1))",
        "bounds of one axis in the plane",
        "bounds",
        "(-1, 1)",
        "((low, high), (low, high))",
    ),
    Mistake(
        "ss.statistics.compare(values, ss.theory.gibbs(bowl, hyper))",
        "a law in the plane against numbers",
        "reference",
        "Density2D",
        "observable=",
    ),
    Mistake("ss.statistics.compare(values[:5], stats.norm())", "five chains", "sample", "5", "more chains"),
    Mistake(
        "ss.statistics.compare(values, stats.norm().pdf)",
        "a density for a distribution function",
        "reference",
        "pdf",
        "cdf",
    ),
    Mistake(
        "ss.statistics.compare(values + 1j, stats.norm())", "complex values", "sample", "complex", "real part"
    ),
    Mistake(
        "ss.statistics.temperature_test(values, values[:40], 0.1)",
        "gradients of other chains",
        "gradient",
        "(40,)",
        "(50,)",
    ),
    Mistake(
        "ss.curvature.trace(net, net.init(key), key=0)",
        "a seed for a key, again",
        "key",
        "0",
        "jax.random.key",
    ),
    Mistake(
        "ss.curvature.top_eigenpairs(net, jnp.zeros(3), key=key)",
        "parameters of another shape",
        "theta",
        "(3,)",
        "of shapes",
    ),
    Mistake(
        "ss.theory.refine_minimum(well, jnp.asarray(0.01))",
        "a start on the barrier",
        "point",
        "0.01",
        "closer",
    ),
    Mistake(
        "ss.plot.curves('loss', SGD=values)",
        "an array where a result is meant",
        "SGD",
        "of 50",
        "Result of run",
    ),
    Mistake(
        "ss.plot.save('figures/loss.png', 'loss')",
        "a path where the figure is meant",
        "made",
        "'figures/loss.png'",
        "figure",
    ),
    Mistake("ss.chain_kernel(interpret='on')", "a word for a flag", "interpret", "'on'", "True"),
    Mistake("ss.compilation_cache(3)", "a number for a folder", "directory", "3", "folder"),
    Mistake("ss.Checkpoint('')", "no folder", "directory", "''", "folder"),
    Mistake("ss.read_sweep('results.csv')", "a file of another kind", "path", "'results.csv'", ".nc"),
    Mistake(
        "ss.schedules.decay([2, 2], learning_rate=0.1, batch_size=3, factor=1.5, by='batch_size')",
        "a batch that would not be whole",
        "batch_size",
        "4.5",
        "integer",
    ),
)


def message(mistake: Mistake, known: dict[str, Any]) -> str:
    """What the error says, or "" if there is none; an error of another type is raised."""
    with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()), untyped():
        try:
            eval(mistake.code, dict(known))  # the lines above
        except mistake.error as error:
            return str(error)
    return ""


def missing(mistake: Mistake, said: str) -> list[str]:
    """What the message should hold and does not."""
    return [part for part in (mistake.argument, mistake.value, mistake.way_out) if part not in said]


def table(known: dict[str, Any]) -> Iterator[str]:
    """The table, line by line."""
    yield from (HEAD, "| mistake | code | what it says |", "|---|---|---|")
    for one in MISTAKES:
        said = re.sub("0x[0-9a-f]+", "0x…", " ".join(message(one, known).split()))
        said = re.sub(r"-?\d\.?\d*e-1[3-9]", "0", said)  # rounding, which processors do each in its way
        cells = one.wrong, f"`{one.code}`", f"{one.error.__name__}: {said}"
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--out", type=Path, default=Path("docs/mistakes.md"))
    ask.parse_args().out.write_text("\n".join(table(names())) + "\n")
