"""Runs in a process of their own, for tests that kill them, interrupt them, or give them other devices.

It says "ready" when all is imported and "saved STEP" after every checkpoint, and leaves everything
the results hold in OUT.
"""

import argparse
import resource
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from helpers import class_data

import sde_sgd as ss
from sde_sgd._platform import _devices
from sde_sgd._platform.checkpoints import _checkpoint
from sde_sgd.simulation import _engine

# one rate is unstable, so one chain diverges
RATES = np.where(np.arange(15) == 4, 2.5, np.linspace(0.02, 0.08, 15)).astype(np.float32)
STEPS = 800
# steps between two looks at the clock, not a divisor of anything
PACE = 53.0


def position(x):
    return x


def square(x):
    return x * x


def jobs() -> dict[str, dict[str, Any]]:
    """The arguments of `run` by name. They keep all that can be kept."""
    well = ss.problems.DoubleWell()
    kept = {
        "chains": 15,
        "steps": STEPS,
        "every": 7,
        "burn_in": 100,
        "key": jax.random.key(5),
        "record": {"x": position, "x²": square},
        "moments": {"x": position, "x²": square},
        "histograms": {"x": ss.Histogram(-2, 2, 20, position)},
    }
    sgd = ss.SGD(well, ss.Hyperparameters(RATES, 2, momentum=0.3))
    langevin = ss.Langevin(well, ss.Hyperparameters(RATES, 2))
    two_point = ss.Langevin(
        ss.problems.DoubleWell(noise_variance=0.5),
        ss.Hyperparameters(0.05, 2),
        increments="two_point",
        substeps=1,
    )
    nine = ss.SGD(well, ss.Hyperparameters(RATES[:9], 2, momentum=0.3))
    problem = ss.problems.mlp(class_data(size=24), hidden=(6,))
    watched = {name: getattr(problem, name) for name in ("loss", "accuracy", "training_accuracy")}
    network = {"chains": 5, "steps": 12, "every": 3, "key": jax.random.key(6), "record": watched}
    return {
        "nine": {"process": nine, **kept, "chains": 9},
        "network": {"process": ss.SGD(problem, ss.Hyperparameters(0.1, 8)), **network},
        "sgd": {"process": sgd, **kept},
        "langevin": {"process": langevin, **kept},
        "two_point": {"process": two_point, **kept, "chains": 60},
        "chunked": {"process": langevin, **kept, "chunk": 5},
        "stopping": {"process": langevin, **kept, "stop_loss": 3e-5},
    }


def sweeps() -> dict[str, dict[str, Any]]:
    """The arguments of `sweep` by name."""
    well = ss.problems.DoubleWell()
    grid = {"batch_size": [1, 2, 4], "learning_rate": [0.02, 0.05, 2.5], "seeds": 3, "key": jax.random.key(8)}
    ends = {"steps": STEPS, "every": 8, "record": {"x": position, "x²": square}, "keep_theta": True}
    return {"sweep": {"process": ss.SGD, "problem": well, **grid, **ends}}


def digits() -> dict[str, Any]:
    """The arguments of a sweep of networks: 3 B × 4 η × 8 seeds, eight runs at a time."""
    problem = ss.problems.mlp(ss.data.digits(), hidden=(16,))
    grid = {"batch_size": [16, 32, 64], "learning_rate": [0.02, 0.04, 0.08, 0.16], "seeds": 8, "chunk": 8}
    ends = {"epochs": 2, "every": 1, "record": ["loss", "accuracy"], "keep_theta": True}
    return {"process": ss.SGD, "problem": problem, **grid, **ends, "key": jax.random.key(9)}


def do(name: str, **options: Any) -> ss.Result | ss.SweepResult:
    """One of `jobs` or `sweeps`, or `digits`."""
    if name == "digits":
        return ss.sweep(**digits() | options)
    if name in sweeps():
        return ss.sweep(**sweeps()[name] | options)
    return ss.run(**jobs()[name] | options)


def small(rate: float = 0.05, **change: Any) -> dict[str, Any]:
    """The arguments of a short run that is quick to compile."""
    process = ss.SGD(ss.problems.DoubleWell(), ss.Hyperparameters(rate, 2))
    job = {"process": process, "chains": 6, "steps": 40, "every": 4, "key": jax.random.key(1)}
    return {**job, "record": {"x": position}, **change}


