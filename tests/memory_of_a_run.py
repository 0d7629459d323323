"""How much more a large run takes at its peak than one of a single chain, in a process of its own."""

import sys
from pathlib import Path

import jax

import sde_sgd as ss


def square(x):
    return x * x


def peak() -> int:
    """The most this process has ever held, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Print the prediction, the growth and the peak."""
    process = ss.SGD(ss.problems.DoubleWell(), ss.Hyperparameters(0.05, 2, momentum=0.5))
    job = {"steps": 10, "every": 5, "moments": {"x²": square}, "histograms": ss.Histogram(-2, 2)}
    key = jax.random.key(0)
    ss.run(process, chains=1, **job, key=key)
    small = peak()
    chains = int(sys.argv[1])
    prediction = ss.predict_memory(process, chains=chains, **job)
    ss.run(process, chains=chains, **job, key=key)
    print(prediction.total, peak() - small, peak())  # noqa: T201


if __name__ == "__main__":
    main()