def everything(result: ss.Result | ss.SweepResult) -> dict[str, np.ndarray]:
    """All that a result holds, but for how long it took."""
    if isinstance(result, ss.SweepResult):
        return {**{name: found.values for name, found in result.dataset.items()}, "theta": result.theta}
    found = {
        f"state{jax.tree_util.keystr(path)}": leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(result.state)
    }
    found |= {"steps": result.steps, "record_steps": result.record_steps}
    found |= {"diverged": result.diverged_at, "stopped": result.stopped_at}
    found |= {f"record {name}": values for name, values in result.record.items()}
    for name, moments in result.moments.items():
        found[f"mean {name}"] = moments.mean_per_chain
        found[f"variance {name}"] = moments.variance_per_chain
        found[f"count {name}"] = moments.count
    for name, histogram in result.histograms.items():
        found[f"histogram {name}"] = np.concatenate([[histogram.below], histogram.counts, [histogram.above]])
    return {name: np.asarray(leaf) for name, leaf in found.items()}


def load(path: str | Path) -> dict[str, dict[str, np.ndarray]]:
    """What a process has left behind: everything of each job."""
    found: dict[str, dict[str, np.ndarray]] = {}
    with np.load(path) as file:
        for name, values in file.items():
            job, _, part = name.partition("|")
            found.setdefault(job, {})[part] = values
    return found


def same_bits(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> None:
    """Refuse two results that are not equal to the last bit (all NaN are one)."""
    assert set(one) == set(other)
    for name in one:
        left, right = np.asarray(one[name]), np.asarray(other[name])
        assert (left.dtype, left.shape) == (right.dtype, right.shape), name
        np.testing.assert_array_equal(left, right, err_msg=name)
        nothing = np.zeros((), left.dtype)
        left, right = (np.where(np.isnan(leaf), nothing, leaf) for leaf in (left, right))
        assert left.tobytes() == right.tobytes(), f"{name} has zeros of another sign"


_pause: list[float] = []


def fixed_pace(done: int, steps: int, every: int, _pace: float, capacity: int) -> tuple[int, int, bool]:
    """`next_block` for a machine of constant speed, so that every run is cut at the same places."""
    if _pause:
        print(f"at {done}", flush=True)  # noqa: T201 - what the test waits for
        time.sleep(_pause[0])
    return _next_block(done, steps, every, PACE, capacity)


def announce(part: _checkpoint.Part, step: int, *rest: Any) -> None:
    """`Part.save`, and say so."""
    _save(part, step, *rest)
    print(f"saved {step}", flush=True)  # noqa: T201 - what the test waits for


def spread(*args: Any) -> _devices.Layout:
    """`layout`, and say over how many groups of devices."""
    found = _layout(*args)
    print(f"groups {found.groups}", flush=True)  # noqa: T201
    return found


_next_block, _save, _layout = _engine.next_block, _checkpoint.Part.save, _devices.layout


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("jobs", help="names, divided by commas; /2 behind one: over two data devices")
    parser.add_argument("out")
    parser.add_argument("--folder")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--host", type=int, default=0)
    parser.add_argument("--hosts", type=int, default=1)
    parser.add_argument("--port", type=int)
    parser.add_argument("--largest-file", type=int, help="bytes, as if the disk were full beyond")
    parser.add_argument("--part", type=int, nargs=2, help="of a sweep that is killed: nothing is left in OUT")
    parser.add_argument("--pause", type=float, help="seconds before every block, and say where it begins")
    ask = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", ask.devices)
    if ask.hosts > 1:
        jax.distributed.initialize(f"127.0.0.1:{ask.port}", ask.hosts, ask.host)
    if ask.largest_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (ask.largest_file, ask.largest_file))
    if ask.pause is not None:
        _pause.append(ask.pause)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell may have switched it off
    _engine.next_block, _checkpoint.Part.save = fixed_pace, announce
    options: dict[str, Any] = {}
    if ask.folder:
        options = {"checkpoint": ss.Checkpoint(ask.folder, ask.seconds), "resume": ask.resume}
    if ask.part:
        options["part"] = tuple(ask.part)
    print("ready", flush=True)  # noqa: T201
    if not ask.folder:
        _devices.layout = spread
    found = {}
    for asked in ask.jobs.split(","):
        name, _, data_devices = asked.partition("/")
        result = do(name, **options, data_devices=int(data_devices or 1))
        found |= {f"{asked}|{part}": values for part, values in everything(result).items()}
    np.savez(ask.out if ask.host == 0 else f"{ask.out}.{ask.host}.npz", **found)


if __name__ == "__main__":
    main()
